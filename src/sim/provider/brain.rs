//! What the simulated model says next: a pure function of its script and of the conversation so far, so that
//! an engine that is seeded with the history goes on where another one stopped.
//!
//! Knows no events, formats or endpoints, and keeps nothing from one answer to the next.

use std::borrow::Cow;

use super::script::{Script, ScriptedCall};
use crate::speech::{
    Sentence,
    words::{Word, same, words},
};

/// One thing in the conversation that the model heeds. Instructions and results of tools are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// The caller spoke; what was said does not matter to the script.
    Caller,
    /// The agent spoke: so much of it as was heard.
    Agent(String),
    Called {
        name: String,
        arguments: String,
    },
}

/// What the model does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next<'a> {
    Call(&'a ScriptedCall),
    Say(Line<'a>),
}

/// A sentence of the script, or the rest of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    sentence: &'a Sentence,
    /// Where in its text the rest begins, in bytes.
    from: usize,
}

impl<'a> Line<'a> {
    pub(super) fn text(&self) -> &'a str {
        &self.sentence.text[self.from..]
    }

    /// Mu-law at 8 kHz.
    pub(super) fn audio(&self) -> Cow<'a, [u8]> {
        match self.from {
            0 => Cow::Borrowed(self.sentence.audio),
            from => Cow::Owned(self.sentence.part(from..self.sentence.text.len())),
        }
    }
}

/// What follows this conversation. `may_call` says which tools the client offers.
pub(super) fn next<'a>(script: &'a Script, turns: &[Turn], may_call: impl Fn(&str) -> bool) -> Next<'a> {
    if let Some(call) = due_call(script, turns).filter(|call| may_call(&call.name)) {
        return Next::Call(call);
    }
    let lines = Lines::of(script);
    let place = turns.iter().fold(None, |place, turn| match turn {
        Turn::Agent(text) => lines.follow(place, &words(text)).or(place),
        Turn::Caller | Turn::Called { .. } => place,
    });
    let was_heard = |turn: &&Turn| match turn {
        Turn::Caller => true,
        Turn::Agent(text) => !text.is_empty(),
        Turn::Called { .. } => false,
    };
    let last_speaker = turns.iter().rev().find(was_heard);
    let (line, said) = match (last_speaker, place) {
        (None, _) => (0, 0),
        (Some(Turn::Agent(_)), Some(place)) if !lines.is_whole(place) => (place.line, place.said),
        (Some(_), None) => (lines.after(0), 0), // whatever was said, it was no answer yet
        (Some(_), Some(place)) => (lines.after(place.line), 0),
    };
    Next::Say(Line {
        sentence: lines.sentences[line],
        from: lines.words[line].get(said).map_or(0, |word| word.start),
    })
}

/// The call that the script has for the caller's latest turn, unless it was made since.
fn due_call<'a>(script: &'a Script, turns: &[Turn]) -> Option<&'a ScriptedCall> {
    let caller_turns = turns.iter().filter(|turn| matches!(turn, Turn::Caller)).count();
    let since = turns.iter().rposition(|turn| matches!(turn, Turn::Caller)).map_or(0, |last| last + 1);
    let was_made = |call: &ScriptedCall| {
        turns[since..].iter().any(|turn| {
            matches!(turn, Turn::Called { name, arguments } if *name == call.name && *arguments == call.arguments)
        })
    };
    script.calls.iter().find(|call| call.turn == caller_turns && !was_made(call))
}

/// How far the agent is: `said` words of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: usize,
    said: usize,
}

/// The script as words: the greeting, then the answers.
struct Lines<'a> {
    sentences: Vec<&'a Sentence>,
    words: Vec<Vec<Word>>,
}

impl<'a> Lines<'a> {
    fn of(script: &'a Script) -> Self {
        let sentences: Vec<_> = std::iter::once(&script.greeting).chain(&script.answers).collect();
        let words = sentences.iter().map(|sentence| words(sentence.text)).collect();
        Self { sentences, words }
    }

    fn is_whole(&self, place: Place) -> bool {
        place.said == self.words[place.line].len()
    }

