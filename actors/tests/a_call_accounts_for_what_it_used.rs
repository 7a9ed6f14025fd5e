//! Whatever happens in a call, its usage events are what its providers told, once each, and its sums are theirs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use bytes::Bytes;
use futures_util::future::{LocalBoxFuture, ready};
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use tandem_actors::budgets::Purse;
use tandem_actors::call::cost::Spent;
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::turns::{Conversation, Question, TurnCall, TurnSettings, TurnSetup, ask};
use tandem_actors::call::{CallReport, CallerGone};
use tandem_actors::engine::cascade::CascadeModels;
use tandem_actors::fallback::ladder::{Ladder, Rung};
use tandem_actors::ledger::{Share, Speaker};
use tandem_actors::mode::Mode;
use tandem_actors::ports::{
    CallStore, ChatModel, ChatPiece, ChatRequest, ChatStop, ChatUsage, Clock, DialError, ModelError, ModelId,
    Transcriber, Voice,
};
use tandem_actors::switchboard::{Admission, Admit, open_turns};
use tandem_actors::testing::{
    CallOptions, CarrierPeer, Dial, FlatPrice, MemorySpool, ProviderPeer, Universe, always, scripted,
    test_agent,
};
use tandem_actors::usage::event::{EventKind, UsageEvent};
use tandem_media::frame::G711Frame;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call whose agent does not greet, and whose tokens cost a micro-dollar each.
fn options() -> CallOptions {
    let mut options = CallOptions { prices: always(FlatPrice("gpt-realtime-2.1")), ..CallOptions::default() };
    options.agent.greeting.clear();
    options
}

async fn talking(universe: &mut Universe, options: CallOptions) -> (CarrierPeer, ProviderPeer) {
    let (carrier, _call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    (carrier, provider)
}

/// An answer of so many milliseconds that takes so many tokens, of which so many are the agent's audio.
fn answer(provider: &ProviderPeer, n: u32, length_ms: u64, tokens: u64, audio_out: u64) {
    let (response, item) = (format!("r{n}"), format!("a{n}"));
    provider.response_created(&response);
    provider.audio(&response, &item, length_ms);
    provider.transcript(&response, &item, &format!("answer {n}"));
    provider.audio_done(&response, &item);
    provider.peer.say(&json!({
        "type": "response.done", "event_id": "e",
        "response": {"id": response, "status": "completed", "usage": {
            "total_tokens": tokens, "input_tokens": tokens - audio_out, "output_tokens": audio_out,
            "output_token_details": {"audio_tokens": audio_out}
        }}
    }));
}

fn caller_says(provider: &ProviderPeer, item: &str, seconds: f64) {
    provider.speech_started(item);
    provider.speech_stopped(item);
    provider.peer.say(&json!({
        "type": "conversation.item.input_audio_transcription.completed", "event_id": "e",
        "item_id": item, "content_index": 0, "transcript": "Hello?",
        "usage": {"type": "duration", "seconds": seconds}
    }));
}

/// Time passes with a provider that is there, and with a carrier that plays what it gets as time passes.
async fn pass(universe: &Universe, carrier: &mut CarrierPeer, provider: &ProviderPeer, seconds: u64) {
    for _ in 0..seconds * 10 {
        carrier.speak(100, 0xFF);
        provider.peer.say(&json!({"type": "rate_limits.updated", "rate_limits": []}));
        universe.advance(ms(100)).await;
    }
}

fn costs(events: &[UsageEvent], kinds: &[EventKind]) -> (u64, u64) {
    let of_kinds = events.iter().filter(|event| kinds.contains(&event.kind));
    of_kinds.fold((0, 0), |(sum, unpriced), event| match event.cost_microusd_opt {
        Some(microusd) => (sum + microusd, unpriced),
        None => (sum, unpriced + 1),
    })
}

/// Of one call that is over: its events are unique, begin and end once, and their sums are the reports'.
fn assert_balanced(spool: &MemorySpool, reports: &[&CallReport]) {
    let events = spool.events();
    let ids: HashSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), events.len(), "no event is told twice");
    assert!(events.iter().all(|event| event.call == reports[0].id && event.agent == "night desk"));
    assert!(events.is_sorted_by_key(|event| event.at));
    assert_eq!((spool.quantity(EventKind::SessionStart), spool.quantity(EventKind::SessionEnd)), (1, 1));
    assert_eq!(events[0].kind, EventKind::SessionStart);
    assert_eq!(events.last().map(|event| event.kind), Some(EventKind::SessionEnd));
    let spent = reports.last().expect("somebody served the call").spent;
    let media: Vec<Spent> = reports[..reports.len() - 1].iter().map(|report| report.spent).collect();
    let sum = |of: fn(&Spent) -> u64| media.iter().map(of).sum::<u64>() + of(&spent);
    let models = [EventKind::Tokens, EventKind::Stt, EventKind::Tts];
    assert_eq!(costs(&events, &models), (sum(|spent| spent.microusd), sum(|spent| spent.unpriced.into())));
    assert_eq!(costs(&events, &[EventKind::CarrierMinute]), (sum(|spent| spent.carrier_microusd), 0));
    let unheard: u64 = events.iter().map(|event| event.unheard_microusd).sum();
    assert_eq!(unheard, sum(|spent| spent.unheard_microusd));
    let billed = reports.iter().flat_map(|report| &report.bill).map(|line| line.microusd).sum::<u64>();
    assert_eq!(billed, sum(|spent| spent.microusd) + sum(|spent| spent.carrier_microusd));
    for report in reports {
        assert_eq!((report.sheet.usage_lost, report.discrepancies.as_slice()), (0, [].as_slice()));
    }
}

