//! Whatever a carrier does wrong, other calls on the same thread go on as if nothing had happened, and the caller behind
//! the bad carrier is served as far as he can be.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/ear.rs"]
mod ear;
#[path = "world/sessions.rs"]
mod sessions;
mod world;

use std::time::Duration;

use futures_util::future::{join_all, join5};
use tandem_media::g711;
use tandem_sim::carrier::{CallEnd, CallPlan, CallRecord, HangUp};
use tandem_sim::provider::{ProviderOptions, Script};
use tandem_sim::speech;

use ear::heard_whole;
use sessions::sessions;
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

/// The caller is still there when his stream is not: he is connected again.
const LOST: [&str; 2] = ["reset-after:1.5", "close-before-start"];

/// The caller asks for a second, waits half a second to be taken for done, and hears an answer of 2.4 s.
fn conversation(world: &World) -> CallPlan {
    CallPlan { hang_up: HangUp::At(Duration::from_secs(5)), ..world.plan(300, 1_000) }
}

fn with_fault(plan: &CallPlan, fault: &str) -> CallPlan {
    CallPlan { faults: vec![fault.parse().unwrap()], ..plan.clone() }
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

    let on_one_stream = || TOLERATED.iter().zip(&tolerated).chain([(&"none", &good)]);
    for (fault, call) in on_one_stream() {
        assert_eq!((call.stream_sids.len(), &call.warnings[..]), (1, &[][..]), "{fault}");
    }
    for (fault, call) in on_one_stream().chain(LOST.iter().zip(&lost)) {
        assert_eq!(call.end, CallEnd::CallerHungUp, "{fault}");
        assert!(heard_whole(call, answer.text), "the answer was not heard whole: {fault}");
        assert_eq!(world.report(call).await.discrepancies, [], "{fault}");
    }
    let CallEnd::ApplicationError { code: 11_200, text } = &unsigned.end else { panic!("{}", unsigned.end) };
    assert!(text.ends_with("status 403"), "{text}");
    assert_eq!(half_open.end, CallEnd::CallerHungUp);
    assert_eq!(world.report(&half_open).await.discrepancies, []);
    assert_heard(&world, &good, tolerated.len() + 1).await;
    world.close().await;
}

/// All callers say the same, so each session hears a beginning of it and nothing else: all of it, but in the call whose
/// carrier fell silent. What is on its way when a socket is reset nobody hears.
async fn assert_heard(world: &World, call: &CallRecord, whole: usize) {
    /// What is on its way when the caller hangs up: three frames of 20 ms.
    const LAST_WORD_BYTES: usize = 3 * 160;
    let said: Vec<u8> = call.said.iter().map(|&sample| g711::ulaw_encode(sample)).collect();
    let sessions = sessions(world).await;
    assert_eq!(sessions.len(), whole + LOST.len() + 1, "whoever is connected again keeps his");
    let heard = sessions.iter().filter(|session| {
        assert_eq!((session.turns.len(), session.appends_before_updated), (1, 0));
        assert_eq!((&session.errors_sent[..], &session.violations[..]), (&[][..], &[][..]));
        let is_foreign = session.audio.iter().zip(&said).any(|(heard, said)| heard != said);
        !is_foreign && session.audio.len() + LAST_WORD_BYTES >= said.len()
    });
    let heard = heard.count();
    assert!(heard >= whole, "{heard} of {whole} callers were heard to the last word");
}
