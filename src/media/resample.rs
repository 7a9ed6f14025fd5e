//! Rate conversion between 8, 16, 24 and 48 kHz: a streaming polyphase FIR that remembers the end of what it heard,
//! so that audio may be cut anywhere. Knows no codec and no clock: samples in, samples out, exact in number for ever.
//!
//! Its figures, which `tests.rs` measures for every pair. "Low" is the lower rate of the pair:
//! - pass band flat within 0.01 dB up to 0.425 of low: 3.4 kHz of 8;
//! - images and aliases below -74 dB from 0.575 of low on: 4.6 kHz of 8. In between lies the transition band;
//! - group delay 16 samples of low: 2 ms with the phone, less between higher rates.

/// A sampling rate that audio comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rate {
    /// The phone.
    Hz8000,
    /// Speech recognisers.
    Hz16000,
    /// Realtime engines and browsers.
    Hz24000,
    /// Sound cards and recordings.
    Hz48000,
}

/// One stream in one direction: its place in time and the end of what it heard. The filters are shared.
#[derive(Clone, Debug)]
pub struct Resampler {
    filter: &'static Filter,
    from: Rate,
    /// The newest `filter.taps - 1` samples of the input, oldest first, and silence before the first of them.
    past: [i16; PAST_MAX],
    /// Where the next output lies, from the start of the input to come, in `filter.up`ths of an input sample.
    next: usize,
}

/// How one pair of rates is filtered: interpolation by `up`, then decimation by `down`, in one step.
#[derive(Debug)]
struct Filter {
    up: usize,
    down: usize,
    /// Input samples that one output sees: a multiple of `down`.
    taps: usize,
    /// `up` phases of `taps` weights: an output between two inputs takes the phase for its distance from them. Each
    /// phase sums to one, so that a DC offset does not whine, and lies as its samples do: oldest first, dealt to `down`
    /// rows.
    phases: &'static [f32],
}

/// A stretch of input as floats, dealt to rows like cards: row `r` of `count` holds samples `r`, `r + count` and so on.
/// With as many rows as the filter decimates by, neighbouring outputs see neighbouring samples of a row, and the
/// compiler can compute them abreast.
struct Rows {
    samples: [f32; PAST_MAX + BLOCK + RATIO_MAX * (1 + WIDTH)],
    stride: usize,
    count: usize,
}

/// Half the filter's length, and so its delay, in samples of the lower rate. It fixes how steep the filter can be: 14
/// miss the -70 dB of the contract, 18 would give -78 dB for 12 % more work.
const HALF_LENGTH: usize = 16;

/// Shape of the Kaiser window at that length. 7 gives -71 dB (high side lobes), 8 gives -63 dB (too wide a transition).
const KAISER_BETA: f64 = 7.5;

/// The widest pair: 8 and 48 kHz.
const RATIO_MAX: usize = 6;

/// The longest past: 48 to 8 kHz sees 2 * 16 * 6 samples at once, the newest of them included.
const PAST_MAX: usize = 2 * HALF_LENGTH * RATIO_MAX - 1;

/// Input samples filtered in one go: 20 ms at 24 kHz, so that frames are one block. It bounds the stack: 4.7 KiB.
const BLOCK: usize = 480;

/// Outputs computed abreast: 32 sums fill 8 of the 16 vector registers of baseline x86-64. A frame of 8 to 24 kHz was
/// measured as 1.4 us at 16, 1.0 us at 32 and no less at 40.
const WIDTH: usize = 32;

impl Rate {
    /// The rate of this many samples per second, if it is one of ours.
    pub const fn from_hz(hz: u32) -> Option<Self> {
        match hz {
            8_000 => Some(Self::Hz8000),
            16_000 => Some(Self::Hz16000),
            24_000 => Some(Self::Hz24000),
            48_000 => Some(Self::Hz48000),
            _ => None,
        }
    }

    /// Samples per second.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz24000 => 24_000,
            Self::Hz48000 => 48_000,
        }
    }
}

impl Resampler {
    /// The most samples that [`Self::flush`] writes: half the filter of 8 to 48 kHz, counted at 48.
    pub const TAIL_MAX: usize = HALF_LENGTH * RATIO_MAX;

    pub fn new(from: Rate, to: Rate) -> Self {
        Self { filter: Filter::between(from, to), from, past: [0; PAST_MAX], next: 0 }
    }

