//! Records on their way from the threads of calls to the writer: in memory, bounded by number and by bytes.
//!
//! It refuses to know disks. Whoever hands a record over waits for nothing but a lock that is held for a push, or for
//! the exchange of two pointers.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

pub(super) struct Queue {
    records_max: usize,
    bytes_max: usize,
    record_bytes_max: usize,
    waiting: Mutex<Waiting>,
    /// Wakes the writer, the only one who waits for it.
    stir: Condvar,
}

/// A record as it was handed over.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) payload: Bytes,
    /// It shares its segment with none that came before it.
    pub(super) apart: bool,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<Queued>,
    /// Of these, and of those that the writer has taken and not written yet: what it cannot write fills the queue.
    count: usize,
    bytes: usize,
    /// Something has happened since the writer looked.
    stirred: bool,
    closing: bool,
}

/// Why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("memory for records is full: {count} records of {bytes} bytes wait for the disk")]
    Full { count: usize, bytes: usize },
    #[error("a record of {0} bytes is too large")]
    TooLarge(usize),
    #[error("spool is closed")]
    Closed,
}

impl Queue {
    pub(super) fn new(records_max: usize, bytes_max: usize, record_bytes_max: usize) -> Self {
        Self { records_max, bytes_max, record_bytes_max, waiting: Mutex::default(), stir: Condvar::new() }
    }

    pub(super) fn offer(&self, record: Queued) -> Result<(), Refusal> {
        let mut waiting = self.waiting();
        let taken = self.admit(&waiting, record.payload.len());
        if taken.is_ok() {
            waiting.count += 1;
            waiting.bytes += record.payload.len();
            waiting.records.push_back(record);
        }
        // Wakes the writer once: a system call for the first record of a group, none for those that follow.
        if !mem::replace(&mut waiting.stirred, true) {
            drop(waiting);
            self.stir.notify_one();
        }
        taken
    }

    fn admit(&self, waiting: &Waiting, bytes: usize) -> Result<(), Refusal> {
        if waiting.closing {
            return Err(Refusal::Closed);
        }
        if bytes > self.record_bytes_max {
            return Err(Refusal::TooLarge(bytes));
        }
        let full = waiting.count >= self.records_max || waiting.bytes + bytes > self.bytes_max;
        if full { Err(Refusal::Full { count: waiting.count, bytes: waiting.bytes }) } else { Ok(()) }
    }

    /// All that waits, in order, into `held`, which is empty. It counts until it is written. The two change places, so
    /// neither grows twice.
    pub(super) fn take(&self, held: &mut VecDeque<Queued>) {
        let mut waiting = self.waiting();
        waiting.stirred = false;
        mem::swap(&mut waiting.records, held);
    }

    pub(super) fn written(&self, count: usize, bytes: usize) {
        let mut waiting = self.waiting();
        waiting.count -= count;
        waiting.bytes -= bytes;
    }

    /// How many records are not written.
    pub(super) fn count(&self) -> usize {
        self.waiting().count
    }

    /// From now on nothing is taken.
    pub(super) fn close(&self) {
        self.waiting().closing = true;
        self.stir.notify_one();
    }

    /// Waits until a record comes, or the queue closes, or it has been long enough. Tells whether the queue is closed.
    pub(super) fn wait_for_record(&self, longest_opt: Option<Duration>) -> bool {
        self.wait(longest_opt, |waiting| !waiting.stirred && !waiting.closing)
    }

    /// Waits so long, unless the queue closes. Tells whether it is closed.
    pub(super) fn wait_for_close(&self, longest: Duration) -> bool {
        self.wait(Some(longest), |waiting| !waiting.closing)
    }

    fn wait(&self, longest_opt: Option<Duration>, goes_on: impl Fn(&Waiting) -> bool) -> bool {
        let goes_on = |waiting: &mut Waiting| goes_on(waiting);
        let waiting = self.waiting();
        match longest_opt {
            None => self.stir.wait_while(waiting, goes_on).unwrap_or_else(PoisonError::into_inner).closing,
            Some(longest) => {
                let waited = self.stir.wait_timeout_while(waiting, longest, goes_on);
                waited.unwrap_or_else(PoisonError::into_inner).0.closing
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
