//! The cascade as the call meets it: frames and commands in, facts and frames out, with models that do as they are told.

mod models;
pub(crate) mod sounds;
pub(crate) mod world;

use std::sync::Arc;
use std::time::Duration;

use models::{Audio, CHAR_MS, Desk, Fail, Hang, Step, Wait, Words};
use sounds::{quiet, voice};
use tandem_media::playout::{Heard, Part};
use world::{World, agent};

use super::errands::{SPEECH_MAX, THOUGHT_MAX, WRITING_MAX};
use crate::engine::Engines;
use crate::ledger::{Ledger, Speaker};
use crate::messages::{EngineCommand, FailureKind};
use crate::mode::Mode;
use crate::ports::ModelError;
use crate::usage::{Amount, Work};

/// How long an answer of these words is.
fn spoken_ms(text: &str) -> u64 {
    text.chars().count() as u64 * CHAR_MS
}

fn unreachable() -> Step {
    Fail(ModelError::Unreachable("refused".to_owned()))
}

// ---------------------------------------------------------------- talking

#[actix_rt::test]
async fn a_conversation_of_three_turns() {
    let mut world = World::greeting();
    for (words, answer) in [
        ("When is breakfast?", "From seven. Until ten."),
        ("And on Sundays?", "From eight."),
        ("Thank you.", "Good night."),
    ] {
        world.desk.transcribes([Wait(300), Words(words)]);
        world.desk.answers([Wait(200), Words(&answer[..3]), Wait(100), Words(&answer[3..])]);
    }
    world.run(2_000).await; // the greeting is heard
    for _ in 0..3 {
        world.say(&voice(1_000));
        world.run(5_000).await;
    }
    assert_eq!(
        world.story()[..6],
        [
            "ready",
            "thinking",
            "used 27",
            "began 10",
            "ended 10 782", // 13 characters and the filter's tail of 2 ms
            "said Agent agent-10: Good evening."
        ]
    );
    assert_eq!(
        world.story()[6..16],
        [
            "speaking caller-4 g4",
            "silent caller-4",
            "said Caller caller-4: When is breakfast?",
            "thinking",
            "began 11",
            "used 27",
            "ended 11 1264", // 11 and 10 characters, and two tails
            "said Agent agent-11: From seven. Until ten.",
            "speaking caller-5 g5",
            "silent caller-5",
        ]
    );
    let heard_ms = world.played_ms;
    assert_eq!(world.desk.question(0), [] as [&str; 0]);
    assert_eq!(
        world.desk.question(3),
        [
            "A: Good evening.",
            "C: When is breakfast?",
            "A: From seven. Until ten.",
            "C: And on Sundays?",
            "A: From eight.",
            "C: Thank you."
        ]
    );
    let questions = world.desk.questions.lock().unwrap().clone();
    assert_eq!(questions[0].instructions, "You are the night desk.\n\nOpen the call now. Say good evening.");
    assert!(questions[1..].iter().all(|question| question.instructions == "You are the night desk."));
    assert!(questions.iter().all(|question| question.output_tokens_max == Some(300)));
    // 300 ms before it and 200 ms after it
    let utterances = world.desk.utterances.lock().unwrap().clone();
    assert!(utterances.iter().all(|ms| ms.abs_diff(1_500) <= 25), "{utterances:?}");
    let (account, _) = world.finish().await;
    assert_eq!((account.audio_ms, account.benign_errors, account.bad_audio), (heard_ms, 0, 0));
}

#[actix_rt::test]
async fn the_caller_waits_for_words_thought_and_voice_and_for_nothing_else() {
    let mut world = World::new();
    world.desk.transcribes([Wait(300), Words("Hello?")]);
    world.desk.answers([Wait(400), Words("First sentence. S"), Wait(2_000), Words("econd one.")]);
    world.desk.speaks([Wait(200), Audio(1_000)]);
    world.say(&voice(1_000));
    world.run(5_000).await;
    let began = world.at_of("began 10") - world.at_of("silent");
    assert!((900..=920).contains(&began), "{began} ms");
}

