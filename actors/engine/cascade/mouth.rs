//! The mouth: a sentence as bytes of PCM16 at 24 kHz in, full mu-law frames at 8 kHz out.
//!
//! It refuses to know what is said and to whom. Sentences are recorded one by one, so they may begin or end away from
//! zero; there, and nowhere else, it fades, or the seam would click.

use tandem_media::frame::{Framer, G711Frame};
use tandem_media::g711;
use tandem_media::pcm::PcmBytes;
use tandem_media::resample::{Rate, Resampler};

/// A fade, in samples at 24 kHz: 5 ms. Shorter, it still clicks; longer, it takes from the consonant.
const FADE: usize = 120;

/// Amplitude from which a beginning or an end out of nothing is heard as a click: 1 % of full scale, -40 dBFS, which is
/// below the faintest speech.
const JUMP: u16 = 328;

/// Decoded at a time: 20 ms, on the stack.
const SAMPLES_AT_ONCE: usize = 480;

/// Room for what these become at 8 kHz: a third, or the filter's tail.
const PHONE_SCRATCH: usize = SAMPLES_AT_ONCE / 3 + Resampler::TAIL_MAX;

pub(super) struct Mouth {
    bytes: PcmBytes,
    down: Resampler,
    framer: Framer<u8, 160>,
    /// The newest samples of the sentence, kept back because they may be its last.
    held: Vec<i16>,
    opening: Opening,
}

/// How far a sentence is in its first 5 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Awaited,
    /// It began with a jump: so many samples of the fade are done.
    Fading(usize),
    Done,
}

impl Mouth {
    pub(super) fn new() -> Self {
        Self {
            bytes: PcmBytes::new(),
            down: Resampler::new(Rate::Hz24000, Rate::Hz8000),
            framer: Framer::new(),
            held: Vec::new(),
            opening: Opening::Awaited,
        }
    }

    /// Takes audio of the sentence, cut anywhere. Answers how many samples at 8 kHz it has become.
    pub(super) fn speak(&mut self, mut bytes: &[u8], mut full: impl FnMut(G711Frame)) -> u64 {
        let mut samples = [0; SAMPLES_AT_ONCE];
        let mut made = 0;
        while !bytes.is_empty() {
            let read = self.bytes.decode(&mut bytes, &mut samples);
            let samples = &mut samples[..read];
            self.open(samples);
            self.held.extend_from_slice(samples);
            let sure = self.held.len().saturating_sub(FADE);
            made += self.play(sure, &mut full);
        }
        made
    }

    /// The sentence is over: the rest of it. Answers how many samples that is, and whether half of one was missing.
    pub(super) fn end_sentence(&mut self, mut full: impl FnMut(G711Frame)) -> (u64, bool) {
        if self.held.last().is_some_and(|last| last.unsigned_abs() >= JUMP) {
            for (n, sample) in self.held.iter_mut().rev().take(FADE).enumerate() {
                *sample = faded(*sample, n);
            }
        }
        let mut made = self.play(self.held.len(), &mut full);
        let mut linear = [0; PHONE_SCRATCH];
        let tail = self.down.flush(&mut linear);
        made += self.frame(&linear[..tail], &mut full);
        let torn = self.bytes.pending();
        self.bytes.reset();
        self.opening = Opening::Awaited;
        (made, torn)
    }

    /// The answer is over: its last, short frame, if there is one.
    pub(super) fn end_part(&mut self) -> Option<G711Frame> {
        self.framer.flush()
    }

    /// Forgets what was not played: the next sample is the first of an answer.
    pub(super) fn hush(&mut self) {
        *self = Self::new();
    }

    fn open(&mut self, samples: &mut [i16]) {
        if let (Opening::Awaited, Some(first)) = (self.opening, samples.first()) {
            let jumps = first.unsigned_abs() >= JUMP;
            self.opening = if jumps { Opening::Fading(0) } else { Opening::Done };
        }
        if let Opening::Fading(done) = self.opening {
            let fading = samples.len().min(FADE - done);
            for (n, sample) in samples[..fading].iter_mut().enumerate() {
                *sample = faded(*sample, done + n);
            }
            let done = done + fading;
            self.opening = if done == FADE { Opening::Done } else { Opening::Fading(done) };
        }
    }

    /// Plays the first `count` of the samples held.
    fn play(&mut self, count: usize, full: &mut impl FnMut(G711Frame)) -> u64 {
        let mut made = 0;
        let held = std::mem::take(&mut self.held);
        for samples in held[..count].chunks(SAMPLES_AT_ONCE) {
            let mut linear = [0; PHONE_SCRATCH];
            let written = self.down.process(samples, &mut linear);
            made += self.frame(&linear[..written], full);
        }
        self.held = held;
        self.held.drain(..count);
        made
    }

