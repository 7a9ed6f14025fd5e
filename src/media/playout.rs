//! Playout arithmetic: how much of what was sent to the carrier has the caller heard?
//!
//! It refuses to know sockets, codecs and clocks: positions are samples at 8 kHz, `now` is an argument.
//!
//! The carrier queues what we send and plays it at 8,000 samples a second. What we know is when we sent what, and
//! when it echoed our marks. So the position of the playback is the last proof (a mark, or audio that met an empty
//! queue) plus the time since, and never beyond what was sent. An echo that comes sooner than reckoned always counts;
//! one that comes later counts when it is later than a tick: then the carrier has stalled. Less than that is the
//! echo's own way through threads and networks, and says nothing about the caller's ear.

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::{FRAME_MS, PHONE_RATE};

/// Samples per millisecond at the carrier.
const PER_MS: u64 = PHONE_RATE as u64 / 1_000;

/// One contiguous utterance of an engine, numbered in the order of their audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part(pub u32);

/// How far into the engine's audio the caller has heard: all parts before `part` wholly, `part` up to `samples`
/// (8 kHz), nothing of later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub part: Part,
    pub samples: u64,
}

impl Heard {
    /// Rounded down: to claim more than was played would be refused.
    pub fn ms(self) -> u64 {
        self.samples / PER_MS
    }
}

/// What an echoed mark meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Everything up to the mark was played.
    Played,
    /// The mark was flushed by a clear, or answered already: it proves nothing about playback.
    Stale,
    /// We never sent it.
    Unknown,
}

/// Marks of one call: each is sent once and resolved once. `sent` = `played` + `cleared` + `given_up` + what is
/// outstanding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkBooks {
    pub sent: u64,
    pub played: u64,
    /// Flushed by a clear. Their echoes still come, and are counted in `stale`.
    pub cleared: u64,
    pub stale: u64,
    pub unknown: u64,
    /// Not echoed although many later ones were sent: the carrier echoes none, or not all.
    pub given_up: u64,
}

/// The playback of one carrier stream, as far as we can know it.
#[derive(Debug, Default)]
pub struct Playout {
    /// Samples sent since the stream began, less what clears have thrown away: the end of the carrier's queue.
    sent: u64,
    proof: Proof,
    parts: VecDeque<Segment>,
    marks: VecDeque<Mark>,
    /// What marks are named with; one more after every clear.
    generation: u32,
    marks_made: u32,
    marked_up_to: u64,
    /// Played for certain: the last mark that was echoed stands here.
    echoed_up_to: u64,
    books: MarkBooks,
    /// This carrier has echoed a mark before: it is worth waiting for one.
    echoes: bool,
}

/// The playback was at `position` at the time `at`.
#[derive(Clone, Copy, Debug, Default)]
struct Proof {
    position: u64,
    at: Duration,
    /// By a mark, and not only by audio that met an empty queue: when that began to play we can only suppose.
    by_mark: bool,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    part: Part,
    start: u64,
    end: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    number: u32,
    position: u64,
}

/// Half a tick: carriers play in ticks of 20 ms, and the one that sounds when a clear comes is heard to its end. On
/// average that is half of one more than the marks and the time can tell.
const HALF_TICK: u64 = TICK / 2;

/// Samples that a carrier plays at a time.
const TICK: u64 = FRAME_MS as u64 * PER_MS;

/// A mark that has not come back so long after it must have is not waited for: it was lost.
const OVERDUE: Duration = Duration::from_millis(250);

/// Marks that may be outstanding. A carrier's queue of 400 ms holds three or four.
const MARKS_KEPT: usize = 32;

/// Parts remembered behind the playback; older ones count as heard. A response may have dozens of small ones.
const PARTS_KEPT: usize = 64;

impl Playout {
    /// Notes that `samples` of `part` were handed to the carrier at `now`.
    pub fn sent(&mut self, part: Part, samples: u64, now: Duration) {
        if self.position(now) >= self.sent {
            // The queue was empty: this audio starts to play as it arrives.
            self.proof = Proof { position: self.sent, at: now, by_mark: false };
        }
        let start = self.sent;
        self.sent += samples;
        match self.parts.back_mut() {
            Some(last) if last.part == part => last.end = self.sent,
            _ => self.parts.push_back(Segment { part, start, end: self.sent }),
        }
        let played = self.position(now);
        while self.parts.len() > PARTS_KEPT && self.parts[1].start < played {
            self.parts.pop_front();
        }
    }

