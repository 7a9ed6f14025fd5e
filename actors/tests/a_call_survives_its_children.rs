//! Every row of the supervision table: each child is killed by panic, by a stop without a reason, through the kill
//! switch and by an error of its own kind, in each phase of a live call.

use std::time::Duration;

use actix::Addr;
use tandem_actors::call::decide::{EndReason, Role};
use tandem_actors::call::timeline::What;
use tandem_actors::call::{CallActor, EndCall};
use tandem_actors::engine::AudioChoice;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::mode::Mode;
use tandem_actors::ports::DialError;
use tandem_actors::testing::{
    CallOptions, CarrierPeer, Dial, ProviderPeer, Sabotage, SabotageChild, Universe,
};

const WAYS: [Sabotage; 3] = [Sabotage::Panic, Sabotage::Stop, Sabotage::Kill];
const PHASES: [Phase; 3] = [Phase::Connecting, Phase::Talking, Phase::Leaving];

/// The phases a live call can be in when a child dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// The provider's socket is open, its session not agreed.
    Connecting,
    /// In the middle of an answer.
    Talking,
    /// In the middle of the goodbye.
    Leaving,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call in the given phase.
async fn call_in(
    phase: Phase,
    audio: AudioChoice,
    universe: &mut Universe,
) -> (CarrierPeer, ProviderPeer, Addr<CallActor>) {
    let mut options = CallOptions { audio, ..CallOptions::default() };
    if phase == Phase::Leaving {
        options.limits.call_max = Duration::from_secs(2);
    }
    let (carrier, call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    if phase != Phase::Connecting {
        provider.agree().await;
        provider.expect("response.create").await;
        provider.response_created("r1");
        provider.audio("r1", "a1", 1_000);
        universe.advance(ms(300)).await;
    }
    if phase == Phase::Leaving {
        provider.audio_done("r1", "a1");
        provider.response_done("r1", "completed");
        let goodbye = provider.expect("response.create").await;
        let instructions = goodbye["response"]["instructions"].as_str();
        assert!(instructions.is_some_and(|text| text.contains("Goodbye.")), "{goodbye}");
        provider.response_created("r2");
        provider.audio("r2", "a2", 1_000);
        universe.advance(ms(100)).await;
    }
    (carrier, provider, call)
}

fn strike(call: &Addr<CallActor>, role: Role, how: Sabotage) {
    call.do_send(SabotageChild { role: Some(role), how });
}

/// The call goes on: the caller still reaches a provider that agrees, and hears it.
async fn assert_still_talks(universe: &mut Universe, carrier: &mut CarrierPeer, provider: &mut ProviderPeer) {
    provider.heard();
    carrier.speak(200, 0x11);
    universe.advance(ms(50)).await;
    assert!(!provider.heard().is_empty(), "the provider hears the caller");
    carrier.peer.drain();
    provider.respond("r9", "a9", 200);
    universe.advance(Duration::from_secs(6)).await;
    let media = carrier.peer.drain_json().iter().filter(|message| message["event"] == "media").count();
    assert!(media > 0, "the caller hears the agent");
}

async fn assert_clean(universe: &mut Universe) -> EndReason {
    let report = universe.report().await;
    assert_eq!(report.discrepancies, [], "{:?}", report.sheet);
    let census = universe.census().await;
    assert_eq!((census.live, census.crashed), (0, 0));
    report.end.clone()
}

/// A provider that never agreed is left meanwhile, and the caller, should he come back, is served by the next rung.
fn is_lost(phase: Phase, end: &EndReason) -> bool {
    match end {
        EndReason::CarrierLost(_) => true,
        EndReason::HandedOver(Rung::Mode(Mode::Traditional)) => phase == Phase::Connecting,
        _ => false,
    }
}

/// The time in which the carrier may open another socket passes, with a provider that is there.
async fn nobody_comes_back(universe: &Universe, provider: &ProviderPeer) {
    for _ in 0..15 {
        provider.peer.say(&serde_json::json!({"type": "rate_limits.updated", "rate_limits": []}));
        universe.advance(Duration::from_secs(1)).await;
    }
}

#[actix_rt::test]
async fn a_dead_leg_that_is_not_followed_by_another_ends_the_call_as_lost() {
    for phase in PHASES {
        for how in WAYS {
            let mut universe = Universe::new();
            let (_carrier, mut provider, call) = call_in(phase, AudioChoice::Pcmu, &mut universe).await;
            strike(&call, Role::Leg, how);
            nobody_comes_back(&universe, &provider).await;
            let end = assert_clean(&mut universe).await;
            assert!(is_lost(phase, &end), "{phase:?} {how:?}: {end:?}");
            assert!(provider.peer.is_gone(), "no session is left open at the provider");
        }
    }
}

#[actix_rt::test]
async fn a_lost_carrier_socket_that_is_not_followed_by_another_ends_the_call_as_lost() {
    for phase in PHASES {
        let mut universe = Universe::new();
        let (mut carrier, mut provider, _call) = call_in(phase, AudioChoice::Pcmu, &mut universe).await;
        carrier.peer.lose();
        nobody_comes_back(&universe, &provider).await;
        let end = assert_clean(&mut universe).await;
        assert!(is_lost(phase, &end), "{phase:?}: {end:?}");
        assert!(provider.peer.is_gone());
    }
}

#[actix_rt::test]
async fn a_caller_who_hangs_up_ends_the_call_in_every_phase() {
    for phase in PHASES {
        let mut universe = Universe::new();
        let (carrier, mut provider, _call) = call_in(phase, AudioChoice::Pcmu, &mut universe).await;
        carrier.hang_up();
        assert_eq!(assert_clean(&mut universe).await, EndReason::CallerHungUp);
        assert!(provider.peer.is_gone(), "{phase:?}: no session is left open at the provider");
    }
}

#[actix_rt::test]
async fn a_dead_engine_is_redialled_once_with_the_conversation_so_far() {
    for phase in PHASES {
        for how in WAYS {
            let mut universe = Universe::new();
            let (mut carrier, _provider, call) = call_in(phase, AudioChoice::Pcmu, &mut universe).await;
            strike(&call, Role::Engine, how);
            let mut successor = universe.provider().await;
            successor.agree().await;
            assert_still_talks(&mut universe, &mut carrier, &mut successor).await;
            if phase != Phase::Leaving {
                strike(&call, Role::Engine, how);
            }
            let end = assert_clean(&mut universe).await;
            let expected = match phase {
                Phase::Leaving => matches!(end, EndReason::LengthLimit),
                _ => matches!(end, EndReason::HandedOver(Rung::Mode(Mode::Traditional))),
            };
            assert!(expected, "{phase:?} {how:?}: {end:?}");
        }
    }
}

#[actix_rt::test]
async fn a_lost_provider_socket_is_redialled_and_the_callers_words_wait_for_it() {
    for phase in [Phase::Connecting, Phase::Talking] {
        let mut universe = Universe::new();
        let (mut carrier, mut provider, _call) = call_in(phase, AudioChoice::Pcmu, &mut universe).await;
        universe.plan_dials([Dial::After(ms(1_000))]);
        provider.peer.lose();
        universe.advance(ms(10)).await;
        carrier.speak(600, 0x33);
        let mut successor = universe.provider().await;
        successor.agree().await;
        universe.advance(ms(10)).await;
        let heard = successor.heard();
        let spoken: Vec<u8> = heard.into_iter().filter(|code| *code == 0x33).collect();
        assert_eq!(spoken, [0x33; 600 * 8], "{phase:?}: what was said in the gap reaches the new session");
        carrier.hang_up();
        assert_eq!(assert_clean(&mut universe).await, EndReason::CallerHungUp);
    }
}

#[actix_rt::test]
async fn an_engine_that_errors_is_redialled_and_one_that_is_refused_is_not() {
    let mut universe = Universe::new();
    let (_carrier, provider, _call) = call_in(Phase::Talking, AudioChoice::Pcmu, &mut universe).await;
    provider.error("server_error", "");
    let mut successor = universe.provider().await;
    successor.agree().await;
    successor.error("invalid_request_error", "invalid_api_key");
    let end = assert_clean(&mut universe).await;
    assert!(matches!(end, EndReason::HandedOver(Rung::Mode(Mode::Traditional))), "{end:?}");
    assert!(!universe.dialled_unseen());
}

#[actix_rt::test]
async fn a_provider_that_cannot_be_reached_ends_the_call_politely() {
    for (error, dials) in [
        (DialError::Unauthorized(401), 1),
        (DialError::RateLimited, 1),
        (DialError::Status(503), 2),
        (DialError::Unreachable("refused".to_owned()), 2),
    ] {
        let mut universe = Universe::new();
        universe.plan_dials(std::iter::repeat_n(Dial::Fail(error), 5));
        let (mut carrier, _call) = universe.call(CallOptions::default()).await;
        let report = universe.report().await;
        assert!(
            matches!(report.end, EndReason::HandedOver(Rung::Mode(Mode::Traditional))),
            "{:?}",
            report.end
        );
        let dialled = |what: &What| matches!(what, What::EngineDialled);
        assert_eq!(report.timeline.events().iter().filter(|event| dialled(&event.what)).count(), dials);
        assert_eq!(report.discrepancies, []);
        let closed = carrier.peer.drain();
        assert!(format!("{closed:?}").contains("Close"), "the carrier's socket is closed in order");
    }
}

#[actix_rt::test]
async fn a_session_that_never_gets_ready_is_given_up() {
    let mut universe = Universe::new();
    let (mut carrier, _call) = universe.call(CallOptions::default()).await;
    let mut first = universe.provider().await;
    for _ in 0..5 {
        carrier.speak(1_000, 0xFF);
        universe.advance(Duration::from_secs(1)).await;
    }
    let end = assert_clean(&mut universe).await;
    assert!(matches!(end, EndReason::HandedOver(Rung::Mode(Mode::Traditional))), "{end:?}");
    assert!(first.peer.is_gone() && !universe.dialled_unseen(), "the caller does not wait for it twice");
}

#[actix_rt::test]
async fn a_provider_that_falls_silent_for_good_is_found_out() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider, _call) = call_in(Phase::Talking, AudioChoice::Pcmu, &mut universe).await;
    for _ in 0..110 {
        carrier.speak(100, 0x22);
        universe.advance(ms(100)).await;
    }
    let pings = provider.peer.drain();
    assert!(pings.contains(&tandem_actors::ports::Outgoing::Ping), "it was asked before it was given up");
    universe.provider().await;
    carrier.hang_up();
    assert_clean(&mut universe).await;
}

