//! The transcoder: phone frames <-> the engine's format, when the two differ.
//!
//! - Owner: the call, which replaces it at once when it dies.
//! - In: caller frames from the leg's lane, agent audio from the engine's.
//! - Out: the same audio in the other format, on the other side's lanes.
//! - When full: caller frames stay in the leg's lane; an agent lane that refuses a frame counts it.
//! - When it dies: what waits in the lanes waits for its successor; the filters begin anew, i.e. up to 2 ms of
//!   sound are lost on each side.
//!
//! It refuses to know why audio begins or ends: it follows the tags.

use actix::{Actor, AsyncContext, Context, StreamHandler};
use futures_util::StreamExt;
use tandem_media::frame::{Frame, G711Frame, Pcm24Frame};
use tandem_media::g711;
use tandem_media::resample::{Rate, Resampler};

use crate::kit::lane::{LaneReader, LaneWriter};
use crate::messages::{AgentAudio, Tag};

/// Lanes that a transcoder is born with.
pub struct TranscoderWiring {
    pub caller_in: LaneReader<G711Frame>,
    pub caller_out: LaneWriter<Pcm24Frame>,
    pub agent_in: LaneReader<AgentAudio<i16, 480>>,
    pub agent_out: LaneWriter<AgentAudio<u8, 160>>,
}

pub struct Transcoder {
    wiring: TranscoderWiring,
    up: Resampler,
    down: Resampler,
    /// The part that the downward filter still holds the tail of.
    sounding: Option<Tag>,
}

/// Something waits in the caller's lane.
struct CallerWaits;

/// Something waits in the agent's lane.
struct AgentWaits;

/// Scratch for one frame at 8 kHz, with room for the rounding of an odd length.
const PHONE_SCRATCH: usize = 168;

/// Scratch for one frame at 24 kHz, likewise.
const WIDE_SCRATCH: usize = 488;

impl Transcoder {
    pub fn attach(ctx: &mut Context<Self>, wiring: TranscoderWiring) -> Self {
        ctx.add_stream(wiring.caller_in.arrivals().map(|_| CallerWaits));
        ctx.add_stream(wiring.agent_in.arrivals().map(|_| AgentWaits));
        Self {
            wiring,
            up: Resampler::new(Rate::Hz8000, Rate::Hz24000),
            down: Resampler::new(Rate::Hz24000, Rate::Hz8000),
            sounding: None,
        }
    }

    /// What the engine does not take yet stays in the leg's lane, which is made for waiting. The next frame of the
    /// caller looks after it.
    fn caller(&mut self) {
        while self.wiring.caller_out.has_room() {
            let Some(frame) = self.wiring.caller_in.take() else { return };
            let mut linear = [0; G711Frame::CAPACITY];
            let read = g711::ulaw_decode_slice(frame.as_slice(), &mut linear);
            let mut wide = [0; WIDE_SCRATCH];
            let made = self.up.process(&linear[..read], &mut wide);
            for frame in Pcm24Frame::split(&wide[..made]) {
                self.wiring.caller_out.offer(frame).ok(); // a refusal is in the lane's books
            }
        }
    }

    fn agent(&mut self) {
        while let Some(item) = self.wiring.agent_in.take() {
            let tag = item.tag();
            if self.sounding.is_some_and(|sounding| sounding != tag) {
                self.down.reset(); // cut off in mid-sound: its tail belongs to nothing that is still wanted
            }
            match item {
                AgentAudio::Frame(tag, frame) => {
                    self.sounding = Some(tag);
                    let mut linear = [0; PHONE_SCRATCH];
                    let made = self.down.process(frame.as_slice(), &mut linear);
                    self.play(tag, &linear[..made]);
                }
                AgentAudio::EndOfPart(tag) => {
                    if self.sounding.take().is_some() {
                        let mut linear = [0; PHONE_SCRATCH];
                        let made = self.down.flush(&mut linear);
                        self.play(tag, &linear[..made]);
                    }
                    self.wiring.agent_out.insist(AgentAudio::EndOfPart(tag));
                }
            }
        }
    }

    fn play(&self, tag: Tag, linear: &[i16]) {
        for linear in linear.chunks(G711Frame::CAPACITY) {
            let frame: G711Frame = Frame::fill_with(|codes| g711::ulaw_encode_slice(linear, codes));
            self.wiring.agent_out.offer(AgentAudio::Frame(tag, frame)).ok(); // a refusal is in the lane's books
        }
    }
}

impl Actor for Transcoder {
    type Context = Context<Self>;
}

impl StreamHandler<CallerWaits> for Transcoder {
    fn handle(&mut self, _: CallerWaits, _: &mut Self::Context) {
        self.caller();
    }

    fn finished(&mut self, _: &mut Self::Context) {} // a successor reads now; the call ends this one
}

impl StreamHandler<AgentWaits> for Transcoder {
    fn handle(&mut self, _: AgentWaits, _: &mut Self::Context) {
        self.agent();
    }

    fn finished(&mut self, _: &mut Self::Context) {} // likewise
}
