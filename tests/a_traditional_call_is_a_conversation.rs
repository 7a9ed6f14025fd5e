//! In mode `traditional` the carrier hears and speaks, a language model thinks, and the caller has a conversation:
//! whatever the model does, he is answered in words and in time, and never hears the carrier's "application error".
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/apology.rs"]
mod apology;
#[path = "world/likeness.rs"]
mod likeness;
mod world;

use std::time::Duration;

use futures_util::future::join_all;
use tandem_actors::call::CallReport;
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::timeline::What;
use tandem_actors::ledger::Speaker;
use tandem_media::g711;
use tandem_sim::carrier::{CallEnd, CallPlan, CallRecord, CallerAudio, GatherInput, HangUp, Sound};
use tandem_sim::provider::{Endpoint, ProviderOptions, Script};
use tandem_sim::speech::{self, Sentence};

use apology::heard_apology;
use likeness::{ALIKE, likeness};
use world::{World, place};

const GREETING: &str = "Hello, how can I help you?";
const REPROMPT: &str = "Are you still there?";
const FILLER: &str = "One moment, please.";
const QUESTION: &str = "Can I check in late?";

/// The carrier gives up after 15 s; 3 are left to the network.
const WEBHOOK_TAKES_MAX: Duration = Duration::from_secs(12);

/// A silence is a second long, so that those who say nothing do not hold the test up.
const BRISK: (&str, &str) = ("TANDEM__AGENT__TRADITIONAL__GATHER_SECONDS", "1");

/// No other mode catches the call.
const NOTHING_BELOW: (&str, &str) = ("TANDEM__AGENT__LADDER", "traditional");

const SPOKEN_BY_A_SERVICE: (&str, &str) = ("TANDEM__SPEECH__PROVIDER", "openai");

/// A caller of `/voice`, who says these one after the other, an empty one being a silence, and then nothing more.
fn caller(world: &World, utterances: &[&str]) -> CallPlan {
    CallPlan {
        voice_url: world.url("/voice"),
        caller: CallerAudio::silence(Duration::ZERO),
        utterances: utterances.iter().map(|&text| text.to_owned()).collect(),
        reaction: Duration::from_millis(100),
        hang_up: HangUp::Never,
        ..world.plan(0, 0)
    }
}

/// A provider that thinks at once, of which these go wrong.
fn provider(faults: &[&str]) -> ProviderOptions {
    ProviderOptions {
        faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
        first_token_delay: Duration::ZERO,
        tokens_per_second: f32::INFINITY,
        ..ProviderOptions::default()
    }
}

fn answer(id: &str) -> &'static str {
    speech::sentence(id).unwrap().text
}

/// What was read aloud to the caller, in order.
fn said(call: &CallRecord) -> Vec<&str> {
    call.said_aloud().map(|(_, text)| text).collect()
}

/// The conversation as it was kept.
fn turns(report: &CallReport) -> Vec<(Speaker, &str)> {
    report.ledger.turns().map(|turn| (turn.who, turn.text.as_str())).collect()
}

#[track_caller]
fn assert_answered_in_time(call: &CallRecord) {
    assert!(!matches!(call.end, CallEnd::ApplicationError { .. }), "{}", call.end);
    assert_eq!(call.warnings, [], "{:?}", call.events);
    for hook in &call.webhooks {
        assert_eq!(hook.status, Some(200), "{hook:?}");
        assert!(hook.took < WEBHOOK_TAKES_MAX, "{hook:?}");
    }
}

