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
use tandem_wire::openai::Dialect;

use crate::agent::Agent;
use crate::engine::cascade::CascadeModels;
use crate::kit::lane::{LaneReader, LaneWriter};
use crate::ledger::Ledger;
use crate::messages::{AgentAudio, FromEngine, Generation};
use crate::mode::Mode;
use crate::ports::{EngineDialer, ModelId};
use crate::usage::Work;

/// What an engine is told when it begins.
pub struct Begin {
    pub agent: Arc<Agent>,
    /// What was said before, when this engine takes over from another; empty for a new call.
    pub ledger: Ledger,
    pub opening: Opening,
    /// Generations and parts are numbered on from here, so that no number is used twice in a call.
    pub generation: Generation,
    pub first_part: Part,
    /// Not ready after this is failed.
    pub ready_max: Duration,
}

/// What an engine does when it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Open the call with the agent's greeting.
    Greet,
    /// Go on where the conversation stopped.
    GoOn,
    /// Leave the word to the caller.
    Listen,
    /// Wait for [`TakeOver`](crate::messages::TakeOver): another engine still serves the call.
    StandBy,
}

impl Opening {
    /// What a model is told to say, in addition to who it is. Nothing when it is to be silent.
    pub fn instructions(self, agent: &Agent) -> Option<String> {
        let what = match self {
            Self::Greet if agent.greeting.is_empty() => return None,
            Self::Greet => format!("Open the call now. {}", agent.greeting),
            Self::GoOn => {
                "The line was interrupted for a moment. Go on exactly where the conversation stopped: do not \
                           greet, do not apologise, and repeat nothing that you have said."
                    .to_owned()
            }
            Self::Listen | Self::StandBy => return None,
        };
        Some(format!("{}\n\n{what}", agent.instructions))
    }
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

/// The engines of this process that a call's audio can go to: how each is reached. A mode that is not here is not
/// configured.
#[derive(Default)]
pub struct Engines {
    pub realtime: Option<RealtimeLine>,
    pub cascade: Option<CascadeModels>,
}

/// How realtime sessions are reached.
pub struct RealtimeLine {
    /// Who is paid.
    pub provider: String,
    pub dialer: Arc<dyn EngineDialer>,
    pub dialect: Dialect,
    pub audio: AudioChoice,
    /// The provider ends a session after this.
    pub session_max: Duration,
}

impl Engines {
    pub fn modes(&self) -> Vec<Mode> {
        let realtime = self.realtime.iter().map(|_| Mode::Realtime);
        realtime.chain(self.cascade.iter().map(|_| Mode::Cascade)).collect()
    }

    /// The format that engines of this mode speak.
    pub fn audio(&self, mode: Mode) -> AudioChoice {
        match (mode, &self.realtime) {
            (Mode::Realtime, Some(line)) => line.audio,
            _ => AudioChoice::Pcmu,
        }
    }

    /// The model that does this work in engines of this mode.
    pub fn model(&self, mode: Mode, work: Work, agent: &Agent) -> ModelId {
        match (&self.cascade, work) {
            (Some(models), Work::Hearing) if mode == Mode::Cascade => models.transcriber.model(),
            (Some(models), Work::Answering) if mode == Mode::Cascade => models.chat.model(),
            (Some(models), Work::Speaking) if mode == Mode::Cascade => models.voice.model(),
            _ => ModelId {
                provider: self.realtime.as_ref().map(|line| line.provider.clone()).unwrap_or_default(),
                name: match work {
                    Work::Hearing => agent.transcription_model.clone(),
                    Work::Answering | Work::Speaking => agent.model.clone(),
                },
            },
        }
    }

    /// The model whose audio the caller hears: in a realtime session the one that answers.
    pub fn voice(&self, mode: Mode, agent: &Agent) -> ModelId {
        self.model(mode, Work::Speaking, agent)
    }

    /// How long a session of this mode may last, if there is a limit.
    pub fn session_max(&self, mode: Mode) -> Option<Duration> {
        self.realtime.as_ref().filter(|_| mode == Mode::Realtime).map(|line| line.session_max)
    }
}

/// Which of the two an engine is to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioChoice {
    Pcmu,
    Pcm24,
}
