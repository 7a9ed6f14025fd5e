//! Engines: the AI side of a call. One contract, whatever kind of engine; the fallback rests on it.
//!
//! In: [`Begin`] at birth, caller frames by lane, [`EngineCommand`](crate::messages::EngineCommand).
//! Out: agent frames by lane, each tagged with its generation and part;
//! [`EngineFact`](crate::messages::EngineFact), the last of which is always `Ended`.
//!
//! An engine that cannot go on says so and stops; it never tries again by itself. Whether to redial, and whom, is
//! the call's to decide. An engine knows its socket, its lanes and nobody else.

pub mod cascade;
pub mod realtime;
pub mod turn;

use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use tandem_media::frame::{G711Frame, Pcm24Frame};
use tandem_media::playout::Part;

use crate::agent::Agent;
use crate::kit::lane::{LaneReader, LaneWriter};
use crate::ledger::Ledger;
use crate::messages::{AgentAudio, FromEngine, Generation};

/// What an engine is told when it begins.
pub struct Begin {
    pub agent: Arc<Agent>,
    /// What was said before, when this engine takes over from another; empty for a new call.
    pub ledger: Ledger,
    /// Generations and parts are numbered on from here, so that no number is used twice in a call.
    pub generation: Generation,
    pub first_part: Part,
    /// Not ready after this is failed.
    pub ready_max: Duration,
}

/// Edges that an engine is born with.
pub struct EngineWiring {
    pub audio: EngineAudio,
    pub call: Recipient<FromEngine>,
    pub incarnation: u32,
}

/// The engine's ends of the lanes, in the format that it speaks.
pub enum EngineAudio {
    /// mu-law as on the phone: nothing is transcoded.
    Pcmu { caller: LaneReader<G711Frame>, agent: LaneWriter<AgentAudio<u8, 160>> },
    /// PCM16 at 24 kHz; a transcoder sits between.
    Pcm24 { caller: LaneReader<Pcm24Frame>, agent: LaneWriter<AgentAudio<i16, 480>> },
}

/// Which of the two an engine is to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioChoice {
    Pcmu,
    Pcm24,
}
