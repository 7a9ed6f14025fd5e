//! A spool whose writer is driven by hand, at times that the test chooses: nothing happens unless it is told to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::super::writer::{SYNC_EVERY, Wait, Writer};
use super::super::{Shared, SpoolError, SpoolLimits, SpoolReader, SpoolRecord, SpoolState};
use super::faulty::FaultyDisk;

pub(crate) const SPOOL: Uuid = Uuid::from_u128(7);

/// Segments of 1 KiB: a few records each.
pub(crate) const SMALL: SpoolLimits = SpoolLimits {
    memory_records_max: 100,
    memory_bytes_max: 100_000,
    segment_bytes_max: 1_024,
    disk_bytes_max: 100_000,
};

/// It takes microseconds, unless the machine is busy.
const CHILD_EXECS_WITHIN: Duration = Duration::from_secs(5);

pub(crate) struct Hand {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) reader: SpoolReader,
    pub(crate) disk: FaultyDisk,
    pub(crate) now: Instant,
}

impl Hand {
    pub(crate) fn open(dir: &Path) -> Self {
        Self::open_with(dir, SMALL)
    }

    pub(crate) fn open_with(dir: &Path, limits: SpoolLimits) -> Self {
        let shared = Arc::new(opened(dir, limits));
        let disk = FaultyDisk::default();
        let writer = Writer::new(Arc::clone(&shared), Box::new(disk.clone()));
        let reader = SpoolReader::new(Arc::clone(&shared));
        Self { shared, writer, reader, disk, now: Instant::now() }
    }

    pub(crate) fn append(&self, record: impl AsRef<[u8]>) {
        self.shared.append(record.as_ref().to_vec().into());
    }

    /// A turn of the writer, so late that whatever was written is synced.
    pub(crate) fn turn(&mut self) -> Wait {
        self.turn_after(SYNC_EVERY)
    }

    pub(crate) fn turn_after(&mut self, time: Duration) -> Wait {
        self.now += time;
        self.writer.turn(self.now)
    }

    /// Appends and writes.
    pub(crate) fn write(&mut self, records: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        records.into_iter().for_each(|record| self.append(record));
        self.turn();
    }

    /// Everything that can be had, acknowledged.
    pub(crate) fn consume(&mut self) -> Vec<SpoolRecord> {
        let mut all = Vec::new();
        loop {
            let batch = self.reader.read(usize::MAX, usize::MAX).unwrap();
            let Some(last) = batch.last() else { return all };
            self.reader.acknowledge(last.number);
            all.extend(batch);
        }
    }

    /// The same as texts.
    pub(crate) fn texts(&mut self) -> Vec<String> {
        texts(&self.consume())
    }

    pub(crate) fn state(&self) -> SpoolState {
        self.shared.state()
    }

    /// As the thread does in the end; what is read, is read before.
    pub(crate) fn close(self) -> Result<(), SpoolError> {
        self.shared.queue.close();
        self.writer.close()
    }
}

/// Other tests of this process start servers. Between fork and exec such a child holds a copy of whatever is open, and
/// with it the lock of a spool that has just been dropped.
fn opened(dir: &Path, limits: SpoolLimits) -> Shared {
    for _ in 0..CHILD_EXECS_WITHIN.as_millis() {
        match Shared::open(dir, limits, SPOOL) {
            Err(SpoolError::Locked { .. }) => std::thread::sleep(Duration::from_millis(1)),
            opened => return opened.unwrap(),
        }
    }
    Shared::open(dir, limits, SPOOL).unwrap()
}

pub(crate) fn texts(records: &[SpoolRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()).collect()
}

pub(crate) fn numbers(records: &[SpoolRecord]) -> Vec<u64> {
    records.iter().map(|record| record.number).collect()
}
