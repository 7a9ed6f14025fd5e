//! Usage events as operators read them.
//!
//! It refuses to know how they are written; that is `calls.rs`.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::Store;
use super::calls::meant;
use super::columns::{Id, Stamp};
use super::database::rows;
use super::error::StoreError;
use crate::call_log::Page;
use crate::money::{Microusd, Usd};
use crate::usage_log::{UsageLine, UsageLog, UsageUnreadable};

/// `id, at, call_id, user_id, agent, mode, event_type, provider, model, quantity, unit, metadata, cost_microusd,
/// unheard_microusd, price_version`
#[rustfmt::skip]
type Row = (
    Id, Stamp, Id, Option<Id>, String, String, String, Option<String>, Option<String>, i64, String, String, Option<i64>,
    i64, i64,
);

impl UsageLog for Store {
    fn usage(
        &self,
        since_opt: Option<Timestamp>,
        until_opt: Option<Timestamp>,
        limit: u32,
        after_opt: Option<Uuid>,
    ) -> LocalBoxFuture<'static, Result<Page<UsageLine>, UsageUnreadable>> {
        let store = self.clone();
        async move {
            let read = store.usage_after(since_opt, until_opt, limit, after_opt).await;
            read.map_err(|error| UsageUnreadable(error.to_string()))
        }
        .boxed_local()
    }
}

impl Store {
    async fn usage_after(
        &self,
        since_opt: Option<Timestamp>,
        until_opt: Option<Timestamp>,
        limit: u32,
        after_opt: Option<Uuid>,
    ) -> Result<Page<UsageLine>, StoreError> {
        let (since, until) = (since_opt.map(Stamp), until_opt.map(Stamp));
        let after = Id(after_opt.unwrap_or(Uuid::nil()));
        let read = self.read(async move |connection| {
            let select = "SELECT id, at, call_id, user_id, agent, mode, event_type, provider, model, quantity, unit, \
                          metadata, cost_microusd, unheard_microusd, price_version FROM usage_events \
                          WHERE id > $1 AND ($2 IS NULL OR at >= $2) AND ($3 IS NULL OR at < $3) \
                          ORDER BY id LIMIT $4";
            rows!(connection, select, after, since, until, i64::from(limit) + 1)
        });
        let found: Vec<Row> =
            read.await.map_err(|source| StoreError::Read { what: "what was used", source })?;
        let has_more = found.len() > limit as usize;
        let entries = found.into_iter().take(limit as usize).map(line);
        Ok(Page { entries: entries.collect::<Result<_, _>>()?, more: has_more })
    }
}

fn line(row: Row) -> Result<UsageLine, StoreError> {
    let (Id(id), Stamp(at), Id(call), user, agent, mode, event_type, provider, model, ..) = row;
    let (.., quantity, unit, metadata, cost, unheard, price_version) = row;
    let usd = |microusd: i64| Usd(Microusd::from(microusd.cast_unsigned()));
    Ok(UsageLine {
        id,
        at,
        call,
        user: user.map(|Id(user)| user),
        agent,
        mode,
        event_type,
        provider,
        model,
        quantity: quantity.cast_unsigned(),
        unit,
        metadata: meant(&metadata)?,
        cost_usd: cost.map(usd),
        unheard_usd: usd(unheard),
        price_version: u32::try_from(price_version).unwrap_or_default(),
    })
}
