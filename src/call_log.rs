//! Calls as operators read them: which there were, what was said in them, and what happened.
//!
//! It refuses to know where calls are kept (`store`) and who asks for them (`http`): neither may know the other.

use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tandem_actors::mode::Mode;
use uuid::Uuid;

use crate::money::Usd;

/// Reads calls. One per process, shared by all threads.
pub trait CallLog: Send + Sync {
    /// At most `limit` calls that `filter` lets pass, the newest of all or those before the call `before_opt`.
    fn calls(
        &self,
        filter: CallFilter,
        limit: u32,
        before_opt: Option<Uuid>,
    ) -> LocalBoxFuture<'static, Result<Page<Call>, CallLogUnreadable>>;

    /// One call with its turns, in the order in which they were spoken.
    fn call(&self, id: Uuid) -> LocalBoxFuture<'static, Result<Option<Conversation>, CallLogUnreadable>>;

    /// At most `limit` events of a call, the first ones or those after the event `after_opt`.
    fn events(
        &self,
        call: Uuid,
        limit: u32,
        after_opt: Option<Uuid>,
    ) -> LocalBoxFuture<'static, Result<Page<Event>, CallLogUnreadable>>;
}

/// Absent lets all pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    pub agent: Option<String>,
    /// The mode that serves it, or served it last.
    pub mode: Option<Mode>,
    pub live: Option<bool>,
    pub user: Option<Uuid>,
    /// In E.164.
    pub from: Option<String>,
    /// Calls that began then or later, and before that.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// A run of a longer list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    /// There are more behind the last of these.
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    pub id: Uuid,
    pub call_sid: String,
    pub user: Option<Uuid>,
    pub agent: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// `live`, `handed_over` or `ended`.
    pub state: String,
    pub end_reason: Option<String>,
    /// The mode that the router gave it, and the rule that did.
    pub routed: Mode,
    pub rule: Option<String>,
    pub mode: Mode,
    /// Modes that were tried in vain, or have become too dear.
    pub failed: Vec<Mode>,
    /// So far.
    pub cost_usd: Usd,
    /// What was used and has no price: it is not in the sum, and not free.
    pub unpriced: u32,
    /// What the line to the carrier has cost so far, as far as its price is known; it comes on top.
    pub carrier_usd: Usd,
    /// What it was worth, 0 to 1, as somebody told.
    pub outcome: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conversation {
    #[serde(flatten)]
    pub call: Call,
    pub turns: Vec<Turn>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// `caller` or `agent`.
    pub who: String,
    pub text: String,
    /// The words of it that the caller heard.
    pub heard_text: String,
    /// Since the call began.
    pub began_ms: u64,
    /// Of the agent's audio; how much of it was heard, when that was not all.
    pub audio_ms: u64,
    pub heard_ms: Option<u64>,
    /// Whether it was said to its end.
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    pub id: Uuid,
    pub at: Timestamp,
    /// Since the call began.
    pub at_ms: f64,
    /// Its name as `event`, and what else there is to say.
    #[serde(flatten)]
    pub what: Value,
}

/// Why, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CallLogUnreadable(pub String);
