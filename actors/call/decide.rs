//! The supervision table as a pure function: what a call does when one of its children fails or dies.
//!
//! It refuses to act: the call carries the decision out. Each row of DESIGN section 4 is one arm.

use std::time::Duration;

use crate::call::phase::Phase;
use crate::fallback::ladder::Rung;
use crate::kit::policy::Intensity;
use crate::messages::{EngineFailure, FailureKind, LegEnd};

/// The parts that children play in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Leg,
    Engine,
    Transcoder,
    Usage,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Leg => "leg",
            Self::Engine => "engine",
            Self::Transcoder => "transcoder",
            Self::Usage => "usage recorder",
        }
    }

    /// How often a role is replaced before its failure becomes the call's. A leg never is: the caller's socket
    /// cannot be dialled from here.
    pub const fn intensity(self) -> Intensity {
        match self {
            Self::Leg => Intensity::new(0, Duration::ZERO),
            Self::Engine => Intensity::new(1, Duration::from_secs(30)),
            Self::Transcoder => Intensity::new(3, Duration::from_secs(10)),
            Self::Usage => Intensity::new(5, Duration::from_mins(1)),
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

/// Why a call's actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The caller hung up.
    CallerHungUp,
    /// The carrier's socket is gone although nobody hung up, and no other came for the call.
    CarrierLost(String),
    /// The caller was answered, and never came to the media socket.
    NoStream,
    /// The conversation goes on, but not over this socket: the carrier asks what is next, and is told this rung.
    HandedOver(Rung),
    /// Nothing is left to answer with, and the caller was told so.
    EngineLost(String),
    /// Another actor serves the call, on the thread that its socket came to.
    StoodDown,
    /// The agent said goodbye because the call reached its length.
    LengthLimit,
    /// The agent said goodbye because the call reached its cost, and no cheaper mode was left.
    CostLimit,
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
            Self::NoStream => "no_stream",
            Self::HandedOver(_) => "handed_over",
            Self::EngineLost(_) => "engine_lost",
            Self::StoodDown => "stood_down",
            Self::LengthLimit => "length_limit",
            Self::CostLimit => "cost_limit",
            Self::CallerIdle => "caller_idle",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether another actor serves the call from here on.
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::HandedOver(Rung::Mode(_)) | Self::StoodDown)
    }

    /// Whether the conversation is over for a caller who is still on the line.
    pub fn is_by_us(&self) -> bool {
        matches!(
            self,
            Self::EngineLost(_) | Self::LengthLimit | Self::CostLimit | Self::CallerIdle | Self::Shutdown
        )
    }
}

/// What is left when an engine is not dialled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alternative {
    /// Another mode on the same stream: the caller notices a moment.
    Media,
    /// Turn by turn: worse for the whole rest of the call.
    Turns,
    Nothing,
}

impl Alternative {
    /// Whether it is better than asking an engine again that failed so: the caller has waited already to find out.
    fn beats_a_redial(self, kind: FailureKind) -> bool {
        match kind {
            FailureKind::HandshakeTimeout => self != Self::Nothing,
            FailureKind::HalfOpen | FailureKind::Stalled => self == Self::Media,
            _ => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It was to be expected; nothing to do.
    Expected,
    /// Spawn a successor in the same place.
    Replace,
    /// The caller may come back over another socket: keep everything else as it is.
    AwaitLeg(String),
    /// This engine is not coming back: the next rung of the ladder, for which the reason is given.
    NextRung(String),
    /// The call goes on without this child, and an alarm is raised.
    GoWithout(String),
    End(EndReason),
}

/// Decides. `permitted` says whether the intensity of the trouble's role allows one more replacement now, `alternative`
/// what is left of the ladder.
pub fn decide(phase: Phase, trouble: &Trouble, permitted: bool, alternative: Alternative) -> Decision {
    match trouble {
        // A call that ends has still to account for what it used.
        Trouble::Died { role: Role::Usage, .. } if permitted => Decision::Replace,
        Trouble::Died { role: Role::Usage, why } => Decision::GoWithout(why.clone()),
        _ if phase == Phase::Ending => Decision::Expected,
        Trouble::LegEnded(LegEnd::Stopped) => Decision::End(EndReason::CallerHungUp),
        Trouble::LegEnded(LegEnd::HungUp) => Decision::End(EndReason::Shutdown),
        Trouble::LegEnded(end) => lost(phase, end.to_string()),
        Trouble::Died { role: Role::Leg, why } => lost(phase, why.clone()),
        Trouble::EngineFailed(failure)
            if failure.retry && permitted && !alternative.beats_a_redial(failure.kind) =>
        {
            Decision::Replace
        }
        Trouble::EngineFailed(failure) => Decision::NextRung(failure.detail.clone()),
        Trouble::Died { role: Role::Engine | Role::Transcoder, .. } if permitted => Decision::Replace,
        Trouble::Died { role: Role::Engine | Role::Transcoder, why } => Decision::NextRung(why.clone()),
    }
}

/// The carrier's socket is gone. A goodbye that was being said is not said again over another one.
fn lost(phase: Phase, why: String) -> Decision {
    if phase == Phase::Leaving { Decision::End(EndReason::CarrierLost(why)) } else { Decision::AwaitLeg(why) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mode::Mode;

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
                assert_eq!(decide(Phase::Ending, &trouble, false, Alternative::Nothing), Decision::Expected);
            }
        }
    }

