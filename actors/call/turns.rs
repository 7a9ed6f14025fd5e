//! A traditional call: there is no socket, each webhook is a question, and the call answers it.
//!
//! - Owner: the switchboard's watch; it lives on the thread where the first question was asked.
//! - In: [`Ask`], [`CallerGone`], [`EndCall`], [`FromEngine`], exit notices.
//! - Out: answers, one [`CallEnded`] to the switchboard, and after every turn the call's record to the store.
//! - When full: the carrier asks one question at a time; repeats of it wait for the same answer.
//! - When it dies: its engine is killed with it, the carrier's next question finds the conversation where it was kept
//!   last, and a new call of this kind goes on with it.
//!
//! It refuses to decide: [`Conversation`] does, and this carries it out. It keeps the time: a question is answered
//! within [`ANSWER_MAX`], whatever the model does.

pub mod conversation;
pub mod exchange;
pub mod outside;
pub mod settings;

pub use conversation::Conversation;
pub use exchange::{Answer, Question, Utterance};
pub use outside::{ClipId, Narration, Narrator};
pub use settings::TurnSettings;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient,
    SpawnHandle, WrapFuture,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::audit::Sheet;
use super::cost::{Bill, Spent};
use super::decide::{EndReason, Role};
use super::timeline::{Death, Timeline, What};
use super::{CallEnded, CallReport, CallerGone, EndCall};
use crate::agent::Agent;
use crate::budgets::Purse;
use crate::engine::turn::{AnswerCaller, TurnSession};
use crate::fallback::ladder::{Ladder, Rung};
use crate::fallback::{EngineFared, Fallback, OpenBreakers};
use crate::kit::child::{self, Child};
use crate::kit::exit::{Cause, Exited};
use crate::messages::{EngineFact, FailureKind, FromEngine};
use crate::mode::Mode;
use crate::ports::{CallStore, ChatModel, Line};
use crate::record::{CallRecord, CallState};
use crate::switchboard::Seat;
use crate::usage::meter::Meter;
use crate::usage::untold::Untold;
use crate::usage::{Amount, Item, Recorder, Recording, Used, Work};
use conversation::{Move, Outlook, Repeated, Verdict};

/// From question to answer. The carrier gives up after 15 s, and should have its document in 12; 4 are left to the
/// network.
pub const ANSWER_MAX: Duration = Duration::from_secs(8);

/// The second attempt is made so much later: a provider that restarts or limits us may have come round. The caller is
/// told the apology meanwhile, which takes longer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// No question for so long: the caller has hung up, and nobody told us. A turn takes 80 s of our words, 60 s of the
/// caller's, two time-outs of 5 s and the network; twice that.
const QUIET_MAX: Duration = Duration::from_mins(5);

/// How often the call looks whether it is still needed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// After a fall from a media mode the call stays here for so long, however well that mode works for others: once bitten.
const STAYS_DOWN: Duration = Duration::from_mins(1);

/// What a traditional call is made of.
pub struct TurnSetup {
    /// Given by the switchboard.
    pub seat: Seat,
    pub call_sid: String,
    pub from_opt: Option<String>,
    pub to_opt: Option<String>,
    /// The mode that the router gave the call, and the rule that did.
    pub routed: Mode,
    pub rule_opt: Option<String>,
    /// New, from another mode's ledger, or recalled from where it was kept.
    pub conversation: Conversation,
    /// When this actor takes over; the conversation knows when the call began.
    pub now: jiff::Timestamp,
    pub call_max: Duration,
    /// Micro-dollars that the call may cost in this mode.
    pub cost_max_opt: Option<NonZeroU64>,
    /// What was paid for before.
    pub spent: Spent,
    /// What the call is paid from, beside its own cap. When a budget of the month is used up it goes on here, and no
    /// more goes back up.
    pub purse: Purse,
    pub recording: Recording,
    pub agent: Arc<Agent>,
    pub settings: Arc<TurnSettings>,
    pub model: Arc<dyn ChatModel>,
    /// Without one the carrier does all the speaking.
    pub narrator_opt: Option<Arc<dyn Narrator>>,
    pub ladder: Ladder,
    /// Modes that failed in this call before.
    pub failed: Vec<Mode>,
    /// Whether a call that fell from a media mode goes back up, between two turns, when one works again.
    pub goes_back_up: bool,
    pub fallback: Addr<Fallback>,
    pub store: Arc<dyn CallStore>,
    pub switchboard: Recipient<CallEnded>,
}

