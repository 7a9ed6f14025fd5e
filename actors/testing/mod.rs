//! The universe of tests: real calls between in-memory sockets, on virtual time, with faults on request.
//!
//! It refuses to be the simulated world (`src/sim`): there is no network here, no speech and no faithful carrier,
//! only what is needed to drive a call tree into any state and to see what comes out.

mod peers;
mod prices;
mod quiet;
mod recording;
mod sabotage;
mod store;
mod universe;

pub use peers::{CarrierPeer, Peer, ProviderPeer, socket_pair};
pub use prices::{ChangingPrices, FlatPrice, NoPrices, always};
pub use quiet::{FarEnd, QuietCall};
pub use recording::{CountedIds, MemorySpool, VirtualClock, scripted};
pub use sabotage::{Sabotage, SabotageChild};
pub use store::MemoryCallStore;
pub use universe::{CallOptions, Dial, NoProbes, Universe, test_agent};
