//! What the outside must provide to a call: sockets, a way to dial an engine, models that answer, speak and listen over
//! HTTP, wall time and ids.
//!
//! This file refuses to know how any of it is done: no WebSocket library, no HTTP, no system clock.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::LocalBoxStream;
use futures_util::{Sink, Stream};
use serde::{Deserialize, Serialize};
use tandem_wire::openai::Usage;

use crate::call::timeline::What;
use crate::ledger::Speaker;
use crate::record::CallRecord;
use crate::usage::Run;
use crate::usage::event::UsageEvent;

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

/// A model, as its provider names it, and the provider. By its name its price is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId {
    pub provider: String,
    pub name: String,
}

/// A language model that answers in text. One per process, shared by all calls of all threads.
pub trait ChatModel: Send + Sync {
    fn model(&self) -> ModelId;

    /// Begins an answer. The stream ends after [`ChatPiece::Done`] or an error. Dropping it abandons the request, and
    /// nothing more is paid for. It waits as long as the provider does: deadlines are the caller's.
    fn answer(&self, request: ChatRequest) -> LocalBoxStream<'static, Result<ChatPiece, ModelError>>;
}

/// What a chat model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRequest {
    pub instructions: String,
    /// The conversation so far, oldest first; usually the caller's words come last.
    pub turns: Vec<ChatTurn>,
    /// Absent leaves the length to the provider.
    pub output_tokens_max: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTurn {
    pub who: Speaker,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatPiece {
    /// Words as the model makes them, cut anywhere.
    Text(String),
    Done {
        stop: ChatStop,
        usage: Option<ChatUsage>,
    },
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatStop {
    Complete,
    /// The bound on its length was reached.
    Length,
    /// The provider withheld the rest.
    Filtered,
}

/// What an answer took, in the provider's own figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChatUsage {
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
}

/// What an answer took, as other engines tell it: nothing but text.
impl From<ChatUsage> for Usage {
    fn from(used: ChatUsage) -> Self {
        let mut usage = Self {
            total_tokens: used.input_tokens.saturating_add(used.output_tokens),
            input_tokens: used.input_tokens,
            output_tokens: used.output_tokens,
            ..Self::default()
        };
        usage.input_token_details.text_tokens = used.input_tokens;
        usage.input_token_details.cached_tokens = used.cached_input_tokens;
        usage.input_token_details.cached_tokens_details.text_tokens = used.cached_input_tokens;
        usage.output_token_details.text_tokens = used.output_tokens;
        usage
    }
}

/// A model that speaks. One per process, shared by all calls of all threads.
pub trait Voice: Send + Sync {
    fn model(&self) -> ModelId;

    /// Has `text` spoken. Yields PCM16 (little-endian, mono, 24 kHz) as it is made, cut anywhere, even in mid-sample.
    /// Dropping the stream abandons the request.
    fn speak(&self, text: &str) -> LocalBoxStream<'static, Result<Bytes, ModelError>>;
}

/// A model that listens. One per process, shared by all calls of all threads.
pub trait Transcriber: Send + Sync {
    fn model(&self) -> ModelId;

    /// Writes down an utterance: PCM16, mono, 16 kHz. `language` is ISO 639-1, or empty. Silence yields no words.
    fn transcribe(
        &self,
        samples: Vec<i16>,
        language: &str,
    ) -> LocalBoxFuture<'static, Result<String, ModelError>>;
}

/// Why a model over HTTP did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    #[error("provider unreachable: {0}")]
    Unreachable(String),
    #[error("provider refused the key (HTTP {0})")]
    Unauthorized(u16),
    #[error("provider limits our rate (HTTP 429)")]
    RateLimited,
    /// Its own words, shortened.
    #[error("provider answered HTTP {status}: {detail}")]
    Status { status: u16, detail: String },
    /// The answer broke off, or made no sense.
    #[error("answer broke off: {0}")]
    Broken(String),
    /// An error told within an answer.
    #[error("provider reported {code}: {message}")]
    Reported { code: String, message: String },
}

impl ModelError {
    /// Whether the same request is worth another try.
    pub fn retry(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::Reported { .. } => true,
            Self::Unauthorized(_) | Self::RateLimited => false,
            Self::Status { status, .. } => *status >= 500 || *status == 408,
        }
    }
}

/// Keeps the records of calls. One per process, shared by all threads.
pub trait CallStore: Send + Sync {
    /// Keeps the newest state of a call. Never waits: a store that has to hands it on, in order.
    fn keep(&self, record: CallRecord);

    /// The record of the call that the carrier names so, if it was ever kept.
    fn find(&self, call_sid: &str) -> LocalBoxFuture<'static, Option<CallRecord>>;

    /// The carrier says that this call is over: from now on it is found as ended for good, whatever else is kept of it.
    fn over(&self, call_sid: &str);

    /// Something happened in a call, so long after it began. Never waits, like [`Self::keep`].
    fn note(&self, call: CallId, at: Duration, what: &What);
}

/// Price lists, one after the other: they change while calls go on. One per process, shared by all threads.
pub trait PriceLists: Send + Sync {
    /// The list in use. Whoever prices something asks one list for all of it, its version included.
    fn in_use(&self) -> Arc<dyn Prices>;
}

/// What models cost: one list, which does not change.
pub trait Prices: Send + Sync {
    /// What this usage of a model's tokens costs, in micro-dollars, rounded up. Nothing when the price of the model, or of
    /// any kind of token that was used, is unknown: that is never free.
    fn tokens(&self, model: &str, usage: &Usage) -> Option<u64>;

    /// The same for a model that is paid by the time of its audio.
    fn time(&self, model: &str, time: Duration) -> Option<u64>;

    /// The same for a model that is paid by the length of its text.
    fn characters(&self, model: &str, characters: u64) -> Option<u64>;

    /// The same for a started minute of a line to the carrier.
    fn carrier_minute(&self, line: Line) -> Option<u64>;

    /// Which price list this is.
    fn version(&self) -> u32;
}

/// What the carrier keeps open for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Line {
    /// The call alone.
    Call,
    /// The call, and a media stream.
    Streamed,
}

/// Takes usage events, for good. One per process, shared by all threads.
pub trait UsageSpool: Send + Sync {
    /// Takes one more. Never waits and never fails: what it cannot keep, it counts. The same event may come twice.
    fn append(&self, event: UsageEvent);

    /// What runs in this call and is in no event yet; nothing when nothing does any more. Told once a second, and whenever
    /// it changes, before the events that tell of it. Who is killed has told at least this.
    fn running(&self, call: CallId, run_opt: Option<Run>);
}

/// Wall time, for records and expiry dates. Durations are measured with `tokio::time`, which tests can pause.
pub trait Clock: Send + Sync {
    fn now(&self) -> jiff::Timestamp;
}

/// Where ids come from: all are `UUIDv7`, so that they sort by time.
pub trait Ids: Send + Sync {
    fn call_id(&self) -> CallId;

    /// Of a usage event.
    fn event_id(&self) -> uuid::Uuid;
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
