//! The OpenAI Realtime API over a WebSocket: one JSON object per text frame, in both directions.
//! Knows no socket and no order of events: a session's state machine is the engine's.
//!
//! We write the GA dialect and, for self-hosted servers, the older beta dialect; we read both into one set of events.
//! Source: OpenAI's API description (2026-08), its Python SDK for the beta dialect.
//!
//! Beside it stand the APIs over HTTP, which self-hosted servers speak too: [`chat`] and [`responses`] answer in text
//! ([`answer`] is what they share), [`speech`] speaks, [`transcription`] listens.

pub mod answer;
pub mod chat;
pub mod client;
mod dialect;
pub mod errors;
pub mod item;
mod lenient;
pub mod response;
pub mod responses;
pub mod server;
pub mod session;
pub mod speech;
pub mod transcription;

pub use client::ClientEvent;
pub use dialect::Dialect;
pub use errors::{ApiError, BenignKind, Severity, classify};
pub use item::{ContentPart, Item, ItemKind, PartKind};
pub use response::{Response, ResponseStatus, StatusDetails, Usage};
pub use server::{AudioDelta, Part, ServerEvent, ServerEventError};
pub use session::{AudioFormat, SessionConfig, Setting};
