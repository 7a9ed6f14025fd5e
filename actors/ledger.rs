//! The ledger: who said what in a call, and how much of it was heard. A new engine is seeded from it.
//!
//! It refuses to know engines and legs; they name turns by part (the agent's audio) or by item (the caller's).

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tandem_media::playout::{Heard, Part};

/// Turns kept in memory, the latest ones: a quarter of an hour of lively talk, in about 30 KB. A new engine needs no
/// more to go on.
pub const TURNS_MAX: usize = 128;

/// Forgotten at a time, so that forgetting is rare.
const FORGOTTEN_AT_ONCE: usize = 16;

/// Usual speech of a model: 170 words a minute at six characters each. Only for an agent that has not yet finished one
/// sentence; from then on its own pace counts.
const MS_PER_CHARACTER: f64 = 60_000.0 / (170.0 * 6.0);

/// So much of the reckoned length is the whole: a sentence's pace differs from the agent's own by a tenth and more.
const VOICED_WHOLE: f64 = 0.9;

/// The ordered record of one call. Turns stand in the order in which they were spoken, not in the order in which
/// their transcripts came. A clone shares the turns: it is made at every turn, for whoever serves the call next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    turns: Vec<Arc<Turn>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    Caller,
    Agent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub who: Speaker,
    /// The provider's name of it, by which a transcript finds its turn.
    pub item: String,
    /// Which part of the engine's audio it was; the caller's turns have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// All of it, as the engine transcribed it. Empty until, or unless, a transcript comes.
    pub text: String,
    /// Milliseconds of the agent's audio that the engine made.
    pub audio_ms: u64,
    /// Whether the engine came to the end of it. Of an agent's turn that is not, the rest is owed.
    pub complete: bool,
    /// How much of it reached the caller.
    pub heard: Share,
    /// Milliseconds since the call began.
    pub began_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// Everything; a caller's turn always.
    All,
    /// Cut off after so many milliseconds of audio.
    Until { ms: u64 },
}

impl Turn {
    /// The words that were heard: all of them, or a share in proportion to the audio, cut at a word's end.
    /// An estimate: no provider aligns its words with its audio.
    pub fn heard_text(&self) -> &str {
        let Share::Until { ms } = self.heard else { return &self.text };
        if ms >= self.audio_ms || self.audio_ms == 0 {
            return if ms == 0 { "" } else { &self.text };
        }
        let characters = self.text.chars().count() as u64 * ms / self.audio_ms;
        let cut = usize::try_from(characters).ok().and_then(|count| self.text.char_indices().nth(count));
        let cut = cut.map_or(self.text.len(), |(at, _)| at);
        self.text[..cut].rfind(char::is_whitespace).map_or("", |end| self.text[..end].trim_end())
    }
}

/// As it was written down, oldest first.
impl FromIterator<Turn> for Ledger {
    fn from_iter<T: IntoIterator<Item = Turn>>(turns: T) -> Self {
        Self { turns: turns.into_iter().map(Arc::new).collect() }
    }
}

impl Ledger {
    /// Oldest first.
    pub fn turns(&self) -> impl DoubleEndedIterator<Item = &Turn> + ExactSizeIterator {
        self.turns.iter().map(Arc::as_ref)
    }

    /// The same, as clones of the ledger share them: a turn that is shared has not changed.
    pub fn shared(&self) -> &[Arc<Turn>] {
        &self.turns
    }

    pub fn last(&self) -> Option<&Turn> {
        self.turns().next_back()
    }

    /// The caller has begun to speak.
    pub fn caller_began(&mut self, item: &str, at_ms: u64) {
        if !self.knows(Speaker::Caller, item) {
            self.push(Turn {
                who: Speaker::Caller,
                item: item.to_owned(),
                part: None,
                text: String::new(),
                audio_ms: 0,
                complete: true,
                heard: Share::All,
                began_ms: at_ms,
            });
        }
    }