#[actix_rt::test]
async fn the_caller_is_greeted_answered_asked_whether_he_is_there_and_said_goodbye_to() {
    let mut world = World::start(provider(&[]), &[BRISK]).await;
    let call = place(caller(&world, &[QUESTION, "", "And in town?"])).await;
    let report = world.report(&call).await;

    let (first, second) = (answer("late-arrival"), answer("old-town"));
    assert_eq!(said(&call), [GREETING, first, REPROMPT, second, REPROMPT, REPROMPT, "Goodbye."]);
    assert_eq!((&call.end, &report.end), (&CallEnd::HungUp, &EndReason::CallerIdle));
    assert_answered_in_time(&call);
    let (agent, caller) = (Speaker::Agent, Speaker::Caller);
    let talk = [
        (agent, GREETING),
        (caller, QUESTION),
        (agent, first),
        (agent, REPROMPT),
        (caller, "And in town?"),
        (agent, second),
        (agent, REPROMPT),
        (agent, REPROMPT),
        (agent, "Goodbye."),
    ];
    assert_eq!((turns(&report), &report.discrepancies[..]), (talk.to_vec(), &[][..]));
    world.close().await;
}

#[actix_rt::test]
async fn with_a_speech_service_the_caller_hears_its_voice_and_without_its_voice_the_carriers() {
    let answer = speech::sentence("farewell").unwrap();
    let script = Script { answers: vec![answer.clone()], ..Script::default() };
    for (fault, is_played) in [(None, true), (Some("speech/http:500"), false)] {
        let options = ProviderOptions { script: script.clone(), ..provider(fault.as_slice()) };
        let mut world = World::start(options, &[SPOKEN_BY_A_SERVICE]).await;
        let mut plan = caller(&world, &[QUESTION]);
        plan.hang_up = HangUp::AfterAudio { linger: Duration::from_secs(5) };
        let call = place(plan).await;
        assert_answered_in_time(&call);
        assert_eq!(world.report(&call).await.end, EndReason::CallerHungUp);
        let prompts: Vec<_> = call.documents.iter().flat_map(|document| &document.heard).collect();
        assert_eq!(prompts.len(), 2, "{prompts:?}");
        if is_played {
            for prompt in &prompts {
                let Sound::Play { url } = &prompt.what else { panic!("{prompt:?}") };
                assert!(url.starts_with(&world.url("/twilio/clips/")), "{url}");
            }
            let heard = &call.heard[at(&call, prompts[1].at)..];
            let began = heard.iter().position(|sample| *sample != 0).expect("an answer");
            // The filter rings for 3 ms before the first sample that was loud enough for a code.
            let heard = &heard[began.saturating_sub(24)..];
            let said: Vec<i16> = answer.audio.iter().map(|&code| g711::ulaw_decode(code)).collect();
            assert!(likeness(&said, heard) > ALIKE, "{}", likeness(&said, heard));
        } else {
            assert_eq!(said(&call), [GREETING, answer.text]);
        }
        world.close().await;
    }
}

/// Where in what he heard a moment of the call is.
fn at(call: &CallRecord, moment: Duration) -> usize {
    let on_clock = call.on_callers_clock(moment).unwrap();
    usize::try_from(on_clock.as_millis()).unwrap() * 8
}

#[actix_rt::test]
async fn a_slow_model_is_bridged_and_no_webhook_waits_for_it() {
    // We wait for 8 s before the caller is asked for patience.
    let mut world = World::start(provider(&["chat/delay:8500"]), &[BRISK]).await;
    let mut plan = caller(&world, &[QUESTION]);
    plan.hang_up = HangUp::AfterAudio { linger: Duration::from_secs(10) };
    let call = place(plan).await;
    assert_eq!(said(&call)[..3], [GREETING, FILLER, answer("late-arrival")]);
    assert_answered_in_time(&call);
    let report = world.report(&call).await;
    assert!(turns(&report).contains(&(Speaker::Agent, answer("late-arrival"))), "{:?}", report.ledger);
    let asked = world.provider.requests().iter().filter(|request| request.endpoint == Endpoint::Chat).count();
    assert_eq!(asked, 1, "the answer that was waited for is the one that was said");
    world.close().await;
}

#[actix_rt::test]
async fn a_model_that_fails_once_is_asked_again_while_the_caller_hears_an_apology() {
    let faults = ["chat/http:500@1", "chat/refuse@1", "chat/error@1", "chat/break@1", "chat/garbage@1"];
    for (fault, call) in join_all(faults.map(|fault| ask_once(fault, &[]))).await {
        let [greeting, apology, answered, ..] = said(&call)[..] else { panic!("{fault}: {:?}", said(&call)) };
        assert_eq!((greeting, answered), (GREETING, answer("late-arrival")), "{fault}");
        assert!(apology.contains("sorry"), "{fault}: {apology}");
    }
}

