use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;

use super::*;
use crate::budgets::{BudgetLimits, Budgets};
use crate::ledger::Speaker;
use crate::ports::{CallId, ChatPiece, ChatRequest, ChatStop, ChatUsage, ModelError, ModelId};
use crate::testing::{
    FlatPrice, MemoryCallStore, MemorySpool, NoPrices, NoProbes, VirtualClock, always, scripted, test_agent,
};
use crate::usage::event::EventKind;

/// How the model takes one question.
#[derive(Clone, Debug)]
enum Plan {
    Says(&'static str),
    /// For so many tokens.
    SaysFor(&'static str, u64),
    SaysAfter(Duration, &'static str),
    SaysHalfAndFails(&'static str, ModelError),
    SaysNothing,
    SaysTooMuch,
    NeverAnswers,
    PanicsAtOnce,
    PanicsInMidStream,
}

use Plan::*;

/// A model that follows its plan, and remembers what it was asked. After the plan it says "Yes."
#[derive(Default)]
struct ScriptedModel {
    plan: Mutex<VecDeque<Plan>>,
    asked: Mutex<Vec<ChatRequest>>,
}

const DONE: ChatPiece = ChatPiece::Done { stop: ChatStop::Complete, usage: None };

fn text(text: &str) -> ChatPiece {
    ChatPiece::Text(text.to_owned())
}

impl ChatModel for ScriptedModel {
    fn model(&self) -> ModelId {
        scripted("scripted")
    }

    fn answer(&self, request: ChatRequest) -> LocalBoxStream<'static, Result<ChatPiece, ModelError>> {
        self.asked.lock().unwrap().push(request);
        let plan = self.plan.lock().unwrap().pop_front().unwrap_or(Says("Yes."));
        let says = |words| stream::iter([text(words), DONE]).map(Ok);
        match plan {
            Says(words) => says(words).boxed_local(),
            SaysFor(words, output_tokens) => {
                let usage = Some(ChatUsage { output_tokens, ..ChatUsage::default() });
                let done = ChatPiece::Done { stop: ChatStop::Complete, usage };
                stream::iter([text(words), done]).map(Ok).boxed_local()
            }
            SaysAfter(delay, words) => {
                stream::once(tokio::time::sleep(delay)).flat_map(move |()| says(words)).boxed_local()
            }
            SaysHalfAndFails(words, error) => stream::iter([Ok(text(words)), Err(error)]).boxed_local(),
            SaysNothing => stream::iter([Ok(DONE)]).boxed_local(),
            SaysTooMuch => stream::repeat_with(|| Ok(text("One word and another. "))).boxed_local(),
            NeverAnswers => stream::pending().boxed_local(),
            PanicsAtOnce => panic!("planned"),
            PanicsInMidStream => {
                let broken = stream::once(async { panic!("planned") });
                stream::iter([Ok(text("From sev"))]).chain(broken).boxed_local()
            }
        }
    }
}

/// Makes a clip of everything, after a while; refuses from clip 100 on.
struct SlowNarrator {
    takes: Duration,
    made: AtomicU32,
}

impl Narrator for SlowNarrator {
    fn model(&self) -> ModelId {
        scripted("voice")
    }

    fn narrate(&self, _: &str) -> Narration {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let takes = self.takes;
        let clip = async move {
            tokio::time::sleep(takes).await;
            (number < 100).then_some(ClipId(number.into()))
        };
        Narration { clip: clip.boxed_local(), is_new: true }
    }
}

/// Stands in for the switchboard: hears of ends and exits.
struct House(mpsc::UnboundedSender<Heard>);

enum Heard {
    Ended(Arc<CallReport>),
    Exited(Cause),
}

impl Actor for House {
    type Context = Context<Self>;
}

impl Handler<CallEnded> for House {
    type Result = ();

    fn handle(&mut self, CallEnded(report): CallEnded, _: &mut Self::Context) {
        self.0.send(Heard::Ended(report)).ok();
    }
}

impl Handler<Exited<Seat>> for House {
    type Result = ();

    fn handle(&mut self, exited: Exited<Seat>, _: &mut Self::Context) {
        self.0.send(Heard::Exited(exited.cause)).ok();
    }
}

/// One call on virtual time, and everything around it.
struct World {
    call: Addr<TurnCall>,
    model: Arc<ScriptedModel>,
    store: Arc<MemoryCallStore>,
    fallback: Addr<Fallback>,
    settings: TurnSettings,
    narrator_opt: Option<Arc<dyn Narrator>>,
    heard: mpsc::UnboundedReceiver<Heard>,
    house: Addr<House>,
}

const CALL_MAX: Duration = Duration::from_hours(1);
const CAP: Option<NonZeroU64> = NonZeroU64::new(1_000);

fn conversation() -> Conversation {
    Conversation::new(CallId(uuid::Uuid::from_u128(7)), jiff::Timestamp::UNIX_EPOCH)
}

impl World {
    fn new(plan: impl IntoIterator<Item = Plan>) -> Self {
        Self::with(plan, TurnSettings::default(), None)
    }

    fn with(
        plan: impl IntoIterator<Item = Plan>,
        settings: TurnSettings,
        narrator_opt: Option<Arc<dyn Narrator>>,
    ) -> Self {
        tokio::time::pause();
        let (tx, heard) = mpsc::unbounded_channel();
        let house = House(tx).start();
        let model =
            Arc::new(ScriptedModel { plan: Mutex::new(plan.into_iter().collect()), asked: Mutex::default() });
        let store = Arc::new(MemoryCallStore::default());
        let fallback = Fallback::new(Arc::new(NoProbes), None).start();
        let setup = setup(conversation(), &model, &store, &settings, narrator_opt.clone(), &house, &fallback);
        let call = spawn(setup, &house);
        Self { call, model, store, fallback, settings, narrator_opt, heard, house }
    }

    /// The same call on another node: a new actor, with what was kept.
    fn move_to_another_node(&mut self) {
        let kept = *self.store.get("CA1").and_then(|record| record.turns_opt).expect("it was kept");
        let narrator_opt = self.narrator_opt.clone();
        let setup =
            setup(kept, &self.model, &self.store, &self.settings, narrator_opt, &self.house, &self.fallback);
        self.call = spawn(setup, &self.house);
    }

    /// The same call, which began in mode `realtime` and goes back there when it can.
    fn fallen_from_realtime(self) -> Self {
        self.with_media(&[Mode::Realtime])
    }

    fn with_media(mut self, failed: &[Mode]) -> Self {
        self.store = Arc::default(); // the first one lives on, and keeps its record
        let mut setup = setup(
            conversation(),
            &self.model,
            &self.store,
            &self.settings,
            None,
            &self.house,
            &self.fallback,
        );
        let configured = [Mode::Traditional, Mode::Realtime];
        setup.ladder = Ladder::new(Mode::Traditional, &Ladder::usual_order(false), &configured);
        setup.failed = failed.to_vec();
        setup.goes_back_up = true;
        self.call = spawn(setup, &self.house);
        self
    }

    /// The same call, which may cost a thousand tokens of `model`, fell from mode `realtime`, and has cost this before.
    fn capped(mut self, model: &'static str, spent: Spent) -> Self {
        let (settings, house) = (&self.settings, &self.house);
        let mut setup =
            setup(conversation(), &self.model, &self.store, settings, None, house, &self.fallback);
        let configured = [Mode::Traditional, Mode::Realtime];
        setup.ladder = Ladder::new(Mode::Traditional, &Ladder::usual_order(false), &configured);
        setup.failed = vec![Mode::Realtime];
        setup.goes_back_up = true;
        setup.cost_max_opt = CAP;
        setup.spent = spent;
        setup.recording.prices = always(FlatPrice(model));
        self.call = spawn(setup, &self.house);
        self
    }

    /// The same call, fallen from mode `realtime` and paid from this, a micro-dollar for each token.
    fn paid_from(mut self, purse: Purse) -> Self {
        let (settings, house) = (&self.settings, &self.house);
        let mut setup =
            setup(conversation(), &self.model, &self.store, settings, None, house, &self.fallback);
        let configured = [Mode::Traditional, Mode::Realtime];
        setup.ladder = Ladder::new(Mode::Traditional, &Ladder::usual_order(false), &configured);
        setup.failed = vec![Mode::Realtime];
        setup.goes_back_up = true;
        setup.recording.prices = always(FlatPrice("scripted"));
        setup.purse = purse;
        self.call = spawn(setup, &self.house);
        self
    }

    /// The same call, recorded where the test can see it. It began so long ago, and was told of so.
    fn recorded(mut self, age: Duration, spent: Spent) -> (Self, Arc<MemorySpool>) {
        let (settings, house, narrator_opt) = (&self.settings, &self.house, self.narrator_opt.clone());
        let mut setup =
            setup(conversation(), &self.model, &self.store, settings, narrator_opt, house, &self.fallback);
        let spool = Arc::<MemorySpool>::default();
        setup.recording = spool.recording(always(FlatPrice("scripted")), Arc::new(VirtualClock::new()));
        setup.now += age;
        setup.spent = spent;
        self.call = spawn(setup, &self.house);
        (self, spool)
    }

    async fn ask(&self, question: Question) -> Result<Answer, Unanswered> {
        ask(&self.call, question, None).await
    }

    async fn began(&self) -> Answer {
        self.ask(Question::Began).await.unwrap()
    }

    /// What the caller says, and how long it takes until the carrier has its answer.
    async fn say(&self, text: &str) -> (Answer, Duration) {
        self.timed(speech(text)).await
    }

    async fn collect(&self, number: u32) -> (Answer, Duration) {
        self.timed(Question::Collect { number }).await
    }

    async fn timed(&self, question: Question) -> (Answer, Duration) {
        let asked_at = Instant::now();
        let answer = self.ask(question).await.expect("the call lives");
        // Timers are a millisecond late.
        (answer, Duration::from_secs_f64((asked_at.elapsed().as_secs_f64() * 10.0).round() / 10.0))
    }

    fn asked(&self) -> Vec<ChatRequest> {
        self.model.asked.lock().unwrap().clone()
    }

    async fn report(&mut self) -> Arc<CallReport> {
        let waits = async {
            loop {
                if let Heard::Ended(report) = self.heard.recv().await.expect("the house stands") {
                    return report;
                }
            }
        };
        tokio::time::timeout(QUIET_MAX * 2, waits).await.expect("the call ends")
    }

    async fn exit(&mut self) -> Cause {
        let waits = async {
            loop {
                if let Heard::Exited(cause) = self.heard.recv().await.expect("the house stands") {
                    return cause;
                }
            }
        };
        tokio::time::timeout(QUIET_MAX * 2, waits).await.expect("the call exits")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        tokio::time::resume(); // a test may make several worlds, one after the other
    }
}

fn setup(
    conversation: Conversation,
    model: &Arc<ScriptedModel>,
    store: &Arc<MemoryCallStore>,
    settings: &TurnSettings,
    narrator_opt: Option<Arc<dyn Narrator>>,
    house: &Addr<House>,
    fallback: &Addr<Fallback>,
) -> TurnSetup {
    let human = settings.human_number_opt.is_some();
    TurnSetup {
        seat: Seat::default(),
        from_opt: None,
        to_opt: None,
        routed: Mode::Traditional,
        rule_opt: None,
        ladder: Ladder::new(Mode::Traditional, &Ladder::usual_order(human), &[Mode::Traditional]),
        failed: Vec::new(),
        goes_back_up: false,
        fallback: fallback.clone(),
        call_sid: "CA1".to_owned(),
        now: conversation.started_at,
        conversation,
        call_max: CALL_MAX,
        cost_max_opt: None,
        purse: Purse::default(),
        spent: Spent::default(),
        recording: Arc::<MemorySpool>::default().recording(always(NoPrices), Arc::new(VirtualClock::new())),
        agent: Arc::new(test_agent()),
        settings: Arc::new(settings.clone()),
        model: Arc::clone(model) as Arc<dyn ChatModel>,
        narrator_opt,
        store: Arc::clone(store) as Arc<dyn CallStore>,
        switchboard: house.clone().recipient(),
    }
}

fn spawn(setup: TurnSetup, house: &Addr<House>) -> Addr<TurnCall> {
    let seat = setup.seat;
    child::spawn(house.clone().recipient(), seat, 0, |_| TurnCall::new(setup)).release()
}

fn speech(text: &str) -> Question {
    Question::Speech { text: text.to_owned(), confidence_opt: Some(0.9) }
}

fn listen(words: &str) -> Answer {
    Answer::Listen { say: Utterance::of(words) }
}

fn ear(report: &CallReport) -> Vec<(Speaker, String)> {
    let turns = report.ledger.turns();
    turns.map(|turn| (turn.who, turn.heard_text().to_owned())).filter(|(_, text)| !text.is_empty()).collect()
}

const SECOND: Duration = Duration::from_secs(1);

fn unreachable() -> ModelError {
    ModelError::Unreachable("connection refused".to_owned())
}

// ------------------------------------------------------------ a conversation

#[actix_rt::test]
async fn a_call_is_greeted_answered_and_reported() {
    let mut world = World::new([Says("From **seven**."), Says("Until ten.")]);
    assert_eq!(world.began().await, listen("Hello, how can I help you?"));
    assert_eq!(world.say("When is breakfast?").await.0, listen("From seven."));
    assert_eq!(world.say("And until when?").await.0, listen("Until ten."));
    let turns: Vec<_> = world.asked()[1].turns.iter().map(|turn| turn.text.clone()).collect();
    assert_eq!(turns, ["Hello, how can I help you?", "When is breakfast?", "From seven.", "And until when?"]);
    world.call.do_send(CallerGone);
    let report = world.report().await;
    assert_eq!((&report.end, report.call_sid.as_deref()), (&EndReason::CallerHungUp, Some("CA1")));
    assert_eq!(ear(&report).len(), 4, "there was no time to hear the last answer");
    assert_eq!((&report.discrepancies[..], report.engine_failures), (&[][..], 0));
    assert_eq!(report.timeline.turns().len(), 2);
    assert_eq!(world.exit().await, Cause::Stopped);
}

#[actix_rt::test]
async fn what_a_caller_had_the_time_to_hear_before_he_hung_up_was_heard() {
    let mut world = World::new([]);
    world.began().await;
    tokio::time::sleep(3 * SECOND).await;
    world.call.do_send(CallerGone);
    let report = world.report().await;
    assert_eq!(ear(&report), [(Speaker::Agent, "Hello, how can I help you?".to_owned())]);
}

#[actix_rt::test]
async fn a_model_that_never_stops_is_stopped_after_an_answers_length() {
    let world = World::new([SaysTooMuch]);
    let (Answer::Listen { say }, _) = world.say("Tell me everything.").await else { panic!("no answer") };
    assert!((1_150..=1_200).contains(&say.words.len()) && say.words.ends_with('.'), "{}", say.words.len());
}

#[actix_rt::test]
async fn a_silent_caller_is_said_goodbye_to() {
    let mut world = World::new([]);
    world.began().await;
    for _ in 0..2 {
        tokio::time::sleep(REPEAT_PAUSE).await;
        assert_eq!(world.ask(Question::Silence).await, Ok(listen("Are you still there?")));
    }
    tokio::time::sleep(REPEAT_PAUSE).await;
    let goodbye = Answer::HangUp { say: Utterance::of("Goodbye.") };
    assert_eq!(world.ask(Question::Silence).await, Ok(goodbye.clone()));
    assert_eq!(world.report().await.end, EndReason::CallerIdle);
    assert_eq!(world.exit().await, Cause::Stopped);
    let kept = world.store.get("CA1").unwrap().turns_opt.unwrap();
    assert_eq!(kept.repeated(&Question::Silence, None, 3 * 6_000), Some(Repeated::Answered(goodbye)));
}

/// Longer than a question without a token can be a repeat.
const REPEAT_PAUSE: Duration = Duration::from_secs(6);

// ------------------------------------------------------------ repeats

#[actix_rt::test]
async fn a_webhook_that_is_repeated_while_we_think_takes_one_turn_and_gets_one_answer() {
    let world = World::new([SaysAfter(3 * SECOND, "From seven.")]);
    let token = || Some("token".to_owned());
    let first = ask(&world.call, speech("When?"), token());
    let repeat = async {
        tokio::time::sleep(2 * SECOND).await;
        ask(&world.call, speech("When?"), token()).await
    };
    let (first, repeat) = join(first, repeat).await;
    assert_eq!((first, repeat), (Ok(listen("From seven.")), Ok(listen("From seven."))));
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(ask(&world.call, speech("When?"), token()).await, Ok(listen("From seven.")));
    assert_eq!(world.asked().len(), 1);
}

#[actix_rt::test]
async fn a_late_repeat_of_an_older_question_does_not_answer_the_new_one() {
    let world = World::new([Says("From seven."), SaysAfter(3 * SECOND, "Until ten.")]);
    ask(&world.call, speech("When?"), Some("older".to_owned())).await.unwrap();
    let newer = ask(&world.call, speech("Until when?"), Some("newer".to_owned()));
    let repeat = async {
        tokio::time::sleep(SECOND).await;
        ask(&world.call, speech("When?"), Some("older".to_owned())).await
    };
    assert_eq!(join(newer, repeat).await, (Ok(listen("Until ten.")), Ok(listen("From seven."))));
}

// ------------------------------------------------------------ slow models

#[actix_rt::test]
async fn a_slow_answer_is_bridged_and_collected_and_no_webhook_waits_longer_than_promised() {
    let world = World::new([SaysAfter(20 * SECOND, "From seven.")]);
    let (answer, took) = world.say("When?").await;
    let filler = Utterance::of("One moment, please.");
    assert_eq!((answer, took), (Answer::Collect { say: filler.clone(), number: 1 }, ANSWER_MAX));
    let (answer, took) = world.collect(1).await;
    assert_eq!((answer, took), (Answer::Collect { say: filler, number: 2 }, ANSWER_MAX));
    let (answer, took) = world.collect(2).await;
    assert_eq!((answer, took), (listen("From seven."), 4 * SECOND));
    assert_eq!(world.asked().len(), 1, "one answer, asked for once");
}

#[actix_rt::test]
async fn an_answer_that_came_while_the_filler_was_said_is_there_at_once() {
    let world = World::new([SaysAfter(9 * SECOND, "From seven.")]);
    world.say("When?").await;
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(world.collect(1).await, (listen("From seven."), Duration::ZERO));
}

#[actix_rt::test]
async fn a_model_that_never_answers_is_asked_anew_and_then_given_up() {
    let mut world = World::new([NeverAnswers, NeverAnswers]);
    let (mut answer, mut took) = world.say("When?").await;
    let mut said = Vec::new();
    while let Answer::Collect { say, number } = answer {
        assert!(took <= ANSWER_MAX);
        said.push(say.words);
        (answer, took) = world.collect(number).await;
    }
    let settings = TurnSettings::default();
    let (filler, apology) = (settings.filler.clone(), settings.apology.clone());
    assert_eq!(said, [filler.clone(), filler.clone(), apology, filler.clone(), filler]);
    assert_eq!(answer, Answer::HangUp { say: Utterance::of(&settings.sorry) });
    let report = world.report().await;
    assert_eq!(report.end, EndReason::EngineLost("no answer in time".to_owned()));
    assert_eq!(report.engine_failures, 2);
}

// ------------------------------------------------------------ the row of the supervision table

/// Every way for an engine to fail that another attempt may mend.
fn failures() -> Vec<Plan> {
    vec![
        PanicsAtOnce,
        PanicsInMidStream,
        SaysHalfAndFails("", unreachable()),
        SaysHalfAndFails("From sev", ModelError::Broken("reset".to_owned())),
        SaysHalfAndFails("", ModelError::Status { status: 503, detail: "overloaded".to_owned() }),
        SaysHalfAndFails("", ModelError::RateLimited),
    ]
}

#[actix_rt::test]
async fn a_failed_engine_apologises_and_the_next_one_answers() {
    for failure in failures() {
        let world = World::new([failure.clone(), Says("From seven.")]);
        world.began().await;
        let (answer, took) = world.say("When?").await;
        let say = Utterance::of(&world.settings.apology);
        assert_eq!((answer, took), (Answer::Collect { say, number: 1 }, Duration::ZERO), "{failure:?}");
        let (answer, took) = world.collect(1).await;
        assert_eq!(answer, listen("From seven."), "{failure:?}");
        assert!(took <= RETRY_AFTER);
        let asked = world.asked();
        assert_eq!(asked[0], asked[1], "asked the same, and nothing of the broken answer is left");
        tokio::time::sleep(REPEAT_PAUSE).await;
        assert_eq!(world.say("Thanks").await.0, listen("Yes."), "the call goes on");
    }
}

#[actix_rt::test]
async fn an_engine_that_fails_again_hands_the_caller_to_a_human_or_says_sorry() {
    for failure in failures() {
        for number_opt in [Some("+14155550142".to_owned()), None] {
            let human = number_opt.is_some();
            let settings = TurnSettings { human_number_opt: number_opt.clone(), ..TurnSettings::default() };
            let mut world = World::with([failure.clone(), failure.clone()], settings.clone(), None);
            world.say("When?").await;
            let (answer, _) = world.collect(1).await;
            let expected = match number_opt {
                Some(number) => Answer::Dial { say: Utterance::of(&settings.handing_over), number },
                None => Answer::HangUp { say: Utterance::of(&settings.sorry) },
            };
            assert_eq!(answer, expected, "{failure:?}");
            let end = world.report().await.end.clone();
            let by_human = end == EndReason::HandedOver(Rung::Human);
            assert!(if human { by_human } else { matches!(end, EndReason::EngineLost(_)) }, "{end:?}");
        }
    }
}

#[actix_rt::test]
async fn a_failure_that_cannot_be_mended_wastes_nobodys_time() {
    let world = World::new([SaysHalfAndFails("", ModelError::Unauthorized(401))]);
    let sorry = Answer::HangUp { say: Utterance::of(&world.settings.sorry) };
    assert_eq!(world.say("When?").await, (sorry, Duration::ZERO));
    assert_eq!(world.asked().len(), 1);
}

#[actix_rt::test]
async fn a_model_that_answers_with_nothing_is_asked_again_before_anybody_apologises() {
    let world = World::new([SaysNothing, Says("From seven.")]);
    assert_eq!(world.say("When?").await.0, listen("From seven."));
    drop(world);
    let world = World::new([SaysNothing, SaysNothing, Says("From seven.")]);
    assert!(matches!(world.say("When?").await.0, Answer::Collect { number: 1, .. }));
    assert_eq!(world.collect(1).await.0, listen("From seven."));
}

#[actix_rt::test]
async fn an_engine_that_dies_while_the_filler_is_said_is_replaced_without_a_word() {
    let world = World::new([SaysAfter(9 * SECOND, ""), Says("From seven.")]);
    world.say("When?").await; // told to come back after 8 s; at 9 s the answer is empty, and is asked for again
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(world.collect(1).await, (listen("From seven."), Duration::ZERO));
    drop(world);

    let world = World::new([NeverAnswers, PanicsAtOnce]);
    world.say("When?").await;
    world.call.do_send(Exited { role: Role::Engine, incarnation: 1, cause: Cause::Killed });
    tokio::time::sleep(2 * SECOND).await;
    let sorry = Answer::HangUp { say: Utterance::of(&world.settings.sorry) };
    assert_eq!(world.collect(1).await, (sorry, Duration::ZERO), "two have died meanwhile");
}

// ------------------------------------------------------------ clips

#[actix_rt::test]
async fn with_a_narrator_words_are_clips_and_the_filler_is_ready_when_it_is_needed() {
    let narrator = Arc::new(SlowNarrator { takes: SECOND, made: AtomicU32::new(0) });
    let world = World::with([SaysAfter(9 * SECOND, "From seven.")], TurnSettings::default(), Some(narrator));
    let clip = |answer: &mut Answer| answer.utterance_mut().unwrap().clip_opt.is_some();
    assert!(clip(&mut world.began().await));
    let (mut filler, took) = world.say("When?").await;
    assert_eq!((clip(&mut filler), took), (true, ANSWER_MAX));
    let (mut answer, took) = world.collect(1).await;
    assert_eq!((clip(&mut answer), took), (true, 2 * SECOND), "9 s to think, 1 s to speak");
}

#[actix_rt::test]
async fn without_a_clip_the_carrier_says_the_words() {
    let narrator = Arc::new(SlowNarrator { takes: SECOND, made: AtomicU32::new(100) });
    let world = World::with([Says("From seven.")], TurnSettings::default(), Some(narrator));
    assert_eq!(world.began().await, listen("Hello, how can I help you?"));
    assert_eq!(world.say("When?").await.0, listen("From seven."));
}

#[actix_rt::test]
async fn a_narrator_that_hangs_keeps_no_webhook_waiting() {
    let narrator = Arc::new(SlowNarrator { takes: Duration::from_hours(1), made: AtomicU32::new(0) });
    let mut world = World::with([Says("From seven.")], TurnSettings::default(), Some(narrator));
    let (answer, took) = world.timed(Question::Began).await;
    assert_eq!((answer, took), (listen("Hello, how can I help you?"), ANSWER_MAX));
    let (mut answer, mut took) = world.say("When?").await;
    while let Answer::Collect { number, .. } = answer {
        assert!(took <= ANSWER_MAX);
        (answer, took) = world.collect(number).await;
    }
    assert!(took <= ANSWER_MAX && matches!(answer, Answer::HangUp { .. }), "{answer:?}");
    assert!(matches!(world.report().await.end, EndReason::EngineLost(_)));
}

// ------------------------------------------------------------ nodes, modes, the end

#[actix_rt::test]
async fn any_node_can_take_any_turn() {
    let mut world = World::new([Says("From seven."), Says("Until ten.")]);
    world.began().await;
    world.move_to_another_node();
    world.say("When?").await;
    world.move_to_another_node();
    assert_eq!(world.say("And until when?").await.0, listen("Until ten."));
    assert_eq!(world.asked()[1].turns.len(), 4, "the whole conversation is known");
}

#[actix_rt::test]
async fn a_call_that_dies_while_it_thinks_is_gone_on_with_and_takes_no_turn_twice() {
    let mut world = World::new([NeverAnswers, Says("From seven.")]);
    let (answer, _) = world.say("When?").await;
    assert!(matches!(answer, Answer::Collect { number: 1, .. }));
    world.move_to_another_node();
    assert_eq!(world.collect(1).await.0, listen("From seven."));
    assert_eq!(world.asked()[1].turns.len(), 1);
}

#[actix_rt::test]
async fn a_question_to_a_call_that_is_gone_is_an_error_and_not_a_hang() {
    let mut world = World::new([NeverAnswers]);
    let hangs_up = async {
        tokio::time::sleep(SECOND).await;
        world.call.do_send(CallerGone);
    };
    let (answer, ()) = join(world.ask(speech("When?")), hangs_up).await;
    assert_eq!(answer, Err(Unanswered));
    assert_eq!(world.exit().await, Cause::Stopped);
    assert_eq!(world.ask(Question::Silence).await, Err(Unanswered));
}

#[actix_rt::test]
async fn a_call_that_fell_goes_back_up_after_a_while_with_its_ledger() {
    let mut world = World::new([]).fallen_from_realtime();
    world.began().await;
    assert_eq!(world.say("When?").await.0, listen("Yes."), "not at once");
    tokio::time::sleep(STAYS_DOWN).await;
    assert_eq!(world.say("And until when?").await.0, Answer::Connect);
    let to = Rung::Mode(Mode::Realtime);
    let record = world.store.get("CA1").unwrap();
    assert_eq!(
        (record.state, record.failed),
        (CallState::HandedOver { to }, vec![]),
        "before the answer is out"
    );
    assert_eq!(record.ledger.last().map(|turn| turn.text.as_str()), Some("And until when?"));
    assert_eq!(world.report().await.end, EndReason::HandedOver(to));
}

#[actix_rt::test]
async fn a_call_that_goes_back_up_asks_nothing_more_of_its_model() {
    let world = World::new([SaysAfter(10 * SECOND, "Too late.")]).fallen_from_realtime();
    tokio::time::sleep(STAYS_DOWN.saturating_sub(SECOND)).await;
    world.say("When?").await;
    assert_eq!(world.collect(1).await.0, Answer::Connect);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(world.store.get("CA1").unwrap().ledger.turns().len(), 1, "the answer came to nobody");
}

#[actix_rt::test]
async fn a_call_stays_down_while_the_mode_above_fails_for_many() {
    let world = World::new([]).fallen_from_realtime();
    for _ in 0..10 {
        let failure_opt = Some(FailureKind::SocketLost);
        world.fallback.do_send(EngineFared { mode: Mode::Realtime, failure_opt });
    }
    tokio::time::sleep(STAYS_DOWN).await;
    assert_eq!(world.say("When?").await.0, listen("Yes."));
}

#[actix_rt::test]
async fn a_call_that_fails_here_goes_to_a_media_mode_that_has_not_failed() {
    let mut world = World::new([SaysHalfAndFails("", ModelError::Unauthorized(401))]).with_media(&[]);
    assert_eq!(world.say("When?").await.0, Answer::Connect);
    let to = Rung::Mode(Mode::Realtime);
    let record = world.store.get("CA1").unwrap();
    assert_eq!((record.state, record.failed), (CallState::HandedOver { to }, vec![Mode::Traditional]));
    assert_eq!(world.report().await.end, EndReason::HandedOver(to));
}

#[actix_rt::test]
async fn a_call_that_is_to_end_says_goodbye_to_whoever_waits_or_asks_next() {
    for waits in [true, false] {
        let mut world = World::new([SaysAfter(3 * SECOND, "Too late.")]);
        world.began().await;
        let ends = async {
            tokio::time::sleep(SECOND).await;
            world.call.do_send(EndCall);
        };
        let answer = if waits {
            join(world.ask(speech("When?")), ends).await.0
        } else {
            ends.await;
            world.ask(speech("When?")).await
        };
        assert_eq!(answer, Ok(Answer::HangUp { say: Utterance::of("Goodbye.") }));
        assert_eq!(world.report().await.end, EndReason::Shutdown);
        assert_eq!(world.exit().await, Cause::Stopped);
    }
}

#[actix_rt::test]
async fn a_call_has_its_length_on_whatever_node_it_began() {
    let mut world = World::new([]);
    let mut kept = setup(
        conversation(),
        &world.model,
        &world.store,
        &world.settings,
        None,
        &world.house,
        &world.fallback,
    );
    kept.now = jiff::Timestamp::UNIX_EPOCH + CALL_MAX - SECOND;
    world.call = spawn(kept, &world.house);
    world.began().await;
    tokio::time::sleep(REPEAT_PAUSE).await;
    assert_eq!(world.say("Hello").await.0, Answer::HangUp { say: Utterance::of("Goodbye.") });
    let report = world.report().await;
    assert_eq!(report.end, EndReason::LengthLimit);
    assert!(report.length > CALL_MAX);
}

#[actix_rt::test]
async fn a_call_that_has_reached_its_cost_says_goodbye_at_the_next_answer() {
    let plan = [SaysFor("From seven.", 999), SaysFor("Until ten.", 1), Says("Too much.")];
    let mut world = World::new(plan).capped("scripted", Spent::default());
    world.say("When?").await;
    assert_eq!(world.say("Until when?").await.0, listen("Until ten."), "not in mid-answer");
    assert_eq!(world.say("Thank you.").await.0, Answer::HangUp { say: Utterance::of("Goodbye.") });
    let report = world.report().await;
    assert_eq!((&report.end, report.spent.total_opt()), (&EndReason::CostLimit, Some(1_000)));
    assert_eq!(world.asked().len(), 2);
    let state = CallState::Ended { reason: "cost_limit".to_owned(), for_good: true };
    assert_eq!(world.store.get("CA1").unwrap().state, state);
}

#[actix_rt::test]
async fn a_call_that_came_here_for_its_cost_may_cost_as_much_again_and_never_goes_back_up() {
    let mut spent = Spent::default();
    spent.note(Some(1_200));
    spent.allow_again();
    let plan = [SaysFor("From seven.", 700), SaysFor("Until ten.", 300)];
    let mut world = World::new(plan).capped("scripted", spent);
    world.say("When?").await;
    tokio::time::sleep(STAYS_DOWN).await;
    assert_eq!(world.say("Until when?").await.0, listen("Until ten."));
    assert_eq!(world.say("Thank you.").await.0, Answer::HangUp { say: Utterance::of("Goodbye.") });
    let report = world.report().await;
    assert_eq!((&report.end, report.spent.microusd), (&EndReason::CostLimit, 2_200));
    assert_eq!(world.store.get("CA1").unwrap().spent, report.spent);
}

#[actix_rt::test]
async fn an_answer_without_a_price_is_counted_and_ends_no_call() {
    let mut world = World::new([SaysFor("From seven.", 5_000)]).capped("another", Spent::default());
    world.say("When?").await;
    assert_eq!(world.say("Until when?").await.0, listen("Yes."));
    world.call.do_send(CallerGone);
    let spent = world.report().await.spent;
    assert_eq!(
        (spent.microusd, spent.unpriced, spent.total_opt()),
        (0, 2, None),
        "of one nobody told the usage"
    );
}

#[actix_rt::test]
async fn a_call_goes_on_here_when_a_budget_is_used_up_and_goes_back_up_no_more() {
    let plan = [SaysFor("From seven.", 5_000), SaysFor("Until ten.", 5_000), Says("You too.")];
    let mut world = World::new(plan).fallen_from_realtime();
    let limits = BudgetLimits { house_max_opt: CAP, ..BudgetLimits::default() };
    let budgets = Budgets::new(limits, jiff::tz::TimeZone::UTC);
    let purse = budgets.purse("night desk", None).0;
    world = world.paid_from(purse.clone());
    world.say("When?").await;
    assert!(purse.used_up(|| jiff::Timestamp::UNIX_EPOCH).is_some());
    tokio::time::sleep(STAYS_DOWN).await;
    assert_eq!(world.say("Until when?").await.0, listen("Until ten."));
    assert_eq!(world.say("Goodbye.").await.0, listen("You too."));
    world.call.do_send(CallerGone);
    assert_eq!(world.report().await.end, EndReason::CallerHungUp);
}

#[actix_rt::test]
async fn a_caller_who_is_never_heard_of_again_has_hung_up() {
    let mut world = World::new([]);
    world.began().await;
    assert_eq!(world.report().await.end, EndReason::CallerHungUp);
    assert_eq!(world.exit().await, Cause::Stopped);
    assert!(matches!(world.heard.try_recv(), Err(mpsc::error::TryRecvError::Empty)));
}

// ------------------------------------------------------------ what it used

/// Events of a kind, as what they count and cost.
fn told(spool: &MemorySpool, kind: EventKind) -> Vec<(u64, Option<u64>)> {
    spool.of(kind).iter().map(|event| (event.quantity, event.cost_microusd_opt)).collect()
}

#[actix_rt::test]
async fn a_traditional_call_accounts_for_its_tokens_its_clips_its_answers_and_its_line() {
    let narrator = Arc::new(SlowNarrator { takes: SECOND, made: AtomicU32::new(0) });
    let world = World::with([SaysFor("From seven.", 45)], TurnSettings::default(), Some(narrator));
    let (mut world, spool) = world.recorded(Duration::ZERO, Spent::default());
    world.say("When?").await;
    tokio::time::sleep(64 * SECOND).await;
    world.call.do_send(CallerGone);
    let report = world.report().await;

    assert_eq!(told(&spool, EventKind::SessionStart), [(1, Some(0))]);
    assert_eq!(told(&spool, EventKind::Tokens), [(45, Some(45))]);
    assert_eq!(told(&spool, EventKind::TextMessage), [(1, Some(0))]);
    assert_eq!(
        told(&spool, EventKind::Tts),
        [(19, None), (11, None)],
        "the filler's words, and the answer's"
    );
    assert_eq!(told(&spool, EventKind::CarrierMinute), [(1, Some(8)), (1, Some(8))]);
    let end = spool.of(EventKind::SessionEnd).remove(0).metadata;
    assert_eq!(end.end_reason_opt.as_deref(), Some("caller_hung_up"));
    let served = spool.quantity(EventKind::VoiceMinute);
    assert!(served >= 65_000 && end.length_ms_opt == Some(served), "{served} ms, {end:?}");
    assert_eq!((report.spent.microusd, report.spent.unpriced, report.spent.carrier_microusd), (45, 2, 16));
    let bill: Vec<_> =
        report.bill.iter().map(|line| (line.model.as_str(), line.microusd, line.unpriced)).collect();
    assert_eq!(bill, [("call", 16, 0), ("voice", 0, 2), ("scripted", 45, 0)]);
    assert_eq!(world.store.get("CA1").unwrap().spent, report.spent);
}

#[actix_rt::test]
async fn an_answer_that_is_cut_short_or_lost_costs_nobody_knows_what() {
    for plan in [SaysTooMuch, PanicsInMidStream] {
        let (mut world, spool) =
            World::new([plan.clone(), SaysFor("Until ten.", 7)]).recorded(Duration::ZERO, Spent::default());
        world.say("When?").await;
        tokio::time::sleep(2 * SECOND).await;
        world.call.do_send(CallerGone);
        let spent = world.report().await.spent;
        assert_eq!(told(&spool, EventKind::Tokens)[0], (0, None), "{plan:?}");
        assert_eq!(spent.total_opt(), None, "{plan:?}");
    }
}

#[actix_rt::test]
async fn an_actor_that_takes_a_call_over_begins_no_session_and_pays_for_no_minute_again() {
    let (mut first, spool) = World::new([]).recorded(Duration::ZERO, Spent::default());
    first.began().await;
    let spent = first.store.get("CA1").unwrap().spent;
    assert_eq!(told(&spool, EventKind::SessionStart).len(), 1);
    first.call.do_send(CallerGone);
    let ended = first.report().await.spent;

    drop(first);
    let (second, spool) = World::new([]).recorded(130 * SECOND, spent);
    second.began().await;
    assert_eq!(told(&spool, EventKind::SessionStart), []);
    assert_eq!(told(&spool, EventKind::CarrierMinute), [(2, Some(16))], "two have begun since");

    drop(second);
    let (mut third, spool) = World::new([]).recorded(SECOND, ended);
    third.began().await;
    third.call.do_send(CallerGone);
    third.report().await;
    assert_eq!(told(&spool, EventKind::SessionEnd), [], "it has ended before");
}
