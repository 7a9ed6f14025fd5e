//! Usage: sums over usage events, and what of an event counts.
//!
//! It refuses to know over which events it sums. Sums of sums are the sum of all, in any order: nothing is negative,
//! and what reaches the end of its range stays there.
//!
//! **What counts.** Sessions and tool calls are counted by their events; the time of talk is the quantity of
//! `voice_minute` events; cost is that of all events. An event that cannot be (a negative quantity, more
//! than a day of time or a billion of anything else in one event, talk that is not measured in time) adds nothing but
//! itself to those without a price: its cost is as doubtful as its quantity, and a doubtful cost is unknown. That its
//! user was there stands.

use tandem_actors::usage::event::{EventKind, Unit};

use super::facts::UsageEvent;
use crate::money::Microusd;

/// A day: no event reports more time than this. Calls last hours at most, and are reported bit by bit.
const MS_MAX: u64 = 24 * 60 * MINUTE_MS;

const MINUTE_MS: u64 = 60_000;

/// No event reports more of anything else, such as tokens. The largest contexts have some millions.
const COUNT_MAX: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub sessions: u64,
    /// Of talk.
    pub voice_ms: u64,
    pub tool_calls: u64,
    /// Of all that has a price.
    pub cost: Microusd,
    /// Events without one: they are not in the cost, and not free.
    pub unpriced: u64,
    /// What of the cost was for audio that nobody heard.
    pub unheard: Microusd,
}

impl Usage {
    pub(super) fn note(&mut self, event: &UsageEvent) {
        let Some(quantity) = possible_quantity(event) else {
            return self.absorb(&Self { unpriced: 1, ..Self::default() });
        };
        let one_if = |kind| u64::from(event.kind == kind);
        let cost = event.cost_opt.unwrap_or_default();
        self.absorb(&Self {
            sessions: one_if(EventKind::SessionStart),
            voice_ms: one_if(EventKind::VoiceMinute) * quantity,
            tool_calls: one_if(EventKind::ToolCall),
            cost,
            unpriced: u64::from(event.cost_opt.is_none()),
            unheard: event.unheard, // of what other events cost
        });
    }

    pub fn absorb(&mut self, other: &Self) {
        self.sessions = self.sessions.saturating_add(other.sessions);
        self.voice_ms = self.voice_ms.saturating_add(other.voice_ms);
        self.tool_calls = self.tool_calls.saturating_add(other.tool_calls);
        self.cost = self.cost.saturating_add(other.cost);
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
        self.unheard = self.unheard.saturating_add(other.unheard);
    }

    pub fn minutes(&self) -> f64 {
        self.voice_ms as f64 / MINUTE_MS as f64
    }
}

impl<'a> FromIterator<&'a Usage> for Usage {
    fn from_iter<I: IntoIterator<Item = &'a Self>>(parts: I) -> Self {
        parts.into_iter().fold(Self::default(), |mut sum, part| {
            sum.absorb(part);
            sum
        })
    }
}

