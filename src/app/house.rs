//! What answers at the HTTP desk: which call a webhook or a socket belongs to, and what comes next for it.
//!
//! It refuses to know how TwiML is written and how engines talk; it finds calls, begins them, and goes by their records.

use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use actix::Addr;
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use send_wrapper::SendWrapper;
use tandem_actors::agent::Agent;
use tandem_actors::budgets::{Purse, UsedUp};
use tandem_actors::call::cost::Spent;
use tandem_actors::call::turns::conversation::Repeated;
use tandem_actors::call::turns::{
    self, Answer, Conversation, Narrator, Question, TurnCall, TurnSettings, TurnSetup, Unanswered, Utterance,
};
use tandem_actors::call::{CallActor, CallSetup, LegArrived, Limits, StandDown};
use tandem_actors::engine::Engines;
use tandem_actors::fallback::Fallback;
use tandem_actors::fallback::ladder::{Ladder, Rung};
use tandem_actors::ledger::Ledger;
use tandem_actors::leg::twilio::{self, OpeningError};
use tandem_actors::mode::Mode;
use tandem_actors::ports::{CallId, CallStore, ChatModel, Clock, Ids, Outgoing, Socket};
use tandem_actors::record::{CallRecord, CallState};
use tandem_actors::router::{Choose, RouteQuery, Router};
use tandem_actors::switchboard::{
    self, Admission, Admit, Census, FindCall, FoundCall, LiveCall, Seat, Switchboard, open_call, open_turns,
};
use tandem_actors::usage::Recording;

use super::briefings::{Briefed, Briefings};
use super::purses::Purses;
use crate::http::{Asked, Desk, MediaRequest, Refusal, Reply, Ring, Standing, TurnDesk, Workers};
use crate::metrics::Metrics;
use crate::metrics::table::MODE_DECISIONS;
use crate::telemetry::mask_number;
use crate::tickets::{NotAdmitted, Tickets};

/// Switchboard and router answer in microseconds; this long they are not there any more.
const ANSWERS_MAX: Duration = Duration::from_secs(2);

/// How long a refused socket may take to close in order.
const REFUSAL_LINGER: Duration = Duration::from_secs(2);

/// A call that another request is opening is live within a turn of that thread's loop; asked for so often, it is not.
const OPENINGS_WAITED_FOR: u32 = 50;

const OPENING_TAKES: Duration = Duration::from_millis(2);

/// One per process, shared by all worker threads.
pub(super) struct House {
    pub(super) switchboard: Addr<Switchboard>,
    pub(super) router: Addr<Router>,
    pub(super) fallback: Addr<Fallback>,
    pub(super) store: Arc<dyn CallStore>,
    pub(super) engines: Arc<Engines>,
    pub(super) chat: Arc<dyn ChatModel>,
    pub(super) narrator_opt: Option<Arc<dyn Narrator>>,
    /// What agents are told.
    pub(super) briefings: Arc<Briefings>,
    pub(super) manner: Arc<TurnSettings>,
    /// Modes that calls can be served in.
    pub(super) modes: Vec<Mode>,
    /// What a call may fall through after the mode that was chosen for it.
    pub(super) ladder: Vec<Rung>,
    pub(super) goes_back_up: bool,
    pub(super) limits: Limits,
    pub(super) recording: Recording,
    pub(super) purses: Purses,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tickets: Tickets,
    pub(super) tickets_required: bool,
    pub(super) workers: Arc<Workers>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn Ids>,
}

/// A call about to begin, or to go on.
#[derive(Clone)]
struct Beginning {
    id: CallId,
    call_sid: Option<String>,
    from_opt: Option<String>,
    to_opt: Option<String>,
    started_at: jiff::Timestamp,
    routed: Mode,
    rule_opt: Option<String>,
    mode: Mode,
    failed: Vec<Mode>,
    ledger: Ledger,
    spent: Spent,
    purse: Purse,
    /// It begins in a cheaper mode than it was given: a budget is used up.
    wants_money: bool,
    turns_opt: Option<Box<Conversation>>,
}

