//! Response times in bounded memory: how long callers waited for answers, counted in buckets.
//!
//! It refuses to know whose answers they were. Counts of two spans merge bucket by bucket, so that a percentile of a
//! month is exactly that of the sum of its days, and does not depend on how calls were spread over them.
//!
//! **Error.** A percentile is told as the last value of its bucket: never below the exact one (nearest rank), and above
//! it by less than a sixteenth. Up to 31 ms it is exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A histogram whose buckets are at most 1/16 wide: 16 per doubling, 464 for all of `u32`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<u16, u64>")]
pub struct ResponseTimes(BTreeMap<u16, u64>);

/// A histogram of another make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no bucket {0} of response times; the last one is {BUCKET_MAX}")]
pub struct NoBucket(u16);

/// 2^4 buckets per doubling.
const BUCKET_BITS: u32 = 4;

/// That of `u32::MAX`: it is shifted by 27, and its five highest bits are 31. 27 x 16 + 31.
const BUCKET_MAX: u16 = 463;

impl ResponseTimes {
    pub fn note(&mut self, response_ms: &[u32]) {
        for ms in response_ms {
            self.add(bucket(*ms), 1);
        }
    }

    pub fn absorb(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            self.add(*bucket, *count);
        }
    }

    fn add(&mut self, bucket: u16, more: u64) {
        let count = self.0.entry(bucket).or_default();
        *count = count.saturating_add(more);
    }

    pub fn count(&self) -> u64 {
        self.0.values().copied().fold(0, u64::saturating_add)
    }

    /// What so many of a hundred do not exceed; absent as long as there is none.
    pub fn percentile_ms(&self, percent: u8) -> Option<u32> {
        let hundredths = u128::from(self.count()) * u128::from(percent);
        let mut up_to_here = 0;
        let reaches = self.0.iter().find(|(_, count)| {
            up_to_here += u128::from(**count) * 100;
            up_to_here >= hundredths
        });
        reaches.map(|(bucket, _)| bucket_end(*bucket))
    }

    /// How many lie in buckets that are beyond `ms` as a whole.
    pub fn slower_than(&self, ms: f64) -> u64 {
        let slower = self.0.iter().filter(|(bucket, _)| bucket_start(**bucket) > ms);
        slower.map(|(_, count)| *count).fold(0, u64::saturating_add)
    }
}

impl TryFrom<BTreeMap<u16, u64>> for ResponseTimes {
    type Error = NoBucket;

    fn try_from(buckets: BTreeMap<u16, u64>) -> Result<Self, NoBucket> {
        match buckets.last_key_value() {
            Some((last, _)) if *last > BUCKET_MAX => Err(NoBucket(*last)),
            _ => Ok(Self(buckets)),
        }
    }
}

/// Up to 15 each value has its own bucket; above, the five highest bits and the place of the first name it.
fn bucket(ms: u32) -> u16 {
    let shift = ms.checked_ilog2().unwrap_or(0).saturating_sub(BUCKET_BITS);
    u16::try_from((shift << BUCKET_BITS) + (ms >> shift)).expect("27 * 16 + 31 at most")
}

fn bucket_start(bucket: u16) -> f64 {
    let shift = u32::from(bucket >> BUCKET_BITS).saturating_sub(1);
    let bits = u64::from(bucket) - (u64::from(shift) << BUCKET_BITS);
    (bits << shift) as f64
}

/// The last value that is still in it.
fn bucket_end(bucket: u16) -> u32 {
    let shift = u32::from(bucket >> BUCKET_BITS).saturating_sub(1);
    let bits = u64::from(bucket) - (u64::from(shift) << BUCKET_BITS);
    u32::try_from(((bits + 1) << shift) - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn times(all: &[u32]) -> ResponseTimes {
        let mut times = ResponseTimes::default();
        times.note(all);
        times
    }

    /// The smallest value that so many of a hundred do not exceed.
    fn nearest_rank(all: &[u32], percent: u8) -> u32 {
        let mut sorted = all.to_vec();
        sorted.sort_unstable();
        let rank = (all.len() * usize::from(percent)).div_ceil(100);
        sorted[rank.max(1) - 1]
    }

    #[test]
    fn buckets_follow_one_another_and_are_at_most_a_sixteenth_wide() {
        let mut next = 0;
        for number in 0..=BUCKET_MAX {
            let (start, end) = (bucket_start(number), bucket_end(number));
            assert_eq!((start, bucket(next), bucket(end)), (f64::from(next), number, number));
            assert!(f64::from(end) - start < start.max(16.0) / 16.0);
            next = end.wrapping_add(1);
        }
        assert_eq!((next, bucket(u32::MAX)), (0, BUCKET_MAX), "the last one ends where u32 does");
    }

    #[test]
    fn nothing_is_known_of_no_answers() {
        let none = ResponseTimes::default();
        assert_eq!((none.count(), none.percentile_ms(50), none.slower_than(0.0)), (0, None, 0));
    }

    #[test]
    fn counts_are_read_back_and_buckets_that_there_are_not_are_refused() {
        let times = times(&[0, 17, 17, 940, u32::MAX]);
        let json = serde_json::to_string(&times).unwrap();
        assert_eq!(json, r#"{"0":1,"17":2,"109":1,"463":1}"#);
        assert_eq!(serde_json::from_str::<ResponseTimes>(&json).unwrap(), times);
        let alien = serde_json::from_str::<ResponseTimes>(r#"{"0":1,"464":1}"#).unwrap_err();
        assert_eq!(alien.to_string(), "there is no bucket 464 of response times; the last one is 463");
    }

    #[test]
    fn more_answers_than_can_be_counted_are_no_accident() {
        let mut times: ResponseTimes = serde_json::from_str(r#"{"3":18446744073709551615,"9":5}"#).unwrap();
        times.note(&[3]);
        assert_eq!((times.count(), times.percentile_ms(95)), (u64::MAX, Some(3)));
    }

    proptest! {
        #[test]
        fn percentiles_of_merged_days_are_within_a_sixteenth_of_the_exact_ones(
            days in vec(vec(prop_oneof![0_u32..64, 100_u32..5_000, any::<u32>()], 0..40), 1..6),
            percent in 0_u8..=100,
        ) {
            let mut month = ResponseTimes::default();
            for day in &days {
                month.absorb(&times(day));
            }
            let all = days.concat();
            prop_assert_eq!(&month, &times(&all));
            prop_assert_eq!(month.count(), all.len() as u64);
            let Some(told) = month.percentile_ms(percent) else {
                prop_assert!(all.is_empty());
                return Ok(());
            };
            let exact = nearest_rank(&all, percent);
            prop_assert!(told >= exact, "{told} is below {exact}");
            if exact < 32 {
                prop_assert_eq!(told, exact);
            }
            prop_assert!(f64::from(told - exact) < f64::from(exact).max(16.0) / 16.0, "{told} of {exact}");
        }
    }
}
