//! Retention: who comes back.
//!
//! It refuses to know what they used. **Definition:** of all users who were first seen on a day D, whose D + n lies
//! in the window, the share that was there on exactly D + n. So d30 looks at those first seen 30 days before the
//! window. A cohort that is not yet n days old is not asked, and where there is none, nothing is said.

use jiff::civil::Date;
use serde::Serialize;

use super::dashboard::Window;

/// After how many days it is asked who came back.
pub const AFTER_DAYS: [i32; 3] = [1, 7, 30];

/// Those who were first seen a certain time before a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cohort {
    pub asked: u64,
    /// Those of them who were there on the day.
    pub came_back: u64,
}

/// The cohorts that are asked on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyCohorts {
    pub day: Date,
    /// One for each of [`AFTER_DAYS`].
    pub cohorts: [Cohort; AFTER_DAYS.len()],
}

/// Shares, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Retention {
    pub d1: Option<f64>,
    pub d7: Option<f64>,
    pub d30: Option<f64>,
}

pub(super) fn retention(window: Window, daily: &[DailyCohorts]) -> Retention {
    let mut sums = [Cohort::default(); AFTER_DAYS.len()];
    for of_day in daily.iter().filter(|of_day| window.contains(of_day.day)) {
        for (sum, cohort) in sums.iter_mut().zip(of_day.cohorts) {
            sum.asked = sum.asked.saturating_add(cohort.asked);
            sum.came_back = sum.came_back.saturating_add(cohort.came_back);
        }
    }
    let [d1, d7, d30] = sums.map(|sum| (sum.asked > 0).then(|| sum.came_back as f64 / sum.asked as f64));
    Retention { d1, d7, d30 }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn cohorts_of_the_window_are_asked_together_and_without_one_nothing_is_said() {
        let cohort = |asked, came_back| Cohort { asked, came_back };
        let of_day = |day, cohorts| DailyCohorts { day, cohorts };
        let daily = [
            of_day(date(2026, 10, 31), [cohort(9, 9), cohort(9, 9), cohort(9, 9)]),
            of_day(date(2026, 11, 1), [cohort(1, 1), cohort(1, 0), cohort(0, 0)]),
            of_day(date(2026, 11, 30), [cohort(3, 0), cohort(2, 1), cohort(0, 0)]),
            of_day(date(2026, 12, 1), [cohort(9, 9), cohort(9, 9), cohort(9, 9)]),
        ];
        let told = retention(Window::ending(date(2026, 11, 30)), &daily);
        assert_eq!(told, Retention { d1: Some(0.25), d7: Some(1.0 / 3.0), d30: None });
        assert_eq!(retention(Window::ending(date(2026, 11, 30)), &[]), Retention::default());
    }
}
