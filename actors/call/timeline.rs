//! The timeline of a call: what happened when, and where the time of each turn went.
//!
//! Pure data. It refuses to judge; budgets and blame belong to those who read it.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::fallback::ladder::Rung;
use crate::mode::Mode;

/// Events kept per call, the latest ones. A turn makes about eight; 512 hold 64 turns, i.e. some five minutes of talk, in
/// 16 KB of the 100 KB that a call may take. Earlier ones are counted, not kept.
const EVENTS_MAX: usize = 512;

/// Forgotten at a time, so that forgetting is rare.
const FORGOTTEN_AT_ONCE: usize = 32;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Timeline {
    events: Vec<Event>,
    #[serde(skip_serializing_if = "is_zero")]
    forgotten: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Microseconds since the call began; written as milliseconds.
    #[serde(rename = "at_ms", serialize_with = "milliseconds")]
    at_us: u64,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    EngineDialled,
    EngineReady,
    CallerSpeaking,
    CallerSilent,
    ResponseBegan,
    /// The first audio of a part came from the engine.
    AgentBegan {
        part: u32,
    },
    /// It went out to the carrier.
    FirstOnWire {
        part: u32,
    },
    PlayedOut {
        part: u32,
    },
    /// The caller cut in; of the part being played so much was heard.
    Interrupted {
        part: u32,
        heard_ms: u64,
    },
    /// What the provider was told about it.
    Truncated {
        part: u32,
        audio_end_ms: u64,
    },
    Digit {
        digit: char,
    },
    ChildDied(Box<Death>),
    EngineFailed {
        why: Box<str>,
    },
    EngineReplaced,
    /// Another kind of engine serves the call from here on.
    ModeSwitched {
        from: Mode,
        to: Rung,
        why: Box<str>,
    },
    /// So much of the caller's audio was put back, to be heard by the new engine.
    Replayed {
        ms: u64,
    },
    /// The caller heard the sound that says somebody is there.
    Bridged,
    /// A second session took over in a pause, before the first one's limit.
    EngineRenewed,
    /// The caller's socket is there.
    LegArrived,
    /// It is gone; the caller may come back over another.
    LegLost {
        why: Box<str>,
    },
    TranscoderReplaced,
    RecorderReplaced,
    FarewellBegan {
        reason: &'static str,
    },
    Ended {
        reason: &'static str,
    },
}

/// A child that died without a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Death {
    pub role: &'static str,
    pub why: String,
}

/// Where the time of one answer went. Durations since the call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnTiming {
    pub part: u32,
    /// The provider told us that the caller had fallen silent. Absent for a greeting.
    pub caller_silent: Option<Duration>,
    pub response_began: Option<Duration>,
    pub first_audio: Duration,
    pub on_wire: Option<Duration>,
}

impl Event {
    /// Since the call began.
    pub fn at(&self) -> Duration {
        Duration::from_micros(self.at_us)
    }
}

impl Timeline {
    pub fn note(&mut self, at: Duration, what: What) {
        if self.events.len() == EVENTS_MAX {
            self.events.drain(..FORGOTTEN_AT_ONCE);
            self.forgotten += FORGOTTEN_AT_ONCE as u64;
        }
        self.events.push(Event { at_us: u64::try_from(at.as_micros()).unwrap_or(u64::MAX), what });
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// One entry for each part the agent spoke, in order.
    pub fn turns(&self) -> Vec<TurnTiming> {
        let mut turns: Vec<TurnTiming> = Vec::new();
        let (mut silent, mut began) = (None, None);
        for event in &self.events {
            let at = event.at();
            match &event.what {
                What::CallerSilent => silent = Some(at),
                What::ResponseBegan => began = Some(at),
                What::AgentBegan { part } => turns.push(TurnTiming {
                    part: *part,
                    caller_silent: silent.take(),
                    response_began: began.take(),
                    first_audio: at,
                    on_wire: None,
                }),
                What::FirstOnWire { part } => {
                    if let Some(turn) = turns.iter_mut().rev().find(|turn| turn.part == *part) {
                        turn.on_wire = Some(at);
                    }
                }
                _ => {}
            }
        }
        turns
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn milliseconds<S: Serializer>(at_us: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(*at_us as f64 / 1e3)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn every_answer_tells_where_its_time_went() {
        let mut timeline = Timeline::default();
        timeline.note(ms(10), What::ResponseBegan);
        timeline.note(ms(20), What::AgentBegan { part: 1 });
        timeline.note(ms(21), What::FirstOnWire { part: 1 });
        timeline.note(ms(500), What::CallerSilent);
        timeline.note(ms(510), What::ResponseBegan);
        timeline.note(ms(800), What::AgentBegan { part: 2 });
        let greeting = TurnTiming {
            part: 1,
            caller_silent: None,
            response_began: Some(ms(10)),
            first_audio: ms(20),
            on_wire: Some(ms(21)),
        };
        let answer = TurnTiming {
            part: 2,
            caller_silent: Some(ms(500)),
            response_began: Some(ms(510)),
            first_audio: ms(800),
            on_wire: None,
        };
        assert_eq!(timeline.turns(), [greeting, answer]);
    }

    #[test]
    fn a_call_that_never_ends_does_not_fill_the_memory() {
        let mut timeline = Timeline::default();
        (0..10_000).for_each(|n| timeline.note(ms(n), What::CallerSpeaking));
        assert!(timeline.events().len() <= EVENTS_MAX);
        assert_eq!(timeline.events().len() as u64 + timeline.forgotten, 10_000);
        assert_eq!(timeline.events().last().map(Event::at), Some(ms(9_999)), "the latest are kept");
    }

    #[test]
    fn its_bound_is_what_its_comment_says() {
        assert!(EVENTS_MAX * size_of::<Event>() <= 16 * 1_024, "{}", size_of::<Event>());
    }

    #[test]
    fn it_is_written_with_fractions_of_milliseconds() {
        let event = Event { at_us: 1_234, what: What::AgentBegan { part: 3 } };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(json, r#"{"at_ms":1.234,"event":"agent_began","part":3}"#);
    }
}