/// What answers a turn.
enum Answering {
    Call(Addr<TurnCall>),
    Known(Answer),
}

/// What became of the wish for a seat.
enum Seated {
    New(Seat),
    Live(FoundCall),
}

impl House {
    async fn census(&self) -> Option<switchboard::CensusTaken> {
        self.switchboard.send(Census).timeout(ANSWERS_MAX).await.ok()
    }

    async fn find(&self, which: FindCall) -> Option<FoundCall> {
        self.switchboard.send(which).timeout(ANSWERS_MAX).await.ok().flatten()
    }

    // ------------------------------------------------------------ a call rings

    /// The call begins now: a media engine is dialled while the carrier still connects.
    async fn rings(
        &self,
        ring: Ring,
        mode_opt: Option<Mode>,
        token_opt: Option<String>,
    ) -> Result<Reply, Refusal> {
        if let Some(found) = self.find(FindCall::BySid(ring.call_sid.clone())).await {
            return self.go_on_with(found, ring, token_opt).await; // the carrier asks again
        }
        let beginning = self.route(ring.clone(), mode_opt).await;
        if beginning.mode.is_media() {
            return self.stream(beginning).await;
        }
        self.turn(ring, Question::Began, token_opt, Some(beginning)).await
    }

    /// Picks the mode of a new call: the path's, or the router's.
    async fn route(&self, ring: Ring, mode_opt: Option<Mode>) -> Beginning {
        let from = ring.from_opt.as_deref().map(mask_number);
        let query = RouteQuery {
            call_sid: ring.call_sid.clone(),
            agent: self.briefings.agent().name.clone(),
            from_opt: ring.from_opt.clone(),
            to_opt: ring.to_opt.clone(),
            at: self.clock.now(),
        };
        let (mode, reason, rule_opt) = match mode_opt {
            Some(mode) if self.modes.contains(&mode) => (mode, "path", None),
            Some(mode) => (self.instead_of(mode), "unconfigured", None),
            None => match self.router.send(Choose(query)).timeout(ANSWERS_MAX).await {
                Ok(routed) => (routed.mode, routed.reason.name(), routed.rule_opt),
                Err(error) => {
                    tracing::error!(%error, "router does not answer; the ladder's first mode serves the call");
                    (self.instead_of(Mode::Hybrid), "router_lost", None)
                }
            },
        };
        let purse = self.purses.fill(&self.briefings.agent().name, ring.from_opt.as_deref()).await;
        let used_up_opt = self.cheapest_if_used_up(mode, &purse);
        let (mode, reason, rule_opt) = match used_up_opt {
            // No rule is to be judged by a call that it did not send there.
            Some((cheapest, used_up)) => (cheapest, used_up.budget.name(), None),
            None => (mode, reason, rule_opt),
        };
        let id = self.ids.call_id();
        tracing::info!(call_id = %id, call_sid = ring.call_sid, from, %mode, reason, rule_opt, ?used_up_opt, "call received");
        self.metrics.counter(&MODE_DECISIONS, &[mode.name(), reason]).increment(1);
        Beginning {
            id,
            call_sid: Some(ring.call_sid),
            from_opt: ring.from_opt,
            to_opt: ring.to_opt,
            started_at: self.clock.now(),
            routed: mode,
            rule_opt,
            mode,
            failed: Vec::new(),
            ledger: Ledger::default(),
            spent: Spent::default(),
            purse,
            wants_money: used_up_opt.is_some(),
            turns_opt: None,
        }
    }

    /// Where a new call begins instead when a budget is used up, unless it begins in the cheapest mode anyhow.
    fn cheapest_if_used_up(&self, mode: Mode, purse: &Purse) -> Option<(Mode, UsedUp)> {
        let used_up = purse.used_up(|| self.clock.now())?;
        Some((self.ladder_of(mode).cheapest(mode, &[])?, used_up))
    }

