//! The call: the only parent of its tree. It owns the lanes, the children and the ledger.
//!
//! - Owner: the switchboard's watch; it lives on the thread that its carrier's socket arrived on.
//! - In: [`FromLeg`], [`FromEngine`], exit notices, [`EndCall`].
//! - Out: commands to its children, one [`CallEnded`] to the switchboard.
//! - When full: its mailbox sees a few facts per turn and nothing else; audio never passes here.
//! - When it dies: its children are killed with it, and no other call notices.
//!
//! It refuses to decide what a failure means ([`mod@decide`]) and where a call is in its life ([`phase`]); it carries
//! out what they answer.

pub mod audit;
pub mod decide;
pub mod phase;
pub mod timeline;
pub mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Recipient};
use tandem_media::frame::{FRAME_MS, G711Frame, Pcm24Frame};
use tandem_media::playout::{Heard, Part};
use tandem_wire::openai::Dialect;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::engine::realtime::RealtimeSession;
use crate::engine::{AudioChoice, Begin, EngineAudio, EngineWiring};
use crate::kit::child::{self, Child};
use crate::kit::exit::{Cause, Exited};
use crate::kit::lane::Lane;
use crate::kit::policy::History;
use crate::ledger::Ledger;
use crate::leg::twilio::TwilioStream;
use crate::leg::twilio::stream::LegWiring;
use crate::messages::{
    AgentAudio, EngineCommand, EngineFact, FromEngine, FromLeg, Generation, LegCommand, LegFact, Tag,
};
use crate::ports::{CallId, EngineDialer, Socket};
use crate::transcoder::{Transcoder, TranscoderWiring};
use audit::{Discrepancy, LaneBooks, Sheet, audit};
use decide::{Decision, EndReason, Role, Trouble, decide};
use phase::{Phase, Turning};
use timeline::{Death, Timeline, What};

/// Attempts to get an engine ready that a caller may wait through: the first, and the one redial.
const ENGINE_ATTEMPTS: u32 = 2;

/// Caller audio that may wait beyond [`Limits::engine_ready_max`] of every attempt: for the redial itself, and for a
/// socket that takes a backlog slowly.
const CALLER_LANE_MARGIN: Duration = Duration::from_secs(4);

/// Agent audio that may wait to be played: 5 minutes, i.e. 15,000 frames or 2.6 MB, at the engine's fastest a single
/// answer of 4,096 tokens (205 s). An answer is usually some seconds, and nothing is allocated in advance.
const AGENT_LANE_DEPTH: usize = 15_000;

/// Caller audio between transcoder and engine: 2 s. What is more waits before the transcoder, at a sixth of the size.
const WIDE_CALLER_LANE_DEPTH: usize = 100;

/// Children that have not finished after this are killed. Sockets linger for 2 s at most.
const ENDING_MAX: Duration = Duration::from_secs(3);

/// A goodbye that has not been played out after this is cut off. An answer that is being spoken comes before it.
const FAREWELL_MAX: Duration = Duration::from_secs(25);

/// How often the leg is told to look around: a third of what it counts as a stall.
const LEG_LOOKS_EVERY: Duration = Duration::from_millis(250);

/// How often the engine looks around, and limits are looked at. They are minutes; a second is exact enough.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Parts of one engine's audio: a call cannot have more responses than this between two engines.
const PARTS_PER_ENGINE: u32 = 1 << 16;

/// How long a call may take in its stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub call_max: Duration,
    /// A caller who says nothing for so long, while the agent is silent too, is said goodbye to.
    pub caller_idle_max: Duration,
    pub engine_ready_max: Duration,
}

/// What a call is made of.
pub struct CallSetup {
    pub id: CallId,
    /// The carrier's id of the call, when it told one.
    pub call_sid: Option<String>,
    pub stream_sid: String,
    pub agent: Arc<Agent>,
    pub limits: Limits,
    pub audio: AudioChoice,
    pub dialect: Dialect,
    pub dialer: Arc<dyn EngineDialer>,
    pub ending: Recipient<CallEnding>,
    pub switchboard: Recipient<CallEnded>,
    pub started_at: jiff::Timestamp,
}

/// Ends the call politely, from outside.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct EndCall;

/// The end of the call is decided; its sockets are still being seen off. The carrier asks what became of it as soon as
/// its stream ends, and must not be told before this.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct CallEnding {
    pub id: CallId,
    pub end: EndReason,
}

/// The call's last word: everything that is known of it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct CallEnded(pub Arc<CallReport>);