    #[test]
    fn a_caller_who_hangs_up_ends_the_call() {
        for phase in LIVE {
            let decision = decide(phase, &Trouble::LegEnded(LegEnd::Stopped), false, Alternative::Nothing);
            assert_eq!(decision, Decision::End(EndReason::CallerHungUp));
        }
    }

    #[test]
    fn a_leg_that_is_lost_or_dies_is_awaited_and_not_taken_for_a_caller_who_hung_up() {
        let troubles = [
            died(Role::Leg),
            Trouble::LegEnded(LegEnd::Lost("reset".to_owned())),
            Trouble::LegEnded(LegEnd::HalfOpen),
            Trouble::LegEnded(LegEnd::Closed { code: Some(1001) }),
        ];
        for trouble in &troubles {
            for phase in [Phase::Connecting, Phase::Talking] {
                assert!(matches!(decide(phase, trouble, true, Alternative::Nothing), Decision::AwaitLeg(_)));
            }
            let goodbye = decide(Phase::Leaving, trouble, true, Alternative::Nothing);
            assert!(matches!(goodbye, Decision::End(EndReason::CarrierLost(_))), "{goodbye:?}");
        }
    }

    #[test]
    fn an_engine_is_redialled_once_and_then_left_for_the_next_rung() {
        for phase in LIVE {
            for trouble in [died(Role::Engine), failed(true)] {
                assert_eq!(decide(phase, &trouble, true, Alternative::Media), Decision::Replace);
                assert!(matches!(decide(phase, &trouble, false, Alternative::Media), Decision::NextRung(_)));
            }
        }
        assert_eq!(Role::Engine.intensity(), Intensity::new(1, Duration::from_secs(30)));
    }

    #[test]
    fn an_engine_that_was_slow_to_fail_is_redialled_only_when_nothing_better_is_left() {
        use Alternative::{Media, Nothing, Turns};
        for (kind, redialled) in [
            (FailureKind::HandshakeTimeout, [false, false, true]),
            (FailureKind::Stalled, [false, true, true]),
            (FailureKind::HalfOpen, [false, true, true]),
            (FailureKind::SocketLost, [true, true, true]),
        ] {
            let failure = EngineFailure { kind, retry: true, detail: "slow".to_owned() };
            let trouble = Trouble::EngineFailed(failure);
            let decided = [Media, Turns, Nothing].map(|left| decide(Phase::Talking, &trouble, true, left));
            assert_eq!(decided.map(|decision| decision == Decision::Replace), redialled, "{kind:?}");
        }
    }

    #[test]
    fn an_engine_that_cannot_come_back_is_not_redialled() {
        for phase in LIVE {
            assert!(matches!(
                decide(phase, &failed(false), true, Alternative::Nothing),
                Decision::NextRung(_)
            ));
        }
    }

    #[test]
    fn a_transcoder_is_replaced_at_once_until_it_dies_too_often() {
        for phase in LIVE {
            assert_eq!(decide(phase, &died(Role::Transcoder), true, Alternative::Media), Decision::Replace);
            assert!(matches!(
                decide(phase, &died(Role::Transcoder), false, Alternative::Media),
                Decision::NextRung(_)
            ));
        }
        assert_eq!(Role::Transcoder.intensity(), Intensity::new(3, Duration::from_secs(10)));
    }

    #[test]
    fn a_usage_recorder_is_replaced_at_once_even_at_the_end_and_never_ends_a_call() {
        for phase in [Phase::Connecting, Phase::Talking, Phase::Leaving, Phase::Ending] {
            assert_eq!(decide(phase, &died(Role::Usage), true, Alternative::Nothing), Decision::Replace);
            let without = decide(phase, &died(Role::Usage), false, Alternative::Media);
            assert!(matches!(without, Decision::GoWithout(_)), "{without:?}");
        }
        assert_eq!(Role::Usage.intensity(), Intensity::new(5, Duration::from_mins(1)));
    }

    #[test]
    fn a_call_goes_on_only_where_another_actor_serves_it() {
        for (end, goes_on) in [
            (EndReason::HandedOver(Rung::Mode(Mode::Traditional)), true),
            (EndReason::StoodDown, true),
            (EndReason::HandedOver(Rung::Human), false),
            (EndReason::HandedOver(Rung::Apology), false),
            (EndReason::CallerHungUp, false),
        ] {
            assert_eq!(end.goes_on(), goes_on, "{end:?}");
        }
    }
}
