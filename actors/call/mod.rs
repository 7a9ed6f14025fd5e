//! The call: the only parent of its tree. It owns the lanes, the children and the ledger.
//!
//! - Owner: the switchboard's watch; it lives on the thread that answered the webhook, and its carrier's sockets come there.
//! - In: [`LegArrived`], [`FromLeg`], [`FromEngine`], `FromUsage`, exit notices, [`EndCall`], [`CallerGone`], [`StandDown`].
//! - Out: commands to its children, its record to the store, one [`CallEnded`] to the switchboard.
//! - When full: its mailbox sees a few facts per turn and nothing else; audio never passes here.
//! - When it dies: its children are killed with it, and no other call notices; its record stays.
//!
//! It refuses to decide what a failure means ([`mod@decide`]), where a call is in its life ([`phase`]), what a new engine
//! must hear again ([`replay`]), how it opens ([`opening`]), when silence is too long ([`silence`]) and when the call too
//! costly ([`cost`], [`crate::budgets`]); it carries out what they answer. Its hands are in three more files: `wiring` spawns, `handover` moves
//! the call from one engine, mode or socket to the next, `metering` tells the recorder what is used.

pub mod audit;
pub mod cost;
pub mod decide;
mod engine;
mod handover;
mod metering;
pub mod opening;
pub mod phase;
pub mod replay;
pub mod silence;
pub mod timeline;
pub mod turns;
mod wiring;

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use send_wrapper::SendWrapper;
use tandem_media::playout::{Heard, Part};
use tokio::time::Instant;

use crate::agent::Agent;
use crate::budgets::Purse;
use crate::engine::Engines;
use crate::fallback::ladder::{Ladder, Rung};
use crate::fallback::{EngineFared, Fallback};
use crate::kit::child::Child;
use crate::kit::exit::{Cause, Exited};
use crate::kit::lane::{Lane, StandBy};
use crate::kit::policy::History;
use crate::ledger::{Ledger, Speaker};
use crate::leg::twilio::TwilioStream;
use crate::messages::{
    EngineCommand, EngineFact, EngineFailure, FromEngine, FromLeg, Generation, LegCommand, LegEnd, LegFact,
};
use crate::mode::Mode;
use crate::ports::{CallId, CallStore, Socket};
use crate::record::{CallRecord, CallState};
use crate::switchboard::Seat;
use crate::transcoder::Transcoder;
use crate::usage::Recording;
use audit::{Discrepancy, LaneBooks, Sheet, audit};
use cost::{BillLine, Spent};
use decide::{Alternative, Decision, EndReason, Role, Trouble, decide};
use engine::Engine;
use metering::Metering;
use phase::{Phase, Turning};
use replay::Unsettled;
use silence::{Due, Step};
use timeline::{Death, Timeline, What};
use wiring::{Lanes, engines_before, first_part, is_bridge};

/// An engine that has told anything of the caller so lately hears him.
const CALLER_TOLD_WITHIN: Duration = Duration::from_secs(3);

/// An engine that has told of the caller's words, and so long not of their end, may have stopped in their midst. Found out
/// 3 s later at most, it leaves all of them among the 10 s that are kept.
const UTTERANCE_UNDOUBTED: Duration = Duration::from_secs(5);

/// From the answered webhook to the carrier's socket. It usually takes a second; an engine that nobody comes for costs
/// money.
const LEG_MAX: Duration = Duration::from_secs(10);

/// From the loss of the carrier's socket to the next one: the carrier asks within a second, but finds out as late as
/// its own timeouts.
const LEG_BACK_MAX: Duration = Duration::from_secs(15);

/// Children that have not finished after this are killed. Sockets linger for 2 s at most.
const ENDING_MAX: Duration = Duration::from_secs(3);

/// Last words that have not been played out after this are cut off. An answer that is being spoken comes before them.
const LAST_WORDS_MAX: Duration = Duration::from_secs(25);

/// The same for a sentence before the mode changes because of its cost, which goes on meanwhile: what is being said, a
/// response, and the sentence.
const NOTICE_MAX: Duration = Duration::from_secs(10);

/// How often the leg is told to look around, a third of what it counts as a stall, and the call listens for silence.
const LEG_LOOKS_EVERY: Duration = Duration::from_millis(250);

/// How often the engine looks around, and limits are looked at. They are minutes; a second is exact enough.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a call may take in its stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub call_max: Duration,
    /// A caller who says nothing for so long, while the agent is silent too, is said goodbye to.
    pub caller_idle_max: Duration,
    pub engine_ready_max: Duration,
    /// How long an answer that is due may take, and how long a waiting caller hears nothing.
    pub silence_max: Duration,
    /// Micro-dollars that the call may cost in one mode; then it goes on in a cheaper one.
    pub cost_max_opt: Option<NonZeroU64>,
}