    fn ladder_of(&self, mode: Mode) -> Ladder {
        Ladder::new(mode, &self.ladder, &self.modes)
    }

    /// The mode that serves a call when `mode` cannot.
    fn instead_of(&self, mode: Mode) -> Mode {
        match self.ladder_of(mode).next(&[mode], &[]) {
            Rung::Mode(other) => other,
            Rung::Human | Rung::Apology => Mode::Traditional, // whose own ladder goes on from there
        }
    }

    /// The carrier asks about a call that lives: it gets the answer that it had, but for a fresh ticket.
    async fn go_on_with(
        &self,
        found: FoundCall,
        ring: Ring,
        token_opt: Option<String>,
    ) -> Result<Reply, Refusal> {
        match found.call {
            LiveCall::Media(_) => Ok(self.admission(found.id, &ring.call_sid, found.thread)),
            LiveCall::Turns(_) => self.turn(ring, Question::Began, token_opt, None).await,
        }
    }

    // ------------------------------------------------------------ a stream is over

    /// What is known of the call says what comes next.
    async fn stream_over(&self, ring: Ring, token_opt: Option<String>) -> Result<Reply, Refusal> {
        let Some(record) = self.store.find(&ring.call_sid).await else {
            tracing::warn!(call_sid = ring.call_sid, "nothing is known of this call; it begins anew");
            return self.rings(ring, None, token_opt).await;
        };
        let mut beginning = self.again(record.clone());
        match record.state {
            CallState::Ended { for_good: true, .. } => return Ok(Reply::HangUp),
            // Whoever asks is still on the line, whatever we took for a hang-up.
            CallState::Ended { for_good: false, .. } => {}
            CallState::Live => {
                if let Some(found) = self.find(FindCall::BySid(ring.call_sid.clone())).await {
                    return self.go_on_with(found, ring, token_opt).await;
                }
                tracing::error!(call_id = %record.id, "call was lost with its actor; it goes on by its record");
            }
            CallState::HandedOver { to: Rung::Mode(mode) } => beginning.mode = mode,
            CallState::HandedOver { to: last @ (Rung::Human | Rung::Apology) } => return Ok(self.last(last)),
        }
        tracing::info!(call_id = %beginning.id, mode = %beginning.mode, "call goes on");
        if beginning.mode.is_media() {
            self.stream(beginning).await
        } else {
            self.turn(ring, Question::Began, token_opt, None).await
        }
    }

    /// What is left when no mode is.
    fn last(&self, rung: Rung) -> Reply {
        let number = self.manner.human_number_opt.clone().filter(|_| rung == Rung::Human);
        let answer = match number {
            Some(number) => Answer::Dial { say: Utterance::of(&self.manner.handing_over), number },
            None => Answer::HangUp { say: Utterance::of(&self.manner.sorry) },
        };
        Reply::Turn { answer, manner: Arc::clone(&self.manner) }
    }

    // ------------------------------------------------------------ media modes

    /// Has the call live on this thread, unless it lives already, and admits a socket to it.
    async fn stream(&self, beginning: Beginning) -> Result<Reply, Refusal> {
        let Some(call_sid) = beginning.call_sid.clone() else { return Err(Refusal::Broken) };
        let agent = self.brief(&beginning).await;
        match self.seat(&call_sid).await? {
            Seated::New(seat) => {
                let id = beginning.id;
                open_call(self.call_setup(beginning, agent, seat), &self.switchboard);
                Ok(self.admission(id, &call_sid, std::thread::current().id()))
            }
            Seated::Live(found) => Ok(self.admission(found.id, &call_sid, found.thread)),
        }
    }

    /// The agent of a call, which knows who calls. To be asked for before the seat: others wait for a call that is opening.
    async fn brief(&self, beginning: &Beginning) -> Arc<Agent> {
        let Beginning { id, from_opt, routed, .. } = beginning;
        self.briefings.brief(Briefed { call: *id, from_opt: from_opt.as_deref(), mode: *routed }).await
    }

