//! Calls with their turns, events and usage: written in batches as the journal brings them, and found again by who goes on
//! with them.
//!
//! It refuses to know how a call goes on.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tandem_actors::ledger::{Ledger, Share, Speaker, TURNS_MAX, Turn};
use tandem_actors::ports::CallId;
use tandem_actors::record::{CallRecord, CallState};
use uuid::Uuid;

use super::columns::{Id, Stamp};
use super::database::{Connection, execute, row, rows};
use super::error::StoreError;
use super::rows::{Again, Kind, Row, Table, id, integer, stamp, text};
use super::{Store, erasure, rollup, running, users};
use crate::journal::{
    Acquaintance, Archive, ArchiveError, Batch, CallEntry, EndingEntry, EventEntry, OutcomeEntry, TurnKey,
    UsageEntry,
};

const USERS: Table = Table {
    name: "users",
    columns: &[("id", Kind::Id), ("phone", Kind::Text), ("first_seen", Kind::Stamp)],
    again: Again::Stays,
};

const CALLS: Table = Table {
    name: "calls",
    columns: &[
        ("id", Kind::Id),
        ("call_sid", Kind::Text),
        ("user_id", Kind::Id),
        ("agent", Kind::Text),
        ("from_number", Kind::Text),
        ("to_number", Kind::Text),
        ("started_at", Kind::Stamp),
        ("routed", Kind::Text),
        ("rule", Kind::Text),
        ("mode", Kind::Text),
        ("failed", Kind::Text),
        ("spent", Kind::Text),
        ("questions", Kind::Text),
        ("state", Kind::Text),
        ("ended_at", Kind::Stamp),
        ("end_reason", Kind::Text),
        ("changed_at", Kind::Stamp),
    ],
    again: Again::Replaced { key: 1 },
};

const TURNS: Table = Table {
    name: "turns",
    columns: &[
        ("call_id", Kind::Id),
        ("who", Kind::Text),
        ("item", Kind::Text),
        ("part", Kind::Integer),
        ("began_ms", Kind::Integer),
        ("text", Kind::Text),
        ("heard_text", Kind::Text),
        ("audio_ms", Kind::Integer),
        ("heard_ms", Kind::Integer),
        ("complete", Kind::Boolean),
    ],
    again: Again::Replaced { key: 4 },
};

const EVENT_LOG: Table = Table {
    name: "event_log",
    columns: &[
        ("id", Kind::Id),
        ("at", Kind::Stamp),
        ("call_id", Kind::Id),
        ("at_us", Kind::Integer),
        ("event", Kind::Text),
        ("detail", Kind::Text),
    ],
    again: Again::Stays,
};

const MODE_CHANGES: Table = Table {
    name: "mode_changes",
    columns: &[
        ("id", Kind::Id),
        ("call_id", Kind::Id),
        ("at", Kind::Stamp),
        ("mode", Kind::Text),
        ("went_to", Kind::Text),
        ("why", Kind::Text),
    ],
    again: Again::Stays,
};

pub(super) const USAGE_EVENTS: Table = Table {
    name: "usage_events",
    columns: &[
        ("id", Kind::Id),
        ("at", Kind::Stamp),
        ("call_id", Kind::Id),
        ("user_id", Kind::Id),
        ("agent", Kind::Text),
        ("mode", Kind::Text),
        ("event_type", Kind::Text),
        ("provider", Kind::Text),
        ("model", Kind::Text),
        ("quantity", Kind::Integer),
        ("unit", Kind::Text),
        ("metadata", Kind::Text),
        ("cost_microusd", Kind::Integer),
        ("unheard_microusd", Kind::Integer),
        ("price_version", Kind::Integer),
    ],
    again: Again::Stays,
};

const CALL_ENDINGS: Table = Table {
    name: "call_endings",
    columns: &[
        ("id", Kind::Id),
        ("call_id", Kind::Id),
        ("ended_at", Kind::Stamp),
        ("agent", Kind::Text),
        ("mode", Kind::Text),
        ("is_last", Kind::Boolean),
        ("failed", Kind::Boolean),
        ("early_hang_up", Kind::Boolean),
        ("response_ms", Kind::Text),
    ],
    again: Again::Stays,
};

const CALL_OUTCOMES: Table = Table {
    name: "call_outcomes",
    columns: &[("call_id", Kind::Id), ("at", Kind::Stamp), ("reward", Kind::Real), ("note", Kind::Text)],
    again: Again::Stays,
};