/// What a call is made of.
pub struct CallSetup {
    pub id: CallId,
    /// Given by the switchboard.
    pub seat: Seat,
    /// The carrier's id of the call, when it told one.
    pub call_sid: Option<String>,
    pub from_opt: Option<String>,
    pub to_opt: Option<String>,
    pub agent: Arc<Agent>,
    pub limits: Limits,
    /// The mode that the router gave the call, and the rule that did.
    pub routed: Mode,
    pub rule_opt: Option<String>,
    /// The media mode that it begins in here.
    pub mode: Mode,
    pub ladder: Ladder,
    /// Modes that failed in this call before.
    pub failed: Vec<Mode>,
    /// What was said before; empty for a new call.
    pub ledger: Ledger,
    /// What was paid for before.
    pub spent: Spent,
    /// What the call is paid from, beside its own cap.
    pub purse: Purse,
    pub recording: Recording,
    pub engines: Arc<Engines>,
    pub fallback: Addr<Fallback>,
    pub store: Arc<dyn CallStore>,
    pub switchboard: Recipient<CallEnded>,
    pub started_at: jiff::Timestamp,
}

/// The carrier's socket of this call is there: its first, or another after that was lost. Sent on the call's own
/// thread only, which is where both sockets and actors stay.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LegArrived {
    pub stream_sid: String,
    pub socket: SendWrapper<Socket>,
}

/// Ends the call politely, from outside.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct EndCall;

/// The carrier says that the caller has hung up.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct CallerGone;

/// Ends this actor at once, and not the conversation: another takes it over, on another thread.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct StandDown;

/// The call's last word: everything that is known of it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct CallEnded(pub Arc<CallReport>);

#[derive(Clone, Debug)]
pub struct CallReport {
    pub id: CallId,
    pub seat: Seat,
    pub call_sid: Option<String>,
    pub started_at: jiff::Timestamp,
    /// From when the timeline and the ledger count, on the clock of this process.
    pub origin: Instant,
    pub length: Duration,
    pub end: EndReason,
    /// The mode that the router gave it, and the rule that did.
    pub routed: Mode,
    pub rule_opt: Option<String>,
    /// The mode that served it last.
    pub mode: Mode,
    pub ledger: Ledger,
    pub timeline: Timeline,
    pub sheet: Sheet,
    /// Empty when the books are clean.
    pub discrepancies: Vec<Discrepancy>,
    pub engine_failures: u32,
    /// What `length` cost.
    pub spent: Spent,
    /// What this actor's part in the call cost, by whom it is paid to.
    pub bill: Vec<BillLine>,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct CallActor {
    setup: CallSetup,
    origin: Instant,
    phase: Phase,
    mode: Mode,
    /// Modes that have failed in this call, or have become too dear for it.
    failed: Vec<Mode>,
    lanes: Lanes,
    leg: Option<Child<TwilioStream>>,
    /// No leg is there, and one is expected.
    leg_awaited: Option<LegAwaited>,
    /// A socket that takes the place of one that has not ended yet.
    arriving: Option<Arriving>,
    engine: Option<Engine>,
    engine_ready: Option<Instant>,
    /// A second session that is to take over in a pause.
    standby: Option<Standby>,
    renew_again_at: Option<Instant>,
    transcoder: Option<Child<Transcoder>>,
    /// Legs and engines that are seeing their sockets off.
    retired_legs: Vec<Child<TwilioStream>>,
    retired: Vec<Engine>,
    spawned: HashMap<Role, u32>,
    replaced: HashMap<Role, History>,
    /// The mode of every engine so far, by incarnation from 1. Those of earlier actors of the call are not known here.
    modes: Vec<Mode>,
    ledger: Ledger,
    /// What models cost, as the recorder has told.
    spent: Spent,
    metering: Metering,
    timeline: Timeline,
    sheet: Sheet,
    generation: Generation,
    /// Parts before this one were heard to their end, or cut off.
    first_open: Part,
    /// No engine of this actor's speaks in parts before it; an earlier actor's did.
    first_part: Part,
    last_begun: Option<Part>,
    /// Sounds of the call's own since the engine began, and the part behind which the last of them lies.
    bridges: u32,
    bridged_after: Option<Part>,
    /// The last part that had begun when the caller cut in. What is said afterwards is not cut off.
    cut_at: Option<Part>,
    /// How far the caller had heard over legs that are gone, since the last interruption.
    heard_before: Option<Heard>,
    /// When agent audio last came into its lane, and how much had come.
    agent_came: (Instant, u64),
    /// When the engine last told anything of the caller.
    caller_told_at: Instant,
    /// Agent audio is on its way to the caller's ear.
    agent_speaking: bool,
    /// The provider is making a response.
    responding: bool,
    caller_speaking: bool,
    last_activity: Instant,
    unsettled: Unsettled,
    due: Option<Due>,
    last_words: Option<LastWords>,
    handing_over: Option<HandingOver>,
    end: Option<EndReason>,
    /// The carrier has said that the call is over.
    over: bool,
    engine_failures: u32,
}

struct Arriving {
    stream_sid: String,
    socket: Socket,
}

struct LegAwaited {
    until: Instant,
    /// Why the last one went; nothing when none has been there yet.
    lost_opt: Option<String>,
}

struct Standby {
    engine: Engine,
    place: StandBy,
    ready_opt: Option<Instant>,
}

/// The call leaves its socket for a rung that needs none, as soon as the caller has heard what was already said.
struct HandingOver {
    to: Rung,
    until: Instant,
}

/// Words that the agent was asked for, and what follows when they have been heard.
struct LastWords {
    then: Then,
    /// The first part that is spoken after they were asked for.
    part: Option<Part>,
    until: Instant,
}

enum Then {
    End(EndReason),
    /// Go on in a cheaper mode.
    /// For this reason.
    StepDown(&'static str),
}

impl CallActor {
    pub fn new(setup: CallSetup) -> Self {
        let lanes = Lanes::new(&setup.limits);
        lanes.caller.keep(Unsettled::default().kept_max());
        let now = Instant::now();
        let age = setup.recording.clock.now().duration_since(setup.started_at);
        // Another node's clock may be ahead of ours.
        let age = Duration::try_from(age).unwrap_or_default();
        let engines_before = engines_before(&setup.ledger);
        let first_part = first_part(engines_before + 1);
        Self {
            metering: Metering::new(setup.spent, age, now),
            origin: now,
            phase: Phase::Connecting,
            mode: setup.mode,
            failed: setup.failed.clone(),
            lanes,
            leg: None,
            leg_awaited: Some(LegAwaited { until: now + LEG_MAX, lost_opt: None }),
            arriving: None,
            engine: None,
            engine_ready: None,
            standby: None,
            renew_again_at: None,
            transcoder: None,
            retired_legs: Vec::new(),
            retired: Vec::new(),
            spawned: HashMap::from([(Role::Engine, engines_before)]),
            replaced: HashMap::new(),
            modes: vec![setup.mode; engines_before as usize],
            ledger: setup.ledger.clone(),
            spent: setup.spent,
            timeline: Timeline::default(),
            sheet: Sheet::default(),
            generation: Generation::default(),
            first_part,
            first_open: first_part,
            last_begun: None,
            cut_at: None,
            heard_before: None,
            agent_came: (now, 0),
            caller_told_at: now,
            bridges: 0,
            bridged_after: None,
            agent_speaking: false,
            responding: false,
            caller_speaking: false,
            last_activity: now,
            unsettled: Unsettled::default(),
            due: None,
            last_words: None,
            handing_over: None,
            end: None,
            over: false,
            engine_failures: 0,
            setup,
        }
    }

