//! How a call moves without being dropped: to the next engine, to another mode, to a fresh session, to another socket.
//!
//! It refuses to decide whether: the supervision table, the ladder and the guard of silence have.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tandem_media::earcon;
use tandem_media::playout::{Heard, Part};
use tokio::time::Instant;

use super::cost;
use super::decide::{Alternative, EndReason, Role};
use super::opening::opening;
use super::phase::{Phase, Turning};
use super::replay::Replay;
use super::silence::Due;
use super::timeline::What;
use super::wiring::{bridge_part, is_bridge};
use super::{Arriving, CallActor, HandingOver, LEG_BACK_MAX, LastWords, LegAwaited, Standby, Then};
use crate::budgets::UsedUp;
use crate::engine::Opening;
use crate::fallback::NextRung;
use crate::fallback::ladder::Rung;
use crate::ledger::Speaker;
use crate::messages::{AgentAudio, EngineCommand, EngineFact, Tag, TakeOver};
use crate::mode::Mode;

/// How long a dial may take when another mode is left: what a caller bears, instead of what a provider may need.
#[derive(Clone, Copy)]
struct Bearable {
    /// The next rung is on the same stream.
    media: Duration,
    /// The next rung is turn by turn: worse for the whole rest of the call, so more is waited for.
    turns: Duration,
}

/// The caller waits for a greeting. Handshakes were seen to take 0.15 to 3 s.
const FIRST_DIAL: Bearable = Bearable { media: Duration::from_secs(3), turns: Duration::from_secs(4) };

/// In mid-call. With the bridging sound and the next engine's own time a second makes the second and a half that a caller
/// may wait.
const REDIAL: Bearable = Bearable { media: Duration::from_secs(1), turns: Duration::from_secs(3) };

/// The fallback answers in microseconds; when it does not, the ladder alone decides.
const FALLBACK_ANSWERS_MAX: Duration = Duration::from_millis(250);

/// What was said already is heard to its end before the call leaves its socket; but nobody listens meanwhile.
const HANDING_OVER_MAX: Duration = Duration::from_secs(10);

/// A session is renewed so long before the provider ends it, or earlier when its life is short: long enough for a few
/// pauses, and for a second attempt.
const RENEW_AHEAD: Duration = Duration::from_mins(5);

/// So shortly before the limit no pause is waited for any more.
const RENEW_AT_LAST: Duration = Duration::from_secs(10);

/// After a standby session that failed.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(20);

impl CallActor {
    // ------------------------------------------------------------ from engine to engine

    /// The first engine.
    pub(super) fn begin(&mut self, ctx: &mut Context<Self>) {
        let opening = opening(&self.ledger, false);
        self.due = self.owes_words(opening).then(|| Due::since(Instant::now()));
        self.dial(opening, FIRST_DIAL, ctx);
    }

    /// Another engine of the call's mode, in the place of one that is gone: it hears again what that one may not have
    /// understood, is told what was said and heard, and goes on.
    pub(super) fn succeed_engine(&mut self, ctx: &mut Context<Self>) {
        let caller_speaks = self.caller_speaking;
        self.close_last_part();
        self.turn(Turning::EngineReplaced);
        let replay = self.replay();
        let opening = opening(&self.ledger, replay.speech);
        let now = Instant::now();
        if replay.speech || self.owes_words(opening) {
            let due = self.due.get_or_insert_with(|| Due::since(now));
            due.owed_by_another(now);
            if !caller_speaks {
                due.sound_soon();
            }
        }
        self.dial(opening, REDIAL, ctx);
    }

    fn owes_words(&self, opening: Opening) -> bool {
        opening.instructions(&self.setup.agent).is_some()
    }

    fn dial(&mut self, opening: Opening, bearable: Bearable, ctx: &mut Context<Self>) {
        let needed = self.setup.limits.engine_ready_max;
        let ready_max = match self.alternative() {
            Alternative::Media => needed.min(bearable.media),
            Alternative::Turns => needed.min(bearable.turns),
            Alternative::Nothing => needed,
        };
        if !self.spawn_engine(opening, ready_max, ctx) {
            self.ask_for_next_rung(format!("mode {} is not configured", self.mode), ctx);
        }
    }

