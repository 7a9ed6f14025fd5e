//! The store: what must survive a restart, in PostgreSQL or in one SQLite file.
//!
//! It refuses to know what its documents mean and who asks for them. What the program needs of it are ports: the
//! router's book ([`RoutingBook`](tandem_actors::router::RoutingBook)) and the audit log
//! ([`AuditLog`](crate::audit::AuditLog)).
//!
//! | file | what it holds |
//! |---|---|
//! | `place.rs` | where the database is |
//! | `database.rs` | connections, transactions, and statements in both dialects |
//! | `columns.rs` | types that the two dialects write in their own ways |
//! | `migrations.rs` | how its tables came about |
//! | `settings.rs` | one document per name; a change and its audit entry are one transaction |
//! | `audit.rs` | entries, added and read |
//! | `calls.rs` | calls, turns and events, written and gone on with |
//! | `call_log.rs` | the same, as operators read them |
//! | `usage_log.rs` | usage, as operators read it |
//! | `rollup.rs` | days, summed up again whenever something was written of them |
//! | `running.rs` | time that a killed process could not tell |
//! | `users.rs` | users, and what is remembered of them |
//! | `erasure.rs` | how somebody leaves every table |
//! | `rows.rs` | many rows at once |
//! | `spending.rs` | what a month has cost so far |
//! | `statistics.rs` | sums of days as operators read them, and revenue |
//! | `retention.rs` | what has become old |
//! | `error.rs` | what can go wrong |
//!
//! **Threads.** A connection to PostgreSQL belongs to the runtime that made it, and so does sqlx's pool: its upkeep runs
//! there, and a connection that is handed back spawns a task on whatever runtime is current, or panics (`sqlx-core`,
//! `pool/connection.rs`). Our worker threads have a runtime each, and they come and go. So the database has a thread of
//! its own, and whoever wants something of it sends it there and awaits the answer.
//!
//! **Failures.** Work that fails leaves nothing behind, and the next finds a connection that works. Work whose asker has
//! gone is done to its end.

mod audit;
mod call_log;
mod calls;
mod columns;
mod database;
mod erasure;
mod error;
mod migrations;
mod place;
mod retention;
mod rollup;
mod rows;
mod running;
mod settings;
mod spending;
mod statistics;
mod usage_log;
mod users;

use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tandem_actors::ports::{Clock, Ids};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::LocalSet;

use self::database::{Connection, Database};
pub use self::error::StoreError;
use self::place::Place;
pub use self::retention::{Aging, BATCH};
pub use self::rollup::{Calendar, RolledUp};

/// Work that is under way; more waits with those who ask. Operators and resumed calls ask a few times a second; all of a
/// full node's 500 calls that resume at once ask 500 times, and each takes a millisecond.
const WORK_MAX: usize = 64;

/// Whatever takes longer has failed: a server that has gone without a word would be waited for for ever.
const WORK_TIME_MAX: Duration = Duration::from_secs(30);

type Job = Box<dyn FnOnce(Rc<Database>) -> LocalBoxFuture<'static, ()> + Send>;

/// An open database. Clones share it; when the last one has gone and all work is done, it is closed.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::UnboundedSender<Job>, // bounded by `permits`
    permits: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Store {
    /// Opens `postgres://...`, or `sqlite://<path>`, made when it is missing, or `sqlite::memory:`, which ends with the
    /// store, and brings its tables up to date.
    pub async fn open(url: &str, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Result<Self, StoreError> {
        let place: Place = url.parse()?;
        let (jobs, asked) = mpsc::unbounded_channel();
        let (opened_tx, opened) = oneshot::channel();
        let name_of_memory = Arc::clone(&ids);
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(opened_tx.send(Err(StoreError::Thread(error)))),
            };
            LocalSet::new().block_on(&runtime, async {
                let (opened, database_opt) = match Database::open(&place, &*name_of_memory).await {
                    Ok(database) => (Ok(()), Some(database)),
                    Err(error) => (Err(error), None),
                };
                let is_awaited = opened_tx.send(opened).is_ok();
                if let Some(database) = database_opt.filter(|_| is_awaited) {
                    work_off(asked, database).await;
                }
            });
        };
        thread::Builder::new().name("database".to_owned()).spawn(serve).map_err(StoreError::Thread)?;
        opened.await.map_err(|_| StoreError::Thread(std::io::Error::other("it panicked")))??;
        Ok(Self { jobs, permits: Arc::new(Semaphore::new(WORK_MAX)), clock, ids })
    }

    /// Leaves the database in order. Nothing is written after it.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let settled = self.ask(async |database| database.settle().await);
        settled.await.map_err(|source| StoreError::Write { what: "the write-ahead log", source })
    }

    /// Has `work` write in one transaction: all of it or nothing.
    async fn write<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(&mut Connection<'_>) -> sqlx::Result<T> + Send + 'static,
    ) -> sqlx::Result<T> {
        self.ask(async |database| database.write(work).await).await
    }

    /// Has `work` read.
    async fn read<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(&mut Connection<'_>) -> sqlx::Result<T> + Send + 'static,
    ) -> sqlx::Result<T> {
        self.ask(async |database| database.read(work).await).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(Rc<Database>) -> sqlx::Result<T> + Send + 'static,
    ) -> sqlx::Result<T> {
        let gone = |_| sqlx::Error::WorkerCrashed;
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        let (answer_tx, answer) = oneshot::channel();
        let job = move |database| {
            async move {
                let done = tokio::time::timeout(WORK_TIME_MAX, work(database)).await;
                drop(permit);
                answer_tx.send(done.unwrap_or(Err(sqlx::Error::PoolTimedOut))).ok(); // who asked may have gone
            }
            .boxed_local()
        };
        self.jobs.send(Box::new(job)).map_err(|_| sqlx::Error::WorkerCrashed)?;
        answer.await.map_err(gone)?
    }
}

/// Each piece of work is a task of its own: a slow one delays no other.
async fn work_off(mut asked: mpsc::UnboundedReceiver<Job>, database: Database) {
    let database = Rc::new(database);
    let mut under_way = tokio::task::JoinSet::new();
    while let Some(job) = asked.recv().await {
        under_way.spawn_local(job(Rc::clone(&database)));
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests;
