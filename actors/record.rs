//! The record of a call: what outlives its streams, its actors and, behind a store that lasts, its process.
//!
//! Whoever answers the carrier next goes by it: the same node or another, after a hand-over or after a crash. It refuses
//! to know where it is kept; that is [`crate::ports::CallStore`].

use serde::{Deserialize, Serialize};

use crate::call::cost::Spent;
use crate::call::decide::EndReason;
use crate::call::turns::Conversation;
use crate::fallback::ladder::Rung;
use crate::ledger::Ledger;
use crate::mode::Mode;
use crate::ports::CallId;

/// What is known of one call. Cheap to clone: turns are shared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    pub id: CallId,
    /// The carrier's id of the call, by which it asks for it.
    pub call_sid: String,
    pub agent: String,
    pub from_opt: Option<String>,
    pub to_opt: Option<String>,
    pub started_at: jiff::Timestamp,
    /// The mode that the router gave it, and the rule that did; absent when nothing was drawn.
    pub routed: Mode,
    pub rule_opt: Option<String>,
    /// The mode that serves it, or served it last.
    pub mode: Mode,
    /// Modes that have been tried in vain, or have become too dear.
    pub failed: Vec<Mode>,
    pub ledger: Ledger,
    pub spent: Spent,
    /// In mode `traditional`: what else whoever answers the carrier's next question has to know.
    pub turns_opt: Option<Box<Conversation>>,
    pub state: CallState,
}

/// Where a call is, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CallState {
    /// An actor serves it; if none does although the carrier asks, it was lost.
    Live,
    /// Its actor has gone, and has said what is to come next.
    HandedOver { to: Rung },
    /// It is over: `for_good` when we ended it, or the carrier says so. Otherwise who is still on the line wants to go on.
    Ended { reason: String, for_good: bool },
}

impl CallState {
    /// The same, when the carrier has said that the call is over.
    #[must_use]
    pub fn for_good(self) -> Self {
        let reason = match self {
            Self::Ended { reason, .. } => reason,
            Self::Live | Self::HandedOver { .. } => EndReason::CallerHungUp.name().to_owned(),
        };
        Self::Ended { reason, for_good: true }
    }
}
