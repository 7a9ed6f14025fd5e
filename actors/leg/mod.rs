//! Legs: the caller's side of a call. A leg knows its socket, its lanes and nobody else.

pub mod twilio;