/// What an event reports, time in milliseconds; nothing when it cannot be.
fn possible_quantity(event: &UsageEvent) -> Option<u64> {
    let reported = u64::try_from(event.quantity).ok()?;
    let (quantity, max) = match event.unit {
        Unit::Millisecond => (reported, MS_MAX),
        Unit::Minute => (reported.checked_mul(MINUTE_MS)?, MS_MAX),
        Unit::Call | Unit::Token | Unit::Character | Unit::Message
            if event.kind == EventKind::VoiceMinute =>
        {
            return None;
        }
        Unit::Call | Unit::Token | Unit::Character | Unit::Message => (reported, COUNT_MAX),
    };
    (quantity <= max).then_some(quantity)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tandem_actors::mode::Mode;

    use super::*;

    fn event(kind: EventKind, quantity: i64, unit: Unit) -> UsageEvent {
        UsageEvent {
            at: Timestamp::UNIX_EPOCH,
            user_opt: None,
            agent: "night desk".to_owned(),
            mode: Mode::Realtime,
            kind,
            quantity,
            unit,
            cost_opt: Some(Microusd::from(70_u64)),
            unheard: Microusd::from(20_u64),
        }
    }

    fn usage(event: &UsageEvent) -> Usage {
        let mut usage = Usage::default();
        usage.note(event);
        usage
    }

    fn costly() -> Usage {
        Usage { cost: Microusd::from(70_u64), unheard: Microusd::from(20_u64), ..Usage::default() }
    }

    #[test]
    fn sessions_and_tool_calls_are_counted_and_talk_is_measured() {
        let of = |kind, quantity, unit| usage(&event(kind, quantity, unit));
        assert_eq!(of(EventKind::SessionStart, 1, Unit::Call), Usage { sessions: 1, ..costly() });
        assert_eq!(of(EventKind::ToolCall, 1, Unit::Call), Usage { tool_calls: 1, ..costly() });
        assert_eq!(of(EventKind::VoiceMinute, 90, Unit::Millisecond), Usage { voice_ms: 90, ..costly() });
        assert_eq!(of(EventKind::VoiceMinute, 2, Unit::Minute), Usage { voice_ms: 120_000, ..costly() });
        for kind in [EventKind::SessionEnd, EventKind::AudioInput, EventKind::CarrierMinute] {
            assert_eq!(of(kind, 90, Unit::Millisecond), costly(), "{kind:?}");
        }
        for kind in [EventKind::Tokens, EventKind::Stt, EventKind::Tts, EventKind::TextMessage] {
            assert_eq!(of(kind, 1_000, Unit::Token), costly(), "{kind:?}");
        }
    }

    #[test]
    fn an_unknown_cost_is_never_free_and_what_was_unheard_is_told_with_any_event() {
        let start = event(EventKind::Tokens, 5, Unit::Token);
        let unknown = usage(&UsageEvent { cost_opt: None, ..start.clone() });
        assert_eq!(unknown, Usage { unpriced: 1, unheard: Microusd::from(20_u64), ..Usage::default() });
        let end = UsageEvent { kind: EventKind::SessionEnd, cost_opt: Some(Microusd::ZERO), ..start };
        assert_eq!(usage(&end).unheard, end.unheard, "of what other events cost");
    }

    #[test]
    fn what_cannot_be_adds_nothing_and_counts_as_unpriced() {
        let day = i64::try_from(MS_MAX).unwrap();
        let billion = i64::try_from(COUNT_MAX).unwrap();
        for (kind, quantity, unit) in [
            (EventKind::VoiceMinute, -1, Unit::Millisecond),
            (EventKind::VoiceMinute, i64::MIN, Unit::Minute),
            (EventKind::VoiceMinute, day + 1, Unit::Millisecond),
            (EventKind::VoiceMinute, 24 * 60 + 1, Unit::Minute),
            (EventKind::CarrierMinute, i64::MAX, Unit::Minute),
            (EventKind::VoiceMinute, 1 << 62, Unit::Minute), // 60,000 times this is 0 in 64 bits
            (EventKind::VoiceMinute, 5, Unit::Token),
            (EventKind::VoiceMinute, 5, Unit::Character),
            (EventKind::VoiceMinute, 5, Unit::Message),
            (EventKind::SessionStart, -1, Unit::Call),
            (EventKind::ToolCall, billion + 1, Unit::Call),
            (EventKind::Tokens, i64::MAX, Unit::Token),
            (EventKind::Tts, billion + 1, Unit::Character),
        ] {
            let seen = usage(&event(kind, quantity, unit));
            assert_eq!(seen, Usage { unpriced: 1, ..Usage::default() }, "{kind:?} {quantity} {unit:?}");
        }
        for (kind, quantity, unit) in [
            (EventKind::VoiceMinute, day, Unit::Millisecond),
            (EventKind::VoiceMinute, 24 * 60, Unit::Minute),
            (EventKind::Tokens, billion, Unit::Token),
            (EventKind::Tokens, 0, Unit::Token),
        ] {
            assert_eq!(usage(&event(kind, quantity, unit)).unpriced, 0, "{kind:?} {quantity}");
        }
    }

    #[test]
    fn sums_stay_at_the_end_of_their_range() {
        let all = Usage {
            sessions: u64::MAX,
            voice_ms: u64::MAX,
            tool_calls: u64::MAX,
            cost: Microusd::MAX,
            unpriced: u64::MAX,
            unheard: Microusd::MAX,
        };
        assert_eq!([all, all].iter().collect::<Usage>(), all);
    }
}
