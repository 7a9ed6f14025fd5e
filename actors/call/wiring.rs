//! The wiring of a call, back to front: its lanes, and who is spawned at which end of them.
//!
//! It refuses to know when and why; that is the call's and [`super::handover`]'s.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context};
use tandem_media::frame::{FRAME_MS, G711Frame, Pcm24Frame};
use tandem_media::playout::Part;

use super::audit::WideBooks;
use super::decide::Role;
use super::engine::Engine;
use super::timeline::What;
use super::{CallActor, Limits, books};
use crate::engine::{AudioChoice, Begin, EngineAudio, EngineWiring, Opening};
use crate::kit::child;
use crate::kit::lane::{Lane, LaneReader, StandBy};
use crate::ledger::Ledger;
use crate::leg::twilio::TwilioStream;
use crate::leg::twilio::stream::LegWiring;
use crate::messages::AgentAudio;
use crate::ports::Socket;
use crate::transcoder::{Transcoder, TranscoderWiring};

/// Attempts to get an engine ready that a caller may wait through: the first, and the one redial.
const ENGINE_ATTEMPTS: u32 = 2;

/// Caller audio that may wait beyond [`Limits::engine_ready_max`] of every attempt: for the redial itself, and for a
/// socket that takes a backlog slowly.
const CALLER_LANE_MARGIN: Duration = Duration::from_secs(4);

/// Agent audio that may wait to be played: 5 minutes, i.e. 15,000 frames or 2.6 MB, at the engine's fastest a single
/// answer of 4,096 tokens (205 s). An answer is usually some seconds, and nothing is allocated in advance.
const AGENT_LANE_DEPTH: usize = 15_000;

/// Agent audio that was sent and may not have been heard: the lead of 400 ms, i.e. 20 frames, and as much as a carrier that
/// has lost its socket takes to come back, about a second, i.e. 50. 12 KB.
const AGENT_KEPT: usize = 70;

/// Caller audio between transcoder and engine: 2 s. What is more waits before the transcoder, at a sixth of the size.
const WIDE_CALLER_LANE_DEPTH: usize = 100;

/// Parts of one engine's audio: a call cannot have more responses than this between two engines.
const PARTS_PER_ENGINE: u32 = 1 << 16;

/// An actor that goes on with a call counts its engines from those before it. No call has had so many.
const ENGINES_MAX: u32 = 1 << 15;

/// The last of them are the call's own, for the sounds it makes while that engine serves it.
const BRIDGES_PER_ENGINE: u32 = 16;

/// The lanes of one call. The call keeps them all, so that a child can be replaced at either end of any.
pub(super) struct Lanes {
    pub(super) caller: Lane<G711Frame>,
    pub(super) agent: Lane<AgentAudio<u8, 160>>,
    pub(super) wide: Option<WideLanes>,
}

/// Beyond the transcoder.
pub(super) struct WideLanes {
    pub(super) caller: Lane<Pcm24Frame>,
    pub(super) agent: Lane<AgentAudio<i16, 480>>,
}

impl Lanes {
    pub(super) fn new(limits: &Limits) -> Self {
        let waiting_max = limits.engine_ready_max * ENGINE_ATTEMPTS + CALLER_LANE_MARGIN;
        // By default 2 x 8 s and 4 s, i.e. 1,000 frames or 162 KB, should it ever come to that.
        let caller_lane_depth =
            usize::try_from(waiting_max.as_millis()).unwrap_or(usize::MAX) / FRAME_MS as usize;
        let agent = Lane::new(AGENT_LANE_DEPTH);
        agent.keep(AGENT_KEPT);
        Self { caller: Lane::new(caller_lane_depth), agent, wide: None }
    }
}

/// Engines whose parts stand in the ledger: whoever goes on with the call gives none of their numbers again.
pub(super) fn engines_before(ledger: &Ledger) -> u32 {
    let last = ledger.turns().filter_map(|turn| turn.part).max().unwrap_or_default();
    (last / PARTS_PER_ENGINE).min(ENGINES_MAX)
}

/// The first part of the engine of this incarnation.
pub(super) fn first_part(incarnation: u32) -> Part {
    Part(incarnation * PARTS_PER_ENGINE)
}

/// The number of the call's own `n`-th sound while the engine of this incarnation serves it.
pub(super) fn bridge_part(incarnation: u32, n: u32) -> Part {
    Part(incarnation * PARTS_PER_ENGINE + PARTS_PER_ENGINE - BRIDGES_PER_ENGINE + n % BRIDGES_PER_ENGINE)
}

pub(super) fn is_bridge(part: Part) -> bool {
    part.0 % PARTS_PER_ENGINE >= PARTS_PER_ENGINE - BRIDGES_PER_ENGINE
}

impl CallActor {
    /// An engine of the call's mode, in the place of whichever served it before. Tells whether the mode is configured.
    pub(super) fn spawn_engine(
        &mut self,
        opening: Opening,
        ready_max: Duration,
        ctx: &mut Context<Self>,
    ) -> bool {
        self.engine_ready = None;
        self.responding = false;
        self.bridges = 0;
        self.fit_lanes(ctx);
        let (audio, standing_by) = self.engine_audio();
        self.activate(standing_by);
        self.engine = self.make_engine(opening, self.ledger.clone(), ready_max, audio, ctx);
        self.note(What::EngineDialled);
        self.engine.is_some()
    }