    async fn seat(&self, call_sid: &str) -> Result<Seated, Refusal> {
        for _ in 0..OPENINGS_WAITED_FOR {
            let admit = Admit { call_sid: Some(call_sid.to_owned()) };
            let asked = self.switchboard.send(admit).timeout(ANSWERS_MAX).await;
            match asked.map_err(|_| Refusal::Broken)? {
                Ok(Admission::Seat(seat)) => return Ok(Seated::New(seat)),
                Ok(Admission::Live(found)) => return Ok(Seated::Live(found)),
                Ok(Admission::Opening) => tokio::time::sleep(OPENING_TAKES).await,
                Err(switchboard::Refusal::Full(_)) => return Err(Refusal::Full),
                Err(switchboard::Refusal::Draining) => return Err(Refusal::Draining),
            }
        }
        Err(Refusal::Broken)
    }

    /// A ticket, and the way to the thread that the call lives on.
    fn admission(&self, call: CallId, call_sid: &str, thread: ThreadId) -> Reply {
        let nonce = self.ids.call_id().0.as_u128();
        let ticket = self.tickets.seal(call, call_sid, nonce, self.now_unix_s());
        Reply::Stream { ticket, worker_opt: self.workers.segment(thread) }
    }

    fn now_unix_s(&self) -> u64 {
        self.clock.now().as_second().unsigned_abs()
    }

    fn call_setup(&self, beginning: Beginning, agent: Arc<Agent>, seat: Seat) -> CallSetup {
        let agent = if beginning.wants_money { Arc::new(agent.for_want_of_money()) } else { agent };
        CallSetup {
            id: beginning.id,
            seat,
            call_sid: beginning.call_sid,
            from_opt: beginning.from_opt,
            to_opt: beginning.to_opt,
            agent,
            limits: self.limits,
            routed: beginning.routed,
            rule_opt: beginning.rule_opt,
            mode: beginning.mode,
            ladder: self.ladder_of(beginning.mode),
            failed: beginning.failed,
            ledger: beginning.ledger,
            spent: beginning.spent,
            purse: beginning.purse,
            recording: self.recording.clone(),
            engines: Arc::clone(&self.engines),
            fallback: self.fallback.clone(),
            store: Arc::clone(&self.store),
            switchboard: self.switchboard.clone().recipient(),
            started_at: beginning.started_at,
        }
    }

    // ------------------------------------------------------------ mode traditional

    async fn turn(
        &self,
        ring: Ring,
        question: Question,
        token_opt: Option<String>,
        beginning_opt: Option<Beginning>,
    ) -> Result<Reply, Refusal> {
        let answer = self.ask_turns(ring, question, token_opt, beginning_opt).await?;
        Ok(Reply::Turn { answer, manner: Arc::clone(&self.manner) })
    }

    /// Asks the call, wherever it lives; one that is not here is begun as we are told, or gone on with from its record.
    async fn ask_turns(
        &self,
        ring: Ring,
        question: Question,
        token_opt: Option<String>,
        mut beginning_opt: Option<Beginning>,
    ) -> Result<Answer, Refusal> {
        for _ in 0..2 {
            let beginning_opt = beginning_opt.take();
            let call = match self.turn_call(&ring, &question, token_opt.as_deref(), beginning_opt).await? {
                Answering::Call(call) => call,
                Answering::Known(answer) => return Ok(answer),
            };
            match turns::ask(&call, question.clone(), token_opt.clone()).await {
                Ok(answer) => return Ok(answer),
                // The caller hung up while the call thought: a successor would wait for him in vain.
                Err(Unanswered) if self.is_over(&ring.call_sid).await => {
                    return Ok(Answer::HangUp { say: Utterance::default() });
                }
                Err(error) => tracing::warn!(call_sid = ring.call_sid, %error, "turn is asked again"),
            }
        }
        Err(Refusal::Broken)
    }

    async fn is_over(&self, call_sid: &str) -> bool {
        let record = self.store.find(call_sid).await;
        matches!(record, Some(CallRecord { state: CallState::Ended { .. }, .. }))
    }

