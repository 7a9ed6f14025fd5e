//! The recorder's mind: entries in, priced events out.
//!
//! Pure, but for the price list in use that it asks for. It keeps no totals, so it has none to lose: those are the call's.

use std::sync::Arc;
use std::time::Duration;

use tandem_wire::openai::Usage;

use super::entry::{Amount, Entry, Item, Used, Work};
use super::event::{EventKind, Metadata, Tokens, Unit, UsageEvent};
use crate::ports::{CallId, PriceLists, Prices};

/// A model that is paid by the minute and tells tokens instead: one of caller audio is so long, at every provider that
/// counts audio in tokens.
const MS_PER_AUDIO_TOKEN: u64 = 100;

/// A response takes what its model's context holds, a million tokens or two. A figure beyond has no price: a provider's
/// slip must not use up a month's budget.
const TOKENS_MAX: u64 = 10_000_000;

/// A call has no more audio than that, nor has any part of it.
const AUDIO_MAX: Duration = Duration::from_hours(24);

pub struct Recorder {
    call: CallId,
    agent: Arc<str>,
    prices: Arc<dyn PriceLists>,
}

/// An entry that has become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub event: UsageEvent,
    pub price: Price,
}

/// What it costs, in micro-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Absent when it is unknown.
    pub microusd_opt: Option<u64>,
    /// The share of it that made the agent's voice sound.
    pub audio_out_microusd: u64,
}

impl Recorder {
    pub fn new(call: CallId, agent: &str, prices: Arc<dyn PriceLists>) -> Self {
        Self { call, agent: agent.into(), prices }
    }

    pub fn record(&self, entry: &Entry) -> Recorded {
        let (kind, quantity, unit) = measure(&entry.item);
        let prices = self.prices.in_use();
        let price = price(&entry.item, &*prices);
        let (provider_opt, model_opt) =
            entry.item.payee_opt().map(|payee| (payee.provider, payee.name)).unzip();
        let event = UsageEvent {
            id: entry.id,
            at: entry.at,
            call: self.call,
            agent: self.agent.as_ref().to_owned(),
            mode: entry.mode,
            kind,
            provider_opt,
            model_opt,
            quantity,
            unit,
            metadata: metadata(&entry.item),
            cost_microusd_opt: price.microusd_opt,
            unheard_microusd: entry.unheard_microusd,
            price_version: prices.version(),
        };
        Recorded { event, price }
    }
}

fn price(item: &Item, prices: &dyn Prices) -> Price {
    let whole = |microusd_opt| Price { microusd_opt, audio_out_microusd: 0 };
    match item {
        Item::Used(model, used) => price_of_model(&model.name, used, prices),
        Item::Minutes(minutes, line) => {
            let a_minute = prices.carrier_minute(*line);
            whole(a_minute.map(|microusd| microusd.saturating_mul(u64::from(*minutes))))
        }
        Item::SessionStarted
        | Item::SessionEnded { .. }
        | Item::Served(_)
        | Item::CallerHeard(_)
        | Item::Answered => whole(Some(0)),
    }
}

fn price_of_model(model: &str, used: &Used, prices: &dyn Prices) -> Price {
    let microusd_opt = match &used.amount {
        Amount::Tokens(usage) => prices.tokens(model, usage).or_else(|| match used.work {
            Work::Hearing => prices.time(model, told_audio(usage)?),
            Work::Answering | Work::Speaking => None,
        }),
        Amount::Audio(length) => prices.time(model, *length),
        Amount::Characters(count) => prices.characters(model, *count),
        Amount::Untold => None,
    }
    .filter(|_| is_plausible(&used.amount));
    let audio_out_microusd = match (&used.amount, used.work) {
        (_, Work::Speaking) => microusd_opt.unwrap_or_default(),
        (Amount::Tokens(usage), Work::Answering) if microusd_opt.is_some() => {
            prices.tokens(model, &audio_out(usage)).unwrap_or_default()
        }
        _ => 0,
    };
    Price { microusd_opt, audio_out_microusd }
}