    // ------------------------------------------------------------ trouble

    fn trouble(&mut self, trouble: &Trouble, ctx: &mut Context<Self>) {
        let role = trouble.role();
        let now = Instant::now();
        let alternative = self.alternative();
        let history = self.replaced.entry(role).or_default();
        let permitted = history.permits(role.intensity(), now);
        match decide(self.phase, trouble, permitted, alternative) {
            Decision::Expected => {}
            Decision::Replace => {
                history.note(role.intensity(), now);
                match role {
                    Role::Engine => {
                        self.note(What::EngineReplaced);
                        self.succeed_engine(ctx);
                    }
                    Role::Transcoder => {
                        self.note(What::TranscoderReplaced);
                        self.spawn_transcoder(ctx);
                    }
                    Role::Usage => {
                        self.note(What::RecorderReplaced);
                        self.spawn_recorder(ctx);
                    }
                    Role::Leg => {} // its intensity permits none
                }
            }
            Decision::AwaitLeg(why) => self.await_leg(why),
            Decision::NextRung(why) => self.ask_for_next_rung(why, ctx),
            Decision::GoWithout(why) => self.go_without_recorder(&why),
            Decision::End(reason) => self.finish(reason, ctx),
        }
    }

    fn alternative(&self) -> Alternative {
        match &self.setup.ladder {
            ladder if ladder.has_media_left(&self.failed, self.mode) => Alternative::Media,
            ladder if ladder.has_mode_left(&self.failed, self.mode) => Alternative::Turns,
            _ => Alternative::Nothing,
        }
    }

    /// The engine has failed, by its own word or because it does not answer.
    fn engine_failed(&mut self, failure: EngineFailure, ctx: &mut Context<Self>) {
        self.engine_failures += 1;
        tracing::warn!(call_id = %self.setup.id, mode = %self.mode, kind = ?failure.kind, detail = failure.detail, "engine failed");
        self.note(What::EngineFailed { why: failure.detail.as_str().into() });
        // One per failure of a call: this cannot flood the fallback.
        self.setup.fallback.do_send(EngineFared { mode: self.mode, failure_opt: Some(failure.kind) });
        self.retired.extend(self.engine.take());
        self.trouble(&Trouble::EngineFailed(failure), ctx);
    }

    // ------------------------------------------------------------ the end

