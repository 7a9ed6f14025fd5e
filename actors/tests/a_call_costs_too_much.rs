//! What the caller hears of a call's cost: a sentence, and the same conversation in a cheaper mode.

use std::future::pending;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use tandem_actors::call::cost::CAP_REACHED;
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::timeline::What;
use tandem_actors::call::{CallReport, EndCall};
use tandem_actors::engine::cascade::CascadeModels;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::mode::Mode;
use tandem_actors::ports::{ChatModel, ChatPiece, ChatRequest, ModelError, ModelId, Transcriber, Voice};
use tandem_actors::record::CallState;
use tandem_actors::testing::{CallOptions, CarrierPeer, FlatPrice, ProviderPeer, Universe, always, scripted};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const CAP: Option<NonZeroU64> = NonZeroU64::new(1_000);

/// A call that may cost a thousand micro-dollars in a mode, and pays one for each token.
fn capped() -> CallOptions {
    let mut options = CallOptions { prices: always(FlatPrice("gpt-realtime-2.1")), ..CallOptions::default() };
    options.agent.greeting.clear();
    options.limits.cost_max_opt = CAP;
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
        universe.advance(ms(100)).await;
    }
}

/// What the agent is asked to say next, when it is asked.
fn asked(provider: &mut ProviderPeer) -> Vec<String> {
    let events = provider.peer.drain_json().into_iter().filter(|event| event["type"] == "response.create");
    events.map(|event| event["response"]["instructions"].as_str().unwrap_or_default().to_owned()).collect()
}

const NOTICE: &str = "You are the night desk.\n\nI go on in a simpler way now.";
const GOODBYE: &str = "You are the night desk.\n\nEnd the call now. Goodbye.";

fn switches(report: &CallReport) -> Vec<(Mode, Rung, &str)> {
    let switch = |what| match what {
        &What::ModeSwitched { from, to, ref why } => Some((from, to, &**why)),
        _ => None,
    };
    report.timeline.events().iter().filter_map(|event| switch(&event.what)).collect()
}

#[actix_rt::test]
async fn a_call_that_has_reached_its_cap_says_so_and_goes_on_in_a_cheaper_mode() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider) = talking(&mut universe, capped()).await;
    answer(&provider, 1, 999);
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [""; 0], "it is not reached yet");
    answer(&provider, 2, 1);
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [NOTICE]);
    answer(&provider, 3, 1_500);
    universe.advance(ms(300)).await;
    let to = Rung::Mode(Mode::Traditional);
    assert_eq!(universe.record(1).state, CallState::Live, "the notice is heard to its end");
    pass(&universe, &mut carrier, &provider, 1).await;

    let report = universe.report().await;
    assert_eq!((&report.end, report.discrepancies.as_slice()), (&EndReason::HandedOver(to), [].as_slice()));
    assert_eq!(switches(&report), [(Mode::Realtime, to, CAP_REACHED)]);
    let heard: Vec<_> = report.ledger.turns().map(|turn| (turn.text.as_str(), turn.heard_text())).collect();
    let whole = ["answer 1", "answer 2", "answer 3"].map(|text| (text, text));
    assert_eq!(heard, whole);
    assert_eq!((report.spent.microusd, report.spent.unpriced, report.engine_failures), (2_500, 0, 0));
    let record = universe.record(1);
    assert_eq!((record.state, record.failed), (CallState::HandedOver { to }, vec![Mode::Realtime]));
    assert_eq!(record.spent.microusd, 2_500);
    assert!(record.spent.was_capped(), "whoever goes on with the call knows why");
    assert!(!record.spent.reached(CAP), "the cheaper mode does not pay for what the dear one said last");
    assert!(provider.peer.is_gone());
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

#[actix_rt::test]
async fn a_cheaper_mode_over_the_same_socket_takes_the_call_in_place() {
    let mut universe = Universe::new();
    let mute = Arc::new(Mute);
    let cascade = CascadeModels { transcriber: mute.clone(), chat: mute.clone(), voice: mute };
    let (mut carrier, provider) =
        talking(&mut universe, CallOptions { cascade: Some(cascade), ..capped() }).await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 2).await;
    answer(&provider, 2, 10);
    pass(&universe, &mut carrier, &provider, 3).await;
    let record = universe.record(1);
    assert_eq!((record.mode, record.state), (Mode::Cascade, CallState::Live));
    assert_eq!(record.failed, [Mode::Realtime], "the call does not go back, should the cheaper one fail");
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!((&report.end, report.discrepancies.as_slice()), (&EndReason::CallerHungUp, [].as_slice()));
    assert_eq!(switches(&report), [(Mode::Realtime, Rung::Mode(Mode::Cascade), CAP_REACHED)]);
}