/// What a turn without audio has for a part.
const NO_PART: i64 = -1;

/// What the error of a failed reading or writing calls it.
const JOURNAL: &str = "the journal";
pub(super) const CALL: &str = "a call";

impl Archive for Store {
    fn written(&self, spool: Uuid) -> LocalBoxFuture<'static, Result<u64, ArchiveError>> {
        let store = self.clone();
        let written = async move {
            let read = store.read(async move |connection| written(connection, spool).await).await;
            read.map_err(|source| StoreError::Read { what: JOURNAL, source })
        };
        written.map(|done| done.map_err(|error| told(&error))).boxed_local()
    }

    fn write(
        &self,
        spool: Uuid,
        number: u64,
        batch: Batch,
    ) -> LocalBoxFuture<'static, Result<(), ArchiveError>> {
        let store = self.clone();
        let write = async move |connection: &mut Connection<'_>| {
            if written(connection, spool).await? >= number {
                return Ok(()); // the answer was lost, not the writing
            }
            put(connection, &batch).await?;
            rollup::mark(connection, spool, number, &batch).await?;
            let advance = "INSERT INTO spools (id, number) VALUES ($1, $2) \
                           ON CONFLICT (id) DO UPDATE SET number = excluded.number";
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            execute!(connection, advance, Id(spool), number).map(drop)
        };
        let done = async move {
            store.write(write).await.map_err(|source| StoreError::Write { what: JOURNAL, source })
        };
        done.map(|done| done.map_err(|error| told(&error))).boxed_local()
    }

    fn find(&self, call_sid: &str) -> LocalBoxFuture<'static, Result<Option<CallRecord>, ArchiveError>> {
        let (store, call_sid) = (self.clone(), call_sid.to_owned());
        async move { store.find_call(call_sid).await.map_err(|error| told(&error)) }.boxed_local()
    }

    fn acquaintance(
        &self,
        user: Uuid,
        agent: String,
        call: CallId,
        since: Timestamp,
    ) -> LocalBoxFuture<'static, Result<Acquaintance, ArchiveError>> {
        let store = self.clone();
        let read = async move { store.acquaintance_before(user, agent, call, since).await };
        read.map(|done| done.map_err(|error| told(&error))).boxed_local()
    }

    fn going_on(
        &self,
        user: Uuid,
        since: Timestamp,
    ) -> LocalBoxFuture<'static, Result<Vec<CallId>, ArchiveError>> {
        let store = self.clone();
        async move { store.calls_going_on(user, since).await.map_err(|error| told(&error)) }.boxed_local()
    }
}

/// The database refuses what is wrong with the entries themselves; anything else passes.
fn told(error: &StoreError) -> ArchiveError {
    let passes = match error {
        StoreError::Read { source, .. } | StoreError::Write { source, .. } => !is_refusal(source),
        _ => false,
    };
    ArchiveError { why: error.to_string(), passes }
}

fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return matches!(error, sqlx::Error::Encode(_)) };
    let code = error.code().unwrap_or_default();
    match error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        // Data exceptions and integrity violations.
        Some(_) => code.starts_with("22") || code.starts_with("23"),
        // SQLITE_ERROR (malformed JSON among them), _TOOBIG, _CONSTRAINT and _MISMATCH, extended codes included.
        None => code.parse().is_ok_and(|code: i32| matches!(code & 0xFF, 1 | 18..=20)),
    }
}

// ------------------------------------------------------------ writing

async fn written(connection: &mut Connection<'_>, spool: Uuid) -> sqlx::Result<u64> {
    let found: Option<(i64,)> = row!(connection, "SELECT number FROM spools WHERE id = $1", Id(spool))?;
    Ok(found.map_or(0, |(number,)| number.cast_unsigned()))
}

