//! A universe: one switchboard, any number of calls, virtual time. It refuses to end while anything is amiss.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Addr};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use send_wrapper::SendWrapper;
use tandem_wire::openai::Dialect;
use tokio::sync::mpsc;

use super::peers::{CarrierPeer, Peer, ProviderPeer, socket_pair};
use super::prices::{NoPrices, always};
use super::recording::{MemorySpool, VirtualClock};
use super::store::MemoryCallStore;
use crate::agent::{Agent, TurnDetection, TurnDetectionKind};
use crate::budgets::Purse;
use crate::call::cost::Spent;
use crate::call::{CallActor, CallReport, CallSetup, LegArrived, Limits};
use crate::engine::cascade::CascadeModels;
use crate::engine::{AudioChoice, Engines, RealtimeLine};
use crate::fallback::ladder::Ladder;
use crate::fallback::{Fallback, Prober};
use crate::ledger::Ledger;
use crate::mode::Mode;
use crate::ports::{CallId, CallStore, Clock, DialError, EngineDialer, PriceLists, Socket};
use crate::record::CallRecord;
use crate::switchboard::{Admission, Admit, Census, CensusTaken, Switchboard, open_call};

pub struct Universe {
    pub switchboard: Addr<Switchboard>,
    pub fallback: Addr<Fallback>,
    pub store: Arc<MemoryCallStore>,
    pub spool: Arc<MemorySpool>,
    pub clock: Arc<VirtualClock>,
    reports: mpsc::UnboundedReceiver<Arc<CallReport>>,
    dialer: Arc<MemoryDialer>,
    dialled: mpsc::UnboundedReceiver<Peer>,
    calls: u128,
    streams: u128,
}

/// What may differ between calls.
#[derive(Clone)]
pub struct CallOptions {
    pub agent: Agent,
    pub audio: AudioChoice,
    pub limits: Limits,
    /// The provider ends a session after this.
    pub session_max: Duration,
    /// The models of mode `cascade`, if it is configured.
    pub cascade: Option<CascadeModels>,
    /// Whether a human can be reached, as the ladder's last rung but one.
    pub human: bool,
    /// Modes that the call may go to beside those of its engines.
    pub others: Vec<Mode>,
    pub prices: Arc<dyn PriceLists>,
    pub purse: Purse,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            agent: test_agent(),
            audio: AudioChoice::Pcmu,
            limits: Limits {
                call_max: Duration::from_hours(1),
                caller_idle_max: Duration::from_mins(10),
                engine_ready_max: Duration::from_secs(8),
                silence_max: Duration::from_secs(4),
                cost_max_opt: None,
            },
            session_max: Duration::from_hours(1),
            cascade: None,
            human: false,
            others: vec![Mode::Traditional],
            prices: always(NoPrices),
            purse: Purse::default(),
        }
    }
}

/// An agent that greets, detects turns at the server, and leaves interruptions to it.
pub fn test_agent() -> Agent {
    Agent {
        name: "night desk".to_owned(),
        instructions: "You are the night desk.".to_owned(),
        greeting: "Good evening.".to_owned(),
        voice: "marin".to_owned(),
        language: "en".to_owned(),
        model: "gpt-realtime-2.1".to_owned(),
        transcription_model: "gpt-transcribe".to_owned(),
        turn_detection: TurnDetection {
            kind: TurnDetectionKind::ServerVad {
                threshold: 0.5,
                prefix_padding: Duration::from_millis(300),
                silence: Duration::from_millis(500),
                idle_timeout: None,
            },
            interrupt_response: true,
        },
        noise_reduction: None,
        reasoning_effort: None,
        output_tokens_max: None,
        farewell: "Goodbye.".to_owned(),
        too_costly: "I go on in a simpler way now.".to_owned(),
    }
}

impl Universe {
    /// A universe with a paused clock. Must be made inside an actix runtime.
    pub fn new() -> Self {
        tokio::time::pause();
        let (report, reports) = mpsc::unbounded_channel();
        let (dialled_tx, dialled) = mpsc::unbounded_channel();
        Self {
            switchboard: Switchboard::new(10_000, Some(report)).start(),
            fallback: Fallback::new(Arc::new(NoProbes), None).start(),
            store: Arc::default(),
            spool: Arc::default(),
            clock: Arc::default(),
            reports,
            dialer: Arc::new(MemoryDialer { dialled: dialled_tx, plan: Mutex::default() }),
            dialled,
            calls: 0,
            streams: 0,
        }
    }

    /// A call whose stream has just started.
    pub async fn call(&mut self, options: CallOptions) -> (CarrierPeer, Addr<CallActor>) {
        let call = self.ring(options).await;
        (self.stream(&call), call)
    }