#[actix_rt::test]
async fn a_carrier_that_falls_silent_for_good_is_found_out() {
    let mut universe = Universe::new();
    let (mut carrier, mut provider, _call) = call_in(Phase::Talking, AudioChoice::Pcmu, &mut universe).await;
    provider.audio_done("r1", "a1");
    provider.response_done("r1", "completed");
    for _ in 0..12 {
        universe.advance(Duration::from_secs(1)).await;
        provider.peer.say(&serde_json::json!({"type": "rate_limits.updated", "rate_limits": []}));
    }
    nobody_comes_back(&universe, &provider).await;
    let report = universe.report().await;
    assert_eq!(report.end, EndReason::CarrierLost("half-open".to_owned()));
    assert!(carrier.peer.drain().contains(&tandem_actors::ports::Outgoing::Ping));
    assert_eq!(report.discrepancies, []);
    assert!(provider.peer.is_gone());
}

#[actix_rt::test]
async fn a_dead_transcoder_is_replaced_at_once_until_it_dies_too_often() {
    for phase in [Phase::Connecting, Phase::Talking] {
        for how in WAYS {
            let mut universe = Universe::new();
            let (mut carrier, mut provider, call) = call_in(phase, AudioChoice::Pcm24, &mut universe).await;
            if phase == Phase::Connecting {
                provider.agree().await;
            }
            for _ in 0..3 {
                strike(&call, Role::Transcoder, how);
                universe.advance(ms(10)).await;
            }
            assert_still_talks(&mut universe, &mut carrier, &mut provider).await;
            strike(&call, Role::Transcoder, how);
            let end = assert_clean(&mut universe).await;
            assert!(
                matches!(end, EndReason::HandedOver(Rung::Mode(Mode::Traditional))),
                "{phase:?} {how:?}: {end:?}"
            );
        }
    }
}

