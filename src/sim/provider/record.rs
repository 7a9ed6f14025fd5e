//! What the provider saw of a session, for tests and the demo to read.
//!
//! Knows nothing of how it came about, and decides nothing.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::time::Instant;

use super::endpoints::Endpoint;
use crate::duplex::SocketEnd;

/// Raw caller audio kept per session: 4 MiB is 8.7 minutes of G.711 or 87 s of PCM.
pub const AUDIO_KEPT_BYTES_MAX: usize = 4 << 20;

/// Client events listed per session: at 50 appends a second, half an hour.
pub const CLIENT_EVENTS_KEPT_MAX: usize = 100_000;

/// One session from upgrade to end. Offsets in ms are in the audio the client sent.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    pub id: String,
    /// The `model` of the URL.
    pub model: String,
    /// Which upgrade of this provider it was, from 1.
    pub connection: usize,
    pub opened_at: Instant,
    /// When the first `session.updated` was sent.
    pub updated_at: Option<Instant>,
    pub closed_at: Option<Instant>,
    pub end: Option<SocketEnd>,
    /// Everything appended, as raw bytes in the format of its time; kept up to [`AUDIO_KEPT_BYTES_MAX`].
    pub audio: Vec<u8>,
    /// Duration of everything appended, in whole ms.
    pub audio_received_ms: u64,
    pub appends: u64,
    /// Appends that came before the first `session.updated` was sent: nobody had agreed on their format yet.
    pub appends_before_updated: u64,
    pub responses: Vec<ResponseRecord>,
    pub truncations: Vec<Truncation>,
    pub turns: Vec<Turn>,
    /// Types of the client's events, kept up to [`CLIENT_EVENTS_KEPT_MAX`].
    pub client_events: Vec<(Instant, Cow<'static, str>)>,
    /// Codes of the `error` events sent; `server_error` where the real one has none.
    pub errors_sent: Vec<String>,
    /// What the real one would put up with or answer oddly, and a good client does not do.
    pub violations: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRecord {
    pub id: String,
    /// Ids of the items it made.
    pub items: Vec<String>,
    /// The words planned for it; empty for tool calls.
    pub text: String,
    /// Audio sent, in whole ms.
    pub generated_ms: u64,
    /// `in_progress`, then `completed`, `cancelled`, `incomplete` or `failed`.
    pub status: &'static str,
    pub created_at: Instant,
    pub first_audio_at: Option<Instant>,
    pub done_at: Option<Instant>,
}

/// A `conversation.item.truncate` that named an item of the agent's speech.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    pub item_id: String,
    pub audio_end_ms: u64,
    /// Audio the item had, in whole ms, when the request came.
    pub item_ms: u64,
    pub accepted: bool,
    pub at: Instant,
}

/// One utterance of the caller as the provider's own detection heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub item_id: String,
    pub speech_start_ms: u64,
    pub speech_stop_ms: u64,
    /// When its end was noticed.
    pub at: Instant,
}

impl SessionRecord {
    pub(super) fn new(id: String, model: String, connection: usize, opened_at: Instant) -> Self {
        Self {
            id,
            model,
            connection,
            opened_at,
            updated_at: None,
            closed_at: None,
            end: None,
            audio: Vec::new(),
            audio_received_ms: 0,
            appends: 0,
            appends_before_updated: 0,
            responses: Vec::new(),
            truncations: Vec::new(),
            turns: Vec::new(),
            client_events: Vec::new(),
            errors_sent: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }
}

/// One request to an endpoint over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRecord {
    pub endpoint: Endpoint,
    /// Path and query, as they came.
    pub path: String,
    pub at: Instant,
    /// The body: JSON as it was parsed, a form as an object of its fields with files as name and size; null
    /// if it was neither.
    pub body: Value,
    /// Absent until the answer has begun.
    pub status: Option<u16>,
    pub first_byte_at: Option<Instant>,
    /// How the answer ended, and when.
    pub end: Option<(RequestEnd, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEnd {
    Complete,
    /// The client went away before it had the whole answer.
    Abandoned,
    /// A fault ended it.
    ByUs,
}

impl RequestRecord {
    pub(super) fn new(endpoint: Endpoint, path: String, at: Instant) -> Self {
        Self { endpoint, path, at, body: Value::Null, status: None, first_byte_at: None, end: None }
    }
}

/// A record being written by who it is about while others read it.
#[derive(Debug, Clone)]
pub(super) struct Shared<T>(Arc<Mutex<T>>);

impl<T: Clone> Shared<T> {
    pub(super) fn new(record: T) -> Self {
        Self(Arc::new(Mutex::new(record)))
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn snapshot(&self) -> T {
        self.with(|record| record.clone())
    }
}