#[derive(Clone, Debug)]
pub struct CallReport {
    pub id: CallId,
    pub call_sid: Option<String>,
    pub started_at: jiff::Timestamp,
    /// From when the timeline and the ledger count, on the clock of this process.
    pub origin: Instant,
    pub length: Duration,
    pub end: EndReason,
    pub ledger: Ledger,
    pub timeline: Timeline,
    pub sheet: Sheet,
    /// Empty when the books are clean.
    pub discrepancies: Vec<Discrepancy>,
    pub engine_failures: u32,
}

pub struct CallActor {
    setup: CallSetup,
    /// Taken by the leg when the call starts.
    socket: Option<Socket>,
    origin: Instant,
    phase: Phase,
    lanes: Lanes,
    leg: Option<Child<TwilioStream>>,
    engine: Option<Child<RealtimeSession>>,
    transcoder: Option<Child<Transcoder>>,
    /// Engines that have failed and are seeing their sockets off.
    retired: Vec<Child<RealtimeSession>>,
    spawned: HashMap<Role, u32>,
    replaced: HashMap<Role, History>,
    ledger: Ledger,
    timeline: Timeline,
    sheet: Sheet,
    generation: Generation,
    /// Parts before this one were heard to their end, or cut off.
    first_open: Part,
    last_begun: Option<Part>,
    /// Agent audio is on its way to the caller's ear.
    agent_speaking: bool,
    caller_speaking: bool,
    last_activity: Instant,
    farewell: Option<Farewell>,
    end: Option<EndReason>,
    leg_said_why: bool,
    engine_failures: u32,
}

struct Farewell {
    reason: EndReason,
    /// The first part that is spoken after the goodbye was asked for.
    part: Option<Part>,
}

/// The lanes of one call. The call keeps them all, so that a child can be replaced at either end of any.
struct Lanes {
    caller: Lane<G711Frame>,
    agent: Lane<AgentAudio<u8, 160>>,
    wide: Option<WideLanes>,
}

struct WideLanes {
    caller: Lane<Pcm24Frame>,
    agent: Lane<AgentAudio<i16, 480>>,
}

impl CallActor {
    pub fn new(setup: CallSetup, socket: Socket) -> Self {
        let wide = (setup.audio == AudioChoice::Pcm24).then(|| WideLanes {
            caller: Lane::new(WIDE_CALLER_LANE_DEPTH),
            // The transcoder empties it at once, but one message of a provider may hold a whole answer.
            agent: Lane::new(AGENT_LANE_DEPTH),
        });
        let waiting_max = setup.limits.engine_ready_max * ENGINE_ATTEMPTS + CALLER_LANE_MARGIN;
        // By default 2 x 8 s and 4 s, i.e. 1,000 frames or 162 KB, should it ever come to that.
        let caller_lane_depth =
            usize::try_from(waiting_max.as_millis()).unwrap_or(usize::MAX) / FRAME_MS as usize;
        Self {
            setup,
            socket: Some(socket),
            origin: Instant::now(),
            phase: Phase::Connecting,
            lanes: Lanes { caller: Lane::new(caller_lane_depth), agent: Lane::new(AGENT_LANE_DEPTH), wide },
            leg: None,
            engine: None,
            transcoder: None,
            retired: Vec::new(),
            spawned: HashMap::new(),
            replaced: HashMap::new(),
            ledger: Ledger::default(),
            timeline: Timeline::default(),
            sheet: Sheet::default(),
            generation: Generation::default(),
            first_open: Part(0),
            last_begun: None,
            agent_speaking: false,
            caller_speaking: false,
            last_activity: Instant::now(),
            farewell: None,
            end: None,
            leg_said_why: false,
            engine_failures: 0,
        }
    }

    // ------------------------------------------------------------ the wiring, back to front

    fn spawn_engine(&mut self, ctx: &mut Context<Self>) {
        let incarnation = self.next_incarnation(Role::Engine);
        let begin = Begin {
            agent: Arc::clone(&self.setup.agent),
            ledger: self.ledger.clone(),
            generation: self.generation,
            first_part: Part(incarnation * PARTS_PER_ENGINE),
            ready_max: self.setup.limits.engine_ready_max,
        };
        let audio = match &self.lanes.wide {
            None => {
                EngineAudio::Pcmu { caller: self.lanes.caller.reader(), agent: self.lanes.agent.writer() }
            }
            Some(wide) => EngineAudio::Pcm24 { caller: wide.caller.reader(), agent: wide.agent.writer() },
        };
        let wiring = EngineWiring { audio, call: ctx.address().recipient(), incarnation };
        let (dialer, dialect) = (Arc::clone(&self.setup.dialer), self.setup.dialect);
        self.engine =
            Some(child::spawn(ctx.address().recipient(), Role::Engine, incarnation, move |engine| {
                RealtimeSession::attach(engine, begin, dialer, dialect, wiring)
            }));
        self.sheet.engines_spawned += 1;
        self.note(What::EngineDialled);
    }