/// A question of the carrier's; see [`ask`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ask {
    pub question: Question,
    /// The carrier's own mark of the event: the same when it repeats itself.
    pub token_opt: Option<String>,
    pub answer: oneshot::Sender<Answer>,
}

/// The call died, or ended, before it answered. The question may be asked of its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("call was gone before it answered")]
pub struct Unanswered;

/// Asks a call a question. A repeat gets the answer of the first, now or when it is there.
pub async fn ask(
    call: &Addr<TurnCall>,
    question: Question,
    token_opt: Option<String>,
) -> Result<Answer, Unanswered> {
    let (answer, answered) = oneshot::channel();
    call.do_send(Ask { question, token_opt, answer }); // one per webhook, and the carrier waits for it
    answered.await.map_err(|_| Unanswered)
}

pub struct TurnCall {
    setup: TurnSetup,
    /// When the call began, on this process's clock: before the actor did, when it has taken over.
    origin: Instant,
    engine: Option<Child<TurnSession>>,
    engines_spawned: u32,
    engine_failures: u32,
    /// What the engine is at.
    thinking_opt: Option<String>,
    waiting: Vec<oneshot::Sender<Answer>>,
    /// Rings when the first of them has waited [`ANSWER_MAX`].
    patience_opt: Option<SpawnHandle>,
    /// An answer whose words are becoming a clip.
    voicing_opt: Option<Voicing>,
    filler: Utterance,
    /// Modes that fail for many calls, as of the last look.
    breakers_open: Vec<Mode>,
    began: Instant,
    /// Why the call is to end, from outside.
    ending_opt: Option<EndReason>,
    /// The switchboard has the report.
    left: bool,
    /// The carrier has said that the call is over.
    over: bool,
    last_asked: Instant,
    timeline: Timeline,
    /// No actor of its own: nothing here is in a hurry, and should it panic, the next question finds a successor.
    recorder: Recorder,
    meter: Meter,
    untold: Untold,
    bill: Bill,
}

struct Voicing {
    answer: Answer,
    end_opt: Option<EndReason>,
    narrating: SpawnHandle,
}

impl TurnCall {
    pub fn new(mut setup: TurnSetup) -> Self {
        setup.conversation.taken_over();
        let before = setup.now.duration_since(setup.conversation.started_at);
        let before = Duration::try_from(before).unwrap_or_default(); // another node's clock may be ahead of ours
        let now = Instant::now();
        let mut meter = Meter::new(setup.spent.told, before, now);
        meter.serve(true, now);
        Self {
            recorder: setup.recording.recorder(setup.conversation.id, &setup.agent.name),
            meter,
            untold: Untold::default(),
            bill: Bill::default(),
            origin: now.checked_sub(before).unwrap_or(now),
            engine: None,
            engines_spawned: 0,
            engine_failures: 0,
            thinking_opt: None,
            waiting: Vec::new(),
            patience_opt: None,
            voicing_opt: None,
            filler: Utterance::of(&setup.settings.filler),
            breakers_open: Vec::new(),
            began: now,
            ending_opt: None,
            left: false,
            over: false,
            last_asked: now,
            timeline: Timeline::default(),
            setup,
        }
    }