fn is_plausible(amount: &Amount) -> bool {
    match amount {
        Amount::Tokens(usage) => {
            let (sums, parts) = (Tokens::from(usage), usage.total_tokens);
            [sums.input, sums.text_in, sums.audio_in, sums.output, sums.text_out, sums.audio_out, parts]
                .into_iter()
                .all(|tokens| tokens <= TOKENS_MAX)
        }
        Amount::Audio(length) => *length <= AUDIO_MAX,
        Amount::Characters(_) | Amount::Untold => true, // we count them ourselves
    }
}

fn told_audio(usage: &Usage) -> Option<Duration> {
    let ms = usage.input_token_details.audio_tokens.saturating_mul(MS_PER_AUDIO_TOKEN);
    (ms > 0).then(|| Duration::from_millis(ms))
}

/// Nothing but the audio that came out.
fn audio_out(usage: &Usage) -> Usage {
    let audio = usage.output_token_details.audio_tokens;
    let mut only = Usage { total_tokens: audio, output_tokens: audio, ..Usage::default() };
    only.output_token_details.audio_tokens = audio;
    only
}

fn measure(item: &Item) -> (EventKind, u64, Unit) {
    match item {
        Item::SessionStarted => (EventKind::SessionStart, 1, Unit::Call),
        Item::SessionEnded { .. } => (EventKind::SessionEnd, 1, Unit::Call),
        Item::Served(time) => (EventKind::VoiceMinute, ms(*time), Unit::Millisecond),
        Item::CallerHeard(time) => (EventKind::AudioInput, ms(*time), Unit::Millisecond),
        Item::Minutes(minutes, _) => (EventKind::CarrierMinute, u64::from(*minutes), Unit::Minute),
        Item::Answered => (EventKind::TextMessage, 1, Unit::Message),
        Item::Used(_, Used { work, amount }) => {
            let kind = match work {
                Work::Hearing => EventKind::Stt,
                Work::Answering => EventKind::Tokens,
                Work::Speaking => EventKind::Tts,
            };
            let (quantity, unit) = match amount {
                Amount::Tokens(usage) => (
                    usage.total_tokens.max(usage.input_tokens.saturating_add(usage.output_tokens)),
                    Unit::Token,
                ),
                Amount::Audio(length) => (ms(*length), Unit::Millisecond),
                Amount::Characters(count) => (*count, Unit::Character),
                Amount::Untold => (0, Unit::Token),
            };
            (kind, quantity, unit)
        }
    }
}

