//! What the caller hears when a budget of the month is used up: a sentence, and the same conversation in the cheapest mode
//! there is; never a goodbye.

use std::future::pending;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, StreamExt};
use jiff::tz::TimeZone;
use serde_json::json;
use tandem_actors::budgets::{BudgetLimits, Budgets, Tally};
use tandem_actors::call::CallReport;
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::timeline::What;
use tandem_actors::engine::cascade::CascadeModels;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::mode::Mode;
use tandem_actors::ports::{
    ChatModel, ChatPiece, ChatRequest, Clock as _, ModelError, ModelId, Transcriber, Voice,
};
use tandem_actors::testing::{CallOptions, CarrierPeer, FlatPrice, ProviderPeer, Universe, always, scripted};
use uuid::Uuid;

const USER: Uuid = Uuid::from_u128(7);
const NOTICE: &str = "You are the night desk.\n\nI go on in a simpler way now.";
const TRADITIONAL: Rung = Rung::Mode(Mode::Traditional);

/// So many micro-dollars a month, for a user, an agent and the house; 0 is no bound.
fn budgets(limits: [u64; 3]) -> Budgets {
    let [user_max_opt, agent_max_opt, house_max_opt] = limits.map(NonZeroU64::new);
    Budgets::new(BudgetLimits { user_max_opt, agent_max_opt, house_max_opt }, TimeZone::UTC)
}

/// A call that is paid from these, one micro-dollar for each token and twelve for a minute of the line.
fn paid_from(budgets: &Budgets) -> CallOptions {
    let (purse, _) = budgets.purse("night desk", Some(USER));
    let mut options =
        CallOptions { prices: always(FlatPrice("gpt-realtime-2.1")), purse, ..CallOptions::default() };
    options.agent.greeting.clear();
    options
}

async fn talking(universe: &mut Universe, options: CallOptions) -> (CarrierPeer, ProviderPeer) {
    let (carrier, _call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    (carrier, provider)
}

/// An answer of half a second that takes so many tokens.
fn answer(provider: &ProviderPeer, n: u32, tokens: u64) {
    let (response, item) = (format!("r{n}"), format!("a{n}"));
    provider.response_created(&response);
    provider.audio(&response, &item, 500);
    provider.transcript(&response, &item, &format!("answer {n}"));
    provider.audio_done(&response, &item);
    provider.peer.say(&json!({
        "type": "response.done", "event_id": "e",
        "response": {"id": response, "status": "completed", "usage": {"total_tokens": tokens}}
    }));
}

/// Time passes with a provider that is there and a carrier that plays what it gets.
async fn pass(universe: &Universe, carrier: &mut CarrierPeer, provider: &ProviderPeer, seconds: u64) {
    for _ in 0..seconds * 10 {
        carrier.speak(100, 0xFF);
        for message in carrier.peer.drain_json() {
            if message["event"] == "mark" {
                carrier.echo(message["mark"]["name"].as_str().expect("marks have names"));
            }
        }
        provider.peer.say(&json!({"type": "rate_limits.updated", "rate_limits": []}));
        universe.advance(Duration::from_millis(100)).await;
    }
}

/// What the agent is asked to say next, when it is asked.
fn asked(provider: &mut ProviderPeer) -> Vec<String> {
    let events = provider.peer.drain_json().into_iter().filter(|event| event["type"] == "response.create");
    events.map(|event| event["response"]["instructions"].as_str().unwrap_or_default().to_owned()).collect()
}

fn switches(report: &CallReport) -> Vec<(Mode, Rung, &str)> {
    let switch = |what| match what {
        &What::ModeSwitched { from, to, ref why } => Some((from, to, &**why)),
        _ => None,
    };
    report.timeline.events().iter().filter_map(|event| switch(&event.what)).collect()
}

#[actix_rt::test]
async fn a_live_call_says_so_and_goes_on_in_a_cheaper_mode_whichever_budget_is_used_up() {
    for (limits, why) in
        [([1_000, 0, 0], "user_budget"), ([0, 1_000, 0], "agent_budget"), ([0, 0, 1_000], "house_budget")]
    {
        let (mut universe, budgets) = (Universe::new(), budgets(limits));
        let (mut carrier, mut provider) = talking(&mut universe, paid_from(&budgets)).await;
        answer(&provider, 1, 1_000 - 12 - 1);
        pass(&universe, &mut carrier, &provider, 2).await;
        assert_eq!(asked(&mut provider), [""; 0], "{why}: a micro-dollar is left");
        answer(&provider, 2, 1);
        pass(&universe, &mut carrier, &provider, 2).await;
        assert_eq!(asked(&mut provider), [NOTICE], "{why}");
        answer(&provider, 3, 500);
        pass(&universe, &mut carrier, &provider, 1).await;
        let report = universe.report().await;
        assert_eq!(
            (&report.end, report.discrepancies.as_slice()),
            (&EndReason::HandedOver(TRADITIONAL), [].as_slice())
        );
        assert_eq!(switches(&report), [(Mode::Realtime, TRADITIONAL, why)]);
        let record = universe.record(1);
        assert!(record.spent.was_capped(), "{why}: who goes on with the call does not go back up");
        assert_eq!(record.failed, [Mode::Realtime]);
    }
}

#[actix_rt::test]
async fn what_others_spend_counts_too() {
    let (mut universe, budgets) = (Universe::new(), budgets([0, 0, 1_000]));
    let (mut carrier, mut provider) = talking(&mut universe, paid_from(&budgets)).await;
    pass(&universe, &mut carrier, &provider, 2).await;
    let kept = Tally { microusd: 1_000, unpriced: 0 };
    budgets.told(budgets.month(jiff::Timestamp::UNIX_EPOCH), &[("day desk".to_owned(), kept)]);
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [NOTICE]);
    answer(&provider, 1, 1);
    pass(&universe, &mut carrier, &provider, 1).await;
    assert_eq!(switches(&*universe.report().await), [(Mode::Realtime, TRADITIONAL, "house_budget")]);
}

