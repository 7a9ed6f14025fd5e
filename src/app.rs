//! The composition root: the only place that knows every concrete type. It wires them together, answers for the house
//! at its HTTP desk, and takes the house down in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use actix::{Actor, Addr};
use actix_server::ServerHandle;
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use send_wrapper::SendWrapper;
use tandem_actors::agent::{Agent, Eagerness, NoiseReduction, TurnDetection, TurnDetectionKind};
use tandem_actors::call::{CallActor, CallReport, CallSetup, CallerGone, LegArrived, Limits, StandDown};
use tandem_actors::engine::{AudioChoice, Engines, RealtimeLine};
use tandem_actors::fallback::ladder::{Ladder, Rung};
use tandem_actors::fallback::{Fallback, Prober};
use tandem_actors::ledger::Ledger;
use tandem_actors::leg::twilio::{self, OpeningError};
use tandem_actors::mode::Mode;
use tandem_actors::ports::{CallId, CallStore, Clock, EngineDialer, Ids, Outgoing, Socket, SocketItem};
use tandem_actors::record::{CallRecord, CallState};
use tandem_actors::switchboard::{
    self, Admission, Admit, Census, Drain, FindCall, FoundCall, Seat, Switchboard, open_call,
};
use tandem_wire::openai::Dialect;
use tandem_wire::openai::server::ServerEvent;
use tandem_wire::openai::session::Effort;
use tokio::sync::mpsc;

use crate::calls::MemoryCalls;
use crate::clock::{SystemClock, SystemIds};
use crate::config::{self, Config};
use crate::dial::{ProviderError, RealtimeDialer, public_roots};
use crate::http::{
    self, Asked, BindError, Desk, Gate, Listener, MediaRequest, Refusal, Reply, Ring, Serving, Signatures,
    Standing, Workers,
};
use crate::socket::SocketGauge;
use crate::telemetry::mask_number;
use crate::tickets::{NotAdmitted, Tickets};

/// Live calls get so long to end politely when the process is told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// When a stream ends the carrier asks at once what is next; it is still answered for so long after the last call.
const RESUME_WAIT: Duration = Duration::from_secs(2);

/// The switchboard answers in microseconds; this long it is not there any more.
const SWITCHBOARD_ANSWERS_MAX: Duration = Duration::from_secs(2);

/// How long a refused socket may take to close in order.
const REFUSAL_LINGER: Duration = Duration::from_secs(2);

/// A call that another request is opening is live within a turn of that thread's loop; asked for so often, it is not.
const OPENINGS_WAITED_FOR: u32 = 50;

const OPENING_TAKES: Duration = Duration::from_millis(2);

/// A provider that has not opened a session by then does not work.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// Sockets on their way to becoming calls, beyond those that are calls.
const SOCKETS_OPENING_MAX: usize = 256;

/// Why the switch did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("cannot start the server: {0}")]
    Server(#[from] io::Error),
}

/// A running switch.
pub struct App {
    pub address: SocketAddr,
    carrier_sockets: SocketGauge,
    provider_sockets: SocketGauge,
    switchboard: Addr<Switchboard>,
    server: ServerHandle,
}

