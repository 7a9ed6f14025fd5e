//! Sounds the carrier makes itself - key tones, ringing, music on hold - and what counts as a sound at all.
//!
//! Knows neither clock nor verbs: 16-bit samples at 8 kHz go in and out.

use std::{f64::consts::TAU, iter, time::Duration};

use tandem_media::g711;

use super::playback::TICK_BYTES;
use crate::{
    speech,
    wav::{self, WavError},
};

/// Samples per tick of 20 ms: as many as mu-law bytes.
pub(crate) const TICK_SAMPLES: usize = TICK_BYTES;

/// A stretch counts as a sound from this RMS on, -50 dBFS: 32,768 * 10^(-50/20) = 104. Speech on a phone is
/// 30 dB above it, the quantisation noise of a silent mu-law line 20 dB below.
const SOUND_RMS: u64 = 104;

/// Each of a tone's frequencies, at -18 dBFS: 32,768 * 10^(-18/20) = 4,125.
const TONE_AMPLITUDE: f64 = 4_125.0;

/// A key's tone and the silence after it.
const KEY: Duration = Duration::from_millis(100);

/// Whether anybody would hear something in these samples.
pub(crate) fn is_sound(samples: &[i16]) -> bool {
    let energy: u64 = samples.iter().map(|&sample| u64::from(sample.unsigned_abs()).pow(2)).sum();
    energy > 0 && energy >= SOUND_RMS.pow(2) * samples.len() as u64
}

pub(crate) fn silence(length: Duration) -> Vec<i16> {
    vec![0; speech::samples_in(length)]
}

/// Tones of keys, as `<Play digits>` writes them: `w` waits half a second, `W` a whole one. The error is a
/// character that is neither.
pub(crate) fn key_tones(digits: &str) -> Result<Vec<i16>, char> {
    const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
    let mut sound = Vec::new();
    for key in digits.chars() {
        match ("123A456B789C*0#D".find(key), key) {
            (Some(n), _) => {
                sound.extend(tone(&[ROWS[n / 4], COLUMNS[n % 4]], KEY));
                sound.extend(silence(KEY));
            }
            (None, 'w') => sound.extend(silence(Duration::from_millis(500))),
            (None, 'W') => sound.extend(silence(Duration::from_secs(1))),
            (None, other) => return Err(other),
        }
    }
    Ok(sound)
}

/// One round of what a caller hears while it rings elsewhere, as in North America: two seconds of 440 and
/// 480 Hz, four of nothing.
pub(crate) fn ringing() -> Vec<i16> {
    let mut sound = tone(&[440.0, 480.0], Duration::from_secs(2));
    sound.extend(silence(Duration::from_secs(4)));
    sound
}

/// The tone after which a recording begins.
pub(crate) fn beep() -> Vec<i16> {
    tone(&[1_000.0], Duration::from_millis(300))
}

/// Stands for music: it is heard, and for how long is what matters.
pub(crate) fn hum(length: Duration) -> Vec<i16> {
    tone(&[220.0, 330.0], length)
}

#[expect(clippy::cast_possible_truncation, reason = "two tones of -18 dBFS stay far below full scale")]
fn tone(frequencies: &[f64], length: Duration) -> Vec<i16> {
    let at = |n: usize| -> f64 {
        frequencies.iter().map(|frequency| (TAU * frequency * n as f64 / 8_000.0).sin()).sum()
    };
    (0..speech::samples_in(length)).map(|n| (TONE_AMPLITUDE * at(n)) as i16).collect()
}

// -------------------------------------------------------------------------------------------------- decoding

#[derive(Debug, thiserror::Error)]
pub(crate) enum AudioError {
    #[error("content type {0:?} is none of audio")]
    Kind(String),
    #[error(transparent)]
    Wav(#[from] WavError),
}

/// What a file of one of the carrier's audio types sounds like. MPEG, AIFF and GSM are accepted without being
/// decoded: a hum lasts as long as the file would at its type's usual rate.
pub(crate) fn decode(kind: &str, file: &[u8]) -> Result<Vec<i16>, AudioError> {
    let hum_at = |bytes_per_second: f64| hum(Duration::from_secs_f64(file.len() as f64 / bytes_per_second));
    Ok(match kind {
        "audio/wav" | "audio/wave" | "audio/x-wav" => wav::parse(file)?,
        "audio/ulaw" => file.iter().map(|&code| g711::ulaw_decode(code)).collect(),
        // 128 kbit/s; 8 kHz of 16 bits; 33 bytes for 20 ms.
        "audio/mpeg" | "audio/aiff" | "audio/x-aiff" | "audio/x-aifc" => hum_at(16_000.0),
        "audio/gsm" | "audio/x-gsm" => hum_at(1_650.0),
        other => return Err(AudioError::Kind(other.to_owned())),
    })
}

/// The stretches of `samples` in which something sounds, as sample ranges: pauses shorter than `pause` belong
/// to them.
pub(crate) fn utterances(samples: &[i16], pause: Duration) -> Vec<std::ops::Range<usize>> {
    let pause = speech::samples_in(pause);
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    let ticks = iter::zip((0..).step_by(TICK_SAMPLES), samples.chunks(TICK_SAMPLES));
    for (from, tick) in ticks.filter(|(_, tick)| is_sound(tick)) {
        let to = from + tick.len();
        match found.last_mut().filter(|last| from < last.end + pause) {
            Some(last) => last.end = to,
            None => found.push(from..to),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_and_tones_are_sounds_and_a_silent_line_is_not() {
        let greeting = speech::sentence("greeting").unwrap();
        let spoken: Vec<i16> = greeting.audio.iter().map(|&code| g711::ulaw_decode(code)).collect();
        assert!(is_sound(&spoken) && is_sound(&hum(KEY)) && is_sound(&beep()));
        assert!(!is_sound(&[8, -8, 0, 8]) && !is_sound(&[0; 160]) && !is_sound(&[]));
    }

    #[test]
    fn keys_have_the_lengths_they_are_written_with() {
        let length = |digits| key_tones(digits).map(|sound| sound.len());
        assert_eq!(length("1"), Ok(1_600));
        assert_eq!(length("*0#w9W"), Ok(4 * 1_600 + 4_000 + 8_000));
        assert_eq!(length("12x"), Err('x'));
        assert!(key_tones("5").unwrap()[800..].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn every_documented_type_of_audio_is_accepted() {
        let seconds = |kind: &str, bytes: usize| {
            decode(kind, &vec![0; bytes]).map(|sound| sound.len() as f64 / 8_000.0).map_err(|e| e.to_string())
        };
        assert_eq!(seconds("audio/ulaw", 4_000), Ok(0.5));
        assert_eq!(seconds("audio/mpeg", 32_000), Ok(2.0));
        assert_eq!(seconds("audio/x-aifc", 16_000), Ok(1.0));
        assert_eq!(seconds("audio/gsm", 1_650), Ok(1.0));
        assert_eq!(seconds("audio/wav", 100), Err(WavError::NotWav.to_string()));
        assert_eq!(seconds("image/png", 100), Err("content type \"image/png\" is none of audio".to_owned()));
    }

    #[test]
    fn utterances_keep_their_short_pauses() {
        let ms = Duration::from_millis;
        let sound: Vec<i16> =
            [silence(ms(100)), hum(ms(200)), silence(ms(300)), hum(ms(100)), silence(ms(600)), hum(ms(40))]
                .concat();
        assert_eq!(utterances(&sound, ms(500)), [800..5_600, 10_400..10_720]);
        assert_eq!(utterances(&[], ms(500)), []);
    }
}
