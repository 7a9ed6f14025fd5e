use super::*;
use crate::call::timeline::What;
use crate::call::turns::ClipId;
use tandem_media::playout::Part;

/// A conversation with its agent, on a clock of its own. Questions have tokens of their own, too.
struct Talk {
    conversation: Conversation,
    settings: TurnSettings,
    outlook: Outlook,
    at_ms: u64,
    asked: u32,
    events: Vec<What>,
}

fn go_up() -> Move {
    Move::Leave(Answer::Connect, EndReason::HandedOver(Rung::Mode(Mode::Realtime)))
}

fn id() -> CallId {
    CallId(uuid::Uuid::from_u128(7))
}

impl Talk {
    fn new() -> Self {
        Self::of(Ledger::default())
    }

    fn of(ledger: Ledger) -> Self {
        Self {
            conversation: Conversation::from_ledger(id(), jiff::Timestamp::UNIX_EPOCH, ledger),
            settings: TurnSettings::default(),
            outlook: Outlook::Stay,
            at_ms: 0,
            asked: 0,
            events: Vec::new(),
        }
    }

    fn ask(&mut self, question: Question) -> Move {
        self.asked += 1;
        self.ask_with(question, Some(format!("token-{}", self.asked)))
    }

    /// Ten seconds later.
    fn ask_with(&mut self, question: Question, token_opt: Option<String>) -> Move {
        self.at_ms += 10_000;
        assert_eq!(self.conversation.repeated(&question, token_opt.as_deref(), self.at_ms), None);
        let outlook = self.outlook.clone();
        let events = &mut self.events;
        let what = self.conversation.asked(question, token_opt, self.at_ms, &self.settings, outlook, events);
        self.note(&what);
        what
    }

    fn repeated(&self, question: &Question, token_opt: Option<&str>) -> Option<Repeated> {
        self.conversation.repeated(question, token_opt, self.at_ms)
    }

    fn note(&mut self, what: &Move) {
        if let Move::Answer(answer) | Move::Leave(answer, _) = what {
            self.conversation.given(answer);
        }
    }

    fn say(&mut self, text: &str) -> Move {
        self.ask(Question::Speech { text: text.to_owned(), confidence_opt: None })
    }

    /// The engine answers, and whoever waits is told.
    fn think(&mut self, words: &str) -> Move {
        let item = self.conversation.thinking().expect("an answer is wanted").0.to_owned();
        self.conversation.thought(&item, Utterance::of(words));
        self.deliver()
    }

    fn deliver(&mut self) -> Move {
        let what = self.conversation.deliver(&self.settings, self.at_ms).expect("there is something to say");
        self.note(&what);
        what
    }

    /// Everybody's words, as far as they were heard.
    fn heard(&self) -> Vec<&str> {
        self.conversation.ledger().turns().map(crate::ledger::Turn::heard_text).collect()
    }
}

fn listen(words: &str) -> Move {
    Move::Answer(Answer::Listen { say: Utterance::of(words) })
}

fn hang_up(words: &str, reason: EndReason) -> Move {
    Move::Leave(Answer::HangUp { say: Utterance::of(words) }, reason)
}

fn collect(words: &str, number: u32) -> Move {
    Move::Answer(Answer::Collect { say: Utterance::of(words), number })
}

// ------------------------------------------------------------ turns

#[test]
fn a_new_call_is_greeted_and_every_turn_is_answered() {
    let mut talk = Talk::new();
    assert_eq!(talk.ask(Question::Began), listen("Hello, how can I help you?"));
    assert_eq!(talk.say(" When is breakfast? "), Move::Think);
    assert_eq!(talk.conversation.thinking().map(|(_, why)| why), Some(Why::CallerSpoke));
    assert_eq!(talk.think("From seven."), listen("From seven."));
    assert_eq!(talk.ask(Question::Digits("12".to_owned())), Move::Think);
    assert_eq!(
        talk.heard(),
        ["Hello, how can I help you?", "When is breakfast?", "From seven.", "(keys: 12)"]
    );
}

#[test]
fn an_agent_without_a_greeting_lets_the_caller_speak_first() {
    let mut talk = Talk::new();
    talk.settings.greeting.clear();
    assert_eq!(talk.ask(Question::Began), listen(""));
    assert_eq!(talk.heard(), [""; 0]);
}

#[test]
fn what_was_not_asked_about_again_counts_as_unheard() {
    let mut talk = Talk::new();
    talk.ask(Question::Began);
    talk.say("Hello");
    talk.think("Never heard, for all we know.");
    assert_eq!(talk.heard().last(), Some(&""));
}