#[actix_rt::test]
async fn in_the_last_mode_the_call_goes_on_without_a_word() {
    let (mut universe, budgets) = (Universe::new(), budgets([100, 100, 100]));
    let options = CallOptions { others: Vec::new(), human: true, ..paid_from(&budgets) };
    let (mut carrier, mut provider) = talking(&mut universe, options).await;
    for n in 0..3 {
        answer(&provider, n, 1_000);
        pass(&universe, &mut carrier, &provider, 10).await;
    }
    assert_eq!(asked(&mut provider), [""; 0]);
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!((&report.end, report.spent.microusd), (&EndReason::CallerHungUp, 3_000));
    assert_eq!((switches(&report), report.discrepancies.as_slice()), (Vec::new(), [].as_slice()));
}

/// Models that are there, and say nothing.
struct Mute;

impl ChatModel for Mute {
    fn model(&self) -> ModelId {
        scripted("mute")
    }

    fn answer(&self, _: ChatRequest) -> LocalBoxStream<'static, Result<ChatPiece, ModelError>> {
        stream::pending().boxed_local()
    }
}

impl Voice for Mute {
    fn model(&self) -> ModelId {
        scripted("voice")
    }

    fn speak(&self, _: &str) -> LocalBoxStream<'static, Result<Bytes, ModelError>> {
        stream::pending().boxed_local()
    }
}

impl Transcriber for Mute {
    fn model(&self) -> ModelId {
        scripted("ears")
    }

    fn transcribe(&self, _: Vec<i16>, _: &str) -> LocalBoxFuture<'static, Result<String, ModelError>> {
        pending().boxed_local()
    }
}

fn cascade() -> CascadeModels {
    let mute = Arc::new(Mute);
    CascadeModels { transcriber: mute.clone(), chat: mute.clone(), voice: mute }
}

#[actix_rt::test]
async fn the_modes_in_between_are_passed_over_with_one_sentence() {
    let (mut universe, budgets) = (Universe::new(), budgets([0, 1_000, 0]));
    let options = CallOptions { cascade: Some(cascade()), ..paid_from(&budgets) };
    let (mut carrier, mut provider) = talking(&mut universe, options).await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [NOTICE]);
    answer(&provider, 2, 10);
    pass(&universe, &mut carrier, &provider, 1).await;
    let report = universe.report().await;
    assert_eq!(switches(&report), [(Mode::Realtime, TRADITIONAL, "agent_budget")]);
    assert_eq!(universe.record(1).failed, [Mode::Realtime, Mode::Cascade]);
}

#[actix_rt::test]
async fn in_a_cheapest_mode_over_the_same_socket_the_step_is_made_once() {
    let (mut universe, budgets) = (Universe::new(), budgets([0, 0, 1_000]));
    let options = CallOptions { cascade: Some(cascade()), others: Vec::new(), ..paid_from(&budgets) };
    let (mut carrier, mut provider) = talking(&mut universe, options).await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [NOTICE]);
    answer(&provider, 2, 10);
    pass(&universe, &mut carrier, &provider, 10).await;
    assert_eq!(universe.record(1).mode, Mode::Cascade);
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!((&report.end, report.discrepancies.as_slice()), (&EndReason::CallerHungUp, [].as_slice()));
    assert_eq!(switches(&report), [(Mode::Realtime, Rung::Mode(Mode::Cascade), "house_budget")]);
}

#[actix_rt::test]
async fn a_call_that_has_reached_its_own_cap_is_told_of_that() {
    let (mut universe, budgets) = (Universe::new(), budgets([1_000, 0, 0]));
    let mut options = paid_from(&budgets);
    options.limits.cost_max_opt = NonZeroU64::new(1_000);
    let (mut carrier, mut provider) = talking(&mut universe, options).await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [NOTICE]);
    answer(&provider, 2, 10);
    pass(&universe, &mut carrier, &provider, 1).await;
    assert_eq!(switches(&*universe.report().await), [(Mode::Realtime, TRADITIONAL, "cost_cap")]);
}

#[actix_rt::test]
async fn what_has_no_price_uses_up_no_budget_and_is_told_to_be_unknown() {
    let (mut universe, budgets) = (Universe::new(), budgets([0, 0, 13]));
    let options = CallOptions { prices: always(FlatPrice("another")), ..paid_from(&budgets) };
    let purse = options.purse.clone();
    let (mut carrier, mut provider) = talking(&mut universe, options).await;
    for n in 0..3 {
        answer(&provider, n, 1_000_000);
        pass(&universe, &mut carrier, &provider, 2).await;
    }
    assert_eq!(asked(&mut provider), [""; 0], "twelve micro-dollars of the line are all that is known");
    purse.pay(Some(1), universe.clock.now());
    let used_up = purse.used_up(|| universe.clock.now()).expect("with one more it is used up");
    assert_eq!(used_up.spent, Tally { microusd: 13, unpriced: 3 });
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [NOTICE]);
    carrier.hang_up();
    universe.report().await;
}
