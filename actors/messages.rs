//! The control messages of a call: its protocol on one page. Audio is not here; it travels on lanes.
//!
//! Commands are imperatives and go down, from the call to its children. Facts are in the past tense and go up.
//! Every fact carries the incarnation of the child that tells it, so that a late word of a replaced child is not
//! taken for its successor's. Each is rare (a few per turn), so mailboxes without a bound are safe for them.

use std::fmt;
use std::time::Duration;

use actix::Message;
use tandem_media::frame::Frame;
use tandem_media::playout::{Heard, MarkBooks, Part};

use crate::engine::Opening;
use crate::kit::writer::Written;
use crate::ledger::{Ledger, Speaker};
use crate::usage::Used;

/// Which response audio belongs to. Bumped by the engine on every interruption; whatever is older is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u32);

/// What a frame of the agent's audio belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub generation: Generation,
    pub part: Part,
}

/// An item of the lane from engine to leg.
#[derive(Clone, Copy)]
pub enum AgentAudio<S, const N: usize> {
    Frame(Tag, Frame<S, N>),
    /// The part has no more audio. Keeps its place behind the part's last frame.
    EndOfPart(Tag),
}

impl<S, const N: usize> AgentAudio<S, N> {
    pub fn tag(&self) -> Tag {
        match self {
            Self::Frame(tag, _) | Self::EndOfPart(tag) => *tag,
        }
    }
}

// ---------------------------------------------------------------- call -> leg

#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum LegCommand {
    /// Look for what no message tells: stalls, a silent socket. Four times a second; an actor with a timer of its own
    /// would poll it at every frame.
    Look,
    /// Stop what the caller hears of generations before this one, here and at the carrier. Answered by
    /// [`LegFact::Cleared`].
    Clear(Generation),
    /// Close the carrier's socket in order. Answered by [`LegFact::Ended`].
    HangUp,
}

// ---------------------------------------------------------------- leg -> call

#[derive(Clone, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct FromLeg {
    pub incarnation: u32,
    pub fact: LegFact,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LegFact {
    /// The first audio of a part went out.
    FirstOnWire(Part),
    /// A part was played to its end, proven by its mark, or by time when the carrier echoes none.
    PlayedOut(Part),
    /// The caller hears nothing more of the old generations; this much of them was heard.
    Cleared { heard: Option<Heard> },
    /// The caller's line was loud for a while: perhaps he spoke.
    CallerLoud,
    /// A key was pressed.
    Digit(char),
    /// The leg is about to stop. Always the last fact. What the caller heard over it, and how much was sent beyond that.
    Ended { end: LegEnd, heard: Option<Heard>, unheard_ms: u64, account: LegAccount },
}

/// Why a leg ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEnd {
    /// The carrier said `stop`: the caller hung up, or the carrier was told to end the stream.
    Stopped,
    /// The socket was closed in order, without a `stop` before.
    Closed { code: Option<u16> },
    /// The socket broke.
    Lost(String),
    /// The socket is open but nobody is behind it any more.
    HalfOpen,
    /// We hung up, as told.
    HungUp,
}

impl fmt::Display for LegEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Closed { code: Some(code) } => write!(f, "closed with {code}"),
            Self::Closed { code: None } => f.write_str("closed"),
            Self::Lost(why) => f.write_str(why),
            Self::HalfOpen => f.write_str("half-open"),
            Self::HungUp => f.write_str("hung up"),
        }
    }
}

/// The leg's side of the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegAccount {
    /// Frames of caller audio that came from the carrier.
    pub frames_in: u64,
    /// Frames of silence put in where the carrier sent nothing.
    pub frames_filled: u64,
    /// Frames that found the caller lane full.
    pub frames_refused: u64,
    /// Samples of agent audio handed to the carrier's socket.
    pub samples_out: u64,
    /// Samples of agent audio shed because the carrier did not read.
    pub samples_shed: u64,
    pub marks: MarkBooks,
    pub marks_outstanding: u64,
    /// Messages that made no sense, or none for us: counted, ignored.
    pub ignored: Ignored,
    pub written: Written,
}

/// Messages ignored, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    pub unparsable: u64,
    pub unknown: u64,
    pub binary: u64,
    pub foreign_stream: u64,
    pub bad_audio: u64,
    pub second_start: u64,
}

