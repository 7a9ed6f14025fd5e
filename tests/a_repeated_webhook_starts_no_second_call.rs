//! The carrier repeats itself: because an answer was lost, because a proxy was impatient, or at once on two connections.
//! However often it asks, with its token or without, there is one call with one engine, and a question is answered once.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/dialled.rs"]
mod dialled;
#[path = "world/ear.rs"]
mod ear;
#[path = "world/webhook.rs"]
mod webhook;
mod world;

use std::time::Duration;

use futures_util::future::join_all;
use tandem_actors::ledger::Speaker;
use tandem_sim::carrier::{CallEnd, CallPlan, HangUp};
use tandem_sim::provider::{Endpoint, ProviderOptions, Script};
use tandem_sim::speech::{self, Sentence};

use dialled::dialled;
use ear::heard_whole;
use webhook::{Answer, over, post};
use world::{PATIENCE, World, place};

const FAULTS: [&str; 3] = ["duplicate-webhook", "lost-answer", "repeat-webhook:0.3"];

/// Requests that come at the same moment, on connections of their own.
const AT_ONCE: usize = 8;

/// The carrier's token of an event, or none, as from carriers that have no such thing.
const TOKENS: [Option<&str>; 2] = [Some("event-1"), None];

/// Requests land on any of them.
const WORKERS: (&str, &str) = ("TANDEM__SERVER__WORKERS", "2");

/// The agent greets for 2.3 s.
fn greeting() -> Sentence {
    speech::sentence("breakfast").unwrap()
}

fn provider() -> ProviderOptions {
    ProviderOptions {
        script: Script { greeting: greeting(), ..Script::default() },
        ..ProviderOptions::default()
    }
}

#[actix_rt::test]
async fn a_carrier_that_repeats_its_webhooks_has_one_realtime_call() {
    let mut world = World::start(provider(), &[WORKERS]).await;
    let hang_up = HangUp::At(Duration::from_millis(3_200));
    let plan = |fault: &str| CallPlan { faults: vec![fault.parse().unwrap()], hang_up, ..world.plan(0, 0) };
    let calls = join_all(FAULTS.map(|fault| place(plan(fault)))).await;
    assert_eq!(world.provider.connections(), FAULTS.len(), "one session a call");
    for (fault, call) in FAULTS.iter().zip(&calls) {
        assert_eq!((&call.end, &call.warnings[..]), (&CallEnd::CallerHungUp, &[][..]), "{fault}");
        assert_eq!(call.stream_sids.len(), 1, "{fault}");
        assert!(heard_whole(call, greeting().text), "{fault}");
        assert_eq!(world.report(call).await.discrepancies, [], "{fault}");
    }
    world.close().await;
}

#[actix_rt::test]
async fn a_carrier_that_repeats_its_webhooks_has_one_traditional_call_in_which_nothing_is_answered_twice() {
    let mut world = World::start(provider(), &[WORKERS]).await;
    let plan = |fault: &str| CallPlan {
        voice_url: world.url("/voice"),
        utterances: vec!["Can I check in late?".to_owned(), "And in town?".to_owned()],
        faults: vec![fault.parse().unwrap()],
        hang_up: HangUp::AfterAudio { linger: Duration::from_secs(3) },
        ..world.plan(0, 0)
    };
    let calls = join_all(FAULTS.map(|fault| place(plan(fault)))).await;
    for (fault, call) in FAULTS.iter().zip(&calls) {
        assert_eq!((&call.end, &call.warnings[..]), (&CallEnd::CallerHungUp, &[][..]), "{fault}");
        let report = world.report(call).await;
        let asked = report.ledger.turns().filter(|turn| turn.who == Speaker::Caller).count();
        assert_eq!((asked, call.said_aloud().count()), (2, 3), "{fault}: {:?}", report.ledger);
    }
    assert_eq!(thoughts(&world), 2 * FAULTS.len(), "one a question");
    world.close().await;
}