    /// The engine is gone in mid-sentence: what came of it is played to its end, and nothing more of it is awaited.
    fn close_last_part(&mut self) {
        self.caller_speaking = false;
        self.responding = false;
        let Some(part) = self.last_begun.filter(|part| !self.ledger.is_complete(*part)) else { return };
        let tag = Tag { generation: self.generation, part };
        match &self.lanes.wide {
            None => self.lanes.agent.writer().insist(AgentAudio::EndOfPart(tag)),
            Some(wide) => wide.agent.writer().insist(AgentAudio::EndOfPart(tag)),
        }
    }

    /// Puts back what of the caller's words the engine that is gone has not shown to have understood.
    fn replay(&mut self) -> Replay {
        let replay = self.unsettled.replay(self.lanes.caller.books().taken);
        for item in &replay.retracted {
            self.ledger.retract(item);
        }
        self.rewind_caller(replay.frames);
        replay
    }

    fn rewind_caller(&mut self, frames: u64) {
        if frames == 0 {
            return;
        }
        // What waits beyond the transcoder comes before what is put back: it is put back as well, or it would be heard late.
        let beyond = self.lanes.wide.as_ref().map_or(0, |wide| wide.caller.reader().clear(|_| true));
        let mut left = frames.max(beyond as u64);
        let rewound = self.lanes.caller.rewind(|_| {
            let wanted = left > 0;
            left = left.saturating_sub(1);
            wanted
        });
        self.lanes.caller.keep(self.unsettled.kept_max());
        self.note(What::Replayed { ms: rewound as u64 * u64::from(tandem_media::frame::FRAME_MS) });
    }

    /// A sound of our own, so that a waiting caller does not take us for gone.
    pub(super) fn bridge(&mut self) {
        let incarnation = self.spawned.get(&Role::Engine).copied().unwrap_or_default();
        let part = bridge_part(incarnation, self.bridges);
        self.bridges += 1;
        self.bridged_after = self.last_begun;
        let tag = Tag { generation: self.generation, part };
        let lane = self.lanes.agent.writer();
        for frame in earcon::still_here() {
            lane.offer(AgentAudio::Frame(tag, frame)).ok(); // a full lane means that the caller hears enough
        }
        lane.insist(AgentAudio::EndOfPart(tag));
        if let Some(due) = &mut self.due {
            due.bridged(Instant::now());
        }
    }

    /// What was heard, in parts of engines: a sound of ours lies behind the part that had begun before it.
    pub(super) fn without_bridge(&self, heard: Heard) -> Option<Heard> {
        if !is_bridge(heard.part) {
            return Some(heard);
        }
        self.bridged_after.map(|part| Heard { part: Part(part.0 + 1), samples: 0 })
    }

    // ------------------------------------------------------------ from rung to rung

    /// The call has reached its cap: the agent says so, and the call goes on in a cheaper mode. It comes back to none that
    /// is not.
    pub(super) fn leave_dear_mode(&mut self, ctx: &mut Context<Self>) {
        let ladder = &self.setup.ladder;
        if ladder.cheapest(self.mode, &self.failed).is_none() {
            return self.farewell(EndReason::CostLimit, ctx);
        }
        tracing::info!(call_id = %self.setup.id, spent = ?self.spent, "call has reached its cost cap");
        self.step_down(ladder.not_cheaper(self.mode), cost::CAP_REACHED, ctx);
    }

    /// Where the call has to go when a budget of the month is used up. Nothing in the cheapest mode that is left: there it
    /// goes on. A call's own cap ends it at last, but a month's would leave everybody without an answer for its rest.
    pub(super) fn cheapest_if_used_up(&self) -> Option<(Mode, UsedUp)> {
        let used_up = self.setup.purse.used_up(|| self.setup.recording.clock.now())?;
        Some((self.setup.ladder.cheapest(self.mode, &self.failed)?, used_up))
    }

    /// There is nothing left to pay the modes in between with: one sentence, one step.
    pub(super) fn leave_for_cheapest(&mut self, mode: Mode, used_up: UsedUp, ctx: &mut Context<Self>) {
        let why = used_up.budget.name();
        tracing::warn!(call_id = %self.setup.id, why, ?used_up, "budget of the month is used up");
        self.step_down(self.setup.ladder.all_but(mode), why, ctx);
    }