// ---------------------------------------------------------------- one mode

#[actix_rt::test]
async fn a_realtime_call_accounts_for_its_tokens_its_ears_its_time_and_its_line() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider) = talking(&mut universe, options()).await;
    caller_says(&provider, "u1", 2.5);
    answer(&provider, 1, 1_000, 300, 20);
    pass(&universe, &mut carrier, &provider, 25).await;
    caller_says(&provider, "u2", 1.0);
    answer(&provider, 2, 1_000, 40, 20);
    pass(&universe, &mut carrier, &provider, 40).await;
    let heard_ms = provider.heard().len() as u64 / 8;
    carrier.hang_up();
    let report = universe.report().await;
    assert_balanced(&universe.spool, &[&report]);

    let told = |kind| {
        let events = universe.spool.of(kind).into_iter();
        events.map(|event| (event.quantity, event.cost_microusd_opt)).collect::<Vec<_>>()
    };
    assert_eq!(told(EventKind::Tokens), [(300, Some(300)), (40, Some(40))]);
    assert_eq!(told(EventKind::Stt), [(2_500, None), (1_000, None)], "the model that listens has no price");
    assert_eq!(told(EventKind::CarrierMinute), [(1, Some(12)), (1, Some(12))]);
    assert_eq!(told(EventKind::VoiceMinute).len(), 3, "every thirty seconds, and the rest");
    let served = universe.spool.quantity(EventKind::VoiceMinute);
    assert!((65_000..66_000).contains(&served), "{served} ms");
    assert_eq!(universe.spool.quantity(EventKind::AudioInput), heard_ms);

    let ended = &universe.spool.of(EventKind::SessionEnd)[0].metadata;
    assert_eq!(ended.end_reason_opt.as_deref(), Some("caller_hung_up"));
    assert!(ended.length_ms_opt.is_some_and(|length| (served..served + 200).contains(&length)), "{ended:?}");
    let tokens =
        universe.spool.of(EventKind::Tokens)[0].metadata.tokens_opt.expect("tokens are told by kind");
    assert_eq!((tokens.input, tokens.output, tokens.audio_out), (280, 20, 20));
    let payees: Vec<_> =
        report.bill.iter().map(|line| (line.provider.as_str(), line.model.as_str(), line.microusd)).collect();
    assert_eq!(
        payees,
        [
            ("twilio", "streamed_call", 24),
            ("openai", "gpt-transcribe", 0),
            ("openai", "gpt-realtime-2.1", 340)
        ]
    );
    assert!(
        universe.spool.events().iter().all(|event| event.mode == Mode::Realtime && event.price_version == 3)
    );
}

