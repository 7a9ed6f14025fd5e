//! The simulated world from outside: real sockets, real time, and the clients that are out there.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod carrier;
mod provider;
mod sdk;
mod switch;