    /// The line after this one; after the last, the answers begin again.
    fn after(&self, line: usize) -> usize {
        let next = line + 1;
        if next < self.words.len() { next } else { 1.min(self.words.len() - 1) }
    }

    /// Where the agent is when it has said these words as well, if they are of the script: lines in a row,
    /// or two words and more from the middle of any.
    fn follow(&self, place: Option<Place>, said: &[Word]) -> Option<Place> {
        let (mut here, mut rest) = (place, said);
        while !rest.is_empty() {
            let Some((next, common)) = self.go_on(here, rest) else { return self.find(said) };
            (here, rest) = (Some(next), &rest[common..]);
        }
        here
    }

    /// One step of that, and how many words it took: all of them, or all that a line had left. The line the
    /// agent is in goes first, then the next one, then the others.
    fn go_on(&self, here: Option<Place>, said: &[Word]) -> Option<(Place, usize)> {
        let next = here.map_or(0, |place| place.line + 1);
        let starts = (next..self.words.len()).chain(0..next).map(|line| Place { line, said: 0 });
        here.into_iter().chain(starts).find_map(|from| {
            let left = &self.words[from.line][from.said..];
            let common = left.iter().zip(said).take_while(|(a, b)| a.key == b.key).count();
            let to = Place { line: from.line, said: from.said + common };
            let fits = common == said.len() || (common > 0 && self.is_whole(to));
            fits.then_some((to, common))
        })
    }