    /// The agent has begun to speak: the first audio of `part` is on its way.
    pub fn agent_began(&mut self, item: &str, part: Part, at_ms: u64) {
        self.push(Turn {
            who: Speaker::Agent,
            item: item.to_owned(),
            part: Some(part.0),
            text: String::new(),
            audio_ms: 0,
            complete: false,
            heard: Share::All,
            began_ms: at_ms,
        });
    }

    /// All audio of `part` has come from the engine, or all that will.
    pub fn agent_ended(&mut self, part: Part, audio_ms: u64) {
        if let Some(turn) = self.find(|turn| turn.part == Some(part.0)) {
            turn.audio_ms = audio_ms;
            turn.complete = true;
        }
    }

    /// Whether all audio of `part` has come.
    pub fn is_complete(&self, part: Part) -> bool {
        self.turns().any(|turn| turn.part == Some(part.0) && turn.complete)
    }

    /// The engine failed in mid-sentence, after so much audio of `part`. Its words may have come ahead of their sound:
    /// those that were not voiced were not heard, and are owed.
    pub fn agent_broke(&mut self, part: Part, audio_ms: u64) {
        let ms_per_character = self.ms_per_character();
        let Some(turn) = self.find(|turn| turn.part == Some(part.0)) else { return };
        let whole_ms = turn.text.chars().count() as f64 * ms_per_character;
        if audio_ms as f64 >= whole_ms * VOICED_WHOLE {
            turn.audio_ms = audio_ms; // all words that we know of; whether there were more, we cannot
            turn.complete = whole_ms > 0.0;
        } else {
            turn.audio_ms = rounded(whole_ms);
            turn.heard = Share::Until { ms: audio_ms };
        }
    }

    /// How fast the agent speaks, from what it has said to its end.
    fn ms_per_character(&self) -> f64 {
        let said =
            self.turns().filter(|turn| turn.who == Speaker::Agent && turn.complete && turn.audio_ms > 0);
        let (ms, characters) = said.fold((0, 0), |(ms, characters), turn| {
            (ms + turn.audio_ms, characters + turn.text.chars().count())
        });
        if ms == 0 || characters == 0 { MS_PER_CHARACTER } else { ms as f64 / characters as f64 }
    }

    /// The caller's turn will be told again, by an engine that hears it anew.
    pub fn retract(&mut self, item: &str) {
        self.turns.retain(|turn| turn.who != Speaker::Caller || turn.item != item);
    }

    /// Whether a turn of this item is known.
    pub fn knows(&self, who: Speaker, item: &str) -> bool {
        self.turns().any(|turn| turn.who == who && turn.item == item)
    }

    /// A transcript, whenever it comes. Speech that no turn is known of (a provider that does not tell when the
    /// caller began) becomes a turn of its own.
    pub fn said(&mut self, who: Speaker, item: &str, text: &str, at_ms: u64) {
        if !self.knows(who, item) {
            match who {
                Speaker::Caller => self.caller_began(item, at_ms),
                Speaker::Agent => return, // text without audio was never spoken
            }
        }
        if let Some(turn) = self.find(|turn| turn.who == who && turn.item == item) {
            text.clone_into(&mut turn.text);
        }
    }

    /// Words of the agent's that go out as text, to be spoken elsewhere. They count as unheard until
    /// [`Self::text_heard`].
    pub fn agent_text(&mut self, item: &str, text: &str, at_ms: u64) {
        self.push(Turn {
            who: Speaker::Agent,
            item: item.to_owned(),
            part: None,
            text: text.to_owned(),
            audio_ms: 0,
            complete: true,
            heard: Share::Until { ms: 0 },
            began_ms: at_ms,
        });
    }

    /// Those words were spoken. Whether to their end only the speaker knows; they count as heard whole.
    pub fn text_heard(&mut self, item: &str) {
        if let Some(turn) = self.find(|turn| turn.who == Speaker::Agent && turn.item == item) {
            turn.heard = Share::All;
        }
    }

