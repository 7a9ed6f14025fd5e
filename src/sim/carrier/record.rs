//! What is known of a call when it is over: everything that happened, what was heard of it, and how long
//! nothing was.
//!
//! Knows nothing of how a call works.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use super::sound::{self, TICK_SAMPLES};
use crate::{duplex::SocketEnd, speech};

/// A carrier's error or warning: its number in Twilio's list, and words.
pub type Warning = (u32, String);

/// Something happened; [`Progress::news`] is absent when only time passed.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Since the call began.
    pub at: Duration,
    pub news: Option<&'a CarrierEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarrierEvent {
    WebhookPosted {
        url: String,
    },
    WebhookAnswered {
        url: String,
        status: u16,
    },
    /// A fault's second request with the same token was answered; status 0 means that it was not.
    WebhookRepeated {
        url: String,
        status: u16,
    },
    /// A document could not be had or performed, and the fallback is asked.
    FellBack {
        code: u32,
        text: String,
    },
    /// A verb of a document begins; text is what it is about.
    Verb {
        name: &'static str,
        text: String,
    },
    /// The prompts of a `<Gather>` are over, or were interrupted, and it is the caller's turn.
    Listening,
    Gathered(GatherInput),
    /// It rings at the other end of a `<Dial>`.
    Ringing {
        to: String,
    },
    /// Somebody took the call, and talks with the caller.
    Bridged {
        to: String,
    },
    DialEnded {
        status: &'static str,
    },
    StreamConnecting {
        url: String,
    },
    StreamFailed {
        code: u32,
        text: String,
    },
    Connected,
    StartSent {
        stream_sid: String,
    },
    /// The caller begins to hear something, after silence.
    AudioBegan,
    /// The playback queue ran dry, or a prompt is over.
    AudioEnded,
    MarkEchoed {
        name: String,
    },
    Cleared {
        dropped_ms: u64,
    },
    DtmfSent {
        digit: char,
    },
    StopSent,
    SocketEnded(SocketEnd),
    /// A status callback was answered; status 0 means that it was not.
    StatusPosted {
        event: String,
        status: u16,
    },
    HungUp,
}

/// A `clear` that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clear {
    /// Since the call began.
    pub at: Duration,
    /// Audio of this stream played so far, with the 20 ms that sounded when the clear came.
    pub played_ms_total: u64,
    pub dropped_ms: u64,
}

/// A request for a document or for audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRecord {
    pub at: Duration,
    pub url: String,
    /// Absent when there was no answer.
    pub status: Option<u16>,
    /// From asking to the end of the answer, redirects and retries included.
    pub took: Duration,
}

/// A document that was performed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRecord {
    pub at: Duration,
    pub url: String,
    /// What the caller heard of it, in order.
    pub heard: Vec<Heard>,
}

/// A stretch in which the caller heard one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub at: Duration,
    pub length: Duration,
    pub what: Sound,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sound {
    /// Words read aloud: all of them, even if he did not hear the end.
    Say {
        text: String,
    },
    Play {
        url: String,
    },
    /// Key tones of a `<Play>`.
    Keys {
        digits: String,
    },
    /// A media stream, silent or not.
    Stream {
        stream_sid: String,
    },
    /// Ringing or music while somebody is fetched, and that person.
    Dial {
        to: String,
    },
}

