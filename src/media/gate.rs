//! Speech detection without a model: a gate that opens where sound stands out from the line's noise.
//! Knows no turns and no clock: it counts samples, and what a pause means is for others to decide.
//!
//! Blocks of 10 ms are speech when they are clearly louder than the noise floor, or somewhat louder and of another
//! kind than the noise (vowels cross zero less often than hiss, an "s" more often than hum). The floor is the quietest
//! block of the last two seconds: talkers pause within that time, noise does not. So a noise that sets in, and also a
//! steady tone, is taken for speech for about two seconds and for noise from then on.

use std::ops::Range;

use dasp::ring_buffer;

use crate::level::{self, FULL_SCALE};
use crate::resample::Rate;

/// A change between speech and silence. `at` is counted in samples since the beginning of the stream, and lies in the
/// past: before [`ONSET_MS`] of speech nobody knows that it is speech, and before the hangover no pause is a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Speech began with this sample.
    SpeechStarted { at: u64 },
    /// Speech ended before this sample.
    SpeechStopped { at: u64 },
}

/// Something that hears when a caller speaks.
pub trait Vad {
    /// Listens to the next samples, however many, and tells the changes in them. Starts and stops alternate.
    fn hear(&mut self, samples: &[i16], tell: &mut dyn FnMut(Transition));

    /// Whether the last change told was a start.
    fn speaking(&self) -> bool;

    /// How much speech was heard since the start that was told last, in milliseconds, pauses left out: long before a
    /// stop is told, it tells a cough from a sentence. 0 while nobody speaks.
    fn voiced_ms(&self) -> u32;

    /// Forgets the stream: the next sample is number 0 of a new one.
    fn reset(&mut self);
}

/// The default [`Vad`]: energy and zero crossings against an adaptive noise floor.
#[derive(Clone, Debug)]
pub struct Gate {
    rate: Rate,
    hangover_blocks: u32,
    /// The block being filled, and how much of it is.
    block: [i16; BLOCK_MAX],
    filled: usize,
    /// Samples in the blocks before it.
    heard: u64,
    noise: Noise,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// `run` blocks of speech in a row, from sample `at` on: not yet enough to be sure.
    Silent { run: u32, at: u64 },
    /// `quiet` blocks without speech, since it was last heard just before sample `until`; `voiced` blocks with it.
    Speaking { quiet: u32, until: u64, voiced: u32 },
}

/// What is known about the line without the caller.
#[derive(Clone, Debug)]
struct Noise {
    /// The quietest block in each of the last eight quarter seconds, in dBFS.
    quietest: ring_buffer::Fixed<[f32; QUARTERS]>,
    /// The same for the quarter second going on, and how many of its blocks were heard.
    quietest_now: f32,
    blocks: u32,
    /// Zero crossings per sample: 0.5 for white noise, close to 0 for hum.
    crossings: f32,
    /// The line's zero, in steps of a sample.
    dc: f32,
}

/// What a block sounds like, its DC offset aside.
#[derive(Clone, Copy, Debug)]
struct Sound {
    dc: f32,
    dbfs: f32,
    crossings: f32,
}

/// Speech for this long opens the gate, in milliseconds: more than a click, less than a syllable.
pub const ONSET_MS: u32 = 40;

/// A usual hangover in milliseconds: longer than the silence within a word (a "t" closes the mouth for up to 150) and
/// shorter than the pause between sentences.
pub const HANGOVER_MS: u32 = 300;

const BLOCK_MS: u32 = 10;

/// 10 ms at the highest rate, 48 kHz.
const BLOCK_MAX: usize = 480;

/// The floor's memory: 8 times 25 blocks of 10 ms are 2 s.
const QUARTERS: usize = 8;
const QUARTER_BLOCKS: u32 = 25;

/// Lowest floor, in dBFS: below it lie a digitally silent line and the lowest codes of G.711, -72.
const FLOOR_MIN_DBFS: f32 = -60.0;

/// The floor before the line is known, in dBFS. Caller and noise begin together, and speech on the phone has -35 to
/// -15: so the first word is heard, and noise up to -38 is not mistaken for one.
const FLOOR_START_DBFS: f32 = -45.0;

/// Louder than the floor by this many dB is speech. A 10 ms block of white noise at 8 kHz spreads by 0.7 dB (10 / ln 10
/// * sqrt(2 / 80)), so the quietest of 200 is 2 dB below their mean and the loudest 2 dB above it.
const LOUD_DB: f32 = 9.0;

/// Louder than the floor by this many dB may be speech, if it does not sound like the noise.
const FAINT_DB: f32 = 5.0;

/// Crossings per sample that tell another kind of sound: three times their spread in 80 samples of white noise.
const UNLIKE_NOISE: f32 = 0.17;

/// Speech begins and ends in its block where a sample exceeds the floor by this many dB: one of 700 samples of white
/// noise does (3.2 sigma, for the floor is 2 dB below its mean).
const EDGE_DB: f32 = 12.0;

/// Share of a new block in the noise's crossings: it follows within 160 ms.
const CROSSINGS_GAIN: f32 = 1.0 / 16.0;

impl Gate {
    /// A gate that closes after `hangover_ms` without speech, rounded up to 10 ms ([`HANGOVER_MS`] is a usual choice).
    pub fn new(rate: Rate, hangover_ms: u32) -> Self {
        Self {
            rate,
            hangover_blocks: hangover_ms.div_ceil(BLOCK_MS).max(1),
            block: [0; BLOCK_MAX],
            filled: 0,
            heard: 0,
            noise: Noise::unknown(),
            state: State::SILENT,
        }
    }

