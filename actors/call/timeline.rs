//! The timeline of a call: what happened when, and where the time of each turn went.
//!
//! Pure data. It refuses to judge; budgets and blame belong to those who read it.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Events kept per call. A turn makes about eight; 1,024 hold the first 128 turns, i.e. some ten minutes of talk, in
/// 40 KB of the 100 KB that a call may take. What comes after is counted, not kept.
const EVENTS_MAX: usize = 1_024;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Timeline {
    events: Vec<Event>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Milliseconds since the call began.
    #[serde(rename = "at_ms", serialize_with = "milliseconds")]
    pub at: Duration,
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
    ChildDied {
        role: &'static str,
        why: Box<str>,
    },
    EngineFailed {
        why: Box<str>,
    },
    EngineReplaced,
    TranscoderReplaced,
    FarewellBegan {
        reason: &'static str,
    },
    Ended {
        reason: &'static str,
    },
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

impl Timeline {
    pub fn note(&mut self, at: Duration, what: What) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(Event { at, what });
        } else {
            self.dropped += 1;
        }
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// One entry for each part the agent spoke, in order.
    pub fn turns(&self) -> Vec<TurnTiming> {
        let mut turns: Vec<TurnTiming> = Vec::new();
        let (mut silent, mut began) = (None, None);
        for Event { at, what } in &self.events {
            match what {
                What::CallerSilent => silent = Some(*at),
                What::ResponseBegan => began = Some(*at),
                What::AgentBegan { part } => turns.push(TurnTiming {
                    part: *part,
                    caller_silent: silent.take(),
                    response_began: began.take(),
                    first_audio: *at,
                    on_wire: None,
                }),
                What::FirstOnWire { part } => {
                    if let Some(turn) = turns.iter_mut().rev().find(|turn| turn.part == *part) {
                        turn.on_wire = Some(*at);
                    }
                }
                _ => {}
            }
        }
        turns
    }
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
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
        assert_eq!((timeline.events().len(), timeline.dropped), (EVENTS_MAX, 10_000 - EVENTS_MAX as u64));
    }

    #[test]
    fn its_bound_is_what_its_comment_says() {
        assert!(EVENTS_MAX * size_of::<Event>() <= 56 * 1_024, "{}", size_of::<Event>());
    }

    #[test]
    fn it_is_written_with_fractions_of_milliseconds() {
        let event = Event { at: Duration::from_micros(1_234), what: What::AgentBegan { part: 3 } };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(json, r#"{"at_ms":1.234,"event":"agent_began","part":3}"#);
    }
}