// ---------------------------------------------------------------- call -> engine

#[derive(Clone, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub enum EngineCommand {
    /// Look for what no message tells: a silent socket. Once a second.
    Look,
    /// The caller cut in and has heard this much. Answer to [`EngineFact::CallerSpeaking`].
    Interrupted { heard: Option<Heard> },
    /// Have the agent say something now: a farewell.
    Prompt(String),
    /// Serve the call from now on; only for an engine that stands by.
    TakeOver(Box<TakeOver>),
    /// Prove that the provider still listens. Without an answer in time the engine fails.
    Probe,
    /// Fail as one that does not answer: the caller has waited too long.
    GiveUp { detail: String },
    /// Close the session in order. Answered by [`EngineFact::Ended`].
    Finish,
}

/// Where the conversation stands when an engine takes over from another that still works.
#[derive(Clone, Debug, PartialEq)]
pub struct TakeOver {
    pub ledger: Ledger,
    pub generation: Generation,
    pub opening: Opening,
}

// ---------------------------------------------------------------- engine -> call

#[derive(Clone, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct FromEngine {
    pub incarnation: u32,
    pub fact: EngineFact,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EngineFact {
    /// The session's format is agreed; caller audio flows from now on.
    Ready { session: String },
    /// The caller began to speak: from `generation` on is new, all before is interrupted.
    CallerSpeaking { generation: Generation, item: String },
    /// The caller fell silent; an answer is due.
    CallerSilent { item: String },
    /// The provider has begun to make a response.
    ResponseBegan,
    /// The first audio of a part came; `prompted` when we have asked for this answer ourselves.
    AgentBegan { part: Part, item: String, prompted: bool },
    /// The provider has made its response, or as much of it as it will.
    ResponseEnded,
    /// All audio of a part came, or all that will.
    AgentEnded { part: Part, audio_ms: u64 },
    /// So much audio of a part came before the engine failed; the rest is owed.
    AgentBroke { part: Part, audio_ms: u64 },
    /// A transcript is complete.
    Said { who: Speaker, item: String, text: String },
    /// A model was used. Of a response that began, once, unless the provider does not say what it took.
    Used(Used),
    /// A truncation was sent: what the provider now believes was heard.
    Truncated { part: Part, audio_end_ms: u64 },
    /// Nothing that came in the last while shows that the provider listens; it was asked. `caller_spoke`: on the caller's
    /// account, who has said something meanwhile.
    Doubted { silent_for: Duration, caller_spoke: bool },
    /// It is there after all.
    Trusted,
    /// The engine cannot go on. Followed by [`EngineFact::Ended`].
    Failed(EngineFailure),
    /// The engine is about to stop. Always the last fact.
    Ended { account: EngineAccount },
}

/// Why an engine failed, and whether the same provider is worth another try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFailure {
    pub kind: FailureKind,
    pub retry: bool,
    /// For logs; never a key, never what was said.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection, or the upgrade was refused.
    Dial,
    /// The key was refused.
    Unauthorized,
    RateLimited,
    /// Not ready in time.
    HandshakeTimeout,
    /// The session came up with another audio format than ours.
    FormatMismatch,
    /// The provider rejected the session's settings.
    SettingsRejected,
    /// The socket was lost or closed.
    SocketLost,
    /// The socket is open but nobody is behind it any more.
    HalfOpen,
    /// The provider's own limit on a session's length.
    SessionExpired,
    /// The provider reported an error it does not recover from.
    Provider,
    /// An answer was due and did not come.
    Stalled,
}

/// The engine's side of the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineAccount {
    /// Frames of caller audio sent to the provider.
    pub frames_forwarded: u64,
    /// Frames that could not be sent: the provider did not read, or its socket was gone.
    pub frames_shed: u64,
    /// Milliseconds of agent audio taken from the provider.
    pub audio_ms: u64,
    /// Audio messages of interrupted responses, dropped.
    pub stale_deltas: u64,
    /// Audio messages that could not be decoded.
    pub bad_audio: u64,
    /// Frames that found the agent lane full.
    pub frames_refused: u64,
    pub unknown_events: u64,
    pub unparsable: u64,
    pub benign_errors: u64,
    pub written: Written,
}