    fn block_len(&self) -> usize {
        self.rate.hz() as usize * BLOCK_MS as usize / 1_000
    }

    /// Judges the block that was filled.
    fn judge(&mut self) -> Option<Transition> {
        let block = &self.block[..self.block_len()];
        let sound = Sound::of(block);
        self.noise.hear(sound);
        let speech = self.noise.stands_out(sound).then(|| {
            let loud = self.noise.edges(block);
            self.heard + loud.start as u64..self.heard + loud.end as u64
        });
        let transition;
        (self.state, transition) = self.state.next(speech, self.hangover_blocks);
        self.heard += block.len() as u64;
        transition
    }
}

impl Vad for Gate {
    fn hear(&mut self, mut samples: &[i16], tell: &mut dyn FnMut(Transition)) {
        let len = self.block_len();
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(len - self.filled));
            self.block[self.filled..][..now.len()].copy_from_slice(now);
            self.filled += now.len();
            samples = later;
            if self.filled == len {
                self.filled = 0;
                if let Some(transition) = self.judge() {
                    tell(transition);
                }
            }
        }
    }

    fn speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    fn voiced_ms(&self) -> u32 {
        match self.state {
            State::Silent { .. } => 0,
            State::Speaking { voiced, .. } => voiced.saturating_mul(BLOCK_MS),
        }
    }

    fn reset(&mut self) {
        *self = Self { hangover_blocks: self.hangover_blocks, ..Self::new(self.rate, 0) };
    }
}

impl State {
    const SILENT: Self = Self::Silent { run: 0, at: 0 };

    /// After a block with this stretch of speech in it, or none.
    fn next(self, speech: Option<Range<u64>>, hangover_blocks: u32) -> (Self, Option<Transition>) {
        match (self, speech) {
            (Self::Silent { run, at }, Some(speech)) => {
                let at = if run == 0 { speech.start } else { at };
                if (run + 1) * BLOCK_MS < ONSET_MS {
                    (Self::Silent { run: run + 1, at }, None)
                } else {
                    let speaking = Self::Speaking { quiet: 0, until: speech.end, voiced: run + 1 };
                    (speaking, Some(Transition::SpeechStarted { at }))
                }
            }
            (Self::Silent { .. }, None) => (Self::SILENT, None),
            (Self::Speaking { voiced, .. }, Some(speech)) => {
                (Self::Speaking { quiet: 0, until: speech.end, voiced: voiced.saturating_add(1) }, None)
            }
            (Self::Speaking { quiet, until, voiced }, None) if quiet + 1 < hangover_blocks => {
                (Self::Speaking { quiet: quiet + 1, until, voiced }, None)
            }
            (Self::Speaking { until, .. }, None) => {
                (Self::SILENT, Some(Transition::SpeechStopped { at: until }))
            }
        }
    }
}

impl Noise {
    fn unknown() -> Self {
        Self {
            quietest: ring_buffer::Fixed::from([FLOOR_START_DBFS; QUARTERS]),
            quietest_now: 0.0,
            blocks: 0,
            crossings: 0.5,
            dc: 0.0,
        }
    }

    fn floor_dbfs(&self) -> f32 {
        self.quietest.iter().copied().fold(self.quietest_now, f32::min).max(FLOOR_MIN_DBFS)
    }

    fn hear(&mut self, sound: Sound) {
        self.quietest_now = self.quietest_now.min(sound.dbfs);
        self.blocks += 1;
        if self.blocks == QUARTER_BLOCKS {
            self.quietest.push(self.quietest_now);
            self.quietest_now = 0.0;
            self.blocks = 0;
        }
        if sound.dbfs < self.floor_dbfs() + FAINT_DB {
            self.crossings += (sound.crossings - self.crossings) * CROSSINGS_GAIN;
            self.dc = sound.dc;
        }
    }

    fn stands_out(&self, sound: Sound) -> bool {
        let above = sound.dbfs - self.floor_dbfs();
        above >= LOUD_DB || above >= FAINT_DB && (sound.crossings - self.crossings).abs() >= UNLIKE_NOISE
    }

    /// From the first to the last sample of a block that noise would not have; the whole block, if all are faint. The
    /// block's own mean cannot be its zero: where speech begins, it belongs to the speech.
    fn edges(&self, block: &[i16]) -> Range<usize> {
        let amplitude = level::amplitude(self.floor_dbfs() + EDGE_DB);
        let loud = |&sample: &i16| (f32::from(sample) - self.dc).abs() >= amplitude;
        match (block.iter().position(loud), block.iter().rposition(loud)) {
            (Some(first), Some(last)) => first..last + 1,
            _ => 0..block.len(),
        }
    }
}

impl Sound {
    fn of(block: &[i16]) -> Self {
        let len = block.len() as f32;
        let dc = block.iter().copied().map(f32::from).sum::<f32>() / len;
        let power = block.iter().map(|&sample| f32::from(sample) - dc).map(|ac| ac * ac).sum::<f32>() / len;
        let below = |&sample: &i16| f32::from(sample) < dc;
        let crossings = block.array_windows().filter(|[one, next]| below(one) != below(next)).count() as f32;
        Self { dc, dbfs: level::power_dbfs(power / FULL_SCALE.powi(2)), crossings: crossings / len }
    }
}

#[cfg(test)]
mod tests;