    /// The caller cut in while the parts of `open` were not heard to their end. Every one behind that being heard was not
    /// heard at all.
    pub fn cut(&mut self, open: RangeInclusive<Part>, heard: Option<Heard>) {
        for turn in &mut self.turns {
            let Some(part) = turn.part.map(Part).filter(|part| open.contains(part)) else { continue };
            Arc::make_mut(turn).heard = match heard {
                Some(heard) if part < heard.part => continue,
                Some(heard) if part == heard.part => Share::Until { ms: heard.ms() },
                Some(_) | None => Share::Until { ms: 0 },
            };
        }
    }

    fn push(&mut self, turn: Turn) {
        if self.turns.len() == TURNS_MAX {
            self.turns.drain(..FORGOTTEN_AT_ONCE);
        }
        self.turns.push(Arc::new(turn));
    }

    /// The latest of its kind, to be changed.
    fn find(&mut self, is_it: impl Fn(&Turn) -> bool) -> Option<&mut Turn> {
        self.turns.iter_mut().rev().find(|turn| is_it(turn)).map(Arc::make_mut)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sentence lasts seconds")]
fn rounded(ms: f64) -> u64 {
    ms as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(ledger: &Ledger) -> Vec<(Speaker, &str)> {
        ledger.turns().map(|turn| (turn.who, turn.heard_text())).collect()
    }

    #[test]
    fn turns_stand_in_the_order_of_speech_however_late_a_transcript_comes() {
        let mut ledger = Ledger::default();
        ledger.caller_began("u1", 100);
        ledger.agent_began("a1", Part(1), 900);
        ledger.said(Speaker::Agent, "a1", "We serve it from seven.", 1_000);
        ledger.said(Speaker::Caller, "u1", "When is breakfast?", 2_000);
        assert_eq!(
            spoken(&ledger),
            [(Speaker::Caller, "When is breakfast?"), (Speaker::Agent, "We serve it from seven.")]
        );
    }

    #[test]
    fn the_ledger_keeps_what_was_heard_and_not_what_was_generated() {
        let mut ledger = Ledger::default();
        ledger.agent_began("a1", Part(1), 0);
        ledger.said(Speaker::Agent, "a1", "one two three four", 0);
        ledger.agent_ended(Part(1), 4_000);
        ledger.agent_began("a2", Part(2), 0);
        ledger.said(Speaker::Agent, "a2", "never heard", 0);
        ledger.agent_ended(Part(2), 1_000);
        ledger.cut(Part(1)..=Part(9), Some(Heard { part: Part(1), samples: 16_000 }));
        assert_eq!(spoken(&ledger), [(Speaker::Agent, "one two"), (Speaker::Agent, "")]);
    }

    #[test]
    fn parts_before_the_one_being_heard_were_heard_whole() {
        let mut ledger = Ledger::default();
        for part in 1..=2 {
            ledger.agent_began(&format!("a{part}"), Part(part), 0);
            ledger.agent_ended(Part(part), 1_000);
        }
        ledger.cut(Part(1)..=Part(9), Some(Heard { part: Part(2), samples: 4_000 }));
        let heard: Vec<_> = ledger.turns().map(|turn| turn.heard).collect();
        assert_eq!(heard, [Share::All, Share::Until { ms: 500 }]);
    }

    #[test]
    fn words_that_are_spoken_elsewhere_count_once_somebody_says_so() {
        let mut ledger = Ledger::default();
        ledger.agent_text("a1", "Good evening.", 0);
        assert_eq!(spoken(&ledger), [(Speaker::Agent, "")]);
        ledger.text_heard("a1");
        ledger.text_heard("a2"); // nobody's
        ledger.cut(Part(0)..=Part(9), None);
        assert_eq!(spoken(&ledger), [(Speaker::Agent, "Good evening.")], "and no cut of audio concerns them");
    }

    #[test]
    fn an_earlier_cut_is_not_undone_by_a_later_one() {
        let mut ledger = Ledger::default();
        ledger.agent_began("a1", Part(1), 0);
        ledger.cut(Part(1)..=Part(9), None);
        ledger.agent_began("a2", Part(2), 0);
        ledger.cut(Part(2)..=Part(9), Some(Heard { part: Part(2), samples: 80 }));
        let heard: Vec<_> = ledger.turns().map(|turn| turn.heard).collect();
        assert_eq!(heard, [Share::Until { ms: 0 }, Share::Until { ms: 10 }]);
    }

    #[test]
    fn words_are_cut_at_a_word_in_any_script() {
        let turn = |text: &str, ms| Turn {
            who: Speaker::Agent,
            item: String::new(),
            part: Some(1),
            text: text.to_owned(),
            audio_ms: 1_000,
            complete: true,
            heard: Share::Until { ms },
            began_ms: 0,
        };
        assert_eq!(turn("grüße für añejo", 700).heard_text(), "grüße für");
        assert_eq!(turn("日本語", 500).heard_text(), "");
        assert_eq!(turn("all of it", 1_000).heard_text(), "all of it");
        assert_eq!(turn("nothing", 0).heard_text(), "");
    }

    #[test]
    fn a_call_that_never_ends_does_not_fill_the_memory() {
        let mut ledger = Ledger::default();
        (0..10_000).for_each(|n| ledger.caller_began(&format!("u{n}"), n));
        assert!(ledger.turns().len() <= TURNS_MAX);
        assert_eq!(ledger.last().unwrap().item, "u9999", "the latest are kept");
    }

    #[test]
    fn what_is_heard_anew_is_retracted_and_what_broke_off_is_owed() {
        let mut ledger = Ledger::default();
        ledger.caller_began("u1", 0);
        ledger.agent_began("a1", Part(1), 0);
        ledger.agent_broke(Part(1), 700);
        ledger.caller_began("u2", 0);
        ledger.retract("u2");
        ledger.retract("a1");
        let kept: Vec<_> =
            ledger.turns().map(|turn| (turn.item.as_str(), turn.complete, turn.audio_ms)).collect();
        assert_eq!(kept, [("u1", true, 0), ("a1", false, 700)]);
    }

    #[test]
    fn words_that_came_ahead_of_their_sound_are_owed_when_the_engine_breaks() {
        let mut ledger = Ledger::default();
        ledger.agent_began("a1", Part(1), 0);
        ledger.said(Speaker::Agent, "a1", "Twenty characters...", 0);
        ledger.agent_ended(Part(1), 1_000); // 50 ms each
        ledger.agent_began("a2", Part(2), 0);
        ledger.said(Speaker::Agent, "a2", "one two three four", 0);
        ledger.agent_broke(Part(2), 600); // of 900
        assert_eq!(spoken(&ledger)[1], (Speaker::Agent, "one two"));
        assert!(!ledger.last().unwrap().complete);
    }

    #[test]
    fn words_that_were_all_voiced_are_not_said_again() {
        let mut ledger = Ledger::default();
        ledger.agent_began("a1", Part(1), 0);
        ledger.said(Speaker::Agent, "a1", "one two three four", 0);
        ledger.agent_broke(Part(1), 1_050); // of 1,059 by the usual pace
        assert_eq!(spoken(&ledger), [(Speaker::Agent, "one two three four")]);
        assert!(ledger.last().unwrap().complete);
    }

    #[test]
    fn a_clone_is_not_changed_by_what_is_said_afterwards() {
        let mut ledger = Ledger::default();
        ledger.caller_began("u1", 0);
        let before = ledger.clone();
        ledger.said(Speaker::Caller, "u1", "Hello", 0);
        assert_eq!(
            (spoken(&before), spoken(&ledger)),
            (vec![(Speaker::Caller, "")], vec![(Speaker::Caller, "Hello")])
        );
    }

    #[test]
    fn it_survives_a_round_trip_through_json() {
        let mut ledger = Ledger::default();
        ledger.caller_began("u1", 5);
        ledger.agent_began("a1", Part(1), 9);
        ledger.cut(Part(1)..=Part(9), Some(Heard { part: Part(1), samples: 80 }));
        let json = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&json).unwrap(), ledger);
    }
}
