//! The intake: where does the caller's audio have holes, and how much silence belongs into them?
//!
//! Carriers send nothing during comfort noise and packet loss, so a provider's turn detection might never see the
//! end of an utterance. Pure: it counts milliseconds and never sees a sample.

use std::time::Duration;

/// Silence is put in when nothing came for so long: long enough for any jitter, short enough for turn detection.
const STALL: Duration = Duration::from_millis(750);

/// No gap is filled beyond this: who is silent for longer has ended every turn there was.
const FILL_MS_MAX: u64 = 10_000;

/// A difference below one frame is rounding, not a gap.
const GAP_MS_MIN: u64 = 20;

/// Follows the time stamps of one stream.
#[derive(Debug)]
pub struct Intake {
    /// Time stamp that the next frame should carry, as far as the carrier stamps them.
    expected_ms: Option<u64>,
    /// Up to when, on our clock, the provider was given audio, real or silent.
    covered_until: Duration,
    /// Silence put in since the last frame.
    filled_ms: u64,
}

impl Intake {
    pub fn new(now: Duration) -> Self {
        Self { expected_ms: None, covered_until: now, filled_ms: 0 }
    }

    /// A frame of `length_ms` came. Returns the milliseconds of silence that belong before it.
    ///
    /// Frames that come late in a burst are behind the expectation and need none: nothing of them is dropped.
    pub fn frame(&mut self, timestamp_ms: Option<u64>, length_ms: u64, now: Duration) -> u64 {
        let mut missing = 0;
        if let (Some(stamp), Some(expected)) = (timestamp_ms, self.expected_ms) {
            // What was put in while nothing came is part of the same gap.
            let gap = stamp.saturating_sub(expected.saturating_add(self.filled_ms));
            let room = FILL_MS_MAX.saturating_sub(self.filled_ms);
            if gap >= GAP_MS_MIN {
                missing = gap.min(room);
            }
        }
        if let Some(stamp) = timestamp_ms {
            self.expected_ms = Some(stamp.saturating_add(length_ms));
        }
        self.filled_ms = 0;
        self.covered_until = now;
        missing
    }

    /// Nothing came until `now`. Returns the milliseconds of silence to put in.
    pub fn quiet(&mut self, now: Duration) -> u64 {
        let uncovered = now.saturating_sub(self.covered_until);
        if uncovered < STALL && self.filled_ms == 0 {
            return 0;
        }
        let room = FILL_MS_MAX.saturating_sub(self.filled_ms);
        let missing = u64::try_from(uncovered.as_millis()).unwrap_or(u64::MAX).min(room);
        self.filled_ms += missing;
        self.covered_until += Duration::from_millis(missing);
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn after_one_frame() -> Intake {
        let mut intake = Intake::new(ms(0));
        assert_eq!(intake.frame(Some(0), 20, ms(0)), 0);
        intake
    }

    #[test]
    fn frames_in_a_row_need_nothing() {
        let mut intake = after_one_frame();
        let missing: u64 = (1..100).map(|n| intake.frame(Some(n * 20), 20, ms(n * 20))).sum();
        assert_eq!(missing, 0);
    }

    #[test]
    fn a_jump_of_the_time_stamps_is_filled() {
        let mut intake = after_one_frame();
        assert_eq!(intake.frame(Some(320), 20, ms(320)), 300);
        assert_eq!(intake.frame(Some(340), 20, ms(340)), 0);
    }

    #[test]
    fn a_burst_after_a_stall_loses_no_frame_and_is_not_filled_twice() {
        let mut intake = after_one_frame();
        let injected: u64 = (1..=8).map(|n| intake.quiet(ms(250 * n))).sum();
        assert_eq!(injected, 2_000, "nothing came for two seconds");
        let filled: u64 = (1..=100).map(|n| intake.frame(Some(n * 20), 20, ms(2_000))).sum();
        assert_eq!(filled, 0, "the frames were only late");
    }

    #[test]
    fn silence_put_in_during_a_real_gap_counts_towards_it() {
        let mut intake = after_one_frame();
        let injected: u64 = (1..=4).map(|n| intake.quiet(ms(250 * n))).sum();
        assert_eq!(injected, 1_000);
        assert_eq!(intake.frame(Some(1_520), 20, ms(1_520)), 500);
    }

    #[test]
    fn a_short_pause_is_jitter() {
        let mut intake = after_one_frame();
        assert_eq!((intake.quiet(ms(250)), intake.quiet(ms(500))), (0, 0));
    }

    #[test]
    fn no_gap_is_filled_beyond_the_bound() {
        let mut intake = after_one_frame();
        let injected: u64 = (1..=400).map(|n| intake.quiet(ms(250 * n))).sum();
        assert_eq!(injected, FILL_MS_MAX);
        assert_eq!(intake.frame(Some(100_000), 20, ms(100_000)), 0);
        assert_eq!(intake.frame(Some(200_000), 20, ms(100_020)), FILL_MS_MAX);
    }

    #[test]
    fn a_carrier_without_time_stamps_is_filled_by_our_clock_alone() {
        let mut intake = Intake::new(ms(0));
        assert_eq!(intake.frame(None, 20, ms(0)), 0);
        assert_eq!(intake.quiet(ms(1_000)), 1_000);
        assert_eq!(intake.frame(None, 20, ms(1_000)), 0);
    }

    #[test]
    fn time_stamps_that_run_backwards_or_wild_are_survived() {
        let mut intake = after_one_frame();
        assert_eq!(intake.frame(Some(u64::MAX), 20, ms(20)), FILL_MS_MAX);
        assert_eq!(intake.frame(Some(0), 20, ms(40)), 0);
        assert_eq!(intake.frame(Some(20), 20, ms(60)), 0);
    }
}
