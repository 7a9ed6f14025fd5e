//! The carrier's playback queue: drained 20 ms at a time at 8,000 bytes a second, marks told when reached,
//! everything dropped on clear.
//!
//! Knows no clock: the caller ticks it.

use std::collections::VecDeque;

/// Mu-law bytes per tick of 20 ms.
pub(crate) const TICK_BYTES: usize = 160;

#[derive(Debug, Default)]
pub(crate) struct Playback {
    queue: VecDeque<Queued>,
    /// Marks whose audio is in the tick that sounds now: reached when it ends.
    sounding_marks: Vec<String>,
    is_sounding: bool,
    /// Ticks to hold back when audio comes to an idle queue.
    start_delay_ticks: u32,
    held_ticks: u32,
    received_bytes: u64,
    played_bytes: u64,
}

#[derive(Debug)]
enum Queued {
    Audio(Vec<u8>),
    Mark(String),
}

/// What happens at the beginning of a tick.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tick {
    /// Marks reached: everything before them has sounded.
    pub(crate) marks: Vec<String>,
    /// What sounds during this tick; at most [`TICK_BYTES`], less where the queue ran dry.
    pub(crate) audio: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) bytes: usize,
    /// Marks that were outstanding, in order.
    pub(crate) marks: Vec<String>,
}

impl Playback {
    pub(crate) fn new(start_delay_ticks: u32) -> Self {
        Self { start_delay_ticks, ..Self::default() }
    }

    pub(crate) fn media(&mut self, audio: Vec<u8>) {
        if self.queue.is_empty() && !self.is_sounding {
            self.held_ticks = self.start_delay_ticks;
        }
        self.received_bytes += audio.len() as u64;
        self.queue.push_back(Queued::Audio(audio));
    }

    /// Queues a mark, or gives it back at once if nothing is left to be played before it.
    pub(crate) fn mark(&mut self, name: String) -> Option<String> {
        if self.queue.is_empty() && !self.is_sounding {
            return Some(name);
        }
        self.queue.push_back(Queued::Mark(name));
        None
    }

    /// Empties the queue. The tick that sounds now is out of reach and sounds to its end.
    pub(crate) fn clear(&mut self) -> Dropped {
        let mut dropped = Dropped { bytes: 0, marks: std::mem::take(&mut self.sounding_marks) };
        for queued in self.queue.drain(..) {
            match queued {
                Queued::Audio(audio) => dropped.bytes += audio.len(),
                Queued::Mark(name) => dropped.marks.push(name),
            }
        }
        self.held_ticks = 0;
        dropped
    }

    /// The last tick has ended and the next begins.
    pub(crate) fn tick(&mut self) -> Tick {
        let mut tick = Tick { marks: std::mem::take(&mut self.sounding_marks), audio: Vec::new() };
        while let Some(name) = self.pop_mark() {
            tick.marks.push(name);
        }
        self.is_sounding = false;
        if self.held_ticks > 0 {
            self.held_ticks -= 1;
            return tick;
        }
        while tick.audio.len() < TICK_BYTES {
            match self.queue.front_mut() {
                Some(Queued::Audio(audio)) => {
                    let taken = audio.len().min(TICK_BYTES - tick.audio.len());
                    tick.audio.extend(audio.drain(..taken));
                    if audio.is_empty() {
                        self.queue.pop_front();
                    }
                }
                Some(Queued::Mark(_)) => {
                    let reached = self.pop_mark();
                    self.sounding_marks.extend(reached);
                }
                None => break,
            }
        }
        while let Some(name) = self.pop_mark() {
            self.sounding_marks.push(name);
        }
        self.is_sounding = !tick.audio.is_empty();
        self.played_bytes += tick.audio.len() as u64;
        tick
    }

    fn pop_mark(&mut self) -> Option<String> {
        match self.queue.pop_front() {
            Some(Queued::Mark(name)) => Some(name),
            Some(audio) => {
                self.queue.push_front(audio);
                None
            }
            None => None,
        }
    }

    pub(crate) fn received_ms(&self) -> u64 {
        self.received_bytes / 8
    }

    /// What has sounded, with the tick that sounds now.
    pub(crate) fn played_ms(&self) -> u64 {
        self.played_bytes / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(playback: &mut Playback, count: usize) -> Vec<(usize, Vec<String>)> {
        (0..count).map(|_| playback.tick()).map(|tick| (tick.audio.len(), tick.marks)).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_mark_comes_back_when_its_last_byte_has_sounded() {
        let mut playback = Playback::default();
        playback.media(vec![1; 400]); // 2.5 ticks
        assert_eq!(playback.mark("a".to_owned()), None);
        playback.media(vec![2; 160]);
        assert_eq!(playback.mark("b".to_owned()), None);
        let played = ticks(&mut playback, 5);
        let expected = [(160, vec![]), (160, vec![]), (160, vec![]), (80, names(&["a"])), (0, names(&["b"]))];
        assert_eq!(played, expected);
        assert_eq!((playback.received_ms(), playback.played_ms()), (70, 70));
    }

    #[test]
    fn a_mark_on_a_silent_line_comes_back_at_once() {
        let mut playback = Playback::default();
        assert_eq!(playback.mark("a".to_owned()), Some("a".to_owned()));
        playback.media(vec![1; 10]);
        playback.tick();
        assert_eq!(playback.mark("b".to_owned()), None, "the last tick still sounds");
        assert_eq!(playback.tick().marks, ["b"]);
        assert_eq!(playback.mark("c".to_owned()), Some("c".to_owned()));
    }

    #[test]
    fn clear_drops_all_but_the_tick_that_sounds_and_returns_the_marks_in_order() {
        let mut playback = Playback::default();
        for (name, length) in [("a", 100), ("b", 100), ("c", 300)] {
            playback.media(vec![0; length]);
            playback.mark(name.to_owned());
        }
        playback.tick(); // takes a whole and 60 bytes of b
        assert_eq!(playback.clear(), Dropped { bytes: 340, marks: names(&["a", "b", "c"]) });
        assert_eq!(playback.tick(), Tick::default());
        assert_eq!(playback.played_ms(), 20);
    }

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut playback = Playback::default();
        let all: Vec<u8> = (0..=255).cycle().take(2_000).collect();
        for part in all.chunks(37) {
            playback.media(part.to_vec());
        }
        let heard: Vec<u8> = (0..20).flat_map(|_| playback.tick().audio).collect();
        assert_eq!(heard, all);
    }

    #[test]
    fn a_start_delay_holds_back_only_after_silence() {
        let mut playback = Playback::new(2);
        playback.media(vec![0; 320]);
        playback.media(vec![0; 160]);
        let lengths: Vec<usize> = ticks(&mut playback, 6).into_iter().map(|(length, _)| length).collect();
        assert_eq!(lengths, [0, 0, 160, 160, 160, 0]);
    }
}
