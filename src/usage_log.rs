//! What calls used, as operators read it.
//!
//! It refuses to know where that is kept (`store`) and who asks for it.

use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::call_log::Page;
use crate::money::Usd;

/// Reads usage events. One per process, shared by all threads.
pub trait UsageLog: Send + Sync {
    /// At most `limit` events of that time, the oldest of all or those after the event `after_opt`.
    fn usage(
        &self,
        since_opt: Option<Timestamp>,
        until_opt: Option<Timestamp>,
        limit: u32,
        after_opt: Option<Uuid>,
    ) -> LocalBoxFuture<'static, Result<Page<UsageLine>, UsageUnreadable>>;
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsageLine {
    pub id: Uuid,
    pub at: Timestamp,
    pub call: Uuid,
    pub user: Option<Uuid>,
    pub agent: String,
    pub mode: String,
    pub event_type: String,
    /// Who is paid, and for what.
    pub provider: Option<String>,
    pub model: Option<String>,
    pub quantity: u64,
    pub unit: String,
    pub metadata: Value,
    /// Absent: unknown, which is not free.
    pub cost_usd: Option<Usd>,
    /// Of what other events cost: paid for audio that was cut off.
    pub unheard_usd: Usd,
    pub price_version: u32,
}

/// Why, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageUnreadable(pub String);
