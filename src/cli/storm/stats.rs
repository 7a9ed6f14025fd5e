//! The books of a round: which frames were sent, which arrived, how late, and what went wrong besides.
//! It knows nothing of sockets, nor of how a frame is recognised.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::identity::{Ear, TRACKS_MAX, Voice};

const FRAME_US: u64 = 20_000;
/// A frame that needed longer than itself is late.
const LATE_US: u64 = FRAME_US;
/// Sending times kept per track. 256 frames are 5.12 s; whatever comes later is booked as [`DELAY_MAX_US`].
const SENT_KEPT: usize = 256;
/// The longest delay told apart from longer ones.
const DELAY_MAX_US: u64 = 5_120_000;
/// A sending time takes 40 bits of microseconds (12 days); the frame's number has the other 24 (93 hours of frames).
const TIME_BITS: u32 = 40;

/// One direction of all calls.
pub(super) struct Direction {
    /// Both ends are in this process: one clock, in microseconds since here.
    origin: Instant,
    voice: Voice,
    /// What the far end's ear understands: another format of the same identity where the path resamples.
    far_voice: Voice,
    tracks: Mutex<Vec<Arc<Track>>>,
    /// Tracks of which at least one frame arrived.
    linked: AtomicU32,
    window: Mutex<Window>,
}

/// One direction of one call.
struct Track {
    sent: [AtomicU64; SENT_KEPT],
    sent_count: AtomicU32,
    tally: Mutex<Tally>,
}

/// The sender's end of a track.
pub(super) struct Speaker {
    direction: Arc<Direction>,
    id: u32,
    track: Arc<Track>,
}

/// The receiver's end of a track; which one it is, the first frames tell.
pub(super) struct Listener {
    direction: Arc<Direction>,
    ear: Ear,
    linked: Option<(u32, Arc<Track>)>,
}

/// Which frames of a track arrived.
#[derive(Default)]
struct Tally {
    next: u32,
    missing: BTreeSet<u32>,
    heard: u64,
    doubled: u64,
    reordered: u64,
}

/// The steady state. Delays are booked for what was sent inside it; foreign audio until its end, for a caller who then
/// falls silent without hanging up is one that a switch may fill in for.
struct Window {
    span_us: Range<u64>,
    delays_us: Histogram<u64>,
    late: u64,
    foreign_us: u64,
}

/// What a direction came to.
#[derive(Serialize, Clone, Default, Debug)]
pub(super) struct Reckoning {
    pub(super) frames_sent: u64,
    pub(super) frames_heard: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) reordered: u64,
    /// Messages of the steady window that took over 20 ms.
    pub(super) late: u64,
    /// Audio that arrived, up to the end of the window, and that nobody had sent, or not like this. A switch that fills
    /// in for a caller whose frames come late makes some.
    pub(super) foreign_ms: f64,
    pub(super) messages_timed: u64,
    pub(super) delay_ms_p50: f64,
    pub(super) delay_ms_p99: f64,
    pub(super) delay_ms_p999: f64,
    pub(super) delay_ms_max: f64,
}

/// A way for a call to fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Failure {
    /// The carrier's media socket was not accepted.
    Refused,
    /// The call stood, but one direction or both stayed mute.
    Mute,
    /// The switch gave up the carrier's socket before the caller hung up.
    CarrierLost,
    /// The switch gave up the provider's socket before the caller hung up.
    ProviderLost,
    /// A socket still stood open after the caller had hung up.
    LeftOpen,
    /// Something the neighbour must not say.
    Protocol,
}

/// The failures of a round, and what the first of each kind said.
#[derive(Default)]
pub(super) struct Failures(Mutex<BTreeMap<Failure, (u64, String)>>);

// ---------------------------------------------------------------- Direction

impl Direction {
    pub(super) fn new(origin: Instant, voice: Voice, far_voice: Voice) -> Arc<Self> {
        let delays_us = Histogram::new_with_bounds(1, DELAY_MAX_US, 3)
            .expect("1 us to 5.12 s in three digits is a legal range");
        Arc::new(Self {
            origin,
            voice,
            far_voice,
            tracks: Mutex::default(),
            linked: AtomicU32::new(0),
            window: Mutex::new(Window { span_us: u64::MAX..u64::MAX, delays_us, late: 0, foreign_us: 0 }),
        })
    }