impl App {
    /// Starts the switch on a bound listener, on this thread's actix system. `reports` gets what is known of every
    /// call that ends.
    pub fn start(
        config: &Config,
        listener: Listener,
        reports: Option<mpsc::UnboundedSender<Arc<CallReport>>>,
    ) -> Result<Self, StartError> {
        let (carrier_sockets, provider_sockets) = (SocketGauge::default(), SocketGauge::default());
        let calls_max = config.limits.calls_max as usize;
        let switchboard = Switchboard::new(calls_max, reports).start();
        let key = Some(&config.openai.api_key).filter(|key| !key.expose_secret().is_empty());
        let dialect = match config.openai.dialect {
            config::Dialect::Ga => Dialect::Ga,
            config::Dialect::Beta => Dialect::Beta,
        };
        let url = config.openai.realtime_url.to_string();
        let dialer = RealtimeDialer::new(&url, key, dialect, public_roots(), provider_sockets.clone())?;
        let dialer: Arc<dyn EngineDialer> = Arc::new(dialer);
        let engines = Arc::new(engines(config, &dialer, dialect));
        let probes = Probes { dialer, model: config.openai.realtime_model.clone() };
        let workers = Arc::<Workers>::default();
        let house = House {
            switchboard: switchboard.clone(),
            fallback: Fallback::new(Arc::new(probes), None).start(),
            store: Arc::new(MemoryCalls::new(calls_max)),
            engines,
            agent: Arc::new(agent(config)),
            ladder: Ladder::usual_order(false),
            human_number_opt: None,
            limits: limits(&config.limits),
            workers: Arc::clone(&workers),
            tickets: Tickets::new(&ticket_secret(&config.twilio.auth_token)),
            tickets_required: config.twilio.validate_signatures,
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
        };
        let signatures = if config.twilio.validate_signatures {
            Signatures::Checked(config.twilio.auth_token.clone())
        } else {
            Signatures::Off
        };
        let address = listener.address();
        let server = http::serve(
            listener,
            Serving {
                desk: Arc::new(house),
                gate: Arc::new(Gate::new(&config.server.public_url.to_string(), signatures)),
                sockets: carrier_sockets.clone(),
                sockets_max: calls_max + SOCKETS_OPENING_MAX,
                threads: usize::from(config.server.workers),
                workers,
            },
        )?;
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self { address, carrier_sockets, provider_sockets, switchboard, server: handle })
    }

    /// Carrier and provider sockets that are open now.
    pub fn sockets_open(&self) -> usize {
        self.carrier_sockets.open() + self.provider_sockets.open()
    }

    /// Calls that are live now.
    pub async fn calls_live(&self) -> usize {
        self.switchboard.send(Census).await.map_or(0, |census| census.live)
    }

    /// Takes the house down: no more calls, those that live are said goodbye to, the carrier is told what became of
    /// them, then the server stops.
    pub async fn stop(self) {
        let had_calls = self.calls_live().await > 0;
        match tokio::time::timeout(DRAIN_MAX, self.switchboard.send(Drain)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "switchboard is gone; calls are cut"),
            Err(_) => tracing::error!("calls still live after {DRAIN_MAX:?}; they are cut"),
        }
        if had_calls {
            tokio::time::sleep(RESUME_WAIT).await;
        }
        self.server.stop(true).await;
    }
}

/// What answers at the HTTP desk. One per process, shared by all worker threads.
struct House {
    switchboard: Addr<Switchboard>,
    fallback: Addr<Fallback>,
    store: Arc<dyn CallStore>,
    engines: Arc<Engines>,
    agent: Arc<Agent>,
    /// What a call may fall through after the mode that was chosen for it.
    ladder: Vec<Rung>,
    human_number_opt: Option<String>,
    limits: Limits,
    tickets: Tickets,
    tickets_required: bool,
    workers: Arc<Workers>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

/// A call about to begin, or to go on.
struct Beginning {
    id: CallId,
    call_sid: Option<String>,
    from_opt: Option<String>,
    to_opt: Option<String>,
    started_at: jiff::Timestamp,
    mode: Mode,
    failed: Vec<Mode>,
    ledger: Ledger,
}

impl House {
    fn now_unix_s(&self) -> u64 {
        self.clock.now().as_second().unsigned_abs()
    }

    async fn census(&self) -> Option<switchboard::CensusTaken> {
        self.switchboard.send(Census).timeout(SWITCHBOARD_ANSWERS_MAX).await.ok()
    }

    async fn find(&self, which: FindCall) -> Option<FoundCall> {
        self.switchboard.send(which).timeout(SWITCHBOARD_ANSWERS_MAX).await.ok().flatten()
    }

