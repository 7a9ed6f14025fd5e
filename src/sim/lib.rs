//! The simulated world: a carrier that places calls and a speech provider that answers them, over real
//! sockets on loopback, so that no test and no first run needs an account.
//!
//! Knows the protocols from their documentation only. It imports neither the call tree nor the program, and
//! reads and writes its own JSON: it exists to find their bugs, so it must not share them.

pub mod carrier;
pub mod provider;
pub mod speech;
pub mod wav;

mod duplex;
mod spec;
mod wall;
