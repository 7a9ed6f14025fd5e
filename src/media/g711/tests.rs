//! Both laws against a second implementation, made from the tables of ITU-T G.711: it looks up what ours computes.

use super::*;

/// One law for positive samples, as tables 1a (A-law) and 2a (mu-law) of G.711 list it, in 16-bit steps.
struct Law {
    /// The smallest sample of each interval.
    decisions: Vec<u16>,
    /// The sample that each interval becomes.
    values: Vec<i16>,
}

impl Law {
    /// 14 bits with sign, 4 of our steps each: one interval of 1 around zero, 15 of 2, then seven segments of 16
    /// intervals, each twice as wide as in the segment before.
    fn mu() -> Self {
        let widths = [1].into_iter().chain([2; 15]).chain((2..9).flat_map(|segment| [1 << segment; 16]));
        let mut law = Self::from_widths(widths.map(|width| 4 * width));
        law.values[0] = 0;
        law
    }

    /// 13 bits with sign, 8 of our steps each: two segments of 16 intervals of 2, then six, each twice as wide.
    fn a() -> Self {
        let widths = [2; 32].into_iter().chain((2..8).flat_map(|segment| [1 << segment; 16]));
        Self::from_widths(widths.map(|width| 8 * width))
    }

    /// An interval becomes its middle.
    fn from_widths(widths: impl Iterator<Item = u16>) -> Self {
        let mut law = Self { decisions: Vec::new(), values: Vec::new() };
        let mut start = 0;
        for width in widths {
            law.decisions.push(start);
            law.values.push(i16::try_from(start + width / 2).unwrap());
            start += width;
        }
        assert_eq!(law.values.len(), 128);
        law
    }

    /// The interval of a sample. The negative side mirrors the positive one between 0 and -1 (G.191).
    fn interval(&self, sample: i16) -> u8 {
        let magnitude = u16::try_from(if sample < 0 { -1 - sample } else { sample }).unwrap();
        let above = self.decisions.iter().position(|&decision| decision > magnitude).unwrap_or(128);
        u8::try_from(above - 1).unwrap()
    }
}

/// Table 2a: all bits inverted, so that silence is all ones.
fn mu_code(interval: u8, negative: bool) -> u8 {
    255 - (interval + if negative { 128 } else { 0 })
}

/// Table 1a: the sign bit is one for plus, and every other bit is inverted.
fn a_code(interval: u8, negative: bool) -> u8 {
    (interval + if negative { 0 } else { 128 }) ^ 0x55
}

#[test]
fn every_code_stands_for_the_value_in_the_recommendation() {
    for (law, code, decode) in [
        (Law::mu(), mu_code as fn(u8, bool) -> u8, ulaw_decode as fn(u8) -> i16),
        (Law::a(), a_code, alaw_decode),
    ] {
        for interval in 0..128 {
            let value = law.values[usize::from(interval)];
            assert_eq!(decode(code(interval, false)), value);
            assert_eq!(decode(code(interval, true)), -value);
        }
    }
}

#[test]
fn every_sample_gets_the_code_in_the_recommendation() {
    let (mu, a) = (Law::mu(), Law::a());
    for sample in i16::MIN..=i16::MAX {
        assert_eq!(ulaw_encode(sample), mu_code(mu.interval(sample), sample < 0), "mu-law of {sample}");
        assert_eq!(alaw_encode(sample), a_code(a.interval(sample), sample < 0), "A-law of {sample}");
    }
}

#[test]
fn encoding_agrees_with_the_crate_that_decodes() {
    for sample in i16::MIN..=i16::MAX {
        assert_eq!(ulaw_encode(sample), audio_codec_algorithms::encode_ulaw(sample), "mu-law of {sample}");
        assert_eq!(alaw_encode(sample), audio_codec_algorithms::encode_alaw(sample), "A-law of {sample}");
    }
}

#[test]
fn decoded_audio_encodes_to_the_same_codes() {
    for code in u8::MIN..=u8::MAX {
        assert_eq!(alaw_encode(alaw_decode(code)), code);
        // mu-law has two zeros, and a sample has none with a minus.
        let expected = if code == 0x7F { ULAW_SILENCE } else { code };
        assert_eq!(ulaw_encode(ulaw_decode(code)), expected);
    }
}

#[test]
fn silence_is_silent() {
    assert_eq!((ulaw_encode(0), ulaw_decode(ULAW_SILENCE)), (ULAW_SILENCE, 0));
    assert_eq!((alaw_encode(0), alaw_decode(ALAW_SILENCE)), (ALAW_SILENCE, 8));
}

#[test]
fn slices_convert_as_far_as_both_reach() {
    let pcm = [0, 1_000, -1_000];
    let mut codes = [0; 4];
    assert_eq!(ulaw_encode_slice(&pcm, &mut codes), 3);
    assert_eq!(codes, [0xFF, ulaw_encode(1_000), ulaw_encode(-1_000), 0]);
    assert_eq!(alaw_encode_slice(&pcm, &mut codes[..2]), 2);
    assert_eq!(codes, [0xD5, alaw_encode(1_000), ulaw_encode(-1_000), 0]);

    let mut pcm = [7; 4];
    assert_eq!(ulaw_decode_slice(&[0xFF, 0x80], &mut pcm), 2);
    assert_eq!(pcm, [0, 32_124, 7, 7]);
    assert_eq!(alaw_decode_slice(&[0xD5; 5], &mut pcm), 4);
    assert_eq!(pcm, [8; 4]);
}
