//! Twilio Media Streams: JSON text frames on the carrier's socket, one direction per file.
//! Knows no order of messages: which one may come when is the leg's matter.
//!
//! Source: Twilio's pages "Media Streams" and "WebSocket Messages"; liberties other callers take are accepted.

pub mod inbound;
pub mod outbound;