/// What a `<Gather>` got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatherInput {
    Nothing,
    Digits(String),
    /// Confidence as it was posted, such as `0.92`.
    Speech {
        text: String,
        confidence: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatherRecord {
    pub at: Duration,
    /// When the prompts were over, or were interrupted.
    pub listened_at: Option<Duration>,
    pub was_interrupted: bool,
    pub ended_at: Duration,
    /// Absent when the call ended first.
    pub input: Option<GatherInput>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialRecord {
    pub at: Duration,
    pub to: String,
    /// `DialCallStatus`; of an `<Enqueue>`, its `QueueResult`. Absent when the call ended first.
    pub status: Option<&'static str>,
    /// How long the caller talked with somebody.
    pub talked: Duration,
}

/// Everything the carrier knows of a call that is over. Times are since the call began, unless they are said
/// to be on the caller's clock.
#[derive(Debug, Clone)]
pub struct CallRecord {
    pub call_sid: String,
    /// One for every stream that was started.
    pub stream_sids: Vec<String>,
    /// When the caller's clock started: with the first verb that he could hear something of, a `<Connect>`
    /// when its stream was open.
    pub clock_started: Option<Duration>,
    /// When the first stream began. Where nothing was heard before it, the caller's clock started then too.
    pub stream_started: Option<Duration>,
    /// What the caller heard on his clock, 8 kHz, silence where nothing played.
    pub heard: Vec<i16>,
    /// What he said on the same clock, as long as `heard`.
    pub said: Vec<i16>,
    pub events: Vec<(Duration, CarrierEvent)>,
    pub webhooks: Vec<WebhookRecord>,
    pub documents: Vec<DocumentRecord>,
    pub gathers: Vec<GatherRecord>,
    pub dials: Vec<DialRecord>,
    pub cleared: Vec<Clear>,
    /// Audio the switch sent, and how much of it was played, in all streams.
    pub received_ms: u64,
    pub played_ms: u64,
    pub end: CallEnd,
    pub warnings: Vec<Warning>,
    pub duration: Duration,
}

impl CallRecord {
    /// Marks echoed, in order.
    pub fn marks(&self) -> impl Iterator<Item = (Duration, &str)> {
        self.events.iter().filter_map(|(at, event)| match event {
            CarrierEvent::MarkEchoed { name } => Some((*at, name.as_str())),
            _ => None,
        })
    }

    /// The different codes of its warnings.
    pub fn warning_codes(&self) -> BTreeSet<u32> {
        self.warnings.iter().map(|(code, _)| *code).collect()
    }

    /// A time since the call began, on the caller's clock; `None` if it did not run yet.
    pub fn on_callers_clock(&self, at: Duration) -> Option<Duration> {
        at.checked_sub(self.clock_started?)
    }

    /// Stretches of at least `min`, on the caller's clock, in which he heard nothing and said nothing. Both
    /// are judged in steps of 20 ms, by level: silence that was sent or played is silence.
    pub fn silences(&self, min: Duration) -> Vec<Range<Duration>> {
        let ticks = self.heard.chunks(TICK_SAMPLES).zip(self.said.chunks(TICK_SAMPLES));
        let sounding = ticks.map(|(heard, said)| sound::is_sound(heard) || sound::is_sound(said));
        let (mut silences, mut from) = (Vec::new(), 0);
        for (n, is_sounding) in sounding.chain([true]).enumerate() {
            if !is_sounding {
                continue;
            }
            let to = (n * TICK_SAMPLES).min(self.heard.len());
            if from < to && speech::duration_of(to - from) >= min {
                silences.push(speech::duration_of(from)..speech::duration_of(to));
            }
            from = to + TICK_SAMPLES;
        }
        silences
    }

    /// From `after` on the caller's clock until he next hears something; `None` if he never does again.
    pub fn heard_gap_after(&self, after: Duration) -> Option<Duration> {
        let ticks = self.heard.chunks(TICK_SAMPLES).enumerate();
        ticks
            .map(|(n, tick)| (n * TICK_SAMPLES, tick))
            .filter(|(from, tick)| speech::duration_of(from + tick.len()) > after)
            .find(|(_, tick)| sound::is_sound(tick))
            .map(|(from, _)| speech::duration_of(from).saturating_sub(after))
    }

    /// Everything that was read aloud, in order, with the time it began.
    pub fn said_aloud(&self) -> impl Iterator<Item = (Duration, &str)> {
        self.documents.iter().flat_map(|document| &document.heard).filter_map(|heard| match &heard.what {
            Sound::Say { text } => Some((heard.at, text.as_str())),
            _ => None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallEnd {
    #[error("the caller hung up")]
    CallerHungUp,
    #[error("the document ran out")]
    DocumentEnded,
    #[error("the switch hung up")]
    HungUp,
    #[error("the switch rejected the call: {reason}")]
    Rejected { reason: String },
    #[error("the longest time of the call was over")]
    TooLong,
    /// What the caller hears as "an application error has occurred".
    #[error("application error {code}: {text}")]
    ApplicationError { code: u32, text: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(heard: &[(u64, bool)], said: &[(u64, bool)]) -> CallRecord {
        let samples = |parts: &[(u64, bool)]| -> Vec<i16> {
            let part = |&(ms, sounds): &(u64, bool)| {
                let length = Duration::from_millis(ms);
                if sounds { sound::hum(length) } else { sound::silence(length) }
            };
            parts.iter().flat_map(part).collect()
        };
        CallRecord {
            call_sid: String::new(),
            stream_sids: Vec::new(),
            clock_started: Some(Duration::from_secs(2)),
            stream_started: None,
            heard: samples(heard),
            said: samples(said),
            events: Vec::new(),
            webhooks: Vec::new(),
            documents: Vec::new(),
            gathers: Vec::new(),
            dials: Vec::new(),
            cleared: Vec::new(),
            received_ms: 0,
            played_ms: 0,
            end: CallEnd::HungUp,
            warnings: Vec::new(),
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn silence_is_where_neither_side_sounds() {
        let ms = Duration::from_millis;
        let record = record(
            &[(1_000, false), (500, true), (2_000, false), (100, true), (400, false)],
            &[(600, false), (400, true), (1_500, false), (100, true), (1_400, false)],
        );
        assert_eq!(record.silences(ms(500)), [ms(0)..ms(600), ms(1_500)..ms(2_500), ms(2_600)..ms(3_500)]);
        assert_eq!(record.silences(ms(1_000)), [ms(1_500)..ms(2_500)]);
        assert_eq!(record.silences(ms(400)).len(), 4, "the end of the call is a silence too");
    }

    #[test]
    fn a_gap_lasts_until_the_next_sound() {
        let ms = Duration::from_millis;
        let record = record(&[(1_000, false), (500, true), (500, false)], &[(2_000, true)]);
        assert_eq!(record.heard_gap_after(ms(250)), Some(ms(750)));
        assert_eq!(record.heard_gap_after(ms(1_010)), Some(Duration::ZERO));
        assert_eq!(record.heard_gap_after(ms(1_500)), None);
        assert_eq!(record.on_callers_clock(ms(2_250)), Some(ms(250)));
        assert_eq!(record.on_callers_clock(ms(1_999)), None);
    }
}
