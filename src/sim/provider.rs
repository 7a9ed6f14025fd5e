//! The simulated OpenAI Realtime server: strict where the real one is, with faults to order, and with a
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
    fault::{Fault, FaultKind},
    record::{AUDIO_KEPT_BYTES_MAX, CLIENT_EVENTS_KEPT_MAX, ResponseRecord, SessionRecord, Truncation, Turn},
    script::{Script, ScriptedCall},
};
pub use crate::{duplex::SocketEnd, spec::SpecError};

mod connection;
mod dialect;
mod fault;
mod record;
mod script;
mod session;
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
    /// From the request of a response to its first audio.
    pub first_audio_delay: Duration,
    /// How much faster than real time audio is made; infinite for all at once.
    pub speed: f32,
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
    sessions: Mutex<Vec<record::Shared>>,
    connections: AtomicUsize,
}

impl Realm {
    fn enter(&self, record: record::Shared) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
}

impl Provider {
    /// Binds the address and serves on the current runtime.
    pub async fn start(options: ProviderOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let realm = Arc::new(Realm {
            script: Arc::new(options.script.clone()),
            options,
            sessions: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
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

    /// TCP connections accepted so far, sessions or not.
    pub fn connections(&self) -> usize {
        self.realm.connections.load(Ordering::Relaxed)
    }

    /// Every session so far, in the order they were opened, as it stands now.
    pub fn sessions(&self) -> Vec<SessionRecord> {
        let sessions = self.realm.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().map(record::Shared::snapshot).collect()
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
                    let number = realm.connections.fetch_add(1, Ordering::Relaxed) + 1;
                    connections.spawn(serve(tcp, number, Arc::clone(&realm), stopping.clone()));
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

async fn serve(tcp: TcpStream, number: usize, realm: Arc<Realm>, stop: watch::Receiver<bool>) {
    match tcp.set_nodelay(true) {
        Ok(()) => connection::serve(&realm, number, tcp, stop).await,
        Err(error) => tracing::debug!(%error, "the client was gone at once"),
    }
}