#[actix_rt::test]
async fn what_the_caller_cut_off_is_paid_for_and_told_as_unheard() {
    let mut universe = Universe::new();
    let (mut carrier, provider) = talking(&mut universe, options()).await;
    answer(&provider, 1, 10_000, 1_000, 200);
    pass(&universe, &mut carrier, &provider, 3).await;
    provider.speech_started("u1");
    pass(&universe, &mut carrier, &provider, 1).await;
    carrier.hang_up();
    let report = universe.report().await;
    assert_balanced(&universe.spool, &[&report]);
    let cut = report.ledger.turns().find(|turn| turn.who == Speaker::Agent).expect("the agent spoke");
    let Share::Until { ms: heard_ms } = cut.heard else { panic!("{cut:?}") };
    assert!((2_500..3_500).contains(&heard_ms), "{heard_ms} ms");
    assert_eq!(report.spent.unheard_microusd, 200 * (10_000 - heard_ms) / 10_000);
    assert_eq!(
        report.bill.iter().map(|line| line.unheard_microusd).sum::<u64>(),
        report.spent.unheard_microusd
    );
    let telling: Vec<_> =
        universe.spool.events().into_iter().filter(|event| event.unheard_microusd > 0).collect();
    assert_eq!(telling.iter().map(|event| event.kind).collect::<Vec<_>>(), [EventKind::SessionEnd]);
}

#[actix_rt::test]
async fn a_response_whose_usage_is_not_told_costs_nobody_knows_what() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider) = talking(&mut universe, options()).await;
    provider.respond("r1", "a1", 200); // without usage
    pass(&universe, &mut carrier, &provider, 1).await;
    answer(&provider, 2, 200, 10, 10);
    pass(&universe, &mut carrier, &provider, 1).await;
    provider.response_created("r3"); // and lost with its session
    provider.peer.lose();
    universe.advance(ms(10)).await;
    let mut second = universe.provider().await;
    second.agree().await;
    pass(&universe, &mut carrier, &second, 1).await;
    carrier.hang_up();
    let report = universe.report().await;
    assert_balanced(&universe.spool, &[&report]);
    let told: Vec<_> = universe.spool.of(EventKind::Tokens);
    let told: Vec<_> = told.iter().map(|event| (event.quantity, event.cost_microusd_opt)).collect();
    assert_eq!(told, [(0, None), (10, Some(10)), (0, None)]);
    assert_eq!((report.spent.unpriced, report.spent.total_opt()), (2, None));
}

// ---------------------------------------------------------------- from mode to mode

/// Models of a cascade: each utterance is "Hello?", each answer "Good evening.".
struct Models;

impl Transcriber for Models {
    fn model(&self) -> ModelId {
        scripted("ears")
    }

    fn transcribe(&self, _: Vec<i16>, _: &str) -> LocalBoxFuture<'static, Result<String, ModelError>> {
        ready(Ok("Hello?".to_owned())).boxed_local()
    }
}

impl ChatModel for Models {
    fn model(&self) -> ModelId {
        scripted("chat")
    }

    fn answer(&self, _: ChatRequest) -> LocalBoxStream<'static, Result<ChatPiece, ModelError>> {
        let usage = ChatUsage { input_tokens: 40, cached_input_tokens: 0, output_tokens: 5 };
        let done = ChatPiece::Done { stop: ChatStop::Complete, usage: Some(usage) };
        stream::iter([Ok(ChatPiece::Text("Good evening.".to_owned())), Ok(done)]).boxed_local()
    }
}

impl Voice for Models {
    fn model(&self) -> ModelId {
        scripted("voice")
    }

    /// Ten milliseconds a character.
    fn speak(&self, text: &str) -> LocalBoxStream<'static, Result<Bytes, ModelError>> {
        let samples = text.len() * 24 * 10;
        stream::iter([Ok(Bytes::from([0x10, 0x20].repeat(samples)))]).boxed_local()
    }
}