    /// Has the agent say goodbye; when it has been heard, the call ends for `reason`.
    fn farewell(&mut self, reason: EndReason, ctx: &mut Context<Self>) {
        if self.phase != Phase::Talking || self.setup.agent.farewell.is_empty() {
            return self.finish(reason, ctx);
        }
        self.turn(Turning::FarewellBegun);
        self.note(What::FarewellBegan { reason: reason.name() });
        let words = format!("End the call now. {}", self.setup.agent.farewell);
        self.say_before(&words, Then::End(reason));
    }

    /// Has the agent say these words; when they have been heard, `then` follows.
    fn say_before(&mut self, words: &str, then: Then) {
        let instructions = format!("{}\n\n{words}", self.setup.agent.instructions);
        if let Some(engine) = &self.engine {
            engine.tell(EngineCommand::Prompt(instructions));
        }
        let max = match then {
            Then::End(_) => LAST_WORDS_MAX,
            Then::StepDown(_) => NOTICE_MAX,
        };
        self.last_words = Some(LastWords { then, part: None, until: Instant::now() + max });
    }

    fn after_last_words(&mut self, then: Then, ctx: &mut Context<Self>) {
        match then {
            Then::End(reason) => self.finish(reason, ctx),
            Then::StepDown(why) => {
                self.spent.allow_again();
                self.ask_for_next_rung(why.to_owned(), ctx);
            }
        }
    }

    /// Tells every child to finish. Once.
    fn finish(&mut self, reason: EndReason, ctx: &mut Context<Self>) {
        if self.phase == Phase::Ending {
            return;
        }
        self.turn(Turning::EndDecided);
        self.note(What::Ended { reason: reason.name() });
        self.end_meter(&reason);
        self.end = Some(reason);
        // Before the leg hangs up: then the carrier asks what is next.
        self.keep_end();
        self.settle_later();
        self.retire_standby();
        if let Some(engine) = &self.engine {
            engine.tell(EngineCommand::Finish);
        }
        if let Some(leg) = &self.leg {
            leg.addr.do_send(LegCommand::HangUp);
        }
        if let Some(transcoder) = &self.transcoder {
            transcoder.kill(); // it has no socket to close and no account to hand in
        }
        ctx.run_later(ENDING_MAX, |call, _| call.kill_the_rest());
        self.conclude_if_alone(ctx);
    }

    /// Keeps what is to become of the call after this actor.
    fn keep_end(&self) {
        match &self.end {
            Some(EndReason::HandedOver(to)) => self.keep(CallState::HandedOver { to: *to }),
            Some(EndReason::StoodDown) | None => {} // the record is the other actor's
            Some(other) => {
                let for_good = other.is_by_us() || self.over;
                self.keep(CallState::Ended { reason: other.name().to_owned(), for_good });
            }
        }
    }

    fn kill_the_rest(&mut self) {
        for engine in self.engine.iter().chain(&self.retired) {
            engine.kill();
            self.sheet.killed += 1;
        }
        for leg in self.leg.iter().chain(&self.retired_legs) {
            leg.kill();
            self.sheet.killed += 1;
        }
    }

    /// When the last child but the recorder is gone, and all that was used is recorded: checks the books, says the last
    /// word, stops.
    fn conclude_if_alone(&mut self, ctx: &mut Context<Self>) {
        let alone = self.leg.is_none()
            && self.engine.is_none()
            && self.transcoder.is_none()
            && self.retired.is_empty()
            && self.retired_legs.is_empty();
        if !alone || self.end.is_none() || !self.close_meter() {
            return;
        }
        let Some(end) = self.end.take() else { return };
        self.sheet.usage_lost = self.metering.lost;
        self.sheet.caller_lane = books(&self.lanes.caller);
        self.sheet.agent_lane = books(&self.lanes.agent);
        self.close_wide_books();
        let discrepancies = audit(&self.sheet);
        if !discrepancies.is_empty() {
            tracing::error!(call_id = %self.setup.id, ?discrepancies, sheet = ?self.sheet, "books do not balance");
        }
        self.setup.switchboard.do_send(CallEnded(Arc::new(CallReport {
            id: self.setup.id,
            seat: self.setup.seat,
            call_sid: self.setup.call_sid.clone(),
            started_at: self.setup.started_at,
            origin: self.origin,
            length: self.origin.elapsed(),
            end,
            routed: self.setup.routed,
            rule_opt: self.setup.rule_opt.clone(),
            mode: self.mode,
            ledger: std::mem::take(&mut self.ledger),
            timeline: std::mem::take(&mut self.timeline),
            sheet: self.sheet.clone(),
            discrepancies,
            engine_failures: self.engine_failures,
            spent: self.spent_now().since(self.setup.spent),
            bill: self.metering.bill(),
        })));
        ctx.stop();
    }

    // ------------------------------------------------------------ small things

