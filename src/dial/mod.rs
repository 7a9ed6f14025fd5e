//! Sockets and requests to providers, for the call tree.
//!
//! It refuses to know our own HTTP surface and the store.

mod chat;
mod http;
mod realtime;
#[cfg(test)]
mod scripted;
mod tls;
mod transcriber;
mod voice;

pub use chat::{ChatApi, ChatLine, ChatOptions, LengthField};
pub use http::{Connections, LineError, provider};
pub use realtime::{ProviderError, RealtimeDialer};
pub use tls::public_roots;
pub use transcriber::TranscriptionLine;
pub use voice::{SpeechApi, SpeechLine, SpeechOptions};
