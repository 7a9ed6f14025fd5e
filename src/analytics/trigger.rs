//! The optimisation trigger: whether another engine would pay for the work of building it.
//!
//! It refuses to know how the figures came about.
//!
//! **Revenue.** The launch plan's dashboard decided by cost and users, and knew no revenue; its text wants revenue
//! too. Both are kept: revenue is asked for once any is known in the window. A house that enters none is not told
//! "no" for ever because of a figure it never gave; one that does is held to the text. Without a threshold revenue is
//! never asked for.
//!
//! **Unknown costs** are not in the cost: it is at least what is told, and so is what it triggers.

use serde::Serialize;

use super::daily_users::DailyUsers;
use crate::money::{Microusd, Usd};

/// What has to be exceeded, all of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub cost: Microusd,
    /// On average.
    pub daily_users: u32,
    pub revenue_opt: Option<Microusd>,
    /// What another engine would save of the cost.
    pub savings_percent: u8,
}

/// The launch plan's.
impl Default for Thresholds {
    fn default() -> Self {
        Self {
            cost: Microusd::from_usd(150),
            daily_users: 50,
            revenue_opt: Some(Microusd::from_usd(500)),
            savings_percent: 66,
        }
    }
}

/// What a month came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Month {
    pub(super) cost: Microusd,
    pub(super) unpriced: u64,
    pub(super) users: DailyUsers,
    /// Absent when none was entered.
    pub(super) revenue_opt: Option<Microusd>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trigger {
    pub should_optimize: bool,
    /// The verdict in the launch plan's words, then each condition with its figures.
    pub reason: String,
    /// A month, whatever the verdict is.
    pub estimated_savings: Usd,
}

pub(super) fn trigger(month: Month, thresholds: Thresholds) -> Trigger {
    let conditions = [cost(month, thresholds), users(month, thresholds), revenue(month, thresholds)];
    let should_optimize = conditions.iter().all(|(holds_opt, _)| *holds_opt != Some(false));
    let verdict = if should_optimize { "Cost justifies engineering investment" } else { "Keep using OpenAI" };
    let told = conditions.map(|(holds_opt, condition)| match holds_opt {
        Some(true) => format!("{condition}: yes"),
        Some(false) => format!("{condition}: no"),
        None => condition,
    });
    let savings = month.cost.scaled(u64::from(thresholds.savings_percent), 100);
    Trigger {
        should_optimize,
        reason: format!("{verdict} ({})", told.join("; ")),
        estimated_savings: Usd(savings.unwrap_or(Microusd::MAX)),
    }
}

/// Whether it holds, if it is asked for, and how it reads.
type Condition = (Option<bool>, String);

fn cost(month: Month, thresholds: Thresholds) -> Condition {
    let beside = match month.unpriced {
        0 => String::new(),
        unpriced => format!(" (and {unpriced} events without a known price)"),
    };
    let told = format!("cost {}{beside} > {}", Usd(month.cost), Usd(thresholds.cost));
    (Some(month.cost > thresholds.cost), told)
}

fn users(month: Month, thresholds: Thresholds) -> Condition {
    let average = month.users.average().unwrap_or_default();
    let told = format!("daily users {average:.2} > {}", thresholds.daily_users);
    (Some(month.users.is_above(thresholds.daily_users)), told)
}

fn revenue(month: Month, thresholds: Thresholds) -> Condition {
    match (month.revenue_opt, thresholds.revenue_opt) {
        (_, None) => (None, "revenue is not asked for".to_owned()),
        (None, Some(_)) => (None, "revenue is not known, and so not asked for".to_owned()),
        (Some(revenue), Some(threshold)) => {
            (Some(revenue > threshold), format!("revenue {} > {}", Usd(revenue), Usd(threshold)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(cost: u32, daily_users: u64, revenue_opt: Option<u32>) -> Month {
        Month {
            cost: Microusd::from_usd(cost),
            unpriced: 0,
            users: DailyUsers { user_days: daily_users * 30, days: 30 },
            revenue_opt: revenue_opt.map(Microusd::from_usd),
        }
    }

    fn verdict(month: Month) -> bool {
        trigger(month, Thresholds::default()).should_optimize
    }

    #[test]
    fn cost_and_users_have_to_exceed_their_thresholds() {
        assert!(verdict(month(151, 51, None)));
        assert!(!verdict(month(150, 51, None)));
        assert!(!verdict(month(151, 50, None)));
        assert!(!verdict(Month::default()));
    }

    #[test]
    fn revenue_is_asked_for_once_it_is_known_and_unless_it_is_switched_off() {
        assert!(verdict(month(151, 51, Some(501))));
        assert!(!verdict(month(151, 51, Some(500))));
        let off = Thresholds { revenue_opt: None, ..Thresholds::default() };
        assert!(trigger(month(151, 51, Some(0)), off).should_optimize);
    }

    #[test]
    fn the_reason_names_what_holds_and_what_does_not() {
        let reason = |month| trigger(month, Thresholds::default()).reason;
        assert_eq!(
            reason(month(375, 60, Some(800))),
            "Cost justifies engineering investment (cost 375.00 USD > 150.00 USD: yes; \
             daily users 60.00 > 50: yes; revenue 800.00 USD > 500.00 USD: yes)"
        );
        assert_eq!(
            reason(Month { unpriced: 7, ..month(375, 20, None) }),
            "Keep using OpenAI (cost 375.00 USD (and 7 events without a known price) > 150.00 USD: yes; \
             daily users 20.00 > 50: no; revenue is not known, and so not asked for)"
        );
        let off = Thresholds { revenue_opt: None, ..Thresholds::default() };
        assert_eq!(
            trigger(Month::default(), off).reason,
            "Keep using OpenAI (cost 0.00 USD > 150.00 USD: no; daily users 0.00 > 50: no; \
             revenue is not asked for)"
        );
    }

    #[test]
    fn two_thirds_of_the_cost_could_be_saved_whatever_the_verdict() {
        let savings = |cost| trigger(month(cost, 1, None), Thresholds::default()).estimated_savings;
        assert_eq!(savings(100), Usd(Microusd::from_usd(66)));
        assert_eq!(savings(0), Usd(Microusd::ZERO));
        let absurd = Thresholds { savings_percent: u8::MAX, ..Thresholds::default() };
        let all = Month { cost: Microusd::MAX, ..Month::default() };
        assert_eq!(trigger(all, absurd).estimated_savings, Usd(Microusd::MAX));
    }
}
