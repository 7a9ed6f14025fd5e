//! The ears: caller frames in, utterances out.
//!
//! They count audio and know no clock: ten seconds that come in a burst, as after a failover, are heard as they would
//! have been in real time. They refuse to know what is done with an utterance.

use bytes::Bytes;
use tandem_media::frame::{FRAME_MS, G711Frame};
use tandem_media::g711;
use tandem_media::gate::{Gate, Transition, Vad};
use tandem_media::level;
use tandem_media::resample::{Rate, Resampler};

use crate::agent::{Eagerness, TurnDetection, TurnDetectionKind};

/// What the ears hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// The caller speaks.
    Began,
    /// The caller is silent; what was said, as mu-law at 8 kHz.
    Ended(Bytes),
}

/// Samples, and bytes of mu-law, in a millisecond.
const PER_MS: usize = 8;

/// Audio kept from before the speech began: a faint first consonant, and a moment of the line for the transcriber to
/// know its noise by.
const PRE_ROLL_MS: usize = 300;

/// Audio kept from after the speech ended: its reverberation, and a last consonant too faint for the gate.
const POST_ROLL_MS: usize = 200;

/// Speech that makes an utterance while the agent is silent: more than a click or a knock (the gate itself takes 40 to
/// be sure), less than the shortest "no".
const SPEECH_MS_MIN: u32 = 100;

/// Speech that interrupts the agent: more than a cough or an "mm-hm", which nobody means as an interruption; "stop" and
/// "wait" have it.
const BARGE_IN_MS_MIN: u32 = 250;

/// While the agent is heard, fainter frames do not count towards an interruption: they may be its own echo. Callers
/// have -35 to -15 dBFS; a line that returns an agent of -18 dBFS loses more than 18 dB of it, or people would hear
/// themselves on it.
const BARGE_IN_DBFS_MIN: f32 = -36.0;

/// Longest utterance, 480 KB of mu-law: longer speech is cut here and goes on as the next utterance. Nobody speaks a
/// minute without a pause, but a radio may.
const UTTERANCE_MS_MAX: usize = 60_000;

/// Audio kept while nobody speaks: the pre-roll, and what an interruption may take to be sure (pauses of a word
/// included).
const KEPT_MS: usize = 1_000;

/// The tape is shortened when it has twice what is kept: once a second, by 8 KB.
const TAPE_MS_MAX: usize = 2 * KEPT_MS;

/// Bounds of the silence that ends an utterance: below, every word is an utterance; above, nobody waits.
const SILENCE_MS: (u32, u32) = (200, 3_000);

/// Upsampled before others on the thread have their turn: 5 s of audio, 0.2 ms.
const CODES_AT_ONCE: usize = 5_000 * PER_MS;

/// Codes decoded at a time: 60 ms, as many as the resampler filters in one go.
const CODES_DECODED: usize = 480;

pub(super) struct Ears {
    gate: Gate,
    state: State,
    /// The latest audio; while the caller speaks, all of the utterance.
    tape: Vec<u8>,
    /// Number of the sample that the tape begins with, counted as the gate counts.
    tape_start: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Silent,
    /// Sound that may become an utterance. `voiced_ms` of it count; the gate has seen `gate_ms`, echo included.
    Candidate {
        start: u64,
        voiced_ms: u32,
        gate_ms: u32,
    },
    Speaking,
}

impl Ears {
    pub(super) fn new(turn_detection: &TurnDetection) -> Self {
        Self {
            gate: Gate::new(Rate::Hz8000, silence_ms(turn_detection)),
            state: State::Silent,
            tape: Vec::new(),
            tape_start: 0,
        }
    }

    /// Listens to the next frame. `agent_sounds` says whether the caller hears the agent meanwhile.
    pub(super) fn hear(&mut self, frame: &G711Frame, agent_sounds: bool) -> Option<Sound> {
        let mut linear = [0; G711Frame::CAPACITY];
        let linear = {
            let read = g711::ulaw_decode_slice(frame.as_slice(), &mut linear);
            &linear[..read]
        };
        let mut transition = None;
        // A frame has two blocks, and between two changes lie four at least: there is one at most.
        self.gate.hear(linear, &mut |told| transition = Some(told));
        self.record(frame.as_slice());
        match (self.state, transition) {
            (State::Silent, Some(Transition::SpeechStarted { at })) => {
                self.state = State::Candidate { start: at, voiced_ms: 0, gate_ms: 0 };
                self.weigh(linear, agent_sounds)
            }
            (State::Candidate { .. }, None) => self.weigh(linear, agent_sounds),
            (State::Candidate { .. }, Some(_)) => {
                self.state = State::Silent;
                None
            }
            (State::Speaking, Some(Transition::SpeechStopped { at })) => {
                self.state = State::Silent;
                Some(Sound::Ended(self.cut_tape(at + (POST_ROLL_MS * PER_MS) as u64)))
            }
            (State::Speaking, _) if self.tape.len() >= UTTERANCE_MS_MAX * PER_MS => {
                let start = self.tape_start + self.tape.len() as u64;
                let gate_ms = self.gate.voiced_ms();
                self.state = State::Candidate { start, voiced_ms: 0, gate_ms };
                Some(Sound::Ended(self.cut_tape(start)))
            }
            (State::Silent | State::Speaking, _) => None,
        }
    }

