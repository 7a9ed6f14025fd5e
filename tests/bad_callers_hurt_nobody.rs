//! Whatever a carrier does wrong, other calls on the same thread go on as if nothing had happened, and the caller behind
//! the bad carrier is served as far as he can be.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/apology.rs"]
mod apology;
#[path = "world/ear.rs"]
mod ear;
mod world;

use std::time::Duration;

use futures_util::future::{join_all, join5};
use tandem_media::g711;
use tandem_sim::carrier::{CallEnd, CallPlan, CallRecord, HangUp};
use tandem_sim::provider::{ProviderOptions, Script};
use tandem_sim::speech;

use apology::heard_apology;
use ear::heard_whole;
use world::{World, place};

/// Counted and ignored, since closing would hurt the caller.
const TOLERATED: [&str; 17] = [
    "no-stop",
    "media-before-start",
    "second-start",
    "bare-start",
    "garbage",
    "unknown-events",
    "binary",
    "big-message",
    "wrong-sid",
    "bad-base64",
    "frame-ms:30",
    "no-timestamps",
    "numbers",
    "no-marks",
    "marks-at-once",
    "duplicate-webhook",
    "late-status:0.5",
];

/// The caller is still there when his stream is not: he is asked to call again.
const LOST: [&str; 2] = ["reset-after:2", "close-before-start"];

/// The caller asks for a second, waits half a second to be taken for done, and hears an answer of 2.4 s.
fn conversation(world: &World) -> CallPlan {
    CallPlan { hang_up: HangUp::At(Duration::from_secs(5)), ..world.plan(300, 1_000) }
}

fn with_fault(plan: &CallPlan, fault: &str) -> CallPlan {
    CallPlan {
        faults: vec![fault.parse().unwrap()],
        status_url: Some(plan.voice_url.replace("/twilio/voice", "/twilio/status")),
        ..plan.clone()
    }
}

#[actix_rt::test]
async fn a_good_call_goes_on_while_every_fault_of_a_carrier_strikes_others() {
    let answer = speech::sentence("farewell").unwrap();
    let script = Script { answers: vec![answer.clone()], ..Script::default() };
    let provider = ProviderOptions { script, ..ProviderOptions::default() };
    let mut world = World::start(provider, &[("TANDEM__AGENT__GREETING", "")]).await;
    let plan = conversation(&world);
    let place_with = |fault: &&str| place(with_fault(&plan, fault));
    let (good, tolerated, lost, unsigned, half_open) = join5(
        place(plan.clone()),
        join_all(TOLERATED.iter().map(place_with)),
        join_all(LOST.iter().map(place_with)),
        place_with(&"bad-signature"),
        place_with(&"half-open-after:2"),
    )
    .await;

    for (fault, call) in TOLERATED.iter().zip(&tolerated).chain([(&"none", &good)]) {
        assert_eq!((&call.end, &call.warnings[..]), (&CallEnd::CallerHungUp, &[][..]), "{fault}");
        assert!(heard_whole(call, answer.text), "the answer was not heard whole: {fault}");
        assert_eq!(world.report(call).await.discrepancies, [], "{fault}");
    }
    for (fault, call) in LOST.iter().zip(&lost) {
        assert!(heard_apology(call), "{fault}: {:?}", call.events);
    }
    let CallEnd::ApplicationError { code: 11_200, text } = &unsigned.end else { panic!("{}", unsigned.end) };
    assert!(text.ends_with("status 403"), "{text}");
    assert_eq!(half_open.end, CallEnd::CallerHungUp);
    for call in [&lost[0], &half_open] {
        assert_eq!(world.report(call).await.discrepancies, []);
    }
    assert_heard(&world, &good, tolerated.len() + 1);
    world.close().await;
}

/// All callers say the same, so each session hears a beginning of it and nothing else: all of it in the calls that
/// were not lost.
fn assert_heard(world: &World, call: &CallRecord, whole: usize) {
    /// What is on its way when the caller hangs up: three frames of 20 ms.
    const LAST_WORD_BYTES: usize = 3 * 160;
    let said: Vec<u8> = call.said.iter().map(|&sample| g711::ulaw_encode(sample)).collect();
    let sessions = world.provider.sessions();
    assert_eq!(sessions.len(), whole + 2, "and one each of the two that were lost on the way");
    for session in &sessions {
        assert_eq!((session.turns.len(), session.appends_before_updated), (1, 0));
        assert_eq!((&session.errors_sent[..], &session.violations[..]), (&[][..], &[][..]));
        let foreign = session.audio.iter().zip(&said).position(|(heard, said)| heard != said);
        assert_eq!(foreign, None, "first byte that the caller did not say");
    }
    let is_whole = |heard: usize| heard + LAST_WORD_BYTES >= said.len();
    let heard_whole = sessions.iter().filter(|session| is_whole(session.audio.len())).count();
    assert!(heard_whole >= whole, "{heard_whole} of {whole}");
}
