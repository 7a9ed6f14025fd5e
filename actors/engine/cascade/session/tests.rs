use tandem_media::playout::Heard;

use super::*;
use crate::engine::cascade::tests::world::{agent, begin};
use crate::ports::{ChatStop, ChatUsage};

/// A session, what it has been told and what it answered. Its models are the test.
struct Script {
    session: Session,
    effects: Vec<Effect>,
    now: Instant,
}

impl Script {
    fn new() -> Self {
        Self {
            session: Session::new(begin(agent(), Ledger::default())),
            effects: Vec::new(),
            now: Instant::now(),
        }
    }

    /// A session that has begun to answer "Hello?" with the first of these words, or with none.
    fn answering(words: &str) -> Self {
        let mut script = Self::new();
        script.caller_says("Hello?");
        script.think(words);
        script.effects.clear();
        script
    }

    fn proceed(&mut self) {
        self.session.proceed(self.now, &mut self.effects);
    }

    fn caller_speaks(&mut self) {
        self.session.heard(Sound::Began, &mut self.effects);
        self.proceed();
    }

    fn caller_stops(&mut self) {
        self.session.heard(Sound::Ended(Bytes::from_static(&[1; 800])), &mut self.effects);
        self.proceed();
    }

    fn written_down(&mut self, words: &str) {
        self.session.written_down(Ok(words.to_owned()), &mut self.effects);
        self.proceed();
    }

    fn caller_says(&mut self, words: &str) {
        self.caller_speaks();
        self.caller_stops();
        self.written_down(words);
    }

    fn think(&mut self, words: &str) {
        self.session.thought(Ok(ChatPiece::Text(words.to_owned())), &mut self.effects);
        self.proceed();
    }

    fn thought(&mut self) {
        let done = ChatPiece::Done { stop: ChatStop::Complete, usage: None };
        self.session.thought(Ok(done), &mut self.effects);
        self.proceed();
    }

    fn audio(&mut self, ms: u64) -> Option<Tag> {
        let tag = self.session.place(&mut self.effects);
        self.session.took(8 * ms, self.now);
        self.proceed();
        tag
    }

    fn sentence_ended(&mut self) {
        self.session.sentence_ended(&mut self.effects);
        self.proceed();
    }