    fn look(&mut self, ctx: &mut Context<Self>) {
        self.tick_meter();
        if let Some(engine) = &self.engine {
            engine.tell(EngineCommand::Look);
        }
        if let Some(standby) = &self.standby {
            standby.engine.tell(EngineCommand::Look);
        }
        if self.phase != Phase::Talking || self.leg.is_none() || self.last_words.is_some() {
            return;
        }
        if let Some(engine) = self.engine.as_ref().filter(|_| self.caller_speaking)
            && self.caller_told_at.elapsed() >= UTTERANCE_UNDOUBTED
        {
            engine.tell(EngineCommand::Probe);
        }
        if self.origin.elapsed() >= self.setup.limits.call_max {
            self.farewell(EndReason::LengthLimit, ctx);
        } else if !self.agent_speaking
            && !self.caller_speaking
            && self.last_activity.elapsed() >= self.setup.limits.caller_idle_max
        {
            self.farewell(EndReason::CallerIdle, ctx);
        } else if self.spent.reached(self.setup.limits.cost_max_opt) {
            self.leave_dear_mode(ctx);
        } else if let Some((mode, used_up)) = self.cheapest_if_used_up() {
            self.leave_for_cheapest(mode, used_up, ctx);
        } else {
            self.renew(ctx);
        }
    }

    /// Looks for what must not take a second.
    fn listen(&mut self, ctx: &mut Context<Self>) {
        if let Some(leg) = &self.leg {
            leg.addr.do_send(LegCommand::Look);
        }
        if self.phase == Phase::Ending {
            return;
        }
        let now = Instant::now();
        if let Some(awaited) = self.leg_awaited.take_if(|awaited| now >= awaited.until) {
            let reason = awaited.lost_opt.map_or(EndReason::NoStream, EndReason::CarrierLost);
            return self.finish(reason, ctx);
        }
        if let Some(words) = self.last_words.take_if(|words| now >= words.until) {
            return self.after_last_words(words.then, ctx);
        }
        if let Some(to) = self
            .handing_over
            .as_ref()
            .filter(|over| now >= over.until || !self.is_sounding())
            .map(|over| over.to)
        {
            return self.finish(EndReason::HandedOver(to), ctx);
        }
        self.mind_sentence(now);
        self.mind_silence(now);
    }

    /// Whether the caller hears the agent now, or is about to.
    fn is_sounding(&self) -> bool {
        self.leg.is_some() && (self.agent_speaking || self.lanes.agent.depth() > 0)
    }

    /// The agent has fallen silent in the midst of a sentence: its engine does not go on.
    fn mind_sentence(&mut self, now: Instant) {
        let came = self.lanes.agent.books().offered;
        if came != self.agent_came.1 || self.lanes.agent.depth() > 0 || self.leg.is_none() {
            self.agent_came = (now, came);
        }
        let broken = self.last_begun.is_some_and(|part| !self.ledger.is_complete(part));
        let stalled = now.saturating_duration_since(self.agent_came.0) >= self.setup.limits.silence_max;
        if let Some(engine) = self.engine.as_ref().filter(|_| broken && stalled && self.responding) {
            engine.tell(EngineCommand::GiveUp { detail: "silent in the midst of a sentence".to_owned() });
            self.agent_came.0 = now;
        }
    }

    /// The caller waits for an answer: neither must that take too long, nor must he hear nothing meanwhile.
    fn mind_silence(&mut self, now: Instant) {
        if self.leg.is_none() || self.caller_speaking || self.phase == Phase::Leaving {
            return;
        }
        let sounding = self.is_sounding();
        let Some(due) = &mut self.due else { return };
        if sounding {
            due.sounded(now);
        }
        match due.step(now, self.setup.limits.silence_max) {
            Step::Wait => {}
            Step::Sound => self.bridge(),
            Step::GiveUp => {
                // While an engine is being dialled, or another rung asked for, that has its own bounds.
                let Some(engine) = self.engine.as_ref().filter(|_| self.phase == Phase::Talking) else {
                    return;
                };
                let detail = format!("no answer within {:?}", self.setup.limits.silence_max);
                engine.tell(EngineCommand::GiveUp { detail });
                self.due = None; // until it has told that it failed
            }
        }
    }

    /// Keeps the call's record where others find it.
    fn keep(&self, state: CallState) {
        let Some(call_sid) = self.setup.call_sid.clone() else { return }; // nobody could ask for it
        self.setup.store.keep(CallRecord {
            id: self.setup.id,
            call_sid,
            agent: self.setup.agent.name.clone(),
            from_opt: self.setup.from_opt.clone(),
            to_opt: self.setup.to_opt.clone(),
            started_at: self.setup.started_at,
            routed: self.setup.routed,
            rule_opt: self.setup.rule_opt.clone(),
            mode: self.mode,
            failed: self.failed.clone(),
            ledger: self.ledger.clone(),
            spent: self.spent_now(),
            turns_opt: None,
            state,
        });
    }

    fn keep_live(&self) {
        if self.phase != Phase::Ending {
            self.keep(CallState::Live);
        }
    }

    fn turn(&mut self, turning: Turning) {
        self.phase = self.phase.after(turning);
    }

