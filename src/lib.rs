//! Tandem, a media switch for voice agents: your call survives the engine, the node and the deploy.
//!
//! The call tree is `tandem-actors`; this is what stands around it. To follow a call from socket to socket, read
//! `http/voice.rs` (it rings), `http/media.rs` (its socket arrives), `app.rs` (it is admitted),
//! `actors/leg/twilio/stream.rs` (caller audio in), `actors/engine/realtime/actor.rs` (to the provider and back) and
//! `actors/call/mod.rs` (who watches over it).

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dial;
pub mod http;
pub mod socket;
pub mod telemetry;
mod tickets;