    fn spawn_transcoder(&mut self, ctx: &mut Context<Self>) {
        let Some(wide) = &self.lanes.wide else { return };
        let wiring = TranscoderWiring {
            caller_in: self.lanes.caller.reader(),
            caller_out: wide.caller.writer(),
            agent_in: wide.agent.reader(),
            agent_out: self.lanes.agent.writer(),
        };
        let incarnation = self.next_incarnation(Role::Transcoder);
        let watcher = ctx.address().recipient();
        self.transcoder = Some(child::spawn(watcher, Role::Transcoder, incarnation, |transcoder| {
            Transcoder::attach(transcoder, wiring)
        }));
    }

    fn spawn_leg(&mut self, socket: Socket, ctx: &mut Context<Self>) {
        let incarnation = self.next_incarnation(Role::Leg);
        let wiring = LegWiring {
            caller: self.lanes.caller.writer(),
            agent: self.lanes.agent.reader(),
            call: ctx.address().recipient(),
            incarnation,
        };
        let stream_sid = self.setup.stream_sid.clone();
        self.leg = Some(child::spawn(ctx.address().recipient(), Role::Leg, incarnation, |leg| {
            TwilioStream::attach(leg, stream_sid, socket, wiring)
        }));
    }

    fn next_incarnation(&mut self, role: Role) -> u32 {
        let spawned = self.spawned.entry(role).or_default();
        *spawned += 1;
        *spawned
    }

    // ------------------------------------------------------------ trouble

    fn trouble(&mut self, trouble: &Trouble, ctx: &mut Context<Self>) {
        let role = trouble.role();
        let now = Instant::now();
        let history = self.replaced.entry(role).or_default();
        let permitted = history.permits(role.intensity(), now);
        match decide(self.phase, trouble, permitted) {
            Decision::Expected => {}
            Decision::Replace => {
                history.note(role.intensity(), now);
                match role {
                    Role::Engine => {
                        self.close_last_part();
                        self.turn(Turning::EngineReplaced);
                        self.note(What::EngineReplaced);
                        self.spawn_engine(ctx);
                    }
                    Role::Transcoder => {
                        self.note(What::TranscoderReplaced);
                        self.spawn_transcoder(ctx);
                    }
                    Role::Leg => {} // its intensity permits none
                }
            }
            // There is no other rung yet: without an engine the call ends, politely.
            Decision::NextRung(why) => self.finish(EndReason::EngineLost(why), ctx),
            Decision::End(reason) => self.finish(reason, ctx),
        }
    }

    /// The engine is gone in mid-sentence: what came of it is played to its end, and nothing more of it is awaited.
    fn close_last_part(&mut self) {
        self.caller_speaking = false;
        let Some(part) = self.last_begun else { return };
        let tag = Tag { generation: self.generation, part };
        match &self.lanes.wide {
            None => self.lanes.agent.writer().insist(AgentAudio::EndOfPart(tag)),
            Some(wide) => wide.agent.writer().insist(AgentAudio::EndOfPart(tag)),
        }
    }

    // ------------------------------------------------------------ the end

    /// Has the agent say goodbye; when it has been heard, the call ends for `reason`.
    fn farewell(&mut self, reason: EndReason, ctx: &mut Context<Self>) {
        if self.phase != Phase::Talking || self.setup.agent.farewell.is_empty() {
            return self.finish(reason, ctx);
        }
        self.turn(Turning::FarewellBegun);
        self.note(What::FarewellBegan { reason: reason.name() });
        let instructions =
            format!("{}\n\nEnd the call now. {}", self.setup.agent.instructions, self.setup.agent.farewell);
        if let Some(engine) = &self.engine {
            engine.addr.do_send(EngineCommand::Prompt(instructions));
        }
        self.farewell = Some(Farewell { reason: reason.clone(), part: None });
        ctx.run_later(FAREWELL_MAX, move |call, ctx| call.finish(reason, ctx));
    }

