//! Users and what agents remember of them: written as the journal brings it, and read by operators and by calls that begin.
//!
//! It refuses to know how a memory is made, and how somebody is forgotten; that is `erasure.rs`.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use tandem_actors::ports::CallId;
use uuid::Uuid;

use super::Store;
use super::columns::{Id, Stamp};
use super::database::{Connection, execute, row, rows};
use super::error::StoreError;
use super::retention::first_id_of;
use crate::journal::{Acquaintance, MemoryEntry, Remembered};
use crate::users::{Memory, User, UserLog, UsersUnreadable};

/// What the error of a failed reading calls it.
const USER: &str = "a user";

/// `agent, text, since, updated_at, call_id, calls`
type MemoryRow = (String, String, Stamp, Stamp, Id, i64);

/// Not of a caller who was forgotten meanwhile, which shows in his call, nor instead of a memory that is newer than the
/// one it was made from, or without that one. A call that is told of twice counts once.
pub(super) async fn remember(connection: &mut Connection<'_>, memory: MemoryEntry) -> sqlx::Result<()> {
    let upsert = "INSERT INTO memories (user_id, agent, text, since, updated_at, call_id, calls) \
                  SELECT $1, $2, $3, $4, $4, $5, 1 \
                  WHERE EXISTS (SELECT 1 FROM calls WHERE id = $5 AND user_id = $1) AND ($6 IS NULL OR EXISTS \
                  (SELECT 1 FROM memories WHERE user_id = $1 AND agent = $2 AND updated_at = $6)) \
                  ON CONFLICT (user_id, agent) DO UPDATE SET text = excluded.text, \
                  updated_at = excluded.updated_at, call_id = excluded.call_id, \
                  calls = memories.calls + CASE WHEN memories.call_id = excluded.call_id THEN 0 ELSE 1 END \
                  WHERE memories.updated_at = $6";
    let MemoryEntry { user, agent, call, at, text, before_opt } = memory;
    let text = text.replace('\0', "\u{fffd}"); // PostgreSQL has no text with it
    let before = before_opt.map(Stamp);
    let written = execute!(connection, upsert, Id(user), agent, text, Stamp(at), Id(call.0), before)?;
    if written == 0 {
        tracing::info!(call_id = %call, %user, "call is not remembered: what it was to be added to has gone or is newer");
    }
    Ok(())
}

impl Store {
    pub(super) async fn acquaintance_before(
        &self,
        user: Uuid,
        agent: String,
        call: CallId,
        since: Timestamp,
    ) -> Result<Acquaintance, StoreError> {
        let (user, call, since) = (Id(user), Id(call.0), Id(first_id_of(since)));
        let read = self.read(async move |connection| {
            let select = "SELECT memories.text, memories.updated_at, \
                          EXISTS (SELECT 1 FROM calls WHERE user_id = $1 AND id < $3 AND id >= $4) \
                          FROM (SELECT 1 AS row) AS one \
                          LEFT JOIN memories ON memories.user_id = $1 AND memories.agent = $2";
            row!(connection, select, user, agent, call, since)
        });
        let found: Option<(Option<String>, Option<Stamp>, bool)> = read.await.map_err(unread)?;
        let (text_opt, at_opt, callback) = found.unwrap_or_default();
        let memory_opt = text_opt.zip(at_opt).map(|(text, Stamp(at))| Remembered { text, at });
        Ok(Acquaintance { memory_opt, callback })
    }

    pub(super) async fn calls_going_on(
        &self,
        user: Uuid,
        since: Timestamp,
    ) -> Result<Vec<CallId>, StoreError> {
        let read = self.read(async move |connection| {
            let select = "SELECT id FROM calls WHERE user_id = $1 AND started_at >= $2 \
                          AND ended_at IS NULL AND over_at IS NULL";
            rows!(connection, select, Id(user), Stamp(since))
        });
        let found: Vec<(Id,)> = read.await.map_err(unread)?;
        Ok(found.into_iter().map(|(Id(id),)| CallId(id)).collect())
    }

    async fn find_user(&self, id: Uuid) -> Result<Option<User>, StoreError> {
        let read = self.read(async move |connection| {
            let select = "SELECT phone, first_seen, (SELECT count(*) FROM calls WHERE user_id = $1) \
                          FROM users WHERE id = $1";
            row!(connection, select, Id(id))
        });
        let found: Option<(Option<String>, Stamp, i64)> = read.await.map_err(unread)?;
        Ok(found.map(|(phone, Stamp(first_seen), calls)| User {
            id,
            phone,
            first_seen,
            calls: calls.cast_unsigned(),
        }))
    }

    async fn find_memories(&self, id: Uuid) -> Result<Vec<Memory>, StoreError> {
        let read = self.read(async move |connection| {
            let select = "SELECT agent, text, since, updated_at, call_id, calls FROM memories \
                          WHERE user_id = $1 ORDER BY agent";
            rows!(connection, select, Id(id))
        });
        let found: Vec<MemoryRow> = read.await.map_err(unread)?;
        Ok(found.into_iter().map(memory).collect())
    }
}

fn memory((agent, text, Stamp(since), Stamp(updated_at), Id(call), calls): MemoryRow) -> Memory {
    Memory { agent, text, since, updated_at, call, calls: calls.cast_unsigned() }
}

fn unread(source: sqlx::Error) -> StoreError {
    StoreError::Read { what: USER, source }
}

impl UserLog for Store {
    fn user(&self, id: Uuid) -> LocalBoxFuture<'static, Result<Option<User>, UsersUnreadable>> {
        let store = self.clone();
        async move { store.find_user(id).await.map_err(|error| UsersUnreadable(error.to_string())) }
            .boxed_local()
    }

    fn memories(&self, id: Uuid) -> LocalBoxFuture<'static, Result<Vec<Memory>, UsersUnreadable>> {
        let store = self.clone();
        async move { store.find_memories(id).await.map_err(|error| UsersUnreadable(error.to_string())) }
            .boxed_local()
    }
}
