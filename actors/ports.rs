//! What the outside must provide to a call: sockets, a way to dial an engine, wall time and ids.
//!
//! This file refuses to know how any of it is done: no WebSocket library, no HTTP, no system clock.

use std::fmt;
use std::pin::Pin;

use bytestring::ByteString;
use futures_util::future::LocalBoxFuture;
use futures_util::{Sink, Stream};
use serde::{Deserialize, Serialize};

/// One WebSocket, whichever side dialled it. The halves belong to one thread and to one actor.
pub struct Socket {
    /// Yields until the socket is gone: after [`SocketItem::Closed`] or [`SocketItem::Lost`] it ends.
    pub reader: SocketReader,
    /// Accepts messages and hands them to the transport; its buffer is bounded by [`crate::kit::writer`].
    pub sink: SocketSink,
}

pub type SocketReader = Pin<Box<dyn Stream<Item = SocketItem>>>;
pub type SocketSink = Pin<Box<dyn Sink<Outgoing, Error = SocketError>>>;

/// What can come out of a socket. Pings are answered by the transport and are not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketItem {
    Text(ByteString),
    /// A binary message of so many bytes. No peer of ours has anything to say in binary.
    Binary(usize),
    Pong,
    /// The peer closed in order; `code` is absent when its close frame carried none.
    Closed {
        code: Option<u16>,
    },
    /// The transport failed: reset, end of stream without a close frame, protocol violation.
    Lost(SocketError),
}

/// What can be written into a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    Text(ByteString),
    Ping,
    /// Ends our direction. `reason` is at most 123 bytes (RFC 6455, section 5.5).
    Close {
        code: u16,
        reason: &'static str,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    #[error("connection lost: {0}")]
    Transport(String),
    #[error("protocol violated: {0}")]
    Protocol(String),
}

/// Opens sockets to providers. One per process, shared by all calls of all threads.
pub trait EngineDialer: Send + Sync {
    /// Dials a realtime session for `model`. Dropping the future abandons the attempt and closes its socket.
    fn dial_realtime(&self, model: &str) -> LocalBoxFuture<'static, Result<Socket, DialError>>;
}

/// Why a provider's socket could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    #[error("provider unreachable: {0}")]
    Unreachable(String),
    #[error("provider refused the key (HTTP {0})")]
    Unauthorized(u16),
    #[error("provider limits our rate (HTTP 429)")]
    RateLimited,
    #[error("provider answered HTTP {0} to the upgrade")]
    Status(u16),
    #[error("no encrypted connection: {0}")]
    Tls(String),
}

/// Wall time, for records and expiry dates. Durations are measured with `tokio::time`, which tests can pause.
pub trait Clock: Send + Sync {
    fn now(&self) -> jiff::Timestamp;
}

/// Where ids come from.
pub trait Ids: Send + Sync {
    fn call_id(&self) -> CallId;
}

/// Identity of one call from ring to end: a `UUIDv7`, so that ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub uuid::Uuid);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({})", self.0)
    }
}
