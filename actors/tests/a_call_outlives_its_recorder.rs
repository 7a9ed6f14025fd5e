//! The row of the supervision table for usage recorders: one that dies is replaced, and no usage is lost or counted
//! twice; one that dies too often raises an alarm; neither ends a call.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use serde_json::json;
use tandem_actors::call::audit::Discrepancy;
use tandem_actors::call::decide::{EndReason, Role};
use tandem_actors::call::timeline::What;
use tandem_actors::call::{CallActor, CallReport};
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::messages::{EngineFact, FromEngine};
use tandem_actors::mode::Mode;
use tandem_actors::ports::{Line, Prices};
use tandem_actors::testing::{
    CallOptions, CarrierPeer, FlatPrice, ProviderPeer, Sabotage, SabotageChild, Universe, always,
};
use tandem_actors::usage::event::EventKind;
use tandem_actors::usage::{FromUsage, Price, Used};
use tandem_wire::openai::Usage;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const WAYS: [Sabotage; 3] = [Sabotage::Panic, Sabotage::Stop, Sabotage::Kill];

struct Talk {
    universe: Universe,
    call: Addr<CallActor>,
    carrier: CarrierPeer,
    provider: ProviderPeer,
    answers: u32,
}

impl Talk {
    async fn new(prices: impl Prices + 'static) -> Self {
        Self::capped(prices, None).await
    }

    async fn capped(prices: impl Prices + 'static, cap: Option<NonZeroU64>) -> Self {
        let mut options = CallOptions { prices: always(prices), ..CallOptions::default() };
        options.agent.greeting.clear();
        options.agent.too_costly.clear();
        options.limits.cost_max_opt = cap;
        let mut universe = Universe::new();
        let (carrier, call) = universe.call(options).await;
        let mut provider = universe.provider().await;
        provider.agree().await;
        Self { universe, call, carrier, provider, answers: 0 }
    }

    fn strike(&self, how: Sabotage) {
        self.call.do_send(SabotageChild { role: Some(Role::Usage), how });
    }

    /// A response that takes so many tokens.
    fn answer(&mut self, tokens: u64) {
        self.answers += 1;
        let response = format!("r{}", self.answers);
        self.provider.response_created(&response);
        self.provider.peer.say(&json!({
            "type": "response.done", "event_id": "e",
            "response": {"id": response, "status": "completed", "usage": {"total_tokens": tokens}}
        }));
    }

    async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.carrier.speak(100, 0xFF);
            self.provider.peer.say(&json!({"type": "rate_limits.updated", "rate_limits": []}));
            self.universe.advance(ms(100)).await;
        }
    }

    async fn hung_up(&mut self) -> Arc<CallReport> {
        self.carrier.hang_up();
        let report = self.universe.report().await;
        assert_eq!(report.end, EndReason::CallerHungUp);
        let census = self.universe.census().await;
        assert_eq!((census.live, census.crashed), (0, 0));
        report
    }

    /// The sum of tokens in events that differ.
    fn tokens_told(&self) -> u64 {
        let mut seen = HashSet::new();
        let events = self.universe.spool.of(EventKind::Tokens);
        events.iter().filter(|event| seen.insert(event.id)).map(|event| event.quantity).sum()
    }

    fn count(&self, kind: EventKind) -> usize {
        let ids: HashSet<_> = self.universe.spool.of(kind).iter().map(|event| event.id).collect();
        ids.len()
    }
}

fn replacements(report: &CallReport) -> usize {
    report.timeline.events().iter().filter(|event| event.what == What::RecorderReplaced).count()
}

const PRICES: FlatPrice = FlatPrice("gpt-realtime-2.1");

#[actix_rt::test]
async fn a_recorder_that_dies_is_replaced_and_the_sums_are_right() {
    for how in WAYS {
        let mut talk = Talk::new(PRICES).await;
        talk.answer(100);
        talk.pass(1).await;
        talk.strike(how);
        talk.answer(20); // told to one that is dead, or about to be
        talk.pass(1).await;
        talk.answer(3);
        talk.pass(1).await;
        assert_eq!(talk.universe.record(1).spent.microusd, 123, "{how:?}");
        let report = talk.hung_up().await;
        assert_eq!(
            (report.spent.microusd, report.spent.unpriced, talk.tokens_told()),
            (123, 0, 123),
            "{how:?}"
        );
        assert_eq!((replacements(&report), report.sheet.usage_lost), (1, 0), "{how:?}");
        assert_eq!(report.discrepancies, [], "{how:?}");
        assert_eq!(
            (talk.count(EventKind::SessionStart), talk.count(EventKind::SessionEnd)),
            (1, 1),
            "{how:?}"
        );
    }
}

#[actix_rt::test]
async fn a_recorder_that_dies_between_spool_and_answer_tells_the_same_event_again() {
    let mut talk = Talk::new(PRICES).await;
    talk.answer(100);
    talk.pass(1).await;
    talk.universe.spool.panic_next(1);
    talk.answer(20);
    talk.pass(1).await;
    let report = talk.hung_up().await;
    let told = talk.universe.spool.of(EventKind::Tokens);
    let quantities: Vec<_> = told.iter().map(|event| event.quantity).collect();
    assert_eq!(quantities, [100, 20, 20]);
    assert_eq!(told[1], told[2], "it is one event, by its id");
    assert_eq!((report.spent.microusd, replacements(&report), report.sheet.usage_lost), (120, 1, 0));
}