    fn frame(&mut self, linear: &[i16], full: &mut impl FnMut(G711Frame)) -> u64 {
        let mut codes = [0; PHONE_SCRATCH];
        let written = g711::ulaw_encode_slice(linear, &mut codes);
        self.framer.push(&codes[..written], full);
        written as u64
    }
}

/// The sample `n` places from the silent side of a fade.
#[expect(clippy::cast_possible_truncation, reason = "a share of a sample is a sample")]
fn faded(sample: i16, n: usize) -> i16 {
    (f32::from(sample) * n as f32 / FADE as f32) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_media::pcm::pcm_to_bytes;

    fn bytes(samples: &[i16]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * samples.len()];
        pcm_to_bytes(samples, &mut bytes);
        bytes
    }

    /// A tone of 500 Hz that begins and ends on its crest.
    fn crest(ms: usize) -> Vec<i16> {
        let crest = |n: usize| 8_000.0 * (n as f32 * 500.0 / 24_000.0 * std::f32::consts::TAU).cos();
        #[expect(clippy::cast_possible_truncation, reason = "within a quarter of full scale")]
        let tone = (0..=24 * ms).map(|n| crest(n) as i16).collect();
        tone
    }

    /// What is heard of sentences, each in chunks of this many bytes.
    fn heard(sentences: &[Vec<i16>], chunk: usize) -> Vec<i16> {
        let mut mouth = Mouth::new();
        let mut codes = Vec::new();
        let mut counted = 0;
        for sentence in sentences {
            for bytes in bytes(sentence).chunks(chunk) {
                counted += mouth.speak(bytes, |frame| codes.extend_from_slice(frame.as_slice()));
            }
            let (rest, torn) = mouth.end_sentence(|frame| codes.extend_from_slice(frame.as_slice()));
            counted += rest;
            assert!(!torn);
        }
        codes.extend_from_slice(mouth.end_part().expect("a rest").as_slice());
        assert_eq!(counted, codes.len() as u64);
        codes.iter().map(|code| g711::ulaw_decode(*code)).collect()
    }

    #[test]
    fn however_the_bytes_are_cut_the_same_is_heard() {
        let sentences = [crest(333), crest(50), crest(1)];
        let whole = heard(&sentences, 1 << 20);
        for chunk in [1, 7, 960, 961, 9_999] {
            assert_eq!(heard(&sentences, chunk), whole, "chunks of {chunk} bytes");
        }
    }

    #[test]
    fn sentences_follow_each_other_without_a_gap_and_without_a_click() {
        let samples = heard(&[crest(200), crest(200)], 961);
        // 400 ms and the filter's tail of 2 ms behind each.
        assert!((3_200..=3_200 + 2 * 17).contains(&samples.len()), "{} samples", samples.len());
        // A tone of 500 Hz and 8,000 changes by 3,140 from sample to sample at 8 kHz, and never by more.
        let jump = samples.windows(2).map(|two| two[0].abs_diff(two[1])).max().unwrap();
        assert!(jump <= 3_400, "a jump of {jump}");
        assert!(samples[0].unsigned_abs() < 400 && samples.last().unwrap().unsigned_abs() < 400);
    }

    #[test]
    fn what_begins_and_ends_in_silence_is_not_touched() {
        let mut quiet = vec![0; 240];
        quiet.extend(crest(100));
        quiet.extend([0; 240]);
        let samples = heard(std::slice::from_ref(&quiet), 960);
        let mut down = Resampler::new(Rate::Hz24000, Rate::Hz8000);
        let mut plain = vec![0; down.output_len_max(quiet.len()) + Resampler::TAIL_MAX];
        let mut made = down.process(&quiet, &mut plain);
        made += down.flush(&mut plain[made..]);
        let through_the_law = |sample: &i16| g711::ulaw_decode(g711::ulaw_encode(*sample));
        assert_eq!(samples, plain[..made].iter().map(through_the_law).collect::<Vec<_>>());
    }

    #[test]
    fn half_a_sample_at_the_end_is_told_and_spoils_nothing() {
        let mut mouth = Mouth::new();
        mouth.speak(&[0; 2_001], |_| ());
        assert!(mouth.end_sentence(|_| ()).1);
        mouth.speak(&bytes(&[0; 480]), |_| ());
        assert!(!mouth.end_sentence(|_| ()).1);
    }

    #[test]
    fn a_hushed_mouth_keeps_nothing() {
        let mut mouth = Mouth::new();
        mouth.speak(&[0x40; 1_001], |_| ());
        mouth.hush();
        assert_eq!(mouth.end_part(), None);
        let (made, torn) = mouth.end_sentence(|_| ());
        assert!(made <= 17 && !torn);
    }
}