    fn note(&mut self, what: What) {
        tracing::debug!(call_id = %self.setup.id, ?what, "timeline");
        let at = self.origin.elapsed();
        self.setup.store.note(self.setup.id, at, &what);
        self.timeline.note(at, what);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The caller cut in after hearing so much of the agent over this leg. The engine is told what he heard in all.
    fn interrupted(&mut self, heard: Option<Heard>) {
        if let Some(notice) = &mut self.last_words
            && notice.part.is_some()
            && matches!(notice.then, Then::StepDown(_))
        {
            notice.until = Instant::now(); // he did not want to hear it
        }
        let heard = self.altogether(heard);
        self.heard_before = None;
        self.cut(heard);
        if let Some(engine) = &self.engine {
            engine.tell(EngineCommand::Interrupted { heard });
        }
    }

    /// What was heard over the present leg and those before it.
    fn altogether(&self, heard: Option<Heard>) -> Option<Heard> {
        let here = heard.and_then(|heard| self.without_bridge(heard));
        let heard = match (self.heard_before, here) {
            (Some(before), Some(here)) if before.part == here.part => {
                Some(Heard { part: here.part, samples: before.samples + here.samples })
            }
            (before, here) => here.or(before),
        };
        // Parts that were played out were heard, over whichever leg.
        let played_out =
            (self.first_open > self.first_part).then_some(Heard { part: self.first_open, samples: 0 });
        match (heard, played_out) {
            (Some(heard), Some(played_out)) if heard.part < played_out.part => Some(played_out),
            (heard, played_out) => heard.or(played_out),
        }
    }

    /// Has the ledger say what was heard.
    fn cut(&mut self, heard: Option<Heard>) {
        if let Some(last) = self.cut_at.take() {
            self.ledger.cut(self.first_open..=last, heard);
            self.metering.earshot.cut(self.first_open..=last, heard);
            self.first_open = self.first_open.max(Part(last.0 + 1));
        }
        if std::mem::take(&mut self.agent_speaking)
            && let Some(heard) = heard
        {
            self.note(What::Interrupted { part: heard.part.0, heard_ms: heard.ms() });
        }
        self.keep_live();
    }
}

/// Empties a child's place, unless a successor is in it already. Tells whether it did.
fn leave<A: Actor>(place: &mut Option<Child<A>>, incarnation: u32) -> bool {
    place.take_if(|child| child.incarnation == incarnation).is_some()
}

fn books<T>(lane: &Lane<T>) -> LaneBooks {
    LaneBooks { books: lane.books(), left: lane.depth() as u64 }
}

impl Actor for CallActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.spawn_recorder(ctx);
        self.tick_meter();
        self.keep_live();
        self.begin(ctx);
        ctx.run_interval(LOOK_EVERY, Self::look);
        ctx.run_interval(LEG_LOOKS_EVERY, Self::listen);
    }
}

impl Handler<LegArrived> for CallActor {
    type Result = ();

    fn handle(&mut self, LegArrived { stream_sid, socket }: LegArrived, ctx: &mut Self::Context) {
        if self.phase == Phase::Ending {
            return; // dropped: its carrier asks what is next, and is told
        }
        let arriving = Arriving { stream_sid, socket: socket.take() };
        match &self.leg {
            // The carrier has lost what we still hold for a socket. First that one says what was not heard.
            Some(old) => {
                old.addr.do_send(LegCommand::HangUp);
                self.arriving = Some(arriving);
            }
            None => self.receive_leg(arriving, ctx),
        }
    }
}

impl Handler<FromLeg> for CallActor {
    type Result = ();

    fn handle(&mut self, FromLeg { incarnation, fact }: FromLeg, ctx: &mut Self::Context) {
        if let LegFact::Ended { account, .. } = &fact {
            self.sheet.legs.push(*account);
        }
        if self.leg.as_ref().is_none_or(|leg| leg.incarnation != incarnation) {
            return;
        }
        match fact {
            LegFact::FirstOnWire(part) if is_bridge(part) => self.note(What::Bridged),
            LegFact::FirstOnWire(part) => {
                self.agent_speaking = true;
                self.note(What::FirstOnWire { part: part.0 });
            }
            LegFact::PlayedOut(part) if is_bridge(part) || part < self.first_open => {} // or known already
            LegFact::PlayedOut(part) => {
                self.note(What::PlayedOut { part: part.0 });
                self.last_activity = Instant::now();
                self.first_open = self.first_open.max(Part(part.0 + 1));
                self.agent_speaking = self.last_begun.is_some_and(|last| last > part);
                let heard = |words: &mut LastWords| words.part.is_some_and(|first| part >= first);
                if let Some(words) = self.last_words.take_if(heard) {
                    self.after_last_words(words.then, ctx);
                }
            }
            LegFact::Cleared { heard } => self.interrupted(heard),
            LegFact::CallerLoud => {
                // An engine that had heard him would have said so by now.
                let told = self.caller_speaking || self.caller_told_at.elapsed() < CALLER_TOLD_WITHIN;
                if let Some(engine) = self.engine.as_ref().filter(|_| !told && self.phase == Phase::Talking) {
                    engine.tell(EngineCommand::Probe);
                }
            }
            LegFact::Digit(digit) => {
                self.last_activity = Instant::now();
                self.note(What::Digit { digit });
            }
            LegFact::Ended { end, heard, unheard_ms, .. } => {
                self.retired_legs.extend(self.leg.take());
                self.heard_before = self.altogether(heard);
                if end == LegEnd::Stopped {
                    self.cut_at = self.last_begun; // what was not heard until now will not be
                    self.cut(self.heard_before);
                }
                self.put_back(unheard_ms);
                match self.arriving.take() {
                    Some(arriving) => self.receive_leg(arriving, ctx),
                    None => self.trouble(&Trouble::LegEnded(end), ctx),
                }
            }
        }
    }
}

impl Handler<FromEngine> for CallActor {
    type Result = ();

