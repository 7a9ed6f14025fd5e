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

use crate::users::Erasure;

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
    /// What ran when the process before this one was killed.
    Left(LeftEntry),
    /// What is remembered of a caller from now on.
    Memory(Box<MemoryEntry>),
    /// Somebody is to be forgotten: what stands before it of him goes with what the tables have.
    Forget(ForgetEntry),
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

/// What an agent is to remember of a caller. It is not written when the call is not his any more, because he was
/// forgotten meanwhile, nor when what it was made from does not stand any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemoryEntry {
    pub(crate) user: Uuid,
    pub(crate) agent: String,
    pub(crate) call: CallId,
    pub(crate) at: Timestamp,
    pub(crate) text: String,
    /// When the memory was written that this one was made from, if there was one.
    pub(crate) before_opt: Option<Timestamp>,
}

/// Who is to be forgotten, how far, and who wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ForgetEntry {
    /// Of its entry in the audit log.
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) user: Uuid,
    pub(crate) what: Erasure,
    pub(crate) who: String,
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

/// What ran in a process that was killed, and was in no usage event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LeftEntry {
    /// That life of the process.
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

impl Entry {
    /// Whether what comes after it must not be written with it.
    pub(crate) fn ends_a_batch(&self) -> bool {
        matches!(self, Self::Forget(_))
    }
}

impl TurnKey {
    pub(crate) fn of(turn: &Turn) -> Self {
        Self { who: turn.who, item: turn.item.clone(), part: turn.part }
    }
}
