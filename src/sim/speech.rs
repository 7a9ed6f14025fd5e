//! The voices of the simulated world: sentences of an agent and one caller's side of a conversation, rendered
//! once and embedded as mu-law (how: `speech/README.md`).
//!
//! Knows nothing of who speaks them when: that is the script's and the caller's business.

use std::{path::Path, sync::Arc, time::Duration};

use tandem_media::{frame::PHONE_RATE, g711};

pub(crate) use self::{ear::recognise, voice::speak};
use crate::wav::{self, WavError};

mod ear;
mod voice;
pub(crate) mod words;

/// Samples of a duration at [`PHONE_RATE`]; whole milliseconds are exact.
pub(crate) fn samples_in(duration: Duration) -> usize {
    usize::try_from(duration.as_micros() * u128::from(PHONE_RATE) / 1_000_000).unwrap_or(usize::MAX)
}

/// How long so many samples at [`PHONE_RATE`] last.
pub(crate) fn duration_of(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(PHONE_RATE))
}

// ------------------------------------------------------------------------------------------------- sentences

/// One sentence an agent can say: its words, and its sound as mu-law at 8 kHz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    pub id: &'static str,
    pub text: &'static str,
    /// Mu-law bytes, 8 per millisecond.
    pub audio: &'static [u8],
}

impl Sentence {
    pub fn duration(&self) -> Duration {
        duration_of(self.audio.len())
    }
}

/// `agent.txt` names the sentences and holds their words: the same lines `make.sh` rendered.
const WORDS: &str = include_str!("speech/agent.txt");

const RENDERED: [(&str, &[u8]); 7] = [
    ("greeting", include_bytes!("speech/greeting.wav")),
    ("late-arrival", include_bytes!("speech/late-arrival.wav")),
    ("old-town", include_bytes!("speech/old-town.wav")),
    ("castle", include_bytes!("speech/castle.wav")),
    ("farewell", include_bytes!("speech/farewell.wav")),
    ("breakfast", include_bytes!("speech/breakfast.wav")),
    ("morning", include_bytes!("speech/morning.wav")),
];

const CALLER: &[u8] = include_bytes!("speech/caller.wav");

/// The sentence of that id, if there is one.
pub fn sentence(id: &str) -> Option<Sentence> {
    sentences().find(|sentence| sentence.id == id)
}

/// All sentences, in the order they make a conversation with [`CallerAudio::demo`]: greeting first.
pub fn sentences() -> impl Iterator<Item = Sentence> {
    WORDS.lines().zip(RENDERED).filter_map(|(line, (id, file))| {
        let text = line.strip_prefix(id)?.strip_prefix('\t')?;
        Some(Sentence { id, text, audio: wav::mu_law_data(file)? })
    })
}

// ------------------------------------------------------------------------------------------------ the caller

/// What [`CallerAudio::demo`] says, utterance by utterance.
pub fn demo_caller_lines() -> impl Iterator<Item = &'static str> {
    caller_lines().map(|(_, text)| text)
}

/// The same lines, with when each begins.
fn caller_lines() -> impl Iterator<Item = (Duration, &'static str)> {
    include_str!("speech/caller.txt").lines().filter_map(|line| {
        let (second, text) = line.split_once('\t')?;
        Some((Duration::try_from_secs_f64(second.parse().ok()?).ok()?, text))
    })
}

/// What a caller says from the moment the stream starts: 16-bit mono samples at 8 kHz. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerAudio(Arc<[i16]>);

impl CallerAudio {
    /// The demo's caller, 26 s: asks, asks again, interrupts the long answer, says good night.
    pub fn demo() -> Self {
        wav::mu_law_data(CALLER).unwrap_or_default().iter().map(|&code| g711::ulaw_decode(code)).collect()
    }

    /// A recording of any rate and any number of channels.
    pub fn from_wav(path: &Path) -> Result<Self, WavError> {
        wav::read(path).map(|samples| Self(samples.into()))
    }

    pub fn silence(duration: Duration) -> Self {
        std::iter::repeat_n(0, samples_in(duration)).collect()
    }

    pub fn samples(&self) -> &[i16] {
        &self.0
    }

    pub fn duration(&self) -> Duration {
        duration_of(self.0.len())
    }
}

impl FromIterator<i16> for CallerAudio {
    fn from_iter<I: IntoIterator<Item = i16>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decibels(value: f64) -> f64 {
        20.0 * value.log10()
    }

    #[test]
    fn every_sentence_has_its_words_and_its_sound() {
        let ids: Vec<_> = sentences().map(|sentence| sentence.id).collect();
        assert_eq!(ids, RENDERED.map(|(id, _)| id));
        for sentence in sentences() {
            let seconds = sentence.duration().as_secs_f64();
            let per_word = seconds / sentence.text.split(' ').count() as f64;
            assert!(
                (1.5..9.5).contains(&seconds) && (0.2..0.5).contains(&per_word),
                "{} {seconds}",
                sentence.id
            );
        }
    }

    #[test]
    fn sentences_are_level_and_start_and_end_without_a_click() {
        for sentence in sentences() {
            let samples: Vec<f64> =
                sentence.audio.iter().map(|&code| f64::from(g711::ulaw_decode(code)) / 32_768.0).collect();
            let rms = (samples.iter().map(|s| s * s).sum::<f64>() / samples.len() as f64).sqrt();
            let peak = samples.iter().fold(0.0_f64, |peak, s| peak.max(s.abs()));
            assert!((-20.5..-19.5).contains(&decibels(rms)), "{}: {} dBFS", sentence.id, decibels(rms));
            assert!(decibels(peak) < -3.0, "{}: peak {} dBFS", sentence.id, decibels(peak));
            for edge in [samples[0], samples[samples.len() - 1]] {
                assert!(edge.abs() < 0.002, "{}: edge {edge}", sentence.id);
            }
        }
    }

    #[test]
    fn all_speech_fits_its_budget() {
        let bytes: usize = RENDERED.iter().map(|(_, file)| file.len()).sum::<usize>() + CALLER.len();
        assert!(bytes <= 450_000, "{bytes} bytes");
        assert!((20.0..27.0).contains(&CallerAudio::demo().duration().as_secs_f64()));
    }
}
