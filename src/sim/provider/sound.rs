//! Samples of a phone in the rates and bytes of other formats.
//!
//! Knows neither sessions nor endpoints.

use tandem_media::resample::{Rate, Resampler};

/// 8 kHz samples at another rate.
pub(super) fn at_rate(samples: &[i16], rate: Rate) -> Vec<i16> {
    resampled(samples, Rate::Hz8000, rate)
}

/// Samples of some rate at 8 kHz.
pub(super) fn to_phone(samples: &[i16], rate: Rate) -> Vec<i16> {
    resampled(samples, rate, Rate::Hz8000)
}

fn resampled(samples: &[i16], from: Rate, to: Rate) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to);
    let mut made = vec![0; resampler.output_len_max(samples.len())];
    let len = resampler.process(samples, &mut made);
    made.truncate(len);
    made
}

/// Little-endian, as every PCM here is.
pub(super) fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Samples of little-endian bytes; half a sample at the end is none.
pub(super) fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}
