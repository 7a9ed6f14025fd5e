//! What the journal holds, entry by entry, as it stands in the spool.
//!
//! It refuses to know how entries are written into tables. An entry that was spooled by an older program must be read by
//! a newer one: fields are added with a default, and never change their meaning.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tandem_actors::call::cost::Spent;
use tandem_actors::call::turns::Conversation;
use tandem_actors::ledger::{Speaker, Turn};
use tandem_actors::mode::Mode;
use tandem_actors::ports::CallId;
use tandem_actors::record::CallState;
use tandem_actors::usage::event::UsageEvent;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A call as it stands now.
    Call(Box<CallEntry>),
    /// The carrier says that its call is over.
    Over {
        call_sid: String,
        at: Timestamp,
    },
    Event(EventEntry),
    Usage(Box<UsageEntry>),
    Ending(Box<EndingEntry>),
    Outcome(OutcomeEntry),
    Running(RunningEntry),
}

/// All of a call but its turns, and those of its turns that have changed since its last entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CallEntry {
    pub(crate) id: CallId,
    pub(crate) at: Timestamp,
    pub(crate) call_sid: String,
    pub(crate) user_opt: Option<User>,
    pub(crate) agent: String,
    pub(crate) from_opt: Option<String>,
    pub(crate) to_opt: Option<String>,
    pub(crate) started_at: Timestamp,
    pub(crate) routed: Mode,
    pub(crate) rule_opt: Option<String>,
    pub(crate) mode: Mode,
    pub(crate) failed: Vec<Mode>,
    pub(crate) spent: Spent,
    pub(crate) questions_opt: Option<Box<Conversation>>,
    pub(crate) state: CallState,
    pub(crate) turns: Vec<Turn>,
    /// Turns that were taken back: their words will be told again.
    pub(crate) retracted: Vec<TurnKey>,
}

/// Something was used, by whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UsageEntry {
    pub(crate) user_opt: Option<Uuid>,
    pub(crate) event: UsageEvent,
}

/// Who called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    /// E.164. Absent where numbers are not to be kept.
    pub(crate) phone_opt: Option<String>,
}

/// Names a turn within its call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TurnKey {
    pub(crate) who: Speaker,
    pub(crate) item: String,
    pub(crate) part: Option<u32>,
}

/// Something that happened in a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventEntry {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) call: CallId,
    /// Since the call began.
    pub(crate) at_us: u64,
    /// JSON: its name as `event`, and what else there is to say.
    pub(crate) what: serde_json::Value,
}

/// A part of a call is over: what one actor served of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndingEntry {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) call: CallId,
    pub(crate) agent: String,
    /// The mode that the router gave the call.
    pub(crate) mode: Mode,
    /// The call is over with it.
    pub(crate) is_last: bool,
    pub(crate) failed: bool,
    pub(crate) early_hang_up: bool,
    pub(crate) response_ms: Vec<u32>,
}

/// What runs in a process and is in no usage event yet. The last that a process says of it stands for all before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunningEntry {
    /// This life of the process.
    pub(crate) process: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) calls: Vec<RunningCall>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningCall {
    pub(crate) call: CallId,
    /// For so long it was served, and so much was heard of its caller.
    pub(crate) served_ms: u64,
    pub(crate) heard_ms: u64,
}

/// Somebody says what came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutcomeEntry {
    pub(crate) call: CallId,
    pub(crate) at: Timestamp,
    /// 0 to 1.
    pub(crate) reward: f64,
    pub(crate) note: String,
}

impl TurnKey {
    pub(crate) fn of(turn: &Turn) -> Self {
        Self { who: turn.who, item: turn.item.clone(), part: turn.part }
    }
}
