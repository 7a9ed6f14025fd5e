//! What has become old, deleted in small batches: nobody waits long for a lock.
//!
//! It refuses to know how old is old.

use jiff::Timestamp;
use uuid::Uuid;

use super::Store;
use super::columns::Id;
use super::database::execute;
use super::error::StoreError;

/// Rows, or calls with all their turns, of one transaction.
pub const BATCH: u64 = 500;

/// What may become old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aging {
    /// Calls, with their turns and events.
    Calls,
    /// What was said in them.
    Turns,
    /// What happened in them.
    Events,
    /// What they used, and how they ended: sums of it stay.
    Usage,
}

impl Store {
    /// Deletes some of what is older than that, and tells how much it was: less than [`BATCH`] when nothing is left.
    pub async fn delete_older(&self, what: Aging, than: Timestamp) -> Result<u64, StoreError> {
        let cut = Id(first_id_of(than));
        let batch = BATCH.cast_signed();
        let deleted = self.write(async move |connection| {
            let (of_chosen, chosen): (&[&'static str], &'static str) = match what {
                Aging::Calls => (
                    &[
                        "DELETE FROM turns WHERE call_id IN (SELECT id FROM calls WHERE id < $1 ORDER BY id LIMIT $2)",
                        "DELETE FROM mode_changes WHERE call_id IN \
                         (SELECT id FROM calls WHERE id < $1 ORDER BY id LIMIT $2)",
                        "DELETE FROM event_log WHERE call_id IN \
                         (SELECT id FROM calls WHERE id < $1 ORDER BY id LIMIT $2)",
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
            };
            for delete in of_chosen {
                execute!(connection, *delete, cut, batch)?;
            }
            execute!(connection, chosen, cut, batch)
        });
        deleted.await.map_err(|source| StoreError::Write { what: "that something old is gone", source })
    }
}

/// No `UUIDv7` that was made then or later is below it: the first 48 bits are the time in milliseconds (RFC 9562).
fn first_id_of(at: Timestamp) -> Uuid {
    Uuid::from_u128(u128::try_from(at.as_millisecond()).unwrap_or_default() << 80)
}