    /// The call that answers turns; when it is over, the answer.
    async fn turn_call(
        &self,
        ring: &Ring,
        question: &Question,
        token_opt: Option<&str>,
        beginning_opt: Option<Beginning>,
    ) -> Result<Answering, Refusal> {
        let found = self.find(FindCall::BySid(ring.call_sid.clone())).await;
        if let Some(FoundCall { call: LiveCall::Turns(call), .. }) = found {
            return Ok(Answering::Call(call));
        }
        let beginning = match beginning_opt {
            Some(beginning) => beginning,
            None => match self.gone_on_with(ring, question, token_opt).await {
                Ok(beginning) => beginning,
                Err(answer) => return Ok(Answering::Known(answer)),
            },
        };
        let agent = self.brief(&beginning).await;
        match self.seat(&ring.call_sid).await? {
            Seated::New(seat) => {
                let setup = self.turn_setup(beginning, agent, ring, seat);
                Ok(Answering::Call(open_turns(setup, &self.switchboard)))
            }
            Seated::Live(FoundCall { call: LiveCall::Turns(call), .. }) => Ok(Answering::Call(call)),
            // The carrier asks for a turn of a call that we think is on a stream: the carrier knows better.
            Seated::Live(FoundCall { call: LiveCall::Media(call), .. }) => {
                call.do_send(StandDown);
                let seat = self.second_seat().await.map_err(|_| Refusal::Broken)?;
                let setup = self.turn_setup(beginning, agent, ring, seat);
                Ok(Answering::Call(open_turns(setup, &self.switchboard)))
            }
        }
    }

    /// How a call that is not here goes on, by its record; or what it is to be told instead.
    async fn gone_on_with(
        &self,
        ring: &Ring,
        question: &Question,
        token_opt: Option<&str>,
    ) -> Result<Beginning, Answer> {
        let Some(record) = self.store.find(&ring.call_sid).await else {
            return Ok(self.route(ring.clone(), Some(Mode::Traditional)).await);
        };
        if let Some(answer) = self.answered_before(&record, question, token_opt) {
            return Err(answer);
        }
        match record.state {
            CallState::Ended { for_good: true, .. } => Err(Answer::HangUp { say: Utterance::default() }),
            _ => Ok(self.again(record)),
        }
    }

    /// A repeat may come when its call has had its last word: then nobody is begun anew for it.
    fn answered_before(
        &self,
        record: &CallRecord,
        question: &Question,
        token_opt: Option<&str>,
    ) -> Option<Answer> {
        let age = self.clock.now().duration_since(record.started_at);
        let at_ms = u64::try_from(age.as_millis()).unwrap_or_default();
        match record.turns_opt.as_ref()?.repeated(question, token_opt, at_ms)? {
            Repeated::Answered(answer) => Some(answer),
            Repeated::Pending => None,
        }
    }

    fn turn_setup(&self, beginning: Beginning, agent: Arc<Agent>, ring: &Ring, seat: Seat) -> TurnSetup {
        let Beginning { id, started_at, ledger, turns_opt, .. } = beginning;
        let settings = if beginning.wants_money {
            Arc::new(self.manner.for_want_of_money())
        } else {
            Arc::clone(&self.manner)
        };
        let conversation =
            turns_opt.map_or_else(|| Conversation::from_ledger(id, started_at, ledger), |turns| *turns);
        TurnSetup {
            seat,
            call_sid: ring.call_sid.clone(),
            from_opt: beginning.from_opt,
            to_opt: beginning.to_opt,
            routed: beginning.routed,
            rule_opt: beginning.rule_opt,
            conversation,
            now: self.clock.now(),
            call_max: self.limits.call_max,
            cost_max_opt: self.limits.cost_max_opt,
            spent: beginning.spent,
            purse: beginning.purse,
            recording: self.recording.clone(),
            agent,
            settings,
            model: Arc::clone(&self.chat),
            narrator_opt: self.narrator_opt.clone(),
            ladder: self.ladder_of(Mode::Traditional),
            failed: beginning.failed,
            goes_back_up: self.goes_back_up,
            fallback: self.fallback.clone(),
            store: Arc::clone(&self.store),
            switchboard: self.switchboard.clone().recipient(),
        }
    }

