//! Statistics as operators ask for them, and the money that they enter.
//!
//! It refuses to know where sums are kept (`store`), how they come about (`analytics`) and who asks (`http`).

use futures_util::future::LocalBoxFuture;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use crate::analytics::History;
use crate::money::Usd;

/// Reads sums, and takes revenue. One per process, shared by all threads.
pub trait Statistics: Send + Sync {
    /// What the dashboard of the window that ends with this day is made from.
    fn history(&self, last: Date) -> LocalBoxFuture<'static, Result<History, StatisticsError>>;

    /// Enters revenue, all entries or none, each with its audit entry by `who`. An entry takes the place of that of the
    /// same id.
    fn enter(
        &self,
        entries: Vec<RevenueEntry>,
        who: String,
    ) -> LocalBoxFuture<'static, Result<(), StatisticsError>>;

    /// What was entered for these days, by day.
    fn entered(
        &self,
        first: Date,
        last: Date,
    ) -> LocalBoxFuture<'static, Result<Vec<RevenueEntry>, StatisticsError>>;
}

/// Money that came in on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevenueEntry {
    pub id: Uuid,
    pub date: Date,
    /// Absent when it is of no agent in particular.
    pub agent: Option<String>,
    pub amount: Usd,
    pub note: String,
}

/// Why, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StatisticsError(pub String);
