//! What can be wrong with a provider, written as `tandem sim --fault SPEC` takes it.
//!
//! Knows only the words; connections, sessions and endpoints act on them.

use std::{fmt, str::FromStr, time::Duration};

pub use self::answers::AnswerFault;
use super::endpoints::Endpoint;
use crate::spec::{self, Spec, SpecError};

mod answers;

/// One thing that goes wrong, every time or only the n-th.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// Which upgrade, or which request to the endpoint, it strikes: counted from 1 and from when the fault
    /// was ordered. Absent means all.
    pub nth: Option<usize>,
}

/// Those without an endpoint are the Realtime API's; their times count from the upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// `refuse`: the connection is closed instead of upgraded.
    Refuse,
    /// `http:STATUS`: the upgrade is answered with this status.
    Http(u16),
    /// `delay:MS`: the upgrade is answered late.
    Delay(Duration),
    /// `session-delay:MS`: `session.created` comes late, and nothing is handled before.
    SessionDelay(Duration),
    /// `stall` or `stall-after:S`: not one more event; the socket stays open and answers pings.
    StallAfter(Duration),
    /// `drop-after:S`: a close frame with code 1011.
    DropAfter(Duration),
    /// `reset-after:S`: a TCP reset.
    ResetAfter(Duration),
    /// `half-open-after:S`: neither reads nor writes any more, and keeps the socket.
    HalfOpenAfter(Duration),
    /// `garbage-after:S`: from then on every event is preceded by something that is none; the session goes
    /// on.
    GarbageAfter(Duration),
    /// `rate-limit`: every response fails with `rate_limit_exceeded` inside `response.done`.
    RateLimit,
    /// `error:CODE` or `error:CODE:S`: one `error` event, at once or after some seconds.
    Error { code: String, after: Duration },
    /// `wrong-format`: formats are agreed to and PCM 24 kHz is used all the same, as `session.updated` then
    /// shows.
    WrongFormat,
    /// `odd-chunks`: audio deltas have odd numbers of bytes, so that 16-bit samples straddle them.
    OddChunks,
    /// `expire-after:S`: the session's maximum duration is this short.
    ExpireAfter(Duration),
    /// `hang-after:S`: once so much of its audio is out, a response makes neither more nor an end; the session
    /// hears and answers on.
    HangAfter(Duration),
    /// `ENDPOINT/FAULT`: an answer over HTTP goes wrong, of one endpoint or, as `any/FAULT`, of all.
    Answer { of: Option<Endpoint>, fault: AnswerFault },
}

const KNOWN: [&str; 17] = [
    "refuse",
    "http:STATUS",
    "delay:MS",
    "session-delay:MS",
    "stall",
    "stall-after:S",
    "drop-after:S",
    "reset-after:S",
    "half-open-after:S",
    "garbage-after:S",
    "rate-limit",
    "error:CODE[:S]",
    "wrong-format",
    "odd-chunks",
    "expire-after:S",
    "hang-after:S",
    "ENDPOINT/FAULT (each may end in @N: only the N-th time)",
];

impl Fault {
    /// Whether it strikes the time of this number.
    pub fn applies_to(&self, time: usize) -> bool {
        self.nth.is_none_or(|only| only == time)
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, nth: None }
    }
}

impl FromStr for Fault {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (kind, nth) = match text.rsplit_once('@') {
            None => (text, None),
            Some((kind, number)) => match number.parse() {
                Ok(number) if number > 0 => (kind, Some(number)),
                _ => return Err(Spec::of(text).needs("a number from 1 after @")),
            },
        };
        Ok(Self { kind: kind.parse()?, nth })
    }
}