    /// A new track, or none when the identities have run out.
    pub(super) fn speaker(self: &Arc<Self>) -> Option<Speaker> {
        let mut tracks = lock(&self.tracks);
        let id = u32::try_from(tracks.len()).ok().filter(|id| *id < TRACKS_MAX)?;
        let track = Arc::new(Track {
            sent: [const { AtomicU64::new(0) }; SENT_KEPT],
            sent_count: AtomicU32::new(0),
            tally: Mutex::default(),
        });
        tracks.push(Arc::clone(&track));
        Some(Speaker { direction: Arc::clone(self), id, track })
    }

    pub(super) fn listener(self: &Arc<Self>) -> Listener {
        Listener { direction: Arc::clone(self), ear: self.far_voice.ear(), linked: None }
    }

    pub(super) fn linked(&self) -> u32 {
        self.linked.load(Relaxed)
    }

    /// From now on delays count.
    pub(super) fn open_window(&self, now: Instant) {
        lock(&self.window).span_us.start = self.us_at(now);
    }

    pub(super) fn close_window(&self, now: Instant) {
        lock(&self.window).span_us.end = self.us_at(now);
    }

    fn us_at(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.origin).as_micros()).expect("584,000 years of microseconds fit")
    }

    /// The sum of it all. What has not arrived by now is lost.
    pub(super) fn reckon(&self) -> Reckoning {
        let mut sum = Reckoning::default();
        for track in lock(&self.tracks).iter() {
            let (tally, sent) = (lock(&track.tally), track.sent_count.load(Relaxed));
            sum.frames_sent += u64::from(sent);
            sum.frames_heard += tally.heard;
            sum.lost += tally.lost_of(sent);
            sum.doubled += tally.doubled;
            sum.reordered += tally.reordered;
        }
        let window = lock(&self.window);
        let at = |quantile| window.delays_us.value_at_quantile(quantile) as f64 / 1e3;
        sum.late = window.late;
        sum.foreign_ms = window.foreign_us as f64 / 1e3;
        sum.messages_timed = window.delays_us.len();
        (sum.delay_ms_p50, sum.delay_ms_p99, sum.delay_ms_p999) = (at(0.5), at(0.99), at(0.999));
        sum.delay_ms_max = at(1.0);
        sum
    }
}

impl Reckoning {
    /// Whether every frame arrived once and in its place.
    pub(super) fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.reordered == 0
    }
}

impl Window {
    fn book_message(&mut self, sent_us: u64, now_us: u64) {
        if self.span_us.contains(&sent_us) {
            let delay_us = now_us - sent_us;
            self.delays_us.saturating_record(delay_us);
            self.late += u64::from(delay_us > LATE_US);
        }
    }

    fn book_foreign(&mut self, audio_us: u64, now_us: u64) {
        if now_us < self.span_us.end {
            self.foreign_us += audio_us;
        }
    }
}

// ---------------------------------------------------------------- Speaker, Listener

impl Speaker {
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Appends the next `frames` frames, to be sent at once.
    pub(super) fn speak(&self, frames: u32, now: Instant, audio: &mut Vec<u8>) {
        let now_us = self.direction.us_at(now);
        for _ in 0..frames {
            let number = self.track.note_sent(now_us);
            self.direction.voice.speak(self.id, number, audio);
        }
    }
}

