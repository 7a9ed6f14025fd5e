//! Prices that change in mid-call, clocks that jump, figures that make no sense: what a call used is told once, priced by
//! the list in use when it was told, and its books balance.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tandem_actors::call::CallReport;
use tandem_actors::ports::{Line, Prices};
use tandem_actors::testing::{
    CallOptions, CarrierPeer, ChangingPrices, FlatPrice, ProviderPeer, Universe, always,
};
use tandem_actors::usage::event::EventKind;
use tandem_wire::openai::Usage;

const MODEL: &str = "gpt-realtime-2.1";

/// A call whose agent does not greet.
async fn talking(universe: &mut Universe, mut options: CallOptions) -> (CarrierPeer, ProviderPeer) {
    options.agent.greeting.clear();
    let (carrier, _call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    (carrier, provider)
}

/// An answer of half a second, and what its provider says that it took.
fn answer(provider: &ProviderPeer, n: u32, usage: &Value) {
    let (response, item) = (format!("r{n}"), format!("a{n}"));
    provider.response_created(&response);
    provider.audio(&response, &item, 500);
    provider.transcript(&response, &item, &format!("answer {n}"));
    provider.audio_done(&response, &item);
    provider.peer.say(&json!({
        "type": "response.done", "event_id": "e",
        "response": {"id": response, "status": "completed", "usage": usage}
    }));
}

async fn pass(universe: &Universe, carrier: &mut CarrierPeer, provider: &ProviderPeer, seconds: u64) {
    for _ in 0..seconds * 10 {
        carrier.speak(100, 0xFF);
        provider.peer.say(&json!({"type": "rate_limits.updated", "rate_limits": []}));
        universe.advance(Duration::from_millis(100)).await;
    }
}

async fn hung_up(universe: &mut Universe, carrier: &CarrierPeer) -> Arc<CallReport> {
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!((report.sheet.usage_lost, report.discrepancies.as_slice()), (0, [].as_slice()));
    report
}

// ---------------------------------------------------------------- prices

/// A later list, by which everything costs three times as much.
struct Dearer;

impl Prices for Dearer {
    fn tokens(&self, model: &str, usage: &Usage) -> Option<u64> {
        FlatPrice(MODEL).tokens(model, usage).map(|microusd| 3 * microusd)
    }

    fn time(&self, model: &str, time: Duration) -> Option<u64> {
        FlatPrice(MODEL).time(model, time).map(|microusd| 3 * microusd)
    }

    fn characters(&self, model: &str, characters: u64) -> Option<u64> {
        FlatPrice(MODEL).characters(model, characters).map(|microusd| 3 * microusd)
    }

    fn carrier_minute(&self, line: Line) -> Option<u64> {
        FlatPrice(MODEL).carrier_minute(line).map(|microusd| 3 * microusd)
    }

    fn version(&self) -> u32 {
        4
    }
}

#[actix_rt::test]
async fn what_is_used_after_a_change_costs_the_new_price_and_the_bill_adds_up() {
    let mut universe = Universe::new();
    let prices = Arc::new(ChangingPrices::new(Arc::new(FlatPrice(MODEL))));
    let options = CallOptions { prices: Arc::<ChangingPrices>::clone(&prices), ..CallOptions::default() };
    let (mut carrier, provider) = talking(&mut universe, options).await;
    answer(&provider, 1, &json!({"total_tokens": 100}));
    pass(&universe, &mut carrier, &provider, 30).await;
    prices.change(Dearer);
    answer(&provider, 2, &json!({"total_tokens": 100}));
    pass(&universe, &mut carrier, &provider, 40).await;
    let report = hung_up(&mut universe, &carrier).await;

    let told = |kind| {
        let events = universe.spool.of(kind).into_iter();
        events.map(|event| (event.price_version, event.cost_microusd_opt)).collect::<Vec<_>>()
    };
    assert_eq!(told(EventKind::Tokens), [(3, Some(100)), (4, Some(300))]);
    assert_eq!(told(EventKind::CarrierMinute), [(3, Some(12)), (4, Some(36))]);
    assert!(universe.spool.events().is_sorted_by_key(|event| event.price_version));
    assert_eq!((report.spent.total_opt(), report.spent.carrier_microusd), (Some(400), 48));
    assert_eq!(report.bill.iter().map(|line| line.microusd).sum::<u64>(), 448);
}

// ---------------------------------------------------------------- clocks

#[actix_rt::test]
async fn a_clock_that_jumps_makes_no_call_longer_or_shorter() {
    let mut universe = Universe::new();
    let options = CallOptions { prices: always(FlatPrice(MODEL)), ..CallOptions::default() };
    let (mut carrier, provider) = talking(&mut universe, options).await;
    answer(&provider, 1, &json!({"total_tokens": 100}));
    pass(&universe, &mut carrier, &provider, 25).await;
    universe.clock.jump(-SignedDuration::from_hours(1));
    answer(&provider, 2, &json!({"total_tokens": 10}));
    pass(&universe, &mut carrier, &provider, 25).await;
    universe.clock.jump(SignedDuration::from_hours(24 * 366));
    answer(&provider, 3, &json!({"total_tokens": 1}));
    pass(&universe, &mut carrier, &provider, 25).await;
    let report = hung_up(&mut universe, &carrier).await;

    let times: Vec<_> =
        universe.spool.of(EventKind::Tokens).iter().map(|event| event.at.as_second()).collect();
    assert_eq!(times, [0, -3_574, 366 * 86_400 + 50], "an event has the time that the clock had");
    let served = universe.spool.quantity(EventKind::VoiceMinute);
    assert!((75_000..76_000).contains(&served), "{served} ms");
    assert_eq!(universe.spool.quantity(EventKind::CarrierMinute), 2);
    let ended = &universe.spool.of(EventKind::SessionEnd)[0].metadata;
    assert!(ended.length_ms_opt.is_some_and(|length| (75_000..76_000).contains(&length)), "{ended:?}");
    assert_eq!((report.spent.total_opt(), report.spent.carrier_microusd), (Some(111), 24));
}

// ---------------------------------------------------------------- figures

#[actix_rt::test]
async fn figures_that_make_no_sense_are_never_a_credit_and_never_an_end() {
    let mut universe = Universe::new();
    let options = CallOptions { prices: always(FlatPrice(MODEL)), ..CallOptions::default() };
    let (mut carrier, provider) = talking(&mut universe, options).await;
    answer(&provider, 1, &json!({"total_tokens": 100}));
    for (n, nonsense) in [
        json!({"total_tokens": -100, "input_tokens": -50, "output_tokens": -50}),
        json!({"total_tokens": 0.5}),
        json!({"total_tokens": "many"}),
        json!({"total_tokens": 1e300}),
        json!([1, 2, 3]),
        Value::Null,
    ]
    .iter()
    .enumerate()
    {
        pass(&universe, &mut carrier, &provider, 2).await;
        answer(&provider, 2 + u32::try_from(n).expect("a few"), nonsense);
    }
    pass(&universe, &mut carrier, &provider, 2).await;
    answer(&provider, 9, &json!({"total_tokens": 10}));
    pass(&universe, &mut carrier, &provider, 2).await;
    let report = hung_up(&mut universe, &carrier).await;
    let told = universe.spool.of(EventKind::Tokens);
    let told: Vec<_> = told.iter().map(|event| (event.quantity, event.cost_microusd_opt)).collect();
    let nobody_knows = (0, None);
    let expected = [
        (100, Some(100)),
        nobody_knows,
        (0, Some(0)), // a fraction is cut off
        nobody_knows,
        (u64::MAX, None),
        nobody_knows,
        nobody_knows,
        (10, Some(10)),
    ];
    assert_eq!((told.as_slice(), report.spent.microusd), (expected.as_slice(), 110));
    assert_eq!((report.spent.unpriced, report.spent.total_opt()), (5, None));
}