#[actix_rt::test]
async fn a_barge_in_leaves_the_agent_with_what_was_heard() {
    let mut world = World::new();
    world.desk.answers([Words("One two three four five six seven eight nine ten. And "), Hang]);
    world.desk.transcribes([Words("Count.")]);
    world.desk.transcribes([Words("Stop.")]);
    world.say(&voice(600));
    world.run_until(3_000, |world| world.played_ms >= 1_000).await;
    assert_eq!(world.desk.open(), 1, "the model still thinks");
    world.say(&voice(600));
    world
        .run_until(1_000, |world| world.story().iter().any(|fact| fact.starts_with("speaking caller-5")))
        .await;
    assert_eq!(world.desk.open(), 0, "and is not paid for any more");
    let heard_ms = world.played_ms;
    assert!((1_200..=1_360).contains(&heard_ms), "interrupted after {heard_ms} ms");
    world.run(3_000).await;
    let whole = "One two three four five six seven eight nine ten.";
    let story = world.story();
    let at = story.iter().position(|fact| fact.starts_with("speaking caller-5")).unwrap();
    assert_eq!(
        story[at..at + 7],
        [
            "speaking caller-5 g5".to_owned(),
            format!("ended 10 {}", spoken_ms(whole) + 2),
            format!("said Agent agent-10: {whole}"),
            format!("truncated 10 {heard_ms}"),
            "silent caller-5".to_owned(),
            "said Caller caller-5: Stop.".to_owned(),
            "thinking".to_owned(),
        ]
    );
    // 49 characters in 2,942 ms: after 1,300 ms it is in the fifth word
    assert_eq!(world.desk.question(1), ["C: Count.", "A: One two three four", "C: Stop."]);
    world.finish().await;
}

#[actix_rt::test]
async fn a_cough_stops_nobody() {
    let mut world = World::new();
    world.desk.answers([Words("One two three four five six seven eight nine ten.")]);
    world.say(&voice(600));
    world.run_until(3_000, |world| world.played_ms >= 1_000).await;
    world.say(&voice(180));
    world.run(4_000).await;
    assert_eq!(world.played_ms, spoken_ms("One two three four five six seven eight nine ten.") + 2);
    assert_eq!(world.desk.utterances.lock().unwrap().len(), 1);
    world.finish().await;
}

#[actix_rt::test]
async fn a_pause_in_mid_sentence_is_no_end_of_the_turn() {
    let mut world = World::new();
    world.desk.transcribes([Words("I would like")]);
    world.desk.transcribes([Words("a room.")]);
    world.desk.answers([Wait(2_000), Words("You would like what?")]);
    world.desk.answers([Words("With pleasure.")]);
    world.say(&[voice(800), quiet(900), voice(800)].concat());
    world.run(5_000).await;
    assert_eq!(
        world.story()[1..8],
        [
            "speaking caller-4 g4",
            "silent caller-4",
            "said Caller caller-4: I would like",
            "speaking caller-4 g5",
            "silent caller-4",
            "said Caller caller-4: I would like a room.",
            "thinking",
        ]
    );
    assert_eq!(world.desk.question(1), ["C: I would like a room."]);
    assert_eq!(*world.desk.sentences.lock().unwrap(), ["With pleasure."]);
    world.finish().await;
}

#[actix_rt::test]
async fn what_is_said_while_words_are_written_down_goes_with_them() {
    let mut world = World::new();
    world.desk.transcribes([Wait(3_000), Words("I would like")]);
    world.desk.transcribes([Words("a room, please.")]);
    let pause = quiet(700);
    world.say(&[voice(400), pause.clone(), voice(400), pause, voice(400)].concat());
    world.run(7_000).await;
    assert_eq!(world.desk.utterances.lock().unwrap().len(), 2, "the second and the third are one");
    assert_eq!(world.desk.question(0), ["C: I would like a room, please."]);
    assert_eq!(world.desk.asked(), 1);
    world.finish().await;
}

#[actix_rt::test]
async fn a_noise_before_the_answer_is_heard_does_not_lose_the_answer() {
    let mut world = World::new();
    world.desk.transcribes([Words("When is breakfast?")]);
    world.desk.transcribes([Words(" ")]);
    world.desk.answers([Wait(1_500), Words("From")]);
    world.desk.answers([Words("From seven.")]);
    world.say(&[voice(800), quiet(1_000), voice(300)].concat());
    world.run(5_000).await;
    assert_eq!(world.desk.question(1), ["C: When is breakfast?"]);
    assert_eq!(world.played_ms, spoken_ms("From seven.") + 2);
    world.finish().await;
}