    /// Converts any number of samples, also none, and answers how many it wrote. However a stream is cut into calls,
    /// the same samples come out.
    ///
    /// # Panics
    /// If `output` is shorter than [`Self::output_len_max`]: dropping audio instead would be heard.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        assert!(output.len() >= self.output_len_max(input.len()), "the output is too short for the input");
        let mut written = 0;
        for block in input.chunks(BLOCK) {
            written += self.filter_block(block, &mut output[written..]);
        }
        written
    }

    /// The most samples that this many can become. It is exact where the ratio of rates is whole for them; else one
    /// fewer may come.
    pub fn output_len_max(&self, input_len: usize) -> usize {
        (input_len * self.filter.up).div_ceil(self.filter.down)
    }

    /// Ends the stream: writes what is still inside the filter, as long as its delay, then starts afresh.
    ///
    /// # Panics
    /// If `output` is shorter than the tail; [`Self::TAIL_MAX`] is always enough.
    pub fn flush(&mut self, output: &mut [i16]) -> usize {
        let silence = [0; PAST_MAX];
        let delay = self.filter.delay().div_ceil(self.filter.up);
        let written = self.process(&silence[..delay], output);
        self.reset();
        written
    }

    /// Forgets the stream: what comes next follows silence.
    pub fn reset(&mut self) {
        self.past = [0; PAST_MAX];
        self.next = 0;
    }

    /// How much later a sound comes out than it went in, in milliseconds.
    pub fn group_delay_ms(&self) -> f32 {
        let finer_khz = self.from.hz() as f32 * self.filter.up as f32 / 1_000.0;
        self.filter.delay() as f32 / finer_khz
    }

    fn filter_block(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let Filter { up, down, taps, phases } = *self.filter;
        let past = taps - 1;
        let mut heard = [0; PAST_MAX + BLOCK];
        let heard = &mut heard[..past + input.len()];
        heard[..past].copy_from_slice(&self.past[..past]);
        heard[past..].copy_from_slice(input);
        let rows = Rows::deal(heard, down);

        // Every `up`th output takes the same phase, `down` samples further into the input: these are one go.
        let written = (input.len() * up).saturating_sub(self.next).div_ceil(down);
        for first in 0..up.min(written) {
            let place = self.next + first * down;
            let phase = &phases[place % up * taps..][..taps];
            rows.weigh(place / up, phase, output[first..written].chunks_mut(up));
        }

        self.next = self.next + written * down - input.len() * up;
        self.past[..past].copy_from_slice(&heard[input.len()..]);
        written
    }
}

impl Rows {
    fn deal(samples: &[i16], count: usize) -> Self {
        // One WIDTH of silence behind each row: the last outputs are computed in full width, too.
        let stride = samples.len().div_ceil(count) + WIDTH;
        let mut rows = Self { samples: [0.0; _], stride, count };
        for (first, row) in rows.samples.chunks_exact_mut(stride).take(count).enumerate() {
            for (dealt, samples) in row.iter_mut().zip(samples[first..].chunks(count)) {
                *dealt = f32::from(samples[0]);
            }
        }
        rows
    }

    /// Every `count`th sample, starting with this one.
    fn every(&self, first: usize) -> &[f32] {
        &self.samples[first % self.count * self.stride..][..self.stride][first / self.count..]
    }

    /// Weighs the samples from `first` on into the first sample of the first output, those from `first + count` on into
    /// the first of the second, and so on.
    fn weigh<'a>(
        &self,
        first: usize,
        weights: &[f32],
        mut outputs: impl ExactSizeIterator<Item = &'a mut [i16]>,
    ) {
        for done in (0..outputs.len()).step_by(WIDTH) {
            let sums = self.weigh_abreast(first, done, weights);
            // In this order, for a zip that ends has taken one item too many from its left side.
            for (sample, output) in sums.map(to_sample).into_iter().zip(outputs.by_ref()) {
                output[0] = sample;
            }
        }
    }

    /// The sums for the outputs from `done` on. Inlined, it may lose its vector registers to the code around it: that
    /// was measured as 3.7 us for a frame of 8 to 24 kHz, instead of 1.0.
    #[inline(never)]
    fn weigh_abreast(&self, first: usize, done: usize, weights: &[f32]) -> [f32; WIDTH] {
        let mut sums = [0.0; WIDTH];
        for (row, weights) in weights.chunks(weights.len() / self.count).enumerate() {
            let samples = self.every(first + row)[done..].array_windows::<WIDTH>();
            for (&weight, samples) in weights.iter().zip(samples) {
                // The sinc is zero wherever an output meets an input exactly: a third of all weights at 8 to 24.
                if weight != 0.0 {
                    for (sum, sample) in sums.iter_mut().zip(samples) {
                        *sum += weight * sample;
                    }
                }
            }
        }
        sums
    }
}

/// Rounds to the nearest sample; what overshoots full scale is clipped.
#[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the sample")]
fn to_sample(value: f32) -> i16 {
    // 1.5 * 2^23 leaves a sum no bits for a fraction: its low bits are the rounded integer, in two's complement.
    // Rounding by `f32::round` is a call into libm on baseline x86-64.
    const ROUND: f32 = 12_582_912.0;
    (value.clamp(-32_768.0, 32_767.0) + ROUND).to_bits() as i16
}

