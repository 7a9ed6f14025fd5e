//! User activity: when a user was first and last there, and all that they used.
//!
//! It refuses to know who they are. It is folded from all the days of a user, so that it is right again after any of
//! them was computed again.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::day::UserDay;
use super::usage::Usage;

/// `total_sessions`, `total_voice_minutes` and `total_tool_calls` are in the usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserActivity {
    pub user: String,
    pub first_seen: Date,
    pub last_seen: Date,
    pub usage: Usage,
}

/// One for each user, in the order of their names.
pub fn activities(days: &[UserDay]) -> Vec<UserActivity> {
    let mut activities: BTreeMap<&str, UserActivity> = BTreeMap::new();
    for UserDay { day, user, usage, .. } in days {
        let activity = activities.entry(user).or_insert_with(|| UserActivity {
            user: user.clone(),
            first_seen: *day,
            last_seen: *day,
            usage: Usage::default(),
        });
        activity.first_seen = activity.first_seen.min(*day);
        activity.last_seen = activity.last_seen.max(*day);
        activity.usage.absorb(usage);
    }
    activities.into_values().collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use tandem_actors::mode::Mode;

    use super::*;

    fn user_day(user: &str, day: Date, mode: Mode, sessions: u64) -> UserDay {
        let usage = Usage { sessions, seconds: sessions * 60, ..Usage::default() };
        UserDay { day, user: user.to_owned(), agent: "night desk".to_owned(), mode, usage }
    }

    #[test]
    fn a_user_is_seen_from_the_first_day_to_the_last_in_whatever_mode_and_order() {
        let (first, second, last) = (date(2026, 3, 1), date(2026, 3, 2), date(2026, 5, 9));
        let days = [
            user_day("zoe", second, Mode::Realtime, 2),
            user_day("zoe", last, Mode::Cascade, 1),
            user_day("adam", second, Mode::Realtime, 5),
            user_day("zoe", first, Mode::Realtime, 3),
            user_day("zoe", first, Mode::Traditional, 4),
        ];
        let usage = |sessions| Usage { sessions, seconds: sessions * 60, ..Usage::default() };
        assert_eq!(
            activities(&days),
            [
                UserActivity {
                    user: "adam".to_owned(),
                    first_seen: second,
                    last_seen: second,
                    usage: usage(5)
                },
                UserActivity { user: "zoe".to_owned(), first_seen: first, last_seen: last, usage: usage(10) },
            ]
        );
        assert_eq!(activities(&[]), []);
    }
}