#[actix_rt::test]
async fn with_nothing_cheaper_left_the_agent_says_goodbye() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider) =
        talking(&mut universe, CallOptions { others: Vec::new(), human: true, ..capped() }).await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [GOODBYE]);
    answer(&provider, 2, 10);
    pass(&universe, &mut carrier, &provider, 1).await;
    let report = universe.report().await;
    assert_eq!((&report.end, report.discrepancies.as_slice()), (&EndReason::CostLimit, [].as_slice()));
    let state = CallState::Ended { reason: "cost_limit".to_owned(), for_good: true };
    assert_eq!(universe.record(1).state, state);
}

#[actix_rt::test]
async fn a_notice_that_is_never_spoken_does_not_keep_the_call_in_a_dear_mode() {
    let mut universe = Universe::new();
    let (mut carrier, provider) = talking(&mut universe, capped()).await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 8).await;
    assert_eq!(universe.record(1).state, CallState::Live);
    pass(&universe, &mut carrier, &provider, 5).await;
    let report = universe.report().await;
    assert_eq!(report.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)));
    assert_eq!(report.discrepancies, []);
}

#[actix_rt::test]
async fn a_notice_that_the_caller_cuts_off_is_not_waited_for() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider) = talking(&mut universe, capped()).await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [NOTICE]);
    answer(&provider, 2, 10);
    universe.advance(ms(200)).await;
    provider.speech_started("u1");
    pass(&universe, &mut carrier, &provider, 2).await;
    let report = universe.report().await;
    assert_eq!(report.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)));
    assert_eq!(report.discrepancies, []);
}

#[actix_rt::test]
async fn without_words_for_it_the_call_just_goes_on_elsewhere() {
    let mut universe = Universe::new();
    let mut options = capped();
    options.agent.too_costly.clear();
    let (mut carrier, mut provider) = talking(&mut universe, options).await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 2).await;
    assert_eq!(asked(&mut provider), [""; 0]);
    assert_eq!(universe.report().await.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)));
}

#[actix_rt::test]
async fn an_engine_that_is_lost_in_its_notice_is_the_step_itself() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider) = talking(&mut universe, capped()).await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 2).await;
    provider.peer.lose();
    universe.advance(ms(10)).await;
    let mut successor = universe.provider().await;
    successor.peer.lose(); // the redial fails too: the next rung, before the notice's time is over
    pass(&universe, &mut carrier, &successor, 1).await;
    let report = universe.report().await;
    assert_eq!(report.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)));
    assert_eq!(switches(&report).len(), 1, "one step, not two");
    assert_eq!(report.discrepancies, []);
}

#[actix_rt::test]
async fn a_call_that_is_ended_in_its_notice_goes_nowhere_else() {
    let mut universe = Universe::new();
    let (mut carrier, call) = universe.call(capped()).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    answer(&provider, 1, 1_000);
    pass(&universe, &mut carrier, &provider, 2).await;
    call.do_send(EndCall);
    answer(&provider, 2, 10);
    pass(&universe, &mut carrier, &provider, 1).await;
    assert_eq!(asked(&mut provider), [NOTICE, GOODBYE]);
    let report = universe.report().await;
    assert_eq!((report.end.clone(), switches(&report)), (EndReason::Shutdown, Vec::new()));
}

#[actix_rt::test]
async fn a_model_without_a_price_reaches_no_cap_and_is_told_of() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider) =
        talking(&mut universe, CallOptions { prices: always(FlatPrice("another")), ..capped() }).await;
    for n in 0..3 {
        answer(&provider, n, 1_000_000);
        pass(&universe, &mut carrier, &provider, 2).await;
    }
    assert_eq!(asked(&mut provider), [""; 0]);
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!(report.end, EndReason::CallerHungUp);
    assert_eq!((report.spent.microusd, report.spent.unpriced, report.spent.total_opt()), (0, 3, None));
}