    fn outlook(&self) -> Outlook {
        match &self.ending_opt {
            Some(reason) => Outlook::Leave(reason.clone()),
            None if self.origin.elapsed() >= self.setup.call_max => Outlook::Leave(EndReason::LengthLimit),
            None if self.setup.spent.reached(self.setup.cost_max_opt) => Outlook::Leave(EndReason::CostLimit),
            None => self.way_up().map_or(Outlook::Stay, Outlook::GoUp),
        }
    }

    /// The media mode that the call may go back up to.
    fn way_up(&self) -> Option<Mode> {
        let fell = self.setup.failed.iter().any(|mode| mode.is_media());
        if !fell
            || !self.setup.goes_back_up
            || self.setup.spent.was_capped()
            || self.began.elapsed() < STAYS_DOWN
            || self.setup.purse.used_up(|| self.setup.recording.clock.now()).is_some()
        {
            return None;
        }
        self.setup.ladder.best_media(&self.breakers_open)
    }

    /// What is left when this mode has failed.
    fn next_rung(&self) -> Rung {
        let failed: Vec<Mode> = self.setup.failed.iter().copied().chain([Mode::Traditional]).collect();
        self.setup.ladder.next(&failed, &self.breakers_open)
    }

    fn carry_out(&mut self, what: Move, ctx: &mut Context<Self>) {
        match what {
            Move::Answer(answer) => self.voice(answer, None, ctx),
            Move::Leave(answer, reason) => self.voice(answer, Some(reason), ctx),
            Move::Think => self.think(Duration::ZERO, ctx),
        }
    }

    /// Whoever waits, waits no longer than the first of them may.
    fn wait(&mut self, answer: oneshot::Sender<Answer>, ctx: &mut Context<Self>) {
        self.waiting.push(answer);
        self.patience_opt.get_or_insert_with(|| ctx.run_later(ANSWER_MAX, Self::lose_patience));
    }

    // ------------------------------------------------------------ thinking

    /// Has the engine make the answer that the conversation wants, unless it is at it.
    fn think(&mut self, after: Duration, ctx: &mut Context<Self>) {
        let Some((item, why)) = self.setup.conversation.thinking() else { return };
        if self.thinking_opt.as_deref() == Some(item) && self.engine.is_some() {
            return;
        }
        let ledger = self.setup.conversation.ledger().clone();
        let question = AnswerCaller { item: item.to_owned(), ledger, why, after };
        self.thinking_opt = Some(question.item.clone());
        let engine = self.engine.take().unwrap_or_else(|| self.spawn_engine(ctx));
        engine.addr.do_send(question); // one per turn
        self.engine = Some(engine);
        self.prepare_filler(ctx);
    }

    fn spawn_engine(&mut self, ctx: &mut Context<Self>) -> Child<TurnSession> {
        self.engines_spawned += 1;
        self.note(What::EngineDialled);
        let (agent, model) = (Arc::clone(&self.setup.agent), Arc::clone(&self.setup.model));
        let (chars_max, incarnation) = (self.setup.settings.answer_chars_max, self.engines_spawned);
        let call = ctx.address();
        child::spawn(call.clone().recipient(), Role::Engine, incarnation, move |_| {
            TurnSession::new(agent, chars_max, model, call.recipient(), incarnation)
        })
    }

    fn lose_patience(&mut self, ctx: &mut Context<Self>) {
        self.patience_opt = None;
        if let Some(Voicing { answer, end_opt, narrating }) = self.voicing_opt.take() {
            ctx.cancel_future(narrating);
            return self.give(&answer, end_opt, ctx);
        }
        match self.setup.conversation.late(&self.filler) {
            Some(what) => self.carry_out(what, ctx),
            None => self.engine_failed(FailureKind::Stalled, "no answer in time", true, ctx),
        }
    }

