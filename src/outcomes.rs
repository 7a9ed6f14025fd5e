//! What came of calls, as somebody tells afterwards.
//!
//! It refuses to judge, and to know where it is kept.

use tandem_actors::ports::CallId;

/// Takes outcomes, for good. One per process, shared by all threads.
pub trait Outcomes: Send + Sync {
    /// What the call was worth, 0 to 1. The first to tell is believed. Never waits, and never fails: what cannot be
    /// kept is counted.
    fn tell(&self, call: CallId, reward: f64, note: String);
}