fn cascade() -> CascadeModels {
    CascadeModels { transcriber: Arc::new(Models), chat: Arc::new(Models), voice: Arc::new(Models) }
}

/// A caller who is loud for a second, and then silent for three.
async fn caller_speaks(universe: &Universe, carrier: &mut CarrierPeer) {
    let buzz: Vec<u8> = [0x10_u8, 0x90].repeat(80); // one level, up and down
    for n in 0..200 {
        match n {
            0..50 => carrier.send_frame(&G711Frame::from_slice(&buzz)),
            _ => carrier.speak(20, 0xFF),
        }
        universe.advance(ms(20)).await;
    }
}

#[actix_rt::test]
async fn a_cascade_accounts_for_each_of_its_models_and_a_mode_for_its_own_time() {
    let mut universe = Universe::new();
    let mut options = options();
    options.cascade = Some(cascade());
    options.prices = always(FlatPrice("voice"));
    let (mut carrier, mut provider) = talking(&mut universe, options).await;
    universe.plan_dials([Dial::Fail(DialError::Unauthorized(401))]);
    pass(&universe, &mut carrier, &provider, 4).await;
    provider.peer.lose();
    universe.advance(ms(200)).await;
    caller_speaks(&universe, &mut carrier).await;
    carrier.hang_up();
    let report = universe.report().await;
    assert_eq!(report.mode, Mode::Cascade);
    assert_balanced(&universe.spool, &[&report]);

    let of_cascade: Vec<_> =
        universe.spool.events().into_iter().filter(|event| event.mode == Mode::Cascade).collect();
    let told = |kind| -> Vec<(u64, Option<u64>)> {
        let events = of_cascade.iter().filter(|event| event.kind == kind);
        events.map(|event| (event.quantity, event.cost_microusd_opt)).collect()
    };
    assert!(told(EventKind::Tokens).contains(&(45, None)), "{of_cascade:?}");
    assert!(told(EventKind::Tts).contains(&(13, Some(13))), "{of_cascade:?}");
    let [(heard_ms, None)] = told(EventKind::Stt)[..] else { panic!("{of_cascade:?}") };
    assert!((900..2_500).contains(&heard_ms), "{heard_ms} ms of a second and the line around it");
    let time = |mode| {
        let events = universe.spool.of(EventKind::VoiceMinute).into_iter();
        events.filter(|event| event.mode == mode).map(|event| event.quantity).sum::<u64>()
    };
    assert!((4_000..4_600).contains(&time(Mode::Realtime)), "{}", time(Mode::Realtime));
    assert!((4_000..4_600).contains(&time(Mode::Cascade)), "{}", time(Mode::Cascade));
}

/// The call that was begun as the first goes on turn by turn, by its record.
async fn goes_on_in_turns(universe: &Universe) -> Addr<TurnCall> {
    let record = universe.record(1);
    let admitted = universe.switchboard.send(Admit { call_sid: None }).await.expect("the switchboard lives");
    let Ok(Admission::Seat(seat)) = admitted else { panic!("{admitted:?}") };
    let setup = TurnSetup {
        seat,
        call_sid: record.call_sid,
        from_opt: None,
        to_opt: None,
        routed: record.routed,
        rule_opt: None,
        conversation: Conversation::from_ledger(record.id, record.started_at, record.ledger),
        now: universe.clock.now(),
        call_max: Duration::from_hours(1),
        cost_max_opt: None,
        purse: Purse::default(),
        spent: record.spent,
        recording: universe
            .spool
            .recording(always(FlatPrice("chat")), Arc::clone(&universe.clock) as Arc<dyn Clock>),
        agent: Arc::new(test_agent()),
        settings: Arc::new(TurnSettings::default()),
        model: Arc::new(Models),
        narrator_opt: None,
        ladder: Ladder::new(Mode::Traditional, &[], &[Mode::Traditional]),
        failed: record.failed,
        goes_back_up: false,
        fallback: universe.fallback.clone(),
        store: Arc::clone(&universe.store) as Arc<dyn CallStore>,
        switchboard: universe.switchboard.clone().recipient(),
    };
    open_turns(setup, &universe.switchboard)
}