#[actix_rt::test]
async fn a_noise_alone_is_not_answered() {
    let mut world = World::new();
    world.desk.transcribes([Words("")]);
    world.say(&voice(300));
    world.run(3_000).await;
    assert_eq!(world.story(), ["ready", "speaking caller-4 g4", "silent caller-4"]);
    assert_eq!((world.desk.asked(), world.played_ms), (0, 0));
    world.say(&voice(600));
    world.run(3_000).await;
    assert_eq!(world.desk.question(0), ["C: Something."], "it listens on");
    world.finish().await;
}

// ---------------------------------------------------------------- taking over

#[actix_rt::test]
async fn a_replay_faster_than_real_time_is_heard_as_it_was_said() {
    let mut ledger = Ledger::default();
    ledger.agent_began("a", Part(1), 0);
    ledger.said(Speaker::Agent, "a", "Good evening.", 0);
    ledger.agent_ended(Part(1), 900);
    let desk = Arc::<Desk>::default();
    desk.transcribes([Words("I would like a room. A quiet one.")]);
    let replay = [quiet(1_500), voice(3_000), quiet(1_000), voice(2_000), quiet(2_500)].concat();
    let mut world = World::with(desk, agent(), ledger, &replay, 15_000);
    world.run(2_000).await;
    assert_eq!(
        world.story()[..6],
        [
            "ready",
            "speaking caller-4 g4",
            "silent caller-4",
            "speaking caller-4 g5",
            "silent caller-4",
            "said Caller caller-4: I would like a room. A quiet one.",
        ]
    );
    let utterances = world.desk.utterances.lock().unwrap().clone();
    assert!(utterances.len() == 1 && utterances[0].abs_diff(6_000) <= 50, "{utterances:?}");
    assert!(world.at_of("began 10") <= 100, "ten seconds are heard at once");
    assert_eq!(world.desk.question(0), ["A: Good evening.", "C: I would like a room. A quiet one."]);
    world.finish().await;
}

#[actix_rt::test]
async fn a_replay_that_comes_later_and_ends_in_mid_sentence_is_waited_for() {
    let mut world = World::greeting();
    world.run(40).await;
    world.burst(&[quiet(500), voice(2_000)].concat());
    world.say(&voice(1_000));
    world.run(4_000).await;
    let utterances = world.desk.utterances.lock().unwrap().clone();
    assert!(utterances.len() == 1 && utterances[0].abs_diff(3_500) <= 50, "{utterances:?}");
    assert_eq!(world.desk.question(1).last().unwrap(), "C: Something.");
    world.finish().await;
}

#[actix_rt::test]
async fn an_answer_that_is_owed_is_gone_on_with() {
    let mut ledger = Ledger::default();
    ledger.caller_began("u", 0);
    ledger.said(Speaker::Caller, "u", "When is breakfast?", 0);
    ledger.agent_began("a", Part(1), 0);
    ledger.said(Speaker::Agent, "a", "We serve", 0);
    let mut world = World::with(Arc::default(), agent(), ledger, &[], 15_000);
    world.run(1_000).await;
    assert_eq!(world.desk.question(0), ["C: When is breakfast?", "A: We serve"]);
    let instructions = world.desk.questions.lock().unwrap()[0].instructions.clone();
    assert!(instructions.contains("Go on exactly where the conversation stopped"), "{instructions}");
    assert_eq!(world.story()[3], "began 10");
    world.finish().await;
}

#[actix_rt::test]
async fn a_prompt_is_spoken_after_what_is_being_said_and_by_its_own_instructions() {
    let mut world = World::greeting();
    world.run(100).await;
    world.desk.answers([Words("Goodbye.")]);
    world.command(EngineCommand::Prompt("End the call now.".to_owned()));
    world.run(3_000).await;
    assert!(world.story().contains(&"began 11 prompted".to_owned()), "{:?}", world.story());
    assert_eq!(world.desk.questions.lock().unwrap()[1].instructions, "End the call now.");
    assert_eq!(world.played_ms, spoken_ms("Good evening.") + 2 + spoken_ms("Goodbye.") + 2);
    world.finish().await;
}

// ---------------------------------------------------------------- long answers