impl FromStr for FaultKind {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        if let Some((endpoint, fault)) = text.split_once('/') {
            let of = match endpoint {
                "any" => None,
                name => Some(Endpoint::named(name).ok_or_else(|| Spec::of(text).needs(answers::ENDPOINTS))?),
            };
            return Ok(Self::Answer { of, fault: fault.parse()? });
        }
        let spec = Spec::of(text);
        match spec.name {
            "refuse" => spec.bare(Self::Refuse),
            "http" => match spec.text()?.parse() {
                Ok(status @ 400..=599) => Ok(Self::Http(status)),
                _ => Err(spec.needs("a status from 400 to 599")),
            },
            "delay" => spec.milliseconds().map(Self::Delay),
            "session-delay" => spec.milliseconds().map(Self::SessionDelay),
            "stall" => spec.bare(Self::StallAfter(Duration::ZERO)),
            "stall-after" => spec.seconds().map(Self::StallAfter),
            "drop-after" => spec.seconds().map(Self::DropAfter),
            "reset-after" => spec.seconds().map(Self::ResetAfter),
            "half-open-after" => spec.seconds().map(Self::HalfOpenAfter),
            "garbage-after" => spec.seconds().map(Self::GarbageAfter),
            "rate-limit" => spec.bare(Self::RateLimit),
            "error" => {
                let (code, after) = match spec.text()?.split_once(':') {
                    None => (spec.text()?, Some(Duration::ZERO)),
                    Some((code, after)) => (code, spec::seconds(after)),
                };
                let after = after
                    .ok_or_else(|| spec.needs("an error code and perhaps seconds, such as server_error:5"))?;
                Ok(Self::Error { code: code.to_owned(), after })
            }
            "wrong-format" => spec.bare(Self::WrongFormat),
            "odd-chunks" => spec.bare(Self::OddChunks),
            "expire-after" => spec.seconds().map(Self::ExpireAfter),
            "hang-after" => spec.seconds().map(Self::HangAfter),
            _ => Err(spec.unknown(&KNOWN)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        self.nth.map_or(Ok(()), |number| write!(f, "@{number}"))
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |f: &mut fmt::Formatter<'_>, name, after: Duration| {
            write!(f, "{name}-after:{}", after.as_secs_f64())
        };
        match self {
            Self::Refuse => write!(f, "refuse"),
            Self::Http(status) => write!(f, "http:{status}"),
            Self::Delay(delay) => write!(f, "delay:{}", delay.as_millis()),
            Self::SessionDelay(delay) => write!(f, "session-delay:{}", delay.as_millis()),
            Self::StallAfter(Duration::ZERO) => write!(f, "stall"),
            Self::StallAfter(time) => after(f, "stall", *time),
            Self::DropAfter(time) => after(f, "drop", *time),
            Self::ResetAfter(time) => after(f, "reset", *time),
            Self::HalfOpenAfter(time) => after(f, "half-open", *time),
            Self::GarbageAfter(time) => after(f, "garbage", *time),
            Self::RateLimit => write!(f, "rate-limit"),
            Self::Error { code, after: Duration::ZERO } => write!(f, "error:{code}"),
            Self::Error { code, after } => write!(f, "error:{code}:{}", after.as_secs_f64()),
            Self::WrongFormat => write!(f, "wrong-format"),
            Self::OddChunks => write!(f, "odd-chunks"),
            Self::ExpireAfter(time) => after(f, "expire", *time),
            Self::HangAfter(time) => after(f, "hang", *time),
            Self::Answer { of, fault } => write!(f, "{}/{fault}", of.map_or("any", Endpoint::name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_survives_being_written_and_read() {
        for spec in [
            "refuse",
            "http:401",
            "http:503@2",
            "delay:250",
            "session-delay:1200@1",
            "stall",
            "stall-after:2.5",
            "drop-after:3",
            "reset-after:0.25@3",
            "half-open-after:1",
            "garbage-after:0",
            "rate-limit@1",
            "error:server_error",
            "error:invalid_api_key:1.5",
            "wrong-format",
            "odd-chunks",
            "expire-after:60",
            "hang-after:1.5@2",
            "any/refuse",
            "chat/http:429@2",
            "responses/delay:250",
            "speech/stall",
            "speech/stall:0@1",
            "elevenlabs/break:90",
            "chat/error",
            "transcriptions/garbage",
            "chat/empty",
            "chat/words:10000",
            "models/http:503",
        ] {
            let fault: Fault = spec.parse().unwrap();
            assert_eq!(fault.to_string(), spec);
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }

    #[test]
    fn a_fault_that_makes_no_sense_says_what_would() {
        for (spec, words) in [
            ("explode", "unknown fault \"explode\"; known are refuse, http:STATUS, delay:MS"),
            ("", "unknown fault"),
            ("http:200", "a status from 400 to 599"),
            ("http", "an argument"),
            ("delay:soon", "whole milliseconds"),
            ("drop-after", "seconds, such as 2.5"),
            ("drop-after:-1", "seconds, such as 2.5"),
            ("drop-after:NaN", "seconds, such as 2.5"),
            ("refuse:please", "no argument"),
            ("error:", "an argument"),
            ("error:a:b", "an error code and perhaps seconds"),
            ("refuse@0", "a number from 1"),
            ("refuse@first", "a number from 1"),
            ("chat/explode", "unknown fault \"explode\"; known are refuse, http:STATUS, delay:MS, stall"),
            ("chat/http:200", "a status from 400 to 599"),
            ("chat/stall:101", "a percentage"),
            ("chat/break:half", "a percentage"),
            ("chat/words:many", "a number of words"),
            ("chats/refuse", "an endpoint before the slash: chat, responses"),
            ("/refuse", "an endpoint before the slash"),
        ] {
            let error = spec.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(words), "{spec:?} says {error:?}");
        }
    }

    #[test]
    fn a_numbered_fault_strikes_only_that_time() {
        let second: Fault = "refuse@2".parse().unwrap();
        assert_eq!([1, 2, 3].map(|n| second.applies_to(n)), [false, true, false]);
        assert!(Fault::from(FaultKind::Refuse).applies_to(7));
    }
}
