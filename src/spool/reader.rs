//! The consumer's end of a spool: records in order, again and again until they are acknowledged.
//!
//! It refuses to know what the consumer does with them, and to remember how far it has come: the consumer's database
//! knows, and says so at its start ([`SpoolReader::skip_to`]).
//!
//! Reading blocks for as long as a window of a file takes, 1 MiB, most often from memory: the consumer's thread is none
//! of those that carry media.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use uuid::Uuid;

use super::Shared;
use super::directory::segment_path;
use super::layout::{self, HEAD_BYTES, PAYLOAD_BYTES_MAX, Piece, RECORD_BYTES_MIN};
use super::segments::Segment;
use super::writer::RETRY_EVERY;

/// Holds the largest record.
const WINDOW_BYTES: u64 = (RECORD_BYTES_MIN + PAYLOAD_BYTES_MAX) as u64;

/// A segment that cannot be read for so many tries, 5 s, is left where it is, and the rest goes on.
pub(super) const READ_TRIES_MAX: u32 = 25;

/// One record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolRecord {
    /// Higher than that of any record appended before, by this process or an earlier one. There are gaps: where records
    /// were damaged, and after a process was killed.
    pub number: u64,
    pub payload: Bytes,
}

/// For one consumer. Numbers and places only move forward.
pub struct SpoolReader {
    shared: Arc<Shared>,
    /// Where the next batch is looked for.
    place: Place,
    /// Everything up to this number is acknowledged.
    done: u64,
    /// Where the records of the last batch end.
    yielded: Vec<(u64, Place)>,
    yielded_max: u64,
    /// Damage up to here is counted.
    judged: Place,
    /// The segment whose damage was logged last.
    logged: u64,
    /// The segment that could not be deleted last.
    undeleted: u64,
    failed_tries: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// By its first number.
    segment: u64,
    at: u64,
}

