//! The realtime provider is killed in mid-sentence, and the caller hears the sentence to its end: by the models of mode
//! `cascade` over the same socket, or by the carrier's voice. Nothing is said twice and nothing is lost. When no mode is
//! left, a human is called; when there is none, the caller hears an apology.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/apology.rs"]
mod apology;
#[path = "world/likeness.rs"]
mod likeness;
mod world;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tandem_actors::call::CallReport;
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::timeline::What;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::ledger::{Share, Speaker};
use tandem_actors::mode::Mode;
use tandem_media::{earcon, g711};
use tandem_sim::carrier::{
    Answering, CallEnd, CallPlan, CallRecord, Callee, CallerAudio, CarrierEvent, HangUp, Progress, place_call,
};
use tandem_sim::provider::{ProviderOptions, Script};
use tandem_sim::speech::{self, Sentence};
use tokio::time::timeout;

use apology::heard_apology;
use likeness::{ALIKE, likeness};
use world::{PATIENCE, QUESTION_MS, World, place};

const QUESTION: &str = "Hello. Can I still check in after midnight?";

const COLLEAGUE: &str = "+14155550199";

/// The carrier's warning that a stream was closed by the other side: that is how we leave it.
const CLOSED_BY_US: u32 = 31_921;

/// What mode `cascade` needs besides a language model.
const EARS_AND_MOUTH: [(&str, &str); 2] =
    [("TANDEM__SPEECH__PROVIDER", "openai"), ("TANDEM__TRANSCRIPTION__MODEL", "gpt-transcribe")];

/// The agent greets for 3.4 s, and has an answer of 2.4 s.
fn greeting() -> Sentence {
    speech::sentence("morning").unwrap()
}

fn answer() -> Sentence {
    speech::sentence("farewell").unwrap()
}

/// Realtime audio is made so many times as fast as it is spoken.
fn provider(speed: f32) -> ProviderOptions {
    let script = Script { greeting: greeting(), answers: vec![answer()], ..Script::default() };
    ProviderOptions { script, speed, ..ProviderOptions::default() }
}

/// In the first sentence.
const SENTENCE_BEGUN: Duration = Duration::from_millis(500);

/// A caller whose realtime provider dies so long after he has first heard it.
async fn place_and_kill(world: &World, plan: CallPlan, heard: Duration) -> CallRecord {
    let (mut speaks_since, mut killed) = (None, false);
    let living = place_call(plan, |Progress { at, news }| {
        if matches!(news, Some(CarrierEvent::AudioBegan)) {
            speaks_since.get_or_insert(at);
        }
        if !killed && speaks_since.is_some_and(|since| at >= since + heard) {
            killed = true;
            world.provider.kill_realtime();
        }
    });
    timeout(PATIENCE, living).await.expect("a call that ends").unwrap()
}

/// What the caller has heard of the agent, and what he has said, by the book of the call: one line for each time that
/// the other side begins.
fn talk(report: &CallReport) -> Vec<String> {
    let mut talk: Vec<(Speaker, String)> = Vec::new();
    for turn in report.ledger.turns() {
        match talk.last_mut().filter(|(who, _)| *who == turn.who) {
            Some((_, said)) => *said = format!("{said} {}", turn.heard_text()),
            None => talk.push((turn.who, turn.heard_text().to_owned())),
        }
    }
    talk.into_iter().map(|(_, said)| said).collect()
}

/// Rungs that the call went to.
fn switches(report: &CallReport) -> Vec<Rung> {
    let switch = |what: &What| match what {
        What::ModeSwitched { to, .. } => Some(*to),
        _ => None,
    };
    report.timeline.events().iter().filter_map(|event| switch(&event.what)).collect()
}

fn samples(codes: &[u8]) -> Vec<i16> {
    codes.iter().map(|&code| g711::ulaw_decode(code)).collect()
}

/// Well after the answer, so that a machine that has much else to do may be slow.
const HANGS_UP: Duration = Duration::from_secs(18);

// --- to cascade --------------------------------------------------------------------------------------------------

/// A fast provider has made half of the sentence when it dies; of a slow one the caller has heard almost all there is.
#[actix_rt::test]
async fn the_sentence_is_said_to_its_end_by_other_models_over_the_same_socket() {
    join_all([2.0, 1.5].map(killed_for_cascade)).await;
}

