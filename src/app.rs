//! The composition root: the only place that knows every concrete type. It wires them together, answers for the house
//! at its HTTP desk, and takes the house down in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use actix_server::ServerHandle;
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use tandem_actors::agent::{Agent, Eagerness, NoiseReduction, TurnDetection, TurnDetectionKind};
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::{CallReport, CallSetup, Limits};
use tandem_actors::engine::AudioChoice;
use tandem_actors::leg::twilio::{self, OpeningError};
use tandem_actors::ports::{Clock, EngineDialer, Ids, Outgoing, Socket};
use tandem_actors::switchboard::{self, Admit, Census, Drain, Outcome, Switchboard, WhatBecameOf, open_call};
use tandem_wire::openai::Dialect;
use tandem_wire::openai::session::Effort;
use tokio::sync::mpsc;

use crate::clock::{SystemClock, SystemIds};
use crate::config::{self, Config};
use crate::dial::{ProviderError, RealtimeDialer, public_roots};
use crate::http::{
    self, BindError, Desk, Fate, Gate, Listener, MediaRequest, Refusal, Ring, Serving, Signatures, Standing,
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
        let house = House {
            switchboard: switchboard.clone(),
            dialer: Arc::new(dialer),
            dialect,
            agent: Arc::new(agent(config)),
            audio: match config.openai.audio {
                config::Audio::Pcmu => AudioChoice::Pcmu,
                config::Audio::Pcm24 => AudioChoice::Pcm24,
            },
            limits: limits(&config.limits),
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
                workers: usize::from(config.server.workers),
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
    dialer: Arc<dyn EngineDialer>,
    dialect: Dialect,
    agent: Arc<Agent>,
    audio: AudioChoice,
    limits: Limits,
    tickets: Tickets,
    tickets_required: bool,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl House {
    fn now_unix_s(&self) -> u64 {
        self.clock.now().as_second().unsigned_abs()
    }

    async fn census(&self) -> Option<switchboard::CensusTaken> {
        self.switchboard.send(Census).timeout(SWITCHBOARD_ANSWERS_MAX).await.ok()
    }

    /// From an accepted socket to a call: the stream says which call it is, the ticket proves it, and the
    /// switchboard has a seat.
    async fn take(&self, mut socket: Socket, request: &MediaRequest) {
        match self.open(&mut socket).await {
            Ok(setup) => {
                tracing::info!(call_id = %setup.id, stream_sid = setup.stream_sid, "stream started");
                open_call(setup, socket, &self.switchboard);
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

    async fn open(&self, socket: &mut Socket) -> Result<CallSetup, NotTaken> {
        let start = twilio::open(socket).await?;
        let ticket = start.custom_parameters.get("ticket").map(String::as_str);
        let id = match self.tickets.open(ticket, start.call_sid.as_deref(), self.now_unix_s()) {
            Ok(id) => id,
            Err(NotAdmitted::Missing) if !self.tickets_required => self.ids.call_id(),
            Err(why) => return Err(why.into()),
        };
        let admit = Admit { call_sid: start.call_sid.clone() };
        self.switchboard
            .send(admit)
            .timeout(SWITCHBOARD_ANSWERS_MAX)
            .await
            .map_err(|_| NotTaken::Broken)??;
        Ok(CallSetup {
            id,
            call_sid: start.call_sid,
            stream_sid: start.stream_sid,
            agent: Arc::clone(&self.agent),
            limits: self.limits,
            audio: self.audio,
            dialect: self.dialect,
            dialer: Arc::clone(&self.dialer),
            ending: self.switchboard.clone().recipient(),
            switchboard: self.switchboard.clone().recipient(),
            started_at: self.clock.now(),
        })
    }
}

/// Why a media socket did not become a call.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Opening(#[from] OpeningError),
    #[error(transparent)]
    Ticket(#[from] NotAdmitted),
    #[error(transparent)]
    Refused(#[from] switchboard::Refusal),
    #[error("switchboard does not answer")]
    Broken,
}

impl Desk for House {
    fn admit(&self, ring: Ring) -> LocalBoxFuture<'_, Result<String, Refusal>> {
        async move {
            let census = self.census().await.ok_or(Refusal::Broken)?;
            if census.draining {
                return Err(Refusal::Draining);
            }
            if census.live >= census.calls_max {
                return Err(Refusal::Full);
            }
            let call = self.ids.call_id();
            let from = ring.from_opt.as_deref().map(mask_number);
            tracing::info!(call_id = %call, call_sid = ring.call_sid, from, "call received");
            let nonce = self.ids.call_id().0.as_u128();
            Ok(self.tickets.seal(call, &ring.call_sid, nonce, self.now_unix_s()))
        }
        .boxed_local()
    }

    fn fate(&self, call_sid: String) -> LocalBoxFuture<'_, Fate> {
        async move {
            let asked = self.switchboard.send(WhatBecameOf { call_sid }).timeout(SWITCHBOARD_ANSWERS_MAX);
            match asked.await.ok().flatten() {
                Some(
                    // Live: its stream is over, and we have not ended it nor even noticed.
                    Outcome::Ended(EndReason::EngineLost(_) | EndReason::CarrierLost(_))
                    | Outcome::Crashed
                    | Outcome::Live,
                ) => Fate::EngineLost,
                Some(Outcome::Ended(_)) => Fate::Ended,
                None => Fate::Unknown,
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

fn limits(limits: &config::Limits) -> Limits {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    Limits {
        call_max: seconds(limits.call_seconds_max),
        caller_idle_max: seconds(limits.caller_idle_seconds_max),
        engine_ready_max: seconds(limits.engine_ready_seconds_max),
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
