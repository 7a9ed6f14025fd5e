//! The breaker: whether a provider is worth choosing, from how it fared lately.
//!
//! Pure: `now` is an argument. It refuses to know what a provider is. Closed, it counts; open, it waits for its
//! probe; only a probe that succeeds closes it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How far back counts.
const WINDOW: Duration = Duration::from_secs(30);

/// Fewer failures than this are bad luck.
const FAILURES_MIN: usize = 5;

/// Outcomes remembered: at a hundred calls a second the window is shorter than [`WINDOW`], and still tells.
const OUTCOMES_MAX: usize = 256;

/// From opening to the first probe; each probe that fails doubles the wait.
const PROBE_AFTER: Duration = Duration::from_secs(5);

/// The longest wait between probes.
const PROBE_AFTER_MAX: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, Default)]
pub struct Breaker {
    outcomes: VecDeque<(Instant, bool)>,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    probe_at: Instant,
    wait: Duration,
}

/// The breaker has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Opened,
    Closed,
}

impl Breaker {
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// An engine of this provider got to work, or failed.
    pub fn note(&mut self, worked: bool, now: Instant) -> Option<Change> {
        if self.is_open() {
            return None; // calls that were under way say nothing new
        }
        self.outcomes.retain(|(at, _)| now.saturating_duration_since(*at) < WINDOW);
        if self.outcomes.len() == OUTCOMES_MAX {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((now, worked));
        let failures = self.outcomes.iter().filter(|(_, worked)| !worked).count();
        if failures < FAILURES_MIN || failures * 2 < self.outcomes.len() {
            return None;
        }
        self.open = Some(Open { probe_at: now + PROBE_AFTER, wait: PROBE_AFTER });
        self.outcomes.clear();
        Some(Change::Opened)
    }

    /// Whether it is time to ask the provider. Asked once: the answer comes by [`Self::probed`].
    pub fn probe_is_due(&mut self, now: Instant) -> bool {
        let Some(open) = &mut self.open else { return false };
        let due = now >= open.probe_at;
        if due {
            open.probe_at = now + PROBE_AFTER_MAX; // until the answer comes, however long it takes
        }
        due
    }

    pub fn probed(&mut self, worked: bool, now: Instant) -> Option<Change> {
        let open = self.open.as_mut()?;
        if worked {
            self.open = None;
            return Some(Change::Closed);
        }
        open.wait = (open.wait * 2).min(PROBE_AFTER_MAX);
        open.probe_at = now + open.wait;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> (Breaker, Instant) {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        let changes: Vec<_> = (0..FAILURES_MIN).filter_map(|_| breaker.note(false, now)).collect();
        assert_eq!(changes, [Change::Opened]);
        (breaker, now)
    }

    #[test]
    fn a_few_failures_open_it_and_one_does_not() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.note(false, Instant::now()), None);
        assert!(!breaker.is_open());
        assert!(opened().0.is_open());
    }

    #[test]
    fn a_provider_that_mostly_works_stays_chosen() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        for n in 0..100 {
            assert_eq!(breaker.note(n % 3 != 0, now), None, "a third fails");
        }
    }

    #[test]
    fn old_failures_are_forgotten() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        for n in 0..20 {
            assert_eq!(breaker.note(false, start + WINDOW / 4 * n), None, "never five within the window");
        }
    }

    #[test]
    fn only_a_probe_closes_it() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.note(true, now + WINDOW * 2), None);
        assert!(breaker.is_open());
        assert!(!breaker.probe_is_due(now + PROBE_AFTER / 2));
        assert!(breaker.probe_is_due(now + PROBE_AFTER));
        assert!(!breaker.probe_is_due(now + PROBE_AFTER), "one probe at a time");
        assert_eq!(breaker.probed(true, now + PROBE_AFTER), Some(Change::Closed));
        assert!(!breaker.is_open());
    }

    #[test]
    fn probes_that_fail_come_ever_more_rarely_but_never_stop() {
        let (mut breaker, mut now) = opened();
        let mut waits = Vec::new();
        for _ in 0..6 {
            let before = now;
            while !breaker.probe_is_due(now) {
                now += Duration::from_secs(1);
            }
            waits.push((now - before).as_secs());
            assert_eq!(breaker.probed(false, now), None);
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    }
}
