//! What a finished call says about the mode that it was given: facts for the router's plans.
//!
//! Pure. It refuses to judge.

use std::time::Duration;

use tandem_actors::call::CallReport;
use tandem_actors::call::cost::is_too_costly;
use tandem_actors::call::decide::EndReason;
use tandem_actors::call::timeline::{TurnTiming, What};
use tandem_actors::router::{CallFacts, Observation};

/// A caller who hangs up so soon did not like what he heard.
const EARLY: Duration = Duration::from_secs(10);

/// Nothing when the call goes on elsewhere, or never began.
pub(super) fn facts(report: &CallReport, agent: &str) -> Option<CallFacts> {
    let switches = report.timeline.events().iter().filter_map(|event| match &event.what {
        What::ModeSwitched { why, .. } => Some(&**why),
        _ => None,
    });
    let failed = failed(&report.end, &switches.collect::<Vec<_>>())?;
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
            cost_microusd_opt: report.spent.total_opt(),
        },
    })
}

/// Whether a mode failed in a call that ended so and switched modes for these reasons.
fn failed(end: &EndReason, switches: &[&str]) -> Option<bool> {
    match end {
        EndReason::StoodDown | EndReason::NoStream => None,
        EndReason::EngineLost(_) => Some(true),
        EndReason::HandedOver(_) if switches.is_empty() => Some(true),
        // A mode that cost too much has not failed: its cost is evidence of its own.
        _ => Some(switches.iter().any(|why| !is_too_costly(why))),
    }
}

/// From the caller's silence to the agent's first audio on the wire.
fn response_ms(turn: &TurnTiming) -> Option<u32> {
    let answered = turn.on_wire?.checked_sub(turn.caller_silent?)?;
    u32::try_from(answered.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use tandem_actors::call::cost::CAP_REACHED;
    use tandem_actors::fallback::ladder::Rung;
    use tandem_actors::mode::Mode;

    use super::*;

    #[test]
    fn a_mode_that_had_to_be_left_has_failed_unless_it_cost_too_much() {
        let over = EndReason::HandedOver(Rung::Mode(Mode::Traditional));
        assert_eq!(failed(&over, &[]), Some(true));
        assert_eq!(failed(&over, &["reset by peer"]), Some(true));
        assert_eq!(failed(&over, &[CAP_REACHED]), Some(false));
        assert_eq!(failed(&over, &["agent_budget"]), Some(false));
        assert_eq!(failed(&over, &["reset by peer", CAP_REACHED]), Some(true));
        assert_eq!(failed(&EndReason::CallerHungUp, &["reset by peer"]), Some(true));
        assert_eq!(failed(&EndReason::CostLimit, &[CAP_REACHED]), Some(false));
        assert_eq!(failed(&EndReason::EngineLost("gone".to_owned()), &[]), Some(true));
        assert_eq!(failed(&EndReason::StoodDown, &[]), None);
    }

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
