//! Whatever a carrier does wrong, another call on the same thread goes on as if nothing had happened, and the caller
//! behind the bad carrier is heard as far as he can be.

#[path = "world/ear.rs"]
mod ear;
mod world;

use std::time::Duration;

use futures_util::future::{join, join_all};
use tandem_media::g711;
use tandem_sim::carrier::{CallEnd, CallPlan, CallRecord, CarrierEvent, HangUp};
use tandem_sim::provider::{ProviderOptions, Script, SessionRecord};
use tandem_sim::speech;

use ear::heard_whole;
use world::{QUESTION_MS, World, place};

/// Calls that live until their caller hangs up: oddities are counted and ignored, since closing would hurt him.
const TOLERATED: [&str; 15] = [
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
    "duplicate-webhook",
    "late-status:0.5",
];

/// As above, but what was heard when is not for the switch to know.
const LYING_ABOUT_MARKS: [&str; 2] = ["no-marks", "marks-at-once"];

/// Calls that their carrier loses or never opens, and which the switch says sorry for.
const LOST: [&str; 2] = ["reset-after:2", "close-before-start"];

const ANSWER: &str = "You are very welcome. Sleep well, and goodbye.";

/// An agent who waits to be asked and has one answer.
async fn world() -> World {
    let answer = speech::sentence("farewell").unwrap();
    let script = Script { answers: vec![answer], ..Script::default() };
    World::start(ProviderOptions { script, ..ProviderOptions::default() }, &[("TANDEM__AGENT__GREETING", "")])
        .await
}

/// The caller asks for a second, waits half a second to be taken for done, hears an answer of 2.4 s and hangs up.
fn conversation(world: &World) -> CallPlan {
    CallPlan { hang_up: HangUp::At(Duration::from_millis(5_000)), ..world.plan(300, 1_000) }
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
    let mut world = world().await;
    let plan = conversation(&world);
    let place_with = |fault: &&str| place(with_fault(&plan, fault));
    let ((good, unsigned, half_open), (tolerated, lost)) = join(
        async {
            tokio::join!(place(plan.clone()), place_with(&"bad-signature"), place_with(&"half-open-after:2"))
        },
        join(
            join_all(TOLERATED.iter().chain(&LYING_ABOUT_MARKS).map(place_with)),
            join_all(LOST.iter().map(place_with)),
        ),
    )
    .await;

    let sessions = world.provider.sessions();
    assert_eq!(sessions.len(), 1 + 1 + tolerated.len() + 1, "one for each stream that was started");
    for call in tolerated.iter().chain([&good]) {
        let report = world.report(call).await;
        assert_eq!(call.end, CallEnd::CallerHungUp);
        assert_eq!(report.discrepancies, []);
        println!(
            "in {} filled {} refused {} {:?} {:?}",
            report.sheet.leg.unwrap().frames_in,
            report.sheet.leg.unwrap().frames_filled,
            report.sheet.leg.unwrap().frames_refused,
            call.duration,
            report.length
        );
        println!("{:?} {:?}", report.sheet.leg.unwrap().ignored, call.warnings);
        println!("{}", heard_whole(call, ANSWER));
    }
    println!(
        "{:?} {:?} {:?}",
        unsigned.end,
        half_open.end,
        lost.iter().map(|c| (&c.end, &c.events)).collect::<Vec<_>>()
    );
    let said: Vec<u8> = good.said.iter().map(|&s| g711::ulaw_encode(s)).collect();
    for s in &sessions {
        let e: Vec<_> = s
            .client_events
            .iter()
            .filter(|e| e.1.contains("append"))
            .map(|e| (e.0 - s.opened_at).as_millis())
            .collect();
        println!("gaps {:?}", e.windows(2).filter(|w| w[1] - w[0] > 60).collect::<Vec<_>>());
        println!(
            "per 250ms {:?}",
            (0..22).map(|k| e.iter().filter(|x| **x / 250 == k).count()).collect::<Vec<_>>()
        );
        println!("mismatch at {:?} of {}", s.audio.iter().zip(&said).position(|(a, b)| a != b), said.len());
        println!(
            "{} {:?} {:?} {:?} {:?}",
            s.audio.len(),
            s.turns.len(),
            s.errors_sent,
            s.violations,
            s.responses.iter().map(|r| r.text.clone()).collect::<Vec<_>>()
        );
    }
    world.close().await;
}
