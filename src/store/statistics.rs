//! Sums of days as operators read them, and revenue as they enter it.
//!
//! It refuses to know how sums come about; that is `rollup.rs`.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};
use uuid::Uuid;

use super::calls::{meant, named};
use super::columns::{Day, Id, Stamp};
use super::database::{Connection, execute, row, rows};
use super::error::StoreError;
use super::{Store, audit};
use crate::analytics::{
    AFTER_DAYS, Cohort, DailyCohorts, DailyModeStats, DailyUniqueUsers, DailyUsageStats, Endings, History,
    Part, Revenue, Usage, Window,
};
use crate::audit::Entry;
use crate::money::{Microusd, Usd};
use crate::statistics::{RevenueEntry, Statistics, StatisticsError};

/// What the error of a failed reading or writing calls it.
const STATISTICS: &str = "the statistics";
const REVENUE: &str = "revenue";

/// `date, total_sessions, voice_ms, total_tool_calls, unique_users, cost_microusd, unpriced_events, unheard_microusd,
/// d1_came_back, d7_came_back, d30_came_back`
type DailyRow = (Day, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);

/// `date, agent, mode, sessions, voice_ms, tool_calls, cost_microusd, unpriced_events, unheard_microusd, calls_ended,
/// failed, early_hang_ups, good_outcomes, bad_outcomes, response_times`
#[rustfmt::skip]
type ModeRow = (Day, String, String, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, String);

/// `date, part, name, unique_users`
type UsersRow = (Day, String, String, i64);

/// `first_seen, users`
type FirstSeenRow = (Day, i64);

/// `id, date, agent, amount_microusd, note`
type RevenueRow = (Id, Day, Option<String>, i64, String);

type Answer<T> = LocalBoxFuture<'static, Result<T, StatisticsError>>;

impl Statistics for Store {
    fn history(&self, last: Date) -> Answer<History> {
        let store = self.clone();
        async move { store.history_until(last).await.map_err(|error| told(&error)) }.boxed_local()
    }

    fn enter(&self, entries: Vec<RevenueEntry>, who: String) -> Answer<()> {
        let store = self.clone();
        async move { store.enter_revenue(entries, who).await.map_err(|error| told(&error)) }.boxed_local()
    }

    fn entered(&self, first: Date, last: Date) -> Answer<Vec<RevenueEntry>> {
        let store = self.clone();
        async move { store.revenue(first, last).await.map_err(|error| told(&error)) }.boxed_local()
    }
}

fn told(error: &StoreError) -> StatisticsError {
    StatisticsError(error.to_string())
}

// --- history ---------------------------------------------------------------------------------------------

/// The rows of a window.
struct Found {
    daily: Vec<DailyRow>,
    modes: Vec<ModeRow>,
    users: Vec<UsersRow>,
    first_seen: Vec<FirstSeenRow>,
    revenue: Vec<RevenueRow>,
    first_use: Option<(Option<Day>,)>,
}

impl Store {
    async fn history_until(&self, last: Date) -> Result<History, StoreError> {
        let window = Window::ending(last);
        let read = self.read(async move |connection| find(connection, window).await);
        let found = read.await.map_err(|source| StoreError::Read { what: STATISTICS, source })?;
        let seen: BTreeMap<Date, u64> =
            found.first_seen.into_iter().map(|(Day(day), users)| (day, users.cast_unsigned())).collect();
        let came_back = |day: Date| {
            let row = found.daily.iter().find(|row| row.0.0 == day);
            row.map_or([0; 3], |row| [row.8, row.9, row.10].map(i64::cast_unsigned))
        };
        let cohorts = |day: Date| {
            let came_back = came_back(day);
            let cohort = |n: usize| Cohort {
                asked: seen.get(&day.saturating_sub(AFTER_DAYS[n].days())).copied().unwrap_or_default(),
                came_back: came_back[n],
            };
            DailyCohorts { day, cohorts: [cohort(0), cohort(1), cohort(2)] }
        };
        let days = window.first.series(1.day()).take_while(|day| *day <= window.last);
        Ok(History {
            cohorts: days.map(cohorts).collect(),
            daily: found.daily.iter().map(daily).collect::<Result<_, _>>()?,
            modes: found.modes.into_iter().map(mode).collect::<Result<_, _>>()?,
            parts: found.users.into_iter().map(users).collect::<Result<_, _>>()?,
            revenue: found
                .revenue
                .into_iter()
                .map(|row| {
                    let RevenueEntry { date, agent, amount: Usd(amount), .. } = revenue(row)?;
                    Ok(Revenue { day: date, agent_opt: agent, amount })
                })
                .collect::<Result<_, StoreError>>()?,
            first_use_opt: found.first_use.and_then(|(first,)| first).map(|Day(first)| first),
        })
    }
}

async fn find(connection: &mut Connection<'_>, window: Window) -> sqlx::Result<Found> {
    let (first, last) = (Day(window.first), Day(window.last));
    let longest = AFTER_DAYS.into_iter().max().unwrap_or_default();
    let first_asked = Day(window.first.saturating_sub(longest.days()));
    let daily = "SELECT date, total_sessions, voice_ms, total_tool_calls, unique_users, cost_microusd, \
                 unpriced_events, unheard_microusd, d1_came_back, d7_came_back, d30_came_back \
                 FROM daily_usage_stats WHERE date >= $1 AND date <= $2 ORDER BY date";
    let modes = "SELECT date, agent, mode, sessions, voice_ms, tool_calls, cost_microusd, unpriced_events, \
                 unheard_microusd, calls_ended, failed, early_hang_ups, good_outcomes, bad_outcomes, \
                 response_times FROM daily_mode_stats WHERE date >= $1 AND date <= $2";
    let users =
        "SELECT date, part, name, unique_users FROM daily_unique_users WHERE date >= $1 AND date <= $2";
    let first_seen = "SELECT first_seen, COUNT(*) FROM user_activity \
                      WHERE first_seen >= $1 AND first_seen <= $2 GROUP BY first_seen";
    let revenue =
        "SELECT id, date, agent, amount_microusd, note FROM revenue WHERE date >= $1 AND date <= $2";
    let first_use = "SELECT MIN(date) FROM daily_usage_stats WHERE unique_users > 0";
    Ok(Found {
        daily: rows!(connection, daily, first, last)?,
        modes: rows!(connection, modes, first, last)?,
        users: rows!(connection, users, first, last)?,
        first_seen: rows!(connection, first_seen, first_asked, last)?,
        revenue: rows!(connection, revenue, first, last)?,
        first_use: row!(connection, first_use)?,
    })
}