    /// Tells every child to finish. Once.
    fn finish(&mut self, reason: EndReason, ctx: &mut Context<Self>) {
        if self.phase == Phase::Ending {
            return;
        }
        self.turn(Turning::EndDecided);
        self.note(What::Ended { reason: reason.name() });
        self.setup.ending.do_send(CallEnding { id: self.setup.id, end: reason.clone() }); // before the leg hangs up
        self.end = Some(reason);
        if let Some(engine) = &self.engine {
            engine.addr.do_send(EngineCommand::Finish);
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

    fn kill_the_rest(&mut self) {
        for engine in self.engine.iter().chain(&self.retired) {
            engine.kill();
            self.sheet.killed += 1;
        }
        if let Some(leg) = &self.leg {
            leg.kill();
            self.sheet.killed += 1;
        }
    }

    /// When the last child is gone: checks the books, says the last word, stops.
    fn conclude_if_alone(&mut self, ctx: &mut Context<Self>) {
        let alone = self.leg.is_none()
            && self.engine.is_none()
            && self.transcoder.is_none()
            && self.retired.is_empty();
        let Some(end) = self.end.clone().filter(|_| alone) else { return };
        self.end = None;
        self.sheet.caller_lane = books(&self.lanes.caller);
        self.sheet.agent_lane = books(&self.lanes.agent);
        self.sheet.wide_caller_lane = self.lanes.wide.as_ref().map(|wide| books(&wide.caller));
        self.sheet.wide_agent_lane = self.lanes.wide.as_ref().map(|wide| books(&wide.agent));
        let discrepancies = audit(&self.sheet);
        if !discrepancies.is_empty() {
            tracing::error!(call_id = %self.setup.id, ?discrepancies, sheet = ?self.sheet, "books do not balance");
        }
        self.setup.switchboard.do_send(CallEnded(Arc::new(CallReport {
            id: self.setup.id,
            call_sid: self.setup.call_sid.clone(),
            started_at: self.setup.started_at,
            origin: self.origin,
            length: self.origin.elapsed(),
            end,
            ledger: std::mem::take(&mut self.ledger),
            timeline: std::mem::take(&mut self.timeline),
            sheet: self.sheet.clone(),
            discrepancies,
            engine_failures: self.engine_failures,
        })));
        ctx.stop();
    }

    // ------------------------------------------------------------ small things

    fn look(&mut self, ctx: &mut Context<Self>) {
        if let Some(engine) = &self.engine {
            engine.addr.do_send(EngineCommand::Look);
        }
        if self.phase != Phase::Talking {
            return;
        }
        if self.origin.elapsed() >= self.setup.limits.call_max {
            self.farewell(EndReason::LengthLimit, ctx);
        } else if !self.agent_speaking
            && !self.caller_speaking
            && self.last_activity.elapsed() >= self.setup.limits.caller_idle_max
        {
            self.farewell(EndReason::CallerIdle, ctx);
        }
    }

    fn turn(&mut self, turning: Turning) {
        self.phase = self.phase.after(turning);
    }

    fn note(&mut self, what: What) {
        tracing::debug!(call_id = %self.setup.id, ?what, "timeline");
        self.timeline.note(self.origin.elapsed(), what);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn heard(&mut self, heard: Option<Heard>) {
        self.ledger.cut(self.first_open, heard);
        if let Some(last) = self.last_begun {
            self.first_open = Part(last.0 + 1);
        }
        if std::mem::take(&mut self.agent_speaking)
            && let Some(heard) = heard
        {
            self.note(What::Interrupted { part: heard.part.0, heard_ms: heard.ms() });
        }
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
        self.spawn_engine(ctx);
        self.spawn_transcoder(ctx);
        if let Some(socket) = self.socket.take() {
            self.spawn_leg(socket, ctx);
        }
        ctx.run_interval(LOOK_EVERY, Self::look);
        ctx.run_interval(LEG_LOOKS_EVERY, |call, _| {
            if let Some(leg) = &call.leg {
                leg.addr.do_send(LegCommand::Look);
            }
        });
    }
}

impl Handler<FromLeg> for CallActor {
    type Result = ();

    fn handle(&mut self, FromLeg { incarnation, fact }: FromLeg, ctx: &mut Self::Context) {
        if self.leg.as_ref().is_none_or(|leg| leg.incarnation != incarnation) {
            return;
        }
        match fact {
            LegFact::FirstOnWire(part) => {
                self.agent_speaking = true;
                self.note(What::FirstOnWire { part: part.0 });
            }
            LegFact::PlayedOut(part) => {
                self.note(What::PlayedOut { part: part.0 });
                self.last_activity = Instant::now();
                self.first_open = self.first_open.max(Part(part.0 + 1));
                self.agent_speaking = self.last_begun.is_some_and(|last| last > part);
                let farewell =
                    self.farewell.take_if(|farewell| farewell.part.is_some_and(|first| part >= first));
                if let Some(farewell) = farewell {
                    self.finish(farewell.reason, ctx);
                }
            }
            LegFact::Cleared { heard } => {
                self.heard(heard);
                if let Some(engine) = &self.engine {
                    engine.addr.do_send(EngineCommand::Interrupted { heard });
                }
            }
            LegFact::Digit(digit) => {
                self.last_activity = Instant::now();
                self.note(What::Digit { digit });
            }
            LegFact::Ended { end, account } => {
                self.leg_said_why = true;
                self.sheet.leg = Some(account);
                self.trouble(&Trouble::LegEnded(end), ctx);
            }
        }
    }
}

impl Handler<FromEngine> for CallActor {
    type Result = ();

    fn handle(&mut self, FromEngine { incarnation, fact }: FromEngine, ctx: &mut Self::Context) {
        if let EngineFact::Ended { account } = fact {
            self.sheet.engines.push(account);
            return;
        }
        if self.engine.as_ref().is_none_or(|engine| engine.incarnation != incarnation) {
            return;
        }
        match fact {
            EngineFact::Ready { session } => {
                tracing::info!(call_id = %self.setup.id, session, "engine ready");
                self.last_activity = Instant::now();
                self.turn(Turning::EngineReady);
                self.note(What::EngineReady);
            }
            EngineFact::CallerSpeaking { generation, item } => {
                self.generation = generation;
                self.caller_speaking = true;
                self.last_activity = Instant::now();
                self.note(What::CallerSpeaking);
                let at_ms = self.now_ms();
                self.ledger.caller_began(&item, at_ms);
                if let Some(leg) = &self.leg {
                    leg.addr.do_send(LegCommand::Clear(generation));
                }
            }
            EngineFact::CallerSilent { .. } => {
                self.caller_speaking = false;
                self.last_activity = Instant::now();
                self.note(What::CallerSilent);
            }
            EngineFact::ResponseBegan => self.note(What::ResponseBegan),
            EngineFact::AgentBegan { part, item, prompted } => {
                self.last_begun = Some(part);
                self.note(What::AgentBegan { part: part.0 });
                let at_ms = self.now_ms();
                self.ledger.agent_began(&item, part, at_ms);
                if let Some(farewell) = self.farewell.as_mut().filter(|_| prompted) {
                    farewell.part.get_or_insert(part);
                }
            }
            EngineFact::AgentEnded { part, audio_ms } => self.ledger.agent_ended(part, audio_ms),
            EngineFact::Said { who, item, text } => {
                let at_ms = self.now_ms();
                self.ledger.said(who, &item, &text, at_ms);
            }
            EngineFact::Used(usage) => {
                tracing::debug!(call_id = %self.setup.id, tokens = usage.total_tokens, "response used");
            }
            EngineFact::Truncated { part, audio_end_ms } => {
                self.note(What::Truncated { part: part.0, audio_end_ms });
            }
            EngineFact::Failed(failure) => {
                self.engine_failures += 1;
                tracing::warn!(call_id = %self.setup.id, kind = ?failure.kind, detail = failure.detail, "engine failed");
                self.note(What::EngineFailed { why: failure.detail.as_str().into() });
                self.retired.extend(self.engine.take());
                self.trouble(&Trouble::EngineFailed(failure), ctx);
            }
            EngineFact::Ended { .. } => {} // taken above, also from engines that are no longer ours
        }
    }
}

impl Handler<Exited<Role>> for CallActor {
    type Result = ();

    fn handle(&mut self, exited: Exited<Role>, ctx: &mut Self::Context) {
        // A child that said why has been dealt with: an engine was retired then, a leg ended the call.
        let unexplained = match exited.role {
            Role::Leg => leave(&mut self.leg, exited.incarnation) && !self.leg_said_why,
            Role::Engine => {
                self.retired.retain(|engine| engine.incarnation != exited.incarnation);
                leave(&mut self.engine, exited.incarnation)
            }
            Role::Transcoder => leave(&mut self.transcoder, exited.incarnation),
        };
        if unexplained && self.phase != Phase::Ending {
            self.sheet.transcoders_died += u32::from(exited.role == Role::Transcoder);
            let why = match exited.cause {
                Cause::Panicked(text) => format!("panicked: {text}"),
                Cause::Killed => "killed".to_owned(),
                Cause::Stopped => "stopped without a reason".to_owned(),
            };
            tracing::error!(call_id = %self.setup.id, role = exited.role.name(), why, "child died");
            let death = Death { role: exited.role.name(), why: why.clone() };
            self.note(What::ChildDied(Box::new(death)));
            self.trouble(&Trouble::Died { role: exited.role, why }, ctx);
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
            Role::Engine => strike(self.engine.as_ref(), how),
            Role::Transcoder => strike(self.transcoder.as_ref(), how),
        }
    }
}
