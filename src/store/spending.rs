//! What a month has cost so far, from the sums of its days.
//!
//! It refuses to know how sums come about; that is `rollup.rs`. Rows are added up here, where a sum ends at the end of its
//! range; a database that leaves it gives an error instead.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::civil::Date;
use tandem_actors::budgets::Tally;
use uuid::Uuid;

use super::Store;
use super::columns::{Day, Id};
use super::database::rows;
use super::error::StoreError;
use crate::spending::{Spending, SpendingUnreadable};

/// `agent, cost_microusd, unpriced_events`
type AgentRow = (String, i64, i64);

/// `cost_microusd, unpriced_events`
type UserRow = (i64, i64);

const WHAT: &str = "what the month has cost";

impl Spending for Store {
    fn of_agents(
        &self,
        first: Date,
    ) -> LocalBoxFuture<'static, Result<Vec<(String, Tally)>, SpendingUnreadable>> {
        let store = self.clone();
        async move { store.spent_by_agents(first).await.map_err(|error| told(&error)) }.boxed_local()
    }

    fn of_user(&self, user: Uuid, first: Date) -> LocalBoxFuture<'static, Result<Tally, SpendingUnreadable>> {
        let store = self.clone();
        async move { store.spent_by_user(user, first).await.map_err(|error| told(&error)) }.boxed_local()
    }
}

fn told(error: &StoreError) -> SpendingUnreadable {
    SpendingUnreadable(error.to_string())
}

impl Store {
    async fn spent_by_agents(&self, first: Date) -> Result<Vec<(String, Tally)>, StoreError> {
        let read = self.read(async move |connection| {
            let select = "SELECT agent, cost_microusd, unpriced_events FROM daily_mode_stats \
                          WHERE date >= $1 AND date <= $2";
            rows!(connection, select, Day(first), Day(first.last_of_month()))
        });
        let found: Vec<AgentRow> = read.await.map_err(|source| StoreError::Read { what: WHAT, source })?;
        let mut agents = BTreeMap::<String, Tally>::new();
        for (agent, microusd, unpriced) in found {
            let spent = agents.entry(agent).or_default();
            *spent = spent.and(tally((microusd, unpriced)));
        }
        Ok(agents.into_iter().collect())
    }

    async fn spent_by_user(&self, user: Uuid, first: Date) -> Result<Tally, StoreError> {
        let read = self.read(async move |connection| {
            let select = "SELECT cost_microusd, unpriced_events FROM user_days \
                          WHERE user_id = $1 AND date >= $2 AND date <= $3";
            rows!(connection, select, Id(user), Day(first), Day(first.last_of_month()))
        });
        let found: Vec<UserRow> = read.await.map_err(|source| StoreError::Read { what: WHAT, source })?;
        Ok(found.into_iter().map(tally).fold(Tally::default(), Tally::and))
    }
}

fn tally((microusd, unpriced): UserRow) -> Tally {
    Tally {
        microusd: u64::try_from(microusd).unwrap_or_default(),
        unpriced: u64::try_from(unpriced).unwrap_or_default(),
    }
}
