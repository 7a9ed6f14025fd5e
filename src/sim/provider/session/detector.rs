//! The provider's own ear: where speech starts and stops in what the caller sends, by level above the line's
//! noise.
//!
//! Knows no bytes, no formats and no events, and shares nothing with the switch's speech gate.

use std::collections::VecDeque;

/// Length of one measurement. Ten ms are two periods of a low voice (100 Hz).
pub(crate) const FRAME_MS: u64 = 10;

/// The line's noise is the level that a tenth of the last three seconds stay below: pauses within speech are
/// more than a tenth of it, and a steady hum is all of it.
const NOISE_FRAMES: usize = 300;
const NOISE_QUANTILE: usize = 10;

/// Once there is a second of line to judge by, the noise is measured again every so many frames only.
const NOISE_SETTLED_FRAMES: usize = 100;
const NOISE_EVERY_FRAMES: u64 = 10;

/// Below this a line counts as silent, in dBFS: digital silence would make every rustle a shout.
const NOISE_FLOOR_DB: f64 = -60.0;

/// Levels this far above the noise count as speech with probability 0 and 1; in between it is a straight
/// line, so the usual threshold of 0.5 stands 16 dB above the noise.
const SPEECH_DB: (f64, f64) = (6.0, 26.0);

/// Speech must outweigh the rest by so many frames to count as started: 60 ms, longer than a click or a key
/// press.
const START_FRAMES: u32 = 6;

/// Speech goes on while it stays above the threshold less this, as in the models the real detection is made
/// of.
const HYSTERESIS: f64 = 0.15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Speech began at this offset.
    Started { at_ms: u64 },
    /// It has been silent for the wanted time; the end of that silence is now.
    Stopped { at_ms: u64 },
}

#[derive(Debug, Default)]
pub(crate) struct Detector {
    levels: VecDeque<f64>,
    heard_frames: u64,
    noise_db: f64,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Silent,
    Perhaps {
        since_ms: u64,
        frames: u32,
    },
    Speaking {
        silent_ms: u64,
    },
}

impl Detector {
    /// Takes the next [`FRAME_MS`] of samples, which start at `at_ms`.
    pub(crate) fn hear(
        &mut self,
        samples: impl Iterator<Item = i16> + Clone,
        at_ms: u64,
        threshold: f64,
        silence_ms: u64,
    ) -> Option<Change> {
        let probability = self.probability(level_db(samples));
        let speech = probability >= threshold;
        match self.state {
            State::Silent if speech => self.state = State::Perhaps { since_ms: at_ms, frames: 1 },
            State::Silent => {}
            State::Perhaps { since_ms, frames } if speech && frames + 1 >= START_FRAMES => {
                self.state = State::Speaking { silent_ms: 0 };
                return Some(Change::Started { at_ms: since_ms });
            }
            State::Perhaps { since_ms, frames } if speech => {
                self.state = State::Perhaps { since_ms, frames: frames + 1 };
            }
            State::Perhaps { frames: 1, .. } => self.state = State::Silent,
            State::Perhaps { since_ms, frames } => {
                self.state = State::Perhaps { since_ms, frames: frames - 1 }
            }
            State::Speaking { .. } if speech => self.state = State::Speaking { silent_ms: 0 },
            State::Speaking { silent_ms: 0 } if probability >= threshold - HYSTERESIS => {}
            State::Speaking { silent_ms } if silent_ms + FRAME_MS >= silence_ms => {
                self.state = State::Silent;
                return Some(Change::Stopped { at_ms: at_ms + FRAME_MS });
            }
            State::Speaking { silent_ms } => self.state = State::Speaking { silent_ms: silent_ms + FRAME_MS },
        }
        None
    }

    pub(crate) fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    /// Forgets an utterance in progress, as when turn detection is switched off or the buffer is cleared.
    pub(crate) fn fall_silent(&mut self) {
        self.state = State::Silent;
    }

