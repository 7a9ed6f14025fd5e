//! What has become old, deleted in small batches: nobody waits long for a lock.
//!
//! It refuses to know how old is old.

use jiff::Timestamp;
use uuid::Uuid;

use super::Store;
use super::columns::{Id, Stamp};
use super::database::{Connection, execute};
use super::error::StoreError;

/// Rows, or calls with all their turns, of one transaction.
pub const BATCH: u64 = 500;

/// What may become old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aging {
    /// Calls, with their turns and events, and whoever has no other and is not remembered.
    Calls,
    /// What was said in them.
    Turns,
    /// What happened in them.
    Events,
    /// What they used, and how they ended: sums of it stay.
    Usage,
    /// What agents remember of callers who have not called for so long, and who has no call either.
    Memories,
}

impl Store {
    /// Deletes some of what is older than that, and tells how much it was: less than [`BATCH`] when nothing is left.
    pub async fn delete_older(&self, what: Aging, than: Timestamp) -> Result<u64, StoreError> {
        let deleted = self.write(async move |connection| {
            let (of_chosen, chosen): (&[&'static str], &'static str) = match what {
                Aging::Calls => (
                    &[
                        "DELETE FROM turns WHERE call_id IN (SELECT id FROM calls WHERE id < $1 ORDER BY id LIMIT $2)",
                        "DELETE FROM mode_changes WHERE call_id IN \
                         (SELECT id FROM calls WHERE id < $1 ORDER BY id LIMIT $2)",
                        "DELETE FROM event_log WHERE call_id IN \
                         (SELECT id FROM calls WHERE id < $1 ORDER BY id LIMIT $2)",
                        "DELETE FROM users WHERE id IN \
                         (SELECT user_id FROM calls WHERE id < $1 ORDER BY calls.id LIMIT $2) \
                         AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.user_id = users.id AND calls.id >= $1) \
                         AND NOT EXISTS (SELECT 1 FROM memories WHERE memories.user_id = users.id)",
                    ],
                    "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE id < $1 ORDER BY id LIMIT $2)",
                ),
                Aging::Turns => (
                    &[],
                    "DELETE FROM turns WHERE call_id IN \
                     (SELECT call_id FROM turns WHERE call_id < $1 ORDER BY call_id LIMIT $2)",
                ),
                Aging::Events => (
                    &[],
                    "DELETE FROM event_log WHERE id IN (SELECT id FROM event_log WHERE id < $1 ORDER BY id LIMIT $2)",
                ),
                Aging::Usage => (
                    &[
                        "DELETE FROM call_endings WHERE id IN \
                         (SELECT id FROM call_endings WHERE id < $1 ORDER BY id LIMIT $2)",
                        "DELETE FROM call_outcomes WHERE call_id IN \
                         (SELECT call_id FROM call_outcomes WHERE call_id < $1 ORDER BY call_id LIMIT $2)",
                    ],
                    "DELETE FROM usage_events WHERE id IN \
                     (SELECT id FROM usage_events WHERE id < $1 ORDER BY id LIMIT $2)",
                ),
                Aging::Memories => (
                    &[
                        "DELETE FROM users WHERE id IN \
                         (SELECT user_id FROM memories WHERE updated_at < $1 ORDER BY user_id, agent LIMIT $2) \
                         AND NOT EXISTS \
                         (SELECT 1 FROM memories WHERE memories.user_id = users.id AND memories.updated_at >= $1) \
                         AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.user_id = users.id)",
                    ],
                    "DELETE FROM memories WHERE (user_id, agent) IN \
                     (SELECT user_id, agent FROM memories WHERE updated_at < $1 ORDER BY user_id, agent LIMIT $2)",
                ),
            };
            for delete in of_chosen {
                delete_some(connection, delete, what, than).await?;
            }
            delete_some(connection, chosen, what, than).await
        });
        deleted.await.map_err(|source| StoreError::Write { what: "that something old is gone", source })
    }
}

/// Memories are as old as the last call in them; everything else is as old as its id.
async fn delete_some(
    connection: &mut Connection<'_>,
    delete: &'static str,
    what: Aging,
    than: Timestamp,
) -> sqlx::Result<u64> {
    let batch = BATCH.cast_signed();
    match what {
        Aging::Memories => execute!(connection, delete, Stamp(than), batch),
        Aging::Calls | Aging::Turns | Aging::Events | Aging::Usage => {
            execute!(connection, delete, Id(first_id_of(than)), batch)
        }
    }
}

/// No `UUIDv7` that was made then or later is below it: the first 48 bits are the time in milliseconds (RFC 9562).
pub(super) fn first_id_of(at: Timestamp) -> Uuid {
    Uuid::from_u128(u128::try_from(at.as_millisecond()).unwrap_or_default() << 80)
}
