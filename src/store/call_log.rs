//! Calls as operators read them.
//!
//! It refuses to know how calls are written; that is `calls.rs`.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use tandem_actors::call::cost::Spent;
use tandem_actors::record::CallState;
use uuid::Uuid;

use super::Store;
use super::calls::{CALL, meant, named};
use super::columns::{Id, Stamp};
use super::database::{row, rows};
use super::error::StoreError;
use crate::call_log::{Call, CallFilter, CallLog, CallLogUnreadable, Conversation, Event, Page, Turn};
use crate::money::{Microusd, Usd};

const COLUMNS: &str = "id, call_sid, user_id, agent, from_number, to_number, started_at, ended_at, over_at, state, \
                       routed, rule, mode, failed, spent, reward";

/// Calls, with what came of them.
const CALLS: &str = "calls LEFT JOIN call_outcomes ON call_outcomes.call_id = calls.id";

/// `COLUMNS`
#[rustfmt::skip]
type CallRow = (
    Id, String, Option<Id>, String, Option<String>, Option<String>, Stamp, Option<Stamp>, Option<Stamp>, String,
    String, Option<String>, String, String, String, Option<f64>,
);

/// `who, text, heard_text, began_ms, audio_ms, heard_ms, complete`
type TurnRow = (String, String, String, i64, i64, Option<i64>, bool);

/// `id, at, at_us, detail`
type EventRow = (Id, Stamp, Option<i64>, String);

type Read<T> = LocalBoxFuture<'static, Result<T, CallLogUnreadable>>;

impl CallLog for Store {
    fn calls(&self, filter: CallFilter, limit: u32, before_opt: Option<Uuid>) -> Read<Page<Call>> {
        let store = self.clone();
        async move { store.calls_before(filter, limit, before_opt).await.map_err(|error| told(&error)) }
            .boxed_local()
    }

    fn call(&self, id: Uuid) -> Read<Option<Conversation>> {
        let store = self.clone();
        async move { store.conversation(id).await.map_err(|error| told(&error)) }.boxed_local()
    }

    fn events(&self, call: Uuid, limit: u32, after_opt: Option<Uuid>) -> Read<Page<Event>> {
        let store = self.clone();
        async move { store.events_after(call, limit, after_opt).await.map_err(|error| told(&error)) }
            .boxed_local()
    }
}

fn told(error: &StoreError) -> CallLogUnreadable {
    CallLogUnreadable(error.to_string())
}

fn unread(source: sqlx::Error) -> StoreError {
    StoreError::Read { what: CALL, source }
}

impl Store {
    async fn calls_before(
        &self,
        filter: CallFilter,
        limit: u32,
        before_opt: Option<Uuid>,
    ) -> Result<Page<Call>, StoreError> {
        let CallFilter { agent, mode, live, user, from, since, until } = filter;
        let mode = mode.map(|mode| mode.name().to_owned());
        let (user, since, until) = (user.map(Id), since.map(Stamp), until.map(Stamp));
        let before = Id(before_opt.unwrap_or(Uuid::max()));
        let read = self.read(async move |connection| {
            let select = format!(
                "SELECT {COLUMNS} FROM {CALLS} WHERE id < $1 AND ($2 IS NULL OR agent = $2) AND ($3 IS NULL OR mode = $3) \
                 AND ($4 IS NULL OR (ended_at IS NULL AND over_at IS NULL) = $4) \
                 AND ($5 IS NULL OR user_id = $5) AND ($6 IS NULL OR from_number = $6) \
                 AND ($7 IS NULL OR started_at >= $7) AND ($8 IS NULL OR started_at < $8) \
                 ORDER BY id DESC LIMIT $9"
            );
            let limit = i64::from(limit) + 1; // the one too many says that there are more
            rows!(
                connection,
                AssertSqlSafe(select),
                before, agent, mode, live, user, from, since, until, limit
            )
        });
        let found: Vec<CallRow> = read.await.map_err(unread)?;
        let has_more = found.len() > limit as usize;
        let entries = found.into_iter().take(limit as usize).map(call);
        Ok(Page { entries: entries.collect::<Result<_, _>>()?, more: has_more })
    }

    async fn conversation(&self, id: Uuid) -> Result<Option<Conversation>, StoreError> {
        let read = self.read(async move |connection| {
            let select = format!("SELECT {COLUMNS} FROM {CALLS} WHERE id = $1");
            let found: Option<CallRow> = row!(connection, AssertSqlSafe(select), Id(id))?;
            let select = "SELECT who, text, heard_text, began_ms, audio_ms, heard_ms, complete FROM turns \
                          WHERE call_id = $1 ORDER BY began_ms, part";
            let turns: Vec<TurnRow> = rows!(connection, select, Id(id))?;
            Ok(found.map(|call| (call, turns)))
        });
        let Some((found, turns)) = read.await.map_err(unread)? else { return Ok(None) };
        Ok(Some(Conversation { call: call(found)?, turns: turns.into_iter().map(turn).collect() }))
    }

    async fn events_after(
        &self,
        call: Uuid,
        limit: u32,
        after_opt: Option<Uuid>,
    ) -> Result<Page<Event>, StoreError> {
        let after = Id(after_opt.unwrap_or(Uuid::nil()));
        let read = self.read(async move |connection| {
            let select = "SELECT id, at, at_us, detail FROM event_log WHERE call_id = $1 AND id > $2 \
                          ORDER BY id LIMIT $3";
            rows!(connection, select, Id(call), after, i64::from(limit) + 1)
        });
        let found: Vec<EventRow> = read.await.map_err(unread)?;
        let has_more = found.len() > limit as usize;
        let entries = found.into_iter().take(limit as usize).map(|(Id(id), Stamp(at), at_us, detail)| {
            let what: Value = meant(&detail)?;
            Ok(Event { id, at, at_ms: at_us.unwrap_or_default() as f64 / 1e3, what })
        });
        Ok(Page { entries: entries.collect::<Result<_, StoreError>>()?, more: has_more })
    }
}

fn call(row: CallRow) -> Result<Call, StoreError> {
    let (Id(id), call_sid, user, agent, from, to, Stamp(started_at), ended_at, over_at, ..) = row;
    let (.., state, routed, rule, mode, failed, spent, outcome) = row;
    let state: CallState = meant(&state)?;
    let state = if over_at.is_some() { state.for_good() } else { state };
    let (state, end_reason) = match state {
        CallState::Live => ("live", None),
        CallState::HandedOver { .. } => ("handed_over", None),
        CallState::Ended { reason, .. } => ("ended", Some(reason)),
    };
    let spent: Spent = meant(&spent)?;
    Ok(Call {
        id,
        call_sid,
        user: user.map(|Id(user)| user),
        agent,
        from,
        to,
        started_at,
        ended_at: ended_at.or(over_at).map(|Stamp(at)| at),
        state: state.to_owned(),
        end_reason,
        routed: named(&routed)?,
        rule,
        mode: named(&mode)?,
        failed: meant(&failed)?,
        cost_usd: Usd(Microusd::from(spent.microusd)),
        unpriced: spent.unpriced,
        carrier_usd: Usd(Microusd::from(spent.carrier_microusd)),
        outcome,
    })
}

fn turn((who, text, heard_text, began_ms, audio_ms, heard_ms, complete): TurnRow) -> Turn {
    let ms = i64::cast_unsigned;
    Turn {
        who,
        text,
        heard_text,
        began_ms: ms(began_ms),
        audio_ms: ms(audio_ms),
        heard_ms: heard_ms.map(ms),
        complete,
    }
}
