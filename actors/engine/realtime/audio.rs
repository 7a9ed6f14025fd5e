//! The session's audio: bytes of the protocol <-> frames of the lanes, in the one format that was agreed.
//!
//! It refuses to know events and sockets; whose audio it is, is in the tag.

use tandem_media::frame::{Frame, Framer, G711Frame, Pcm24Frame};
use tandem_media::pcm::{PcmBytes, pcm_to_bytes};

use crate::engine::{AudioChoice, EngineAudio};
use crate::kit::lane::{LaneReader, LaneWriter};
use crate::messages::{AgentAudio, Tag};

/// PCM16 is decoded so many samples at a time: 20 ms, on the stack.
const SAMPLES_AT_ONCE: usize = 480;

pub(super) struct SessionAudio {
    format: Format,
    /// The part that an unfinished frame belongs to.
    sounding: Option<Tag>,
}

/// The lanes' ends, and what puts together what the provider cut anywhere.
enum Format {
    Pcmu {
        caller: LaneReader<G711Frame>,
        agent: LaneWriter<AgentAudio<u8, 160>>,
        framer: Framer<u8, 160>,
    },
    Pcm24 {
        caller: LaneReader<Pcm24Frame>,
        agent: LaneWriter<AgentAudio<i16, 480>>,
        /// Even samples may be cut in two.
        pcm: PcmBytes,
        framer: Box<Framer<i16, 480>>,
    },
}

/// What a full lane gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) frames: u64,
    pub(super) bytes: usize,
}

impl SessionAudio {
    pub(super) fn new(ends: EngineAudio) -> Self {
        let format = match ends {
            EngineAudio::Pcmu { caller, agent } => Format::Pcmu { caller, agent, framer: Framer::new() },
            EngineAudio::Pcm24 { caller, agent } => {
                Format::Pcm24 { caller, agent, pcm: PcmBytes::new(), framer: Box::default() }
            }
        };
        Self { format, sounding: None }
    }

    pub(super) fn choice(&self) -> AudioChoice {
        match self.format {
            Format::Pcmu { .. } => AudioChoice::Pcmu,
            Format::Pcm24 { .. } => AudioChoice::Pcm24,
        }
    }

    /// Takes caller frames that wait, at most `frames_max`, and writes their bytes. Returns how many they were.
    pub(super) fn gather(&self, bytes: &mut Vec<u8>, frames_max: usize) -> u64 {
        bytes.clear();
        let mut frames = 0;
        for _ in 0..frames_max {
            match &self.format {
                Format::Pcmu { caller, .. } => {
                    let Some(frame) = caller.take() else { break };
                    bytes.extend_from_slice(frame.as_slice());
                }
                Format::Pcm24 { caller, .. } => {
                    let Some(frame) = caller.take() else { break };
                    let at = bytes.len();
                    bytes.resize(at + 2 * frame.len(), 0);
                    pcm_to_bytes(frame.as_slice(), &mut bytes[at..]);
                }
            }
            frames += 1;
        }
        frames
    }

    /// Puts the agent's audio into the lane, in full frames; what is left waits for more of the same part.
    pub(super) fn put(&mut self, tag: Tag, mut bytes: &[u8]) -> Refused {
        let another = self.sounding.replace(tag) != Some(tag);
        let mut refused = Refused::default();
        match &mut self.format {
            Format::Pcmu { agent, framer, .. } => {
                if another {
                    *framer = Framer::new(); // what is left of another part belongs to nothing here
                }
                framer.push(bytes, |frame| offer(agent, tag, frame, 1, &mut refused));
            }
            Format::Pcm24 { agent, pcm, framer, .. } => {
                if another {
                    (*pcm, **framer) = (PcmBytes::new(), Framer::new());
                }
                let mut samples = [0; SAMPLES_AT_ONCE];
                while !bytes.is_empty() {
                    let made = pcm.decode(&mut bytes, &mut samples);
                    framer.push(&samples[..made], |frame| offer(agent, tag, frame, 2, &mut refused));
                }
            }
        }
        refused
    }

    /// The part is complete: its last, perhaps short, frame and its end.
    pub(super) fn end_part(&mut self, tag: Tag) {
        let sounding = self.sounding == Some(tag);
        match &mut self.format {
            Format::Pcmu { agent, framer, .. } => {
                end(agent, sounding.then(|| framer.flush()).flatten(), tag);
            }
            Format::Pcm24 { agent, framer, .. } => {
                end(agent, sounding.then(|| framer.flush()).flatten(), tag);
            }
        }
    }
}

fn offer<S, const N: usize>(
    agent: &LaneWriter<AgentAudio<S, N>>,
    tag: Tag,
    frame: Frame<S, N>,
    bytes_per_sample: usize,
    refused: &mut Refused,
) where
    S: Copy + Default,
{
    let bytes = bytes_per_sample * frame.len();
    if agent.offer(AgentAudio::Frame(tag, frame)).is_err() {
        refused.frames += 1;
        refused.bytes += bytes;
    }
}

fn end<S, const N: usize>(agent: &LaneWriter<AgentAudio<S, N>>, rest: Option<Frame<S, N>>, tag: Tag) {
    if let Some(frame) = rest {
        agent.insist(AgentAudio::Frame(tag, frame));
    }
    agent.insist(AgentAudio::EndOfPart(tag));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::lane::Lane;
    use crate::messages::Generation;
    use tandem_media::playout::Part;

    fn tag(part: u32) -> Tag {
        Tag { generation: Generation(0), part: Part(part) }
    }

    fn pcmu(depth: usize) -> (SessionAudio, LaneReader<AgentAudio<u8, 160>>) {
        let (caller, agent) = (Lane::new(1), Lane::new(depth));
        let ends = EngineAudio::Pcmu { caller: caller.reader(), agent: agent.writer() };
        (SessionAudio::new(ends), agent.reader())
    }

    /// Lengths of the frames that wait, by part; an end is a frame of none.
    fn waiting(lane: &LaneReader<AgentAudio<u8, 160>>) -> Vec<(u32, usize)> {
        std::iter::from_fn(|| lane.take())
            .map(|item| match item {
                AgentAudio::Frame(tag, frame) => (tag.part.0, frame.len()),
                AgentAudio::EndOfPart(tag) => (tag.part.0, 0),
            })
            .collect()
    }

    #[test]
    fn frames_are_full_but_for_the_last_of_a_part() {
        let (mut audio, lane) = pcmu(100);
        audio.put(tag(1), &[1; 200]);
        audio.put(tag(1), &[1; 200]);
        audio.end_part(tag(1));
        assert_eq!(waiting(&lane), [(1, 160), (1, 160), (1, 80), (1, 0)]);
    }

    #[test]
    fn the_late_end_of_one_part_takes_nothing_from_the_next() {
        let (mut audio, lane) = pcmu(100);
        audio.put(tag(1), &[1; 160]);
        audio.put(tag(2), &[2; 100]);
        audio.end_part(tag(1));
        audio.put(tag(2), &[2; 60]);
        audio.end_part(tag(2));
        assert_eq!(waiting(&lane), [(1, 160), (1, 0), (2, 160), (2, 0)]);
    }

    #[test]
    fn what_a_full_lane_refuses_is_told_in_frames_and_bytes() {
        let (mut audio, _lane) = pcmu(2);
        assert_eq!(audio.put(tag(1), &[1; 800]), Refused { frames: 3, bytes: 480 });
    }
}
