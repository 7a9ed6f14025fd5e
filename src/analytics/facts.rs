//! Facts: what is reported of calls while they last, and when they end.
//!
//! They refuse to judge: a fact says what was reported, even if it cannot be. What counts of it is decided where it is
//! summed up.

use jiff::Timestamp;
use tandem_actors::mode::Mode;
use tandem_actors::usage::event::{EventKind, Unit};
use uuid::Uuid;

use crate::money::Microusd;

/// Something was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageEvent {
    pub at: Timestamp,
    /// Absent when the caller is not known, such as a withheld number.
    pub user_opt: Option<Uuid>,
    pub agent: String,
    pub mode: Mode,
    pub kind: EventKind,
    /// As it was reported, and so maybe negative.
    pub quantity: i64,
    pub unit: Unit,
    /// Absent when it has a price that is unknown. What has none, such as the start of a session, costs zero.
    pub cost_opt: Option<Microusd>,
    /// What of the cost of these and other events of the call was for audio that was made and not heard.
    pub unheard: Microusd,
}

/// A call is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEnding {
    pub ended_at: Timestamp,
    pub agent: String,
    /// The mode that the router gave it, whichever served it later: all that an ending says is told of that one. A call
    /// that another mode had to save speaks against the mode that failed, not against the one that saved it.
    pub mode: Mode,
    /// It had to leave its mode, or ended because of us.
    pub failed: bool,
    pub early_hang_up: bool,
    /// Absent as long as nobody has said what came of it.
    pub outcome_opt: Option<Outcome>,
    /// From the caller's silence to the agent's first audio, one for every answer.
    pub response_ms: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Good,
    Bad,
}
