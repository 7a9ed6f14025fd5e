//! The call tree.

pub mod agent;
pub mod call;
pub mod engine;
pub mod kit;
pub mod ledger;
pub mod leg;
pub mod messages;
pub mod ports;
pub mod switchboard;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transcoder;
