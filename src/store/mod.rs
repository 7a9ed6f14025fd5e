//! The store: what must survive a restart, in one SQLite file.
//!
//! It refuses to know what its documents mean and who asks for them. What the program needs of it are ports: the
//! router's book ([`RoutingBook`](tandem_actors::router::RoutingBook)) and the audit log
//! ([`AuditLog`](crate::audit::AuditLog)).
//!
//! | file | what it holds |
//! |---|---|
//! | `place.rs` | where the database is |
//! | `migrations.rs` | how its tables came about |
//! | `settings.rs` | one document per name; a change and its audit entry are one transaction |
//! | `audit.rs` | entries, added and read |
//! | `error.rs` | what can go wrong |
//!
//! **Threads.** sqlx gives each SQLite connection a thread of its own and talks to it through channels (read in
//! `sqlx-sqlite` 0.9, `connection/worker.rs`), so a connection works from any runtime. Its *pool* does not: its upkeep
//! runs on the runtime that made it, and a connection that is handed back spawns a task on whatever runtime is current,
//! or panics (`sqlx-core`, `pool/connection.rs`). Our worker threads have a runtime each, and they come and go. So there
//! is no pool, but two connections behind locks: one writes, since SQLite has one writer anyway and shared write pools
//! lose writes; one reads, since only operators do.
//!
//! **Failures.** A connection whose transaction failed, or was abandoned half-way, is closed, which rolls it back, and
//! the next change opens another. It cannot be kept: SQLite rolls back by itself when the disk is full, sqlx does not
//! notice, and takes the connection to be inside a transaction for ever (seen in a test).

mod audit;
mod error;
mod migrations;
mod place;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use tandem_actors::ports::{Clock, Ids};
use tokio::sync::Mutex;

pub use self::error::StoreError;
use self::place::Place;

/// For the lock of another process, such as a second `tandem` on the same file. Locks are held for milliseconds, and the
/// router waits 5 s for its book: it should hear why.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(2);

/// An open database. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct Store {
    options: SqliteConnectOptions,
    /// Empty while it is in use, and after a failure.
    writer: Arc<Mutex<Option<SqliteConnection>>>,
    reader: Arc<Mutex<SqliteConnection>>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Store {
    /// Opens `sqlite://<path>`, made when it is missing, or `sqlite::memory:`, which ends with the store, and brings
    /// its tables up to date.
    pub async fn open(url: &str, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Result<Self, StoreError> {
        let place: Place = url.parse()?;
        let options = options(&place, &*ids);
        let failed = |source| StoreError::Open { place: place.to_string(), source };
        let mut writer = options.connect().await.map_err(failed)?;
        migrations::run(&mut writer, &place).await?;
        let reader = options.connect().await.map_err(failed)?;
        let (writer, reader) = (Arc::new(Mutex::new(Some(writer))), Arc::new(Mutex::new(reader)));
        Ok(Self { options, writer, reader, clock, ids })
    }

    /// Works the write-ahead log into the file, which is then a whole copy by itself. For an orderly end; without it the
    /// next start reads the log.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let settled = async {
            let mut place = self.writer.lock().await;
            let writer = match place.as_mut() {
                Some(writer) => writer,
                None => place.insert(self.options.connect().await?),
            };
            sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer).await
        };
        settled.await.map(drop).map_err(|source| StoreError::Write { what: "the write-ahead log", source })
    }

    /// Has `work` write in one transaction: all of it or nothing, one after the other.
    async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let mut place = self.writer.lock().await;
        let mut writer = match place.take() {
            Some(writer) => writer,
            None => self.options.connect().await?,
        };
        // Takes the write lock at once. A transaction that took it at its first write could find, after its reads, that
        // another process had written in between, and fail.
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut writer).await?;
        let done = work(&mut writer).await?;
        sqlx::raw_sql("COMMIT").execute(&mut writer).await?;
        *place = Some(writer);
        Ok(done)
    }
}

/// `NORMAL` with a write-ahead log: a crash of the process loses nothing; one of the machine may lose the last
/// changes, and never tears one.
fn options(place: &Place, ids: &dyn Ids) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().busy_timeout(BUSY_WAIT_MAX);
    match place {
        // The usual `:memory:` would be another one for each connection. This one has a name, and lasts as long as one
        // of them (sqlite.org/src/file/src/memdb.c).
        Place::Memory => options.filename(format!("/{}", ids.call_id())).vfs("memdb"),
        Place::File(path) => options
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal),
    }
}

#[cfg(test)]
mod tests;
