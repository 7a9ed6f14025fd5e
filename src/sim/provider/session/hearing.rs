//! The input audio buffer: what the caller's bytes mean in the format of their time, and where turns lie in
//! them.
//!
//! Knows no events and does not decide what a turn leads to.

use std::mem;

use tandem_media::{g711, resample::Rate};

use super::{
    config::{Format, TurnDetection},
    detector::{Change, Detector, FRAME_MS},
};
use crate::provider::sound;

/// Silence kept in front of a turn that has not begun, beyond the padding it may want.
const BEFORE_SPEECH_MS: u64 = 1_000;

/// Offsets in ms of all audio the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Started { audio_start_ms: u64 },
    Stopped { audio_start_ms: u64, audio_end_ms: u64 },
}

/// Audio that left the buffer to become an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Utterance {
    pub(crate) format: Format,
    pub(crate) bytes: Vec<u8>,
}

impl Utterance {
    pub(crate) fn duration_ms(&self) -> f64 {
        self.bytes.len() as f64 / self.format.bytes_per_ms() as f64
    }

    /// As 16-bit samples at 8 kHz.
    pub(crate) fn phone_samples(&self) -> Vec<i16> {
        match self.format {
            Format::Pcm => sound::to_phone(&sound::samples(&self.bytes), Rate::Hz24000),
            Format::Pcmu => self.bytes.iter().map(|&code| g711::ulaw_decode(code)).collect(),
            Format::Pcma => self.bytes.iter().map(|&code| g711::alaw_decode(code)).collect(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Hearing {
    format: Format,
    detector: Detector,
    /// Appended, not yet listened to: less than a frame unless an append was just made.
    ahead: Vec<u8>,
    /// Listened to, not yet committed.
    buffer: Vec<u8>,
    /// Where listening stands.
    position_ms: u64,
    speech_start_ms: u64,
}

impl Hearing {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            detector: Detector::default(),
            ahead: Vec::new(),
            buffer: Vec::new(),
            position_ms: 0,
            speech_start_ms: 0,
        }
    }

    /// From now on bytes mean something else; what was buffered in the old format is dropped.
    pub(crate) fn set_format(&mut self, format: Format) {
        if format != self.format {
            self.format = format;
            self.clear();
        }
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.ahead.extend_from_slice(bytes);
    }

    /// Listens on to the next change, if one lies in what was appended. Without turn detection it only
    /// buffers.
    pub(crate) fn listen(&mut self, detection: Option<&TurnDetection>) -> Option<Heard> {
        let frame_bytes = self.format.bytes(FRAME_MS);
        let mut heard = None;
        let mut taken = 0;
        while heard.is_none() && self.ahead.len() - taken >= frame_bytes {
            let frame = &self.ahead[taken..taken + frame_bytes];
            taken += frame_bytes;
            self.buffer.extend_from_slice(frame);
            let at_ms = self.position_ms;
            self.position_ms += FRAME_MS;
            let Some(detection) = detection else { continue };
            let (threshold, silence_ms) = (detection.threshold(), detection.silence_ms());
            let change = match self.format {
                Format::Pcm => {
                    let sample = |pair: &[u8]| i16::from_le_bytes([pair[0], pair[1]]);
                    self.detector.hear(frame.chunks_exact(2).map(sample), at_ms, threshold, silence_ms)
                }
                Format::Pcmu => self.detector.hear(
                    frame.iter().map(|&code| g711::ulaw_decode(code)),
                    at_ms,
                    threshold,
                    silence_ms,
                ),
                Format::Pcma => self.detector.hear(
                    frame.iter().map(|&code| g711::alaw_decode(code)),
                    at_ms,
                    threshold,
                    silence_ms,
                ),
            };
            heard = change.map(|change| self.placed(change, detection.prefix_padding_ms()));
            if !self.detector.is_speaking() && heard.is_none() {
                self.keep_last(detection.prefix_padding_ms() + BEFORE_SPEECH_MS);
            }
        }
        self.ahead.drain(..taken);
        heard
    }

    fn placed(&mut self, change: Change, padding_ms: u64) -> Heard {
        match change {
            Change::Started { at_ms } => {
                let buffered_ms = self.format.ms(self.buffer.len());
                let audio_start_ms = at_ms.saturating_sub(padding_ms).max(self.position_ms - buffered_ms);
                self.speech_start_ms = audio_start_ms;
                self.keep_last(self.position_ms - audio_start_ms);
                Heard::Started { audio_start_ms }
            }
            Change::Stopped { at_ms } => {
                Heard::Stopped { audio_start_ms: self.speech_start_ms, audio_end_ms: at_ms }
            }
        }
    }

    fn keep_last(&mut self, milliseconds: u64) {
        let keep =
            usize::try_from(milliseconds).unwrap_or(usize::MAX).saturating_mul(self.format.bytes_per_ms());
        self.buffer.drain(..self.buffer.len().saturating_sub(keep));
    }

    /// Duration of what a commit would take.
    pub(crate) fn buffered_ms(&self) -> f64 {
        (self.buffer.len() + self.ahead.len()) as f64 / self.format.bytes_per_ms() as f64
    }

    pub(crate) fn position_ms(&self) -> u64 {
        self.position_ms
    }

    pub(crate) fn is_speaking(&self) -> bool {
        self.detector.is_speaking()
    }

    /// Takes what a turn that just stopped left behind it.
    pub(crate) fn take_turn(&mut self) -> Utterance {
        Utterance { format: self.format, bytes: mem::take(&mut self.buffer) }
    }

    /// Takes everything appended, as the client's own commit does.
    pub(crate) fn take_all(&mut self) -> Utterance {
        let mut utterance = self.take_turn();
        self.position_ms += self.format.ms(self.ahead.len());
        utterance.bytes.append(&mut self.ahead);
        self.detector.fall_silent();
        utterance
    }

    /// Nobody listens for turns any more; what is buffered stays.
    pub(crate) fn forget_turn(&mut self) {
        self.detector.fall_silent();
    }

    pub(crate) fn clear(&mut self) {
        self.take_all();
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "whole milliseconds are exact")]
mod tests {
    use super::*;
    use crate::speech;

    fn detection() -> TurnDetection {
        TurnDetection::Server {
            threshold: 0.5,
            prefix_padding_ms: 300,
            silence_duration_ms: 500,
            idle_timeout_ms: None,
            create_response: true,
            interrupt_response: true,
        }
    }

    fn line() -> Vec<u8> {
        let speech = speech::sentence("castle").unwrap().audio;
        [&[0xFF; 8 * 1_000][..], speech, &[0xFF; 8 * 1_000]].concat()
    }

    fn all_heard(hearing: &mut Hearing) -> Vec<Heard> {
        std::iter::from_fn(|| hearing.listen(Some(&detection()))).collect()
    }

    #[test]
    fn a_turn_is_the_same_in_one_append_and_in_frames() {
        let mut whole = Hearing::new(Format::Pcmu);
        whole.append(&line());
        let at_once = all_heard(&mut whole);
        let mut framed = Hearing::new(Format::Pcmu);
        let mut in_frames = Vec::new();
        for frame in line().chunks(123) {
            framed.append(frame);
            in_frames.extend(all_heard(&mut framed));
        }
        assert_eq!(at_once, in_frames);
        assert_eq!(at_once.len(), 2);
    }

    #[test]
    fn an_utterance_begins_its_padding_before_the_first_sound() {
        let mut hearing = Hearing::new(Format::Pcmu);
        hearing.append(&line());
        let Some(Heard::Started { audio_start_ms }) = hearing.listen(Some(&detection())) else {
            panic!("no start")
        };
        assert!((700..=760).contains(&audio_start_ms), "{audio_start_ms}");
        let Some(Heard::Stopped { audio_end_ms, .. }) = hearing.listen(Some(&detection())) else {
            panic!("no stop")
        };
        let utterance = hearing.take_turn();
        assert_eq!(utterance.bytes.len() as u64 / 8, audio_end_ms - audio_start_ms);
        assert_eq!(
            utterance.bytes[..],
            line()[Format::Pcmu.bytes(audio_start_ms)..Format::Pcmu.bytes(audio_end_ms)]
        );
    }

    #[test]
    fn long_silence_does_not_pile_up() {
        let mut hearing = Hearing::new(Format::Pcmu);
        hearing.append(&vec![0xFF; 8 * 60_000]);
        assert_eq!(all_heard(&mut hearing), []);
        assert_eq!((hearing.position_ms(), hearing.buffered_ms()), (60_000, 1_300.0));
    }

    #[test]
    fn without_turn_detection_everything_waits_for_the_commit() {
        let mut hearing = Hearing::new(Format::Pcm);
        hearing.append(&vec![0; 48 * 95]);
        assert_eq!(hearing.listen(None), None);
        assert_eq!(hearing.buffered_ms(), 95.0);
        assert_eq!(hearing.take_all().bytes.len(), 48 * 95);
        assert_eq!((hearing.position_ms(), hearing.buffered_ms()), (95, 0.0));
    }
}
