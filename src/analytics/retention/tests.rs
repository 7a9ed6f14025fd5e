//! Retention: examples, and every history against a count that follows the definition word for word.

use jiff::civil::date;
use proptest::collection::btree_set;
use proptest::prelude::*;
use tandem_actors::mode::Mode;

use super::super::activity::activities;
use super::super::usage::Usage;
use super::*;

/// The window of the tests ends 59 days after this one.
const OPENED: Date = date(2026, 2, 1);

fn window() -> Window {
    Window::ending(OPENED.saturating_add(59.days()))
}

/// A user who was there on these days, counted from the opening.
fn there(user: &str, days: impl IntoIterator<Item = i32>) -> Vec<UserDay> {
    let user_day = |n: i32| UserDay {
        day: OPENED.saturating_add(n.days()),
        user: user.to_owned(),
        agent: "night desk".to_owned(),
        mode: Mode::Realtime,
        usage: Usage::default(),
    };
    days.into_iter().map(user_day).collect()
}

fn retention_of(days: &[UserDay]) -> Retention {
    retention(window(), &activities(days), days)
}

#[test]
fn those_who_come_back_on_the_very_day_count_among_all_who_could_have() {
    let days = [there("ann", [40, 41, 47]), there("bob", [40, 42]), there("cy", [25, 55]), there("di", [59])]
        .concat();
    // d1: ann came back, bob did not; cy's next day lies before the window, di's after it. d7: ann, bob not; cy's was
    // day 32, in the window, and empty. d30: cy alone was due.
    let expected = Retention { d1: Some(0.5), d7: Some(1.0 / 3.0), d30: Some(1.0) };
    assert_eq!(retention_of(&days), expected);
}

#[test]
fn without_a_cohort_nothing_is_said() {
    assert_eq!(retention_of(&[]), Retention::default());
    assert_eq!(retention_of(&there("di", [59])), Retention::default());
}

#[test]
fn who_was_first_seen_long_before_is_in_no_cohort() {
    let days = there("old", [29, 30, 36]);
    let mut activities = activities(&days);
    assert_eq!(retention(window(), &activities, &days).d1, Some(1.0));
    activities[0].first_seen = date(2020, 1, 1);
    assert_eq!(retention(window(), &activities, &days), Retention::default());
    activities[0].first_seen = Date::MAX;
    assert_eq!(retention(window(), &activities, &days), Retention::default());
}

proptest! {
    #[test]
    fn retention_is_what_its_definition_says(
        users in prop::collection::vec(btree_set(0_i32..62, 1..20), 0..12),
    ) {
        let days: Vec<UserDay> =
            users.iter().enumerate().flat_map(|(n, days)| there(&format!("user {n}"), days.iter().copied())).collect();
        let told = retention_of(&days);
        for (n, told) in [(1, told.d1), (7, told.d7), (30, told.d30)] {
            let (mut asked, mut came_back) = (0, 0);
            for due in 30..60 {
                for days in &users {
                    if days.iter().min() == Some(&(due - n)) {
                        asked += 1;
                        came_back += i32::from(days.contains(&due));
                    }
                }
            }
            let expected = if asked == 0 { None } else { Some(f64::from(came_back) / f64::from(asked)) };
            prop_assert_eq!(told, expected, "d{}", n);
        }
    }
}
