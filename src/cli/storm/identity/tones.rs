//! Identity sung in chords, for a path that resamples: from mu-law at 8 kHz to PCM16 at 24 kHz, or the reverse.
//! It does not know which end it stands at, nor whether a frame is late, doubled or missing.
//!
//! A frame is a chord of up to sixteen tones, each of them one bit, on or off:
//!
//! | bits | |
//! |---|---|
//! | 0-7 | the frame's number, modulo 256: 5.12 s, longer than any path may hold a frame |
//! | 8-14 | seven bits of the track: the low ones in even frames, the high ones in odd frames |
//! | 15 | odd parity, so that silence is no chord |
//!
//! The tones stand 200 Hz apart and are judged over 5 ms, in which all of them do whole cycles: they cannot be mistaken
//! for one another, in whatever phase the path delivers them. The codec is written here once more on purpose: an
//! instrument that shared the switch's would share its errors.

use std::f32::consts::PI;
use std::sync::Arc;

/// Two halves of seven bits.
pub(super) const TRACKS_MAX: u32 = 1 << 14;

const TONES: usize = 16;
/// 400, 600 ... 3,400 Hz: the telephone band.
const TONE_LOWEST: usize = 2;
const TONE_STEP_HZ: f32 = 200.0;
/// Sixteen of them at once stay below full scale (16 x 1,800 = 28,800); the usual eight are -19 dBFS.
const TONE_LEVEL: f32 = 1_800.0;
/// On above 3/4 of the level and off below 1/4; anything between is two frames in one window, or not ours.
const ON_MIN: f32 = TONE_LEVEL * 0.75;
const OFF_MAX: f32 = TONE_LEVEL * 0.25;

const FRAME_MS: usize = 20;
/// A frame is judged by its 10th to 15th millisecond: a resampling filter that spans 8 ms, 4 on either side or all 8
/// behind, has by then left the frame before it and not yet met the one after.
const WINDOW_FROM_MS: usize = 10;
const WINDOW_MS: usize = 5;
/// Where the next frame is not where it should be, look 1 ms further on.
const SEEK_MS: usize = 1;

/// What the bytes on one side of the path are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Format {
    /// Mu-law, 8 kHz, a byte per sample.
    Mulaw,
    /// PCM16, 24 kHz, little-endian.
    Pcm24,
}

impl Format {
    const fn samples_per_ms(self) -> usize {
        match self {
            Format::Mulaw => 8,
            Format::Pcm24 => 24,
        }
    }
}

/// The tones of one format, computed once for all calls.
pub(in super::super) struct Choir {
    format: Format,
    /// A frame of each tone, ready to be summed.
    parts: Vec<Vec<i16>>,
    /// Cosine and sine of each tone over the judged window, scaled so that their products sum to the level.
    probes: Vec<[Vec<f32>; 2]>,
}

/// Finds chords in a stream of samples, at any alignment.
pub(in super::super) struct Reader {
    choir: Arc<Choir>,
    samples: Vec<f32>,
    /// Samples still to come that belong to a frame already judged.
    skip: usize,
    odd_byte: Option<u8>,
    next: u32,
    halves: [Option<u32>; 2],
    /// Frames recognised before both halves of their track were.
    waiting: Vec<u32>,
    foreign_ms: u64,
}

// ---------------------------------------------------------------- Choir

impl Choir {
    pub(in super::super) fn new(format: Format) -> Self {
        let rate = (format.samples_per_ms() * 1_000) as f32;
        let window = WINDOW_MS * format.samples_per_ms();
        let angle = |tone: usize, sample: usize| {
            2.0 * PI * TONE_STEP_HZ * (tone + TONE_LOWEST) as f32 * sample as f32 / rate
        };
        // Newman's phases, pi k^2 / n, keep the peaks of the sum apart.
        let phase = |tone: usize| PI * (tone * tone) as f32 / TONES as f32;
        let part = |tone: usize| {
            let sample = |at: usize| to_i16((angle(tone, at) + phase(tone)).sin() * TONE_LEVEL);
            (0..FRAME_MS * format.samples_per_ms()).map(sample).collect()
        };
        let scale = 2.0 / window as f32;
        let probe = |tone: usize| {
            [
                (0..window).map(|at| angle(tone, at).cos() * scale).collect(),
                (0..window).map(|at| angle(tone, at).sin() * scale).collect(),
            ]
        };
        Self { format, parts: (0..TONES).map(part).collect(), probes: (0..TONES).map(probe).collect() }
    }