#[test]
fn a_caller_who_speaks_before_the_words_can_be_over_has_cut_in() {
    let mut talk = Talk::new();
    talk.ask(Question::Began); // 26 characters: 10 s are enough
    talk.say("Tell me everything.");
    talk.think(&"Word after word. ".repeat(20)); // 17 s at least
    talk.say("Stop.");
    let told: Vec<_> = talk.events.iter().filter(|what| **what != What::CallerSilent).collect();
    assert_eq!(told, [&What::PlayedOut { part: 1 }, &What::Interrupted { part: 2, heard_ms: 10_000 }]);
    assert!(talk.heard()[2].ends_with("Word after word. "), "how much of it was lost nobody knows");
}

#[test]
fn a_very_long_turn_of_the_caller_is_bounded() {
    let mut talk = Talk::new();
    talk.say(&"é".repeat(100_000));
    assert_eq!(talk.heard()[0].chars().count(), SPEECH_CHARS_MAX);
}

// ------------------------------------------------------------ silence

#[test]
fn a_silent_caller_is_asked_again_and_then_said_goodbye_to() {
    let mut talk = Talk::new();
    talk.ask(Question::Began);
    assert_eq!(talk.ask(Question::Silence), listen("Are you still there?"));
    let mumble = Question::Speech { text: "  ".to_owned(), confidence_opt: Some(0.1) };
    assert_eq!(talk.ask(mumble), listen("Are you still there?"), "nothing understood is nothing said");
    assert_eq!(talk.ask(Question::Digits(String::new())), hang_up("Goodbye.", EndReason::CallerIdle));
    assert_eq!(
        talk.ask(Question::Silence),
        hang_up("", EndReason::CallerHungUp),
        "who has left says no more"
    );
}

#[test]
fn a_caller_who_speaks_again_has_all_the_patience_again() {
    let mut talk = Talk::new();
    talk.ask(Question::Began);
    for _ in 0..5 {
        talk.ask(Question::Silence);
        talk.ask(Question::Silence);
        talk.say("Still here.");
        talk.think("Good.");
    }
    assert_eq!(talk.ask(Question::Silence), listen("Are you still there?"));
}

// ------------------------------------------------------------ repeats

#[test]
fn a_repeated_question_gets_the_same_answer_and_takes_no_second_turn() {
    let mut talk = Talk::new();
    let speech = Question::Speech { text: "When?".to_owned(), confidence_opt: Some(0.5) };
    assert_eq!(talk.ask_with(speech.clone(), Some("t".to_owned())), Move::Think);
    assert_eq!(talk.repeated(&speech, Some("t")), Some(Repeated::Pending), "it waits for the first");
    talk.think("At seven.");
    let answer = Answer::Listen { say: Utterance::of("At seven.") };
    talk.at_ms += 60_000;
    assert_eq!(talk.repeated(&speech, Some("t")), Some(Repeated::Answered(answer)));
    assert_eq!(talk.heard(), ["When?", ""], "one turn; and a repeat proves nothing heard");
    assert_eq!(talk.repeated(&speech, Some("u")), None, "the same words, said again");
}

#[test]
fn a_repeat_is_known_without_a_token_if_it_comes_soon() {
    let mut talk = Talk::new();
    talk.ask_with(Question::Began, None);
    assert!(matches!(talk.repeated(&Question::Began, None), Some(Repeated::Answered(_))));
    assert_eq!(talk.repeated(&Question::Silence, None), None);
    assert_eq!(talk.repeated(&Question::Began, Some("t")), None, "who has tokens uses them always");
    talk.at_ms += REPEAT_WITHIN_MS;
    assert_eq!(talk.repeated(&Question::Began, None), None);
}

#[test]
fn who_takes_over_answers_what_was_not_answered() {
    let mut talk = Talk::new();
    let asked = |talk: &mut Talk, question| {
        let token_opt = Some("t".to_owned());
        let events = &mut Vec::new();
        talk.conversation.asked(question, token_opt, 0, &talk.settings, Outlook::Stay, events)
    };
    asked(&mut talk, Question::Began); // and then, before the answer was given, something happened
    assert_eq!(talk.repeated(&Question::Began, Some("t")), Some(Repeated::Pending));
    talk.conversation.taken_over();
    assert_eq!(talk.repeated(&Question::Began, Some("t")), None);

    talk.say("When?");
    talk.conversation.taken_over();
    assert_eq!(talk.repeated(&Question::Began, Some("token-1")), Some(Repeated::Pending));
    assert!(talk.conversation.thinking().is_some(), "the turn is taken; it is only thought about again");
}