    fn interrupted_at(&mut self, part: u32, ms: u64) {
        self.session.interrupted(Some(Heard { part: Part(part), samples: 8 * ms }), &mut self.effects);
        self.proceed();
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// What the models are asked since the last look.
    fn asked(&mut self) -> Vec<String> {
        let ask = |effect| match effect {
            Effect::WriteDown(utterance) => Some(format!("write {} ms", utterance.len() / 8)),
            Effect::Think(request) => {
                let turns: Vec<_> = request.turns.iter().map(|turn| turn.text.as_str()).collect();
                Some(format!("think {}", turns.join(" | ")))
            }
            Effect::Speak(text) => Some(format!("speak {text}")),
            Effect::SpeakAgain(text) => Some(format!("again {text}")),
            Effect::Hush => Some("hush".to_owned()),
            _ => None,
        };
        std::mem::take(&mut self.effects).into_iter().filter_map(ask).collect()
    }

    fn told(&mut self) -> Vec<EngineFact> {
        let fact = |effect| match effect {
            Effect::Tell(fact) => Some(fact),
            _ => None,
        };
        std::mem::take(&mut self.effects).into_iter().filter_map(fact).collect()
    }
}

// ---------------------------------------------------------------- whose turn it is

#[test]
fn it_is_ready_at_once_and_says_nothing_unless_something_is_owed() {
    let mut script = Script::new();
    script.session.open(&mut script.effects);
    script.proceed();
    assert_eq!(script.told(), [EngineFact::Ready { session: "cascade".to_owned() }]);
}

#[test]
fn the_first_sentence_is_spoken_while_the_second_is_thought() {
    let mut script = Script::answering("From seven. Un");
    script.think("til ten.");
    script.thought();
    assert_eq!(script.asked(), ["speak Until ten."]);
    let mut script = Script::new();
    script.caller_says("Hello?");
    script.think("From seven. Un");
    assert_eq!(script.asked(), ["write 100 ms", "think Hello?", "speak From seven."]);
}

#[test]
fn one_sentence_is_spoken_and_two_are_asked_for_ahead() {
    let mut script = Script::answering("One. Two. Three. Four. ");
    script.thought();
    script.audio(400);
    script.sentence_ended();
    assert_eq!(script.asked(), ["speak Four."]);
}

#[test]
fn nothing_is_asked_for_while_enough_waits_to_be_heard() {
    let mut script = Script::answering("One. Two. Three. Four. Five. ");
    script.audio(9_000);
    script.sentence_ended();
    assert_eq!(script.effects.pop(), Some(Effect::WakeAt(script.now + Duration::from_secs(1))));
    script.pass(1_000);
    script.proceed();
    assert_eq!(script.asked(), ["speak Four."]);
}

#[test]
fn no_model_is_asked_before_it_is_known_what_was_heard() {
    let mut script = Script::answering("One two three four.");
    script.thought();
    script.audio(2_000);
    script.sentence_ended();
    script.caller_says("Stop.");
    assert_eq!(script.asked(), ["speak One two three four.", "write 100 ms"]);
    script.interrupted_at(10, 1_000);
    assert_eq!(script.asked(), ["think Hello? | One two | Stop."]);
}

#[test]
fn a_call_that_cannot_say_what_was_heard_is_not_waited_for_long() {
    let mut script = Script::answering("One two three four.");
    script.thought();
    script.audio(2_000);
    script.sentence_ended();
    script.caller_says("Stop.");
    assert_eq!(script.effects.last(), Some(&Effect::WakeAt(script.now + SETTLING_MAX)));
    script.pass(999);
    script.proceed();
    script.effects.clear();
    script.pass(1);
    script.proceed();
    assert_eq!(script.asked(), ["think Hello? | One two three four. | Stop."]);
    script.interrupted_at(10, 1_000);
    assert_eq!(script.effects, [], "too late");
    script.caller_speaks();
    script.effects.clear();
    script.proceed();
    assert_eq!(script.effects, [], "and that part is not asked about again");
}

#[test]
fn late_words_of_what_was_given_up_are_nobodys() {
    let mut script = Script::answering("One. Two. ");
    script.audio(400);
    script.caller_speaks();
    script.effects.clear();
    script.think("Three. ");
    assert_eq!(script.audio(400), None);
    script.sentence_ended();
    script.session.voice_failed(&Trouble::Late, &mut script.effects);
    script.session.written_down(Ok("Nobody asked.".to_owned()), &mut script.effects);
    assert!(script.effects.iter().all(|effect| matches!(effect, Effect::WakeAt(_))), "{:?}", script.effects);
}

#[test]
fn new_audio_belongs_to_the_new_generation_and_a_new_part() {
    let mut script = Script::answering("One.");
    script.thought();
    let before = script.audio(400).unwrap();
    script.caller_speaks();
    script.interrupted_at(10, 200);
    script.caller_stops();
    script.written_down("What?");
    script.think("Two.");
    script.thought();
    let after = script.audio(400).unwrap();
    assert_eq!((before.generation.0, before.part.0, after.generation.0, after.part.0), (4, 10, 5, 11));
}

// ---------------------------------------------------------------- what was heard

#[test]
fn an_answer_that_was_heard_to_its_end_is_not_truncated() {
    let mut script = Script::answering("One two.");
    script.thought();
    script.audio(1_000);
    script.sentence_ended();
    script.caller_speaks();
    script.effects.clear();
    script.interrupted_at(10, 995);
    assert_eq!(script.told(), []);
}

#[test]
fn an_answer_cut_off_in_the_making_is_truncated_however_much_of_it_was_heard() {
    let mut script = Script::answering("One two. Three.");
    script.audio(1_000);
    script.caller_speaks();
    script.effects.clear();
    script.interrupted_at(10, 1_000);
    assert_eq!(script.told(), [EngineFact::Truncated { part: Part(10), audio_end_ms: 1_000 }]);
}

#[test]
fn what_was_not_heard_at_all_is_said_again_when_the_interruption_meant_nothing() {
    for heard in
        [None, Some(Heard { part: Part(9), samples: 80_000 }), Some(Heard { part: Part(10), samples: 8 })]
    {
        let mut script = Script::answering("One two.");
        script.thought();
        script.audio(1_000);
        script.sentence_ended();
        script.caller_speaks();
        script.session.interrupted(heard, &mut script.effects);
        script.caller_stops();
        script.effects.clear();
        script.written_down("");
        assert_eq!(script.asked(), ["think Hello?"], "{heard:?}");
        script.caller_says("Anybody?");
        assert_eq!(script.asked(), ["hush", "write 100 ms", "think Hello? Anybody?"], "{heard:?}");
    }
}

#[test]
fn of_several_parts_each_is_heard_as_far_as_it_was() {
    let mut script = Script::answering("One two.");
    script.thought();
    script.audio(1_000);
    script.sentence_ended();
    script.session.prompt("Say three four.".to_owned());
    script.proceed();
    script.think("Three four.");
    script.thought();
    script.audio(1_000);
    script.sentence_ended();
    script.caller_says("What?");
    script.effects.clear();
    script.interrupted_at(11, 700);
    assert_eq!(script.session.request(&Ask::Answer).turns[1].text, "One two. Three");
    assert_eq!(script.told(), [EngineFact::Truncated { part: Part(11), audio_end_ms: 700 }]);
}

// ---------------------------------------------------------------- what is owed

#[test]
fn what_the_call_wants_said_waits_until_the_caller_has_finished() {
    let mut script = Script::new();
    script.caller_speaks();
    script.session.prompt("Say goodbye.".to_owned());
    script.caller_stops();
    assert_eq!(script.asked(), ["write 100 ms"]);
    script.written_down("One more thing.");
    let Some(Effect::Think(request)) = script.effects.last() else { panic!("{:?}", script.effects) };
    assert_eq!((request.instructions.as_str(), request.turns.len()), ("Say goodbye.", 1));
}

// ---------------------------------------------------------------- small things

#[test]
fn the_echo_of_the_agent_outlives_its_audio() {
    let mut script = Script::answering("One. ");
    script.audio(400);
    let sounds = |after| script.session.sounds(script.now + Duration::from_millis(after));
    assert_eq!([0, 400, 699, 700].map(sounds), [true, true, true, false]);
}

#[test]
fn tokens_are_told_as_the_provider_counted_them() {
    let mut script = Script::answering("One.");
    let usage = Some(ChatUsage { input_tokens: 30, cached_input_tokens: 20, output_tokens: 4 });
    script.session.thought(Ok(ChatPiece::Done { stop: ChatStop::Length, usage }), &mut script.effects);
    let [EngineFact::Used(Used { work: Work::Answering, amount: Amount::Tokens(used) })] = script.told()[..]
    else {
        panic!("no usage")
    };
    assert_eq!((used.total_tokens, used.input_tokens, used.output_tokens), (34, 30, 4));
    assert_eq!(used.input_token_details.cached_tokens, 20);
}

#[test]
fn every_error_has_its_kind() {
    let reported = |code: &str| ModelError::Reported { code: code.to_owned(), message: String::new() };
    for (error, kind) in [
        (ModelError::Unreachable(String::new()), FailureKind::Dial),
        (ModelError::Unauthorized(403), FailureKind::Unauthorized),
        (ModelError::RateLimited, FailureKind::RateLimited),
        (ModelError::Broken(String::new()), FailureKind::SocketLost),
        (ModelError::Status { status: 500, detail: String::new() }, FailureKind::Provider),
        (reported("invalid_api_key"), FailureKind::Unauthorized),
        (reported("insufficient_quota"), FailureKind::RateLimited),
        (reported("server_error"), FailureKind::Provider),
    ] {
        assert_eq!(kind_of(&error), kind, "{error:?}");
    }
}

#[test]
fn a_session_that_is_over_does_nothing_any_more() {
    let mut script = Script::answering("One. Two. ");
    script.session.finish(&mut script.effects);
    script.effects.clear();
    script.caller_says("Hello?");
    script.session.prompt("Say goodbye.".to_owned());
    script.thought();
    assert_eq!(script.audio(100), None);
    script.sentence_ended();
    script.interrupted_at(10, 100);
    script.session.finish(&mut script.effects);
    assert_eq!(script.effects, []);
}

// ---------------------------------------------------------------- everything at once

/// Numbers from a seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// What the call makes of the facts, as its own handler does, and what it may rely on.
struct Call {
    ledger: Ledger,
    generation: Generation,
    first_open: Part,
    last_begun: Option<Part>,
    /// The part whose end has not been told.
    sounding: Option<Part>,
    caller_speaking: bool,
    failed: bool,
}

impl Call {
    fn hear(&mut self, fact: EngineFact) {
        assert!(!self.failed, "nothing follows a failure but the end: {fact:?}");
        match fact {
            EngineFact::CallerSpeaking { generation, item } => {
                assert!(!std::mem::replace(&mut self.caller_speaking, true));
                assert!(generation > self.generation);
                self.generation = generation;
                self.ledger.caller_began(&item, 0);
            }
            EngineFact::CallerSilent { .. } => assert!(std::mem::take(&mut self.caller_speaking)),
            EngineFact::AgentBegan { part, item, .. } => {
                assert!(!self.caller_speaking && self.last_begun.is_none_or(|last| last < part));
                assert_eq!(self.sounding.replace(part), None, "one part at a time");
                self.last_begun = Some(part);
                self.ledger.agent_began(&item, part, 0);
            }
            EngineFact::AgentEnded { part, audio_ms } => {
                assert_eq!(self.sounding.take(), Some(part));
                self.ledger.agent_ended(part, audio_ms);
            }
            EngineFact::Said { who, item, text } => {
                assert!(!text.is_empty());
                self.ledger.said(who, &item, &text, 0);
            }
            EngineFact::Failed(_) => self.failed = true,
            EngineFact::Truncated { part, .. } => assert!(self.last_begun.is_some_and(|last| part <= last)),
            _ => {}
        }
    }

