//! Is the caller's line loud, as when somebody speaks? A few comparisons per frame: no detector of speech, which
//! engines have, but enough to find out that an engine has stopped listening.
//!
//! Pure. It refuses to know what loudness means.

/// Every so many codes of a frame one is looked at: 20 of 160.
const STRIDE: usize = 8;

/// mu-law codes, without their sign, of at least -33 dBFS: code 0x3F and below decode to 716 of 32,124 and more. Quiet
/// speech on a line has peaks of -25 dBFS, its noise stays below -45.
const LOUD_CODE_MAX: u8 = 0x3F;

/// A frame is loud with a quarter of those that are looked at.
const LOUD_CODES_MIN: usize = 5;

/// So many loud frames, less the quiet ones between them, are worth a question: 25 x 20 ms, a short word or two.
const LOUD_FRAMES_MIN: u32 = 25;

#[derive(Debug, Default)]
pub struct Loudness {
    loud_frames: u32,
}

impl Loudness {
    /// Tells whether the line has been loud for a while, once for each while.
    pub fn hear(&mut self, codes: &[u8]) -> bool {
        // The code falls as the magnitude rises; the sign is its first bit.
        let loud_codes = codes.iter().step_by(STRIDE).filter(|code| **code & 0x7F <= LOUD_CODE_MAX);
        if loud_codes.count() < LOUD_CODES_MIN {
            self.loud_frames = self.loud_frames.saturating_sub(1);
            return false;
        }
        self.loud_frames += 1;
        let told = self.loud_frames == LOUD_FRAMES_MIN;
        if told {
            self.loud_frames = 0;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use tandem_media::g711;

    use super::*;

    fn tone(peak: i16) -> Vec<u8> {
        let linear: Vec<i16> = (0..160).map(|n| if n % 16 < 8 { peak } else { -peak }).collect();
        let mut codes = vec![0; 160];
        g711::ulaw_encode_slice(&linear, &mut codes);
        codes
    }

    #[test]
    fn half_a_second_of_speech_is_told_once_and_told_again_when_it_goes_on() {
        let mut loudness = Loudness::default();
        let told: Vec<usize> = (0..60).filter(|_| loudness.hear(&tone(4_000))).collect();
        assert_eq!(told, [24, 49]);
    }

    #[test]
    fn noise_clicks_and_silence_are_not_told() {
        let mut loudness = Loudness::default();
        assert!((0..1_000).all(|_| !loudness.hear(&tone(100))), "-50 dBFS");
        assert!((0..1_000).all(|n| !loudness.hear(&tone(if n % 5 == 0 { 8_000 } else { 0 }))));
        assert!((0..1_000).all(|_| !loudness.hear(&[0xFF; 160]) && !loudness.hear(&[0x7F; 160])));
    }
}