#[actix_rt::test]
async fn a_call_that_rings_many_times_at_once_is_one_call() {
    for path in ["/twilio/voice", "/voice"] {
        for token in TOKENS {
            let world = World::start(provider(), &[WORKERS]).await;
            let rings = (0..AT_ONCE).map(|_| ask(&world, path, "CallSid=CA1", token));
            let documents = join_all(rings).await;
            let verb = if path == "/voice" { "<Gather " } else { "<Stream " };
            assert!(documents.iter().all(|document| document.contains(verb)), "{path}: {documents:?}");
            assert_eq!(world.app.calls_live().await, 1, "{path} {token:?}");
            dialled(&world, usize::from(path != "/voice")).await;
            over(&world, "CA1").await;
            world.is_left_within(PATIENCE).await;
            dialled(&world, usize::from(path != "/voice")).await;
            world.close().await;
        }
    }
}

#[actix_rt::test]
async fn a_question_that_is_asked_many_times_at_once_and_again_is_answered_once() {
    for token in TOKENS {
        let world = World::start(provider(), &[WORKERS]).await;
        ask(&world, "/voice", "CallSid=CA1", Some("event-0")).await;
        let question = "CallSid=CA1&SpeechResult=Can+I+check+in+late%3F&Confidence=0.9";
        let asked = (0..AT_ONCE).map(|_| ask(&world, "/twilio/gather", question, token));
        let answers = join_all(asked).await;
        let again = ask(&world, "/twilio/gather", question, token).await;
        assert!(answers.iter().all(|answer| *answer == again), "{token:?}: {answers:?} and then {again}");
        assert_eq!(thoughts(&world), 1, "{token:?}");
        over(&world, "CA1").await;
        world.close().await;
    }
}

/// What comes late of a call that is over, and whoever repeats it, brings nobody back to life.
#[actix_rt::test]
async fn a_question_about_a_call_that_is_over_begins_none() {
    for path in ["/twilio/voice", "/voice"] {
        let world = World::start(provider(), &[WORKERS]).await;
        ask(&world, path, "CallSid=CA1", Some("event-0")).await;
        over(&world, "CA1").await;
        world.is_left_within(PATIENCE).await;
        for late in ["/twilio/gather", "/twilio/resume"] {
            let document = ask(&world, late, "CallSid=CA1&CallStatus=in-progress", Some(late)).await;
            assert!(document.contains("<Hangup/>"), "{late}: {document}");
        }
        assert_eq!(world.app.calls_live().await, 0, "{path}");
        world.close().await;
    }
}

/// A traditional call that we have ended answers repeats for a while, but nobody is refused for its sake.
#[actix_rt::test]
async fn a_call_that_has_had_its_last_word_holds_no_seat() {
    let seats = [("TANDEM__LIMITS__CALLS_MAX", "1"), ("TANDEM__AGENT__TRADITIONAL__REPROMPTS_MAX", "0")];
    let world = World::start(provider(), &seats).await;
    ask(&world, "/voice", "CallSid=CA1", Some("event-0")).await;
    let refused = ask(&world, "/voice", "CallSid=CA2", Some("event-1")).await;
    assert!(refused.contains("<Reject reason=\"busy\"/>"), "{refused}");
    let goodbye = ask(&world, "/twilio/gather", "CallSid=CA1", Some("event-2")).await;
    assert!(goodbye.contains("<Hangup/>"), "{goodbye}");
    assert!(ask(&world, "/voice", "CallSid=CA2", Some("event-3")).await.contains("<Gather "));
    assert_eq!(ask(&world, "/twilio/gather", "CallSid=CA1", Some("event-2")).await, goodbye, "a repeat");
    let full = ask(&world, "/twilio/gather", "CallSid=CA3", Some("event-4")).await;
    assert!(full.contains("<Say") && full.contains("<Hangup/>"), "somebody is on the line: {full}");
    for sid in ["CA1", "CA2"] {
        over(&world, sid).await;
    }
    world.close().await;
}

/// How often the language model was asked.
fn thoughts(world: &World) -> usize {
    world.provider.requests().iter().filter(|request| request.endpoint == Endpoint::Chat).count()
}

async fn ask(world: &World, path: &str, form: &str, token: Option<&str>) -> String {
    let Answer { status, body } = post(world, path, form, token).await;
    assert_eq!(status, 200, "{body}");
    body
}
