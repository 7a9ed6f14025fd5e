//! The engine that serves a call, whichever kind it is.
//!
//! It refuses to know what an engine does; only how to spawn one, reach it and end it.

use std::sync::Arc;

use actix::Recipient;

use crate::call::decide::Role;
use crate::engine::cascade::{CascadeSession, CascadeWiring};
use crate::engine::realtime::RealtimeSession;
use crate::engine::{Begin, EngineAudio, EngineWiring, Engines};
use crate::kit::child::{self, Child};
use crate::kit::exit::Exited;
use crate::messages::EngineCommand;
use crate::mode::Mode;

pub(super) enum Engine {
    Realtime(Child<RealtimeSession>),
    Cascade(Child<CascadeSession>),
}

impl Engine {
    /// Spawns an engine of `mode` under watch. Nothing when the mode is not configured.
    pub(super) fn spawn(
        engines: &Engines,
        mode: Mode,
        begin: Begin,
        wiring: EngineWiring,
        watcher: Recipient<Exited<Role>>,
    ) -> Option<Self> {
        let incarnation = wiring.incarnation;
        match mode {
            Mode::Realtime => {
                let line = engines.realtime.as_ref()?;
                let (dialer, dialect) = (Arc::clone(&line.dialer), line.dialect);
                Some(Self::Realtime(child::spawn(watcher, Role::Engine, incarnation, move |ctx| {
                    RealtimeSession::attach(ctx, begin, dialer, dialect, wiring)
                })))
            }
            Mode::Cascade => {
                let models = engines.cascade.clone()?;
                let EngineWiring { audio: EngineAudio::Pcmu { caller, agent }, call, .. } = wiring else {
                    return None; // it speaks as the phone does, and its lanes are made so
                };
                let wiring = CascadeWiring { caller, agent, call, incarnation };
                Some(Self::Cascade(child::spawn(watcher, Role::Engine, incarnation, move |ctx| {
                    CascadeSession::attach(ctx, begin, models, wiring)
                })))
            }
            Mode::Traditional | Mode::Hybrid => None,
        }
    }

    pub(super) fn incarnation(&self) -> u32 {
        match self {
            Self::Realtime(child) => child.incarnation,
            Self::Cascade(child) => child.incarnation,
        }
    }

    /// A few commands per turn: this cannot flood an engine.
    pub(super) fn tell(&self, command: EngineCommand) {
        match self {
            Self::Realtime(child) => child.addr.do_send(command),
            Self::Cascade(child) => child.addr.do_send(command),
        }
    }

    pub(super) fn kill(&self) {
        match self {
            Self::Realtime(child) => child.kill(),
            Self::Cascade(child) => child.kill(),
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn sabotage(&self, how: crate::testing::Sabotage) {
        use crate::testing::Sabotage;
        match (self, how) {
            (engine, Sabotage::Kill) => engine.kill(),
            (Self::Realtime(child), how) => child.addr.do_send(how),
            (Self::Cascade(child), how) => child.addr.do_send(how),
        }
    }
}