    // ------------------------------------------------------------ what comes of a socket

    /// From an accepted socket to its call: the stream says which call it is, and the ticket proves it.
    async fn take(&self, mut socket: Socket, request: &MediaRequest) {
        match self.admit(&mut socket).await {
            Ok((call, stream_sid)) => {
                tracing::info!(stream_sid, "stream started");
                // One per socket, which are bounded.
                call.do_send(LegArrived { stream_sid, socket: SendWrapper::new(socket) });
            }
            Err(why) => {
                tracing::warn!(path = request.path, %why, "media socket refused");
                // 1008: policy violated (RFC 6455, section 7.4.1). A carrier then goes on with its document.
                let closing = Outgoing::Close { code: 1008, reason: "stream refused" };
                if socket.sink.send(closing).await.is_ok() {
                    let rest = async { while socket.reader.next().await.is_some() {} };
                    tokio::time::timeout(REFUSAL_LINGER, rest).await.ok(); // then it is dropped
                }
            }
        }
    }

    async fn admit(&self, socket: &mut Socket) -> Result<(Addr<CallActor>, String), NotTaken> {
        let start = twilio::open(socket).await?;
        let ticket = start.custom_parameters.get("ticket").map(String::as_str);
        let known = match self.tickets.open(ticket, start.call_sid.as_deref(), self.now_unix_s()) {
            Ok(id) => self.find(FindCall::ById(id)).await,
            Err(NotAdmitted::Missing) if !self.tickets_required => match &start.call_sid {
                Some(call_sid) => self.find(FindCall::BySid(call_sid.clone())).await,
                None => None,
            },
            Err(why) => return Err(why.into()),
        };
        let call = match known {
            Some(FoundCall { call: LiveCall::Media(call), thread, .. })
                if thread == std::thread::current().id() =>
            {
                call
            }
            // The carrier, or a proxy, has changed the socket's address: the call moves to where its socket is.
            Some(FoundCall { call: LiveCall::Media(call), id, .. }) => {
                tracing::warn!(call_id = %id, "socket came to another thread than its call lives on");
                call.do_send(StandDown);
                self.begin_here(start.call_sid).await?
            }
            Some(FoundCall { call: LiveCall::Turns(_), .. }) => return Err(NotTaken::Elsewhere),
            // It took the carrier too long, or it never rang.
            None => self.begin_here(start.call_sid).await?,
        };
        Ok((call, start.stream_sid))
    }

    /// A call on this thread, for a socket that is here already.
    async fn begin_here(&self, call_sid: Option<String>) -> Result<Addr<CallActor>, NotTaken> {
        let record = match &call_sid {
            Some(call_sid) => self.store.find(call_sid).await,
            None => None,
        };
        let mut beginning = match record {
            Some(CallRecord {
                state: CallState::HandedOver { .. } | CallState::Ended { for_good: true, .. },
                ..
            }) => return Err(NotTaken::Elsewhere),
            Some(record) => self.again(record),
            None => self.unannounced(call_sid),
        };
        if !beginning.mode.is_media() {
            beginning.mode = self.engines.modes().first().copied().ok_or(NotTaken::Elsewhere)?;
        }
        let agent = self.brief(&beginning).await;
        let seat = self.second_seat().await?;
        Ok(open_call(self.call_setup(beginning, agent, seat), &self.switchboard))
    }

    /// A call that goes on by its record.
    fn again(&self, record: CallRecord) -> Beginning {
        Beginning {
            purse: self.purses.open(&record.agent, record.from_opt.as_deref()),
            id: record.id,
            call_sid: Some(record.call_sid),
            from_opt: record.from_opt,
            to_opt: record.to_opt,
            started_at: record.started_at,
            routed: record.routed,
            rule_opt: record.rule_opt,
            mode: record.mode,
            failed: record.failed,
            ledger: record.ledger,
            spent: record.spent,
            wants_money: false,
            turns_opt: record.turns_opt,
        }
    }

