//! WAV files: any usual one becomes the mono 8 kHz samples of a phone call, and what a call said becomes one.
//!
//! Knows nothing of calls. The reader is our own because phone recordings are often G.711 inside WAV and
//! recorders that died leave wrong lengths in the header, neither of which `hound` reads; writing is
//! `hound`'s.

use std::{fs, io, ops::RangeInclusive, path::Path};

use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction,
    audioadapter_buffers::direct::SequentialSlice,
};
use tandem_media::{frame::PHONE_RATE, g711};

/// Rates a recording may have, in Hz: from telegraph-like to the highest of studio gear. A header outside is
/// damaged.
const RATES: RangeInclusive<u32> = 1_000..=384_000;

#[derive(Debug, thiserror::Error)]
pub enum WavError {
    #[error("file cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("not a WAV file: it does not begin with RIFF and WAVE")]
    NotWav,
    #[error("WAV file without a usable format: the fmt chunk is missing or short")]
    NoFormat,
    #[error("WAV file without a data chunk")]
    NoData,
    #[error("WAV file is empty: its data chunk holds no sample")]
    Empty,
    #[error(
        "WAV encoding {tag:#06x} with {bits} bits is not supported; PCM of 8, 16, 24 or 32 bits, 32-bit float, mu-law and A-law are"
    )]
    Encoding { tag: u16, bits: u16 },
    #[error("WAV rate of {0} Hz is not between 1000 and 384000 Hz")]
    Rate(u32),
    #[error("WAV file with {0} channels and blocks of {1} bytes contradicts itself")]
    Blocks(u16, u16),
    #[error("rate of {rate} Hz cannot be brought to 8000 Hz: {reason}")]
    Resample { rate: u32, reason: String },
}

/// The recording as mono samples at 8 kHz. Channels are averaged.
pub fn read(path: &Path) -> Result<Vec<i16>, WavError> {
    parse(&fs::read(path)?)
}

/// As [`read`], from the bytes of a file.
pub fn parse(file: &[u8]) -> Result<Vec<i16>, WavError> {
    let wav = Wav::find(file)?;
    let mono = wav.mono()?;
    let phone = if wav.rate == PHONE_RATE { mono } else { to_phone_rate(&mono, wav.rate)? };
    Ok(phone.into_iter().map(to_i16).collect())
}

/// Writes one channel of 16-bit samples at 8 kHz.
pub fn write_mono(path: &Path, samples: &[i16]) -> io::Result<()> {
    write(path, 1, samples.iter().copied())
}

/// Writes two channels on one clock, 16-bit at 8 kHz; the shorter is continued with silence.
pub fn write_stereo(path: &Path, left: &[i16], right: &[i16]) -> io::Result<()> {
    let at = |channel: &[i16], i: usize| channel.get(i).copied().unwrap_or(0);
    write(path, 2, (0..left.len().max(right.len())).flat_map(|i| [at(left, i), at(right, i)]))
}

/// The bytes of an embedded file of ours, which `make.sh` wrote as mu-law at 8 kHz; `None` if it is not that.
pub(crate) fn mu_law_data(file: &[u8]) -> Option<&[u8]> {
    let wav = Wav::find(file).ok()?;
    (wav.encoding == Encoding::MuLaw && wav.rate == PHONE_RATE && wav.channels == 1).then_some(wav.data)
}

// ------------------------------------------------------------------------------------------------------ file

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Unsigned8,
    Signed16,
    Signed24,
    Signed32,
    Float32,
    MuLaw,
    ALaw,
}

impl Encoding {
    /// `WAVE_FORMAT_PCM`, `_IEEE_FLOAT`, `_ALAW`, `_MULAW` of Microsoft's mmreg.h.
    fn of(tag: u16, bits: u16) -> Result<Self, WavError> {
        match (tag, bits) {
            (1, 8) => Ok(Self::Unsigned8),
            (1, 16) => Ok(Self::Signed16),
            (1, 24) => Ok(Self::Signed24),
            (1, 32) => Ok(Self::Signed32),
            (3, 32) => Ok(Self::Float32),
            (6, 8) => Ok(Self::ALaw),
            (7, 8) => Ok(Self::MuLaw),
            _ => Err(WavError::Encoding { tag, bits }),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 | Self::MuLaw | Self::ALaw => 1,
            Self::Signed16 => 2,
            Self::Signed24 => 3,
            Self::Signed32 | Self::Float32 => 4,
        }
    }

    /// One sample of exactly [`Encoding::bytes`] bytes, full scale at 1.
    fn sample(self, bytes: &[u8]) -> f32 {
        let left_aligned = || bytes.iter().fold(0_u32, |word, &byte| word >> 8 | u32::from(byte) << 24);
        match self {
            Self::Unsigned8 => (f32::from(bytes[0]) - 128.0) / 128.0,
            Self::Signed16 | Self::Signed24 | Self::Signed32 => {
                left_aligned().cast_signed() as f32 / 2_147_483_648.0
            }
            Self::Float32 => f32::from_bits(left_aligned()),
            Self::MuLaw => f32::from(g711::ulaw_decode(bytes[0])) / 32_768.0,
            Self::ALaw => f32::from(g711::alaw_decode(bytes[0])) / 32_768.0,
        }
    }
}