    fn step_down(&mut self, mut dear: Vec<Mode>, why: &'static str, ctx: &mut Context<Self>) {
        dear.retain(|mode| !self.failed.contains(mode));
        self.failed.append(&mut dear);
        self.note(What::FarewellBegan { reason: why });
        let words = self.setup.agent.too_costly.clone();
        if words.is_empty() {
            self.after_last_words(Then::StepDown(why), ctx);
        } else {
            self.say_before(&words, Then::StepDown(why));
        }
    }

    /// This mode cannot go on. The fallback knows how the others fare.
    pub(super) fn ask_for_next_rung(&mut self, why: String, ctx: &mut Context<Self>) {
        if self.last_words.take_if(|words| matches!(words.then, Then::StepDown(_))).is_some() {
            self.spent.allow_again(); // this is the step, a little early
        }
        if !self.failed.contains(&self.mode) {
            self.failed.push(self.mode);
        }
        if let Some(engine) = self.engine.take() {
            engine.tell(EngineCommand::Finish);
            self.retired.push(engine);
        }
        self.retire_standby();
        self.close_last_part();
        self.turn(Turning::EngineReplaced);
        let (ladder, failed) = (self.setup.ladder.clone(), self.failed.clone());
        let question = NextRung { ladder: ladder.clone(), failed: failed.clone() };
        let asked = self.setup.fallback.send(question).timeout(FALLBACK_ANSWERS_MAX).into_actor(self);
        ctx.spawn(asked.map(move |answer, call, ctx| {
            let rung = answer.unwrap_or_else(|error| {
                tracing::error!(%error, "fallback does not answer; the ladder alone decides");
                ladder.next(&failed, &[])
            });
            call.step_to(rung, &why, ctx);
        }));
    }

    fn step_to(&mut self, rung: Rung, why: &str, ctx: &mut Context<Self>) {
        match self.phase {
            Phase::Ending => return,
            // A goodbye is not begun anew in another voice.
            Phase::Leaving => {
                let reason = match self.last_words.take() {
                    Some(LastWords { then: Then::End(reason), .. }) => reason,
                    _ => EndReason::HandedOver(rung),
                };
                return self.finish(reason, ctx);
            }
            Phase::Connecting | Phase::Talking => {}
        }
        tracing::warn!(call_id = %self.setup.id, from = %self.mode, to = %rung, why, "mode switched");
        self.note(What::ModeSwitched { from: self.mode, to: rung, why: why.into() });
        match rung {
            Rung::Mode(mode) if mode.is_media() => {
                self.flush_meter();
                self.mode = mode;
                self.replaced.remove(&Role::Engine); // its own failures count for it
                self.keep_live();
                self.succeed_engine(ctx);
            }
            Rung::Mode(_) | Rung::Human | Rung::Apology => self.hand_over(rung, ctx),
        }
    }

    /// Leaves the socket for a rung that needs none: the carrier asks what is next when it is closed.
    fn hand_over(&mut self, to: Rung, ctx: &mut Context<Self>) {
        self.due = None;
        if self.unsettled.has_speech() && self.ledger.last().is_none_or(|turn| turn.who == Speaker::Agent) {
            // Who goes on has no ears of his own for what was said: he asks for it once more.
            let at_ms = self.now_ms();
            self.ledger.caller_began(&format!("unheard-{at_ms}"), at_ms);
        }
        if self.is_sounding() {
            self.handing_over = Some(HandingOver { to, until: Instant::now() + HANDING_OVER_MAX });
        } else {
            self.finish(EndReason::HandedOver(to), ctx);
        }
    }

    // ------------------------------------------------------------ from session to session