async fn killed_for_cascade(speed: f32) {
    let mut world = World::start(provider(speed), &EARS_AND_MOUTH).await;
    let mut plan = world.plan(6_500, QUESTION_MS);
    plan.hang_up = HangUp::At(HANGS_UP);
    let call = place_and_kill(&world, plan, SENTENCE_BEGUN).await;
    let report = world.report(&call).await;

    assert_eq!((&call.end, &call.warnings[..]), (&CallEnd::CallerHungUp, &[][..]));
    assert_eq!((call.stream_sids.len(), report.mode), (1, Mode::Cascade));
    assert_eq!((switches(&report), &report.discrepancies[..]), (vec![Rung::Mode(Mode::Cascade)], &[][..]));
    assert_eq!(talk(&report), [greeting().text, QUESTION, answer().text], "{:?}", report.ledger);
    assert_heard_in_one(&call, &report);
    world.close().await;
}

/// By the ear: the first engine's part of the greeting is followed by the rest of it in the other's voice; and beside
/// these, the answer and sounds of patience he heard nothing.
fn assert_heard_in_one(call: &CallRecord, report: &CallReport) {
    /// A resampler moves sound by up to 4 ms at either end of it, and a frame of 20 ms is filled up.
    const AT_A_SEAM_MS: u64 = 28;
    /// What begins in mid-sentence is faded in for 5 ms.
    const FADED_IN: usize = 40;
    let first = report.ledger.turns().next().unwrap();
    let Share::Until { ms: first_ms } = first.heard else { panic!("{first:?}") };
    assert!((500..3_500).contains(&first_ms), "{first_ms} ms were heard of the first engine");
    let rest_from = first.heard_text().len() + 1; // of the text, behind a blank
    let rest = samples(&greeting().audio[greeting().audio.len() * rest_from / greeting().text.len()..]);

    // The provider died within a frame, of which nothing was heard. Where the machine was slow, silence parts two frames.
    let whole_frames = usize::try_from(first_ms / 20).unwrap() * 160;
    let said = samples(&greeting().audio[..whole_frames]).into_iter().filter(|sample| *sample != 0);
    let mut heard = call.heard.iter().enumerate().filter(|(_, sample)| **sample != 0);
    let mut behind = 0;
    for sample in said {
        let (at, heard) = heard.next().expect("a greeting");
        assert_eq!(*heard, sample, "nobody re-encodes what the realtime engine says");
        behind = at;
    }
    let behind = &call.heard[behind..];
    let heard_alike = |heard| likeness(&rest[FADED_IN..4_000], heard);
    let alike = behind.windows(rest.len()).step_by(32).map(heard_alike).find(|alike| *alike > ALIKE);
    assert!(alike.is_some(), "the rest of the sentence is heard behind it");

    let patience = report.timeline.events().iter().filter(|event| event.what == What::Bridged).count();
    let patience_ms = (patience * earcon::still_here().len() * 20) as u64;
    let expected_ms = first_ms + (rest.len() + answer().audio.len()) as u64 / 8 + patience_ms;
    assert!(
        call.played_ms.abs_diff(expected_ms) <= 3 * AT_A_SEAM_MS,
        "{} ms, not {expected_ms}: {:?}",
        call.played_ms,
        report.timeline.events()
    );
}

#[actix_rt::test]
async fn a_question_in_the_midst_of_which_the_provider_dies_is_heard_whole_and_answered_once() {
    let mut world = World::start(provider(2.0), &EARS_AND_MOUTH).await;
    let mut plan = world.plan(4_500, QUESTION_MS);
    plan.hang_up = HangUp::At(HANGS_UP);
    let in_the_question = Duration::from_millis(5_300);
    let call = place_and_kill(&world, plan, in_the_question).await;
    let report = world.report(&call).await;
    assert_eq!((call.stream_sids.len(), report.mode), (1, Mode::Cascade));
    assert_eq!(talk(&report), [greeting().text, QUESTION, answer().text], "{:?}", report.ledger);
    assert_eq!((&call.warnings[..], &report.discrepancies[..]), (&[][..], &[][..]));
    world.close().await;
}