fn metadata(item: &Item) -> Metadata {
    match item {
        Item::SessionEnded { reason, length } => Metadata {
            end_reason_opt: Some(reason.clone()),
            length_ms_opt: Some(ms(*length)),
            ..Metadata::default()
        },
        Item::Used(_, Used { amount: Amount::Tokens(usage), .. }) => {
            Metadata { tokens_opt: Some(Tokens::from(usage)), ..Metadata::default() }
        }
        _ => Metadata::default(),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tandem_wire::openai::Usage;
    use uuid::Uuid;

    use super::*;
    use crate::mode::Mode;
    use crate::ports::{Line, ModelId};
    use crate::testing::{FlatPrice, always, scripted};

    fn record(item: Item) -> Recorded {
        let entry = Entry {
            id: Uuid::from_u128(9),
            at: jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(5),
            mode: Mode::Cascade,
            item,
            unheard_microusd: 4,
        };
        let recorder = Recorder::new(CallId(Uuid::from_u128(1)), "night desk", always(FlatPrice("known")));
        recorder.record(&entry)
    }

    fn used(model: &str, work: Work, amount: Amount) -> Recorded {
        record(Item::Used(scripted(model), Used { work, amount }))
    }

    fn told(recorded: &Recorded) -> (EventKind, u64, Unit, Option<u64>) {
        let event = &recorded.event;
        (event.kind, event.quantity, event.unit, event.cost_microusd_opt)
    }

    fn tokens(text_in: u64, audio_in: u64, text_out: u64, audio_out: u64) -> Usage {
        let mut usage = Usage {
            total_tokens: text_in + audio_in + text_out + audio_out,
            input_tokens: text_in + audio_in,
            output_tokens: text_out + audio_out,
            ..Usage::default()
        };
        usage.input_token_details.text_tokens = text_in;
        usage.input_token_details.audio_tokens = audio_in;
        usage.output_token_details.text_tokens = text_out;
        usage.output_token_details.audio_tokens = audio_out;
        usage
    }

    #[test]
    fn an_event_is_of_its_entry_and_says_by_which_prices() {
        let Recorded { event, .. } = record(Item::Answered);
        let about = (event.id.as_u128(), event.at.as_second(), event.call.0.as_u128(), event.agent.as_str());
        assert_eq!(about, (9, 5, 1, "night desk"));
        assert_eq!((event.mode, event.unheard_microusd, event.price_version), (Mode::Cascade, 4, 3));
        assert_eq!((event.provider_opt, event.model_opt), (None, None));
    }

    #[test]
    fn each_kind_of_work_is_an_event_of_its_own_in_the_unit_it_is_paid_by() {
        let (second, known) = (Duration::from_secs(1), "known");
        for (work, amount, expected) in [
            (
                Work::Answering,
                Amount::Tokens(tokens(1, 2, 3, 4)),
                (EventKind::Tokens, 10, Unit::Token, Some(10)),
            ),
            (Work::Hearing, Amount::Tokens(tokens(0, 2, 3, 0)), (EventKind::Stt, 5, Unit::Token, Some(5))),
            (Work::Hearing, Amount::Audio(second), (EventKind::Stt, 1_000, Unit::Millisecond, Some(1_000))),
            (Work::Speaking, Amount::Characters(7), (EventKind::Tts, 7, Unit::Character, Some(7))),
        ] {
            let recorded = used(known, work, amount);
            assert_eq!(told(&recorded), expected);
            assert_eq!(recorded.event.provider_opt.as_deref(), Some("scripted"));
            assert_eq!(recorded.event.model_opt.as_deref(), Some(known));
        }
    }

    #[test]
    fn what_has_no_price_or_was_not_told_costs_nobody_knows_what() {
        for (model, amount) in [
            ("unknown", Amount::Tokens(tokens(1, 0, 0, 1))),
            ("unknown", Amount::Audio(Duration::from_secs(1))),
            ("unknown", Amount::Characters(1)),
            ("known", Amount::Untold),
        ] {
            for work in [Work::Hearing, Work::Answering, Work::Speaking] {
                let recorded = used(model, work, amount);
                assert_eq!(recorded.event.cost_microusd_opt, None, "{model} {amount:?}");
                assert_eq!(recorded.price, Price::default());
            }
        }
    }

    #[test]
    fn the_voices_share_is_its_audio_or_all_that_is_spoken() {
        let share = |work, amount| used("known", work, amount).price.audio_out_microusd;
        assert_eq!(share(Work::Answering, Amount::Tokens(tokens(100, 100, 50, 7))), 7);
        assert_eq!(share(Work::Answering, Amount::Tokens(tokens(100, 0, 50, 0))), 0);
        assert_eq!(share(Work::Speaking, Amount::Characters(12)), 12);
        assert_eq!(share(Work::Hearing, Amount::Audio(Duration::from_secs(1))), 0);
    }

    /// A model that is listed by the minute only.
    struct ByTheMinute;

    impl Prices for ByTheMinute {
        fn tokens(&self, _: &str, _: &Usage) -> Option<u64> {
            None
        }

        fn time(&self, _: &str, time: Duration) -> Option<u64> {
            Some(time.as_secs())
        }

        fn characters(&self, _: &str, _: u64) -> Option<u64> {
            None
        }

        fn carrier_minute(&self, _: Line) -> Option<u64> {
            None
        }

        fn version(&self) -> u32 {
            1
        }
    }

    #[test]
    fn a_model_that_is_paid_by_the_minute_and_tells_tokens_is_paid_for_the_audio_they_stand_for() {
        let cost = |work, usage| {
            let item = Item::Used(scripted("ears"), Used { work, amount: Amount::Tokens(usage) });
            price(&item, &ByTheMinute).microusd_opt
        };
        assert_eq!(cost(Work::Hearing, tokens(0, 600, 20, 0)), Some(60));
        assert_eq!(cost(Work::Hearing, tokens(30, 0, 20, 0)), None, "no audio is told");
        assert_eq!(cost(Work::Answering, tokens(0, 600, 20, 0)), None, "and it is no price of answers");
    }

    #[test]
    fn what_nobody_is_paid_for_costs_nothing() {
        let ended =
            Item::SessionEnded { reason: "shutdown".to_owned(), length: Duration::from_millis(1_500) };
        for (item, expected) in [
            (Item::SessionStarted, (EventKind::SessionStart, 1, Unit::Call, Some(0))),
            (ended, (EventKind::SessionEnd, 1, Unit::Call, Some(0))),
            (
                Item::Served(Duration::from_millis(1_500)),
                (EventKind::VoiceMinute, 1_500, Unit::Millisecond, Some(0)),
            ),
            (
                Item::CallerHeard(Duration::from_millis(20)),
                (EventKind::AudioInput, 20, Unit::Millisecond, Some(0)),
            ),
            (Item::Answered, (EventKind::TextMessage, 1, Unit::Message, Some(0))),
        ] {
            assert_eq!(told(&record(item)), expected);
        }
    }

    #[test]
    fn minutes_of_the_line_are_paid_by_what_is_kept_open() {
        let streamed = record(Item::Minutes(2, Line::Streamed));
        assert_eq!(told(&streamed), (EventKind::CarrierMinute, 2, Unit::Minute, Some(24)));
        let call = record(Item::Minutes(1, Line::Call)).event;
        let payee = ModelId { provider: call.provider_opt.unwrap(), name: call.model_opt.unwrap() };
        assert_eq!((payee.provider.as_str(), payee.name.as_str()), ("twilio", "call"));
        assert_eq!(call.cost_microusd_opt, Some(8));
    }

    #[test]
    fn tokens_are_told_by_kind_and_an_end_with_its_reason() {
        let mut usage = tokens(10, 20, 3, 4);
        usage.input_token_details.cached_tokens = 12;
        usage.input_token_details.cached_tokens_details.audio_tokens = 8;
        usage.input_token_details.cached_tokens_details.text_tokens = 4;
        let metadata = used("known", Work::Answering, Amount::Tokens(usage)).event.metadata;
        let by_kind = Tokens {
            input: 30,
            text_in: 10,
            audio_in: 20,
            cached_in: 12,
            text_cached_in: 4,
            audio_cached_in: 8,
            output: 7,
            text_out: 3,
            audio_out: 4,
        };
        assert_eq!(metadata, Metadata { tokens_opt: Some(by_kind), ..Metadata::default() });
        let ended =
            Item::SessionEnded { reason: "shutdown".to_owned(), length: Duration::from_millis(1_500) };
        let metadata = record(ended).event.metadata;
        assert_eq!(
            (metadata.end_reason_opt.as_deref(), metadata.length_ms_opt),
            (Some("shutdown"), Some(1_500))
        );
    }

    #[test]
    fn absurd_figures_are_as_large_as_figures_get() {
        let mut usage = tokens(1, 1, 1, 1);
        (usage.total_tokens, usage.input_tokens, usage.output_tokens) = (0, u64::MAX, u64::MAX);
        let absurd = used("known", Work::Answering, Amount::Tokens(usage));
        assert_eq!(told(&absurd), (EventKind::Tokens, u64::MAX, Unit::Token, None), "and have no price");
        assert_eq!(absurd.price, Price::default());
        let endless = used("known", Work::Hearing, Amount::Audio(Duration::MAX)).event;
        assert_eq!((endless.quantity, endless.cost_microusd_opt), (u64::MAX, None));
        let large = used("known", Work::Answering, Amount::Tokens(tokens(TOKENS_MAX, 0, 0, 0))).event;
        assert_eq!(large.cost_microusd_opt, Some(TOKENS_MAX));
        let forever = record(Item::Served(Duration::MAX)).event;
        assert_eq!(forever.quantity, u64::MAX);
        assert_eq!(
            record(Item::Minutes(u32::MAX, Line::Call)).event.cost_microusd_opt,
            Some(8 * u64::from(u32::MAX))
        );
    }
}