impl Listener {
    /// Books the frames of one message, which has just arrived. A message is as late as the oldest frame in it.
    pub(super) fn hear(&mut self, audio: &[u8], now: Instant) {
        let now_us = self.direction.us_at(now);
        let (direction, linked) = (&self.direction, &mut self.linked);
        let mut oldest_us = None;
        let mut strangers = 0;
        self.ear.hear(audio, |id, number| {
            if linked.is_none() {
                *linked = lock(&direction.tracks).get(id as usize).map(|track| (id, Arc::clone(track)));
                direction.linked.fetch_add(u32::from(linked.is_some()), Relaxed);
            }
            let ours = linked.as_ref().filter(|(known, _)| *known == id);
            if let Some(sent_us) = ours.and_then(|(_, track)| track.note_heard(number, now_us)) {
                oldest_us = Some(oldest_us.unwrap_or(u64::MAX).min(sent_us));
            } else {
                strangers += 1;
            }
        });
        let mut window = lock(&direction.window);
        if let Some(sent_us) = oldest_us {
            window.book_message(sent_us, now_us);
        }
        window.book_foreign(self.ear.take_foreign_us() + strangers * FRAME_US, now_us);
    }
}

// ---------------------------------------------------------------- Track, Tally

impl Track {
    fn note_sent(&self, now_us: u64) -> u32 {
        let number = self.sent_count.fetch_add(1, Relaxed);
        self.sent[number as usize % SENT_KEPT].store(u64::from(number) << TIME_BITS | now_us, Relaxed);
        number
    }

    /// Books the frame and says when it was sent, as far back as that is known. A number never sent is no frame.
    fn note_heard(&self, number: u32, now_us: u64) -> Option<u64> {
        if number >= self.sent_count.load(Relaxed) {
            return None;
        }
        lock(&self.tally).note(number);
        let noted = self.sent[number as usize % SENT_KEPT].load(Relaxed);
        let ours = noted >> TIME_BITS == u64::from(number);
        Some(if ours { noted & ((1 << TIME_BITS) - 1) } else { now_us.saturating_sub(DELAY_MAX_US) })
    }
}

impl Tally {
    fn note(&mut self, number: u32) {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else if self.missing.remove(&number) {
            self.reordered += 1;
        } else {
            self.doubled += 1;
            return;
        }
        self.heard += 1;
    }

    fn lost_of(&self, sent: u32) -> u64 {
        self.missing.len() as u64 + u64::from(sent.saturating_sub(self.next))
    }
}

// ---------------------------------------------------------------- Failures

impl Failures {
    pub(super) fn add(&self, failure: Failure, count: u64, cause: impl fmt::Display) {
        if count > 0 {
            lock(&self.0).entry(failure).or_insert_with(|| (0, cause.to_string())).0 += count;
        }
    }

    pub(super) fn count(&self) -> u64 {
        lock(&self.0).values().map(|(count, _)| count).sum()
    }

    /// Each kind that occurred: how often, and what its first case said.
    pub(super) fn list(&self) -> Vec<(Failure, u64, String)> {
        lock(&self.0).iter().map(|(failure, (count, cause))| (*failure, *count, cause.clone())).collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Refused => "refused",
            Failure::Mute => "mute",
            Failure::CarrierLost => "carrier socket lost",
            Failure::ProviderLost => "provider socket lost",
            Failure::LeftOpen => "left open after the hang-up",
            Failure::Protocol => "protocol violated",
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding the books")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn noted(numbers: &[u32]) -> Tally {
        let mut tally = Tally::default();
        for number in numbers {
            tally.note(*number);
        }
        tally
    }

    #[test]
    fn frames_that_never_came_are_lost_in_the_middle_and_at_the_end() {
        let tally = noted(&[0, 1, 4, 5]);
        assert_eq!((tally.lost_of(6), tally.lost_of(9)), (2, 5));
        assert_eq!((tally.heard, tally.doubled, tally.reordered), (4, 0, 0));
    }

    #[test]
    fn a_frame_that_came_twice_is_doubled_and_one_that_came_late_is_reordered() {
        let tally = noted(&[0, 2, 1, 1, 3]);
        assert_eq!((tally.heard, tally.doubled, tally.reordered, tally.lost_of(4)), (4, 1, 1, 0));
    }

    /// A direction that began at the returned moment, and how to say frames on a new track of it.
    fn direction() -> (Arc<Direction>, Instant) {
        let origin = Instant::now();
        (Direction::new(origin, Voice::Stamps, Voice::Stamps), origin)
    }

