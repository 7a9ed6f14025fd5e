//! The listener: one port for requests and for media sockets.
//!
//! It refuses to know what requests are about. Upgrade requests are taken from actix-http as bare TCP streams, on the
//! worker's own thread; everything else goes to the routes.
//!
//! A graceful stop ends idle connections and waits for requests under way. It does not know media sockets, and
//! workers take what lives on their threads with them: drain the switchboard first.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix_http::{HttpService, KeepAlive};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, Error};
use tandem_actors::ports::Clock;
use tandem_actors::router::Router;
use tokio::net::TcpSocket;

use super::admin::AdminRule;
use super::analytics::Analyst;
use super::desk::Desk;
use super::gate::Gate;
use super::gather::TurnDesk;
use super::media::Entrance;
use super::routes;
use super::status::WhoAnswers;
use super::workers::Workers;
use crate::audit::AuditLog;
use crate::call_log::CallLog;
use crate::clips::ClipShelf;
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;
use crate::prices::PricesInUse;
use crate::socket::SocketGauge;
use crate::users::{Eraser, UserLog};

/// Connections that the kernel holds until a worker accepts them. The system's usual 128 overflow when some hundred
/// calls ring at once, and whoever overflows is late by a whole second (the first retransmission of a SYN).
const BACKLOG: u32 = 1024;

/// For the head of a connection's first request; a silent client is answered 408.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(5);

/// For the end of a connection that we have closed; without it a client that still sends sees a reset instead of
/// our refusal.
const GOODBYE_WAIT_MAX: Duration = Duration::from_secs(2);

/// Longer than the idle time of common load balancers (60 s), so that it is never we who close under a request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// For requests under way when the server stops.
const STOP_WAIT_MAX_S: u64 = 5;

/// Why there is no listener. The operator can act on each.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("address {0} is in use: stop the program that uses it, or set `server.listen` to another port")]
    InUse(SocketAddr),
    #[error("address {0} is not permitted: set `server.listen` to a port above 1023")]
    Forbidden(SocketAddr),
    #[error("address {0} is not one of this machine: set `server.listen` to one that is, or to 0.0.0.0")]
    Elsewhere(SocketAddr),
    #[error("cannot listen on {0}: {1}")]
    Io(SocketAddr, io::Error),
}

/// A bound address. Connections queue up from now on; [`serve`] takes them.
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

/// What the server needs to serve.
pub struct Serving {
    pub desk: Arc<dyn Desk>,
    /// Answers for calls that go turn by turn.
    pub turns: Arc<dyn TurnDesk>,
    pub clips: Arc<ClipShelf>,
    pub operation: Operation,
    pub gate: Arc<Gate>,
    /// Counts the media sockets that this server accepts.
    pub sockets: SocketGauge,
    /// Media sockets beyond this many are refused.
    pub sockets_max: usize,
    /// Threads; 0 is one per core.
    pub threads: usize,
    /// Where they sign on.
    pub workers: Arc<Workers>,
}

/// What operators look at and change.
#[derive(Clone)]
pub struct Operation {
    pub rule: Arc<AdminRule>,
    pub router: Addr<Router>,
    pub audit: Arc<dyn AuditLog>,
    pub calls: Arc<dyn CallLog>,
    pub prices: Arc<PricesInUse>,
    pub metrics: Arc<Metrics>,
    pub outcomes: Arc<dyn Outcomes>,
    pub analyst: Arc<Analyst>,
    pub users: Arc<dyn UserLog>,
    pub eraser: Arc<dyn Eraser>,
    pub clock: Arc<dyn Clock>,
    pub who: Arc<WhoAnswers>,
}

impl Operation {
    fn into_app(self, app: &mut ServiceConfig) {
        app.app_data(Data::from(self.rule))
            .app_data(Data::new(self.router))
            .app_data(Data::from(self.audit))
            .app_data(Data::from(self.calls))
            .app_data(Data::from(self.prices))
            .app_data(Data::from(self.metrics))
            .app_data(Data::from(self.outcomes))
            .app_data(Data::from(self.analyst))
            .app_data(Data::from(self.users))
            .app_data(Data::from(self.eraser))
            .app_data(Data::from(self.clock))
            .app_data(Data::from(self.who));
    }
}

impl Listener {
    /// Binds `address`; port 0 takes a free one. To be called on a tokio runtime.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bound = || -> io::Result<Self> {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?; // a restart need not wait for the connections of the last run
            // For what is accepted, which inherits it; actix-http's own setting does not reach an HTTP/1 service. Without
            // it a `clear` right behind audio waits for the carrier's next frame: the caller hears 20 ms too much.
            socket.set_nodelay(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?.into_std()?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bound().map_err(|error| BindError::of(address, error))
    }

    /// The address in fact, with the port that was taken for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl BindError {
    fn of(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Forbidden(address),
            io::ErrorKind::AddrNotAvailable => Self::Elsewhere(address),
            _ => Self::Io(address, error),
        }
    }
}

/// Starts the workers. The server runs while it is awaited; its handle stops it. Signals are left alone.
pub fn serve(listener: Listener, serving: Serving) -> io::Result<Server> {
    let mut server = Server::build().disable_signals().shutdown_timeout(STOP_WAIT_MAX_S);
    if serving.threads > 0 {
        server = server.workers(serving.threads);
    }
    let stopping = server.graceful_shutdown_signal();
    let Serving { desk, turns, clips, operation, gate, sockets, sockets_max, workers, .. } = serving;
    let worker = move || {
        let gate = Data::from(Arc::clone(&gate));
        let desk: Data<dyn Desk> = Data::from(Arc::clone(&desk));
        let turns: Data<dyn TurnDesk> = Data::from(Arc::clone(&turns));
        let operation = operation.clone();
        let app = App::new()
            .app_data(gate.clone())
            .app_data(desk.clone())
            .app_data(turns)
            .app_data(Data::from(Arc::clone(&clips)))
            .configure(|app| operation.into_app(app))
            .configure(routes);
        let app = app.into_factory().map_err(|error: Error| error.error_response());
        let workers = Arc::clone(&workers);
        let mut parcels = workers.sign_on(); // this runs on the worker's own thread
        let entrance = Rc::new(Entrance { gate, desk, gauge: sockets.clone(), sockets_max, workers });
        let receiving = Rc::clone(&entrance);
        actix_rt::spawn(async move {
            while let Some(parcel) = parcels.recv().await {
                let receiving = Rc::clone(&receiving);
                actix_rt::spawn(async move { receiving.receive(parcel).await });
            }
        });
        let stopping = stopping.clone();
        HttpService::build()
            .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
            .client_request_timeout(HEAD_WAIT_MAX)
            .client_disconnect_timeout(GOODBYE_WAIT_MAX)
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .upgrade(fn_service(move |(request, transport)| Rc::clone(&entrance).enter(request, transport)))
            .h1(map_config(app, |()| AppConfig::default()))
            .tcp()
    };
    Ok(server.listen("http", listener.socket, worker)?.run())
}

#[cfg(test)]
mod tests;
