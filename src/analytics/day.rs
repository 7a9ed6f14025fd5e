//! One civil day: when it is in a time zone, and what its facts come to.
//!
//! It refuses to know where facts come from, and whether all have come. They are taken one by one, in any order; two
//! parts of a day merge into the day. So a day may be computed in batches, in threads, or again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tandem_actors::mode::Mode;
use tandem_actors::response_times::ResponseTimes;
use uuid::Uuid;

use super::facts::{CallEnding, Outcome, UsageEvent};
use super::usage::Usage;

/// The facts of a day, summed up as finely as any row needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    date: Date,
    span: Range<Timestamp>,
    /// By agent, mode and user: what callers who are not known used stands beside what the others did.
    usage: BTreeMap<(String, Mode, Option<Uuid>), Usage>,
    endings: BTreeMap<(String, Mode), Endings>,
}

/// What a day comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayRows {
    pub usage: DailyUsageStats,
    pub modes: Vec<DailyModeStats>,
    pub parts: Vec<DailyUniqueUsers>,
    pub users: Vec<UserDay>,
}

/// The whole house: `total_voice_minutes` are the usage's [`minutes`](Usage::minutes), `total_tool_calls`,
/// `total_sessions` and `estimated_cost` are its other sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DailyUsageStats {
    pub day: Date,
    /// Users of whom there was any event.
    pub unique_users: u64,
    pub usage: Usage,
}

/// One agent in one mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DailyModeStats {
    pub day: Date,
    pub agent: String,
    pub mode: Mode,
    pub usage: Usage,
    pub endings: Endings,
}

/// Users of a part of the house, each counted once, with however many agents and in however many modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DailyUniqueUsers {
    pub day: Date,
    pub part: Part,
    pub unique_users: u64,
}

/// A mode, whatever the agent, or an agent, whatever the mode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Mode(Mode),
    Agent(String),
}

/// One user with one agent in one mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDay {
    pub day: Date,
    pub user: Uuid,
    pub agent: String,
    pub mode: Mode,
    pub usage: Usage,
}

/// Sums over calls that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endings {
    pub calls: u64,
    pub failed: u64,
    pub early_hang_ups: u64,
    /// Of the others nobody has said what came of them.
    pub good: u64,
    pub bad: u64,
    pub response_times: ResponseTimes,
}

/// When a day is: from its first moment until before the next day's, 23 to 25 hours where clocks are changed, and
/// none at all for a day that a zone has skipped. Days follow on each other without gap: when clocks go back over
/// midnight, the hour that they show twice is the later day's. Nothing at the ends of the calendar.
pub fn span(date: Date, zone: &TimeZone) -> Option<Range<Timestamp>> {
    let start = |date: Date| Some(date.to_zoned(zone.clone()).ok()?.timestamp());
    Some(start(date)?..start(date.tomorrow().ok()?)?)
}

// --- Day -------------------------------------------------------------------------------------------------

impl Day {
    /// Nothing at the ends of the calendar.
    pub fn new(date: Date, zone: &TimeZone) -> Option<Self> {
        let span = span(date, zone)?;
        Some(Self { date, span, usage: BTreeMap::new(), endings: BTreeMap::new() })
    }

    /// Each event belongs to the day in which it happened, whenever its call began. Those of other days change nothing.
    pub fn note_event(&mut self, event: &UsageEvent) {
        if self.span.contains(&event.at) {
            let key = (event.agent.clone(), event.mode, event.user_opt);
            self.usage.entry(key).or_default().note(event);
        }
    }

    /// An ending belongs to the day in which the call ended. Those of other days change nothing.
    pub fn note_ending(&mut self, ending: &CallEnding) {
        if self.span.contains(&ending.ended_at) {
            let key = (ending.agent.clone(), ending.mode);
            self.endings.entry(key).or_default().note(ending);
        }
    }

    /// Takes in another part of the same day.
    pub fn absorb(&mut self, other: Self) {
        assert_eq!((self.date, &self.span), (other.date, &other.span), "only parts of one day merge");
        for (key, usage) in other.usage {
            self.usage.entry(key).or_default().absorb(&usage);
        }
        for (key, endings) in other.endings {
            self.endings.entry(key).or_default().absorb(&endings);
        }
    }

    pub fn rows(self) -> DayRows {
        let Self { date: day, usage, endings, .. } = self;
        let users: BTreeSet<Uuid> = usage.keys().filter_map(|(_, _, user_opt)| *user_opt).collect();
        let total =
            DailyUsageStats { day, unique_users: users.len() as u64, usage: usage.values().collect() };

        let mut parts: BTreeMap<Part, BTreeSet<Uuid>> = BTreeMap::new();
        for (agent, mode, user_opt) in usage.keys() {
            for part in [Part::Mode(*mode), Part::Agent(agent.clone())] {
                parts.entry(part).or_default().extend(user_opt);
            }
        }
        let of_part = |(part, users): (_, BTreeSet<_>)| DailyUniqueUsers {
            day,
            part,
            unique_users: users.len() as u64,
        };
        let parts = parts.into_iter().map(of_part).collect();

        let mut modes: BTreeMap<(String, Mode), (Usage, Endings)> =
            endings.into_iter().map(|(key, endings)| (key, (Usage::default(), endings))).collect();
        let mut users = Vec::new();
        for ((agent, mode, user_opt), usage) in usage {
            modes.entry((agent.clone(), mode)).or_default().0.absorb(&usage);
            users.extend(user_opt.map(|user| UserDay { day, user, agent, mode, usage }));
        }
        let of_mode = |((agent, mode), (usage, endings))| DailyModeStats { day, agent, mode, usage, endings };
        DayRows { usage: total, modes: modes.into_iter().map(of_mode).collect(), parts, users }
    }
}

// --- Endings ---------------------------------------------------------------------------------------------

impl Endings {
    fn note(&mut self, ending: &CallEnding) {
        let mut response_times = ResponseTimes::default();
        response_times.note(&ending.response_ms);
        self.absorb(&Self {
            calls: 1,
            failed: u64::from(ending.failed),
            early_hang_ups: u64::from(ending.early_hang_up),
            good: u64::from(ending.outcome_opt == Some(Outcome::Good)),
            bad: u64::from(ending.outcome_opt == Some(Outcome::Bad)),
            response_times,
        });
    }

    pub fn absorb(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.early_hang_ups = self.early_hang_ups.saturating_add(other.early_hang_ups);
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
        self.response_times.absorb(&other.response_times);
    }
}

#[cfg(test)]
mod tests;