    pub(super) fn sing(&self, track: u32, number: u32, audio: &mut Vec<u8>) {
        let chord = chord(track, number);
        let mut sum = vec![0_i16; self.parts[0].len()];
        for (tone, part) in self.parts.iter().enumerate() {
            if chord >> tone & 1 == 1 {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
        match self.format {
            Format::Mulaw => audio.extend(sum.into_iter().map(to_mulaw)),
            Format::Pcm24 => audio.extend(sum.into_iter().flat_map(i16::to_le_bytes)),
        }
    }

    /// The chord in a window, if it is one.
    fn judge(&self, window: &[f32]) -> Option<u16> {
        let mut chord = 0;
        for (tone, [cosine, sine]) in self.probes.iter().enumerate() {
            let (real, imaginary) = (product(window, cosine), product(window, sine));
            let power = real * real + imaginary * imaginary;
            if power > ON_MIN * ON_MIN {
                chord |= 1 << tone;
            } else if power > OFF_MAX * OFF_MAX {
                return None;
            }
        }
        (u16::count_ones(chord) % 2 == 1).then_some(chord)
    }
}

// ---------------------------------------------------------------- Reader

impl Reader {
    pub(super) fn new(choir: Arc<Choir>) -> Self {
        Self {
            choir,
            samples: Vec::new(),
            skip: 0,
            odd_byte: None,
            next: 0,
            halves: [None; 2],
            waiting: Vec::new(),
            foreign_ms: 0,
        }
    }

    pub(super) fn hear(&mut self, audio: &[u8], mut found: impl FnMut(u32, u32)) {
        self.take_in(audio);
        let per_ms = self.choir.format.samples_per_ms();
        let (from, to) = (WINDOW_FROM_MS * per_ms, (WINDOW_FROM_MS + WINDOW_MS) * per_ms);
        let mut at = 0;
        loop {
            let skipped = self.skip.min(self.samples.len() - at);
            self.skip -= skipped;
            at += skipped;
            let Some(window) = self.samples.get(at + from..at + to) else { break };
            if let Some(chord) = self.choir.judge(window).filter(|chord| self.agrees(*chord)) {
                self.recognise(chord, &mut found);
                self.skip = FRAME_MS * per_ms;
            } else {
                self.foreign_ms += SEEK_MS as u64;
                self.skip = SEEK_MS * per_ms;
            }
        }
        self.samples.drain(..at);
    }

    pub(super) fn take_foreign_us(&mut self) -> u64 {
        std::mem::take(&mut self.foreign_ms) * 1_000
    }

    fn take_in(&mut self, audio: &[u8]) {
        match self.choir.format {
            Format::Mulaw => self.samples.extend(audio.iter().map(|byte| f32::from(from_mulaw(*byte)))),
            Format::Pcm24 => {
                let bytes: Vec<u8> = self.odd_byte.take().into_iter().chain(audio.iter().copied()).collect();
                let (pairs, rest) = bytes.as_chunks();
                self.samples.extend(pairs.iter().map(|pair| f32::from(i16::from_le_bytes(*pair))));
                self.odd_byte = rest.first().copied();
            }
        }
    }

    /// Whether the chord is of the track listened to, as far as that is known.
    fn agrees(&self, chord: u16) -> bool {
        let (parity, half) = half_of(chord);
        self.halves[parity].is_none_or(|known| known == half)
    }

    fn recognise(&mut self, chord: u16, found: &mut impl FnMut(u32, u32)) {
        let (parity, half) = half_of(chord);
        self.halves[parity] = Some(half);
        let number = nearest(self.next, chord.to_le_bytes()[0]);
        self.next = self.next.max(number + 1);
        self.waiting.push(number);
        if let [Some(low), Some(high)] = self.halves {
            self.waiting.drain(..).for_each(|number| found(high << 7 | low, number));
        }
    }
}

// ---------------------------------------------------------------- chords

fn chord(track: u32, number: u32) -> u16 {
    let [low, ..] = number.to_le_bytes();
    let [half, ..] = if low.is_multiple_of(2) { track } else { track >> 7 }.to_le_bytes();
    let bits = u16::from_le_bytes([low, half & 0x7f]);
    let parity = u16::from(bits.count_ones().is_multiple_of(2));
    bits | parity << 15
}

/// Which half of the track the chord holds (0 low, 1 high), and that half.
fn half_of(chord: u16) -> (usize, u32) {
    (usize::from(chord & 1), u32::from(chord >> 8 & 0x7f))
}

/// The frame number nearest to `next` that ends in `low`.
fn nearest(next: u32, low: u8) -> u32 {
    let ahead = low.wrapping_sub(next.to_le_bytes()[0]);
    next.checked_add_signed(i32::from(ahead.cast_signed())).unwrap_or(next + u32::from(ahead))
}

/// A sum of products in eight lanes, which the compiler turns into vector instructions; a single running sum it may
/// not. Windows are 40 or 120 samples: whole eights.
fn product(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0; 8];
    let (left, right) = (left.as_chunks::<8>().0, right.as_chunks::<8>().0);
    for (left, right) in left.iter().zip(right) {
        for lane in 0..8 {
            lanes[lane] += left[lane] * right[lane];
        }
    }
    lanes.iter().sum()
}

// ---------------------------------------------------------------- samples

#[expect(clippy::cast_possible_truncation, reason = "a tone's level is far inside i16")]
fn to_i16(sample: f32) -> i16 {
    sample.round() as i16
}

/// G.711 mu-law: bias 33 of 14 bits (132 of 16), eight segments of sixteen steps, all bits inverted.
fn to_mulaw(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs().min(32_635) + 132;
    let segment = 8 - magnitude.leading_zeros();
    let step = u32::from(magnitude >> (segment + 3) & 0x0f);
    let sign = if sample < 0 { 0x80 } else { 0 };
    let [code, ..] = (sign | segment << 4 | step).to_le_bytes();
    !code
}

fn from_mulaw(byte: u8) -> i16 {
    let code = !byte;
    let step = (i16::from(code & 0x0f) << 3) + 132;
    let magnitude = (step << (code >> 4 & 7)) - 132;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests;