struct Wav<'a> {
    encoding: Encoding,
    channels: u16,
    rate: u32,
    data: &'a [u8],
}

impl<'a> Wav<'a> {
    /// Walks the chunks up to the data. A chunk that claims to go past the end of the file ends with it.
    fn find(file: &'a [u8]) -> Result<Self, WavError> {
        let is_wav = file.get(..4) == Some(b"RIFF") && file.get(8..12) == Some(b"WAVE");
        let mut rest = file.get(12..).filter(|_| is_wav).ok_or(WavError::NotWav)?;
        let mut format = None;
        while let Some((head, body)) = rest.split_first_chunk::<8>() {
            let [i, d, e, n, size @ ..] = *head;
            let size = usize::try_from(u32::from_le_bytes(size)).unwrap_or(usize::MAX);
            let chunk = &body[..size.min(body.len())];
            match &[i, d, e, n] {
                b"fmt " => format = Some(chunk),
                b"data" => return Self::with_format(format.ok_or(WavError::NoFormat)?, chunk),
                _ => {}
            }
            rest = body.get(size.saturating_add(size % 2)..).unwrap_or_default(); // chunks start at even offsets
        }
        Err(WavError::NoData)
    }

    fn with_format(format: &[u8], data: &'a [u8]) -> Result<Self, WavError> {
        let word = |at: usize| Some(u16::from_le_bytes(*format.get(at..)?.first_chunk()?));
        let (Some(tag), Some(channels), Some(block), Some(bits)) = (word(0), word(2), word(12), word(14))
        else {
            return Err(WavError::NoFormat);
        };
        let rate = u32::from_le_bytes([format[4], format[5], format[6], format[7]]);
        // An extensible format keeps the real tag in the first bytes of its sub-format.
        let tag = if tag == 0xFFFE { word(24).ok_or(WavError::NoFormat)? } else { tag };
        let encoding = Encoding::of(tag, bits)?;
        if channels == 0 || usize::from(block) != usize::from(channels) * encoding.bytes() {
            return Err(WavError::Blocks(channels, block));
        }
        if !RATES.contains(&rate) {
            return Err(WavError::Rate(rate));
        }
        Ok(Self { encoding, channels, rate, data })
    }

    fn mono(&self) -> Result<Vec<f32>, WavError> {
        let width = self.encoding.bytes();
        let channels = f32::from(self.channels);
        let samples: Vec<f32> = self
            .data
            .chunks_exact(width * usize::from(self.channels))
            .map(|block| {
                block.chunks_exact(width).map(|bytes| self.encoding.sample(bytes)).sum::<f32>() / channels
            })
            .map(|sample| if sample.is_finite() { sample } else { 0.0 })
            .collect();
        if samples.is_empty() { Err(WavError::Empty) } else { Ok(samples) }
    }
}

/// Length of the resampling filter in samples at 8 kHz: 16 ms, a transition of 500 Hz below the 4 kHz of a
/// phone.
const FILTER_SAMPLES: usize = 128;

/// Sinc resampling of the whole recording, start-up delay trimmed.
fn to_phone_rate(samples: &[f32], rate: u32) -> Result<Vec<f32>, WavError> {
    let failed = |error: &dyn std::fmt::Display| WavError::Resample { rate, reason: error.to_string() };
    let filter = FILTER_SAMPLES * rate.div_ceil(PHONE_RATE) as usize;
    let filter = SincInterpolationParameters::new(filter, WindowFunction::BlackmanHarris);
    let ratio = f64::from(PHONE_RATE) / f64::from(rate);
    let mut resampler = Async::<f32>::new_sinc(ratio, 1.0, &filter, 1_024, 1, FixedAsync::Input)
        .map_err(|error| failed(&error))?;
    let input = SequentialSlice::new(samples, 1, samples.len()).map_err(|error| failed(&error))?;
    let output = resampler.process_all(&input, samples.len(), None).map_err(|error| failed(&error))?;
    Ok(output.take_data())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, which is what a too loud sample deserves"
)]
fn to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round() as i16
}

fn write(path: &Path, channels: u16, samples: impl Iterator<Item = i16>) -> io::Result<()> {
    let spec = hound::WavSpec {
        channels,
        sample_rate: PHONE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let write_all = || -> Result<(), hound::Error> {
        let mut writer = hound::WavWriter::create(path, spec)?;
        for sample in samples {
            writer.write_sample(sample)?;
        }
        writer.finalize()
    };
    write_all().map_err(|error| match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    })
}

#[cfg(test)]
mod tests;
