//! What was spent in a month, as it is kept.
//!
//! It refuses to know where that is (`store`), and what it is compared with.

use futures_util::future::LocalBoxFuture;
use jiff::civil::Date;
use tandem_actors::budgets::Tally;
use uuid::Uuid;

/// Reads what days cost. One per process, shared by all threads.
pub trait Spending: Send + Sync {
    /// What the calls of each agent cost in the month that begins with `first`.
    fn of_agents(
        &self,
        first: Date,
    ) -> LocalBoxFuture<'static, Result<Vec<(String, Tally)>, SpendingUnreadable>>;

    /// The same of a user's calls.
    fn of_user(&self, user: Uuid, first: Date) -> LocalBoxFuture<'static, Result<Tally, SpendingUnreadable>>;
}

/// Why, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpendingUnreadable(pub String);
