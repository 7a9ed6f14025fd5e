//! The realtime engine: one model that hears and speaks, over the OpenAI Realtime protocol.
//!
//! [`session`] is the protocol as a pure state machine; [`settings`] says what is asked of the provider;
//! `audio` cuts bytes into frames and joins frames into bytes; [`actor`] owns the socket and the lanes and carries out
//! what the session decides.

pub mod actor;
mod audio;
pub mod session;
pub mod settings;

pub use actor::RealtimeSession;