async fn put(connection: &mut Connection<'_>, batch: &Batch) -> sqlx::Result<()> {
    let users = batch.users().into_values().map(|(user, first_seen)| {
        vec![id(user.id), user.phone_opt.as_deref().map_or(Value::Null, text), stamp(first_seen)]
    });
    USERS.put(connection, users.collect()).await?;
    CALLS.put(connection, batch.calls.values().map(call_row).collect()).await?;
    let retracted = batch.turns.iter().filter(|(_, turn)| turn.is_none());
    for ((call, key), _) in retracted {
        let delete = "DELETE FROM turns WHERE call_id = $1 AND who = $2 AND item = $3 AND part = $4";
        let (who, item, part) = (who(key.who), key.item.clone(), part(key));
        execute!(connection, delete, Id(call.0), who, item, part)?;
    }
    let turns = batch.turns.iter().filter_map(|((call, _), turn)| Some(turn_row(*call, turn.as_ref()?)));
    TURNS.put(connection, turns.collect()).await?;
    for (call_sid, at) in &batch.over {
        // Of the calls of that name, the one that had begun.
        let over = "UPDATE calls SET over_at = $2 \
                    WHERE call_sid = $1 AND started_at <= $2 AND over_at IS NULL";
        execute!(connection, over, call_sid.clone(), Stamp(*at))?;
    }
    EVENT_LOG.put(connection, batch.events.iter().map(event_row).collect()).await?;
    let changes = batch.events.iter().filter(|event| event.what["event"] == "mode_switched");
    MODE_CHANGES.put(connection, changes.map(mode_change_row).collect()).await?;
    USAGE_EVENTS.put(connection, batch.usage.values().map(usage_row).collect()).await?;
    for left in &batch.left {
        running::tell(connection, left).await?;
    }
    CALL_ENDINGS.put(connection, batch.endings.values().map(ending_row).collect()).await?;
    CALL_OUTCOMES.put(connection, batch.outcomes.values().map(outcome_row).collect()).await?;
    for memory in &batch.memories {
        users::remember(connection, memory.clone()).await?;
    }
    for forget in &batch.forgotten {
        erasure::erase(connection, forget.clone()).await?;
    }
    Ok(())
}

fn call_row(call: &CallEntry) -> Row {
    let text_opt = |value: &Option<String>| value.as_deref().map_or(Value::Null, text);
    let (ended_at, reason) = match &call.state {
        CallState::Ended { reason, .. } => (stamp(call.at), text(reason)),
        CallState::Live | CallState::HandedOver { .. } => (Value::Null, Value::Null),
    };
    vec![
        id(call.id.0),
        text(&call.call_sid),
        call.user_opt.as_ref().map_or(Value::Null, |user| id(user.id)),
        text(&call.agent),
        text_opt(&call.from_opt),
        text_opt(&call.to_opt),
        stamp(call.started_at),
        text(call.routed.name()),
        text_opt(&call.rule_opt),
        text(call.mode.name()),
        document(&call.failed),
        document(&call.spent),
        call.questions_opt.as_ref().map_or(Value::Null, document),
        document(&call.state),
        ended_at,
        reason,
        stamp(call.at),
    ]
}

fn turn_row(call: CallId, turn: &Turn) -> Row {
    let heard_ms = match turn.heard {
        Share::All => Value::Null,
        Share::Until { ms } => integer(ms),
    };
    vec![
        id(call.0),
        text(who(turn.who)),
        text(&turn.item),
        part(&TurnKey::of(turn)).into(),
        integer(turn.began_ms),
        text(&turn.text),
        text(turn.heard_text()),
        integer(turn.audio_ms),
        heard_ms,
        turn.complete.into(),
    ]
}

fn event_row(event: &EventEntry) -> Row {
    let name = event.what["event"].as_str().unwrap_or_default();
    let at_us = integer(event.at_us);
    vec![id(event.id), stamp(event.at), id(event.call.0), at_us, text(name), document(&event.what)]
}

fn mode_change_row(event: &EventEntry) -> Row {
    let word = |field: &str| text(event.what[field].as_str().unwrap_or_default());
    vec![id(event.id), id(event.call.0), stamp(event.at), word("from"), word("to"), word("why")]
}

fn usage_row(UsageEntry { user_opt, event }: &UsageEntry) -> Row {
    let text_opt = |value: &Option<String>| value.as_deref().map_or(Value::Null, text);
    vec![
        id(event.id),
        stamp(event.at),
        id(event.call.0),
        user_opt.map_or(Value::Null, id),
        text(&event.agent),
        text(event.mode.name()),
        name(&event.kind),
        text_opt(&event.provider_opt),
        text_opt(&event.model_opt),
        integer(event.quantity),
        name(&event.unit),
        document(&event.metadata),
        event.cost_microusd_opt.map_or(Value::Null, integer),
        integer(event.unheard_microusd),
        event.price_version.into(),
    ]
}