#[actix_rt::test]
async fn one_calls_panic_touches_no_other_call() {
    let mut universe = Universe::new();
    let (_doomed_carrier, mut doomed_provider, doomed) =
        call_in(Phase::Talking, AudioChoice::Pcmu, &mut universe).await;
    let (mut carrier, mut provider, _call) = call_in(Phase::Talking, AudioChoice::Pcmu, &mut universe).await;
    doomed.do_send(SabotageChild { role: None, how: Sabotage::Panic });
    universe.advance(ms(10)).await;
    assert!(doomed_provider.peer.is_gone(), "its children die with it");
    assert_still_talks(&mut universe, &mut carrier, &mut provider).await;
    let census = universe.census().await;
    assert_eq!((census.live, census.crashed), (1, 1));
    carrier.hang_up();
    assert_eq!(universe.report().await.end, EndReason::CallerHungUp);
}

#[actix_rt::test]
async fn a_silent_caller_is_said_goodbye_to() {
    let mut universe = Universe::new();
    let mut options = CallOptions::default();
    options.limits.caller_idle_max = Duration::from_secs(20);
    options.agent.greeting.clear();
    let (mut carrier, _call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    for _ in 0..21 {
        carrier.speak(1_000, 0xFF);
        provider.peer.say(&serde_json::json!({"type": "rate_limits.updated", "rate_limits": []}));
        universe.advance(Duration::from_secs(1)).await;
    }
    provider.expect("response.create").await;
    provider.respond("r1", "a1", 1_000);
    assert_eq!(assert_clean(&mut universe).await, EndReason::CallerIdle);
}

#[actix_rt::test]
async fn a_goodbye_that_never_comes_does_not_keep_the_line_open() {
    let mut universe = Universe::new();
    let mut options = CallOptions::default();
    options.limits.call_max = Duration::from_secs(2);
    let (mut carrier, _call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    for _ in 0..20 {
        carrier.speak(1_000, 0xFF);
        provider.peer.say(&serde_json::json!({"type": "rate_limits.updated", "rate_limits": []}));
        universe.advance(Duration::from_secs(1)).await;
    }
    assert_eq!(assert_clean(&mut universe).await, EndReason::LengthLimit);
}

#[actix_rt::test]
async fn the_goodbye_is_heard_although_the_providers_own_answer_comes_first() {
    let mut universe = Universe::new();
    let mut options = CallOptions::default();
    options.limits.call_max = Duration::from_secs(2);
    options.agent.greeting.clear();
    let (mut carrier, _call) = universe.call(options).await;
    let mut provider = universe.provider().await;
    provider.agree().await;
    let goodbye = provider.expect("response.create").await;
    assert!(goodbye.to_string().contains("Goodbye."));
    provider.response_created("automatic");
    provider.error("invalid_request_error", "conversation_already_has_active_response");
    provider.audio("automatic", "a1", 1_000);
    provider.audio_done("automatic", "a1");
    provider.response_done("automatic", "completed");
    provider.expect("response.create").await;
    provider.respond("ours", "a2", 1_000);
    assert_eq!(assert_clean(&mut universe).await, EndReason::LengthLimit);
    let bytes: usize = carrier
        .peer
        .drain_json()
        .iter()
        .filter_map(|message| message["media"]["payload"].as_str())
        .map(tandem_wire::audio::decoded_len)
        .sum();
    assert_eq!(bytes, 2_000 * 8, "both are heard to their end");
}

#[actix_rt::test]
async fn a_goodbye_that_is_being_said_is_not_cut_off_by_the_end_of_the_process() {
    let mut universe = Universe::new();
    let (_carrier, provider, call) = call_in(Phase::Leaving, AudioChoice::Pcmu, &mut universe).await;
    call.do_send(EndCall);
    universe.advance(ms(100)).await;
    assert_eq!(universe.census().await.live, 1);
    provider.audio_done("r2", "a2");
    provider.response_done("r2", "completed");
    assert_eq!(assert_clean(&mut universe).await, EndReason::LengthLimit);
}