// Filters: one windowed sinc with its edge at half the lower rate, sampled at the common multiple of both rates.

static SAME: Filter = Filter { up: 1, down: 1, taps: 1, phases: &[1.0] };
static UP_2: Filter = Filter { up: 2, down: 1, taps: 32, phases: &sinc::<64>(2, 1) };
static UP_3: Filter = Filter { up: 3, down: 1, taps: 32, phases: &sinc::<96>(3, 1) };
static UP_6: Filter = Filter { up: 6, down: 1, taps: 32, phases: &sinc::<192>(6, 1) };
static DOWN_2: Filter = Filter { up: 1, down: 2, taps: 64, phases: &sinc::<64>(1, 2) };
static DOWN_3: Filter = Filter { up: 1, down: 3, taps: 96, phases: &sinc::<96>(1, 3) };
static DOWN_6: Filter = Filter { up: 1, down: 6, taps: 192, phases: &sinc::<192>(1, 6) };
static UP_3_DOWN_2: Filter = Filter { up: 3, down: 2, taps: 32, phases: &sinc::<96>(3, 2) };
static UP_2_DOWN_3: Filter = Filter { up: 2, down: 3, taps: 48, phases: &sinc::<96>(2, 3) };

impl Filter {
    fn between(from: Rate, to: Rate) -> &'static Self {
        use Rate::{Hz8000, Hz16000, Hz24000, Hz48000};
        match (from, to) {
            (Hz8000, Hz8000) | (Hz16000, Hz16000) | (Hz24000, Hz24000) | (Hz48000, Hz48000) => &SAME,
            (Hz8000, Hz16000) | (Hz24000, Hz48000) => &UP_2,
            (Hz8000, Hz24000) | (Hz16000, Hz48000) => &UP_3,
            (Hz8000, Hz48000) => &UP_6,
            (Hz16000, Hz8000) | (Hz48000, Hz24000) => &DOWN_2,
            (Hz24000, Hz8000) | (Hz48000, Hz16000) => &DOWN_3,
            (Hz48000, Hz8000) => &DOWN_6,
            (Hz16000, Hz24000) => &UP_3_DOWN_2,
            (Hz24000, Hz16000) => &UP_2_DOWN_3,
        }
    }

    /// Group delay in `up`ths of an input sample: the sinc's centre.
    fn delay(&self) -> usize {
        self.phases.len() / 2
    }
}

/// The phases of a windowed sinc with `N` weights. It spans `2 * HALF_LENGTH` samples of the lower rate, so the rate
/// that it is sampled at is `N / (2 * HALF_LENGTH)` times finer.
#[expect(clippy::cast_possible_truncation, reason = "the 24 bits of a float are -144 dB")]
const fn sinc<const N: usize>(up: usize, down: usize) -> [f32; N] {
    let finer = N / (2 * HALF_LENGTH);
    let taps = N / up;
    let mut phases = [0.0; N];
    let mut phase = 0;
    while phase < up {
        let mut weights = [0.0; N];
        let mut sum = 0.0;
        let mut tap = 0;
        while tap < taps {
            let from_centre = (phase + tap * up).abs_diff(N / 2);
            weights[tap] = wave(from_centre, finer) * kaiser(from_centre as f64 / (N / 2) as f64);
            sum += weights[tap];
            tap += 1;
        }
        while tap > 0 {
            tap -= 1;
            let place = taps - 1 - tap;
            phases[phase * taps + place % down * (taps / down) + place / down] = (weights[tap] / sum) as f32;
        }
        phase += 1;
    }
    phases
}

/// `sin(pi x) / (pi x)` for `x = n / finer`. As `finer` is 2, 3 or 6, all sines are of multiples of 30 degrees.
const fn wave(n: usize, finer: usize) -> f64 {
    const ROOT_3_HALF: f64 = 0.866_025_403_784_438_6;
    const SINES: [f64; 6] = [0.0, 0.5, ROOT_3_HALF, 1.0, ROOT_3_HALF, 0.5];
    if n == 0 {
        return 1.0;
    }
    let angle = n * (6 / finer);
    let sine = if angle % 12 < 6 { SINES[angle % 6] } else { -SINES[angle % 6] };
    sine * finer as f64 / (std::f64::consts::PI * n as f64)
}

/// The Kaiser window from `x = 0` at its centre to 1 at its edge, but for a constant factor.
const fn kaiser(x: f64) -> f64 {
    // I0(beta * sqrt(1 - x^2)), with I0(z) = sum of (z^2 / 4)^k / (k!)^2: for z = 7.5 the 30th term is below 1e-30.
    let quarter_square = KAISER_BETA * KAISER_BETA * (1.0 - x * x) / 4.0;
    let mut sum = 1.0;
    let mut term = 1.0;
    let mut k = 1.0;
    while k <= 30.0 {
        term *= quarter_square / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests;
