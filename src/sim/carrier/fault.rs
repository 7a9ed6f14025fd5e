//! What can be wrong with a carrier, written as `tandem call --fault SPEC` takes it.
//!
//! Knows only the words; the webhooks and the stream act on them.

use std::{fmt, str::FromStr, time::Duration};

use crate::spec::{Spec, SpecError};

/// Liberties that programs speaking Media Streams have been seen to take, and accidents of networks. Times
/// count from the stream's `start`; oddities that come once a second begin half a second after it.
///
/// Oddities mark every stream of a call. An accident ([`CarrierFault::is_accident`]) happens to one: the first
/// of a list to the first stream, the second to the second, and the streams after them have none. The call
/// goes on with the `action`, or with what follows the stream, unless it is said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierFault {
    /// `no-stop`: the socket is closed at hang-up without a `stop`.
    NoStop,
    /// `reset-after:S`, an accident: a TCP reset.
    ResetAfter(Duration),
    /// `half-open-after:S`, an accident: neither reads nor writes any more, and keeps the socket and the call.
    HalfOpenAfter(Duration),
    /// `vanish-after:S`, an accident: as half-open, but the carrier knows that the stream is lost.
    VanishAfter(Duration),
    /// `going-away-after:S`, an accident: the socket is closed with 1001 and without a `stop`.
    GoingAwayAfter(Duration),
    /// `close-bare-after:S`, an accident: the socket is closed without a code and without a `stop`.
    CloseBareAfter(Duration),
    /// `close-before-start`, an accident: the socket is closed right after `connected`.
    CloseBeforeStart,
    /// `no-stream`, an accident: the socket is never connected, as if the upgrade had been refused.
    NoStream,
    /// `late-stream:S`: the socket is connected so long after the document asked for it.
    LateStream(Duration),
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
    /// `duplicate-webhook`: the voice webhook is posted twice at once with one idempotency token; the second
    /// answer counts.
    DuplicateWebhook,
    /// `repeat-webhook:S`: every webhook is posted again so long after it was answered, with its token, and
    /// the call does not wait for that.
    RepeatWebhook(Duration),
    /// `lost-answer`: the answer to the voice webhook is lost on its way, so that it is posted again with its
    /// token.
    LostAnswer,
    /// `bad-signature`: everything is signed with another token.
    BadSignature,
    /// `late-status:S`: the final status callback comes so long after the end.
    LateStatus(Duration),
}

const KNOWN: [&str; 28] = [
    "no-stop",
    "reset-after:S",
    "half-open-after:S",
    "vanish-after:S",
    "going-away-after:S",
    "close-bare-after:S",
    "close-before-start",
    "no-stream",
    "late-stream:S",
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
    "repeat-webhook:S",
    "lost-answer",
    "bad-signature",
    "late-status:S",
];

impl CarrierFault {
    /// Whether it happens to one stream instead of marking all of them.
    pub fn is_accident(&self) -> bool {
        matches!(self, Self::CloseBeforeStart | Self::NoStream) || self.strikes_after().is_some()
    }

    /// When an accident strikes a stream that runs.
    pub(crate) fn strikes_after(&self) -> Option<Duration> {
        match self {
            Self::ResetAfter(after)
            | Self::HalfOpenAfter(after)
            | Self::VanishAfter(after)
            | Self::GoingAwayAfter(after)
            | Self::CloseBareAfter(after) => Some(*after),
            _ => None,
        }
    }
}

impl FromStr for CarrierFault {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let spec = Spec::of(text);
        match spec.name {
            "no-stop" => spec.bare(Self::NoStop),
            "reset-after" => spec.seconds().map(Self::ResetAfter),
            "half-open-after" => spec.seconds().map(Self::HalfOpenAfter),
            "vanish-after" => spec.seconds().map(Self::VanishAfter),
            "going-away-after" => spec.seconds().map(Self::GoingAwayAfter),
            "close-bare-after" => spec.seconds().map(Self::CloseBareAfter),
            "close-before-start" => spec.bare(Self::CloseBeforeStart),
            "no-stream" => spec.bare(Self::NoStream),
            "late-stream" => spec.seconds().map(Self::LateStream),
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
            "repeat-webhook" => spec.seconds().map(Self::RepeatWebhook),
            "lost-answer" => spec.bare(Self::LostAnswer),
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
            Self::ResetAfter(time) => return timed(f, "reset-after", time),
            Self::HalfOpenAfter(time) => return timed(f, "half-open-after", time),
            Self::VanishAfter(time) => return timed(f, "vanish-after", time),
            Self::GoingAwayAfter(time) => return timed(f, "going-away-after", time),
            Self::CloseBareAfter(time) => return timed(f, "close-bare-after", time),
            Self::CloseBeforeStart => "close-before-start",
            Self::NoStream => "no-stream",
            Self::LateStream(time) => return timed(f, "late-stream", time),
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
            Self::RepeatWebhook(time) => return timed(f, "repeat-webhook", time),
            Self::LostAnswer => "lost-answer",
            Self::BadSignature => "bad-signature",
            Self::LateStatus(time) => return timed(f, "late-status", time),
        };
        write!(f, "{name}")
    }
}

fn timed(f: &mut fmt::Formatter<'_>, name: &str, time: &Duration) -> fmt::Result {
    write!(f, "{name}:{}", time.as_secs_f64())
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

    #[test]
    fn accidents_are_what_costs_a_call_its_stream() {
        let of = |spec: &str| spec.parse::<CarrierFault>().unwrap();
        let accidents =
            ["reset-after:1", "vanish-after:1", "close-bare-after:1", "close-before-start", "no-stream"];
        assert!(accidents.iter().all(|spec| of(spec).is_accident()));
        assert!(
            ["no-stop", "late-stream:1", "garbage", "late-status:1"]
                .iter()
                .all(|spec| !of(spec).is_accident())
        );
        assert_eq!(of("reset-after:1.5").strikes_after(), Some(Duration::from_millis(1_500)));
        assert_eq!(of("no-stream").strikes_after(), None);
    }
}
