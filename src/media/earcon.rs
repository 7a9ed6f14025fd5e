//! A sound that says "still here": two soft notes, for the moment in which nobody can speak.
//!
//! It refuses to know when it is played. Made anew each time: it is heard a few times in a bad hour, and a table of it
//! would be resident in every good one.

use std::f32::consts::{PI, TAU};

use crate::frame::{G711Frame, PHONE_RATE};
use crate::g711;

/// C5 and E5: a rising major third is heard as a question kept open, not as an error.
const NOTES_HZ: [f32; 2] = [523.25, 659.26];

/// One note: long enough for a pitch, short enough not to be music.
const NOTE_MS: usize = 160;

/// -21 dBFS at the peak: some 6 dB below speech on the telephone, so that nobody starts.
const PEAK: f32 = 0.09 * i16::MAX as f32;

/// The sound as mu-law frames: 320 ms, 16 frames.
pub fn still_here() -> Vec<G711Frame> {
    let samples_per_note = NOTE_MS * PHONE_RATE as usize / 1_000;
    let mut linear = Vec::with_capacity(NOTES_HZ.len() * samples_per_note);
    for hz in NOTES_HZ {
        for n in 0..samples_per_note {
            let time = n as f32 / PHONE_RATE as f32;
            // A raised cosine over the whole note: it begins and ends at zero, so that nothing clicks.
            let envelope = 0.5 - 0.5 * (TAU * n as f32 / samples_per_note as f32).cos();
            linear.push(quantised(PEAK * envelope * (2.0 * PI * hz * time).sin()));
        }
    }
    let mut codes = vec![0; linear.len()];
    g711::ulaw_encode_slice(&linear, &mut codes);
    G711Frame::split(&codes).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the peak is a tenth of the range")]
fn quantised(sample: f32) -> i16 {
    sample as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard() -> Vec<i16> {
        let codes: Vec<u8> = still_here().iter().flat_map(|frame| frame.as_slice().to_vec()).collect();
        let mut linear = vec![0; codes.len()];
        g711::ulaw_decode_slice(&codes, &mut linear);
        linear
    }

    #[test]
    fn it_lasts_a_third_of_a_second_in_full_frames() {
        assert_eq!(still_here().len(), 16);
        assert!(still_here().iter().all(|frame| frame.len() == 160));
    }

    #[test]
    fn it_is_audible_soft_and_without_clicks() {
        let heard = heard();
        let peak = heard.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((2_000..3_300).contains(&peak), "{peak}");
        assert!(heard[0].abs() < 40 && heard[heard.len() - 1].abs() < 40);
        let steepest = heard.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap();
        assert!(
            steepest < 1_700,
            "a sine of 659 Hz at this level rises by 1,500 a sample at most: {steepest}"
        );
    }
}
