//! Retention: who comes back.
//!
//! It refuses to know what they used. **Definition:** of all users who were first seen on a day D, whose D + n lies
//! in the window, the share that was there on exactly D + n. So d30 looks at those first seen 30 days before the
//! window. A cohort that is not yet n days old is not asked, and where there is none, nothing is said.

use std::collections::BTreeSet;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;

use super::activity::UserActivity;
use super::dashboard::Window;
use super::day::UserDay;

/// Shares, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Retention {
    pub d1: Option<f64>,
    pub d7: Option<f64>,
    pub d30: Option<f64>,
}

pub(super) fn retention(window: Window, activities: &[UserActivity], days: &[UserDay]) -> Retention {
    let there: BTreeSet<(Date, &str)> = days.iter().map(|day| (day.day, day.user.as_str())).collect();
    let after = |n: i32| {
        let (mut asked, mut came_back) = (0_u64, 0_u64);
        for UserActivity { user, first_seen, .. } in activities {
            let due_opt = first_seen.checked_add(n.days()).ok().filter(|due| window.contains(*due));
            if let Some(due) = due_opt {
                asked += 1;
                came_back += u64::from(there.contains(&(due, user.as_str())));
            }
        }
        (asked > 0).then(|| came_back as f64 / asked as f64)
    };
    Retention { d1: after(1), d7: after(7), d30: after(30) }
}

#[cfg(test)]
mod tests;