    fn spoken(speaker: &Speaker, frames: u32, now: Instant) -> Vec<u8> {
        let mut audio = Vec::new();
        speaker.speak(frames, now, &mut audio);
        audio
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_message_is_as_late_as_its_oldest_frame_and_only_the_window_counts() {
        let (direction, start) = direction();
        let speaker = direction.speaker().expect("the first of many");
        let mut listener = direction.listener();
        listener.hear(&spoken(&speaker, 1, start), start + 900 * MS);

        direction.open_window(start + 1_000 * MS);
        let mut message = spoken(&speaker, 1, start + 1_000 * MS);
        message.extend(spoken(&speaker, 1, start + 1_030 * MS));
        listener.hear(&message, start + 1_031 * MS);
        direction.close_window(start + 2_000 * MS);
        listener.hear(&spoken(&speaker, 1, start + 2_000 * MS), start + 2_900 * MS);

        let sum = direction.reckon();
        assert_eq!((sum.frames_sent, sum.frames_heard, sum.lost, direction.linked()), (4, 4, 0, 1));
        assert_eq!((sum.messages_timed, sum.late), (1, 1));
        assert!((sum.delay_ms_max - 31.0).abs() < 0.1, "{} ms", sum.delay_ms_max);
    }

    #[test]
    fn a_frame_of_another_call_and_one_never_sent_are_foreign_and_not_heard() {
        let (direction, start) = direction();
        let (ours, other) = (direction.speaker().expect("first"), direction.speaker().expect("second"));
        let mut audio = spoken(&ours, 1, start);
        audio.extend(spoken(&other, 1, start));
        Voice::Stamps.speak(ours.id(), u32::MAX, &mut audio);
        direction.listener().hear(&audio, start);
        let sum = direction.reckon();
        assert_eq!((sum.frames_sent, sum.frames_heard, sum.lost), (2, 1, 1));
        assert!((sum.foreign_ms - 40.0).abs() < 1e-9, "{} ms", sum.foreign_ms);
    }

    #[test]
    fn what_fills_the_silence_after_the_window_is_not_foreign() {
        let (direction, start) = direction();
        let mut listener = direction.listener();
        direction.open_window(start);
        listener.hear(&[0xff; 319], start + 10 * MS);
        direction.close_window(start + 100 * MS);
        listener.hear(&[0xff; 1_600], start + 100 * MS);
        let foreign_ms = direction.reckon().foreign_ms;
        // 160 of 319 bytes; the rest could still become a frame.
        assert!((foreign_ms - 20.0).abs() < 1e-9, "{foreign_ms} ms");
    }

    #[test]
    fn a_frame_held_longer_than_its_time_is_remembered_is_booked_as_the_longest() {
        let (direction, start) = direction();
        let speaker = direction.speaker().expect("the first of many");
        direction.open_window(start);
        let held = spoken(&speaker, 1, start + 1_000 * MS);
        spoken(&speaker, 256, start + 6_500 * MS);
        direction.listener().hear(&held, start + 6_500 * MS);
        let sum = direction.reckon();
        assert_eq!(sum.late, 1);
        assert!((sum.delay_ms_max - 5_120.0).abs() < 5.0, "{} ms", sum.delay_ms_max);
    }

    #[test]
    fn identities_run_out_instead_of_repeating() {
        let (direction, _) = direction();
        let given = std::iter::from_fn(|| direction.speaker()).map(|speaker| speaker.id()).last();
        assert_eq!(given, Some(TRACKS_MAX - 1));
    }

    #[test]
    fn failures_are_counted_by_kind_and_keep_their_first_cause() {
        let failures = Failures::default();
        failures.add(Failure::Refused, 0, "never");
        failures.add(Failure::Refused, 2, "503");
        failures.add(Failure::Refused, 1, "404");
        failures.add(Failure::Mute, 1, "nothing heard");
        let expected =
            [(Failure::Refused, 3, "503".to_owned()), (Failure::Mute, 1, "nothing heard".to_owned())];
        assert_eq!(failures.list(), expected);
        assert_eq!(failures.count(), 4);
    }
}
