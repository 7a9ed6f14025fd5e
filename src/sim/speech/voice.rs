//! Any text as sound: the recording where one exists, a part of it where the text is one, and a babble that
//! sounds like speech for everything else.
//!
//! Knows nothing of who speaks, and needs no chance: the same text always sounds the same.

use std::{f64::consts::TAU, ops::Range};

use tandem_media::{frame::PHONE_RATE, g711};

use super::{
    Sentence, sentences,
    words::{Word, same, words},
};

/// Sound of one character: recorded sentences have between 60 and 75 ms of it.
const CHARACTER_MS: usize = 67;

/// Samples of one millisecond.
const MS: usize = PHONE_RATE as usize / 1_000;

/// What is cut starts and ends with this much of a ramp, as the recordings do.
const FADE: usize = 5 * MS;

/// A text spoken: 16-bit samples at 8 kHz, without silence around them.
pub(crate) fn speak(text: &str) -> Vec<i16> {
    match recorded(text) {
        Some(mu_law) => mu_law.into_iter().map(g711::ulaw_decode).collect(),
        None => babble(text),
    }
}

/// The recording of a text that is an agent's sentence, or a part of one, as mu-law.
fn recorded(text: &str) -> Option<Vec<u8>> {
    let wanted = words(text);
    let part = |sentence: Sentence| Some(sentence.part(place(&wanted, sentence.text)?));
    (!wanted.is_empty()).then(|| sentences().find_map(part)).flatten()
}

/// Where words stand in a sentence, as bytes of its text. One word alone has to begin or end it.
fn place(wanted: &[Word], sentence: &str) -> Option<Range<usize>> {
    let all = words(sentence);
    let first = all.windows(wanted.len()).position(|run| same(run, wanted))?;
    let next = first + wanted.len();
    let is_edge = first == 0 || next == all.len();
    let range = all[first].start..all.get(next).map_or(sentence.len(), |word| word.start);
    (is_edge || wanted.len() > 1).then_some(range)
}

impl Sentence {
    /// The sound of some of its text, a range of bytes, cut in proportion to it; mu-law at 8 kHz.
    pub(crate) fn part(&self, text: Range<usize>) -> Vec<u8> {
        let at = |byte: usize| self.audio.len() * byte.min(self.text.len()) / self.text.len().max(1);
        let (from, to) = (at(text.start), at(text.end));
        let mut part = self.audio[from..to].to_vec();
        if from > 0 {
            fade(part.iter_mut());
        }
        if to < self.audio.len() {
            fade(part.iter_mut().rev());
        }
        part
    }
}

/// Ramps up from silence.
fn fade<'a>(codes: impl Iterator<Item = &'a mut u8>) {
    for (code, i) in codes.zip(0..FADE) {
        let gain = i as f64 / FADE as f64;
        *code = g711::ulaw_encode(quantised(f64::from(g711::ulaw_decode(*code)) * gain));
    }
}

// ---------------------------------------------------------------------------------------------------- babble

/// What a character sounds like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sound {
    /// Two resonances, in Hz.
    Vowel(u16, u16),
    /// A voiced consonant: a vowel through nearly closed lips.
    Hum,
    Hiss,
    Pause,
}

impl Sound {
    /// The resonances of English vowels, after Peterson and Barney (1952), female speakers, rounded.
    fn of(character: char) -> Self {
        match character.to_ascii_lowercase() {
            'a' => Self::Vowel(850, 1_600),
            'e' => Self::Vowel(600, 2_300),
            'i' | 'y' => Self::Vowel(350, 2_700),
            'o' => Self::Vowel(600, 1_000),
            'u' => Self::Vowel(400, 950),
            'c' | 'f' | 'h' | 'k' | 'p' | 'q' | 's' | 't' | 'x' => Self::Hiss,
            other if other.is_alphanumeric() => Self::Hum,
            _ => Self::Pause,
        }
    }
}

/// Pitch of the babble, in Hz, before what the text adds to it.
const PITCH: f64 = 180.0;

/// A resonance dies away to 1/e in 3 ms: a bandwidth of 1 / (3.14 * 3 ms), about 100 Hz.
const RINGING_S: f64 = 0.003;

/// As the recordings: -20 dBFS RMS, no peak above -3 dBFS.
const RMS: f64 = 3_276.8;
const PEAK_MAX: f64 = 23_197.0;

