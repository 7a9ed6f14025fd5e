//! What the calls cost: CPU time and memory of the process in the middle, between two moments.
//! It knows nothing of audio. Its figures are worth what the machine left to it, and it says so.

use anyhow::Result;
use serde::Serialize;
use tokio::time::Instant;

use super::process::{MachineTime, Measured, Usage, own_usage};

/// Above it the host took so much that the figures are its own (percent of CPU time).
const STOLEN_PERCENT_MAX: f64 = 3.0;
/// Above it other processes push the measured one aside (percent of one core); the kernel's own work stays below.
const OTHERS_PERCENT_MAX: f64 = 20.0;
/// Above it this process is what delays the frames (percent of one core).
const LOAD_PERCENT_MAX: f64 = 90.0;

/// What the calls cost the process in the middle during the steady window, in which everyone talks.
#[derive(Serialize, Clone, Default, Debug)]
pub(super) struct Cost {
    pub(super) window_s: f64,
    /// User and system time together, all threads.
    pub(super) cpu_ms_per_call_second: f64,
    pub(super) user_ms_per_call_second: f64,
    pub(super) system_ms_per_call_second: f64,
    /// Resident before the first call.
    pub(super) idle_kib: u64,
    /// Growth from before the first call to the end of the window.
    pub(super) memory_kib_per_call: f64,
    /// Growth within the window.
    pub(super) growth_kib_per_call: f64,
    /// Growth from before the first call to after the last.
    pub(super) kept_kib_per_call: f64,
    /// CPU time of the machine that the host gave to others.
    pub(super) stolen_percent: f64,
    /// Of one core, used by the neighbours.
    pub(super) load_percent: f64,
    /// Of one core, used by everything else on this machine.
    pub(super) others_percent: f64,
}

/// Both processes and the machine, at one moment.
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) measured: Usage,
    own: Usage,
    machine: MachineTime,
}

impl Cost {
    pub(super) fn between(
        before: &Snapshot,
        after: &Snapshot,
        idle: Usage,
        rested: Usage,
        calls: u32,
    ) -> Self {
        let window_s = (after.at - before.at).as_secs_f64();
        let per_call_second = |ms: f64| ms / window_s / f64::from(calls);
        let user = per_call_second(after.measured.user_ms - before.measured.user_ms);
        let system = per_call_second(after.measured.system_ms - before.measured.system_ms);
        let kib_per_call =
            |from: Usage, to: Usage| (to.resident_kib as f64 - from.resident_kib as f64) / f64::from(calls);
        let own_ms = after.own.cpu_ms() - before.own.cpu_ms();
        let busy_ms = after.machine.busy_ms_since(before.machine);
        let others_ms = busy_ms - own_ms - (after.measured.cpu_ms() - before.measured.cpu_ms());
        let percent = |ms: f64| ms / window_s / 10.0;
        Self {
            window_s,
            cpu_ms_per_call_second: user + system,
            user_ms_per_call_second: user,
            system_ms_per_call_second: system,
            idle_kib: idle.resident_kib,
            memory_kib_per_call: kib_per_call(idle, after.measured),
            growth_kib_per_call: kib_per_call(before.measured, after.measured),
            kept_kib_per_call: kib_per_call(idle, rested),
            stolen_percent: after.machine.stolen_percent_since(before.machine),
            load_percent: percent(own_ms),
            others_percent: percent(others_ms.max(0.0)),
        }
    }

    /// Why the figures say little about the process in the middle, if they do.
    pub(super) fn unusable_because(&self) -> Option<String> {
        if self.stolen_percent > STOLEN_PERCENT_MAX {
            Some(format!("over {STOLEN_PERCENT_MAX} % of CPU time stolen by the host"))
        } else if self.others_percent > OTHERS_PERCENT_MAX {
            Some(format!("other processes used over {OTHERS_PERCENT_MAX} % of a core"))
        } else if self.load_percent > LOAD_PERCENT_MAX {
            Some(format!("the load itself used over {LOAD_PERCENT_MAX} % of a core"))
        } else {
            None
        }
    }
}

impl Snapshot {
    pub(super) fn take(measured: &Measured) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            measured: measured.usage()?,
            own: own_usage()?,
            machine: MachineTime::now()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn cost_is_told_per_call_and_second() {
        let now = Instant::now();
        let usage = |user_ms, system_ms, resident_kib| Usage { user_ms, system_ms, resident_kib };
        let snapshot = |at, measured, own| Snapshot { at, measured, own, machine: MachineTime::default() };
        let before = snapshot(now, usage(100.0, 200.0, 5_000), usage(0.0, 0.0, 0));
        let after =
            snapshot(now + Duration::from_secs(10), usage(350.0, 950.0, 5_100), usage(2_000.0, 3_000.0, 0));
        let cost = Cost::between(&before, &after, usage(0.0, 0.0, 3_100), usage(0.0, 0.0, 3_200), 100);
        let expected = [10.0, 1.0, 0.25, 0.75, 20.0, 1.0, 1.0, 50.0];
        let found = [
            cost.window_s,
            cost.cpu_ms_per_call_second,
            cost.user_ms_per_call_second,
            cost.system_ms_per_call_second,
            cost.memory_kib_per_call,
            cost.growth_kib_per_call,
            cost.kept_kib_per_call,
            cost.load_percent,
        ];
        assert!(
            expected.iter().zip(found).all(|(expected, found)| (expected - found).abs() < 1e-9),
            "{found:?}"
        );
    }

    #[test]
    fn figures_that_are_the_hosts_or_the_loads_are_unusable() {
        let because = |cost: Cost| cost.unusable_because().unwrap_or_default();
        assert_eq!(
            because(Cost {
                stolen_percent: 3.0,
                load_percent: 90.0,
                others_percent: 20.0,
                ..Cost::default()
            }),
            ""
        );
        assert!(because(Cost { stolen_percent: 3.1, ..Cost::default() }).contains("stolen"));
        assert!(because(Cost { others_percent: 21.0, ..Cost::default() }).contains("other processes"));
        assert!(because(Cost { load_percent: 91.0, ..Cost::default() }).contains("the load itself"));
    }
}
