//! The dashboard: the figures of 30 days, under the launch plan's names, of the house and of each mode and agent.
//!
//! It refuses to know SQL and HTTP, and which day it is: the caller says which is the last that counts.
//!
//! | figure | definition |
//! |---|---|
//! | `monthly_cost` | sum over the window of all that has a price; `unpriced_events` have none and come on top |
//! | `daily_active_users` | users per day on average, over the days of the window since the first user that is known: days before the house opened do not dilute it |
//! | `.._per_user` | a figure of the window by `daily_active_users`, as the launch plan has it |
//! | `.._rate` | shares, 0 to 1; `good_outcome_rate` is that among the calls whose outcome was told |
//! | `response_p50_ms`, `response_p95_ms` | never below the exact percentile, less than a sixteenth above it |
//!
//! Sums of nothing are 0. Averages, shares and percentiles of nothing are null; so is revenue of which none was
//! entered. Modes and agents are averaged over the same days as the house, so that their daily users can be compared.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;
use tandem_actors::mode::Mode;

use super::daily_users::DailyUsers;
use super::day::{DailyModeStats, DailyUniqueUsers, DailyUsageStats, Endings, Part};
use super::retention::{DailyCohorts, Retention, retention};
use super::trigger::{Month, Thresholds, Trigger, trigger};
use super::usage::Usage;
use crate::money::{Microusd, Usd};

/// The launch plan's month.
pub const WINDOW_DAYS: u32 = 30;

/// The rows that a dashboard is made from. It takes of them what is of its days.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub daily: Vec<DailyUsageStats>,
    pub modes: Vec<DailyModeStats>,
    pub parts: Vec<DailyUniqueUsers>,
    pub cohorts: Vec<DailyCohorts>,
    pub revenue: Vec<Revenue>,
    /// The first day on which any user was there, in the window or before.
    pub first_use_opt: Option<Date>,
}

/// Money that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revenue {
    pub day: Date,
    /// Absent when it is of no agent in particular.
    pub agent_opt: Option<String>,
    pub amount: Microusd,
}

/// Thirty days, the last one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    pub first: Date,
    pub last: Date,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dashboard {
    pub window: Window,
    pub monthly_cost: Usd,
    pub unpriced_events: u64,
    pub unheard_cost: Usd,
    pub monthly_revenue: Option<Usd>,
    pub cost_per_user: Option<Usd>,
    pub revenue_per_user: Option<Usd>,
    pub daily_active_users: Option<f64>,
    pub sessions_per_month: u64,
    pub voice_minutes_per_month: f64,
    pub minutes_per_user: Option<f64>,
    pub tool_calls_per_month: u64,
    pub tool_calls_per_session: Option<f64>,
    pub retention: Retention,
    pub optimization_trigger: Trigger,
    pub modes: BTreeMap<Mode, Figures>,
    pub agents: BTreeMap<String, AgentFigures>,
}

/// Of one mode, or of one agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    pub cost: Usd,
    pub unpriced_events: u64,
    pub unheard_cost: Usd,
    pub cost_per_minute: Option<Usd>,
    pub cost_per_user: Option<Usd>,
    pub daily_active_users: Option<f64>,
    pub sessions: u64,
    pub voice_minutes: f64,
    pub minutes_per_user: Option<f64>,
    pub tool_calls: u64,
    pub tool_calls_per_session: Option<f64>,
    pub calls_ended: u64,
    pub failure_rate: Option<f64>,
    pub early_hang_up_rate: Option<f64>,
    pub good_outcomes: u64,
    pub bad_outcomes: u64,
    pub good_outcome_rate: Option<f64>,
    pub response_p50_ms: Option<u32>,
    pub response_p95_ms: Option<u32>,
}

/// Revenue is entered by agent; which mode earned it, nobody says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentFigures {
    #[serde(flatten)]
    pub figures: Figures,
    pub revenue: Option<Usd>,
    pub revenue_per_user: Option<Usd>,
}