impl SpoolReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            place: Place::default(),
            done: 0,
            yielded: Vec::new(),
            yielded_max: 0,
            judged: Place::default(),
            logged: 0,
            undeleted: 0,
            failed_tries: 0,
        }
    }

    /// Names the spool: with a record's number, what the consumer stores beside what it made of the record, in the same
    /// transaction, to do everything once.
    pub fn spool_id(&self) -> Uuid {
        self.shared.spool
    }

    /// The consumer has what was appended up to this number: it is not yielded, and no later record gets such a number.
    /// To be called before the first batch, and whenever the consumer does not know how far it has come.
    pub fn skip_to(&mut self, number: u64) {
        let hidden = {
            let mut segments = self.shared.segments();
            let hidden = segments.hidden_by(number, self.yielded_max);
            self.done = segments.done_with(number);
            hidden
        };
        if hidden > 0 {
            self.shared.lost.fetch_add(hidden, Ordering::Relaxed);
            let dir = self.shared.dir.display();
            tracing::error!(%dir, records = hidden, "records are lost: the directory is older than the database");
        }
        self.yielded.clear();
        self.remove_spent();
    }

    /// Waits for records, and yields the oldest that are not acknowledged: at most so many, and at most so many bytes
    /// unless the first alone has more. `None` after the spool was closed and everything acknowledged. Dropped half-way
    /// it has taken nothing.
    pub async fn next_batch(&mut self, records_max: usize, bytes_max: usize) -> Option<Vec<SpoolRecord>> {
        loop {
            let has_ended = self.shared.segments().has_ended();
            match self.read(records_max, bytes_max) {
                Ok(batch) if !batch.is_empty() => return Some(batch),
                Ok(_) if has_ended => return None,
                Ok(_) => self.shared.news.notified().await,
                Err(error) => {
                    self.bear(&error);
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            }
        }
    }

    /// Records up to this number are done with, as far as they were yielded. Segments without others are deleted.
    pub fn acknowledge(&mut self, number: u64) {
        let count = self.yielded.partition_point(|(yielded, _)| *yielded <= number);
        let Some((done, place)) = self.yielded.drain(..count).next_back() else { return };
        (self.done, self.place) = (done, place);
        self.shared.segments().done_with(done);
        self.remove_spent();
    }

    /// What can be had now, from one window of a segment.
    pub(super) fn read(&mut self, records_max: usize, bytes_max: usize) -> io::Result<Vec<SpoolRecord>> {
        let mut batch = Vec::new();
        while batch.is_empty() {
            let Some(segment) = self.segment_opt() else { break };
            let window = self.window(&segment)?;
            self.failed_tries = 0;
            let passed = self.pick(&segment, &window, records_max.max(1), bytes_max, &mut batch);
            if batch.is_empty() {
                self.place = passed;
            }
        }
        Ok(batch)
    }

    /// The segment to read from, once the place is in one that has more.
    fn segment_opt(&mut self) -> Option<Segment> {
        loop {
            let (here_opt, after_opt) = {
                let segments = self.shared.segments();
                (segments.find_opt(self.place.segment), segments.after_opt(self.place.segment))
            };
            match (here_opt.filter(|here| self.place.at < here.bytes), after_opt) {
                (Some(here), _) => return Some(here),
                (None, Some(after)) => {
                    self.place = Place { segment: after.first, at: 0 };
                    self.remove_spent();
                }
                (None, None) => return None,
            }
        }
    }

    fn window(&self, segment: &Segment) -> io::Result<Bytes> {
        let mut file = File::open(segment_path(&self.shared.dir, segment.first))?;
        file.seek(SeekFrom::Start(self.place.at))?;
        let length = WINDOW_BYTES.min(segment.bytes - self.place.at);
        let mut window = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.take(length).read_to_end(&mut window)?;
        Ok(window.into())
    }

    /// Puts the window's records into the batch, and tells how far it was judged.
    fn pick(
        &mut self,
        segment: &Segment,
        window: &Bytes,
        records_max: usize,
        bytes_max: usize,
        batch: &mut Vec<SpoolRecord>,
    ) -> Place {
        let (begin, numbers, spool) = (self.place.at, segment.numbers(), self.shared.spool);
        let place = |at: usize| Place { segment: segment.first, at: begin + at as u64 };
        // A file that is shorter than what was written to it ends with its segment too.
        let is_short = (window.len() as u64) < WINDOW_BYTES.min(segment.bytes - begin);
        let whole = is_short || begin + window.len() as u64 == segment.bytes;
        let (mut number_max, mut bytes) = (self.done, 0);
        let mut at = if begin == 0 && layout::read_head(window).is_some() { HEAD_BYTES } else { 0 };
        self.yielded.clear();
        while at < window.len() && batch.len() < records_max {
            at = match layout::piece(spool, &numbers, window, at, whole) {
                // Written twice, when a failed write could not be taken back; or acknowledged.
                Piece::Record { number, payload } if number <= number_max => payload.end,
                Piece::Record { payload, .. } if !batch.is_empty() && bytes + payload.len() > bytes_max => {
                    break;
                }
                Piece::Record { number, payload } => {
                    number_max = number;
                    bytes += payload.len();
                    self.yielded.push((number, place(payload.end)));
                    batch.push(SpoolRecord { number, payload: window.slice(payload.clone()) });
                    payload.end
                }
                Piece::End { end, .. } => end,
                Piece::Damaged { end } => {
                    self.count_damage(place(at), place(end));
                    end
                }
                Piece::Cut => break,
            };
        }
        self.yielded_max = self.yielded_max.max(number_max);
        if at >= window.len() && is_short {
            let end = Place { segment: segment.first, at: segment.bytes };
            self.count_damage(place(at), end);
            return end;
        }
        place(at)
    }

    /// A damaged stretch counts once, however often it is read and by however many windows.
    fn count_damage(&mut self, from: Place, to: Place) {
        if to <= self.judged {
            return;
        }
        if from != self.judged {
            self.shared.corrupt.fetch_add(1, Ordering::Relaxed);
        }
        self.judged = to;
        if self.logged != from.segment {
            self.logged = from.segment;
            let file = segment_path(&self.shared.dir, from.segment);
            tracing::error!(file = %file.display(), offset = from.at, "spool is damaged here, and goes on behind");
        }
    }

    /// A file that cannot be read for long is set aside: it stays for whoever can repair it. The last one is tried on.
    fn bear(&mut self, error: &io::Error) {
        self.failed_tries += 1;
        if self.failed_tries < READ_TRIES_MAX {
            return;
        }
        self.failed_tries = 0;
        if self.shared.segments().set_aside(self.place.segment) {
            let file = segment_path(&self.shared.dir, self.place.segment);
            tracing::error!(file = %file.display(), %error, "a segment of the spool cannot be read: left alone");
            self.shared.corrupt.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Deletes what lies wholly before the place, or is wholly skipped. What cannot be deleted is tried again later.
    fn remove_spent(&mut self) {
        loop {
            let spent_opt = self.shared.segments().spent_opt(self.place.segment);
            let Some(spent) = spent_opt else { return };
            let path = segment_path(&self.shared.dir, spent.first);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    if mem::replace(&mut self.undeleted, spent.first) != spent.first {
                        tracing::warn!(file = %path.display(), %error, "a segment cannot be deleted");
                    }
                    return;
                }
                Ok(()) | Err(_) => self.shared.segments().remove(spent.first),
            }
        }
    }
}

#[cfg(test)]
mod tests;
