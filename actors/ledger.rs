//! The ledger: who said what in a call, and how much of it was heard. A new engine is seeded from it.
//!
//! It refuses to know engines and legs; they name turns by part (the agent's audio) or by item (the caller's).

use serde::{Deserialize, Serialize};
use tandem_media::playout::{Heard, Part};

/// Turns kept in memory, the latest ones: a quarter of an hour of lively talk, in about 30 KB. A new engine needs no
/// more to go on.
const TURNS_MAX: usize = 128;

/// Forgotten at a time, so that forgetting is rare.
const FORGOTTEN_AT_ONCE: usize = 16;

/// The ordered record of one call. Turns stand in the order in which they were spoken, not in the order in which
/// their transcripts came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    turns: Vec<Turn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Ledger {
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// The caller has begun to speak.
    pub fn caller_began(&mut self, item: &str, at_ms: u64) {
        if self.find(Speaker::Caller, item).is_none() {
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
        if let Some(turn) = self.turns.iter_mut().rev().find(|turn| turn.part == Some(part.0)) {
            turn.audio_ms = audio_ms;
            turn.complete = true;
        }
    }

    /// A transcript, whenever it comes. Speech that no turn is known of (a provider that does not tell when the
    /// caller began) becomes a turn of its own.
    pub fn said(&mut self, who: Speaker, item: &str, text: &str, at_ms: u64) {
        if self.find(who, item).is_none() {
            match who {
                Speaker::Caller => self.caller_began(item, at_ms),
                Speaker::Agent => return, // text without audio was never spoken
            }
        }
        if let Some(turn) = self.find(who, item) {
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
        if let Some(turn) = self.find(Speaker::Agent, item) {
            turn.heard = Share::All;
        }
    }

    /// The caller cut in. Every part behind the one being heard was not heard at all.
    pub fn cut(&mut self, first_open: Part, heard: Option<Heard>) {
        for turn in &mut self.turns {
            let Some(part) = turn.part.map(Part).filter(|part| *part >= first_open) else { continue };
            turn.heard = match heard {
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
        self.turns.push(turn);
    }

    fn find(&mut self, who: Speaker, item: &str) -> Option<&mut Turn> {
        self.turns.iter_mut().rev().find(|turn| turn.who == who && turn.item == item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(ledger: &Ledger) -> Vec<(Speaker, &str)> {
        ledger.turns().iter().map(|turn| (turn.who, turn.heard_text())).collect()
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
        ledger.cut(Part(1), Some(Heard { part: Part(1), samples: 16_000 }));
        assert_eq!(spoken(&ledger), [(Speaker::Agent, "one two"), (Speaker::Agent, "")]);
    }

    #[test]
    fn parts_before_the_one_being_heard_were_heard_whole() {
        let mut ledger = Ledger::default();
        for part in 1..=2 {
            ledger.agent_began(&format!("a{part}"), Part(part), 0);
            ledger.agent_ended(Part(part), 1_000);
        }
        ledger.cut(Part(1), Some(Heard { part: Part(2), samples: 4_000 }));
        let heard: Vec<_> = ledger.turns().iter().map(|turn| turn.heard).collect();
        assert_eq!(heard, [Share::All, Share::Until { ms: 500 }]);
    }

    #[test]
    fn words_that_are_spoken_elsewhere_count_once_somebody_says_so() {
        let mut ledger = Ledger::default();
        ledger.agent_text("a1", "Good evening.", 0);
        assert_eq!(spoken(&ledger), [(Speaker::Agent, "")]);
        ledger.text_heard("a1");
        ledger.text_heard("a2"); // nobody's
        ledger.cut(Part(0), None);
        assert_eq!(spoken(&ledger), [(Speaker::Agent, "Good evening.")], "and no cut of audio concerns them");
    }

    #[test]
    fn an_earlier_cut_is_not_undone_by_a_later_one() {
        let mut ledger = Ledger::default();
        ledger.agent_began("a1", Part(1), 0);
        ledger.cut(Part(1), None);
        ledger.agent_began("a2", Part(2), 0);
        ledger.cut(Part(2), Some(Heard { part: Part(2), samples: 80 }));
        let heard: Vec<_> = ledger.turns().iter().map(|turn| turn.heard).collect();
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
        assert_eq!(ledger.turns().last().unwrap().item, "u9999", "the latest are kept");
    }

    #[test]
    fn it_survives_a_round_trip_through_json() {
        let mut ledger = Ledger::default();
        ledger.caller_began("u1", 5);
        ledger.agent_began("a1", Part(1), 9);
        ledger.cut(Part(1), Some(Heard { part: Part(1), samples: 80 }));
        let json = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&json).unwrap(), ledger);
    }
}