    fn engine_failed(&mut self, kind: FailureKind, why: &str, retry: bool, ctx: &mut Context<Self>) {
        // One per failure of a call: this cannot flood the fallback.
        self.setup.fallback.do_send(EngineFared { mode: Mode::Traditional, failure_opt: Some(kind) });
        self.drop_engine();
        self.thinking_opt = None;
        self.engine_failures += 1;
        tracing::warn!(call_id = %self.setup.conversation.id, why, "engine failed");
        self.note(What::EngineFailed { why: why.into() });
        let next = self.next_rung();
        match self.setup.conversation.failed(why, retry, next) {
            Verdict::Retry => {
                self.note(What::EngineReplaced);
                self.think(RETRY_AFTER, ctx);
                if !self.waiting.is_empty() {
                    let apology = self.setup.conversation.apologise(&self.setup.settings);
                    self.carry_out(apology, ctx);
                }
            }
            Verdict::GiveUp => self.deliver(ctx),
            Verdict::Never => {}
        }
        self.keep();
    }

    /// Tells whoever waits what has come of the thought; without anybody, it is told the next who asks.
    fn deliver(&mut self, ctx: &mut Context<Self>) {
        if self.waiting.is_empty() {
            return;
        }
        let now_ms = self.now_ms();
        if let Some(what) = self.setup.conversation.deliver(&self.setup.settings, now_ms) {
            self.carry_out(what, ctx);
        }
    }

    // ------------------------------------------------------------ speaking

    /// The engine's words, on their way to the caller.
    fn said(&mut self, item: String, words: String, ctx: &mut Context<Self>) {
        self.setup.fallback.do_send(EngineFared { mode: Mode::Traditional, failure_opt: None }); // one per turn
        let part = self.setup.conversation.part();
        self.note(What::AgentBegan { part });
        self.enter([Item::Answered]);
        let narrated = self.narrate(&words);
        let spoken = async move { Utterance { clip_opt: narrated.await, words } };
        ctx.spawn(spoken.into_actor(self).map(move |say, call, ctx| {
            call.setup.conversation.thought(&item, say);
            call.thinking_opt.take_if(|thinking| *thinking == item);
            call.deliver(ctx);
            call.keep();
        }));
    }

    /// Gives an answer, as soon as its words are a clip or there is no time to make one.
    fn voice(&mut self, mut answer: Answer, end_opt: Option<EndReason>, ctx: &mut Context<Self>) {
        if self.setup.conversation.thinking().is_none() && self.thinking_opt.take().is_some() {
            self.drop_engine(); // its answer is not wanted any more
        }
        let words = match &mut answer {
            Answer::Collect { .. } => None, // said because there is no time
            other => other.utterance_mut().filter(|say| say.clip_opt.is_none() && !say.words.is_empty()),
        };
        let Some(words) = words.filter(|_| self.setup.narrator_opt.is_some() && self.patience_opt.is_some())
        else {
            return self.give(&answer, end_opt, ctx);
        };
        let narrated = self.narrate(&words.words).into_actor(self).map(|clip_opt, call, ctx| {
            let Some(Voicing { mut answer, end_opt, .. }) = call.voicing_opt.take() else { return };
            if let Some(say) = answer.utterance_mut() {
                say.clip_opt = clip_opt;
            }
            call.give(&answer, end_opt, ctx);
        });
        let voicing = Voicing { answer, end_opt, narrating: ctx.spawn(narrated) };
        if let Some(other) = self.voicing_opt.replace(voicing) {
            ctx.cancel_future(other.narrating);
        }
    }

    fn narrate(&mut self, words: &str) -> impl Future<Output = Option<ClipId>> + use<> {
        let narration_opt = self.setup.narrator_opt.as_ref().map(|narrator| narrator.narrate(words));
        if narration_opt.as_ref().is_some_and(|narration| narration.is_new) {
            self.used(Used::speech(words));
        }
        async move { narration_opt?.clip.await }
    }

    /// While the model thinks there is time to have the filler ready in the agent's own voice.
    fn prepare_filler(&mut self, ctx: &mut Context<Self>) {
        if self.setup.narrator_opt.is_some() && !self.filler.words.is_empty() {
            let filler = self.filler.words.clone();
            let narrated = self.narrate(&filler);
            ctx.spawn(narrated.into_actor(self).map(|clip_opt, call, _| call.filler.clip_opt = clip_opt));
        }
    }

