//! The switchboard: which calls are live and where, and whether another one is admitted.
//!
//! - Owner: the program; one per process.
//! - In: [`Admit`], [`Opened`], [`CallEnded`], exit notices of calls, [`FindCall`], [`Census`], [`Drain`].
//! - Out: [`EndCall`] to live calls when draining; finished calls' reports to whoever subscribed.
//! - When full: it refuses further calls, in words.
//! - When it dies: live calls go on; the process is no longer ready.
//!
//! It refuses to know anything about audio, and never stands between a call and its frames. What became of a call that is
//! no longer live is in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::ThreadId;

use actix::{Actor, ActorFutureExt, Addr, Context, Handler, Message, ResponseActFuture, WrapFuture};
use tokio::sync::mpsc;

use crate::call::turns::{TurnCall, TurnSetup};
use crate::call::{CallActor, CallEnded, CallReport, CallSetup, CallerGone, EndCall};
use crate::kit::child;
use crate::kit::exit::{Cause, Exited};
use crate::ports::CallId;

pub struct Switchboard {
    calls_max: usize,
    /// By seat: a call that is handed over may have two for a moment.
    live: HashMap<Seat, Live>,
    seats_given: u64,
    /// Calls admitted but not yet opened.
    admitted: HashMap<Seat, Option<String>>,
    draining: bool,
    drained: Vec<tokio::sync::oneshot::Sender<()>>,
    reports: Option<mpsc::UnboundedSender<Arc<CallReport>>>,
    crashed: u64,
    audit_failures: u64,
}

struct Live {
    found: FoundCall,
    call_sid: Option<String>,
    reported: bool,
}

/// The place of one actor that serves a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seat(u64);

/// A live call, and the thread that it lives on: its sockets must come there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCall {
    pub id: CallId,
    pub call: LiveCall,
    pub thread: ThreadId,
}

/// Who serves a live call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveCall {
    /// In a media mode, over a socket.
    Media(Addr<CallActor>),
    /// In mode `traditional`, turn by turn.
    Turns(Addr<TurnCall>),
}

impl LiveCall {
    /// Ends the call politely. Once per call.
    pub fn end(&self) {
        match self {
            Self::Media(call) => call.do_send(EndCall),
            Self::Turns(call) => call.do_send(EndCall),
        }
    }

    /// The carrier says that the caller has hung up. Once per call.
    pub fn caller_gone(&self) {
        match self {
            Self::Media(call) => call.do_send(CallerGone),
            Self::Turns(call) => call.do_send(CallerGone),
        }
    }
}

/// Asks for a seat for one more call.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Admission, Refusal>")]
pub struct Admit {
    pub call_sid: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A seat is kept until [`Opened`].
    Seat(Seat),
    /// The carrier has asked before, and the call lives: it is still one.
    Live(FoundCall),
    /// The carrier has just asked, and the call is about to live.
    Opening,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("all {0} seats are taken")]
    Full(usize),
    #[error("the switch is shutting down")]
    Draining,
}

/// The admitted call lives.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Opened {
    pub seat: Seat,
    pub call_sid: Option<String>,
    pub found: FoundCall,
}

/// Where does this call live, if it does?
#[derive(Clone, Debug, Message)]
#[rtype(result = "Option<FoundCall>")]
pub enum FindCall {
    ById(CallId),
    /// By the carrier's id.
    BySid(String),
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
            seats_given: 0,
            admitted: HashMap::new(),
            draining: false,
            drained: Vec::new(),
            reports,
            crashed: 0,
            audit_failures: 0,
        }
    }

    /// The latest, when a call has two seats for a moment.
    fn find(&self, is_it: impl Fn(&Live) -> bool) -> Option<FoundCall> {
        let found = self.live.iter().filter(|(_, live)| !live.reported && is_it(live));
        found.max_by_key(|(seat, _)| **seat).map(|(_, live)| live.found.clone())
    }

    fn find_by_sid(&self, call_sid: &str) -> Option<FoundCall> {
        self.find(|live| live.call_sid.as_deref() == Some(call_sid))
    }

    /// Calls that talk. One that has had its last word takes nobody's seat.
    fn talking(&self) -> usize {
        self.live.values().filter(|live| !live.reported).count()
    }

    fn tell_when_drained(&mut self) {
        if self.draining && self.live.is_empty() {
            for waiting in self.drained.drain(..) {
                waiting.send(()).ok(); // whoever asked may have stopped waiting
            }
        }
    }
}

