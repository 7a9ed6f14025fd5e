//! A time window: days and local hours of one time zone.
//!
//! It refuses to know what o'clock it is, and trusts the zone's rules (the bundled tz database, the same on every node)
//! with summer time: a window holds by what a clock on the wall shows.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MINUTES_PER_DAY: u16 = 24 * 60;
const MINUTES_PER_WEEK: u16 = 7 * MINUTES_PER_DAY;

/// From `from` until before `to` on each of `days`. With `to` at or before `from` it goes over midnight and belongs to
/// the day on which it opens: Friday 22:00 to 06:00 holds on Saturday at 05:59.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    #[serde(default = "every_day")]
    pub days: Vec<Day>,
    #[serde(default)]
    pub from: TimeOfDay,
    #[serde(default = "end_of_day")]
    pub to: TimeOfDay,
    /// IANA name, e.g. `Europe/Berlin`.
    pub zone: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// Minutes since midnight, `"00:00"` to `"24:00"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

/// Why a moment is not in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// It is this day and time there.
    Closed(Day, TimeOfDay),
    UnknownZone,
}

/// The minutes of a week, from Monday 00:00 on, in which a window is open: ranges in order that do not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Week(Vec<Range<u16>>);

impl Window {
    pub fn contains(&self, at: jiff::Timestamp) -> Result<(), Outside> {
        let zone = TimeZone::get(&self.zone).map_err(|_| Outside::UnknownZone)?;
        let there = at.to_zoned(zone);
        let day = Day::from(there.weekday());
        let time = TimeOfDay::new(there.hour().unsigned_abs(), there.minute().unsigned_abs());
        if self.is_open(day, time) { Ok(()) } else { Err(Outside::Closed(day, time)) }
    }

    pub fn zone_is_known(&self) -> bool {
        TimeZone::get(&self.zone).is_ok()
    }

    /// Whether there is no moment in it.
    pub fn is_empty(&self) -> bool {
        self.days.is_empty() || self.minutes() == 0
    }

    /// How long it stays open.
    fn minutes(&self) -> u16 {
        let over_midnight = if self.from > self.to { MINUTES_PER_DAY } else { 0 };
        self.to.0 + over_midnight - self.from.0
    }

    fn is_open(&self, day: Day, time: TimeOfDay) -> bool {
        let open = self.from.0..self.from.0 + self.minutes();
        self.days.contains(&day) && open.contains(&time.0)
            || self.days.contains(&day.before()) && open.contains(&(time.0 + MINUTES_PER_DAY))
    }

    pub fn week(&self) -> Week {
        let mut open = Vec::new();
        for day in &self.days {
            let begin = (*day as u16 * MINUTES_PER_DAY + self.from.0) % MINUTES_PER_WEEK;
            let end = begin + self.minutes();
            open.push(begin..end.min(MINUTES_PER_WEEK));
            open.push(0..end.saturating_sub(MINUTES_PER_WEEK));
        }
        open.retain(|minutes| !minutes.is_empty());
        open.sort_by_key(|minutes| minutes.start);
        open.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        Week(open)
    }
}

impl Week {
    /// Whether this week is open whenever `other` is.
    pub fn covers(&self, other: &Self) -> bool {
        let within = |theirs: &Range<u16>| {
            self.0.iter().any(|mine| mine.start <= theirs.start && theirs.end <= mine.end)
        };
        other.0.iter().all(within)
    }

    pub fn is_always(&self) -> bool {
        matches!(self.0.as_slice(), [Range { start: 0, end: MINUTES_PER_WEEK }])
    }
}

impl Day {
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    const fn before(self) -> Self {
        Self::ALL[(self as usize + 6) % 7]
    }
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        Self::ALL[usize::from(day.to_monday_zero_offset().unsigned_abs())]
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn every_day() -> Vec<Day> {
    Day::ALL.to_vec()
}

fn end_of_day() -> TimeOfDay {
    TimeOfDay(MINUTES_PER_DAY)
}

// --- times of day ----------------------------------------------------------------------------------------

/// A text that is no time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time of day; it is written as 05:30, from 00:00 to 24:00")]
pub struct NoTimeOfDay(String);

impl TimeOfDay {
    /// `hour` is 0 to 23 and `minute` 0 to 59.
    fn new(hour: u8, minute: u8) -> Self {
        Self(u16::from(hour) * 60 + u16::from(minute))
    }
}

impl FromStr for TimeOfDay {
    type Err = NoTimeOfDay;

