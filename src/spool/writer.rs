//! Writes what waits in the queue into segments, and makes it durable.
//!
//! It refuses to know what records mean, and who reads them. Owner: the spool, as a thread of its own.
//!
//! | what | when |
//! |---|---|
//! | written | [`GATHER`] after the first record of a group: a process that is killed then loses nothing of it |
//! | durable | [`SYNC_EVERY`] after the last time: a machine that dies loses no more than that |
//! | a new segment | at its greatest size, at the first record after opening, at one apart, and after a failed write |
//!
//! When the disk fails or the spool is full, records wait in the queue, which fills, and the same is tried again after
//! [`RETRY_EVERY`]. A failed write is taken back, and its segment is not trusted again: the records go to another one
//! with the numbers that they would have had. Should taking back fail too, both hold them, and the reader sees a number
//! once.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::directory::segment_path;
use super::disk::{Disk, SegmentFile};
use super::error::SpoolError;
use super::layout::{self, HEAD_BYTES, Head, RECORD_BYTES_MIN};
use super::queue::Queued;

/// Records that come within it are written by one system call. With 300 bytes each and 2,500 a second, 25 of them.
pub(super) const GATHER: Duration = Duration::from_millis(10);

/// With [`GATHER`] and a sync of 10 ms it stays below the promise of 200 ms.
pub(super) const SYNC_EVERY: Duration = Duration::from_millis(180);

/// A disk that failed is asked again so often. The queue's bound is sized for it many times over.
pub(super) const RETRY_EVERY: Duration = Duration::from_millis(200);

/// Bytes for one system call, unless one record is larger.
const WRITE_BYTES: usize = 256 << 10;

pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Box<dyn Disk>,
    open_opt: Option<Open>,
    /// Taken from the queue, and not written yet.
    held: VecDeque<Queued>,
    buffer: Vec<u8>,
    /// Something was written since the last sync.
    is_dirty: bool,
    synced_at_opt: Option<Instant>,
    /// Why the last sync failed. The alarm stays up until one succeeds.
    unsynced_opt: Option<String>,
}

/// The segment that is written to.
struct Open {
    file: Box<dyn SegmentFile>,
    /// As far as whole records were written.
    bytes: u64,
    /// The number of its next record.
    next: u64,
}