    /// A call that was answered, and whose carrier has not opened its stream.
    pub async fn ring(&mut self, options: CallOptions) -> Addr<CallActor> {
        self.calls += 1;
        let call_sid = format!("CA{:032}", self.calls);
        let admit = Admit { call_sid: Some(call_sid.clone()) };
        let admitted = self.switchboard.send(admit).await.expect("the switchboard lives");
        let Ok(Admission::Seat(seat)) = admitted else { panic!("{admitted:?}") };
        let engines = Engines {
            realtime: Some(RealtimeLine {
                provider: "openai".to_owned(),
                dialer: Arc::clone(&self.dialer) as Arc<dyn EngineDialer>,
                dialect: Dialect::Ga,
                audio: options.audio,
                session_max: options.session_max,
            }),
            cascade: options.cascade,
        };
        let order = Ladder::usual_order(options.human);
        let mut configured = engines.modes();
        configured.extend(options.others);
        let setup = CallSetup {
            id: CallId(uuid::Uuid::from_u128(self.calls)),
            seat,
            call_sid: Some(call_sid),
            from_opt: None,
            to_opt: None,
            agent: Arc::new(options.agent),
            limits: options.limits,
            routed: Mode::Realtime,
            rule_opt: None,
            mode: Mode::Realtime,
            ladder: Ladder::new(Mode::Realtime, &order, &configured),
            failed: Vec::new(),
            ledger: Ledger::default(),
            spent: Spent::default(),
            purse: options.purse,
            recording: self.spool.recording(options.prices, Arc::clone(&self.clock) as Arc<dyn Clock>),
            engines: Arc::new(engines),
            fallback: self.fallback.clone(),
            store: Arc::clone(&self.store) as Arc<dyn CallStore>,
            switchboard: self.switchboard.clone().recipient(),
            started_at: self.clock.now(),
        };
        open_call(setup, &self.switchboard)
    }

    /// The carrier opens a stream for the call: its first, or another.
    pub fn stream(&mut self, call: &Addr<CallActor>) -> CarrierPeer {
        self.streams += 1;
        let stream_sid = format!("MZ{:032}", self.streams);
        let (socket, peer) = socket_pair();
        call.do_send(LegArrived { stream_sid: stream_sid.clone(), socket: SendWrapper::new(socket) });
        CarrierPeer::new(peer, stream_sid)
    }

    /// What is kept of the call that began as the `n`-th.
    pub fn record(&self, n: u128) -> CallRecord {
        self.store.get(&format!("CA{n:032}")).expect("the call has a record")
    }

    /// The next attempts to dial a provider end like this; after them, attempts succeed at once.
    pub fn plan_dials(&self, plan: impl IntoIterator<Item = Dial>) {
        self.dialer.plan.lock().expect("no test panics while planning").extend(plan);
    }

    /// The provider's end of the next session that was dialled.
    pub async fn provider(&mut self) -> ProviderPeer {
        let dialled = tokio::time::timeout(Duration::from_mins(1), self.dialled.recv()).await;
        ProviderPeer { peer: dialled.expect("an engine dials").expect("the dialer lives") }
    }

    /// The provider's end of a session that was dialled and that no test has looked at, if there is one.
    pub fn dialled(&mut self) -> Option<ProviderPeer> {
        self.dialled.try_recv().ok().map(|peer| ProviderPeer { peer })
    }

    /// Whether any engine has dialled that no test has looked at.
    pub fn dialled_unseen(&mut self) -> bool {
        self.dialled.try_recv().is_ok()
    }

    /// Lets virtual time pass, and everything happen that is due.
    pub async fn advance(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// The report of the next call to end.
    pub async fn report(&mut self) -> Arc<CallReport> {
        let report = tokio::time::timeout(Duration::from_mins(1), self.reports.recv()).await;
        report.expect("the call ends within a minute").expect("the switchboard lives")
    }

    pub async fn census(&self) -> CensusTaken {
        self.advance(Duration::from_millis(1)).await;
        self.switchboard.send(Census).await.expect("the switchboard lives")
    }
}

impl Drop for Universe {
    fn drop(&mut self) {
        tokio::time::resume(); // a test may make several universes, one after the other
    }
}

impl Default for Universe {
    fn default() -> Self {
        Self::new()
    }
}

/// Providers are never found to work again.
pub struct NoProbes;

impl Prober for NoProbes {
    fn probe(&self, _: Mode) -> LocalBoxFuture<'static, bool> {
        std::future::ready(false).boxed_local()
    }
}

/// How an attempt to dial goes.
#[derive(Clone, Debug)]
pub enum Dial {
    After(Duration),
    Fail(DialError),
}

struct MemoryDialer {
    dialled: mpsc::UnboundedSender<Peer>,
    plan: Mutex<VecDeque<Dial>>,
}

impl EngineDialer for MemoryDialer {
    fn dial_realtime(&self, _model: &str) -> LocalBoxFuture<'static, Result<Socket, DialError>> {
        let plan = self.plan.lock().expect("no test panics while planning").pop_front();
        let dialled = self.dialled.clone();
        async move {
            match plan {
                Some(Dial::Fail(error)) => return Err(error),
                Some(Dial::After(delay)) => tokio::time::sleep(delay).await,
                None => {}
            }
            let (socket, peer) = socket_pair();
            dialled.send(peer).map_err(|_| DialError::Unreachable("universe is gone".to_owned()))?;
            Ok(socket)
        }
        .boxed_local()
    }
}