fn babble(text: &str) -> Vec<i16> {
    let mut noise =
        text.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let pitch = PITCH + f64::from(noise % 40);
    let samples_each = CHARACTER_MS * MS;
    let mut made = Vec::with_capacity(text.chars().count() * samples_each);
    for character in text.chars() {
        let sound = Sound::of(character);
        for i in 0..samples_each {
            let seconds = made.len() as f64 / f64::from(PHONE_RATE);
            let since_pulse = (seconds * pitch).fract() / pitch;
            let ring = |hertz: u16| (TAU * f64::from(hertz) * since_pulse).sin();
            let voice = |low, high| (ring(low) + 0.5 * ring(high)) * (-since_pulse / RINGING_S).exp();
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); // Numerical Recipes' generator
            let value = match sound {
                Sound::Vowel(low, high) => voice(low, high),
                Sound::Hum => 0.4 * voice(300, 1_200),
                Sound::Hiss => 0.15 * (f64::from(noise >> 16) / 32_768.0 - 1.0),
                Sound::Pause => 0.0,
            };
            let edge = (i.min(samples_each - 1 - i) as f64 / (2 * FADE) as f64).min(1.0);
            made.push(value * edge);
        }
    }
    let power = made.iter().map(|sample| sample * sample).sum::<f64>() / made.len().max(1) as f64;
    let gain = if power > 0.0 { RMS / power.sqrt() } else { 0.0 };
    made.into_iter().map(|sample| quantised((sample * gain).clamp(-PEAK_MAX, PEAK_MAX))).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "samples stay within 16 bits")]
fn quantised(sample: f64) -> i16 {
    sample.round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::sentence;

    fn decoded(mu_law: &[u8]) -> Vec<i16> {
        mu_law.iter().map(|&code| g711::ulaw_decode(code)).collect()
    }

    fn dbfs(value: f64) -> f64 {
        20.0 * (value / 32_768.0).log10()
    }

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn a_recorded_sentence_is_its_recording_however_it_is_written() {
        for sentence in sentences() {
            assert_eq!(speak(sentence.text), decoded(sentence.audio), "{}", sentence.id);
            assert_eq!(speak(&sentence.text.to_uppercase().replace(['.', ','], "")), decoded(sentence.audio));
        }
    }

    #[test]
    fn the_rest_of_a_sentence_is_the_rest_of_its_recording() {
        let whole = sentence("old-town").unwrap();
        let at = whole.text.find("stop for coffee").unwrap();
        let rest = speak(&whole.text[at..]);
        let from = whole.audio.len() * at / whole.text.len();
        assert_eq!(rest.len(), whole.audio.len() - from);
        assert_eq!(rest[FADE..], decoded(&whole.audio[from + FADE..]));
        assert!(rest[0].abs() < 50, "it starts with a click of {}", rest[0]);
        let last_word = speak("bay.");
        assert!(rest.ends_with(&last_word[FADE..]) && last_word.len() > 10 * FADE, "one word will do");
    }

    #[test]
    fn a_sentence_spoken_in_parts_is_as_long_as_in_one() {
        let whole = sentence("old-town").unwrap();
        let parts = [
            "Happily.",
            "You could start at the fish market, which opens at six,",
            "walk along the harbour wall",
        ];
        let said: Vec<usize> = parts.iter().map(|part| speak(part).len()).collect();
        let to = whole.text.find("to the lighthouse").unwrap();
        assert!(
            said.iter().sum::<usize>().abs_diff(whole.audio.len() * to / whole.text.len()) <= 2,
            "{said:?}"
        );
    }

    #[test]
    fn any_other_text_is_audible_level_and_always_the_same() {
        for text in ["One moment, please.", "Zoë asks: 204 or 205?", "the", "Hmm"] {
            let said = speak(text);
            assert_eq!(said.len(), text.chars().count() * CHARACTER_MS * MS, "{text}");
            assert_eq!(said, speak(text));
            assert!((-22.0..-19.5).contains(&dbfs(rms(&said))), "{text}: {} dBFS", dbfs(rms(&said)));
            let peak = said.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!(dbfs(f64::from(peak)) <= -2.99, "{text}: peak {peak}");
            assert!(said[0].abs().max(said[said.len() - 1].abs()) < 66, "{text} clicks");
        }
        assert_ne!(speak("One moment, please."), speak("One moment, sorry."));
        assert_eq!((speak(""), speak("...").iter().all(|&sample| sample == 0)), (Vec::new(), true));
    }

    #[test]
    fn babble_has_the_syllables_that_tell_speech_from_noise() {
        let levels: Vec<f64> = speak("We will call you back in a moment.").chunks(160).map(rms).collect();
        let loud = levels.iter().filter(|level| dbfs(**level) > -26.0).count();
        let silent = levels.iter().filter(|level| dbfs(level.max(1.0)) < -60.0).count();
        assert!(
            loud * 3 > levels.len() && silent * 12 > levels.len(),
            "{loud} and {silent} of {}",
            levels.len()
        );
    }
}