/// When the writer is to have its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    ForRecords,
    /// Or until something must be synced.
    ForRecordsUntil(Instant),
    Until(Instant),
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Disk(io::Error),
    #[error("spool is full: {bytes} bytes on disk wait for the database")]
    Full { bytes: u64 },
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, disk: Box<dyn Disk>) -> Self {
        Self {
            shared,
            disk,
            open_opt: None,
            held: VecDeque::new(),
            buffer: Vec::new(),
            is_dirty: false,
            synced_at_opt: None,
            unsynced_opt: None,
        }
    }

    /// The thread: until the queue is closed.
    pub(super) fn run(mut self) -> Result<(), SpoolError> {
        let mut wait = Wait::ForRecords;
        loop {
            let queue = &self.shared.queue;
            let until = |at: Instant| at.saturating_duration_since(Instant::now());
            let is_closed = match wait {
                Wait::Until(at) => queue.wait_for_close(until(at)),
                Wait::ForRecords => queue.wait_for_record(None) || queue.wait_for_close(GATHER),
                Wait::ForRecordsUntil(at) => {
                    queue.wait_for_record(Some(until(at))) || queue.wait_for_close(until(at).min(GATHER))
                }
            };
            if is_closed {
                return self.close();
            }
            wait = self.turn(Instant::now());
        }
    }

    /// Writes what waits, and syncs what is due.
    pub(super) fn turn(&mut self, now: Instant) -> Wait {
        let written = self.write();
        let due = self.synced_at_opt.map_or(now, |at| at + SYNC_EVERY);
        if self.is_dirty && due <= now {
            self.sync();
            self.synced_at_opt = Some(now);
        }
        let is_written = written.is_ok();
        match written.err().map(|trouble| trouble.to_string()).or_else(|| self.unsynced_opt.clone()) {
            Some(trouble) => self.shared.alarm.raise(&self.shared.dir, trouble),
            None => self.shared.alarm.lower(&self.shared.dir),
        }
        match self.synced_at_opt {
            _ if !is_written => Wait::Until(now + RETRY_EVERY),
            Some(at) if self.is_dirty => Wait::ForRecordsUntil(at + SYNC_EVERY),
            _ => Wait::ForRecords,
        }
    }

    /// Writes and syncs everything, and the last word. Nothing is tried twice: whoever closes waits for it.
    pub(super) fn close(mut self) -> Result<(), SpoolError> {
        let written = self.write().map_err(|trouble| trouble.to_string()).and_then(|()| self.say_last_word());
        let records = self.shared.queue.count() as u64;
        self.shared.lost.fetch_add(records, Ordering::Relaxed);
        self.shared.segments().end();
        self.shared.news.notify_one();
        written.map_err(|reason| SpoolError::Unwritten { dir: self.shared.dir.clone(), records, reason })
    }

    fn say_last_word(&mut self) -> Result<(), String> {
        let Some(open) = self.open_opt.as_mut() else { return Ok(()) };
        self.buffer.clear();
        layout::write_end(self.shared.spool, open.next, &mut self.buffer);
        let said = open.file.write(&self.buffer).and_then(|()| open.file.sync());
        said.map_err(|error| error.to_string())
    }

    /// What was left, and what waits now: whoever appends without end keeps no sync from its turn.
    fn write(&mut self) -> Result<(), Trouble> {
        self.write_held()?;
        self.shared.queue.take(&mut self.held);
        self.write_held()
    }

    fn write_held(&mut self) -> Result<(), Trouble> {
        while !self.held.is_empty() {
            self.write_some()?;
        }
        Ok(())
    }

    /// Writes as many records as go into one call and one segment.
    fn write_some(&mut self) -> Result<(), Trouble> {
        let (first, left_out) = {
            let segments = self.shared.segments();
            (segments.next(), segments.left_out())
        };
        let room = |open: &Open| self.shared.limits.segment_bytes_max.saturating_sub(open.bytes);
        let needed = self.held.front().map_or(0, record_bytes);
        let is_apart = self.held.front().is_some_and(|record| record.apart);
        let fits = |open: &&Open| open.next == first && needed <= room(open) && !is_apart;
        let room_opt = self.open_opt.as_ref().filter(fits).map(room);
        let room = room_opt.unwrap_or(self.shared.limits.segment_bytes_max - HEAD_BYTES as u64);
        let count = self.encode(first, room);
        self.check_room(room_opt.is_none())?;
        if room_opt.is_none() {
            self.begin_segment(first, left_out)?;
        }
        let open = self.open_opt.as_mut().expect("one was open, or has begun");
        if let Err(error) = open.file.write(&self.buffer) {
            self.give_up_segment();
            return Err(Trouble::Disk(error));
        }
        let bytes = self.buffer.len() as u64;
        if !self.shared.segments().add(first, count as u64, bytes) {
            self.give_up_segment();
            return Ok(());
        }
        (open.bytes, open.next) = (open.bytes + bytes, first + count as u64);
        self.is_dirty = true;
        let payload_bytes = self.held.drain(..count).map(|record| record.payload.len()).sum();
        self.shared.queue.written(count, payload_bytes);
        self.shared.news.notify_one();
        Ok(())
    }

    /// Lays records out in the buffer, at least one, and tells how many.
    fn encode(&mut self, first: u64, room: u64) -> usize {
        self.buffer.clear();
        let mut count = 0;
        for (record, number) in self.held.iter().zip(first..) {
            let bytes = self.buffer.len() as u64 + record_bytes(record);
            if count > 0 && (record.apart || bytes > room || bytes > WRITE_BYTES as u64) {
                break;
            }
            layout::write_record(self.shared.spool, number, &record.payload, &mut self.buffer);
            count += 1;
        }
        count
    }

    /// When everything is acknowledged there is room whatever the sum says: the last segment goes as soon as there is
    /// another.
    fn check_room(&self, is_new_segment: bool) -> Result<(), Trouble> {
        let segments = self.shared.segments();
        let head = if is_new_segment { HEAD_BYTES } else { 0 };
        let bytes = segments.bytes();
        let is_full = bytes + (head + self.buffer.len()) as u64 > self.shared.limits.disk_bytes_max;
        if is_full && segments.depth() > 0 { Err(Trouble::Full { bytes }) } else { Ok(()) }
    }

    /// Makes the last segment durable before another begins: only the newest can lose its tail.
    fn begin_segment(&mut self, first: u64, left_out: u64) -> Result<(), Trouble> {
        self.sync();
        self.open_opt = None;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        layout::write_head(&Head { spool: self.shared.spool, first, left_out }, &mut head);
        self.shared.segments().prepare(first);
        let begun = self.disk.create(&segment_path(&self.shared.dir, first)).and_then(|mut file| {
            file.write(&head)?;
            self.disk.sync_directory(&self.shared.dir)?;
            Ok(file)
        });
        let file = begun.map_err(Trouble::Disk)?;
        self.shared.segments().begin(first, HEAD_BYTES as u64);
        self.open_opt = Some(Open { file, bytes: HEAD_BYTES as u64, next: first });
        Ok(())
    }

    /// Takes back what a failed write has left, as far as the disk lets it.
    fn give_up_segment(&mut self) {
        if let Some(open) = self.open_opt.as_mut()
            && let Err(error) = open.file.truncate(open.bytes)
        {
            tracing::debug!(dir = %self.shared.dir.display(), %error, "a failed write cannot be taken back");
        }
        self.sync();
        self.open_opt = None;
    }

    fn sync(&mut self) {
        if let Some(open) = self.open_opt.as_mut()
            && mem::take(&mut self.is_dirty)
        {
            self.unsynced_opt =
                open.file.sync().err().map(|error| format!("records are not durable: {error}"));
        }
    }
}

fn record_bytes(record: &Queued) -> u64 {
    (RECORD_BYTES_MIN + record.payload.len()) as u64
}

#[cfg(test)]
mod tests;
