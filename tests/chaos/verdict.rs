//! What must hold of every call, in any weather.
//!
//! It goes by what the carrier and the caller saw; the switch's own word is only its books.

use std::fmt::Write as _;
use std::time::Duration;

use tandem_actors::call::timeline::What;
use tandem_sim::carrier::{CallEnd, CallRecord, CarrierFault};

use super::{Call, Group};

/// From the end of what the caller said to anything that he hears. The dead-air guard promises 8 s; the rest is for the
/// silence by which providers and carriers know that he has finished, for a clip that the carrier fetches, and for the
/// machine.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);

/// Failures that open a breaker: a call may then pass over a rung that has not failed it.
const BREAKER_OPENS_AT: usize = 5;

/// Samples of a tick of 20 ms, and the level from which it is no silence.
const TICK: usize = 160;
const LOUD: u16 = 100;

/// What is wrong with a group's calls, each with all that is known of the call.
pub(crate) fn complaints(group: &Group) -> Vec<String> {
    let mut complaints = Vec::new();
    for call in &group.calls {
        let mut complain = |what: String| complaints.push(format!("{what}\n{}", story(group, call)));
        if call.record.end != CallEnd::CallerHungUp {
            complain(format!("call was dropped: {}", call.record.end));
        }
        if group.left {
            complain("one of these calls has left something open".to_owned());
        }
        if call.reports.is_empty() {
            complain("nothing was reported of the call".to_owned());
        }
        let wait = longest_wait(&call.record);
        if wait > WAIT_MAX && !is_cut_off(call) {
            complain(format!("the caller heard nothing for {wait:?}"));
        }
        for report in call.reports.iter().filter(|report| !report.discrepancies.is_empty()) {
            complain(format!("books do not balance: {:?} {:?}", report.discrepancies, report.sheet));
        }
    }
    let dialled = group.calls.iter().filter(|call| !call.record.dials.is_empty()).count();
    if let Some(faults) = group.weather.chat_faults().filter(|faults| *faults < BREAKER_OPENS_AT)
        && dialled > faults
    {
        complaints
            .push(format!("{dialled} calls went to the human, for {faults} faults: {:?}", group.weather));
    }
    complaints
}

/// Whether anything of its weather befell the call.
pub(crate) fn was_struck(call: &Call) -> bool {
    let is_trouble = |what: &What| {
        matches!(what, What::EngineFailed { .. } | What::LegLost { .. } | What::ModeSwitched { .. })
    };
    let events = call.reports.iter().flat_map(|report| report.timeline.events());
    !call.faults.is_empty() || events.into_iter().any(|event| is_trouble(&event.what))
}

/// The carrier's network loses everything from some moment on, and nobody tells the carrier: then nothing can be heard.
fn is_cut_off(call: &Call) -> bool {
    call.faults.iter().any(|fault| matches!(fault, CarrierFault::HalfOpenAfter(_)))
}

/// The longest that the caller waited, silent himself, to hear anything after he had spoken.
fn longest_wait(record: &CallRecord) -> Duration {
    let is_loud = |tick: &[i16]| tick.iter().any(|sample| sample.unsigned_abs() > LOUD);
    let (mut longest, mut wait_opt) = (0, None);
    for (heard, said) in record.heard.chunks(TICK).zip(record.said.chunks(TICK)) {
        match (is_loud(heard), is_loud(said), &mut wait_opt) {
            (true, ..) => wait_opt = None,
            (false, true, _) => wait_opt = Some(0),
            (false, false, Some(wait)) => {
                *wait += 1;
                longest = longest.max(*wait);
            }
            (false, false, None) => {}
        }
    }
    Duration::from_millis(20 * longest)
}

fn story(group: &Group, call: &Call) -> String {
    let mut story = format!("  {:?}\n  line: {:?}\n", group.weather, call.faults);
    for (at, event) in &call.record.events {
        writeln!(story, "  {:8.3} {event:?}", at.as_secs_f64()).unwrap();
    }
    for report in &call.reports {
        writeln!(story, "  {} for {:.3} s", report.mode, report.length.as_secs_f64()).unwrap();
        for event in report.timeline.events() {
            writeln!(story, "    {:8.3} {:?}", event.at().as_secs_f64(), event.what).unwrap();
        }
    }
    story
}
