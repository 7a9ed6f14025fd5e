//! The switchboard: which calls are live, whether another one is admitted, and what became of those that ended.
//!
//! - Owner: the program; one per process.
//! - In: [`Admit`], [`Opened`], [`CallEnded`], exit notices of calls, [`WhatBecameOf`], [`Census`], [`Drain`].
//! - Out: [`EndCall`] to live calls when draining; finished calls' reports to whoever subscribed.
//! - When full: it refuses further calls, in words.
//! - When it dies: live calls go on; the process is no longer ready.
//!
//! It refuses to know anything about audio, and never stands between a call and its frames.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, Addr, Context, Handler, Message, ResponseActFuture, WrapFuture};
use tokio::sync::mpsc;

use crate::call::decide::EndReason;
use crate::call::{CallActor, CallEnded, CallEnding, CallReport, CallSetup, EndCall};
use crate::kit::child;
use crate::kit::exit::{Cause, Exited};
use crate::ports::{CallId, Socket};

/// Outcomes kept for carriers that ask what became of a call. They ask at once; 4,096 calls are minutes at any rate
/// a node can bear, and under 1 MB.
const OUTCOMES_MAX: usize = 4_096;

pub struct Switchboard {
    calls_max: usize,
    live: HashMap<CallId, Live>,
    /// Calls admitted but not yet opened.
    admitted: usize,
    outcomes: VecDeque<(Option<String>, Outcome)>,
    draining: bool,
    drained: Vec<tokio::sync::oneshot::Sender<()>>,
    reports: Option<mpsc::UnboundedSender<Arc<CallReport>>>,
    crashed: u64,
    audit_failures: u64,
}

struct Live {
    call: Addr<CallActor>,
    call_sid: Option<String>,
    /// Why it ends, once that is decided.
    ending: Option<EndReason>,
    reported: bool,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Live,
    Ended(EndReason),
    /// The call itself panicked.
    Crashed,
}

/// Asks for a seat for one more call.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Admit {
    pub call_sid: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A webhook that was repeated yields two tickets; the call is still one.
    #[error("the call has a stream already")]
    AlreadyLive,
    #[error("all {0} seats are taken")]
    Full(usize),
    #[error("the switch is shutting down")]
    Draining,
}

/// The admitted call lives.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Opened {
    pub id: CallId,
    pub call_sid: Option<String>,
    pub call: Addr<CallActor>,
}

/// What became of the call that the carrier names so? Nothing when it was never heard of.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Option<Outcome>")]
pub struct WhatBecameOf {
    pub call_sid: String,
}

#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "CensusTaken")]
pub struct Census;

#[derive(Clone, Copy, Debug, PartialEq, Eq, actix::MessageResponse)]
pub struct CensusTaken {
    pub live: usize,
    pub calls_max: usize,
    pub draining: bool,
    pub crashed: u64,
    pub audit_failures: u64,
}

/// Admits no more calls, ends those that live, and answers when the last is gone.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

impl Switchboard {
    /// `reports` gets every finished call's report; a subscriber that has gone is forgotten.
    pub fn new(calls_max: usize, reports: Option<mpsc::UnboundedSender<Arc<CallReport>>>) -> Self {
        Self {
            calls_max,
            live: HashMap::new(),
            admitted: 0,
            outcomes: VecDeque::new(),
            draining: false,
            drained: Vec::new(),
            reports,
            crashed: 0,
            audit_failures: 0,
        }
    }

