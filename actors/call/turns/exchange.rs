//! What the carrier asks a traditional call, and what it is told: each webhook is a question, each document an answer.
//!
//! It refuses to know how either is written.

use serde::{Deserialize, Serialize};

use super::outside::ClipId;

/// Why the carrier asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// The call begins here, or comes here from a media mode.
    Began,
    /// The caller has spoken. The recogniser's confidence, 0 to 1, may be missing.
    Speech { text: String, confidence_opt: Option<f32> },
    /// The caller has pressed keys.
    Digits(String),
    /// The caller has neither spoken nor pressed a key.
    Silence,
    /// The carrier was told to come back for the answer: `number` as in [`Answer::Collect`].
    Collect { number: u32 },
}

/// What the carrier is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Say this and listen, also meanwhile.
    Listen { say: Utterance },
    /// Say this, then ask again. No two of one call have the same number.
    Collect { say: Utterance, number: u32 },
    /// Say this, then let this number (E.164) talk to the caller. Our part of the call is over.
    Dial { say: Utterance, number: String },
    /// Say this and hang up.
    HangUp { say: Utterance },
    /// A media mode takes over, with the conversation so far.
    Connect,
}

/// Something to say; without words, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Utterance {
    pub words: String,
    /// The same as sound, if there is one: then it is played instead.
    pub clip_opt: Option<ClipId>,
}

impl Utterance {
    pub fn of(words: &str) -> Self {
        Self { words: words.to_owned(), clip_opt: None }
    }
}

impl Answer {
    pub fn utterance_mut(&mut self) -> Option<&mut Utterance> {
        match self {
            Self::Listen { say }
            | Self::Collect { say, .. }
            | Self::Dial { say, .. }
            | Self::HangUp { say } => Some(say),
            Self::Connect => None,
        }
    }
}