#[actix_rt::test]
async fn no_more_is_spoken_ahead_than_the_caller_may_cut_off() {
    let mut world = World::new();
    let sentence = "This is a sentence of sixty characters, give or take a few. ";
    world.desk.answers(vec![Words(sentence); 20]);
    world.say(&voice(600));
    world.run_until(3_000, |world| world.played_ms > 0).await;
    let asked = |world: &World| world.desk.sentences.lock().unwrap().len();
    assert_eq!(asked(&world), 3, "7 s wait to be heard after two, and then no fourth is asked for");
    world.run(10_000).await;
    let (asked, played) = (asked(&world) as u64, world.played_ms);
    assert!((8_000..=8_000 + 3_600).contains(&(asked * 3_600 - played)), "{asked} sentences, {played} ms");
    world.run(70_000).await;
    assert!(
        world.played_ms.abs_diff(20 * spoken_ms(sentence.trim())) <= 40,
        "{} ms, without a gap",
        world.played_ms
    );
    assert_eq!(world.finish().await.0.frames_refused, 0);
}

#[actix_rt::test]
async fn ten_thousand_words_are_cut_off_behind_a_sentence() {
    let mut world = World::new();
    world.desk.answers(vec![Words("Ten words are in this sentence, as one may count. "); 1_000]);
    world.say(&voice(600));
    world.run_until(400_000, |world| world.story().iter().any(|fact| fact.starts_with("ended"))).await;
    let sentences = world.desk.sentences.lock().unwrap().clone();
    assert_eq!(
        sentences.len(),
        79,
        "4,000 characters, and the last of these sentences is not sure to be over"
    );
    assert!(sentences.iter().all(|sentence| sentence.ends_with("count.")));
    world.finish().await;
}

#[actix_rt::test]
async fn a_lane_that_is_full_ends_the_answer_aloud() {
    let desk = Arc::<Desk>::default();
    desk.answers([Words("Too long. "), Words("Never spoken. ")]);
    desk.speaks([Audio(5_000)]);
    let mut world = World::with(desk, agent(), Ledger::default(), &[], 100);
    world.say(&voice(600));
    world.run(5_000).await;
    assert_eq!(world.played_ms, 2_000);
    // what was left of a frame is not played, though it is counted
    assert_eq!(world.story()[6..], ["ended 10 2018", "said Agent agent-10: Too long.", "truncated 10 2018"]);
    world.say(&voice(600));
    world.run(3_000).await;
    assert!(world.failure().is_none());
    assert!(world.desk.question(1).last().unwrap().starts_with("C: "), "it goes on");
    assert!(world.finish().await.0.frames_refused > 0);
}

// ---------------------------------------------------------------- failing

/// The step that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Transcription,
    Chat,
    Speech,
}

const STEPS: [At; 3] = [At::Transcription, At::Chat, At::Speech];

fn plan(desk: &Desk, at: At, steps: &[Step]) {
    match at {
        At::Transcription => desk.transcribes(steps),
        At::Chat => desk.answers(steps),
        At::Speech => desk.speaks(steps),
    }
}

/// A caller says something, and this is how the step goes, in one try after the other.
async fn talk(at: At, tries: &[&[Step]]) -> World {
    let mut world = World::new();
    for steps in tries {
        plan(&world.desk, at, steps);
    }
    world.say(&voice(600));
    world.run(10_000).await;
    world
}

#[actix_rt::test]
async fn one_failure_of_any_step_is_made_good_and_nobody_hears_of_it() {
    for at in STEPS {
        let world = talk(at, &[&[unreachable()]]).await;
        assert_eq!(world.failure(), None, "{at:?}");
        assert_eq!(world.played_ms, spoken_ms("Very well.") + 2, "{at:?}");
        assert_eq!(world.finish().await.0.benign_errors, 1, "{at:?}");
    }
}

#[actix_rt::test]
async fn two_failures_of_any_step_fail_the_engine() {
    for at in STEPS {
        let world = talk(at, &[&[unreachable()], &[unreachable()]]).await;
        let failure = world.failure().cloned().unwrap_or_else(|| panic!("{at:?}: {:?}", world.story()));
        assert_eq!((failure.kind, failure.retry), (FailureKind::Dial, false), "{at:?}");
        assert!(failure.detail.contains("provider unreachable"), "{}", failure.detail);
        world.ended().await;
    }
}

#[actix_rt::test]
async fn what_cannot_get_better_is_not_tried_again() {
    let errors = [
        (ModelError::Unauthorized(401), FailureKind::Unauthorized),
        (ModelError::RateLimited, FailureKind::RateLimited),
        (ModelError::Status { status: 400, detail: "no such model".to_owned() }, FailureKind::Provider),
    ];
    for at in STEPS {
        for (error, kind) in errors.clone() {
            let world = talk(at, &[&[Fail(error)]]).await;
            let failure = world.failure().unwrap_or_else(|| panic!("{at:?}: {:?}", world.story()));
            assert_eq!((failure.kind, failure.retry), (kind, false), "{at:?}");
            world.ended().await;
        }
    }
}

