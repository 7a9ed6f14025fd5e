//! The simulated provider: OpenAI's Realtime API, the text and speech endpoints beside it and ElevenLabs'
//! voice, on one port and with one mind; strict where the real ones are, with faults to order, and with a
//! record of everything its clients did.
//!
//! Knows nothing of who connects to it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub use self::{
    endpoints::Endpoint,
    fault::{AnswerFault, Fault, FaultKind},
    record::{
        AUDIO_KEPT_BYTES_MAX, CLIENT_EVENTS_KEPT_MAX, RequestEnd, RequestRecord, ResponseRecord,
        SessionRecord, Truncation, Turn,
    },
    script::{Script, ScriptedCall},
};
use self::{record::Shared, trouble::Trouble};
pub use crate::{duplex::SocketEnd, spec::SpecError};

mod answer;
mod brain;
mod connection;
mod dialect;
mod endpoints;
mod fault;
mod fields;
mod http;
mod record;
mod rejection;
mod script;
mod session;
mod sound;
mod trouble;
mod upgrade;

#[derive(Debug, Clone)]
pub struct ProviderOptions {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The one key that is accepted; without it any is, but there must be one.
    pub api_key: Option<String>,
    pub faults: Vec<Fault>,
    pub script: Script,
    /// How long an upgrade takes to be answered.
    pub handshake_delay: Duration,
    /// From the request of a realtime response to its first audio.
    pub first_audio_delay: Duration,
    /// How much faster than real time a realtime session makes audio; infinite for all at once.
    pub speed: f32,
    /// From the request of a text to its first token.
    pub first_token_delay: Duration,
    /// Tokens of about four characters; infinite for all at once.
    pub tokens_per_second: f32,
    /// From the request of speech to its first byte.
    pub first_speech_delay: Duration,
    /// How much faster than real time speech is made; infinite for all at once.
    pub speech_speed: f32,
    /// How long an upload takes to be written down.
    pub transcription_delay: Duration,
    /// Ids, chunk sizes and delays of transcripts follow from it.
    pub seed: u64,
    /// Whether clients that ask for the beta dialect get it. The real server shut it off in 2026.
    pub beta: bool,
}

impl Default for ProviderOptions {
    /// A free port of loopback, and the pace at which the real one is usually seen.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_key: None,
            faults: Vec::new(),
            script: Script::default(),
            handshake_delay: Duration::ZERO,
            first_audio_delay: Duration::from_millis(250),
            speed: 3.0,
            first_token_delay: Duration::from_millis(200),
            tokens_per_second: 80.0,
            first_speech_delay: Duration::from_millis(150),
            speech_speed: 8.0,
            transcription_delay: Duration::from_millis(200),
            seed: 1,
            beta: false,
        }
    }
}

/// A running provider. Dropping it cuts all its sockets; [`Provider::stop`] closes them.
#[derive(Debug)]
pub struct Provider {
    addr: SocketAddr,
    realm: Arc<Realm>,
    stopping: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Realm {
    options: ProviderOptions,
    script: Arc<Script>,
    trouble: Trouble,
    sessions: Mutex<Vec<Shared<SessionRecord>>>,
    requests: Mutex<Vec<Shared<RequestRecord>>>,
    connections: AtomicUsize,
}

impl Realm {
    fn new(options: ProviderOptions) -> Self {
        Self {
            script: Arc::new(options.script.clone()),
            trouble: Trouble::new(&options.faults),
            options,
            sessions: Mutex::default(),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
        }
    }

    fn enter(&self, record: Shared<SessionRecord>) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    /// Keeps the record of a request, and says which it is, from 1.
    fn note_request(&self, record: Shared<RequestRecord>) -> usize {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(record);
        requests.len()
    }
}

impl Provider {
    /// Binds the address and serves on the current runtime.
    pub async fn start(options: ProviderOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let realm = Arc::new(Realm::new(options));
        let (stopping, stop) = watch::channel(false);
        let listening = tokio::spawn(listen(listener, Arc::clone(&realm), stop));
        Ok(Self { addr, realm, stopping, listening })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a client connects to, without the `model` it has to add.
    pub fn realtime_url(&self) -> String {
        format!("ws://{}{}", self.addr, upgrade::PATH)
    }

    /// The base address of everything else, `http://127.0.0.1:PORT/v1`.
    pub fn http_base(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Orders a fault for what comes from now on, and for the sessions that are open if it is for all.
    pub fn inject(&self, fault: impl Into<Fault>) {
        self.realm.trouble.order(fault.into());
    }

    /// Resets every open realtime session now, and refuses every upgrade until [`Provider::heal`].
    pub fn kill_realtime(&self) {
        self.realm.trouble.order(FaultKind::Refuse.into());
        self.realm.trouble.strike(FaultKind::ResetAfter(Duration::ZERO));
    }

    /// Ends all faults, those of the options as well, for what comes from now on. A session or an answer that
    /// was struck stays as it is.
    pub fn heal(&self) {
        self.realm.trouble.heal();
    }

    /// Upgrades to a session asked for so far, whatever became of them.
    pub fn connections(&self) -> usize {
        self.realm.connections.load(Ordering::Relaxed)
    }

    /// Every session so far, in the order they were opened, as it stands now.
    pub fn sessions(&self) -> Vec<SessionRecord> {
        let sessions = self.realm.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().map(Shared::snapshot).collect()
    }

    /// Every request to an endpoint over HTTP so far, in the order they came, as it stands now.
    pub fn requests(&self) -> Vec<RequestRecord> {
        let requests = self.realm.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().map(Shared::snapshot).collect()
    }

    /// Sessions whose socket is still in use; half-open ones are not.
    pub fn open_sessions(&self) -> usize {
        let sessions = self.realm.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().filter(|session| session.with(|record| record.is_open())).count()
    }

    /// Closes every socket and waits until all are closed.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        if let Err(error) = (&mut self.listening).await {
            tracing::error!(%error, "the simulated provider did not end well");
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, realm: Arc<Realm>, stopping: watch::Receiver<bool>) {
    let mut stop = stopping.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    connections.spawn(serve(tcp, Arc::clone(&realm), stopping.clone()));
                }
                Err(error) => tracing::warn!(%error, "connection not accepted"),
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection of the simulated provider did not end well");
                }
            }
            () = stopped(&mut stop) => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Returns when the provider stops, or is gone.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        tracing::trace!("the provider was dropped");
    }
}

async fn serve(tcp: TcpStream, realm: Arc<Realm>, stop: watch::Receiver<bool>) {
    match tcp.set_nodelay(true) {
        Ok(()) => http::serve(&realm, tcp, stop).await,
        Err(error) => tracing::debug!(%error, "the client was gone at once"),
    }
}
