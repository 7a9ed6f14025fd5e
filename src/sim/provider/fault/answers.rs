//! What can be wrong with one answer over HTTP, in the words of the command line.
//!
//! Knows no endpoint's format.

use std::{fmt, str::FromStr, time::Duration};

use crate::spec::{Spec, SpecError};

/// A percentage says after how much of the answer it goes wrong; without one it is the middle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerFault {
    /// `refuse`: the request is read, and the connection closed.
    Refuse,
    /// `http:STATUS`: answered with this status, in the endpoint's error shape.
    Http(u16),
    /// `delay:MS`: the first byte comes later by this much.
    Delay(Duration),
    /// `stall[:PERCENT]`: then nothing more; the connection stays.
    Stall(u8),
    /// `break[:PERCENT]`: then the connection is closed.
    Break(u8),
    /// `error[:PERCENT]`: then an error object, as far as the answer's form has a place for one, and no end.
    Error(u8),
    /// `garbage[:PERCENT]`: from then on the answer is a web page.
    Garbage(u8),
    /// `empty`: an answer of nothing, which is none of an error.
    Empty,
    /// `words:N`: an answer of so many words, of an endpoint that answers in words.
    Words(usize),
}

pub(super) const ENDPOINTS: &str =
    "an endpoint before the slash: chat, responses, speech, transcriptions, elevenlabs, models, any";

const KNOWN: [&str; 9] = [
    "refuse",
    "http:STATUS",
    "delay:MS",
    "stall[:PERCENT]",
    "break[:PERCENT]",
    "error[:PERCENT]",
    "garbage[:PERCENT]",
    "empty",
    "words:N",
];

const MIDDLE: u8 = 50;

impl FromStr for AnswerFault {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let spec = Spec::of(text);
        let percent = || match (spec.bare(MIDDLE), spec.text().map(str::parse)) {
            (Ok(middle), _) => Ok(middle),
            (_, Ok(Ok(percent @ 0..=100))) => Ok(percent),
            _ => Err(spec.needs("a percentage from 0 to 100, or none")),
        };
        match spec.name {
            "refuse" => spec.bare(Self::Refuse),
            "http" => match spec.text()?.parse() {
                Ok(status @ 400..=599) => Ok(Self::Http(status)),
                _ => Err(spec.needs("a status from 400 to 599")),
            },
            "delay" => spec.milliseconds().map(Self::Delay),
            "stall" => percent().map(Self::Stall),
            "break" => percent().map(Self::Break),
            "error" => percent().map(Self::Error),
            "garbage" => percent().map(Self::Garbage),
            "empty" => spec.bare(Self::Empty),
            "words" => match spec.text()?.parse() {
                Ok(words) => Ok(Self::Words(words)),
                Err(_) => Err(spec.needs("a number of words, such as 10000")),
            },
            _ => Err(spec.unknown(&KNOWN)),
        }
    }
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |f: &mut fmt::Formatter<'_>, name, percent: u8| match percent {
            MIDDLE => write!(f, "{name}"),
            percent => write!(f, "{name}:{percent}"),
        };
        match self {
            Self::Refuse => write!(f, "refuse"),
            Self::Http(status) => write!(f, "http:{status}"),
            Self::Delay(delay) => write!(f, "delay:{}", delay.as_millis()),
            Self::Stall(percent) => at(f, "stall", *percent),
            Self::Break(percent) => at(f, "break", *percent),
            Self::Error(percent) => at(f, "error", *percent),
            Self::Garbage(percent) => at(f, "garbage", *percent),
            Self::Empty => write!(f, "empty"),
            Self::Words(words) => write!(f, "words:{words}"),
        }
    }
}