#[actix_rt::test]
async fn an_answer_that_breaks_off_is_left_to_a_successor_with_what_was_said() {
    let broken = || Fail(ModelError::Broken("reset".to_owned()));
    let tries: [(At, &[Step], &str); 2] = [
        (At::Chat, &[Words("Very well. I "), Wait(500), broken()], "Very well."),
        // half of its ten characters
        (At::Speech, &[Audio(340), broken()], "Very"),
    ];
    for (at, steps, said) in tries {
        let world = talk(at, &[steps]).await;
        let failure = world.failure().unwrap_or_else(|| panic!("{at:?}: {:?}", world.story()));
        assert_eq!((failure.kind, failure.retry), (FailureKind::SocketLost, true), "{at:?}");
        let (_, story) = world.ended().await;
        let [.., words, broke, failed, over] = &story[..] else { panic!("{story:?}") };
        assert!(broke.starts_with("broke 10 "), "{story:?}");
        assert_eq!(words, &format!("said Agent agent-10: {said}"));
        assert_eq!((failed.as_str(), over.as_str()), ("failed SocketLost", "over"));
        assert!(story.iter().all(|fact| !fact.starts_with("ended")), "it is not complete: {story:?}");
    }
}

#[actix_rt::test]
async fn nothing_is_waited_for_longer_than_its_time() {
    let cases: [(At, &[Step], u64); 5] = [
        (At::Transcription, &[Hang], WRITING_MAX.as_secs()),
        (At::Chat, &[Hang], THOUGHT_MAX.as_secs()),
        (At::Chat, &[Words("Very well. "), Words("I "), Hang], THOUGHT_MAX.as_secs()),
        (At::Speech, &[Hang], SPEECH_MAX.as_secs()),
        (At::Speech, &[Audio(500), Hang], SPEECH_MAX.as_secs()),
    ];
    for (at, steps, seconds) in cases {
        let world = talk(at, &[steps]).await;
        let failure = world.failure().unwrap_or_else(|| panic!("{at:?}: {:?}", world.story()));
        assert_eq!((failure.kind, failure.retry), (FailureKind::Stalled, false), "{at:?}");
        let waited = world.at_of("failed") - world.at_of("silent");
        assert!(waited.abs_diff(seconds * 1_000) <= 20, "{at:?}: {waited} ms");
        world.ended().await;
    }
}

#[actix_rt::test]
async fn a_model_that_says_nothing_is_asked_once_more() {
    for nothing in [&[][..], &[Words(" \n")], &[Words("**")]] {
        let world = talk(At::Chat, &[nothing]).await;
        assert_eq!((world.failure(), world.played_ms), (None, spoken_ms("Very well.") + 2));
        world.finish().await;
        let world = talk(At::Chat, &[nothing, nothing]).await;
        let failure = world.failure().unwrap();
        assert_eq!(failure.detail, "chat: answer broke off: answered with nothing, twice");
        world.ended().await;
    }
}

#[actix_rt::test]
async fn a_voice_that_makes_no_sound_has_not_spoken() {
    let world = talk(At::Speech, &[&[]]).await;
    assert_eq!((world.failure(), world.played_ms), (None, spoken_ms("Very well.") + 2));
    world.finish().await;
    let world = talk(At::Speech, &[&[], &[]]).await;
    assert_eq!(world.failure().unwrap().detail, "speech: answer broke off: no audio");
    world.ended().await;
}

#[actix_rt::test]
async fn a_sentence_that_fails_while_another_is_heard_is_spoken_in_its_place() {
    let mut world = World::new();
    world.desk.answers([Words("The first. The second. The third.")]);
    world.desk.speaks([Wait(1_000), Audio(600)]);
    world.desk.speaks([unreachable()]);
    world.say(&voice(600));
    world.run(5_000).await;
    assert_eq!(
        *world.desk.sentences.lock().unwrap(),
        ["The first.", "The second.", "The third.", "The second."]
    );
    assert!(world.story().contains(&"said Agent agent-10: The first. The second. The third.".to_owned()));
    world.finish().await;
}

// ---------------------------------------------------------------- finishing

