//! Daily users on average, kept as a fraction: what is compared and divided by it stays exact.
//!
//! It refuses to know who they are and which days they are of.

use crate::money::Microusd;

/// So many users on so many days, each counted once a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DailyUsers {
    pub(super) user_days: u64,
    pub(super) days: u64,
}

impl DailyUsers {
    /// Absent as long as there was no day.
    pub(super) fn average(self) -> Option<f64> {
        (self.days > 0).then(|| self.user_days as f64 / self.days as f64)
    }

    pub(super) fn is_above(self, users: u32) -> bool {
        u128::from(self.user_days) > u128::from(users) * u128::from(self.days)
    }

    /// Money by the average, to the nearest micro-dollar; absent when nobody was there.
    pub(super) fn share(self, money: Microusd) -> Option<Microusd> {
        money.scaled(self.days, self.user_days)
    }

    /// An amount by the average; absent when nobody was there.
    pub(super) fn per_user(self, amount: f64) -> Option<f64> {
        (self.user_days > 0).then(|| amount * self.days as f64 / self.user_days as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_is_compared_exactly_and_nobody_is_no_divisor() {
        let users = DailyUsers { user_days: 1_500, days: 30 };
        assert_eq!((users.average(), users.is_above(50), users.is_above(49)), (Some(50.0), false, true));
        assert!(DailyUsers { user_days: 1_501, days: 30 }.is_above(50));
        assert_eq!(users.share(Microusd::from_usd(100)), Some(Microusd::from_usd(2)));
        assert_eq!(users.per_user(7_500.0), Some(150.0));

        let nobody = DailyUsers { user_days: 0, days: 3 };
        assert_eq!(
            (nobody.average(), nobody.share(Microusd::MAX), nobody.per_user(1.0)),
            (Some(0.0), None, None)
        );
        assert_eq!((DailyUsers::default().average(), DailyUsers::default().is_above(0)), (None, false));
    }
}
