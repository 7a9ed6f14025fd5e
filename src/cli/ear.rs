//! A call as it was at the caller's ear: its recordings as files, and when somebody spoke in them.
//!
//! It refuses to know the switch: everything here is measured on the carrier's side.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tandem_sim::carrier::CallRecord;
use tandem_sim::wav;

/// Samples a second on the phone.
const RATE: u64 = 8_000;

/// Grain of the search: 10 ms.
const BLOCK: usize = 80;

/// A block is speech when its mean level is above this: -46 dBFS, over a line's noise and under a whisper.
const SPEECH_LEVEL: u64 = 164;

/// Pauses shorter than this do not end an utterance; stops inside words are up to 200 ms.
const PAUSE: Duration = Duration::from_millis(400);

/// Writes `heard.wav` (what the caller heard) and `call.wav` (caller left, agent right, one clock).
pub(super) fn write_recordings(out: &Path, record: &CallRecord) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let written = wav::write_mono(&out.join("heard.wav"), &record.heard)
        .and_then(|()| wav::write_stereo(&out.join("call.wav"), &record.said, &record.heard));
    written.with_context(|| format!("cannot write recordings to {}", out.display()))
}

/// From when to when somebody spoke, on the recording's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utterance {
    pub(super) began: Duration,
    pub(super) ended: Duration,
}

/// Finds the utterances in a recording at 8 kHz.
pub(super) fn utterances(samples: &[i16]) -> Vec<Utterance> {
    let mut found: Vec<Utterance> = Vec::new();
    for (index, block) in samples.chunks(BLOCK).enumerate() {
        let level =
            block.iter().map(|sample| u64::from(sample.unsigned_abs())).sum::<u64>() / block.len() as u64;
        if level < SPEECH_LEVEL {
            continue;
        }
        let began = at(index * BLOCK);
        let ended = at(index * BLOCK + block.len());
        match found.last_mut().filter(|last| began < last.ended + PAUSE) {
            Some(last) => last.ended = ended,
            None => found.push(Utterance { began, ended }),
        }
    }
    found
}

fn at(sample: usize) -> Duration {
    Duration::from_micros(sample as u64 * 1_000_000 / RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_utterance_is_found_with_its_pauses_inside() {
        let speech = |ms: usize| std::iter::repeat_n([4_000, -4_000], ms * 4).flatten();
        let silence = |ms: usize| std::iter::repeat_n(3, ms * 8);
        let samples: Vec<i16> = silence(500)
            .chain(speech(300))
            .chain(silence(200))
            .chain(speech(300))
            .chain(silence(1_000))
            .chain(speech(100))
            .collect();
        let ms = Duration::from_millis;
        let expected = [
            Utterance { began: ms(500), ended: ms(1_300) },
            Utterance { began: ms(2_300), ended: ms(2_400) },
        ];
        assert_eq!(utterances(&samples), expected);
    }

    #[test]
    fn silence_has_no_utterances() {
        assert_eq!(utterances(&[0; 8_000]), []);
        assert_eq!(utterances(&[]), []);
    }
}
