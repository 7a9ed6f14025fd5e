//! The supervision table as a pure function: what a call does when one of its children fails or dies.
//!
//! It refuses to act: the call carries the decision out. Each row of DESIGN section 4 is one arm.

use std::time::Duration;

use crate::call::phase::Phase;
use crate::kit::policy::Intensity;
use crate::messages::{EngineFailure, LegEnd};

/// The parts that children play in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Leg,
    Engine,
    Transcoder,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Leg => "leg",
            Self::Engine => "engine",
            Self::Transcoder => "transcoder",
        }
    }

    /// How often a role is replaced before its failure becomes the call's. A leg never is: the caller's socket
    /// cannot be dialled from here.
    pub const fn intensity(self) -> Intensity {
        match self {
            Self::Leg => Intensity::new(0, Duration::ZERO),
            Self::Engine => Intensity::new(1, Duration::from_secs(30)),
            Self::Transcoder => Intensity::new(3, Duration::from_secs(10)),
        }
    }
}

/// What happened to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The leg said why it ends.
    LegEnded(LegEnd),
    /// The engine said why it cannot go on.
    EngineFailed(EngineFailure),
    /// A child died without a word: a panic, a kill, or a stop that nobody can explain, with the text of it.
    Died { role: Role, why: String },
}

impl Trouble {
    pub fn role(&self) -> Role {
        match self {
            Self::LegEnded(_) => Role::Leg,
            Self::EngineFailed(_) => Role::Engine,
            Self::Died { role, .. } => *role,
        }
    }
}

/// Why a call ended; what `/twilio/resume` and the call's record go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The caller hung up.
    CallerHungUp,
    /// The carrier's socket is gone although nobody hung up. The caller may still be there.
    CarrierLost(String),
    /// No engine is left to talk to.
    EngineLost(String),
    /// The agent said goodbye because the call reached its length.
    LengthLimit,
    /// The agent said goodbye because the caller had long been silent.
    CallerIdle,
    /// An operator, or the end of the process, ended it.
    Shutdown,
}

impl EndReason {
    pub fn name(&self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::CarrierLost(_) => "carrier_lost",
            Self::EngineLost(_) => "engine_lost",
            Self::LengthLimit => "length_limit",
            Self::CallerIdle => "caller_idle",
            Self::Shutdown => "shutdown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It was to be expected; nothing to do.
    Expected,
    /// Spawn a successor in the same place.
    Replace,
    /// This engine is not coming back: the next rung of the ladder, for which the reason is given.
    NextRung(String),
    End(EndReason),
}

/// Decides. `permitted` says whether the intensity of the trouble's role allows one more replacement now.
pub fn decide(phase: Phase, trouble: &Trouble, permitted: bool) -> Decision {
    if phase == Phase::Ending {
        return Decision::Expected;
    }
    match trouble {
        Trouble::LegEnded(end) => Decision::End(match end {
            LegEnd::Stopped => EndReason::CallerHungUp,
            LegEnd::Closed { code: Some(code) } => EndReason::CarrierLost(format!("closed with {code}")),
            LegEnd::Closed { code: None } => EndReason::CarrierLost("closed".to_owned()),
            LegEnd::Lost(why) => EndReason::CarrierLost(why.clone()),
            LegEnd::HalfOpen => EndReason::CarrierLost("half-open".to_owned()),
            LegEnd::HungUp => EndReason::Shutdown,
        }),
        Trouble::Died { role: Role::Leg, why } => Decision::End(EndReason::CarrierLost(why.clone())),
        Trouble::EngineFailed(failure) if failure.retry && permitted => Decision::Replace,
        Trouble::EngineFailed(failure) => Decision::NextRung(failure.detail.clone()),
        Trouble::Died { role: Role::Engine | Role::Transcoder, .. } if permitted => Decision::Replace,
        Trouble::Died { role: Role::Engine | Role::Transcoder, why } => Decision::NextRung(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::FailureKind;

    const LIVE: [Phase; 3] = [Phase::Connecting, Phase::Talking, Phase::Leaving];

    fn died(role: Role) -> Trouble {
        Trouble::Died { role, why: "index out of bounds".to_owned() }
    }

    fn failed(retry: bool) -> Trouble {
        Trouble::EngineFailed(EngineFailure {
            kind: FailureKind::SocketLost,
            retry,
            detail: "reset by peer".to_owned(),
        })
    }

    #[test]
    fn in_an_ending_call_every_exit_is_expected() {
        for role in [Role::Leg, Role::Engine, Role::Transcoder] {
            for trouble in [died(role), failed(true), Trouble::LegEnded(LegEnd::HungUp)] {
                assert_eq!(decide(Phase::Ending, &trouble, false), Decision::Expected);
            }
        }
    }

    #[test]
    fn a_caller_who_hangs_up_ends_the_call() {
        for phase in LIVE {
            let decision = decide(phase, &Trouble::LegEnded(LegEnd::Stopped), false);
            assert_eq!(decision, Decision::End(EndReason::CallerHungUp));
        }
    }

    #[test]
    fn a_leg_that_is_lost_or_dies_ends_the_call_as_lost_and_not_as_hung_up() {
        let troubles = [
            died(Role::Leg),
            Trouble::LegEnded(LegEnd::Lost("reset".to_owned())),
            Trouble::LegEnded(LegEnd::HalfOpen),
            Trouble::LegEnded(LegEnd::Closed { code: Some(1001) }),
        ];
        for phase in LIVE {
            for trouble in &troubles {
                let decision = decide(phase, trouble, true);
                assert!(matches!(decision, Decision::End(EndReason::CarrierLost(_))), "{decision:?}");
            }
        }
    }

    #[test]
    fn an_engine_is_redialled_once_and_then_left_for_the_next_rung() {
        for phase in LIVE {
            for trouble in [died(Role::Engine), failed(true)] {
                assert_eq!(decide(phase, &trouble, true), Decision::Replace);
                assert!(matches!(decide(phase, &trouble, false), Decision::NextRung(_)));
            }
        }
        assert_eq!(Role::Engine.intensity(), Intensity::new(1, Duration::from_secs(30)));
    }

    #[test]
    fn an_engine_that_cannot_come_back_is_not_redialled() {
        for phase in LIVE {
            assert!(matches!(decide(phase, &failed(false), true), Decision::NextRung(_)));
        }
    }

    #[test]
    fn a_transcoder_is_replaced_at_once_until_it_dies_too_often() {
        for phase in LIVE {
            assert_eq!(decide(phase, &died(Role::Transcoder), true), Decision::Replace);
            assert!(matches!(decide(phase, &died(Role::Transcoder), false), Decision::NextRung(_)));
        }
        assert_eq!(Role::Transcoder.intensity(), Intensity::new(3, Duration::from_secs(10)));
    }
}