    /// Samples that the caller has heard since the stream began, clears taken out.
    pub fn position(&self, now: Duration) -> u64 {
        let Proof { position, at, by_mark } = self.proof;
        let reckoned = position.saturating_add(samples(now.saturating_sub(at))).min(self.sent);
        match self.marks.front() {
            // Until a mark says when this audio began to play, it may not have: carriers buffer before they start.
            Some(next) if !by_mark && self.echoes && next.position < reckoned => {
                let overdue = reckoned - next.position;
                if overdue < samples(OVERDUE) { next.position } else { reckoned }
            }
            _ => reckoned,
        }
    }

    /// Audio that waits in the carrier's queue.
    pub fn lead(&self, now: Duration) -> Duration {
        duration(self.sent - self.position(now))
    }

    /// The end of a carrier's socket: what was heard, and how much was sent beyond that. Of a carrier that may have been
    /// gone for a while (`doubtful`) only an echo proves anything, if it echoes at all.
    pub fn ended(&self, now: Duration, doubtful: bool) -> (Option<Heard>, Duration) {
        let position = if doubtful && self.echoes { self.echoed_up_to } else { self.position(now) };
        (self.heard_at(position), duration(self.sent - position))
    }

    /// Audio sent since the last mark was made.
    pub fn unmarked(&self) -> Duration {
        duration(self.sent - self.marked_up_to)
    }

    /// Whether everything sent is played, as far as time and marks tell.
    pub fn is_idle(&self, now: Duration) -> bool {
        self.position(now) >= self.sent
    }

    /// Makes the mark that stands behind everything sent so far; the caller sends it under this name.
    pub fn mark(&mut self) -> (u32, u32) {
        if self.marks.len() == MARKS_KEPT {
            self.marks.pop_front();
            self.books.given_up += 1;
        }
        self.marks_made += 1;
        self.marks.push_back(Mark { number: self.marks_made, position: self.sent });
        self.marked_up_to = self.sent;
        self.books.sent += 1;
        (self.generation, self.marks_made)
    }

    /// Takes an echo in. Marks are found by number, never by order: carriers may skip some and repeat others.
    pub fn echoed(&mut self, generation: u32, number: u32, now: Duration) -> Echo {
        if number == 0 || number > self.marks_made || generation > self.generation {
            self.books.unknown += 1;
            return Echo::Unknown;
        }
        let found = self.marks.iter().position(|mark| mark.number == number);
        self.echoes = true;
        let Some(index) = found.filter(|_| generation == self.generation) else {
            self.books.stale += 1;
            return Echo::Stale;
        };
        let position = self.marks[index].position;
        self.echoed_up_to = position;
        // An echo says that everything before it was played too, whether or not earlier echoes came.
        self.books.played += self.marks.drain(..=index).len() as u64;
        let late = self.position(now).saturating_sub(position);
        if !self.proof.by_mark || late == 0 || late > TICK {
            self.proof = Proof { position, at: now, by_mark: true };
        }
        Echo::Played
    }

    /// What the caller will have heard when the playback is stopped at `now`; nothing when no part has begun to play.
    pub fn heard(&self, now: Duration) -> Option<Heard> {
        self.heard_at(self.stopped(now))
    }

    fn heard_at(&self, position: u64) -> Option<Heard> {
        let segment = self.parts.iter().rev().find(|segment| segment.start < position)?;
        Some(Heard { part: segment.part, samples: position.min(segment.end) - segment.start })
    }

    /// Throws away what the carrier has not played: from `now` on nothing of it will be. Returns what was heard.
    pub fn clear(&mut self, now: Duration) -> Option<Heard> {
        let heard = self.heard(now);
        let position = self.stopped(now);
        self.sent = position;
        self.proof = Proof { position, at: now, by_mark: false };
        self.parts.clear();
        self.books.cleared += self.marks.len() as u64;
        self.marks.clear();
        self.marked_up_to = position;
        self.echoed_up_to = position;
        self.generation += 1;
        heard
    }

    fn stopped(&self, now: Duration) -> u64 {
        match self.position(now) {
            0 => 0,                                                     // nothing sounds yet
            position if self.echoes && !self.proof.by_mark => position, // perhaps nothing sounds yet
            position => (position + HALF_TICK).min(self.sent),
        }
    }

    pub fn marks_outstanding(&self) -> usize {
        self.marks.len()
    }

    pub fn books(&self) -> MarkBooks {
        self.books
    }
}

fn samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).saturating_mul(PER_MS) / 1_000
}

fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000 / PER_MS)
}

#[cfg(test)]
mod tests;