fn daily(row: &DailyRow) -> Result<DailyUsageStats, StoreError> {
    let (Day(day), sessions, voice_ms, tool_calls, users, cost, unpriced, unheard, ..) = *row;
    let usage = usage(sessions, voice_ms, tool_calls, cost, unpriced, unheard)?;
    Ok(DailyUsageStats { day, unique_users: users.cast_unsigned(), usage })
}

fn mode(row: ModeRow) -> Result<DailyModeStats, StoreError> {
    let (Day(day), agent, mode, sessions, voice_ms, tool_calls, cost, unpriced, unheard, ..) = row;
    let (.., calls, failed, early_hang_ups, good, bad, response_times) = row;
    let endings = Endings {
        calls: calls.cast_unsigned(),
        failed: failed.cast_unsigned(),
        early_hang_ups: early_hang_ups.cast_unsigned(),
        good: good.cast_unsigned(),
        bad: bad.cast_unsigned(),
        response_times: meant(&response_times)?,
    };
    let usage = usage(sessions, voice_ms, tool_calls, cost, unpriced, unheard)?;
    Ok(DailyModeStats { day, agent, mode: named(&mode)?, usage, endings })
}

fn usage(
    sessions: i64,
    voice_ms: i64,
    tool_calls: i64,
    cost: i64,
    unpriced: i64,
    unheard: i64,
) -> Result<Usage, StoreError> {
    Ok(Usage {
        sessions: sessions.cast_unsigned(),
        voice_ms: voice_ms.cast_unsigned(),
        tool_calls: tool_calls.cast_unsigned(),
        cost: money(cost)?,
        unpriced: unpriced.cast_unsigned(),
        unheard: money(unheard)?,
    })
}

fn users((Day(day), part, name, users): UsersRow) -> Result<DailyUniqueUsers, StoreError> {
    let part = match part.as_str() {
        "mode" => Part::Mode(named(&name)?),
        _ => Part::Agent(name),
    };
    Ok(DailyUniqueUsers { day, part, unique_users: users.cast_unsigned() })
}

fn money(microusd: i64) -> Result<Microusd, StoreError> {
    microusd
        .try_into()
        .map_err(|error| StoreError::Inconsistent { what: STATISTICS, detail: format!("{error}") })
}

// --- revenue ---------------------------------------------------------------------------------------------

impl Store {
    async fn enter_revenue(&self, entries: Vec<RevenueEntry>, who: String) -> Result<(), StoreError> {
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        let entered = self.write(async move |connection| {
            for entry in entries {
                let before = find_revenue(connection, entry.id).await?;
                put_revenue(connection, &entry, Stamp(clock.now())).await?;
                let (id, at) = (ids.call_id().0, clock.now());
                let (what, after, why) = ("revenue".to_owned(), json!(entry), String::new());
                audit::add(connection, Entry { id, at, who: who.clone(), what, before, after, why }).await?;
            }
            Ok(())
        });
        entered.await.map_err(|source| StoreError::Write { what: REVENUE, source })
    }

    async fn revenue(&self, first: Date, last: Date) -> Result<Vec<RevenueEntry>, StoreError> {
        let read = self.read(async move |connection| {
            let select = "SELECT id, date, agent, amount_microusd, note FROM revenue \
                          WHERE date >= $1 AND date <= $2 ORDER BY date, id";
            rows!(connection, select, Day(first), Day(last))
        });
        let found: Vec<RevenueRow> =
            read.await.map_err(|source| StoreError::Read { what: REVENUE, source })?;
        found.into_iter().map(revenue).collect()
    }
}

async fn find_revenue(connection: &mut Connection<'_>, id: Uuid) -> sqlx::Result<Value> {
    let select = "SELECT id, date, agent, amount_microusd, note FROM revenue WHERE id = $1";
    let found: Option<RevenueRow> = row!(connection, select, Id(id))?;
    Ok(found.and_then(|row| revenue(row).ok()).map_or(Value::Null, |entry| json!(entry)))
}

async fn put_revenue(connection: &mut Connection<'_>, entry: &RevenueEntry, at: Stamp) -> sqlx::Result<()> {
    let upsert = "INSERT INTO revenue (id, date, agent, amount_microusd, note, entered_at) \
                  VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET date = excluded.date, \
                  agent = excluded.agent, amount_microusd = excluded.amount_microusd, note = excluded.note, \
                  entered_at = excluded.entered_at";
    let RevenueEntry { id, date, agent, amount: Usd(amount), note } = entry.clone();
    execute!(connection, upsert, Id(id), Day(date), agent, i64::from(amount), note, at).map(drop)
}

fn revenue((Id(id), Day(date), agent, amount, note): RevenueRow) -> Result<RevenueEntry, StoreError> {
    Ok(RevenueEntry { id, date, agent, amount: Usd(money(amount)?), note })
}