#[actix_rt::test]
async fn a_mode_that_fails_as_well_is_asked_again_or_left_for_the_next() {
    let (cascade, traditional) = (Rung::Mode(Mode::Cascade), Rung::Mode(Mode::Traditional));
    let faults = [("chat/http:500@1", vec![cascade]), ("speech/http:500", vec![cascade, traditional])];
    let calls = faults.map(|(fault, rungs)| async move {
        let options = ProviderOptions { faults: vec![fault.parse().unwrap()], ..provider(2.0) };
        let mut world = World::start(options, &EARS_AND_MOUTH).await;
        let plan =
            CallPlan { hang_up: HangUp::At(Duration::from_secs(13)), ..world.plan(6_500, QUESTION_MS) };
        let call = place_and_kill(&world, plan, SENTENCE_BEGUN).await;
        let mut report = world.report(&call).await;
        assert_eq!(switches(&report), rungs, "{fault}");
        if report.end == EndReason::HandedOver(traditional) {
            report = world.report(&call).await;
        }
        assert_eq!((&call.end, &report.end), (&CallEnd::CallerHungUp, &EndReason::CallerHungUp), "{fault}");
        assert_eq!(talk(&report)[..2], [greeting().text, QUESTION], "{fault}: {:?}", report.ledger);
        assert_eq!(report.ledger.last().unwrap().text, answer().text, "{fault}");
        world.close().await;
    });
    join_all(calls).await;
}

#[actix_rt::test]
async fn a_hand_over_that_is_asked_about_twice_is_one() {
    let mut world = World::start(provider(2.0), &[]).await;
    let plan = CallPlan { faults: vec!["repeat-webhook:0.3".parse().unwrap()], ..answering_caller(&world) };
    let call = place_and_kill(&world, plan, SENTENCE_BEGUN).await;
    let [_, in_traditional] = both_parts(&mut world, &call).await;
    assert_eq!(talk(&in_traditional)[..2], [greeting().text, QUESTION]);
    assert_eq!(said(&call).len(), 2, "{:?}", said(&call));
    world.close().await;
}

// --- to the carrier's voice --------------------------------------------------------------------------------------

/// A caller who answers when the carrier listens, and hangs up 5 s later.
fn answering_caller(world: &World) -> CallPlan {
    CallPlan {
        caller: CallerAudio::silence(Duration::ZERO),
        utterances: vec![QUESTION.to_owned()],
        hang_up: HangUp::AfterAudio { linger: Duration::from_secs(5) },
        ..world.plan(0, 0)
    }
}

fn said(call: &CallRecord) -> Vec<&str> {
    call.said_aloud().map(|(_, text)| text).collect()
}

#[actix_rt::test]
async fn the_sentence_is_said_to_its_end_by_the_carrier_when_no_other_mode_has_a_voice() {
    let mut world = World::start(provider(2.0), &[]).await;
    let call = place_and_kill(&world, answering_caller(&world), SENTENCE_BEGUN).await;
    let [in_realtime, in_traditional] = both_parts(&mut world, &call).await;
    assert_eq!(talk(&in_traditional)[..2], [greeting().text, QUESTION]);
    let rest = greeting().text.strip_prefix(&talk(&in_realtime)[0]).unwrap().trim_start().to_owned();
    assert_eq!(said(&call), [&rest, answer().text]);
    world.close().await;
}

#[actix_rt::test]
async fn the_ladder_goes_in_the_order_that_the_agent_has() {
    let turns_before_cascade = [&EARS_AND_MOUTH[..], &[("TANDEM__AGENT__LADDER", "traditional,cascade")]];
    let mut world = World::start(provider(2.0), &turns_before_cascade.concat()).await;
    let call = place_and_kill(&world, answering_caller(&world), SENTENCE_BEGUN).await;
    let [_, in_traditional] = both_parts(&mut world, &call).await;
    assert_eq!(talk(&in_traditional)[..2], [greeting().text, QUESTION]);
    let last = in_traditional.ledger.last().unwrap();
    assert_eq!((last.who, last.text.as_str()), (Speaker::Agent, answer().text));
    world.close().await;
}