#[test]
fn who_takes_over_says_in_words_what_was_a_clip_elsewhere() {
    let mut talk = Talk::new();
    let clip = |words: &str| Utterance { clip_opt: Some(ClipId(7)), ..Utterance::of(words) };
    talk.say("One");
    let item = talk.conversation.thinking().unwrap().0.to_owned();
    talk.conversation.thought(&item, clip("Answer."));
    talk.conversation.given(&Answer::Collect { say: clip("Filler."), number: 1 });
    talk.conversation.taken_over();
    let question = Question::Speech { text: "One".to_owned(), confidence_opt: None };
    let filler = Answer::Collect { say: Utterance::of("Filler."), number: 1 };
    assert_eq!(talk.repeated(&question, Some("token-1")), Some(Repeated::Answered(filler)));
    assert_eq!(talk.ask(Question::Collect { number: 1 }), listen("Answer."));
}

#[test]
fn questions_long_past_are_forgotten() {
    let mut talk = Talk::new();
    for _ in 0..100 {
        talk.ask(Question::Began);
    }
    assert_eq!(talk.conversation.recent.len(), RECENT_MAX);
}

// ------------------------------------------------------------ slow and failing engines

#[test]
fn a_slow_answer_is_collected_and_is_not_waited_for_for_ever() {
    let mut talk = Talk::new();
    let filler = Utterance::of("One moment.");
    talk.say("Think hard.");
    for round in 1..=COLLECTS_MAX {
        assert_eq!(talk.conversation.late(&filler), Some(collect("One moment.", round)));
        assert_eq!(talk.ask(Question::Collect { number: round }), Move::Think);
    }
    assert_eq!(talk.conversation.late(&filler), None, "now it has failed");
    assert_eq!(talk.think("Forty-two."), listen("Forty-two."), "unless it comes at the very last moment");
}

#[test]
fn an_answer_that_comes_between_two_questions_is_kept_for_the_next() {
    let mut talk = Talk::new();
    talk.say("Think hard.");
    talk.conversation.late(&Utterance::of("One moment."));
    let item = talk.conversation.thinking().unwrap().0.to_owned();
    talk.conversation.thought(&item, Utterance::of("Forty-two."));
    assert_eq!(talk.ask(Question::Collect { number: 1 }), listen("Forty-two."));
}

#[test]
fn an_answer_to_an_older_question_is_not_taken_for_the_new_one() {
    let mut talk = Talk::new();
    talk.say("First.");
    let first = talk.conversation.thinking().unwrap().0.to_owned();
    talk.say("No: second.");
    talk.conversation.thought(&first, Utterance::of("To the first."));
    assert!(talk.conversation.thinking().is_some());
}

#[test]
fn a_failed_engine_is_replaced_once_for_an_answer_and_twice_in_a_call() {
    let mut talk = Talk::new();
    talk.say("One");
    assert_eq!(talk.conversation.failed("panicked", true, Rung::Apology), Verdict::Retry);
    assert_eq!(
        talk.conversation.apologise(&talk.settings.clone()),
        collect(&talk.settings.apology.clone(), 1)
    );
    talk.think("Answer one.");
    talk.say("Two");
    assert_eq!(talk.conversation.failed("panicked", true, Rung::Apology), Verdict::Retry);
    assert_eq!(
        talk.conversation.failed("panicked again", true, Rung::Apology),
        Verdict::GiveUp,
        "once for an answer"
    );

    talk.conversation.stage = Stage::Listening;
    talk.say("Three");
    assert_eq!(talk.conversation.failed("reset", true, Rung::Apology), Verdict::GiveUp, "twice in a call");
    let sorry = talk.settings.sorry.clone();
    assert_eq!(talk.deliver(), hang_up(&sorry, EndReason::EngineLost("reset".to_owned())));
}

#[test]
fn a_failure_that_no_attempt_can_mend_goes_to_the_human_number_at_once() {
    let mut talk = Talk::new();
    talk.settings.human_number_opt = Some("+14155550142".to_owned());
    talk.say("One");
    assert_eq!(talk.conversation.failed("key refused", false, Rung::Human), Verdict::GiveUp);
    let say = Utterance::of(&talk.settings.handing_over);
    let dial = Answer::Dial { say, number: "+14155550142".to_owned() };
    let by_human = EndReason::HandedOver(Rung::Human);
    assert_eq!(talk.ask(Question::Collect { number: 1 }), Move::Leave(dial, by_human));
}

#[test]
fn the_death_of_an_engine_that_nobody_waits_for_means_nothing() {
    let mut talk = Talk::new();
    talk.ask(Question::Began);
    assert_eq!(talk.conversation.failed("panicked", true, Rung::Apology), Verdict::Never);
    assert_eq!(talk.say("Hello"), Move::Think);
}

// ------------------------------------------------------------ between modes and nodes