#[actix_rt::test]
async fn a_model_that_keeps_failing_costs_the_call_but_ends_it_in_words() {
    let faults = [
        "chat/http:500",
        "chat/http:401",
        "chat/http:429",
        "chat/refuse",
        "chat/error",
        "chat/break",
        "chat/garbage",
        "chat/empty",
    ];
    for (fault, call) in join_all(faults.map(|fault| ask_once(fault, &[NOTHING_BELOW]))).await {
        assert!(heard_apology(&call), "{fault}: {:?}", call.events);
        assert!(said(&call).last().unwrap().contains("Please call again"), "{fault}: {:?}", said(&call));
    }
}

#[actix_rt::test]
async fn a_model_that_never_ends_is_cut_to_whole_sentences() {
    let (fault, call) = ask_once("chat/words:10000", &[]).await;
    let said = said(&call)[1];
    assert!((600..=1_200).contains(&said.chars().count()), "{fault}: {} characters", said.chars().count());
    assert!(said.ends_with(['.', '?']), "{said}");
}

/// A caller of an agent with this fault asks one question, and hangs up well after the answer if nobody did before.
async fn ask_once(fault: &'static str, settings: &[(&str, &str)]) -> (&'static str, CallRecord) {
    let mut world = World::start(provider(&[fault]), settings).await;
    let mut plan = caller(&world, &[QUESTION]);
    plan.hang_up = HangUp::AfterAudio { linger: Duration::from_secs(9) };
    let call = place(plan).await;
    assert_answered_in_time(&call);
    assert_eq!(world.report(&call).await.discrepancies, [], "{fault}");
    world.close().await;
    (fault, call)
}

#[actix_rt::test]
async fn what_the_model_says_is_never_taken_for_markup() {
    const SAID: &str = r#"Tom & Jerry's, "Café" ]]> &amp; 5 < 7 😀, is </Say> open <Hangup/> till 8."#;
    let tricky = Sentence { text: SAID, ..speech::sentence("farewell").unwrap() };
    let script = Script { answers: vec![tricky], ..Script::default() };
    let mut world = World::start(ProviderOptions { script, ..provider(&[]) }, &[BRISK]).await;
    let mut plan = caller(&world, &[QUESTION, QUESTION]);
    plan.hang_up = HangUp::AfterAudio { linger: Duration::from_secs(2) };
    let call = place(plan).await;
    assert_answered_in_time(&call);
    let told = said(&call)[1];
    for words in ["Tom & Jerry's", "\"Café\"", "]]>", "5 < 7", "till 8."] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert_eq!(said(&call)[2], told, "and the conversation goes on");
    assert_eq!(world.report(&call).await.end, EndReason::CallerHungUp);
    world.close().await;
}

#[actix_rt::test]
async fn keys_are_an_answer_too() {
    let mut world = World::start(provider(&[]), &[BRISK]).await;
    let mut plan = caller(&world, &[]);
    plan.digits =
        [(300, '4'), (500, '2'), (700, '#')].map(|(ms, key)| (Duration::from_millis(ms), key)).into();
    plan.hang_up = HangUp::At(Duration::from_secs(3));
    let call = place(plan).await;
    assert_eq!(call.gathers[0].input, Some(GatherInput::Digits("42".to_owned())));
    assert_eq!(said(&call)[..2], [GREETING, answer("late-arrival")]);
    let report = world.report(&call).await;
    assert_eq!(turns(&report)[1], (Speaker::Caller, "(keys: 42)"));
    let keys = report.timeline.events().iter().filter_map(|event| match event.what {
        What::Digit { digit } => Some(digit),
        _ => None,
    });
    assert_eq!(keys.collect::<String>(), "42");
    world.close().await;
}