    fn find(&self, said: &[Word]) -> Option<Place> {
        let within = |(line, words): (usize, &Vec<Word>)| {
            let at = words.windows(said.len()).position(|run| same(run, said))?;
            Some(Place { line, said: at + said.len() })
        };
        self.words.iter().enumerate().find_map(within).filter(|_| said.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech;

    fn agent(text: &str) -> Turn {
        Turn::Agent(text.to_owned())
    }

    fn whole(id: &str) -> Turn {
        agent(speech::sentence(id).unwrap().text)
    }

    /// The words that follow a conversation, by the script of the night desk.
    fn said(turns: &[Turn]) -> String {
        match next(&Script::default(), turns, |_| false) {
            Next::Say(line) => line.text().to_owned(),
            Next::Call(call) => panic!("{call:?}"),
        }
    }

    #[track_caller]
    fn assert_says(turns: &[Turn], id: &str) {
        assert_eq!(said(turns), speech::sentence(id).unwrap().text);
    }

    #[test]
    fn a_conversation_begins_with_the_greeting_and_takes_line_after_line() {
        let mut turns = Vec::new();
        let ids = [
            "greeting",
            "late-arrival",
            "old-town",
            "castle",
            "farewell",
            "breakfast",
            "morning",
            "late-arrival",
        ];
        for id in ids {
            assert_says(&turns, id);
            turns.extend([whole(id), Turn::Caller]);
        }
        assert_says(&[Turn::Caller], "late-arrival");
        assert_says(&[whole("greeting")], "late-arrival");
    }

    #[test]
    fn a_line_that_broke_off_is_said_to_its_end_and_only_that() {
        let text = speech::sentence("old-town").unwrap().text;
        let history = [whole("greeting"), Turn::Caller, whole("late-arrival"), Turn::Caller];
        for (at, _) in text.match_indices(' ') {
            for heard in [text[..at].to_owned(), text[..at].to_uppercase().replace([',', '.'], "")] {
                assert_eq!(
                    said(&[&history[..], &[agent(&heard)]].concat()),
                    &text[at + 1..],
                    "after {heard:?}"
                );
            }
        }
        assert_says(&[&history[..], &[agent(text)]].concat(), "castle");
    }

    #[test]
    fn a_line_that_broke_off_twice_is_said_once() {
        let parts = ["Happily. You could", "start at the fish market,", "which opens at six, walk along"];
        let turns: Vec<_> =
            [whole("late-arrival"), Turn::Caller].into_iter().chain(parts.map(agent)).collect();
        assert!(said(&turns).starts_with("the harbour wall to"), "{}", said(&turns));
        let rest = agent(&said(&turns));
        assert_says(&[&turns[..], std::slice::from_ref(&rest)].concat(), "castle");
        assert_says(&[&turns[..], &[rest, Turn::Caller]].concat(), "castle");
        let joined = agent(&parts.join(" "));
        assert_eq!(said(&[whole("late-arrival"), Turn::Caller, joined]), said(&turns), "or told as one turn");
    }

    #[test]
    fn an_interrupted_line_is_left_for_the_next() {
        let heard = agent("Happily. You could start at the fish");
        assert_says(&[whole("greeting"), Turn::Caller, heard.clone(), Turn::Caller], "castle");
        assert_says(&[heard, Turn::Caller], "castle");
    }

    #[test]
    fn what_the_agent_says_beyond_its_script_costs_no_line() {
        let filler = agent("One moment, please.");
        let greeting = agent("Welcome to the Grand Hotel!");
        assert_says(&[greeting.clone(), Turn::Caller], "late-arrival");
        assert_says(&[greeting, Turn::Caller, filler.clone()], "late-arrival");
        assert_says(&[whole("late-arrival"), Turn::Caller, filler.clone(), Turn::Caller], "old-town");
        assert_says(&[whole("greeting"), Turn::Caller, agent(""), Turn::Caller], "late-arrival");
        assert_says(&[agent("")], "greeting");
        let broken = agent("Then take tram number");
        assert_eq!(
            said(&[Turn::Caller, broken, filler]),
            "four to the end. The castle is right across the road."
        );
    }

    #[test]
    fn several_lines_in_one_turn_count_as_said() {
        let text = |id| speech::sentence(id).unwrap().text;
        let both = agent(&[text("greeting"), text("late-arrival")].join(" "));
        assert_says(&[both, Turn::Caller], "old-town");
        let begun = agent(&format!("{} Happily. You", text("late-arrival")));
        assert!(said(&[begun]).starts_with("could start at"));
        let endless = agent(&vec![text("greeting"); 20_000].join(" "));
        assert_says(&[endless, Turn::Caller], "late-arrival");
    }

    #[test]
    fn a_rest_sounds_as_long_as_its_share_of_the_words() {
        let script = Script::default();
        let turns = [agent("Then take tram number four to the end.")];
        let Next::Say(rest) = next(&script, &turns, |_| false) else { panic!("a call") };
        let whole = speech::sentence("castle").unwrap();
        let share = rest.text().len() as f64 / whole.text.len() as f64;
        assert!((rest.audio().len() as f64 - whole.audio.len() as f64 * share).abs() < 2.0);
    }

    #[test]
    fn a_scripted_call_is_made_once_at_its_turn_if_it_may_be() {
        let call = ScriptedCall { turn: 2, name: "room".to_owned(), arguments: "{}".to_owned() };
        let script = Script { calls: vec![call.clone()], ..Script::default() };
        let made = Turn::Called { name: "room".to_owned(), arguments: "{}".to_owned() };
        let other = Turn::Called { name: "room".to_owned(), arguments: r#"{"n":1}"#.to_owned() };
        let calls = |turns: &[Turn]| matches!(next(&script, turns, |name| name == "room"), Next::Call(c) if *c == call);
        let once = [whole("greeting"), Turn::Caller, whole("late-arrival")];
        let twice = [&once[..], &[Turn::Caller]].concat();
        assert!(!calls(&once[..2]) && !calls(&once) && calls(&twice));
        assert!(calls(&[&twice[..], &[other]].concat()), "another call is not this one");
        assert!(!calls(&[&twice[..], std::slice::from_ref(&made)].concat()), "it was made");
        assert!(!calls(&[&twice[..], &[made, Turn::Caller]].concat()), "its turn is over");
        assert!(matches!(next(&script, &twice, |_| false), Next::Say(_)), "the client does not offer it");
    }

    #[test]
    fn a_script_without_answers_repeats_its_greeting() {
        let script = Script { answers: Vec::new(), ..Script::default() };
        let Next::Say(line) = next(&script, &[whole("greeting"), Turn::Caller], |_| false) else {
            panic!("a call")
        };
        assert_eq!(line.text(), script.greeting.text);
    }
}