    fn remember(&mut self, call_sid: Option<String>, outcome: Outcome) {
        if self.outcomes.len() == OUTCOMES_MAX {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((call_sid, outcome));
    }

    fn tell_when_drained(&mut self) {
        if self.draining && self.live.is_empty() {
            for waiting in self.drained.drain(..) {
                waiting.send(()).ok(); // whoever asked may have stopped waiting
            }
        }
    }
}

/// Starts an admitted call on this thread, with the socket that its leg will own.
pub fn open_call(setup: CallSetup, socket: Socket, switchboard: &Addr<Switchboard>) -> Addr<CallActor> {
    let (id, call_sid) = (setup.id, setup.call_sid.clone());
    let call =
        child::spawn(switchboard.clone().recipient(), id, 0, |_| CallActor::new(setup, socket)).release();
    switchboard.do_send(Opened { id, call_sid, call: call.clone() }); // one per admitted call, which is bounded
    call
}

impl Actor for Switchboard {
    type Context = Context<Self>;
}

impl Handler<Admit> for Switchboard {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, Admit { call_sid }: Admit, _: &mut Self::Context) -> Self::Result {
        if self.draining {
            return Err(Refusal::Draining);
        }
        if call_sid.is_some() && self.live.values().any(|live| live.call_sid == call_sid && !live.reported) {
            return Err(Refusal::AlreadyLive);
        }
        if self.live.len() + self.admitted >= self.calls_max {
            return Err(Refusal::Full(self.calls_max));
        }
        self.admitted += 1;
        Ok(())
    }
}

impl Handler<Opened> for Switchboard {
    type Result = ();

    fn handle(&mut self, Opened { id, call_sid, call }: Opened, _: &mut Self::Context) {
        self.admitted = self.admitted.saturating_sub(1);
        if self.draining {
            call.do_send(EndCall);
        }
        self.live.insert(id, Live { call, call_sid, ending: None, reported: false });
    }
}

impl Handler<CallEnding> for Switchboard {
    type Result = ();

    fn handle(&mut self, CallEnding { id, end }: CallEnding, _: &mut Self::Context) {
        if let Some(live) = self.live.get_mut(&id) {
            live.ending = Some(end);
        }
    }
}

impl Handler<CallEnded> for Switchboard {
    type Result = ();

    fn handle(&mut self, CallEnded(report): CallEnded, _: &mut Self::Context) {
        tracing::info!(
            call_id = %report.id,
            seconds = report.length.as_secs(),
            reason = report.end.name(),
            turns = report.ledger.turns().len(),
            "call ended"
        );
        self.audit_failures += report.discrepancies.len() as u64;
        if let Some(live) = self.live.get_mut(&report.id) {
            live.reported = true;
        }
        self.remember(report.call_sid.clone(), Outcome::Ended(report.end.clone()));
        if self.reports.as_ref().is_some_and(|reports| reports.send(report).is_err()) {
            self.reports = None;
        }
    }
}

impl Handler<Exited<CallId>> for Switchboard {
    type Result = ();

    fn handle(&mut self, exited: Exited<CallId>, _: &mut Self::Context) {
        let Some(live) = self.live.remove(&exited.role) else { return };
        if !live.reported {
            self.crashed += 1;
            if let Cause::Panicked(text) = &exited.cause {
                tracing::error!(call_id = %exited.role, text, "call panicked");
            }
            self.remember(live.call_sid, Outcome::Crashed);
        }
        self.tell_when_drained();
    }
}

impl Handler<WhatBecameOf> for Switchboard {
    type Result = Option<Outcome>;

    fn handle(&mut self, WhatBecameOf { call_sid }: WhatBecameOf, _: &mut Self::Context) -> Self::Result {
        let is_it = |sid: &Option<String>| sid.as_deref() == Some(call_sid.as_str());
        if let Some(live) = self.live.values().find(|live| is_it(&live.call_sid) && !live.reported) {
            return Some(live.ending.clone().map_or(Outcome::Live, Outcome::Ended));
        }
        self.outcomes.iter().rev().find(|(sid, _)| is_it(sid)).map(|(_, outcome)| outcome.clone())
    }
}

impl Handler<Census> for Switchboard {
    type Result = CensusTaken;

    fn handle(&mut self, _: Census, _: &mut Self::Context) -> CensusTaken {
        CensusTaken {
            live: self.live.len(),
            calls_max: self.calls_max,
            draining: self.draining,
            crashed: self.crashed,
            audit_failures: self.audit_failures,
        }
    }
}

impl Handler<Drain> for Switchboard {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.draining = true;
        for live in self.live.values() {
            live.call.do_send(EndCall);
        }
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.drained.push(tx);
        self.tell_when_drained();
        Box::pin(async move { rx.await.ok() }.into_actor(self).map(|_, _, _| ()))
    }
}
