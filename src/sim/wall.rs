//! Wall time, for the two facts on the wire that carry it: when a session expires, when a stream event
//! happened.
//!
//! Everything that measures or schedules uses the monotonic clock and never comes here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970-01-01 UTC; zero on a machine whose clock stands before that.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulated world is outside the ports, and its peers read wall time"
)]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `2026-11-20T21:05:09.123Z`, the form of stream status callbacks.
pub(crate) fn iso_8601(since_epoch: Duration) -> String {
    let (days, second) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        since_epoch.subsec_millis()
    )
}

/// The date `days` after 1970-01-01. Years are counted from March, so that the leap day comes last and months
/// have the lengths 31 30 31 30 31 | 31 30 31 30 31 | 31 ..: five months are 153 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // 1970-01-01, counted from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097); // 400 years
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        let known = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (1_795_208_709_123, "2026-11-20T21:05:09.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (milliseconds, text) in known {
            assert_eq!(iso_8601(Duration::from_millis(milliseconds)), text);
        }
    }
}
