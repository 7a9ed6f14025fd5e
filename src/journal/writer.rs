//! From the spool into the tables: batch by batch, each in one transaction, again until it is done.
//!
//! It refuses to know what a batch says. What the tables will never take is left out, told, and counted: one entry that
//! makes no sense must not keep all that come after it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, poll_immediate};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Archive, ArchiveError, Batch, Entry, Receipts};
use crate::spool::{SpoolReader, SpoolRecord};

/// Entries of a transaction. 500 calls write some 2,500 a second: five transactions, a few milliseconds each.
const ENTRIES_MAX: usize = 500;

/// And their bytes.
const BYTES_MAX: usize = 1 << 20;

/// What happens is gathered for so long: ten transactions a second cost little, however many calls there are. It is also
/// what another node may not know yet of a call whose node is lost.
const GATHER: Duration = Duration::from_millis(100);

/// Until a database that could not be reached is tried again: a little longer each time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How far the spool is written into the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What an earlier process has left is being written.
    Behind,
    CaughtUp,
    /// The database cannot be reached: the spool keeps everything.
    Cut,
}

pub(crate) struct Writer {
    reader: SpoolReader,
    archive: Arc<dyn Archive>,
    standing: watch::Sender<Standing>,
    receipts: Receipts,
    /// Entries that the tables do not take.
    refused: u64,
}

impl Writer {
    pub(crate) fn new(reader: SpoolReader, archive: Arc<dyn Archive>) -> (Self, watch::Receiver<Standing>) {
        let (standing, seen) = watch::channel(Standing::Behind);
        (Self { reader, archive, standing, receipts: Receipts::default(), refused: 0 }, seen)
    }

    pub(crate) fn receipts(&self) -> Receipts {
        self.receipts.clone()
    }

    /// Until the spool is closed, and all of it is written.
    pub(crate) async fn run(mut self) {
        let (spool, archive) = (self.reader.spool_id(), Arc::clone(&self.archive));
        let written = self.until_it_works(|| archive.written(spool)).await;
        self.reader.skip_to(written.unwrap_or_else(|error| {
            tracing::error!(%error, "how far the spool is written cannot be read: all of it is written again");
            0
        }));
        while let Some(records) = self.next_batch().await {
            let Some(last) = records.last().map(|record| record.number) else { continue };
            let forgotten = self.write(&records).await;
            self.reader.acknowledge(last);
            for entry in forgotten {
                self.receipts.give(entry); // only now have their files gone
            }
            if records.len() < ENTRIES_MAX {
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    async fn next_batch(&mut self) -> Option<Vec<SpoolRecord>> {
        let next = self.reader.next_batch(ENTRIES_MAX, BYTES_MAX);
        tokio::pin!(next);
        if let Some(records) = poll_immediate(&mut next).await {
            return records;
        }
        self.standing.send_replace(Standing::CaughtUp);
        next.await
    }

    /// Writes these, and leaves out what cannot be written: found by halves. Tells which wishes to be forgotten were
    /// granted.
    async fn write(&mut self, records: &[SpoolRecord]) -> Vec<Uuid> {
        let entries: Vec<(u64, Entry)> = records.iter().filter_map(|record| self.read(record)).collect();
        let mut forgotten = Vec::new();
        let mut runs: Vec<_> = entries.split_inclusive(|(_, entry)| entry.ends_a_batch()).rev().collect();
        while let Some(run) = runs.pop() {
            let Some((last, _)) = run.last() else { continue };
            let (archive, spool) = (Arc::clone(&self.archive), self.reader.spool_id());
            let batch = || Batch::of(run.iter().map(|(_, entry)| entry.clone()));
            match self.until_it_works(|| archive.write(spool, *last, batch())).await {
                Ok(()) => forgotten.extend(run.iter().filter_map(|(_, entry)| match entry {
                    Entry::Forget(forget) => Some(forget.id),
                    _ => None,
                })),
                Err(error) if run.len() == 1 => {
                    self.refused += 1;
                    tracing::error!(number = last, refused = self.refused, %error, "entry cannot be written");
                }
                Err(_) => {
                    let (first, second) = run.split_at(run.len() / 2);
                    runs.extend([second, first]); // the last is taken first
                }
            }
        }
        forgotten
    }

    fn read(&mut self, record: &SpoolRecord) -> Option<(u64, Entry)> {
        match serde_json::from_slice(&record.payload) {
            Ok(entry) => Some((record.number, entry)),
            Err(error) => {
                self.refused += 1;
                tracing::error!(number = record.number, refused = self.refused, %error, "entry cannot be read");
                None
            }
        }
    }

    /// Asks again and again while the database cannot be reached.
    async fn until_it_works<T>(
        &mut self,
        mut ask: impl FnMut() -> LocalBoxFuture<'static, Result<T, ArchiveError>>,
    ) -> Result<T, ArchiveError> {
        let mut pause = PAUSE_MIN;
        loop {
            match ask().await {
                Err(error) if error.passes => {
                    if self.standing.send_replace(Standing::Cut) != Standing::Cut {
                        tracing::error!(%error, "database cannot be reached: the spool keeps what happens");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(PAUSE_MAX);
                }
                done => {
                    if *self.standing.borrow() == Standing::Cut {
                        tracing::info!("database is there again");
                        self.standing.send_replace(Standing::Behind);
                    }
                    return done;
                }
            }
        }
    }
}
