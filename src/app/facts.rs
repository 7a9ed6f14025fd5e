//! What a finished call says about the mode that it was given: facts for the router's plans.
//!
//! Pure. It refuses to judge.

use std::time::Duration;

use tandem_actors::call::CallReport;
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::timeline::{TurnTiming, What};
use tandem_actors::router::{CallFacts, Observation};

/// A caller who hangs up so soon did not like what he heard.
const EARLY: Duration = Duration::from_secs(10);

/// Nothing when the call goes on elsewhere, or never began.
pub(super) fn facts(report: &CallReport, agent: &str) -> Option<CallFacts> {
    let failed = match &report.end {
        EndReason::StoodDown | EndReason::NoStream => return None,
        EndReason::HandedOver(_) | EndReason::EngineLost(_) => true,
        _ => report.timeline.events().iter().any(|event| matches!(event.what, What::ModeSwitched { .. })),
    };
    Some(CallFacts {
        call: report.id,
        agent: agent.to_owned(),
        mode: report.routed,
        rule_opt: report.rule_opt.clone(),
        observation: Observation {
            failed,
            early_hang_up: report.end == EndReason::CallerHungUp && report.length < EARLY,
            response_ms: report.timeline.turns().iter().filter_map(response_ms).collect(),
            seconds: report.length.as_secs(),
            cost_microusd_opt: None,
        },
    })
}

/// From the caller's silence to the agent's first audio on the wire.
fn response_ms(turn: &TurnTiming) -> Option<u32> {
    let answered = turn.on_wire?.checked_sub(turn.caller_silent?)?;
    u32::try_from(answered.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_response_is_measured_from_the_callers_silence_to_the_wire() {
        let turn = TurnTiming {
            part: 1,
            caller_silent: Some(ms(500)),
            response_began: Some(ms(510)),
            first_audio: ms(800),
            on_wire: Some(ms(810)),
        };
        assert_eq!(response_ms(&turn), Some(310));
        assert_eq!(
            response_ms(&TurnTiming { caller_silent: None, ..turn }),
            None,
            "a greeting answers nobody"
        );
        assert_eq!(response_ms(&TurnTiming { on_wire: None, ..turn }), None, "it was never heard");
    }
}