    fn probability(&mut self, level_db: f64) -> f64 {
        if self.levels.len() == NOISE_FRAMES {
            self.levels.pop_front();
        }
        self.levels.push_back(level_db);
        self.heard_frames += 1;
        if self.levels.len() < NOISE_SETTLED_FRAMES || self.heard_frames.is_multiple_of(NOISE_EVERY_FRAMES) {
            let mut levels: Vec<f64> = self.levels.iter().copied().collect();
            let rank = levels.len() / NOISE_QUANTILE;
            self.noise_db = *levels.select_nth_unstable_by(rank, f64::total_cmp).1;
        }
        let above = level_db - self.noise_db.max(NOISE_FLOOR_DB);
        ((above - SPEECH_DB.0) / (SPEECH_DB.1 - SPEECH_DB.0)).clamp(0.0, 1.0)
    }
}

/// Level in dB relative to full scale, without any constant part. Silence is -100.
fn level_db(samples: impl Iterator<Item = i16> + Clone) -> f64 {
    let count = samples.clone().count().max(1) as f64;
    let mean = samples.clone().map(f64::from).sum::<f64>() / count;
    let power = samples.map(|sample| (f64::from(sample) - mean).powi(2)).sum::<f64>() / count;
    10.0 * (power / f64::from(32_768 * 32_768)).max(1e-10).log10()
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "figures of tests are small")]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::speech::CallerAudio;

    /// Changes heard in 8 kHz samples with threshold 0.5.
    fn changes(samples: &[i16], silence_ms: u64) -> Vec<Change> {
        let mut detector = Detector::default();
        let frames = samples.chunks(80).zip((0..).step_by(10));
        frames.filter_map(|(frame, at)| detector.hear(frame.iter().copied(), at, 0.5, silence_ms)).collect()
    }

    fn noise(amplitude: i16, milliseconds: usize) -> Vec<i16> {
        let mut rng = StdRng::seed_from_u64(7);
        (0..milliseconds * 8).map(|_| rng.random_range(-amplitude..=amplitude)).collect()
    }

    fn over(mut bed: Vec<i16>, speech: &[i16], at_ms: usize) -> Vec<i16> {
        for (under, over) in bed[at_ms * 8..].iter_mut().zip(speech) {
            *under = under.saturating_add(*over);
        }
        bed
    }

    fn starts(changes: &[Change]) -> Vec<u64> {
        let start =
            |change: &Change| if let Change::Started { at_ms } = change { Some(*at_ms) } else { None };
        changes.iter().filter_map(start).collect()
    }

    #[test]
    fn the_demo_caller_speaks_four_times() {
        let starts = starts(&changes(CallerAudio::demo().samples(), 500));
        assert_eq!(starts.len(), 4, "{starts:?}");
        for (start, written) in starts.iter().zip([3_900, 11_800, 17_200, 24_300]) {
            assert!((written..written + 200).contains(start), "{starts:?}");
        }
    }

    #[test]
    fn speech_is_found_in_a_noisy_line() {
        let caller = CallerAudio::demo();
        let line = over(noise(500, 27_000), caller.samples(), 0); // -41 dBFS of noise, 20 dB under the voice
        let heard = changes(&line, 700);
        assert_eq!(
            heard.iter().filter(|change| matches!(change, Change::Started { .. })).count(),
            4,
            "{heard:?}"
        );
    }

    #[test]
    fn what_is_not_speech_starts_no_turn() {
        let hum: Vec<i16> = (0..80_000).map(|i| (8_000.0 * (f64::from(i) * 0.3).sin()) as i16).collect();
        let click = over(vec![0; 16_000], &[12_000; 160], 1_000);
        for (what, line) in [
            ("silence", vec![0; 80_000]),
            ("noise", noise(3_000, 10_000)),
            ("constant", vec![9_000; 80_000]),
            ("hum", hum),
            ("click", click),
        ] {
            assert_eq!(changes(&line, 500), [], "{what}");
        }
    }

    #[test]
    fn the_wanted_silence_is_waited_for_and_counted_in() {
        let burst: Vec<i16> = CallerAudio::demo().samples()[4_000 * 8..5_000 * 8].to_vec();
        let line = over(vec![0; 8_000 * 4], &burst, 500);
        let stop = |silence| match changes(&line, silence)[..] {
            [Change::Started { .. }, Change::Stopped { at_ms }] => at_ms,
            ref other => panic!("{other:?}"),
        };
        assert_eq!(stop(900) - stop(500), 400);
    }
}