    fn from_str(text: &str) -> Result<Self, NoTimeOfDay> {
        let two_digits = |part: &str| {
            let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse::<u8>().ok()).flatten()
        };
        let parts = text.split_once(':').and_then(|(h, m)| Some((two_digits(h)?, two_digits(m)?)));
        match parts {
            Some((hour, minute)) if minute < 60 && (hour < 24 || (hour, minute) == (24, 0)) => {
                Ok(Self::new(hour, minute))
            }
            _ => Err(NoTimeOfDay(text.to_owned())),
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(json: &str) -> Window {
        serde_json::from_str(json).unwrap()
    }

    fn is_open(window: &Window, at: &str) -> bool {
        window.contains(at.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_window_holds_by_the_clock_on_the_wall_in_winter_and_in_summer() {
        let mornings =
            window(r#"{"days": ["monday"], "from": "05:00", "to": "09:00", "zone": "Europe/Berlin"}"#);
        // 2026-01-12 and 2026-07-13 are Mondays; Berlin is one hour ahead of UTC in winter, two in summer.
        for (at, open) in [
            ("2026-01-12T03:59:59Z", false),
            ("2026-01-12T04:00:00Z", true),
            ("2026-01-12T07:59:59Z", true),
            ("2026-01-12T08:00:00Z", false),
            ("2026-07-13T02:59:59Z", false),
            ("2026-07-13T03:00:00Z", true),
            ("2026-07-13T07:00:00Z", false),
            ("2026-07-14T04:00:00Z", false),
        ] {
            assert_eq!(is_open(&mornings, at), open, "{at}");
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
        let night = window(r#"{"days": ["sunday"], "from": "22:00", "to": "06:00", "zone": "UTC"}"#);
        for (at, open) in [
            ("2026-01-11T05:00:00Z", false), // Sunday
            ("2026-01-11T22:00:00Z", true),
            ("2026-01-12T05:59:00Z", true),
            ("2026-01-12T06:00:00Z", false),
            ("2026-01-12T22:00:00Z", false),
        ] {
            assert_eq!(is_open(&night, at), open, "{at}");
        }
    }

    #[test]
    fn hours_that_a_clock_change_repeats_hold_twice() {
        // Clocks in Berlin go from 03:00 back to 02:00 on 2026-10-25, at 01:00 UTC.
        let hour = window(r#"{"from": "02:00", "to": "03:00", "zone": "Europe/Berlin"}"#);
        assert!(is_open(&hour, "2026-10-25T00:30:00Z") && is_open(&hour, "2026-10-25T01:30:00Z"));
        assert!(!is_open(&hour, "2026-10-25T02:00:00Z"));
    }

    #[test]
    fn without_days_and_hours_it_is_always_open() {
        let always = window(r#"{"zone": "UTC"}"#);
        assert!(always.week().is_always() && !always.is_empty());
        let almost = window(r#"{"to": "23:59", "zone": "UTC"}"#);
        assert!(!almost.week().is_always());
        assert!(always.week().covers(&almost.week()) && !almost.week().covers(&always.week()));
    }

    #[test]
    fn a_zone_that_does_not_exist_holds_never() {
        let nowhere = window(r#"{"zone": "Europe/Atlantis"}"#);
        assert!(!nowhere.zone_is_known());
        assert_eq!(nowhere.contains(jiff::Timestamp::UNIX_EPOCH), Err(Outside::UnknownZone));
    }

    #[test]
    fn a_week_is_open_at_the_minutes_at_which_its_window_is() {
        for (days, from, to) in [
            (r#"["monday"]"#, "05:00", "09:00"),
            (r#"["sunday", "monday", "sunday"]"#, "22:00", "06:00"),
            (r#"["friday", "saturday"]"#, "00:00", "24:00"),
            (r#"["tuesday"]"#, "24:00", "06:00"),
            (r#"["tuesday"]"#, "10:00", "00:00"),
            (r#"["tuesday"]"#, "10:00", "10:00"),
        ] {
            let text = format!(r#"{{"days": {days}, "from": "{from}", "to": "{to}", "zone": "UTC"}}"#);
            let (window, week) = (window(&text), window(&text).week());
            for minute in 0..MINUTES_PER_WEEK {
                let day = Day::ALL[usize::from(minute / MINUTES_PER_DAY)];
                let open = window.is_open(day, TimeOfDay(minute % MINUTES_PER_DAY));
                assert_eq!(week.0.iter().any(|range| range.contains(&minute)), open, "{text} {minute}");
            }
            assert_eq!(window.is_empty(), week.0.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_written_as_people_write_it() {
        for time in ["00:00", "05:30", "23:59", "24:00"] {
            assert_eq!(time.parse::<TimeOfDay>().unwrap().to_string(), time);
        }
        for time in ["", "5:30", "05:60", "24:01", "25:00", "+5:30", "05:30:00", "0530", "ab:cd"] {
            assert_eq!(
                time.parse::<TimeOfDay>().unwrap_err().to_string(),
                format!("`{time}` is no time of day; it is written as 05:30, from 00:00 to 24:00")
            );
        }
    }
}
