//! The spool: a durable queue of records on the local disk. What happens in calls is appended here before anything else,
//! and a consumer writes it into the database when it can.
//!
//! It refuses to know what the records mean, and where they go.
//!
//! | file | what it holds |
//! |---|---|
//! | `queue.rs` | the way from the threads of calls to the writer, in memory and bounded |
//! | `writer.rs` | the thread that writes and syncs |
//! | `reader.rs` | the consumer's end |
//! | `segments.rs` | which files there are, and which numbers were given: pure |
//! | `layout.rs` | how records lie in a file: pure |
//! | `directory.rs` | the directory as it is found |
//! | `disk.rs` | what the writer asks of the disk |
//! | `alarm.rs` | up while records may not survive |
//!
//! **What is kept.** A process that is killed loses what was appended within the last `GATHER` (`writer.rs`), or
//! while the disk was syncing. A machine that dies loses 200 ms. Whatever the disk does, calls go on: records wait in
//! memory, and beyond its bound they are counted as lost.
//!
//! **Once.** A spool has an identity, a record a number that is never given again. A consumer that stores both with what
//! it made of a record, in one transaction, and begins with [`SpoolReader::skip_to`], does everything once. Within one
//! process, and over an orderly end, numbers grow by one. After a crash they leave room for those of records that the
//! disk has lost and the consumer may have: so appending need not wait for what the database remembers, and the database
//! may be down.

mod alarm;
mod directory;
mod disk;
mod error;
mod layout;
mod queue;
mod reader;
mod segments;
mod writer;

use std::fs::File;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use tokio::sync::Notify;
use uuid::Uuid;

pub use self::error::SpoolError;
pub use self::reader::{SpoolReader, SpoolRecord};

use self::alarm::Alarm;
use self::directory::Directory;
use self::disk::{Disk, SystemDisk};
use self::layout::{HEAD_BYTES, PAYLOAD_BYTES_MAX, RECORD_BYTES_MIN};
use self::queue::{Queue, Queued};
use self::segments::{SEGMENT_BYTES_MAX, Segments};
use self::writer::Writer;

/// How much a spool may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Records that wait for the disk. 500 calls append some 2,500 a second: 65,536 are 26 s of a disk that hangs.
    pub memory_records_max: usize,
    /// Their payloads. 65,536 records of 300 bytes are 20 MB; 32 MiB leave room for some that are longer.
    pub memory_bytes_max: usize,
    /// One file, deleted when all of it is acknowledged. 8 MiB are 26,000 records of 300 bytes, 10 s of 500 calls.
    pub segment_bytes_max: u64,
    /// All files. 1 GiB is 20 minutes of a dead database at 500 calls, 128 files.
    pub disk_bytes_max: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self {
            memory_records_max: 65_536,
            memory_bytes_max: 32 << 20,
            segment_bytes_max: 8 << 20,
            disk_bytes_max: 1 << 30,
        }
    }
}

impl SpoolLimits {
    fn check(&self) -> Result<(), SpoolError> {
        let off = |what| Err(SpoolError::Limits(what));
        if self.memory_records_max == 0 || self.memory_bytes_max == 0 {
            return off("memory holds no record");
        }
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes_max) {
            return off("a segment has 1 KiB to 64 MiB");
        }
        // The last segment stays until another has begun.
        if self.disk_bytes_max / 2 < self.segment_bytes_max {
            return off("the disk holds fewer than two segments");
        }
        Ok(())
    }

    fn record_bytes_max(&self) -> usize {
        let room = self.segment_bytes_max - (HEAD_BYTES + RECORD_BYTES_MIN) as u64;
        usize::try_from(room).unwrap_or(usize::MAX).min(PAYLOAD_BYTES_MAX)
    }
}

/// Head, last word, and records worth the name.
const SEGMENT_BYTES_MIN: u64 = 1 << 10;

/// What a spool holds and what has become of it since it was opened, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolState {
    /// Records that the consumer has not acknowledged, in memory or on disk. Exact but for damaged segments.
    pub depth: u64,
    /// Of these, those that wait in memory for the disk.
    pub unwritten: u64,
    /// What is on disk.
    pub disk_bytes: u64,
    /// Records that were refused: memory or disk were full, or they were too large, or came after the end.
    pub lost: u64,
    /// Places that held no record though they should, and files that cannot be read or are not the spool's.
    pub corrupt: u64,
    /// Why records may not survive, while that is so.
    pub alarm: Option<String>,
}