fn ending_row(ending: &EndingEntry) -> Row {
    vec![
        id(ending.id),
        id(ending.call.0),
        stamp(ending.at),
        text(&ending.agent),
        text(ending.mode.name()),
        ending.is_last.into(),
        ending.failed.into(),
        ending.early_hang_up.into(),
        document(&ending.response_ms),
    ]
}

fn outcome_row(outcome: &OutcomeEntry) -> Row {
    vec![id(outcome.call.0), stamp(outcome.at), outcome.reward.into(), text(&outcome.note)]
}

/// What is written as its name in JSON, by itself.
pub(super) fn name(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("a name is a text")
}

/// JSON within a cell.
fn document(value: &impl Serialize) -> Value {
    let written =
        serde_json::to_string(value).expect("its keys are text, and none of it refuses to be written");
    text(&written)
}

fn who(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Caller => "caller",
        Speaker::Agent => "agent",
    }
}

fn part(key: &TurnKey) -> i64 {
    key.part.map_or(NO_PART, i64::from)
}

// ------------------------------------------------------------ reading

/// `id, agent, from_number, to_number, started_at, routed, rule, mode, failed, spent, questions, state, over_at`
#[rustfmt::skip]
type CallRow = (
    Id, String, Option<String>, Option<String>, Stamp, String, Option<String>, String, String, String, Option<String>,
    String, Option<Stamp>,
);

/// `who, item, part, text, audio_ms, heard_ms, complete, began_ms`
type TurnRow = (String, String, i64, String, i64, Option<i64>, bool, i64);

impl Store {
    async fn find_call(&self, call_sid: String) -> Result<Option<CallRecord>, StoreError> {
        let sid = call_sid.clone();
        let turns_max = i64::try_from(TURNS_MAX).unwrap_or(i64::MAX);
        let read = self.read(async move |connection| {
            let select = "SELECT id, agent, from_number, to_number, started_at, routed, rule, mode, failed, spent, \
                          questions, state, over_at FROM calls WHERE call_sid = $1 ORDER BY id DESC LIMIT 1";
            let found: Option<CallRow> = row!(connection, select, sid)?;
            let Some(call) = found else { return Ok(None) };
            let select = "SELECT who, item, part, text, audio_ms, heard_ms, complete, began_ms FROM turns \
                          WHERE call_id = $1 ORDER BY began_ms DESC, part DESC LIMIT $2";
            let turns: Vec<TurnRow> = rows!(connection, select, call.0, turns_max)?;
            Ok(Some((call, turns)))
        });
        let found = read.await.map_err(|source| StoreError::Read { what: CALL, source })?;
        let Some((call, turns)) = found else { return Ok(None) };
        let (Id(id), agent, from_opt, to_opt, Stamp(started_at), routed, rule_opt, mode, ..) = call;
        let (.., failed, spent, questions, state, over_at) = call;
        let turns_opt = questions.map(|questions| meant(&questions)).transpose()?;
        let state: CallState = meant(&state)?;
        let state = if over_at.is_some() { state.for_good() } else { state };
        Ok(Some(CallRecord {
            id: CallId(id),
            call_sid,
            agent,
            from_opt,
            to_opt,
            started_at,
            routed: named(&routed)?,
            rule_opt,
            mode: named(&mode)?,
            failed: meant(&failed)?,
            ledger: turns.into_iter().rev().map(turn).collect::<Result<Ledger, _>>()?,
            spent: meant(&spent)?,
            turns_opt,
            state,
        }))
    }
}

fn turn(
    (who, item, part, text, audio_ms, heard_ms, complete, began_ms): TurnRow,
) -> Result<Turn, StoreError> {
    Ok(Turn {
        who: named(&who)?,
        item,
        part: u32::try_from(part).ok(),
        text,
        audio_ms: audio_ms.cast_unsigned(),
        complete,
        heard: heard_ms.map_or(Share::All, |ms| Share::Until { ms: ms.cast_unsigned() }),
        began_ms: began_ms.cast_unsigned(),
    })
}

/// A name that stands in a column by itself.
pub(super) fn named<T: DeserializeOwned>(name: &str) -> Result<T, StoreError> {
    serde_json::from_value(json!(name)).map_err(|error| odd(&error))
}

pub(super) fn meant<T: DeserializeOwned>(document: &str) -> Result<T, StoreError> {
    serde_json::from_str(document).map_err(|error| odd(&error))
}

fn odd(error: &serde_json::Error) -> StoreError {
    StoreError::Inconsistent { what: CALL, detail: error.to_string() }
}