    fn give(&mut self, answer: &Answer, end_opt: Option<EndReason>, ctx: &mut Context<Self>) {
        if matches!(answer, Answer::Listen { say } if !say.words.is_empty()) {
            let part = self.setup.conversation.part();
            self.note(What::FirstOnWire { part });
        }
        if let Some(patience) = self.patience_opt.take() {
            ctx.cancel_future(patience);
        }
        self.setup.conversation.given(answer);
        for waiting in self.waiting.drain(..) {
            waiting.send(answer.clone()).ok(); // the carrier may have given up
        }
        if let Some(reason) = end_opt {
            self.leave(reason, ctx);
        }
        self.keep();
    }

    // ------------------------------------------------------------ what is used

    /// Lets go of the engine; that kills it, if it lives. Of an answer that it was at, nobody tells what it used.
    fn drop_engine(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.engine_left(engine.incarnation);
        }
    }

    fn engine_left(&mut self, incarnation: u32) {
        if self.untold.gone(incarnation) {
            self.enter_untold();
        }
    }

    fn enter_untold(&mut self) {
        self.used(Used { work: Work::Answering, amount: Amount::Untold });
    }

    fn used(&mut self, used: Used) {
        let model = match (used.work, &self.setup.narrator_opt) {
            (Work::Speaking, Some(narrator)) => narrator.model(),
            _ => self.setup.model.model(), // the carrier hears
        };
        self.enter([Item::Used(model, used)]);
    }

    fn tick_meter(&mut self) {
        let now = Instant::now();
        let due = self.meter.tick(now, Line::Call, Duration::ZERO);
        let run = self.meter.run(now, Line::Call, Duration::ZERO);
        self.setup.recording.spool.running(self.setup.conversation.id, Some(run));
        if !due.is_empty() {
            self.enter(due);
            self.keep(); // who goes on with the call must know what was told of it
        }
    }

    /// Tells the rest of what the call used here.
    fn close_meter(&mut self, reason: &EndReason) {
        let now = Instant::now();
        if !reason.goes_on() {
            self.meter.end(reason.name(), now);
        }
        let due = self.meter.close(now, Duration::ZERO);
        self.setup.recording.spool.running(self.setup.conversation.id, None);
        self.enter(due);
    }

    fn enter(&mut self, items: impl IntoIterator<Item = Item>) {
        for item in items {
            let entry = self.setup.recording.entry(Mode::Traditional, item);
            let recorded = self.recorder.record(&entry);
            self.setup.recording.spool.append(recorded.event);
            if let Some(payee) = entry.item.payee_opt() {
                let price_opt = recorded.price.microusd_opt;
                self.bill.note(&payee, price_opt);
                self.setup.purse.pay(price_opt, entry.at);
                if entry.item.is_models() {
                    self.pay(&payee.name, price_opt);
                } else {
                    self.setup.spent.note_carrier(price_opt);
                }
            }
        }
        self.setup.spent.told = self.meter.told();
    }

    fn pay(&mut self, model: &str, price_opt: Option<u64>) {
        let call_id = self.setup.conversation.id;
        if price_opt.is_none() && self.setup.spent.unpriced == 0 {
            tracing::warn!(%call_id, model, "price is unknown; the call's cost is more than is counted");
        }
        self.setup.spent.note(price_opt);
        tracing::debug!(%call_id, model, spent = ?self.setup.spent, "model used");
    }

    // ------------------------------------------------------------ keeping

    /// Keeps the call's record as it is now.
    fn keep(&self) {
        if !self.left {
            self.keep_as(CallState::Live);
        }
    }

    fn keep_as(&self, state: CallState) {
        let conversation = &self.setup.conversation;
        self.setup.store.keep(CallRecord {
            id: conversation.id,
            call_sid: self.setup.call_sid.clone(),
            agent: self.setup.agent.name.clone(),
            from_opt: self.setup.from_opt.clone(),
            to_opt: self.setup.to_opt.clone(),
            started_at: conversation.started_at,
            routed: self.setup.routed,
            rule_opt: self.setup.rule_opt.clone(),
            mode: Mode::Traditional,
            failed: self.failed_after(&state),
            ledger: conversation.ledger().clone(),
            spent: self.setup.spent,
            turns_opt: Some(Box::new(conversation.clone())),
            state,
        });
    }

    // ------------------------------------------------------------ the end

    /// Says the last word to the switchboard. Once.
    fn leave(&mut self, reason: EndReason, ctx: &mut Context<Self>) {
        if self.left {
            return;
        }
        self.left = true;
        self.drop_engine();
        self.close_meter(&reason);
        if reason == EndReason::CallerHungUp {
            let now_ms = self.now_ms();
            self.setup.conversation.hung_up(now_ms);
        }
        self.note(What::Ended { reason: reason.name() });
        // Before the answer goes out: then the carrier may ask what is next.
        self.keep_as(match &reason {
            EndReason::HandedOver(to) => CallState::HandedOver { to: *to },
            other => {
                CallState::Ended { reason: other.name().to_owned(), for_good: other.is_by_us() || self.over }
            }
        });
        let conversation = &self.setup.conversation;
        self.setup.switchboard.do_send(CallEnded(Arc::new(CallReport {
            id: conversation.id,
            seat: self.setup.seat,
            call_sid: Some(self.setup.call_sid.clone()),
            started_at: conversation.started_at,
            origin: self.origin,
            length: self.origin.elapsed(),
            end: reason,
            routed: self.setup.routed,
            rule_opt: self.setup.rule_opt.clone(),
            mode: Mode::Traditional,
            ledger: conversation.ledger().clone(),
            timeline: std::mem::take(&mut self.timeline),
            sheet: Sheet::default(),
            discrepancies: Vec::new(),
            engine_failures: self.engine_failures,
            spent: self.setup.spent,
            bill: self.bill.lines(|_| 0), // what the carrier speaks, nobody here knows whether it is heard
        })));
        ctx.stop(); // whoever repeats the last question is answered from the record
    }

    /// Who goes back up begins afresh; who falls on takes this mode's failure along.
    fn failed_after(&self, state: &CallState) -> Vec<Mode> {
        let failed = self.setup.failed.iter().copied();
        match state {
            CallState::HandedOver { to: Rung::Mode(mode) } if self.way_up() == Some(*mode) => Vec::new(),
            CallState::HandedOver { .. } => failed.chain([Mode::Traditional]).collect(),
            CallState::Live | CallState::Ended { .. } => failed.collect(),
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        self.tick_meter();
        let asked = self.setup.fallback.send(OpenBreakers).timeout(LOOK_EVERY).into_actor(self);
        ctx.spawn(asked.map(|open, call, _| call.breakers_open = open.unwrap_or_default()));
        if self.waiting.is_empty() && self.last_asked.elapsed() >= QUIET_MAX {
            self.leave(EndReason::CallerHungUp, ctx);
        }
    }

    fn note(&mut self, what: What) {
        tracing::debug!(call_id = %self.setup.conversation.id, ?what, "timeline");
        let at = self.origin.elapsed();
        self.setup.store.note(self.setup.conversation.id, at, &what);
        self.timeline.note(at, what);
    }

    fn note_all(&mut self, events: Vec<What>) {
        for what in events {
            self.note(what);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Actor for TurnCall {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.keep(); // first: by its record it is known whose usage is told
        self.look(ctx);
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}

impl Handler<Ask> for TurnCall {
    type Result = ();

    fn handle(&mut self, Ask { question, token_opt, answer }: Ask, ctx: &mut Self::Context) {
        self.last_asked = Instant::now();
        let now_ms = self.now_ms();
        match self.setup.conversation.repeated(&question, token_opt.as_deref(), now_ms) {
            Some(Repeated::Answered(same)) => {
                answer.send(same).ok(); // the carrier may have given up
                return;
            }
            Some(Repeated::Pending) => {
                self.wait(answer, ctx);
                return self.think(Duration::ZERO, ctx); // unless it is thought about, or spoken, already
            }
            None => self.wait(answer, ctx),
        }
        match &question {
            Question::Speech { confidence_opt, .. } => {
                tracing::debug!(call_id = %self.setup.conversation.id, confidence_opt, "caller spoke");
            }
            Question::Digits(digits) => digits.chars().for_each(|digit| self.note(What::Digit { digit })),
            Question::Began | Question::Silence | Question::Collect { .. } => {}
        }
        let (outlook, settings, mut events) = (self.outlook(), Arc::clone(&self.setup.settings), Vec::new());
        let what =
            self.setup.conversation.asked(question, token_opt, now_ms, &settings, outlook, &mut events);
        self.note_all(events);
        self.carry_out(what, ctx);
        self.keep();
    }
}

impl Handler<FromEngine> for TurnCall {
    type Result = ();

    fn handle(&mut self, FromEngine { incarnation, fact }: FromEngine, ctx: &mut Self::Context) {
        if self.engine.as_ref().is_none_or(|engine| engine.incarnation != incarnation) {
            return;
        }
        match fact {
            EngineFact::ResponseBegan => {
                if self.untold.began(incarnation) {
                    self.enter_untold();
                }
                self.note(What::ResponseBegan);
            }
            EngineFact::Said { item, text, .. } => self.said(item, text, ctx),
            EngineFact::Used(used) => {
                self.untold.told(incarnation);
                self.used(used);
                self.keep();
            }
            EngineFact::Failed(failure) => {
                // A limit on our rate may have passed after the apology; better than hanging up on a caller.
                let retry = failure.retry || failure.kind == FailureKind::RateLimited;
                self.engine_failed(failure.kind, &failure.detail, retry, ctx);
            }
            _ => {} // of audio, which this engine has none of; and its end, which its exit tells
        }
    }
}

impl Handler<Exited<Role>> for TurnCall {
    type Result = ();

    fn handle(&mut self, exited: Exited<Role>, ctx: &mut Self::Context) {
        // Of an engine that said why, or that we let go of, nothing is left to tell.
        if self.engine.take_if(|engine| engine.incarnation == exited.incarnation).is_none() {
            return;
        }
        self.engine_left(exited.incarnation);
        let why = match exited.cause {
            Cause::Panicked(text) => format!("panicked: {text}"),
            Cause::Killed => "killed".to_owned(),
            Cause::Stopped => "stopped without a reason".to_owned(),
        };
        let death = Death { role: exited.role.name(), why: why.clone() };
        self.note(What::ChildDied(Box::new(death)));
        self.engine_failed(FailureKind::Provider, &why, true, ctx);
    }
}

impl Handler<CallerGone> for TurnCall {
    type Result = ();

    fn handle(&mut self, _: CallerGone, ctx: &mut Self::Context) {
        self.over = true;
        self.leave(EndReason::CallerHungUp, ctx);
    }
}

impl Handler<EndCall> for TurnCall {
    type Result = ();

    /// The goodbye is said to whoever waits, or to the next who asks: nobody else can be spoken to.
    fn handle(&mut self, _: EndCall, ctx: &mut Self::Context) {
        self.ending_opt = Some(EndReason::Shutdown);
        if !self.waiting.is_empty() {
            let mut events = Vec::new();
            let (settings, now_ms) = (Arc::clone(&self.setup.settings), self.now_ms());
            let goodbye =
                self.setup.conversation.leave(&settings.goodbye, EndReason::Shutdown, now_ms, &mut events);
            self.note_all(events);
            self.carry_out(goodbye, ctx);
        }
    }
}

#[cfg(test)]
mod tests;