#[actix_rt::test]
async fn a_call_that_goes_on_in_turns_is_one_session_and_pays_for_no_minute_twice() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider) = talking(&mut universe, options()).await;
    answer(&provider, 1, 1_000, 300, 20);
    pass(&universe, &mut carrier, &provider, 30).await;
    universe.plan_dials([Dial::Fail(DialError::Unauthorized(401))]);
    provider.peer.lose();
    let media = universe.report().await;
    assert_eq!(media.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)));
    assert_eq!(universe.spool.of(EventKind::SessionEnd), [], "it is not over");

    let call = goes_on_in_turns(&universe).await;
    for question in [Question::Began, Question::Speech { text: "Hello?".to_owned(), confidence_opt: None }] {
        ask(&call, question, None).await.expect("the call lives");
        universe.advance(Duration::from_secs(17)).await;
    }
    call.do_send(CallerGone);
    let turns = universe.report().await;
    assert_eq!(turns.spent.microusd, 300 + 45 * universe.spool.quantity(EventKind::TextMessage));
    assert_eq!(
        universe.spool.quantity(EventKind::TextMessage),
        universe.spool.of(EventKind::Tokens).len() as u64 - 1
    );
    assert_eq!(universe.record(1).spent, turns.spent, "the whole call's");

    // What the last actor reports is of the whole call; what came before it is in there.
    let events = universe.spool.events();
    assert_eq!(
        (universe.spool.quantity(EventKind::SessionStart), universe.spool.quantity(EventKind::SessionEnd)),
        (1, 1)
    );
    let minutes: Vec<_> = events.iter().filter(|event| event.kind == EventKind::CarrierMinute).collect();
    let minutes: Vec<_> =
        minutes.iter().map(|event| (event.mode, event.quantity, event.cost_microusd_opt)).collect();
    assert_eq!(minutes, [(Mode::Realtime, 1, Some(12)), (Mode::Traditional, 1, Some(8))]);
    assert_eq!(turns.spent.carrier_microusd, 20);
    let served = universe.spool.quantity(EventKind::VoiceMinute);
    let length =
        universe.spool.of(EventKind::SessionEnd)[0].metadata.length_ms_opt.expect("an end has a length");
    assert!((63_000..66_000).contains(&served) && served <= length, "{served} ms of {length}");
}

#[actix_rt::test]
async fn a_call_that_loses_its_engine_stays_one_session() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider) = talking(&mut universe, options()).await;
    answer(&provider, 1, 1_000, 100, 20);
    pass(&universe, &mut carrier, &provider, 2).await;
    provider.peer.lose();
    universe.advance(ms(10)).await;
    let mut second = universe.provider().await;
    second.agree().await;
    answer(&second, 2, 1_000, 50, 20);
    pass(&universe, &mut carrier, &second, 2).await;
    carrier.hang_up();
    let report = universe.report().await;
    assert_balanced(&universe.spool, &[&report]);
    assert_eq!(report.spent.microusd, 150);
}

#[actix_rt::test]
async fn what_is_used_in_the_calls_last_moment_is_in_its_record() {
    let mut universe = Universe::new();
    let mut options = options();
    options.limits.call_max = Duration::from_secs(2);
    let (mut carrier, mut provider) = talking(&mut universe, options).await;
    pass(&universe, &mut carrier, &provider, 3).await;
    provider.expect("response.create").await;
    provider.response_created("r1");
    provider.audio("r1", "a1", 200);
    provider.audio_done("r1", "a1");
    universe.advance(ms(50)).await;
    // The price of the goodbye, and the proof that it was heard, come together.
    provider.peer.say(&json!({
        "type": "response.done", "event_id": "e",
        "response": {"id": "r1", "status": "completed", "usage": {"total_tokens": 70}}
    }));
    for message in carrier.peer.drain_json() {
        if message["event"] == "mark" {
            carrier.echo(message["mark"]["name"].as_str().expect("marks have names"));
        }
    }
    let report = universe.report().await;
    assert_eq!((&report.end, report.spent.microusd), (&EndReason::LengthLimit, 70));
    assert_eq!(universe.record(1).spent.microusd, 70);
}
