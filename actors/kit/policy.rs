//! Restart policy as data: how often a role may be replaced, and the memory that this takes.
//!
//! It refuses to know any role and any clock: `now` is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// At most `replacements` within any window of `within`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    pub replacements: usize,
    pub within: Duration,
}

impl Intensity {
    pub const fn new(replacements: usize, within: Duration) -> Self {
        Self { replacements, within }
    }
}

/// When a role was replaced before. Holds no more entries than the intensity it is asked about allows.
#[derive(Clone, Debug, Default)]
pub struct History {
    replaced_at: VecDeque<Instant>,
}

impl History {
    /// Whether one more replacement at `now` stays within the intensity.
    pub fn permits(&self, intensity: Intensity, now: Instant) -> bool {
        let recent = self
            .replaced_at
            .iter()
            .filter(|at| now.saturating_duration_since(**at) < intensity.within)
            .count();
        recent < intensity.replacements
    }

    /// Notes a replacement, and forgets those that no longer count.
    pub fn note(&mut self, intensity: Intensity, now: Instant) {
        self.replaced_at.retain(|at| now.saturating_duration_since(*at) < intensity.within);
        self.replaced_at.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE_IN_TEN: Intensity = Intensity::new(3, Duration::from_secs(10));

    #[test]
    fn the_fourth_replacement_within_the_window_is_refused() {
        let mut history = History::default();
        let start = Instant::now();
        for second in 0..3 {
            let now = start + Duration::from_secs(second);
            assert!(history.permits(THREE_IN_TEN, now));
            history.note(THREE_IN_TEN, now);
        }
        assert!(!history.permits(THREE_IN_TEN, start + Duration::from_secs(9)));
    }

    #[test]
    fn a_replacement_counts_no_longer_than_the_window() {
        let mut history = History::default();
        let start = Instant::now();
        for _ in 0..3 {
            history.note(THREE_IN_TEN, start);
        }
        assert!(history.permits(THREE_IN_TEN, start + Duration::from_secs(10)));
    }

    #[test]
    fn the_memory_is_bounded_by_the_window() {
        let mut history = History::default();
        let start = Instant::now();
        for second in 0..1_000 {
            history.note(THREE_IN_TEN, start + Duration::from_secs(second));
        }
        assert_eq!(history.replaced_at.len(), 10);
    }
}