/// What is known of a call that went from a stream to the carrier's voice: on the stream, and after it.
async fn both_parts(world: &mut World, call: &CallRecord) -> [Arc<CallReport>; 2] {
    let parts = [world.report(call).await, world.report(call).await];
    assert_eq!(parts[0].end, EndReason::HandedOver(Rung::Mode(Mode::Traditional)));
    assert_eq!((parts[1].mode, parts[0].id), (Mode::Traditional, parts[1].id), "one call in two modes");
    assert_eq!((&call.end, call.warning_codes()), (&CallEnd::CallerHungUp, [CLOSED_BY_US].into()));
    let asked: Vec<&str> = call.documents.iter().map(|document| &document.url[..]).collect();
    assert_eq!(asked[..2], [world.url("/twilio/voice"), world.url("/twilio/resume")]);
    parts
}

#[actix_rt::test]
async fn a_traditional_call_whose_model_fails_goes_on_as_a_realtime_call() {
    let faults = vec!["chat/http:500".parse().unwrap()];
    let mut world = World::start(ProviderOptions { faults, ..provider(2.0) }, &[]).await;
    let plan = CallPlan { voice_url: world.url("/voice"), ..answering_caller(&world) };
    let call = place(plan).await;
    let [in_turns, on_a_stream] = [world.report(&call).await, world.report(&call).await];
    assert_eq!(in_turns.end, EndReason::HandedOver(Rung::Mode(Mode::Realtime)));
    assert_eq!((call.stream_sids.len(), on_a_stream.mode), (1, Mode::Realtime));
    let [greeted, question, answered] = &talk(&on_a_stream)[..] else { panic!("{:?}", on_a_stream.ledger) };
    assert_eq!((greeted.as_str(), question.as_str()), (said(&call)[0], QUESTION));
    assert!(!answered.is_empty(), "he was owed an answer, and heard it");
    world.close().await;
}

// --- when no mode is left ----------------------------------------------------------------------------------------

#[actix_rt::test]
async fn a_human_is_called_when_no_mode_is_left() {
    let human = ("TANDEM__AGENT__HUMAN_NUMBER", COLLEAGUE);
    let brief = Answering::Talks { words: "Front desk.".to_owned(), length: Duration::from_secs(1) };
    let callee = Callee { rings: Duration::from_millis(200), then: brief };
    for (ladder, faults) in [("realtime,human", &[][..]), ("realtime,traditional,human", &["chat/http:500"])]
    {
        let faults = faults.iter().map(|fault: &&str| fault.parse().unwrap()).collect();
        let options = ProviderOptions { faults, ..provider(2.0) };
        let mut world = World::start(options, &[human, ("TANDEM__AGENT__LADDER", ladder)]).await;
        let plan = CallPlan { callee: callee.clone(), hang_up: HangUp::Never, ..answering_caller(&world) };
        let call = place_and_kill(&world, plan, SENTENCE_BEGUN).await;
        assert!(said(&call).last().unwrap().contains("connecting you to a colleague"), "{:?}", said(&call));
        let [dial] = &call.dials[..] else { panic!("{:?}", call.dials) };
        assert_eq!((&dial.to[..], dial.status), (COLLEAGUE, Some("completed")));
        assert_eq!((&call.end, call.warning_codes()), (&CallEnd::HungUp, [CLOSED_BY_US].into()));
        assert_eq!(world.report(&call).await.discrepancies, []);
        world.close().await;
    }
}

#[actix_rt::test]
async fn an_apology_comes_last_and_also_when_the_human_does_not_answer() {
    let busy = Callee { rings: Duration::from_millis(200), then: Answering::Busy };
    for (ladder, number) in [("realtime", COLLEAGUE), ("realtime,human", ""), ("realtime,human", COLLEAGUE)] {
        let settings = [("TANDEM__AGENT__HUMAN_NUMBER", number), ("TANDEM__AGENT__LADDER", ladder)];
        let mut world = World::start(provider(2.0), &settings).await;
        let plan = CallPlan { callee: busy.clone(), hang_up: HangUp::Never, ..answering_caller(&world) };
        let call = place_and_kill(&world, plan, SENTENCE_BEGUN).await;
        assert!(heard_apology(&call), "{ladder} {number}: {:?}", call.events);
        assert!(said(&call).last().unwrap().contains("Please call again"), "{:?}", said(&call));
        assert_eq!(call.dials.len(), usize::from(ladder.contains("human") && !number.is_empty()));
        assert_eq!(world.report(&call).await.discrepancies, []);
        world.close().await;
    }
}
