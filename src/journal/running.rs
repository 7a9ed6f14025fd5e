//! What runs in live calls and is in no usage event yet: written down several times a second, so that a process that is
//! killed leaves it behind.
//!
//! It refuses to know what becomes of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tandem_actors::ports::CallId;
use tandem_actors::usage::Run;
use tokio::time::Instant;

use super::entry::RunningCall;

/// Calls say once a second what runs, those that go turn by turn every five; running time is told in events every thirty.
/// Who has said nothing for so long is no more, however he went.
const SILENT_MAX: Duration = Duration::from_secs(30);

/// Shared by all threads. As many as there are live calls.
#[derive(Default)]
pub(super) struct RunningCalls {
    calls: Mutex<BTreeMap<CallId, Run>>,
    /// The last stock was empty.
    rests: AtomicBool,
}

impl RunningCalls {
    pub(super) fn note(&self, call: CallId, run_opt: Option<Run>) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match run_opt {
            Some(run) => drop(calls.insert(call, run)),
            None => drop(calls.remove(&call)),
        }
    }

    /// What there would be to tell of each call, if there is anything. That there is nothing is said once.
    pub(super) fn stock(&self, now: Instant) -> Option<Vec<RunningCall>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|_, run| now.saturating_duration_since(run.at) < SILENT_MAX);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let told = |(call, run): (&CallId, &Run)| {
            let since = |from_opt: Option<Instant>| {
                from_opt.map_or(Duration::ZERO, |from| now.saturating_duration_since(from))
            };
            let (served, heard) = (run.served + since(run.serving), run.heard + since(run.hearing));
            RunningCall { call: *call, served_ms: ms(served), heard_ms: ms(heard) }
        };
        let stock: Vec<_> =
            calls.iter().map(told).filter(|call| call.served_ms > 0 || call.heard_ms > 0).collect();
        let rested = self.rests.swap(stock.is_empty(), Ordering::Relaxed);
        Some(stock).filter(|stock| !(rested && stock.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_call_runs_on_until_it_says_otherwise_or_nothing_any_more() {
        let (calls, now) = (RunningCalls::default(), Instant::now());
        let call = |n| CallId(Uuid::from_u128(n));
        let s = Duration::from_secs;
        let run = Run { served: s(2), serving: Some(now), heard: s(1), hearing: None, at: now };
        calls.note(call(1), Some(run));
        calls.note(call(2), Some(Run { serving: None, hearing: Some(now), ..run }));
        calls.note(call(3), Some(Run { served: s(0), serving: None, heard: s(0), ..run }));
        calls.note(call(4), Some(run));
        calls.note(call(4), None);
        let told = |call, served_ms, heard_ms| RunningCall { call, served_ms, heard_ms };
        assert_eq!(
            calls.stock(now + s(5)),
            Some(vec![told(call(1), 7_000, 1_000), told(call(2), 2_000, 6_000)])
        );
        calls.note(call(2), Some(Run { at: now + s(20), ..run }));
        assert_eq!(calls.stock(now + s(31)), Some(vec![told(call(2), 33_000, 1_000)]));
        assert_eq!(calls.stock(now + s(50)), Some(vec![]));
        assert_eq!(calls.stock(now + s(51)), None);
    }
}