    /// A call whose webhook was not ours.
    fn unannounced(&self, call_sid: Option<String>) -> Beginning {
        let mode = self.engines.modes().first().copied().unwrap_or(Mode::Realtime);
        Beginning {
            id: self.ids.call_id(),
            call_sid,
            from_opt: None,
            to_opt: None,
            started_at: self.clock.now(),
            routed: mode,
            rule_opt: None,
            mode,
            failed: Vec::new(),
            ledger: Ledger::default(),
            spent: Spent::default(),
            purse: self.purses.open(&self.briefings.agent().name, None),
            wants_money: false,
            turns_opt: None,
        }
    }

    /// A seat for a call that may have another for a moment.
    async fn second_seat(&self) -> Result<Seat, NotTaken> {
        let admission = self.switchboard.send(Admit { call_sid: None }).timeout(ANSWERS_MAX).await;
        match admission.map_err(|_| NotTaken::Broken)?? {
            Admission::Seat(seat) => Ok(seat),
            Admission::Live(_) | Admission::Opening => Err(NotTaken::Broken),
        }
    }
}

/// Why a media socket did not become a call's.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Opening(#[from] OpeningError),
    #[error(transparent)]
    Ticket(#[from] NotAdmitted),
    #[error(transparent)]
    Refused(#[from] switchboard::Refusal),
    #[error("the call goes on without a stream, or is over")]
    Elsewhere,
    #[error("switchboard does not answer")]
    Broken,
}

impl Desk for House {
    fn answer(
        &self,
        ring: Ring,
        asked: Asked,
        token_opt: Option<String>,
    ) -> LocalBoxFuture<'_, Result<Reply, Refusal>> {
        match asked {
            Asked::Rings { mode_opt } => self.rings(ring, mode_opt, token_opt).boxed_local(),
            Asked::StreamOver => self.stream_over(ring, token_opt).boxed_local(),
        }
    }

    fn over(&self, call_sid: String) -> LocalBoxFuture<'_, ()> {
        async move {
            self.store.over(&call_sid);
            if let Some(found) = self.find(FindCall::BySid(call_sid)).await {
                found.call.caller_gone();
            }
        }
        .boxed_local()
    }

    fn standing(&self) -> LocalBoxFuture<'_, Standing> {
        async move {
            let Some(census) = self.census().await else {
                return Standing { calls_active: 0, unready: vec!["switchboard does not answer".to_owned()] };
            };
            let mut unready = Vec::new();
            if census.draining {
                unready.push(switchboard::Refusal::Draining.to_string());
            } else if census.live >= census.calls_max {
                unready.push(switchboard::Refusal::Full(census.calls_max).to_string());
            }
            Standing { calls_active: census.live, unready }
        }
        .boxed_local()
    }

    fn take_media_socket(&self, socket: Socket, request: MediaRequest) -> LocalBoxFuture<'_, ()> {
        async move { self.take(socket, &request).await }.boxed_local()
    }
}

impl TurnDesk for House {
    fn settings(&self, _: &Ring) -> Arc<TurnSettings> {
        Arc::clone(&self.manner)
    }

    fn ask(
        &self,
        ring: Ring,
        question: Question,
        token_opt: Option<String>,
    ) -> LocalBoxFuture<'_, Result<Answer, Unanswered>> {
        async move {
            match self.ask_turns(ring, question, token_opt, None).await {
                Ok(answer) => Ok(answer),
                Err(Refusal::Broken) => Err(Unanswered),
                // Who has been talking is told.
                Err(Refusal::Full | Refusal::Draining) => {
                    Ok(Answer::HangUp { say: Utterance::of(&self.manner.sorry) })
                }
            }
        }
        .boxed_local()
    }
}