    /// Decides whether the candidate has become speech with this frame.
    fn weigh(&mut self, linear: &[i16], agent_sounds: bool) -> Option<Sound> {
        let State::Candidate { start, voiced_ms, gate_ms } = self.state else { return None };
        let now_ms = self.gate.voiced_ms();
        let counts = !agent_sounds || level::rms_dbfs(linear) >= BARGE_IN_DBFS_MIN;
        let voiced_ms = voiced_ms + if counts { now_ms - gate_ms } else { 0 };
        let enough = if agent_sounds { BARGE_IN_MS_MIN } else { SPEECH_MS_MIN };
        if voiced_ms < enough {
            self.state = State::Candidate { start, voiced_ms, gate_ms: now_ms };
            return None;
        }
        self.state = State::Speaking;
        let unwanted = start.saturating_sub((PRE_ROLL_MS * PER_MS) as u64).saturating_sub(self.tape_start);
        self.forget(usize::try_from(unwanted).unwrap_or(usize::MAX));
        Some(Sound::Began)
    }

    fn record(&mut self, codes: &[u8]) {
        if !matches!(self.state, State::Speaking) && self.tape.len() >= TAPE_MS_MAX * PER_MS {
            self.forget(self.tape.len() - KEPT_MS * PER_MS);
        }
        self.tape.extend_from_slice(codes);
    }

    fn forget(&mut self, codes: usize) {
        let codes = codes.min(self.tape.len());
        self.tape.drain(..codes);
        self.tape_start += codes as u64;
    }

    /// The tape up to a sample; what follows stays on it.
    fn cut_tape(&mut self, until: u64) -> Bytes {
        let len =
            usize::try_from(until.saturating_sub(self.tape_start)).unwrap_or(usize::MAX).min(self.tape.len());
        let rest = self.tape.split_off(len);
        self.tape_start += len as u64;
        Bytes::from(std::mem::replace(&mut self.tape, rest))
    }
}

/// The silence after which a turn is over. Who asks for the meaning of words to decide it gets a patience instead: a
/// pause in mid-sentence does no harm, for what follows joins the turn.
fn silence_ms(turn_detection: &TurnDetection) -> u32 {
    let wanted = match turn_detection.kind {
        TurnDetectionKind::ServerVad { silence, .. } => {
            u32::try_from(silence.as_millis()).unwrap_or(u32::MAX)
        }
        TurnDetectionKind::SemanticVad { eagerness } => match eagerness {
            Eagerness::Low => 1_000,
            Eagerness::Medium | Eagerness::Auto => 700,
            Eagerness::High => 400,
        },
    };
    let (min, max) = SILENCE_MS;
    wanted.clamp(min, max)
}

/// An utterance as transcribers take it: PCM16 at 16 kHz. Gives way to others, for a minute of audio takes 2 ms.
pub(super) async fn widen(utterance: &[u8]) -> Vec<i16> {
    let mut up = Resampler::new(Rate::Hz8000, Rate::Hz16000);
    let mut wide = vec![0; up.output_len_max(utterance.len()) + Resampler::TAIL_MAX];
    let mut linear = [0; CODES_DECODED];
    let mut made = 0;
    for codes in utterance.chunks(CODES_AT_ONCE) {
        for codes in codes.chunks(CODES_DECODED) {
            let read = g711::ulaw_decode_slice(codes, &mut linear);
            made += up.process(&linear[..read], &mut wide[made..]);
        }
        tokio::task::yield_now().await;
    }
    made += up.flush(&mut wide[made..]);
    wide.truncate(made);
    wide
}

const _: () = assert!(FRAME_MS as usize * PER_MS == G711Frame::CAPACITY);

#[cfg(test)]
mod tests;