    // ------------------------------------------------------------ what the carrier is told

    /// A call rings: it begins now, and its engine is dialled while the carrier still connects.
    async fn ring(&self, ring: Ring, mode_opt: Option<Mode>) -> Result<Reply, Refusal> {
        let mode = mode_opt.unwrap_or(Mode::Realtime);
        let from = ring.from_opt.as_deref().map(mask_number);
        let beginning = self.new_call(Some(ring.call_sid), ring.from_opt, ring.to_opt, mode);
        tracing::info!(call_id = %beginning.id, call_sid = beginning.call_sid, from, %mode, "call received");
        self.begin(beginning).await
    }

    fn new_call(
        &self,
        call_sid: Option<String>,
        from_opt: Option<String>,
        to_opt: Option<String>,
        mode: Mode,
    ) -> Beginning {
        Beginning {
            id: self.ids.call_id(),
            call_sid,
            from_opt,
            to_opt,
            started_at: self.clock.now(),
            mode,
            failed: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    /// A stream is over. What is known of the call says what comes next.
    async fn stream_over(&self, ring: Ring) -> Result<Reply, Refusal> {
        let Some(record) = self.store.find(&ring.call_sid).await else {
            tracing::warn!(call_sid = ring.call_sid, "nothing is known of this call; it begins anew");
            return self.ring(ring, None).await;
        };
        match record.state.clone() {
            CallState::Ended { by_us: true, .. } => Ok(Reply::HangUp),
            // Whoever asks is still on the line, whatever we took for a hang-up.
            CallState::Ended { by_us: false, .. } | CallState::Live => self.go_on(record, Vec::new()).await,
            CallState::HandedOver { to, failed } => self.step_to(record, to, failed).await,
        }
    }

    async fn step_to(&self, mut record: CallRecord, to: Rung, failed: Vec<Mode>) -> Result<Reply, Refusal> {
        match to {
            Rung::Mode(mode) if mode.is_media() => {
                record.mode = mode;
                self.go_on(record, failed).await
            }
            Rung::Human => {
                Ok(self.human_number_opt.clone().map_or(Reply::Apologise, |number| Reply::Dial { number }))
            }
            Rung::Mode(_) | Rung::Apology => Ok(Reply::Apologise),
        }
    }

    /// The same conversation, by the actor that still lives or by another that is given the ledger.
    async fn go_on(&self, record: CallRecord, failed: Vec<Mode>) -> Result<Reply, Refusal> {
        tracing::info!(call_id = %record.id, mode = %record.mode, turns = record.ledger.turns().len(), "call goes on");
        self.begin(Beginning::again(record, failed)).await
    }

    /// Has the call live on this thread, unless it lives already, and admits a socket to it.
    async fn begin(&self, beginning: Beginning) -> Result<Reply, Refusal> {
        let Some(call_sid) = beginning.call_sid.clone() else { return Err(Refusal::Broken) };
        for _ in 0..OPENINGS_WAITED_FOR {
            let admit = Admit { call_sid: Some(call_sid.clone()) };
            let asked = self.switchboard.send(admit).timeout(SWITCHBOARD_ANSWERS_MAX).await;
            match asked.map_err(|_| Refusal::Broken)? {
                Ok(Admission::Seat(seat)) => {
                    let id = beginning.id;
                    open_call(self.setup(beginning, seat), &self.switchboard);
                    return Ok(self.stream(id, &call_sid, std::thread::current().id()));
                }
                Ok(Admission::Live(found)) => return Ok(self.stream(found.id, &call_sid, found.thread)),
                Ok(Admission::Opening) => tokio::time::sleep(OPENING_TAKES).await,
                Err(switchboard::Refusal::Full(_)) => return Err(Refusal::Full),
                Err(switchboard::Refusal::Draining) => return Err(Refusal::Draining),
            }
        }
        Err(Refusal::Broken)
    }

    fn stream(&self, call: CallId, call_sid: &str, thread: ThreadId) -> Reply {
        let nonce = self.ids.call_id().0.as_u128();
        let ticket = self.tickets.seal(call, call_sid, nonce, self.now_unix_s());
        Reply::Stream { ticket, worker_opt: self.workers.segment(thread) }
    }

    fn setup(&self, beginning: Beginning, seat: Seat) -> CallSetup {
        let mut configured = self.engines.modes();
        configured.extend(self.ladder.contains(&Rung::Mode(Mode::Traditional)).then_some(Mode::Traditional));
        CallSetup {
            id: beginning.id,
            seat,
            call_sid: beginning.call_sid,
            from_opt: beginning.from_opt,
            to_opt: beginning.to_opt,
            agent: Arc::clone(&self.agent),
            limits: self.limits,
            mode: beginning.mode,
            ladder: Ladder::new(beginning.mode, &self.ladder, &configured),
            failed: beginning.failed,
            ledger: beginning.ledger,
            engines: Arc::clone(&self.engines),
            fallback: self.fallback.clone(),
            store: Arc::clone(&self.store),
            switchboard: self.switchboard.clone().recipient(),
            started_at: beginning.started_at,
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
            Some(found) if found.thread == std::thread::current().id() => found.call,
            // The carrier, or a proxy, has changed the socket's address: the call moves to where its socket is.
            Some(found) => {
                tracing::warn!(call_id = %found.id, "socket came to another thread than its call lives on");
                found.call.do_send(StandDown);
                self.begin_here(start.call_sid).await?
            }
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
        let beginning = match record {
            Some(CallRecord {
                state: CallState::HandedOver { .. } | CallState::Ended { by_us: true, .. },
                ..
            }) => {
                return Err(NotTaken::Over);
            }
            Some(record) => Beginning::again(record, Vec::new()),
            None => self.new_call(call_sid, None, None, Mode::Realtime),
        };
        let admit = Admit { call_sid: None }; // it may have another seat for a moment
        let admission = self.switchboard.send(admit).timeout(SWITCHBOARD_ANSWERS_MAX).await;
        match admission.map_err(|_| NotTaken::Broken)?? {
            Admission::Seat(seat) => Ok(open_call(self.setup(beginning, seat), &self.switchboard)),
            Admission::Live(_) | Admission::Opening => Err(NotTaken::Broken),
        }
    }
}

impl Beginning {
    fn again(record: CallRecord, failed: Vec<Mode>) -> Self {
        Self {
            id: record.id,
            call_sid: Some(record.call_sid),
            from_opt: record.from_opt,
            to_opt: record.to_opt,
            started_at: record.started_at,
            mode: record.mode,
            failed,
            ledger: record.ledger,
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
    Over,
    #[error("switchboard does not answer")]
    Broken,
}

impl Desk for House {
    fn answer(&self, ring: Ring, asked: Asked) -> LocalBoxFuture<'_, Result<Reply, Refusal>> {
        match asked {
            Asked::Rings { mode_opt } => self.ring(ring, mode_opt).boxed_local(),
            Asked::StreamOver => self.stream_over(ring).boxed_local(),
        }
    }

    fn over(&self, call_sid: String) -> LocalBoxFuture<'_, ()> {
        async move {
            if let Some(found) = self.find(FindCall::BySid(call_sid)).await {
                found.call.do_send(CallerGone); // one per call
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

/// Nodes that answer for the same account open each other's tickets. Without an account there is one node, and the
/// secret lives as long as the process.
fn ticket_secret(auth_tokens: &[SecretString]) -> Vec<u8> {
    if let Some(token) = auth_tokens.first() {
        return token.expose_secret().as_bytes().to_vec();
    }
    let mut secret = vec![0; 32];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut secret)
        .expect("the system has a source of random bytes, or TLS could not work either");
    secret
}

/// Asks providers whether they work: a session is opened and closed again, which costs nothing.
struct Probes {
    dialer: Arc<dyn EngineDialer>,
    model: String,
}

impl Prober for Probes {
    fn probe(&self, mode: Mode) -> LocalBoxFuture<'static, bool> {
        let dialling = self.dialer.dial_realtime(&self.model);
        let probe = async move {
            if mode != Mode::Realtime {
                return true;
            }
            let Ok(mut socket) = dialling.await else { return false };
            let greeted = matches!(
                socket.reader.next().await,
                Some(SocketItem::Text(text)) if matches!(ServerEvent::parse(&text), Ok(ServerEvent::SessionCreated(_)))
            );
            socket.sink.send(Outgoing::Close { code: 1000, reason: "probed" }).await.ok(); // it may be gone already
            greeted
        };
        async move { tokio::time::timeout(PROBE_MAX, probe).await.unwrap_or(false) }.boxed_local()
    }
}

fn engines(config: &Config, dialer: &Arc<dyn EngineDialer>, dialect: Dialect) -> Engines {
    let realtime = RealtimeLine {
        dialer: Arc::clone(dialer),
        dialect,
        audio: match config.openai.audio {
            config::Audio::Pcmu => AudioChoice::Pcmu,
            config::Audio::Pcm24 => AudioChoice::Pcm24,
        },
        session_max: Duration::from_secs(u64::from(config.openai.session_seconds_max)),
    };
    Engines { realtime: Some(realtime) }
}

fn limits(limits: &config::Limits) -> Limits {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    Limits {
        call_max: seconds(limits.call_seconds_max),
        caller_idle_max: seconds(limits.caller_idle_seconds_max),
        engine_ready_max: seconds(limits.engine_ready_seconds_max),
        silence_max: seconds(limits.silence_seconds_max),
    }
}

/// The configured agent, as engines are told of it.
fn agent(config: &Config) -> Agent {
    let agent = &config.agent;
    let turns = &agent.turn_detection;
    let ms = |ms: u32| Duration::from_millis(u64::from(ms));
    Agent {
        name: agent.name.clone(),
        instructions: agent.instructions.clone(),
        greeting: agent.greeting.clone(),
        farewell: agent.farewell.clone(),
        voice: agent.voice.clone(),
        language: agent.language.clone(),
        model: config.openai.realtime_model.clone(),
        transcription_model: agent.transcription_model.clone(),
        turn_detection: TurnDetection {
            kind: match turns.detector {
                config::Detector::ServerVad => TurnDetectionKind::ServerVad {
                    threshold: f64::from(turns.threshold),
                    prefix_padding: ms(turns.prefix_padding_ms),
                    silence: ms(turns.silence_duration_ms),
                    idle_timeout: turns.idle_timeout_ms.map(ms),
                },
                config::Detector::SemanticVad => TurnDetectionKind::SemanticVad {
                    eagerness: match turns.eagerness {
                        config::Eagerness::Low => Eagerness::Low,
                        config::Eagerness::Medium => Eagerness::Medium,
                        config::Eagerness::High => Eagerness::High,
                        config::Eagerness::Auto => Eagerness::Auto,
                    },
                },
            },
            interrupt_response: turns.interrupt_response,
        },
        noise_reduction: match agent.noise_reduction {
            config::NoiseReduction::Off => None,
            config::NoiseReduction::NearField => Some(NoiseReduction::NearField),
            config::NoiseReduction::FarField => Some(NoiseReduction::FarField),
        },
        reasoning_effort: agent.reasoning_effort.map(|effort| match effort {
            config::ReasoningEffort::Minimal => Effort::Minimal,
            config::ReasoningEffort::Low => Effort::Low,
            config::ReasoningEffort::Medium => Effort::Medium,
            config::ReasoningEffort::High => Effort::High,
            config::ReasoningEffort::Xhigh => Effort::ExtraHigh,
        }),
        output_tokens_max: agent.max_output_tokens,
    }
}