#[test]
fn a_conversation_that_another_mode_began_is_gone_on_with() {
    let caller_spoke = |ledger: &mut Ledger| ledger.said(Speaker::Caller, "u1", "When is breakfast?", 5);
    let agent_cut_off = |ledger: &mut Ledger| {
        ledger.agent_began("a1", Part(1), 6);
        ledger.said(Speaker::Agent, "a1", "From seven to", 6);
    };
    let agent_done = |ledger: &mut Ledger| ledger.agent_ended(Part(1), 900);
    let mut ledger = Ledger::default();
    for (happened, owed) in
        [(&caller_spoke as &dyn Fn(&mut Ledger), true), (&agent_cut_off, true), (&agent_done, false)]
    {
        happened(&mut ledger);
        let mut talk = Talk::of(ledger.clone());
        let what = talk.ask(Question::Began);
        if owed {
            assert_eq!((what, talk.conversation.thinking().unwrap().1), (Move::Think, Why::GoOn));
        } else {
            assert_eq!(what, listen(""), "nothing is said twice");
        }
    }
}

#[test]
fn words_that_were_lost_with_an_engine_are_asked_for_once_more() {
    let mut ledger = Ledger::default();
    ledger.caller_began("u1", 5);
    let mut talk = Talk::of(ledger);
    assert_eq!(talk.ask(Question::Began), listen(&talk.settings.pardon.clone()));
    talk.say("When is breakfast?");
    assert_eq!(talk.think("At seven."), listen("At seven."));
}

#[test]
fn a_call_that_nobody_has_heard_of_is_opened_whatever_the_carrier_asks() {
    for question in [Question::Began, Question::Silence, Question::Collect { number: 3 }] {
        assert_eq!(Talk::new().ask(question), listen("Hello, how can I help you?"));
    }
    assert_eq!(Talk::new().say("Hello?"), Move::Think);
}

#[test]
fn a_conversation_can_be_written_down_at_any_time_and_gone_on_with() {
    let mut talk = Talk::new();
    let reread = |talk: &mut Talk| {
        let json = serde_json::to_string(&talk.conversation).unwrap();
        let read: Conversation = serde_json::from_str(&json).unwrap();
        assert_eq!(read, talk.conversation);
        talk.conversation = read;
    };
    reread(&mut talk);
    talk.ask(Question::Began);
    reread(&mut talk);
    talk.say("When?");
    reread(&mut talk);
    assert_eq!(talk.ask(Question::Collect { number: 1 }), Move::Think, "whoever reads it thinks again");
    talk.think("At seven.");
    reread(&mut talk);
    assert_eq!(talk.ask(Question::Silence), listen("Are you still there?"));
    assert_eq!(talk.heard()[2], "At seven.", "and still knows what the carrier was saying");
}

#[test]
fn a_call_that_may_go_back_up_does_so_when_the_caller_has_spoken() {
    let mut talk = Talk::new();
    talk.outlook = Outlook::GoUp(Mode::Realtime);
    assert_eq!(talk.ask(Question::Began), listen("Hello, how can I help you?"), "it has only just come down");
    assert_eq!(talk.say("When?"), go_up());
    assert_eq!(talk.heard()[1], "When?", "the other mode owes the answer");
    talk.outlook = Outlook::Stay;
    assert_eq!(talk.ask(Question::Began), Move::Think, "and if it is not reached, so do we");
}

#[test]
fn a_call_goes_back_up_instead_of_failing_but_not_before_an_answer_that_is_there() {
    let mut talk = Talk::new();
    talk.say("One");
    talk.conversation.failed("key refused", false, Rung::Apology);
    talk.outlook = Outlook::GoUp(Mode::Realtime);
    assert_eq!(talk.ask(Question::Collect { number: 1 }), go_up());

    let mut talk = Talk::new();
    talk.say("One");
    let item = talk.conversation.thinking().unwrap().0.to_owned();
    talk.conversation.thought(&item, Utterance::of("Answer."));
    talk.outlook = Outlook::GoUp(Mode::Realtime);
    assert_eq!(talk.ask(Question::Collect { number: 1 }), listen("Answer."));
    assert_eq!(talk.ask(Question::Silence), go_up());
}

#[test]
fn a_call_that_is_to_end_says_goodbye_to_whatever_it_is_asked() {
    let questions = [
        Question::Began,
        Question::Silence,
        Question::Collect { number: 1 },
        Question::Speech { text: "But".to_owned(), confidence_opt: None },
    ];
    for question in questions {
        let mut talk = Talk::new();
        talk.say("One");
        talk.outlook = Outlook::Leave(EndReason::LengthLimit);
        assert_eq!(talk.ask(question), hang_up("Goodbye.", EndReason::LengthLimit));
    }
}