    /// A second engine of the call's mode, which waits to take over.
    pub(super) fn spawn_standby(&mut self, ctx: &mut Context<Self>) -> Option<(Engine, StandBy)> {
        let (audio, place) = self.engine_audio();
        let ready_max = self.setup.limits.engine_ready_max;
        Some((self.make_engine(Opening::StandBy, Ledger::default(), ready_max, audio, ctx)?, place))
    }

    fn make_engine(
        &mut self,
        opening: Opening,
        ledger: Ledger,
        ready_max: Duration,
        audio: EngineAudio,
        ctx: &mut Context<Self>,
    ) -> Option<Engine> {
        let incarnation = self.next_incarnation(Role::Engine);
        let begin = Begin {
            agent: Arc::clone(&self.setup.agent),
            ledger,
            opening,
            generation: self.generation,
            first_part: first_part(incarnation),
            ready_max,
        };
        let wiring = EngineWiring { audio, call: ctx.address().recipient(), incarnation };
        self.modes.push(self.mode);
        let engine = Engine::spawn(&self.setup.engines, self.mode, begin, wiring, ctx.address().recipient());
        self.sheet.engines_spawned += usize::from(engine.is_some());
        engine
    }

    /// An engine's ends of the lanes; its reading end stands by.
    fn engine_audio(&self) -> (EngineAudio, StandBy) {
        match &self.lanes.wide {
            None => {
                let (caller, place) = self.lanes.caller.standby_reader();
                (EngineAudio::Pcmu { caller, agent: self.lanes.agent.writer() }, place)
            }
            Some(wide) => {
                let (caller, place) = wide.caller.standby_reader();
                (EngineAudio::Pcm24 { caller, agent: wide.agent.writer() }, place)
            }
        }
    }

    pub(super) fn activate(&self, place: StandBy) {
        match &self.lanes.wide {
            None => self.lanes.caller.activate(place),
            Some(wide) => wide.caller.activate(place),
        }
    }

    /// Puts a transcoder between leg and engine, or takes it out, as the engines of the call's mode need it.
    fn fit_lanes(&mut self, ctx: &mut Context<Self>) {
        match self.setup.engines.audio(self.mode) {
            AudioChoice::Pcmu if self.lanes.wide.is_some() => {
                self.transcoder = None; // and with that it is killed; it has no socket and no account
                self.close_wide_books();
                self.lanes.wide = None;
            }
            AudioChoice::Pcm24 if self.lanes.wide.is_none() => {
                self.lanes.wide = Some(WideLanes {
                    caller: Lane::new(WIDE_CALLER_LANE_DEPTH),
                    // The transcoder empties it at once, but one message of a provider may hold a whole answer.
                    agent: Lane::new(AGENT_LANE_DEPTH),
                });
                self.spawn_transcoder(ctx);
            }
            AudioChoice::Pcmu | AudioChoice::Pcm24 => {}
        }
    }

    pub(super) fn close_wide_books(&mut self) {
        let wide = self.lanes.wide.as_ref();
        self.sheet
            .wide
            .extend(wide.map(|wide| WideBooks { caller: books(&wide.caller), agent: books(&wide.agent) }));
    }

    pub(super) fn spawn_transcoder(&mut self, ctx: &mut Context<Self>) {
        let Some(wide) = &self.lanes.wide else { return };
        let wiring = TranscoderWiring {
            caller_in: self.lanes.caller.reader(),
            caller_out: wide.caller.writer(),
            agent_in: wide.agent.reader(),
            agent_out: self.lanes.agent.writer(),
        };
        let incarnation = self.next_incarnation(Role::Transcoder);
        let watcher = ctx.address().recipient();
        self.transcoder = Some(child::spawn(watcher, Role::Transcoder, incarnation, |transcoder| {
            Transcoder::attach(transcoder, wiring)
        }));
    }

    pub(super) fn spawn_leg(&mut self, stream_sid: String, socket: Socket, ctx: &mut Context<Self>) {
        let incarnation = self.next_incarnation(Role::Leg);
        let wiring = LegWiring {
            caller: self.lanes.caller.writer(),
            agent: self.agent_reader(),
            call: ctx.address().recipient(),
            incarnation,
        };
        let generation = self.generation;
        self.sheet.legs_spawned += 1;
        self.leg = Some(child::spawn(ctx.address().recipient(), Role::Leg, incarnation, |leg| {
            TwilioStream::attach(leg, stream_sid, generation, socket, wiring)
        }));
    }

    /// The reading end of what the caller hears, taken from whichever leg had it.
    pub(super) fn agent_reader(&self) -> LaneReader<AgentAudio<u8, 160>> {
        self.lanes.agent.reader()
    }

    pub(super) fn next_incarnation(&mut self, role: Role) -> u32 {
        let spawned = self.spawned.entry(role).or_default();
        *spawned += 1;
        *spawned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_that_stands_in_a_ledger_is_given_again() {
        let mut ledger = Ledger::default();
        assert_eq!(engines_before(&ledger), 0);
        for part in [first_part(1), Part(first_part(3).0 + 7), first_part(2)] {
            ledger.agent_began("item", part, 0);
        }
        assert_eq!(engines_before(&ledger), 3);
        ledger.agent_began("of another world", Part(u32::MAX), 0);
        assert!(first_part(engines_before(&ledger) + 1_000) > first_part(3));
    }

    #[test]
    fn the_calls_own_sounds_are_no_engines_parts() {
        for incarnation in 1..4 {
            assert!(!is_bridge(Part(incarnation * PARTS_PER_ENGINE)));
            for n in 0..40 {
                let part = bridge_part(incarnation, n);
                assert!(is_bridge(part) && part < Part((incarnation + 1) * PARTS_PER_ENGINE));
            }
        }
    }
}
