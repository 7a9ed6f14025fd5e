//! The database as its thread sees it: connections, transactions, and statements that both dialects run.
//!
//! It refuses to know what is written.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _};
use tandem_actors::ports::Ids;
use tokio::sync::Mutex;

use super::error::StoreError;
use super::migrations;
use super::place::Place;

/// For the lock of another process, such as a second `tandem` on the same file. Locks are held for milliseconds, and the
/// router waits 5 s for its book: it should hear why.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(2);

/// For a connection to PostgreSQL, made or given back.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(2);

/// Connections to PostgreSQL of one node: one writes what happens, the others are for operators and resumed calls.
/// A server of the usual 100 has room for a dozen nodes.
const CONNECTIONS_MAX: u32 = 8;

pub(super) enum Database {
    Sqlite(Box<Sqlite>),
    Postgres {
        pool: PgPool,
        /// Held while something is written: changes are made in the order in which they were asked for.
        writing: Mutex<()>,
    },
}

pub(super) struct Sqlite {
    options: SqliteConnectOptions,
    /// Empty while it is in use, and after a failure.
    writer: Mutex<Option<SqliteConnection>>,
    reader: Mutex<SqliteConnection>,
}

/// A connection for the length of a piece of work.
pub(super) enum Connection<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

/// Runs a query in whichever dialect the connection speaks.
macro_rules! run {
    ($connection:expr, $kind:ident, $sql:expr, [$($value:expr),*], $how:ident $(, $then:expr)?) => {
        match $connection {
            $crate::store::database::Connection::Sqlite(connection) => {
                sqlx::$kind($sql)$(.bind($value))*.$how(&mut **connection).await$(.map($then))?
            }
            $crate::store::database::Connection::Postgres(connection) => {
                sqlx::$kind($sql)$(.bind($value))*.$how(&mut **connection).await$(.map($then))?
            }
        }
    };
}

/// `execute!(connection, sql, values...)`: how many rows it changed.
macro_rules! execute {
    ($connection:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::database::run!($connection, query, $sql, [$($value),*], execute, |done| done.rows_affected())
    };
}

/// `rows!(connection, sql, values...)`: all rows that it finds, as tuples.
macro_rules! rows {
    ($connection:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::database::run!($connection, query_as, $sql, [$($value),*], fetch_all)
    };
}

/// `row!(connection, sql, values...)`: the row that it finds, if there is one, as a tuple.
macro_rules! row {
    ($connection:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::database::run!($connection, query_as, $sql, [$($value),*], fetch_optional)
    };
}

pub(super) use {execute, row, rows, run};

impl Database {
    /// Connects, and brings the tables up to date.
    pub(super) async fn open(place: &Place, ids: &dyn Ids) -> Result<Self, StoreError> {
        if let Place::Server(options) = place {
            let unreachable = |source| StoreError::Unreachable { place: place.to_string(), source };
            let options = options.as_ref().clone().application_name("tandem");
            let pool =
                PgPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(CONNECTION_WAIT_MAX);
            // A first connection by itself says why there is none; the pool would only say that it waited.
            let connecting = tokio::time::timeout(CONNECTION_WAIT_MAX, options.connect());
            let connected = connecting.await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            let mut connection = connected.map_err(unreachable)?;
            migrations::run_postgres(&mut connection, place).await?;
            connection.close().await.map_err(unreachable)?;
            let pool = pool.connect_lazy_with(options);
            return Ok(Self::Postgres { pool, writing: Mutex::new(()) });
        }
        let failed = |source| StoreError::Open { place: place.to_string(), source };
        let options = sqlite_options(place, ids);
        let mut writer = options.connect().await.map_err(failed)?;
        migrations::run_sqlite(&mut writer, place).await?;
        let reader = Mutex::new(options.connect().await.map_err(failed)?);
        Ok(Self::Sqlite(Box::new(Sqlite { options, writer: Mutex::new(Some(writer)), reader })))
    }

    /// Has `work` read.
    pub(super) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection<'_>) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        match self {
            Self::Sqlite(sqlite) => work(&mut Connection::Sqlite(&mut *sqlite.reader.lock().await)).await,
            Self::Postgres { pool, .. } => work(&mut Connection::Postgres(&mut *pool.acquire().await?)).await,
        }
    }

    /// Has `work` write in one transaction: all of it or nothing.
    pub(super) async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection<'_>) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(work).await,
            Self::Postgres { pool, writing } => {
                let _turn = writing.lock().await;
                let mut transaction = pool.begin().await?;
                let done = work(&mut Connection::Postgres(&mut transaction)).await?;
                transaction.commit().await?;
                Ok(done)
            }
        }
    }

    /// For an orderly end.
    pub(super) async fn settle(&self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(sqlite) => sqlite.settle().await,
            Self::Postgres { pool, .. } => {
                pool.close().await;
                Ok(())
            }
        }
    }
}

impl Sqlite {
    /// A connection whose transaction failed is closed, which rolls it back. It cannot be kept: SQLite rolls back by itself
    /// when the disk is full, sqlx does not notice, and takes the connection to be inside a transaction for ever (seen in a
    /// test).
    async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection<'_>) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let mut place = self.writer.lock().await;
        let mut writer = match place.take() {
            Some(writer) => writer,
            None => self.options.connect().await?,
        };
        // Takes the write lock at once. A transaction that took it at its first write could find, after its reads, that
        // another process had written in between, and fail.
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut writer).await?;
        let done = work(&mut Connection::Sqlite(&mut writer)).await?;
        sqlx::raw_sql("COMMIT").execute(&mut writer).await?;
        *place = Some(writer);
        Ok(done)
    }

    /// Works the write-ahead log into the file, which is then a whole copy by itself. Without it the next start reads the
    /// log.
    async fn settle(&self) -> sqlx::Result<()> {
        let mut place = self.writer.lock().await;
        let writer = match place.as_mut() {
            Some(writer) => writer,
            None => place.insert(self.options.connect().await?),
        };
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer).await.map(drop)
    }
}

/// `NORMAL` with a write-ahead log: a crash of the process loses nothing; one of the machine may lose the last
/// changes, and never tears one.
pub(super) fn sqlite_options(place: &Place, ids: &dyn Ids) -> SqliteConnectOptions {
    // What is deleted is overwritten: somebody who was forgotten must not be found in the file's free pages.
    let options = SqliteConnectOptions::new().busy_timeout(BUSY_WAIT_MAX).pragma("secure_delete", "ON");
    match place {
        Place::File(path) => options
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal),
        // The usual `:memory:` would be another one for each connection. This one has a name, and lasts as long as one
        // of them (sqlite.org/src/file/src/memdb.c).
        Place::Memory | Place::Server(_) => options.filename(format!("/{}", ids.call_id())).vfs("memdb"),
    }
}
