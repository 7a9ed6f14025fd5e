//! The phases of a call, and what moves it from one to the next. Pure: no actor, no clock.

/// Where a call is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The caller is there, the engine is not ready: what the caller says is kept.
    Connecting,
    /// Both are there.
    Talking,
    /// The agent is saying goodbye.
    Leaving,
    /// Children were told to finish.
    Ending,
}

/// What can move a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turning {
    EngineReady,
    /// The engine is gone and another is being dialled.
    EngineReplaced,
    FarewellBegun,
    EndDecided,
}

impl Phase {
    /// The phase after `turning`. A call never turns back from its end.
    #[must_use]
    pub fn after(self, turning: Turning) -> Self {
        match (self, turning) {
            (Self::Ending, _) | (_, Turning::EndDecided) => Self::Ending,
            (Self::Leaving, _) | (_, Turning::FarewellBegun) => Self::Leaving,
            (Self::Connecting | Self::Talking, Turning::EngineReady) => Self::Talking,
            (Self::Connecting | Self::Talking, Turning::EngineReplaced) => Self::Connecting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::{Connecting, Ending, Leaving, Talking};
    use super::Turning::{EndDecided, EngineReady, EngineReplaced, FarewellBegun};

    #[test]
    fn a_call_connects_talks_leaves_and_ends() {
        let life = [EngineReady, FarewellBegun, EndDecided];
        let phases: Vec<_> = life
            .iter()
            .scan(Connecting, |phase, turning| {
                *phase = phase.after(*turning);
                Some(*phase)
            })
            .collect();
        assert_eq!(phases, [Talking, Leaving, Ending]);
    }

    #[test]
    fn a_lost_engine_takes_a_talking_call_back_to_connecting() {
        assert_eq!(Talking.after(EngineReplaced), Connecting);
        assert_eq!(Connecting.after(EngineReplaced), Connecting);
    }

    #[test]
    fn nothing_turns_an_ending_call_back() {
        for turning in [EngineReady, EngineReplaced, FarewellBegun, EndDecided] {
            assert_eq!(Ending.after(turning), Ending);
        }
        assert_eq!(Leaving.after(EngineReady), Leaving);
    }
}
