//! What the HTTP surface asks the house: what is this call to be answered with, how do we stand.
//!
//! It refuses to know who answers: the composition root in the program, a list in tests.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use tandem_actors::call::turns::{Answer, TurnSettings};
use tandem_actors::mode::Mode;
use tandem_actors::ports::Socket;

/// Answers for the house. Asked on every worker thread, so it is shared.
pub trait Desk: Send + Sync {
    /// What the carrier is to do next with this call. It may ask twice: the same call gets the same answer again, but
    /// for a fresh ticket. `token_opt` is its mark of the event, the same when it repeats itself.
    fn answer(
        &self,
        ring: Ring,
        asked: Asked,
        token_opt: Option<String>,
    ) -> LocalBoxFuture<'_, Result<Reply, Refusal>>;

    /// The carrier says that the call is over, which ends it wherever its sockets are.
    fn over(&self, call_sid: String) -> LocalBoxFuture<'_, ()>;

    fn standing(&self) -> LocalBoxFuture<'_, Standing>;

    /// Takes over a media socket, on the worker thread that its call lives on. Returning ends the server's part: the
    /// socket lives on with its new owner.
    fn take_media_socket(&self, socket: Socket, request: MediaRequest) -> LocalBoxFuture<'_, ()>;
}

/// A call of the carrier's. Numbers are as the carrier gives them: E.164, a SIP address or a word such as `anonymous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    pub call_sid: String,
    pub from_opt: Option<String>,
    pub to_opt: Option<String>,
}

/// Why the carrier asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The call rings. The mode is the router's choice, unless the path names one.
    Rings { mode_opt: Option<Mode> },
    /// Its stream has ended, or never came about.
    StreamOver,
}

/// What the carrier is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Connect the call to our media socket, with this ticket, at the worker whose path segment this is.
    Stream {
        ticket: String,
        worker_opt: Option<String>,
    },
    /// Take a turn, in the agent's manner.
    Turn {
        answer: Answer,
        manner: Arc<TurnSettings>,
    },
    HangUp,
}

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many calls as allowed are live.
    Full,
    /// This node is on its way out.
    Draining,
    /// The house does not answer. The carrier then turns to its fallback URL.
    Broken,
}

/// How the house stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub calls_active: usize,
    /// Why new calls should go elsewhere; empty when they should not.
    pub unready: Vec<String>,
}

/// The request behind a media socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRequest {
    pub path: String,
    /// The other end of the TCP connection: the carrier or a proxy of ours.
    pub remote_opt: Option<SocketAddr>,
}