#[actix_rt::test]
async fn in_every_state_a_finish_closes_the_books_and_drops_what_is_asked() {
    let states: [(&str, At, &[Step], u64, u64); 6] = [
        ("listening", At::Chat, &[], 200, 0),
        ("in mid-utterance", At::Chat, &[], 800, 0),
        ("writing down", At::Transcription, &[Hang], 2_500, 1),
        ("thinking", At::Chat, &[Hang], 2_500, 1),
        ("waiting for the voice", At::Speech, &[Hang], 2_500, 1),
        ("speaking", At::Speech, &[Audio(4_000), Hang], 2_500, 1),
    ];
    for (state, at, steps, ms, open) in states {
        let mut world = World::new();
        plan(&world.desk, at, steps);
        world.say(&[quiet(500), voice(600)].concat());
        world.run(ms).await;
        assert_eq!(world.desk.open() as u64, open, "{state}");
        let (_, story) = world.finish().await;
        assert!(story.iter().all(|fact| !fact.starts_with("failed")), "{state}: {story:?}");
        if state == "speaking" {
            assert_eq!(story[story.len() - 3], "said Agent agent-10: Very well.");
        }
    }
}

#[actix_rt::test]
async fn a_noise_at_the_start_costs_no_greeting() {
    let mut world = World::greeting();
    world.desk.answers([Wait(400), Words("Good morning.")]);
    world.desk.transcribes([Words("")]);
    world.burst(&voice(400)); // before the greeting is heard
    world.run(4_000).await;
    let asked: Vec<_> = world.desk.questions.lock().unwrap().iter().map(|q| q.instructions.clone()).collect();
    assert!(asked.iter().all(|instructions| instructions.contains("Open the call now.")), "{asked:?}");
    assert_eq!((asked.len(), world.played_ms), (1, spoken_ms("Good evening.") + 2));
    world.say(&voice(400)); // while the second is thought of
    world.command(EngineCommand::Prompt("Say good morning.".to_owned()));
    world.run(5_000).await;
    assert_eq!(world.desk.asked(), 3, "{:?}", world.story());
    world.finish().await;
}

#[actix_rt::test]
async fn an_interruption_that_is_told_twice_cuts_nothing_twice() {
    let mut world = World::greeting();
    world.run(2_000).await;
    world.say(&voice(600));
    world.run(4_000).await;
    let told = world.told.len();
    world.command(EngineCommand::Interrupted { heard: Some(Heard { part: Part(10), samples: 8 }) });
    world.command(EngineCommand::Look);
    world.run(100).await;
    assert_eq!(world.told.len(), told);
    world.say(&voice(600));
    world.run(4_000).await;
    assert_eq!(world.desk.question(2)[..2], ["A: Good evening.", "C: Something."]);
    world.finish().await;
}

#[actix_rt::test]
async fn what_is_written_down_and_spoken_is_told_once_however_often_it_is_tried() {
    let mut world = World::new();
    let fault = || ModelError::Status { status: 500, detail: String::new() };
    world.desk.transcribes([Fail(fault())]);
    world.desk.transcribes([Words("When is breakfast?")]);
    world.desk.answers([Words("From seven.")]);
    world.desk.speaks([Fail(fault())]);
    world.say(&voice(1_000));
    world.run(4_000).await;
    let utterances = world.desk.utterances.lock().unwrap().clone();
    assert_eq!((utterances.len(), world.desk.sentences.lock().unwrap().len()), (2, 2));
    let [Amount::Audio(told)] = world.used(Work::Hearing)[..] else {
        panic!("{:?}", world.used(Work::Hearing))
    };
    let asked = Duration::from_millis(utterances[0] as u64);
    assert!((told..told + Duration::from_millis(5)).contains(&asked), "{asked:?}: with the filter's tail");
    assert_eq!(world.used(Work::Speaking), [Amount::Characters(11)]);
    world.finish().await;
}

#[test]
fn each_work_of_each_mode_is_one_models() {
    let engines = Engines { realtime: None, cascade: Some(Arc::<Desk>::default().models()) };
    let agent = agent();
    let name = |mode, work| engines.model(mode, work, &agent).name;
    let works = [Work::Hearing, Work::Answering, Work::Speaking];
    assert_eq!(works.map(|work| name(Mode::Cascade, work)), ["ears", "scripted", "voice"]);
    let in_one = [agent.transcription_model.as_str(), agent.model.as_str(), agent.model.as_str()];
    assert_eq!(works.map(|work| name(Mode::Realtime, work)), in_one);
    assert_eq!(engines.voice(Mode::Cascade, &agent).name, "voice");
}
