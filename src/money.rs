//! Money: whole micro-dollars, so that sums are exact and do not depend on their order.
//!
//! It refuses to know what was paid for. There is no debt here: costs and revenue are 0 or more (a refund makes the
//! entry smaller that it refunds). So a sum that reaches the end of the range stays there, in whatever order its parts
//! come: figures that are merged from parts rest on that.

use std::fmt;
use std::iter::Sum;

use serde::{Deserialize, Serialize, Serializer};

/// 0 to 2^63 - 1 micro-dollars, i.e. nine trillion dollars: what a `bigint` of a database holds. A whole number in
/// JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Microusd(i64);

/// The same as it is shown: a number of dollars in JSON, with as many decimals as it takes and six at most. Up to a
/// billion dollars these are exact (15 digits, which a double tells apart).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(pub Microusd);

/// A number of micro-dollars that is no amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} micro-dollars are below zero")]
pub struct BelowZero(i64);

impl Microusd {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);

    /// So many whole dollars.
    pub const fn from_usd(usd: u32) -> Self {
        Self(usd as i64 * 1_000_000)
    }

    #[must_use]
    pub fn checked_add(self, more: Self) -> Option<Self> {
        self.0.checked_add(more.0).map(Self)
    }

    /// The sum, or the end of the range.
    #[must_use]
    pub fn saturating_add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// `self x times / over`, rounded to the nearest, halves up. Nothing when `over` is 0 or the range is left.
    #[must_use]
    pub fn scaled(self, times: u64, over: u64) -> Option<Self> {
        // At most 2^63 x 2^64 + 2^63.
        let times = u128::from(self.0.unsigned_abs()) * u128::from(times) + u128::from(over / 2);
        i64::try_from(times.checked_div(u128::from(over))?).ok().map(Self)
    }
}

impl TryFrom<i64> for Microusd {
    type Error = BelowZero;

    fn try_from(microusd: i64) -> Result<Self, BelowZero> {
        if microusd < 0 { Err(BelowZero(microusd)) } else { Ok(Self(microusd)) }
    }
}

impl From<Microusd> for i64 {
    fn from(money: Microusd) -> Self {
        money.0
    }
}

/// Prices are told as `u64`: what is beyond the range is its end.
impl From<u64> for Microusd {
    fn from(microusd: u64) -> Self {
        Self(i64::try_from(microusd).unwrap_or(i64::MAX))
    }
}

impl Sum for Microusd {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::ZERO, Self::saturating_add)
    }
}

// --- dollars, to be seen ---------------------------------------------------------------------------------

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.0 as f64 / 1e6)
    }
}

/// `12.50 USD`: two decimals, and more only when they say something.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, rest) = (self.0.0 / 1_000_000, self.0.0 % 1_000_000);
        let decimals = format!("{rest:06}");
        let (cents, finer) = decimals.split_at(2);
        write!(f, "{dollars}.{cents}{} USD", finer.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_below_zero_or_beyond_the_range() {
        assert_eq!(Microusd::try_from(-1_i64).unwrap_err().to_string(), "-1 micro-dollars are below zero");
        assert_eq!(Microusd::from(u64::MAX), Microusd::MAX);
        assert_eq!(Microusd::MAX.checked_add(Microusd(1)), None);
        assert_eq!(Microusd(1).checked_add(Microusd(2)), Some(Microusd(3)));
        assert_eq!([Microusd::MAX, Microusd(5)].into_iter().sum::<Microusd>(), Microusd::MAX);
        assert_eq!(Microusd::from_usd(u32::MAX), Microusd(4_294_967_295_000_000));
    }

    #[test]
    fn a_part_is_rounded_to_the_nearest() {
        assert_eq!(Microusd(100).scaled(2, 3), Some(Microusd(67)));
        assert_eq!(Microusd(100).scaled(1, 3), Some(Microusd(33)));
        assert_eq!(Microusd(1).scaled(1, 2), Some(Microusd(1)), "halves go up");
        assert_eq!(Microusd(100).scaled(1, 0), None);
        assert_eq!(Microusd::MAX.scaled(u64::MAX, u64::MAX), Some(Microusd::MAX));
        assert_eq!(Microusd::MAX.scaled(2, 1), None);
        assert_eq!(Microusd::MAX.scaled(u64::MAX, 1), None);
    }

    #[test]
    fn money_is_a_whole_number_in_json_and_negative_money_is_refused() {
        assert_eq!(serde_json::to_string(&Microusd(1_250_000)).unwrap(), "1250000");
        assert_eq!(serde_json::from_str::<Microusd>("1250000").unwrap(), Microusd(1_250_000));
        assert!(serde_json::from_str::<Microusd>("-5").unwrap_err().to_string().contains("below zero"));
        for text in ["1.5", "9223372036854775808", "\"5\""] {
            assert!(serde_json::from_str::<Microusd>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dollars_are_shown_with_the_decimals_that_say_something() {
        let shown = |microusd| Usd(Microusd(microusd)).to_string();
        assert_eq!(
            [0, 50_000, 12_500_000, 150_001_000, 7].map(shown),
            ["0.00 USD", "0.05 USD", "12.50 USD", "150.001 USD", "0.000007 USD"]
        );
    }

    proptest! {
        #[test]
        fn dollars_in_json_are_exact_up_to_a_billion(microusd in 0_i64..1_000_000_000_000_000) {
            let json = serde_json::to_string(&Usd(Microusd(microusd))).unwrap();
            let (whole, decimals) = json.split_once('.').unwrap_or((&json, ""));
            if !json.contains('e') {
                prop_assert_eq!(format!("{whole}{decimals:0<6}").parse::<i64>().unwrap(), microusd, "{}", json);
            }
            let read: f64 = json.parse().unwrap();
            prop_assert_eq!((read * 1e6).round().to_bits(), (microusd as f64).to_bits());
        }
    }
}