    fn handle(&mut self, FromEngine { incarnation, fact }: FromEngine, ctx: &mut Self::Context) {
        let serving = self.engine.as_ref().is_some_and(|engine| engine.incarnation() == incarnation);
        if fact == EngineFact::ResponseBegan {
            self.response_began(incarnation);
        }
        match fact {
            EngineFact::Ended { account } => {
                let format = self.setup.engines.audio(self.mode_of(incarnation));
                self.sheet.engines.push((format, account));
            }
            EngineFact::Used(used) => self.used(incarnation, used),
            fact if serving => self.on_engine(fact, ctx),
            // A transcript may come after its engine was relieved; the words are the caller's all the same.
            EngineFact::Said { who, item, text } if self.ledger.knows(who, &item) => {
                let at_ms = self.now_ms();
                self.ledger.said(who, &item, &text, at_ms);
            }
            fact => self.on_standby(incarnation, &fact),
        }
    }
}

impl CallActor {
    fn on_engine(&mut self, fact: EngineFact, ctx: &mut Context<Self>) {
        match fact {
            EngineFact::Ready { session } => {
                tracing::info!(call_id = %self.setup.id, mode = %self.mode, session, "engine ready");
                let now = Instant::now();
                self.setup.fallback.do_send(EngineFared { mode: self.mode, failure_opt: None }); // one per engine
                self.engine_ready = Some(now);
                self.last_activity = now;
                if let Some(due) = &mut self.due {
                    due.owed_by_another(now);
                }
                self.turn(Turning::EngineReady);
                self.note(What::EngineReady);
            }
            EngineFact::CallerSpeaking { generation, item } => {
                self.generation = generation;
                self.cut_at = self.last_begun;
                self.caller_speaking = true;
                self.caller_told_at = Instant::now();
                self.due = None;
                self.last_activity = Instant::now();
                self.unsettled.caller_began(&item, self.lanes.caller.books().taken);
                self.lanes.caller.keep(self.unsettled.kept_max());
                self.note(What::CallerSpeaking);
                let at_ms = self.now_ms();
                self.ledger.caller_began(&item, at_ms);
                if let Some(leg) = &self.leg {
                    leg.addr.do_send(LegCommand::Clear(generation));
                } else {
                    self.agent_reader().clear(|item| item.tag().generation < generation);
                    self.interrupted(None);
                }
            }
            EngineFact::CallerSilent { .. } => {
                let now = Instant::now();
                self.caller_speaking = false;
                (self.last_activity, self.caller_told_at) = (now, now);
                self.due = Some(Due::since(now));
                self.unsettled.caller_fell_silent(self.lanes.caller.books().taken);
                self.note(What::CallerSilent);
            }
            EngineFact::ResponseBegan => {
                self.responding = true;
                self.note(What::ResponseBegan);
            }
            EngineFact::ResponseEnded => {
                self.responding = false;
                self.answered_with_nothing();
            }
            EngineFact::AgentBegan { part, item, prompted } => {
                self.due = None;
                self.unsettled.answered();
                self.lanes.caller.keep(self.unsettled.kept_max());
                self.last_begun = Some(part);
                self.note(What::AgentBegan { part: part.0 });
                let at_ms = self.now_ms();
                self.ledger.agent_began(&item, part, at_ms);
                self.voice_began(part);
                if let Some(words) = self.last_words.as_mut().filter(|_| prompted) {
                    words.part.get_or_insert(part);
                }
            }
            EngineFact::AgentEnded { part, audio_ms } => {
                self.ledger.agent_ended(part, audio_ms);
                self.metering.earshot.ended(part, audio_ms);
                self.keep_live();
            }
            EngineFact::AgentBroke { part, audio_ms } => self.ledger.agent_broke(part, audio_ms),
            EngineFact::Said { who, item, text } => {
                if who == Speaker::Caller {
                    self.unsettled.transcribed(&item);
                    self.lanes.caller.keep(self.unsettled.kept_max());
                }
                let at_ms = self.now_ms();
                self.ledger.said(who, &item, &text, at_ms);
                self.keep_live();
            }
            EngineFact::Truncated { part, audio_end_ms } => {
                self.note(What::Truncated { part: part.0, audio_end_ms });
            }
            EngineFact::Doubted { silent_for, caller_spoke } => {
                self.unsettled.doubted(self.lanes.caller.books().taken, silent_for, caller_spoke);
                self.lanes.caller.keep(self.unsettled.kept_max());
            }
            EngineFact::Trusted => {
                self.unsettled.trusted();
                self.lanes.caller.keep(self.unsettled.kept_max());
            }
            EngineFact::Failed(failure) => self.engine_failed(failure, ctx),
            EngineFact::Used(_) | EngineFact::Ended { .. } => {} // taken by the handler, from whichever engine
        }
    }

