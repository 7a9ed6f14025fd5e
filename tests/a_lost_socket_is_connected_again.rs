//! However the carrier's socket is lost, the carrier asks `/twilio/resume` and is connected again: to the same
//! conversation with the same engine, within three seconds, and of the sentence that was cut in two nothing is lost.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/dialled.rs"]
mod dialled;
#[path = "world/patient_ear.rs"]
mod patient_ear;
#[path = "world/webhook.rs"]
mod webhook;
mod world;

use std::time::Duration;

use futures_util::future::join_all;
use tandem_actors::call::decide::EndReason;
use tandem_actors::mode::Mode;
use tandem_media::g711;
use tandem_sim::carrier::{CallEnd, CallPlan, CallRecord, HangUp};
use tandem_sim::provider::{ProviderOptions, Script};
use tandem_sim::speech::{self, Sentence};

use dialled::dialled;
use patient_ear::heard_through;
use webhook::{Answer, over, post};
use world::{World, place};

/// The agent greets for 3.9 s, and has an answer of 2.4 s.
fn greeting() -> Sentence {
    speech::sentence("late-arrival").unwrap()
}

fn provider() -> ProviderOptions {
    let answers = vec![speech::sentence("farewell").unwrap()];
    ProviderOptions {
        script: Script { greeting: greeting(), answers, ..Script::default() },
        ..ProviderOptions::default()
    }
}

// --- in mid-sentence ---------------------------------------------------------------------------------------------

/// DESIGN section 6.
const GAP_MAX: Duration = Duration::from_secs(3);

/// In samples. The last proof of what was heard is a mark, and there is one every 200 ms.
const HEARD_TWICE_MAX: usize = 1_600;

#[actix_rt::test]
async fn a_socket_that_is_lost_in_mid_sentence_costs_the_caller_a_moment_and_no_word() {
    let faults = ["reset-after:1.5", "vanish-after:1.5", "going-away-after:1.5", "close-bare-after:1.5"];
    for (fault, call) in join_all(faults.map(lose)).await {
        assert_eq!(call.stream_sids.len(), 2, "{fault}: {:?}", call.events);
        let Seam { gap, heard, went_on } = Seam::of(&call);
        assert!(gap <= GAP_MAX, "{fault}: {gap:?}");
        assert!(went_on <= heard, "{fault}: {} samples were never heard", went_on - heard);
        assert!(heard - went_on <= HEARD_TWICE_MAX, "{fault}: {} were heard twice", heard - went_on);
    }
}

#[actix_rt::test]
async fn a_socket_that_never_came_is_connected_again_too() {
    for (fault, call) in join_all(["close-before-start", "no-stream"].map(lose)).await {
        assert!(heard_through(&call, greeting().text), "{fault}");
    }
}

/// A call whose carrier has this accident. After the greeting the caller asks for a second, and hears an answer.
async fn lose(fault: &'static str) -> (&'static str, CallRecord) {
    let mut world = World::start(provider(), &[]).await;
    let plan = CallPlan {
        faults: vec![fault.parse().unwrap()],
        hang_up: HangUp::At(Duration::from_secs(14)),
        ..world.plan(6_500, 1_000)
    };
    let call = place(plan).await;
    let report = world.report(&call).await;
    assert_eq!((&call.end, report.mode), (&CallEnd::CallerHungUp, Mode::Realtime), "{fault}");
    assert_eq!(report.discrepancies, [], "{fault}");
    let asked: Vec<&str> = call.documents.iter().map(|document| &document.url[..]).collect();
    assert_eq!(asked, [world.url("/twilio/voice"), world.url("/twilio/resume")], "{fault}");
    assert_eq!(world.provider.connections(), 1, "{fault}: the engine is kept");
    assert!(heard_through(&call, speech::sentence("farewell").unwrap().text), "{fault}: he was not answered");
    world.close().await;
    (fault, call)
}

/// Where a sentence was cut in two.
#[derive(Debug)]
struct Seam {
    /// From the last sound before to the first one after.
    gap: Duration,
    /// Samples of the sentence that were heard before, and from which on it went on.
    heard: usize,
    went_on: usize,
}

impl Seam {
    fn of(call: &CallRecord) -> Self {
        let said: Vec<i16> = greeting().audio.iter().map(|&code| g711::ulaw_decode(code)).collect();
        let sound_in = |samples: &[i16]| samples.iter().position(|sample| *sample != 0).expect("a sound");
        let began = sound_in(&call.heard) - sound_in(&said);
        let differs = call.heard[began..].iter().zip(&said).position(|(heard, said)| heard != said);
        let heard = differs.expect("a seam");
        // A tenth of a second is not heard twice by chance.
        let again = began + heard + sound_in(&call.heard[began + heard..]);
        let next = &call.heard[again..][..800];
        let went_on = said.windows(800).position(|window| window == next).expect("the sentence goes on");
        Self { gap: Duration::from_micros((again - began - heard) as u64 * 125), heard, went_on }
    }
}

// --- what the carrier may ask ------------------------------------------------------------------------------------

#[actix_rt::test]
async fn whoever_asks_twice_is_connected_to_the_one_call() {
    let world = World::start(provider(), &[]).await;
    let rings = ask(&world, "/twilio/voice", "CA1").await;
    let asked = [ask(&world, "/twilio/resume", "CA1").await, ask(&world, "/twilio/resume", "CA1").await];
    let socket = |document: &str| {
        document.split("<Stream url=\"").nth(1).map(|rest| rest.split('"').next().unwrap().to_owned())
    };
    assert!(socket(&rings).is_some(), "{rings}");
    for document in &asked {
        assert_eq!(socket(document), socket(&rings), "{document}");
        assert_ne!(*document, rings, "a ticket is good for one socket");
    }
    assert_ne!(asked[0], asked[1]);
    assert_eq!(world.app.calls_live().await, 1);
    dialled(&world, 1).await;
    over(&world, "CA1").await;
    world.close().await;
}

#[actix_rt::test]
async fn a_call_that_nobody_has_heard_of_is_greeted_in_the_routers_mode() {
    for (probability, verb) in [("1.0", "<Stream "), ("0.0", "<Gather ")] {
        let world = World::start(provider(), &[("REALTIME_API_PROBABILITY", probability)]).await;
        let document = ask(&world, "/twilio/resume", "CAstranger").await;
        assert!(document.contains(verb), "{document}");
        assert_eq!(document.contains("Hello, how can I help you?"), probability == "0.0", "{document}");
        over(&world, "CAstranger").await;
        world.close().await;
    }
}

#[actix_rt::test]
async fn a_call_that_we_have_ended_stays_ended() {
    let mut world = World::start(provider(), &[("TANDEM__LIMITS__CALL_SECONDS_MAX", "1")]).await;
    let call = place(CallPlan { hang_up: HangUp::Never, ..world.plan(0, 0) }).await;
    assert_eq!((&call.end, &world.report(&call).await.end), (&CallEnd::HungUp, &EndReason::LengthLimit));
    for _ in 0..2 {
        let document = ask(&world, "/twilio/resume", &call.call_sid).await;
        assert!(document.ends_with("<Response><Hangup/></Response>"), "{document}");
    }
    assert_eq!(world.provider.connections(), 1);
    world.close().await;
}

async fn ask(world: &World, path: &str, call_sid: &str) -> String {
    let Answer { status, body } = post(world, path, &format!("CallSid={call_sid}"), None).await;
    assert_eq!(status, 200, "{body}");
    body
}
