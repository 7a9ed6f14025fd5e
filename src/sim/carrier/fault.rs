//! What can be wrong with a carrier, written as `tandem call --fault SPEC` takes it.
//!
//! Knows only the words; the webhooks and the stream act on them.

use std::{fmt, str::FromStr, time::Duration};

use crate::spec::{Spec, SpecError};

/// Liberties that programs speaking Media Streams have been seen to take, and accidents of networks. Times
/// count from the stream's `start`; oddities that come once a second begin half a second after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierFault {
    /// `no-stop`: the socket is closed at hang-up without a `stop`.
    NoStop,
    /// `reset-after:S`: a TCP reset; the call goes on with what follows the stream.
    ResetAfter(Duration),
    /// `half-open-after:S`: neither reads nor writes any more, and keeps the socket.
    HalfOpenAfter(Duration),
    /// `close-before-start`: the socket is closed right after `connected`.
    CloseBeforeStart,
    /// `media-before-start`: ten frames come before `start`.
    MediaBeforeStart,
    /// `second-start`: `start` comes again after half a second, with another stream id.
    SecondStart,
    /// `bare-start`: `start` without anything optional; ids inside only.
    BareStart,
    /// `garbage`: once a second, something that is no JSON or no message.
    Garbage,
    /// `unknown-events`: once a second, an event nobody knows.
    UnknownEvents,
    /// `binary`: once a second, a binary frame.
    Binary,
    /// `big-message`: one message of a megabyte, after half a second.
    BigMessage,
    /// `wrong-sid`: once a second, media of another stream.
    WrongSid,
    /// `bad-base64`: once a second, media whose payload is none.
    BadBase64,
    /// `frame-ms:N`: frames of N ms instead of 20.
    FrameMs(u16),
    /// `no-timestamps`: media without `timestamp`, `chunk`, `track` and `sequenceNumber`.
    NoTimestamps,
    /// `numbers`: counters and times as JSON numbers instead of strings.
    Numbers,
    /// `no-marks`: marks are never echoed.
    NoMarks,
    /// `marks-at-once`: marks are echoed when they arrive, whatever is still to be played.
    MarksAtOnce,
    /// `duplicate-webhook`: the voice webhook is posted twice with one idempotency token; the second answer
    /// counts.
    DuplicateWebhook,
    /// `bad-signature`: everything is signed with another token.
    BadSignature,
    /// `late-status:S`: the final status callback comes so long after the end.
    LateStatus(Duration),
}

const KNOWN: [&str; 21] = [
    "no-stop",
    "reset-after:S",
    "half-open-after:S",
    "close-before-start",
    "media-before-start",
    "second-start",
    "bare-start",
    "garbage",
    "unknown-events",
    "binary",
    "big-message",
    "wrong-sid",
    "bad-base64",
    "frame-ms:N",
    "no-timestamps",
    "numbers",
    "no-marks",
    "marks-at-once",
    "duplicate-webhook",
    "bad-signature",
    "late-status:S",
];

impl FromStr for CarrierFault {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let spec = Spec::of(text);
        match spec.name {
            "no-stop" => spec.bare(Self::NoStop),
            "reset-after" => spec.seconds().map(Self::ResetAfter),
            "half-open-after" => spec.seconds().map(Self::HalfOpenAfter),
            "close-before-start" => spec.bare(Self::CloseBeforeStart),
            "media-before-start" => spec.bare(Self::MediaBeforeStart),
            "second-start" => spec.bare(Self::SecondStart),
            "bare-start" => spec.bare(Self::BareStart),
            "garbage" => spec.bare(Self::Garbage),
            "unknown-events" => spec.bare(Self::UnknownEvents),
            "binary" => spec.bare(Self::Binary),
            "big-message" => spec.bare(Self::BigMessage),
            "wrong-sid" => spec.bare(Self::WrongSid),
            "bad-base64" => spec.bare(Self::BadBase64),
            "frame-ms" => match spec.text()?.parse() {
                Ok(milliseconds @ 1..=1_000) => Ok(Self::FrameMs(milliseconds)),
                _ => Err(spec.needs("whole milliseconds from 1 to 1000")),
            },
            "no-timestamps" => spec.bare(Self::NoTimestamps),
            "numbers" => spec.bare(Self::Numbers),
            "no-marks" => spec.bare(Self::NoMarks),
            "marks-at-once" => spec.bare(Self::MarksAtOnce),
            "duplicate-webhook" => spec.bare(Self::DuplicateWebhook),
            "bad-signature" => spec.bare(Self::BadSignature),
            "late-status" => spec.seconds().map(Self::LateStatus),
            _ => Err(spec.unknown(&KNOWN)),
        }
    }
}

impl fmt::Display for CarrierFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::NoStop => "no-stop",
            Self::ResetAfter(time) => return write!(f, "reset-after:{}", time.as_secs_f64()),
            Self::HalfOpenAfter(time) => return write!(f, "half-open-after:{}", time.as_secs_f64()),
            Self::CloseBeforeStart => "close-before-start",
            Self::MediaBeforeStart => "media-before-start",
            Self::SecondStart => "second-start",
            Self::BareStart => "bare-start",
            Self::Garbage => "garbage",
            Self::UnknownEvents => "unknown-events",
            Self::Binary => "binary",
            Self::BigMessage => "big-message",
            Self::WrongSid => "wrong-sid",
            Self::BadBase64 => "bad-base64",
            Self::FrameMs(milliseconds) => return write!(f, "frame-ms:{milliseconds}"),
            Self::NoTimestamps => "no-timestamps",
            Self::Numbers => "numbers",
            Self::NoMarks => "no-marks",
            Self::MarksAtOnce => "marks-at-once",
            Self::DuplicateWebhook => "duplicate-webhook",
            Self::BadSignature => "bad-signature",
            Self::LateStatus(time) => return write!(f, "late-status:{}", time.as_secs_f64()),
        };
        write!(f, "{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_survives_being_written_and_read() {
        for known in KNOWN {
            let spec = known.replace(":S", ":2.5").replace(":N", ":30");
            let fault: CarrierFault = spec.parse().unwrap();
            assert_eq!(fault.to_string(), spec);
        }
    }

    #[test]
    fn a_fault_that_makes_no_sense_says_what_would() {
        for (spec, words) in [
            ("explode", "known are no-stop, reset-after:S, half-open-after:S"),
            ("no-stop:1", "no argument"),
            ("reset-after:soon", "seconds, such as 2.5"),
            ("frame-ms:0", "whole milliseconds from 1 to 1000"),
            ("frame-ms", "an argument"),
        ] {
            let error = spec.parse::<CarrierFault>().unwrap_err().to_string();
            assert!(error.contains(words), "{spec:?} says {error:?}");
        }
    }
}