    fn mode_of(&self, incarnation: u32) -> Mode {
        self.modes[incarnation as usize - 1]
    }

    /// A response without a sound is no answer: it is asked for once more.
    fn answered_with_nothing(&mut self) {
        let Some(due) = self.due.as_mut().filter(|_| self.phase == Phase::Talking) else { return };
        let Some(engine) = &self.engine else { return };
        if due.ask_again(Instant::now()) {
            if let Some(instructions) = crate::engine::Opening::GoOn.instructions(&self.setup.agent) {
                engine.tell(EngineCommand::Prompt(instructions));
            }
        } else {
            engine.tell(EngineCommand::GiveUp { detail: "two answers in a row without a sound".to_owned() });
        }
    }
}

impl Handler<Exited<Role>> for CallActor {
    type Result = ();

    fn handle(&mut self, exited: Exited<Role>, ctx: &mut Self::Context) {
        // A child that said why has been dealt with: it was retired then.
        let unexplained = match exited.role {
            Role::Leg => {
                self.retired_legs.retain(|leg| leg.incarnation != exited.incarnation);
                leave(&mut self.leg, exited.incarnation)
            }
            Role::Engine => {
                self.retired.retain(|engine| engine.incarnation() != exited.incarnation);
                self.standby.take_if(|standby| standby.engine.incarnation() == exited.incarnation);
                self.engine_left(exited.incarnation);
                self.engine.take_if(|engine| engine.incarnation() == exited.incarnation).is_some()
            }
            Role::Transcoder => leave(&mut self.transcoder, exited.incarnation),
            Role::Usage => self.recorder_left(exited.incarnation),
        };
        if unexplained && (self.phase != Phase::Ending || exited.role == Role::Usage) {
            self.sheet.transcoders_died += u32::from(exited.role == Role::Transcoder);
            let why = match exited.cause {
                Cause::Panicked(text) => format!("panicked: {text}"),
                Cause::Killed => "killed".to_owned(),
                Cause::Stopped => "stopped without a reason".to_owned(),
            };
            tracing::error!(call_id = %self.setup.id, role = exited.role.name(), why, "child died");
            let death = Death { role: exited.role.name(), why: why.clone() };
            self.note(What::ChildDied(Box::new(death)));
            match self.arriving.take_if(|_| exited.role == Role::Leg) {
                Some(arriving) => self.receive_leg(arriving, ctx),
                None => self.trouble(&Trouble::Died { role: exited.role, why }, ctx),
            }
        }
        self.conclude_if_alone(ctx);
    }
}

impl Handler<EndCall> for CallActor {
    type Result = ();

    fn handle(&mut self, _: EndCall, ctx: &mut Self::Context) {
        if self.phase != Phase::Leaving {
            self.farewell(EndReason::Shutdown, ctx); // a goodbye that is being said is heard to its end
        }
    }
}

impl Handler<CallerGone> for CallActor {
    type Result = ();

    fn handle(&mut self, _: CallerGone, ctx: &mut Self::Context) {
        self.over = true;
        self.finish(EndReason::CallerHungUp, ctx);
    }
}

impl Handler<StandDown> for CallActor {
    type Result = ();

    fn handle(&mut self, _: StandDown, ctx: &mut Self::Context) {
        self.finish(EndReason::StoodDown, ctx);
    }
}

#[cfg(feature = "testing")]
impl CallActor {
    pub(crate) fn sabotage(&self, role: Role, how: crate::testing::Sabotage) {
        fn strike<A>(child: Option<&Child<A>>, how: crate::testing::Sabotage)
        where
            A: Actor<Context = Context<A>> + Handler<crate::testing::Sabotage>,
        {
            match (child, how) {
                (Some(child), crate::testing::Sabotage::Kill) => child.kill(),
                (Some(child), how) => child.addr.do_send(how),
                (None, _) => {}
            }
        }
        match role {
            Role::Leg => strike(self.leg.as_ref(), how),
            Role::Engine => self.engine.iter().for_each(|engine| engine.sabotage(how)),
            Role::Transcoder => strike(self.transcoder.as_ref(), how),
            Role::Usage => strike(self.metering.recorder(), how),
        }
    }
}