    fn interrupted(&mut self, heard: Option<Heard>) {
        if let Some(last) = self.last_begun {
            self.ledger.cut(self.first_open..=last, heard);
            self.first_open = Part(last.0 + 1);
        }
    }

    fn turns(ledger: &Ledger) -> Vec<(Speaker, &str)> {
        ledger.turns().map(|turn| (turn.who, turn.heard_text())).collect()
    }
}

/// Models, caller and ear that do anything at any time, but nothing that was not asked of them.
#[test]
fn whatever_happens_the_engine_believes_what_the_calls_ledger_says() {
    for seed in 1..=200 {
        let mut dice = Dice(seed);
        let mut script = Script::new();
        let mut call = Call {
            ledger: Ledger::default(),
            generation: Generation(3),
            first_open: Part(10),
            last_begun: None,
            sounding: None,
            caller_speaking: false,
            failed: false,
        };
        let (mut writing, mut thinking, mut sentences, mut played_ms) = (false, false, 0_u32, 0_u64);
        for _ in 0..400 {
            script.pass(dice.roll(400));
            match dice.roll(12) {
                0 if call.caller_speaking => script.caller_stops(),
                0 => script.caller_speaks(),
                1 | 2 if std::mem::take(&mut writing) => match dice.roll(8) {
                    0 => script.written_down(""),
                    1 => {
                        let error = Err(Trouble::Model(ModelError::Unreachable(String::new())));
                        script.session.written_down(error, &mut script.effects);
                    }
                    _ => script.written_down("I say, good morning."),
                },
                3 if thinking => script.think("Two three,"),
                4 | 5 if thinking => script.think([" four.", "\n"][usize::from(dice.roll(2) == 0)]),
                6 if std::mem::take(&mut thinking) => script.thought(),
                7 | 8 if sentences > 0 => {
                    let ms = 1 + dice.roll(900);
                    assert_eq!(script.audio(ms).expect("it is waited for").generation, call.generation);
                    played_ms += ms;
                }
                9 | 10 if sentences > 0 && (script.session.sentence_began() || dice.roll(20) == 0) => {
                    sentences -= 1;
                    script.sentence_ended();
                }
                11 if dice.roll(20) == 0 => script.session.prompt("Say goodbye.".to_owned()),
                _ => script.proceed(),
            }
            let mut cut_in = false;
            for effect in std::mem::take(&mut script.effects) {
                match effect {
                    Effect::WriteDown(_) => assert!(!std::mem::replace(&mut writing, true), "one at a time"),
                    Effect::Think(request) => {
                        assert!(!std::mem::replace(&mut thinking, true), "one at a time");
                        assert!(!call.caller_speaking, "nobody answers a caller who speaks: {request:?}");
                    }
                    Effect::StopThinking => thinking = false,
                    Effect::Speak(_) | Effect::SpeakAgain(_) => sentences += 1,
                    Effect::Hush => (thinking, sentences) = (false, 0),
                    Effect::EndOfPart(tag) => assert_eq!(Some(tag.part), call.sounding),
                    Effect::WakeAt(at) => assert!(at > script.now),
                    Effect::Tell(fact) => {
                        cut_in |= matches!(fact, EngineFact::CallerSpeaking { .. });
                        call.hear(fact);
                    }
                }
            }
            if cut_in {
                let part = call.last_begun.filter(|part| *part >= call.first_open);
                let heard = part.map(|part| Heard { part, samples: dice.roll(8 * played_ms + 8) });
                played_ms = 0;
                script.session.interrupted(heard, &mut script.effects);
                call.interrupted(heard);
            }
            assert_eq!(call.failed, script.session.is_over(), "seed {seed}");
            if call.failed {
                break;
            }
            assert_eq!(Call::turns(&script.session.ledger), Call::turns(&call.ledger), "seed {seed}");
        }
    }
}
