//! The audit log as it is read: who changed what, when and why.
//!
//! It refuses to know where the log is kept (`store`) and who asks for it (`http`): neither may know the other.

use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// Reads the audit log. One per process, shared by all threads.
pub trait AuditLog: Send + Sync {
    /// At most `limit` entries, newest first: the newest of all, or those that are older than the entry `before_opt`.
    fn page(
        &self,
        limit: u32,
        before_opt: Option<Uuid>,
    ) -> LocalBoxFuture<'static, Result<Page, AuditUnreadable>>;
}

/// A run of the log, newest entry first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// There are older entries than the last of these.
    pub more: bool,
}

/// One change: who made it, of what, from what to what, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// A `UUIDv7`: ids sort as the changes were made.
    pub id: Uuid,
    pub at: Timestamp,
    pub who: String,
    pub what: String,
    pub before: Value,
    pub after: Value,
    /// In words.
    pub why: String,
}

/// Why, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuditUnreadable(pub String);
