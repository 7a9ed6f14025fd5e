//! Tandem, a media switch for voice agents: your call survives the engine, the node and the deploy.
//!
//! The call tree is `tandem-actors`; this is what stands around it. To follow a call from socket to socket, read
//! `http/voice.rs` (it rings), `app/house.rs` (it begins, and its socket is admitted), `actors/call/mod.rs` (its tree),
//! `actors/leg/twilio/stream.rs` (carrier side), `actors/engine/realtime/actor.rs` (provider side) and
//! `actors/engine/realtime/session.rs` (the protocol, pure).

pub mod analytics;
pub mod app;
pub mod audit;
pub mod call_log;
pub mod cli;
pub mod clips;
pub mod clock;
pub mod config;
pub mod dial;
pub mod http;
mod identity;
pub mod instructions;
mod journal;
mod memory;
pub mod metrics;
pub mod money;
pub mod outcomes;
pub mod prices;
mod redaction;
pub mod socket;
pub mod spending;
pub mod spool;
pub mod statistics;
pub mod store;
pub mod telemetry;
mod tickets;
pub mod usage_log;
pub mod users;