/// The appending end. Clones are the same spool; when the last one is dropped it is closed, and nobody waits for it.
#[derive(Clone)]
pub struct Spool {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<Result<(), SpoolError>>>>,
}

/// What both ends and the writer share. The lock goes with the last of them.
struct Shared {
    dir: PathBuf,
    spool: Uuid,
    limits: SpoolLimits,
    queue: Queue,
    segments: Mutex<Segments>,
    /// Something was written, or the writer has gone.
    news: Notify,
    alarm: Alarm,
    lost: AtomicU64,
    corrupt: AtomicU64,
    _lock: File,
}

impl Shared {
    fn segments(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, record: Bytes) {
        self.offer(Queued { payload: record, apart: false });
    }

    /// Tells whether it was taken.
    fn offer(&self, record: Queued) -> bool {
        let Err(refusal) = self.queue.offer(record) else { return true };
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.alarm.raise(&self.dir, refusal.to_string());
        false
    }

    fn state(&self) -> SpoolState {
        // Memory first: what moves to the disk in between counts twice for a moment, and never not at all.
        let unwritten = self.queue.count() as u64;
        let (on_disk, disk_bytes) = {
            let segments = self.segments();
            (segments.depth(), segments.bytes())
        };
        SpoolState {
            depth: on_disk + unwritten,
            unwritten,
            disk_bytes,
            lost: self.lost.load(Ordering::Relaxed),
            corrupt: self.corrupt.load(Ordering::Relaxed),
            alarm: self.alarm.reason_opt(),
        }
    }
}

impl Spool {
    /// Opens the spool of a directory, for one process at a time. A directory without one gets a spool with the identity
    /// `fresh`.
    pub fn open(dir: &Path, limits: SpoolLimits, fresh: Uuid) -> Result<(Self, SpoolReader), SpoolError> {
        Self::open_on(Box::new(SystemDisk), dir, limits, fresh)
    }

    fn open_on(
        disk: Box<dyn Disk>,
        dir: &Path,
        limits: SpoolLimits,
        fresh: Uuid,
    ) -> Result<(Self, SpoolReader), SpoolError> {
        let shared = Arc::new(Shared::open(dir, limits, fresh)?);
        let writer = Writer::new(Arc::clone(&shared), disk);
        let failed = |source: io::Error| SpoolError::Open { dir: dir.to_owned(), source };
        let thread = thread::Builder::new().name("spool".to_owned());
        let writer = Mutex::new(Some(thread.spawn(move || writer.run()).map_err(failed)?));
        let reader = SpoolReader::new(Arc::clone(&shared));
        Ok((Self { handle: Arc::new(Handle { shared, writer }) }, reader))
    }

    /// Hands a record over, and never waits for the disk. What cannot be taken is counted as lost, and raises the alarm.
    pub fn append(&self, record: impl Into<Bytes>) {
        self.handle.shared.append(record.into());
    }

    /// The same for a record with which a segment begins: when it is acknowledged, no file holds any that came before.
    /// Tells whether it was taken.
    pub fn append_apart(&self, record: impl Into<Bytes>) -> bool {
        self.handle.shared.offer(Queued { payload: record.into(), apart: true })
    }

    pub fn state(&self) -> SpoolState {
        self.handle.shared.state()
    }

    /// Ends the spool in order, for all its clones: everything appended before is written and synced when this returns.
    /// Blocks for as long as that takes.
    pub fn close(&self) -> Result<(), SpoolError> {
        self.handle.shared.queue.close();
        let thread_opt = self.handle.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread_opt.map_or(Ok(()), |thread| thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Shared {
    fn open(dir: &Path, limits: SpoolLimits, fresh: Uuid) -> Result<Self, SpoolError> {
        limits.check()?;
        let Directory { lock, spool, segments, foreign } = directory::open(dir, fresh)?;
        Ok(Self {
            dir: dir.to_owned(),
            spool,
            limits,
            queue: Queue::new(limits.memory_records_max, limits.memory_bytes_max, limits.record_bytes_max()),
            segments: Mutex::new(segments),
            news: Notify::new(),
            alarm: Alarm::default(),
            lost: AtomicU64::new(0),
            corrupt: AtomicU64::new(foreign),
            _lock: lock,
        })
    }
}

#[cfg(test)]
mod tests;