/// The dashboard of the window that ends with `last`, which should be a day that is over: one that is not pulls
/// averages down.
pub fn dashboard(last: Date, history: &History, thresholds: Thresholds) -> Dashboard {
    let window = Window::ending(last);
    let daily: Vec<_> = history.daily.iter().filter(|row| window.contains(row.day)).collect();
    let modes: Vec<_> = history.modes.iter().filter(|row| window.contains(row.day)).collect();
    let users: Vec<_> = history.parts.iter().filter(|row| window.contains(row.day)).collect();
    let revenue: Vec<_> = history.revenue.iter().filter(|entry| window.contains(entry.day)).collect();

    let days = window.days_since(history.first_use_opt);
    let usage: Usage = daily.iter().map(|row| &row.usage).collect();
    let user_days = daily.iter().fold(0, |sum: u64, row| sum.saturating_add(row.unique_users));
    let daily_users = DailyUsers { user_days, days };
    let revenue_opt = sum_if_any(revenue.iter().map(|entry| entry.amount));
    let month = Month { cost: usage.cost, unpriced: usage.unpriced, users: daily_users, revenue_opt };
    Dashboard {
        window,
        monthly_cost: Usd(usage.cost),
        unpriced_events: usage.unpriced,
        unheard_cost: Usd(usage.unheard),
        monthly_revenue: revenue_opt.map(Usd),
        cost_per_user: daily_users.share(usage.cost).map(Usd),
        revenue_per_user: revenue_opt.and_then(|revenue| daily_users.share(revenue)).map(Usd),
        daily_active_users: daily_users.average(),
        sessions_per_month: usage.sessions,
        voice_minutes_per_month: usage.minutes(),
        minutes_per_user: daily_users.per_user(usage.minutes()),
        tool_calls_per_month: usage.tool_calls,
        tool_calls_per_session: share(usage.tool_calls, usage.sessions),
        retention: retention(window, &history.cohorts),
        optimization_trigger: trigger(month, thresholds),
        modes: sums_by(
            &modes,
            &users,
            |row| row.mode,
            |part| match part {
                Part::Mode(mode) => Some(*mode),
                Part::Agent(_) => None,
            },
        )
        .into_iter()
        .map(|(mode, sums)| (mode, sums.figures(days)))
        .collect(),
        agents: sums_by(
            &modes,
            &users,
            |row| row.agent.clone(),
            |part| match part {
                Part::Agent(agent) => Some(agent.clone()),
                Part::Mode(_) => None,
            },
        )
        .into_iter()
        .map(|(agent, sums)| {
            let of_agent = revenue.iter().filter(|entry| entry.agent_opt.as_ref() == Some(&agent));
            let figures = sums.agent_figures(days, sum_if_any(of_agent.map(|entry| entry.amount)));
            (agent, figures)
        })
        .collect(),
    }
}

// --- Window ----------------------------------------------------------------------------------------------

impl Window {
    pub fn ending(last: Date) -> Self {
        Self { first: last.saturating_sub(i64::from(WINDOW_DAYS - 1).days()), last }
    }

    pub fn contains(&self, day: Date) -> bool {
        (self.first..=self.last).contains(&day)
    }

    /// Its days since then.
    fn days_since(self, first_opt: Option<Date>) -> u64 {
        let in_use = first_opt.filter(|first| *first <= self.last).map(|first| first.max(self.first));
        in_use.map_or(0, |first| first.duration_until(self.last).as_hours().unsigned_abs() / 24 + 1)
    }
}

// --- parts of the house ----------------------------------------------------------------------------------

/// What the rows of one mode, or of one agent, come to.
#[derive(Default)]
struct Sums {
    usage: Usage,
    endings: Endings,
    user_days: u64,
}

fn sums_by<K: Ord>(
    modes: &[&DailyModeStats],
    users: &[&DailyUniqueUsers],
    of_row: impl Fn(&DailyModeStats) -> K,
    of_part: impl Fn(&Part) -> Option<K>,
) -> BTreeMap<K, Sums> {
    let mut all: BTreeMap<K, Sums> = BTreeMap::new();
    for row in modes {
        let sums = all.entry(of_row(row)).or_default();
        sums.usage.absorb(&row.usage);
        sums.endings.absorb(&row.endings);
    }
    for row in users {
        if let Some(key) = of_part(&row.part) {
            let sums = all.entry(key).or_default();
            sums.user_days = sums.user_days.saturating_add(row.unique_users);
        }
    }
    all
}

impl Sums {
    fn daily_users(&self, days: u64) -> DailyUsers {
        DailyUsers { user_days: self.user_days, days }
    }

    fn figures(&self, days: u64) -> Figures {
        let Self { usage, endings, .. } = self;
        let daily_users = self.daily_users(days);
        Figures {
            cost: Usd(usage.cost),
            unpriced_events: usage.unpriced,
            unheard_cost: Usd(usage.unheard),
            cost_per_minute: usage.cost.scaled(60_000, usage.voice_ms).map(Usd),
            cost_per_user: daily_users.share(usage.cost).map(Usd),
            daily_active_users: daily_users.average(),
            sessions: usage.sessions,
            voice_minutes: usage.minutes(),
            minutes_per_user: daily_users.per_user(usage.minutes()),
            tool_calls: usage.tool_calls,
            tool_calls_per_session: share(usage.tool_calls, usage.sessions),
            calls_ended: endings.calls,
            failure_rate: share(endings.failed, endings.calls),
            early_hang_up_rate: share(endings.early_hang_ups, endings.calls),
            good_outcomes: endings.good,
            bad_outcomes: endings.bad,
            good_outcome_rate: share(endings.good, endings.good.saturating_add(endings.bad)),
            response_p50_ms: endings.response_times.percentile_ms(50),
            response_p95_ms: endings.response_times.percentile_ms(95),
        }
    }

    fn agent_figures(&self, days: u64, revenue_opt: Option<Microusd>) -> AgentFigures {
        let per_user_opt = revenue_opt.and_then(|revenue| self.daily_users(days).share(revenue));
        AgentFigures {
            figures: self.figures(days),
            revenue: revenue_opt.map(Usd),
            revenue_per_user: per_user_opt.map(Usd),
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn sum_if_any(amounts: impl Iterator<Item = Microusd>) -> Option<Microusd> {
    amounts.reduce(Microusd::saturating_add)
}

#[cfg(test)]
mod tests;