#[actix_rt::test]
async fn a_recorder_that_dies_while_the_call_ends_leaves_nothing_untold() {
    for how in WAYS {
        let mut talk = Talk::new(PRICES).await;
        talk.answer(100);
        talk.pass(1).await;
        talk.carrier.hang_up();
        talk.universe.advance(ms(20)).await;
        talk.strike(how);
        let report = talk.hung_up().await;
        assert_eq!((report.spent.microusd, talk.tokens_told()), (100, 100), "{how:?}");
        assert_eq!((talk.count(EventKind::SessionEnd), replacements(&report)), (1, 1), "{how:?}");
        assert_eq!(report.discrepancies, [], "{how:?}");
    }
}

#[actix_rt::test]
async fn a_recorder_that_dies_too_often_raises_an_alarm_and_the_call_goes_on_to_its_end() {
    for how in WAYS {
        let mut talk = Talk::new(PRICES).await;
        talk.answer(100);
        talk.pass(1).await;
        for _ in 0..6 {
            talk.strike(how);
            talk.universe.advance(ms(100)).await;
        }
        talk.answer(20);
        talk.pass(35).await;
        let report = talk.hung_up().await;
        assert_eq!(
            (replacements(&report), report.discrepancies.as_slice()),
            (5, [Discrepancy::Usage].as_slice())
        );
        assert_eq!(
            (report.spent.microusd, report.spent.unpriced),
            (100, 1),
            "what it costs since is unknown"
        );
        assert_eq!(talk.tokens_told(), 100);
        // The answer, thirty seconds of time and of audio, the same of the rest, and the end.
        assert_eq!(report.sheet.usage_lost, 6, "{how:?}");
    }
}

#[actix_rt::test]
async fn five_deaths_a_minute_are_borne_for_ever() {
    let mut talk = Talk::new(PRICES).await;
    for _ in 0..3 {
        for _ in 0..5 {
            talk.strike(Sabotage::Panic);
            talk.universe.advance(ms(100)).await;
        }
        talk.pass(60).await;
    }
    talk.answer(7);
    talk.pass(1).await;
    let report = talk.hung_up().await;
    assert_eq!((replacements(&report), report.sheet.usage_lost, talk.tokens_told()), (15, 0, 7));
}

#[actix_rt::test]
async fn a_recorders_death_does_not_lift_the_cap() {
    let mut talk = Talk::capped(PRICES, NonZeroU64::new(1_000)).await;
    talk.answer(600);
    talk.pass(1).await;
    talk.strike(Sabotage::Panic);
    talk.pass(1).await;
    talk.answer(400);
    talk.pass(2).await;
    let report = talk.universe.report().await;
    assert_eq!(report.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)));
    assert_eq!(talk.universe.record(1).spent.microusd, 1_000);
}

/// A price list that panics over a number of tokens.
struct Faulty(u64);

impl Prices for Faulty {
    fn tokens(&self, model: &str, usage: &Usage) -> Option<u64> {
        assert_ne!(usage.total_tokens, self.0, "this price list has a fault");
        PRICES.tokens(model, usage)
    }

    fn time(&self, model: &str, time: Duration) -> Option<u64> {
        PRICES.time(model, time)
    }

    fn characters(&self, model: &str, characters: u64) -> Option<u64> {
        PRICES.characters(model, characters)
    }

    fn carrier_minute(&self, line: Line) -> Option<u64> {
        PRICES.carrier_minute(line)
    }

    fn version(&self) -> u32 {
        PRICES.version()
    }
}

#[actix_rt::test]
async fn what_recorders_die_of_twice_is_left_out_and_counted() {
    let mut talk = Talk::new(Faulty(13)).await;
    talk.answer(100);
    talk.answer(13);
    talk.answer(20);
    talk.pass(1).await;
    let report = talk.hung_up().await;
    assert_eq!((report.spent.microusd, report.spent.unpriced, talk.tokens_told()), (120, 1, 120));
    assert_eq!((replacements(&report), report.sheet.usage_lost), (2, 1));
    assert_eq!(report.discrepancies, [Discrepancy::Usage]);
    assert_eq!(talk.count(EventKind::SessionEnd), 1);
}

#[actix_rt::test]
async fn an_answer_that_comes_twice_counts_once() {
    let mut talk = Talk::new(PRICES).await;
    talk.answer(100);
    talk.pass(1).await;
    let told = talk.universe.spool.of(EventKind::Tokens).remove(0);
    let price = Price { microusd_opt: Some(100), audio_out_microusd: 0 };
    talk.call.do_send(FromUsage { id: told.id, price });
    talk.pass(1).await;
    assert_eq!(talk.hung_up().await.spent.microusd, 100);
}

#[actix_rt::test]
async fn a_flood_of_usage_is_bounded_and_what_is_beyond_is_counted() {
    let mut talk = Talk::new(PRICES).await;
    let fact = EngineFact::Used(Used::tokens(Usage { total_tokens: 1, ..Usage::default() }));
    for _ in 0..2_000 {
        talk.call.do_send(FromEngine { incarnation: 1, fact: fact.clone() }); // all before the recorder can run
    }
    talk.pass(1).await;
    talk.answer(1);
    let report = talk.hung_up().await;
    let lost = u64::from(report.sheet.usage_lost);
    assert!((900..2_000).contains(&lost), "{lost}");
    assert_eq!((report.spent.microusd, report.spent.unpriced), (2_001 - lost, report.sheet.usage_lost));
    assert_eq!(
        (talk.tokens_told(), report.discrepancies.as_slice()),
        (2_001 - lost, [Discrepancy::Usage].as_slice())
    );
}