    /// Opens a second session before the provider ends the first, and lets it take over in a pause.
    pub(super) fn renew(&mut self, ctx: &mut Context<Self>) {
        let (Some(session_max), Some(ready)) = (self.setup.engines.session_max(self.mode), self.engine_ready)
        else {
            return;
        };
        let age = ready.elapsed();
        let ahead = RENEW_AHEAD.min(session_max / 4);
        if age + ahead < session_max {
            return;
        }
        match &self.standby {
            None if self.renew_again_at.is_none_or(|at| Instant::now() >= at) => {
                self.standby =
                    self.spawn_standby(ctx).map(|(engine, place)| Standby { engine, place, ready_opt: None });
            }
            Some(Standby { ready_opt: Some(_), .. }) if self.is_pause() => self.take_over(Opening::Listen),
            Some(Standby { ready_opt: Some(_), .. }) if age + RENEW_AT_LAST >= session_max => {
                self.close_last_part();
                let replay = self.replay();
                self.take_over(opening(&self.ledger, replay.speech));
            }
            _ => {}
        }
    }

    /// Nobody speaks, nobody is about to, and everything said is understood.
    fn is_pause(&self) -> bool {
        !self.caller_speaking
            && !self.responding
            && !self.is_sounding()
            && self.due.is_none()
            && self.unsettled.is_settled()
    }

    fn take_over(&mut self, opening: Opening) {
        let Some(Standby { engine, place, ready_opt }) = self.standby.take() else { return };
        if opening == Opening::Listen {
            // The caller may have begun to speak, and the first session not have noticed yet.
            let frames = self.unsettled.last_silence(self.lanes.caller.books().taken);
            self.rewind_caller(frames);
        }
        self.activate(place);
        let (ledger, generation) = (self.ledger.clone(), self.generation);
        engine.tell(EngineCommand::TakeOver(Box::new(TakeOver { ledger, generation, opening })));
        if let Some(first) = self.engine.replace(engine) {
            first.tell(EngineCommand::Finish);
            self.retired.push(first);
        }
        self.engine_ready = ready_opt;
        self.bridges = 0;
        self.note(What::EngineRenewed);
    }

    pub(super) fn on_standby(&mut self, incarnation: u32, fact: &EngineFact) {
        let Some(standby) =
            self.standby.as_mut().filter(|standby| standby.engine.incarnation() == incarnation)
        else {
            return; // a late word of an engine that was relieved
        };
        match fact {
            EngineFact::Ready { .. } => standby.ready_opt = Some(Instant::now()),
            EngineFact::Failed(failure) => {
                tracing::warn!(call_id = %self.setup.id, detail = failure.detail, "second session failed; it is tried again");
                self.renew_again_at = Some(Instant::now() + RENEW_AGAIN_AFTER);
                self.retire_standby();
            }
            _ => {}
        }
    }

    pub(super) fn retire_standby(&mut self) {
        if let Some(standby) = self.standby.take() {
            standby.engine.tell(EngineCommand::Finish);
            self.retired.push(standby.engine);
        }
    }

    // ------------------------------------------------------------ from socket to socket

    /// The carrier's socket is gone, and nobody hung up: the engine is kept, and the caller's next socket awaited.
    pub(super) fn await_leg(&mut self, why: String) {
        tracing::warn!(call_id = %self.setup.id, why, "carrier's socket lost; the call is kept");
        self.note(What::LegLost { why: why.as_str().into() });
        self.meter_serves(false);
        self.agent_speaking = false;
        self.leg_awaited = Some(LegAwaited { until: Instant::now() + LEG_BACK_MAX, lost_opt: Some(why) });
    }

    /// What was sent over a socket that is gone and not heard is put back, for the next one.
    pub(super) fn put_back(&self, unheard_ms: u64) {
        let mut left = unheard_ms;
        self.lanes.agent.rewind(|item| {
            let wanted = left > 0;
            if let AgentAudio::Frame(_, frame) = item {
                left = left.saturating_sub(frame.len() as u64 / 8); // 8 samples a millisecond
            }
            wanted
        });
    }

    pub(super) fn receive_leg(&mut self, Arriving { stream_sid, socket }: Arriving, ctx: &mut Context<Self>) {
        self.agent_speaking = false;
        self.leg_awaited = None;
        let now = Instant::now();
        self.last_activity = now;
        if let Some(due) = &mut self.due {
            due.owed_by_another(now); // nobody was there to hear an answer
            due.sounded(now);
        }
        self.note(What::LegArrived);
        self.meter_serves(true);
        self.spawn_leg(stream_sid, socket, ctx);
    }
}
