//! A provider that fails once is dialled again, and the conversation goes on. One that keeps failing, or would only fail
//! in the same way again, is left for another mode; and when there is none, the caller hears an apology.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/apology.rs"]
mod apology;
#[path = "world/ear.rs"]
mod ear;
#[path = "world/sessions.rs"]
mod sessions;
mod world;

use std::time::Duration;

use futures_util::future::join_all;
use tandem_actors::call::decide::EndReason;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::mode::Mode;
use tandem_media::g711;
use tandem_sim::carrier::{CallEnd, CallRecord, HangUp};
use tandem_sim::provider::{ProviderOptions, Script, SessionRecord};
use tandem_sim::speech;

use apology::heard_apology;
use ear::heard_whole;
use sessions::sessions;
use world::{World, place};

/// The provider has said no, and would say it again.
const REFUSED: [&str; 5] = ["http:401", "http:429", "rate-limit", "error:invalid_api_key:1", "wrong-format"];

/// It may be better luck the second time, and is not.
const UNLUCKY: [&str; 8] = [
    "refuse",
    "http:503",
    "stall",
    "half-open-after:0",
    "drop-after:1",
    "reset-after:1",
    "error:server_error:1",
    "expire-after:1",
];

/// A provider is given one second to be ready, so that those who never are do not hold the test up.
const READY_MAX: (&str, &str) = ("TANDEM__LIMITS__ENGINE_READY_SECONDS_MAX", "1");

/// Rungs below the mode that the call begins in.
const NOTHING_BELOW: (&str, &str) = ("TANDEM__AGENT__LADDER", "realtime");
const ANOTHER_BELOW: (&str, &str) = ("TANDEM__AGENT__LADDER", "realtime,traditional");

/// The agent greets for 2.3 s and has one answer, of 2.4 s.
fn script() -> Script {
    let [greeting, answer] = ["breakfast", "farewell"].map(|id| speech::sentence(id).unwrap());
    Script { greeting, answers: vec![answer], ..Script::default() }
}

struct Outcome {
    fault: &'static str,
    call: CallRecord,
    dials: usize,
    sessions: Vec<SessionRecord>,
}

/// Calls a provider with a fault. The caller asks for 600 ms after the greeting and hangs up after the answer, unless the
/// call has ended before.
async fn call(fault: &'static str, ladder: (&str, &str)) -> Outcome {
    let faults = vec![fault.parse().unwrap()];
    let provider = ProviderOptions { script: script(), faults, ..ProviderOptions::default() };
    let mut world = World::start(provider, &[READY_MAX, ladder]).await;
    let mut plan = world.plan(2_700, 600);
    plan.hang_up = HangUp::At(Duration::from_millis(6_700));
    let call = place(plan).await;
    assert_eq!(world.report(&call).await.discrepancies, [], "{fault}");
    let (dials, sessions) = (world.provider.connections(), sessions(&world).await);
    world.close().await;
    Outcome { fault, call, dials, sessions }
}

#[actix_rt::test]
async fn a_provider_that_fails_for_good_costs_the_call_when_nothing_else_is_left_but_not_in_silence() {
    let calls = REFUSED.into_iter().chain(UNLUCKY).map(|fault| call(fault, NOTHING_BELOW));
    for Outcome { fault, call, dials, .. } in join_all(calls).await {
        assert!(heard_apology(&call), "{fault}: {:?}", call.events);
        assert_eq!(dials, if REFUSED.contains(&fault) { 1 } else { 2 }, "{fault}");
    }
}

#[actix_rt::test]
async fn a_provider_that_fails_for_good_is_left_for_the_mode_below_and_the_caller_is_answered_there() {
    let calls = REFUSED.into_iter().chain(UNLUCKY).map(|fault| async move {
        let faults = vec![fault.parse().unwrap()];
        let provider = ProviderOptions { script: script(), faults, ..ProviderOptions::default() };
        let mut world = World::start(provider, &[READY_MAX, ANOTHER_BELOW]).await;
        let mut plan = world.plan(0, 0);
        plan.utterances = vec!["Hello. Can I still check in after midnight?".to_owned()];
        plan.hang_up = HangUp::AfterAudio { linger: Duration::from_secs(3) };
        let call = place(plan).await;
        let (in_realtime, in_traditional) = (world.report(&call).await, world.report(&call).await);
        assert_eq!(in_realtime.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)), "{fault}");
        assert_eq!([&in_realtime, &in_traditional].map(|part| part.discrepancies.len()), [0, 0], "{fault}");
        world.close().await;
        (fault, call)
    });
    for (fault, call) in join_all(calls).await {
        let answers = call.said_aloud().filter(|(_, text)| *text == script().answers[0].text).count();
        assert_eq!((&call.end, answers), (&CallEnd::CallerHungUp, 1), "{fault}: {:?}", call.events);
        assert!(!call.said_aloud().any(|(_, text)| text.contains("sorry")), "{fault}");
    }
}

#[actix_rt::test]
async fn a_provider_that_fails_once_or_is_only_strange_keeps_the_conversation() {
    let faults = [
        "refuse@1",
        "http:503@1",
        "stall@1",
        "drop-after:1@1",
        "reset-after:1@1",
        "error:server_error:1@1",
        "expire-after:1@1",
        "delay:800",
        "session-delay:700",
        "garbage-after:0",
        "odd-chunks",
    ];
    for Outcome { fault, call, dials, sessions } in
        join_all(faults.map(|fault| call(fault, NOTHING_BELOW))).await
    {
        assert_eq!(dials, if fault.ends_with("@1") { 2 } else { 1 }, "{fault}");
        assert_goes_on(fault, &call, &sessions);
    }
}

/// The caller's question was answered, and what he said reached the sessions in order and once.
fn assert_goes_on(fault: &str, call: &CallRecord, sessions: &[SessionRecord]) {
    /// What is on its way when a session dies or the caller hangs up: three frames of 20 ms.
    const LOST_FRAMES_MAX: usize = 3;
    assert_eq!((&call.end, &call.warnings[..]), (&CallEnd::CallerHungUp, &[][..]), "{fault}");
    assert!(heard_whole(call, script().answers[0].text), "{fault}: the answer was not heard whole");
    let said: Vec<u8> = call.said.iter().map(|&sample| g711::ulaw_encode(sample)).collect();
    let mut rest = &said[..];
    for session in sessions {
        assert_eq!((session.appends_before_updated, &session.violations[..]), (0, &[][..]), "{fault}");
        let after_loss = |lost| rest.get(160 * lost..)?.strip_prefix(&session.audio[..]);
        rest =
            (0..=LOST_FRAMES_MAX).find_map(after_loss).expect("what the caller said, from where it was left");
    }
    assert!(rest.len() <= 160 * LOST_FRAMES_MAX, "{fault}: the last {} bytes were not heard", rest.len());
}
