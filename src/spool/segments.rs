//! Which segments there are, what they hold, and which numbers have been given.
//!
//! Pure account, shared by writer and reader. It refuses to touch a file.

use std::collections::VecDeque;
use std::ops::Range;

use super::layout::{PAYLOAD_BYTES_MAX, RECORD_BYTES_MIN};

/// More than any segment can be told to hold.
pub(super) const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Each segment may use so many numbers from its first: 64 MiB / 20 bytes are 3.4 million records. After a crash nobody
/// knows how many of the last segment's numbers were given to records that the disk has lost, and the consumer may have
/// some of them. So the next segment begins behind all of them.
pub(super) const NUMBERS_PER_SEGMENT: u64 = 1 << 22;

/// What a consumer may claim at most to know: half of what a `BIGINT` holds, so that numbers can go on behind it.
pub(super) const NUMBER_MAX: u64 = 1 << 62;

const _: () = assert!(SEGMENT_BYTES_MAX / (RECORD_BYTES_MIN as u64) < NUMBERS_PER_SEGMENT);
const _: () = assert!(PAYLOAD_BYTES_MAX as u64 <= SEGMENT_BYTES_MAX);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first record, and its name.
    pub(super) first: u64,
    pub(super) records: u64,
    /// As far as whole records were written.
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) fn numbers(&self) -> Range<u64> {
        self.first..self.first + NUMBERS_PER_SEGMENT
    }

    /// Records with a number above this one.
    fn records_after(&self, number: u64) -> u64 {
        (self.first + self.records).saturating_sub(self.first.max(number + 1))
    }
}

#[derive(Debug)]
pub(super) struct Segments {
    /// By number. The last one is never removed, since its name keeps numbers from being given again.
    kept: VecDeque<Segment>,
    /// The next record's number, unless the consumer has seen higher ones.
    next: u64,
    /// The number that the first record since opening would have had.
    next_at_open: u64,
    /// The highest number that the consumer is done with.
    done: u64,
    /// The writer has gone: nothing will be added.
    ended: bool,
}

impl Segments {
    pub(super) fn new(kept: VecDeque<Segment>, next: u64) -> Self {
        Self { kept, next, next_at_open: next, done: 0, ended: false }
    }

    // --- the writer's --------------------------------------------------------------------------------

    pub(super) fn next(&self) -> u64 {
        self.next.max(self.done + 1)
    }

    /// Numbers that no record has, before the next one.
    pub(super) fn left_out(&self) -> u64 {
        let used = self.kept.back().map_or(1, |last| last.first + last.records);
        self.next().saturating_sub(used)
    }

    /// A file of this name is about to be made. If there was one, no record in it counted.
    pub(super) fn prepare(&mut self, first: u64) {
        self.kept.pop_back_if(|last| last.first == first);
    }

    pub(super) fn begin(&mut self, first: u64, bytes: u64) {
        self.kept.push_back(Segment { first, records: 0, bytes });
    }

    /// Records were written to the last segment, from this number on. Refused when the consumer turns out to have seen
    /// the number: the records need others.
    pub(super) fn add(&mut self, first: u64, records: u64, bytes: u64) -> bool {
        if first < self.next() {
            return false;
        }
        if let Some(last) = self.kept.back_mut() {
            last.records += records;
            last.bytes += bytes;
        }
        self.next = first + records;
        true
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    // --- the reader's --------------------------------------------------------------------------------

    pub(super) fn find_opt(&self, first: u64) -> Option<Segment> {
        self.kept.iter().find(|segment| segment.first == first).copied()
    }

    pub(super) fn after_opt(&self, first: u64) -> Option<Segment> {
        self.kept.iter().find(|segment| segment.first > first).copied()
    }

    /// The consumer is done with the numbers up to this one. Tells how far it is.
    pub(super) fn done_with(&mut self, number: u64) -> u64 {
        self.done = self.done.max(number.min(NUMBER_MAX));
        self.done
    }

    /// How many records of this process a consumer can never have that is done with `number` and was given those up to
    /// `yielded`: others had their numbers before. The directory is older than what the consumer knows.
    pub(super) fn hidden_by(&self, number: u64, yielded: u64) -> u64 {
        let known = self.done.max(yielded).max(self.next_at_open - 1);
        number.min(self.next - 1).saturating_sub(known)
    }

    /// The oldest segment, if a reader that has come to the segment `reached` needs it no more.
    pub(super) fn spent_opt(&self, reached: u64) -> Option<Segment> {
        let (first, second) = (self.kept.front()?, self.kept.get(1)?);
        (first.first < reached || second.first <= self.done + 1).then_some(*first)
    }

    pub(super) fn remove(&mut self, first: u64) {
        self.kept.retain(|segment| segment.first != first);
    }

    /// Forgets a segment whose file stays. Not the last one, which the writer may have open.
    pub(super) fn set_aside(&mut self, first: u64) -> bool {
        let is_last = self.kept.back().is_none_or(|last| last.first == first);
        if !is_last {
            self.remove(first);
        }
        !is_last
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    // --- for all -------------------------------------------------------------------------------------

    /// Records that the consumer is not done with.
    pub(super) fn depth(&self) -> u64 {
        self.kept.iter().map(|segment| segment.records_after(self.done)).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.kept.iter().map(|segment| segment.bytes).sum()
    }
}
