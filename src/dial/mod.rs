//! Sockets to providers, dialled for the call tree.
//!
//! It refuses to know our own HTTP surface and the store.

mod realtime;
mod tls;

pub use realtime::{ProviderError, RealtimeDialer};
pub use tls::public_roots;
