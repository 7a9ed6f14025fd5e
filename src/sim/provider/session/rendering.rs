//! A line, or a tool call, as the pieces in which a model would let it out: audio in an output format and
//! in chunks of changing size, words a little ahead of it.
//!
//! Knows no session; time here is relative to the first piece.

use std::{collections::VecDeque, time::Duration};

use rand::{RngExt, rngs::StdRng};
use tandem_media::{g711, resample::Rate};

use super::config::Format;
use crate::provider::sound;

/// Sizes of audio deltas, in ms: the real ones vary too, and none is a multiple of a phone's 20 ms frame by
/// rule.
const CHUNK_MS: std::ops::RangeInclusive<u64> = 40..=240;

/// Transcripts run ahead: a word is out when this share of the time to its sound has passed.
const WORDS_AHEAD: f64 = 0.8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// After the first piece.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Words(String),
    Audio(Vec<u8>),
    Arguments(String),
}

/// How audio is let out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How many times faster than real time; infinite for all at once.
    pub(crate) speed: f32,
    /// Chunks of odd length, through the middle of 16-bit samples.
    pub(crate) odd_chunks: bool,
}

impl Pace {
    fn time_of(self, audio_ms: f64) -> Duration {
        Duration::try_from_secs_f64(audio_ms / 1_000.0 / f64::from(self.speed)).unwrap_or_default()
    }
}

/// A text and its sound, mu-law at 8 kHz, cut off after `ms_max` if it is longer. Says whether it was.
pub(crate) fn spoken(
    text: &str,
    mu_law: &[u8],
    format: Format,
    ms_max: Option<u64>,
    pace: Pace,
    rng: &mut StdRng,
) -> (VecDeque<Piece>, bool) {
    let mut bytes = encoded(mu_law, format);
    let whole_ms = bytes.len() as f64 / format.bytes_per_ms() as f64;
    let bytes_max = ms_max.map_or(usize::MAX, |ms| format.bytes(ms));
    let is_cut = bytes.len() > bytes_max;
    bytes.truncate(bytes_max);

    let mut pieces: Vec<Piece> = words(text)
        .map(|(share, word)| (share * whole_ms * WORDS_AHEAD, word))
        .filter(|(ms, _)| !is_cut || *ms < bytes.len() as f64 / format.bytes_per_ms() as f64)
        .map(|(ms, word)| Piece { at: pace.time_of(ms), what: What::Words(word.to_owned()) })
        .collect();
    let mut from = 0;
    while from < bytes.len() {
        let wanted = format.bytes(rng.random_range(CHUNK_MS)) - usize::from(pace.odd_chunks);
        let to = bytes.len().min(from + wanted);
        let at = pace.time_of(from as f64 / format.bytes_per_ms() as f64);
        pieces.push(Piece { at, what: What::Audio(bytes[from..to].to_vec()) });
        from = to;
    }
    pieces.sort_by_key(|piece| piece.at); // stable: at equal times words come first
    (pieces.into(), is_cut)
}

/// A text alone, as fast as text is: forty words a second.
pub(crate) fn written(text: &str) -> VecDeque<Piece> {
    let piece = |(n, (_, word)): (u32, (f64, &str))| Piece {
        at: Duration::from_millis(25) * n,
        what: What::Words(word.to_owned()),
    };
    (0..).zip(words(text)).map(piece).collect()
}

/// The arguments of a tool call, in pieces of up to eight characters, 10 ms apart.
pub(crate) fn called(arguments: &str) -> VecDeque<Piece> {
    let characters: Vec<char> = arguments.chars().collect();
    let piece = |(n, part): (u32, &[char])| Piece {
        at: Duration::from_millis(10) * n,
        what: What::Arguments(part.iter().collect()),
    };
    (0..).zip(characters.chunks(8)).map(piece).collect()
}

/// Words with the space that follows them, each with where it begins as a share of the whole.
fn words(text: &str) -> impl Iterator<Item = (f64, &str)> {
    text.split_inclusive(' ').scan(0, move |from, word| {
        let share = *from as f64 / text.len() as f64;
        *from += word.len();
        Some((share, word))
    })
}

fn encoded(mu_law: &[u8], format: Format) -> Vec<u8> {
    let samples: Vec<i16> = mu_law.iter().map(|&code| g711::ulaw_decode(code)).collect();
    match format {
        Format::Pcmu => mu_law.to_vec(),
        Format::Pcma => samples.into_iter().map(g711::alaw_encode).collect(),
        Format::Pcm => sound::bytes(&sound::at_rate(&samples, Rate::Hz24000)),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::speech;

    fn render(format: Format, ms_max: Option<u64>, pace: Pace) -> (VecDeque<Piece>, bool) {
        let sentence = speech::sentence("old-town").unwrap();
        spoken(sentence.text, sentence.audio, format, ms_max, pace, &mut StdRng::seed_from_u64(1))
    }

    fn audio(pieces: &VecDeque<Piece>) -> Vec<u8> {
        let bytes = pieces
            .iter()
            .filter_map(|piece| if let What::Audio(bytes) = &piece.what { Some(bytes) } else { None });
        bytes.flatten().copied().collect()
    }

    fn text(pieces: &VecDeque<Piece>) -> String {
        let words = pieces
            .iter()
            .filter_map(|piece| if let What::Words(word) = &piece.what { Some(word.as_str()) } else { None });
        words.collect()
    }

    const TRIPLE: Pace = Pace { speed: 3.0, odd_chunks: false };

    #[test]
    fn all_words_and_all_sound_come_out_in_order() {
        let sentence = speech::sentence("old-town").unwrap();
        let (pieces, cut) = render(Format::Pcmu, None, TRIPLE);
        assert!(!cut);
        assert_eq!(audio(&pieces), sentence.audio);
        assert_eq!(text(&pieces), sentence.text);
        assert!(pieces.iter().zip(pieces.iter().skip(1)).all(|(a, b)| a.at <= b.at));
        let last = pieces.back().unwrap().at.as_secs_f64();
        let expected = sentence.duration().as_secs_f64() / 3.0;
        assert!((expected - 0.1..expected).contains(&last), "{last}");
    }

    #[test]
    fn formats_differ_in_bytes_and_not_in_duration() {
        let ms = speech::sentence("old-town").unwrap().audio.len() / 8;
        for format in [Format::Pcm, Format::Pcmu, Format::Pcma] {
            let (pieces, _) = render(format, None, Pace { speed: f32::INFINITY, odd_chunks: false });
            assert!(audio(&pieces).len().abs_diff(ms * format.bytes_per_ms()) <= 48, "{format:?}");
            assert_eq!(pieces.back().unwrap().at, Duration::ZERO);
        }
    }

    #[test]
    fn a_token_limit_cuts_sound_and_words() {
        let (pieces, cut) = render(Format::Pcmu, Some(2_000), TRIPLE);
        assert!(cut);
        assert_eq!(audio(&pieces).len(), 2_000 * 8);
        assert!(text(&pieces).len() < 80, "{}", text(&pieces));
    }

    #[test]
    fn odd_chunks_split_samples() {
        let (pieces, _) = render(Format::Pcm, None, Pace { speed: 3.0, odd_chunks: true });
        let lengths = pieces
            .iter()
            .filter_map(|piece| if let What::Audio(bytes) = &piece.what { Some(bytes.len()) } else { None });
        assert!(lengths.filter(|length| length % 2 == 1).count() > 20);
    }

    #[test]
    fn arguments_come_in_pieces() {
        let pieces = called(r#"{"room":"204","night":"tonight"}"#);
        assert_eq!(pieces.len(), 4);
    }
}