/// Starts an admitted call on this thread. Its carrier's socket is still to come.
pub fn open_call(setup: CallSetup, switchboard: &Addr<Switchboard>) -> Addr<CallActor> {
    let (id, seat, call_sid) = (setup.id, setup.seat, setup.call_sid.clone());
    let call = child::spawn(switchboard.clone().recipient(), seat, 0, |_| CallActor::new(setup)).release();
    opened(switchboard, seat, call_sid, id, LiveCall::Media(call.clone()));
    call
}

/// Starts an admitted call that goes turn by turn, on this thread.
pub fn open_turns(setup: TurnSetup, switchboard: &Addr<Switchboard>) -> Addr<TurnCall> {
    let (id, seat, call_sid) = (setup.conversation.id, setup.seat, setup.call_sid.clone());
    let call = child::spawn(switchboard.clone().recipient(), seat, 0, |_| TurnCall::new(setup)).release();
    opened(switchboard, seat, Some(call_sid), id, LiveCall::Turns(call.clone()));
    call
}

fn opened(switchboard: &Addr<Switchboard>, seat: Seat, call_sid: Option<String>, id: CallId, call: LiveCall) {
    let found = FoundCall { id, call, thread: std::thread::current().id() };
    switchboard.do_send(Opened { seat, call_sid, found }); // one per admitted call, which is bounded
}

impl Actor for Switchboard {
    type Context = Context<Self>;
}

impl Handler<Admit> for Switchboard {
    type Result = Result<Admission, Refusal>;

    fn handle(&mut self, Admit { call_sid }: Admit, _: &mut Self::Context) -> Self::Result {
        if let Some(sid) = call_sid.as_deref() {
            if let Some(found) = self.find_by_sid(sid) {
                return Ok(Admission::Live(found));
            }
            if self.admitted.values().any(|admitted| admitted.as_deref() == Some(sid)) {
                return Ok(Admission::Opening);
            }
        }
        if self.draining {
            return Err(Refusal::Draining);
        }
        if self.talking() + self.admitted.len() >= self.calls_max {
            return Err(Refusal::Full(self.calls_max));
        }
        self.seats_given += 1;
        let seat = Seat(self.seats_given);
        self.admitted.insert(seat, call_sid);
        Ok(Admission::Seat(seat))
    }
}

impl Handler<Opened> for Switchboard {
    type Result = ();

    fn handle(&mut self, Opened { seat, call_sid, found }: Opened, _: &mut Self::Context) {
        self.admitted.remove(&seat);
        if self.draining {
            found.call.end();
        }
        self.live.insert(seat, Live { found, call_sid, reported: false });
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
        if let Some(live) = self.live.get_mut(&report.seat) {
            live.reported = true;
        }
        if self.reports.as_ref().is_some_and(|reports| reports.send(report).is_err()) {
            self.reports = None;
        }
    }
}

impl Handler<Exited<Seat>> for Switchboard {
    type Result = ();

    fn handle(&mut self, exited: Exited<Seat>, _: &mut Self::Context) {
        let Some(live) = self.live.remove(&exited.role) else { return };
        if !live.reported {
            self.crashed += 1;
            if let Cause::Panicked(text) = &exited.cause {
                tracing::error!(call_id = %live.found.id, text, "call panicked");
            }
        }
        self.tell_when_drained();
    }
}

impl Handler<FindCall> for Switchboard {
    type Result = Option<FoundCall>;

    fn handle(&mut self, which: FindCall, _: &mut Self::Context) -> Self::Result {
        match which {
            FindCall::ById(id) => self.find(|live| live.found.id == id),
            FindCall::BySid(call_sid) => self.find_by_sid(&call_sid),
        }
    }
}

impl Handler<Census> for Switchboard {
    type Result = CensusTaken;

    fn handle(&mut self, _: Census, _: &mut Self::Context) -> CensusTaken {
        CensusTaken {
            live: self.talking(),
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
            live.found.call.end();
        }
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.drained.push(tx);
        self.tell_when_drained();
        Box::pin(async move { rx.await.ok() }.into_actor(self).map(|_, _, _| ()))
    }
}
