//! What the HTTP surface asks the house: may this call in, what became of it, how do we stand.
//!
//! It refuses to know who answers: the switchboard in the program, a list in tests.

use std::net::SocketAddr;

use futures_util::future::LocalBoxFuture;
use tandem_actors::ports::Socket;

/// Answers for the house. Asked on every worker thread, so it is shared.
pub trait Desk: Send + Sync {
    /// Takes a ringing call in. The answer is the ticket that its media socket will present.
    ///
    /// A carrier may ask twice for one call: the same call gets a ticket again.
    fn admit(&self, ring: Ring) -> LocalBoxFuture<'_, Result<String, Refusal>>;

    /// What became of a call whose stream has ended.
    fn fate(&self, call_sid: String) -> LocalBoxFuture<'_, Fate>;

    fn standing(&self) -> LocalBoxFuture<'_, Standing>;

    /// Takes over a media socket, on the worker thread that accepted it. The call it belongs to stays on that
    /// thread. Returning ends the server's part: the socket lives on with its new owner.
    fn take_media_socket(&self, socket: Socket, request: MediaRequest) -> LocalBoxFuture<'_, ()>;
}

/// A call that rings. Numbers are as the carrier gives them: E.164, a SIP address or a word such as `anonymous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    pub call_sid: String,
    pub from_opt: Option<String>,
    pub to_opt: Option<String>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// We, or the agent, ended the call.
    Ended,
    /// The caller still wants to talk, and there is no engine to talk to.
    EngineLost,
    /// Nobody here knows the call.
    Unknown,
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
