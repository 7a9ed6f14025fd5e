//! The dashboard: its JSON, field for field; nothing at all; and every month against sums over its calls.

use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use std::collections::BTreeSet;

use tandem_actors::usage::event::{EventKind, Unit};
use uuid::Uuid;

use super::super::day::{Day, UserDay};
use super::super::facts::{CallEnding, Outcome, UsageEvent};
use super::super::retention::{AFTER_DAYS, Cohort};
use super::*;

const LAST: Date = date(2026, 11, 30);

/// A call of a minute or more, all of it at noon.
#[derive(Clone, Debug)]
struct Call {
    /// Days before the last one of the window.
    days_ago: i32,
    user: &'static str,
    agent: &'static str,
    mode: Mode,
    minutes: i64,
    tool_calls: u32,
    microusd: u64,
}

fn user(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Uuid::from_bytes(bytes)
}

impl Call {
    fn day(&self) -> Date {
        LAST.saturating_sub(self.days_ago.days())
    }

    fn events(&self) -> Vec<UsageEvent> {
        let event = |kind, quantity, unit, microusd: u64| UsageEvent {
            at: self.day().at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp(),
            user_opt: Some(user(self.user)),
            agent: self.agent.to_owned(),
            mode: self.mode,
            kind,
            quantity,
            unit,
            cost_opt: Some(Microusd::from(microusd)),
            unheard: Microusd::from(microusd / 10),
        };
        let mut events = vec![
            event(EventKind::SessionStart, 1, Unit::Call, 0),
            event(EventKind::VoiceMinute, self.minutes, Unit::Minute, self.microusd),
        ];
        events.extend((0..self.tool_calls).map(|_| event(EventKind::ToolCall, 1, Unit::Call, 0)));
        events
    }

    fn ending(&self) -> CallEnding {
        CallEnding {
            ended_at: self.events()[0].at,
            agent: self.agent.to_owned(),
            mode: self.mode,
            failed: self.minutes < 3,
            early_hang_up: self.minutes == 2,
            outcome_opt: match self.tool_calls {
                0 => None,
                1 => Some(Outcome::Bad),
                _ => Some(Outcome::Good),
            },
            response_ms: vec![16, 31],
        }
    }
}

/// All rows of the days on which there were calls.
#[derive(Default)]
struct Rows(History);

impl Rows {
    fn of(calls: &[Call]) -> Self {
        let (mut rows, mut users) = (History::default(), Vec::new());
        for date in calls.iter().map(Call::day).collect::<BTreeSet<_>>() {
            let mut day = Day::new(date, &TimeZone::UTC).unwrap();
            calls.iter().flat_map(Call::events).for_each(|event| day.note_event(&event));
            calls.iter().map(Call::ending).for_each(|ending| day.note_ending(&ending));
            let of_day = day.rows();
            rows.daily.push(of_day.usage);
            rows.modes.extend(of_day.modes);
            rows.parts.extend(of_day.parts);
            users.extend(of_day.users);
        }
        rows.first_use_opt = users.iter().map(|row| row.day).min();
        let days: BTreeSet<Date> = users.iter().map(|row| row.day).collect();
        let due = days.iter().flat_map(|day| AFTER_DAYS.map(|n| day.saturating_add(n.days())));
        let asked: BTreeSet<Date> = days.iter().copied().chain(due).collect();
        rows.cohorts = asked.into_iter().map(|day| cohorts(day, &users)).collect();
        Self(rows)
    }

    fn dashboard(&self, revenue: &[Revenue]) -> Dashboard {
        dashboard(LAST, &History { revenue: revenue.to_vec(), ..self.0.clone() }, Thresholds::default())
    }
}

/// By looking at all days of all users again for each.
fn cohorts(day: Date, users: &[UserDay]) -> DailyCohorts {
    let there = |user: Uuid| users.iter().filter(move |row| row.user == user).map(|row| row.day);
    let all: BTreeSet<Uuid> = users.iter().map(|row| row.user).collect();
    let cohorts = AFTER_DAYS.map(|n| {
        let first = day.saturating_sub(n.days());
        let asked: Vec<_> = all.iter().filter(|user| there(**user).min() == Some(first)).collect();
        let came_back = asked.iter().filter(|user| there(***user).any(|seen| seen == day)).count() as u64;
        Cohort { asked: asked.len() as u64, came_back }
    });
    DailyCohorts { day, cohorts }
}

fn revenue(day: Date, agent_opt: Option<&str>, usd: u32) -> Revenue {
    Revenue { day, agent_opt: agent_opt.map(str::to_owned), amount: Microusd::from_usd(usd) }
}

const FIRST_CALL: Call = Call {
    days_ago: 9,
    user: "ann",
    agent: "night desk",
    mode: Mode::Realtime,
    minutes: 4,
    tool_calls: 2,
    microusd: 240_000,
};

#[test]
fn its_json_has_the_launch_plans_fields() {
    let calls = [
        FIRST_CALL,
        Call { days_ago: 8, minutes: 2, tool_calls: 1, microusd: 100_000, ..FIRST_CALL },
        Call { days_ago: 8, user: "bob", minutes: 1, tool_calls: 0, microusd: 60_001, ..FIRST_CALL },
        Call { days_ago: 2, user: "bob", agent: "day desk", mode: Mode::Cascade, ..FIRST_CALL },
    ];
    let entries = [
        revenue(LAST, Some("day desk"), 100),
        revenue(LAST, None, 50),
        revenue(LAST.tomorrow().unwrap(), None, 1_000),
    ];
    let told = serde_json::to_value(Rows::of(&calls).dashboard(&entries)).unwrap();
    let realtime = json!({
        "cost": 0.400_001,
        "unpriced_events": 0,
        "unheard_cost": 0.04,
        "cost_per_minute": 0.057_143,
        "cost_per_user": 1.333_337,
        "daily_active_users": 0.3,
        "sessions": 3,
        "voice_minutes": 7.0,
        "minutes_per_user": 70.0 / 3.0,
        "tool_calls": 3,
        "tool_calls_per_session": 1.0,
        "calls_ended": 3,
        "failure_rate": 2.0 / 3.0,
        "early_hang_up_rate": 1.0 / 3.0,
        "good_outcomes": 1,
        "bad_outcomes": 1,
        "good_outcome_rate": 0.5,
        "response_p50_ms": 16,
        "response_p95_ms": 31,
    });
    let cascade = json!({
        "cost": 0.24,
        "unpriced_events": 0,
        "unheard_cost": 0.024,
        "cost_per_minute": 0.06,
        "cost_per_user": 2.4,
        "daily_active_users": 0.1,
        "sessions": 1,
        "voice_minutes": 4.0,
        "minutes_per_user": 40.0,
        "tool_calls": 2,
        "tool_calls_per_session": 2.0,
        "calls_ended": 1,
        "failure_rate": 0.0,
        "early_hang_up_rate": 0.0,
        "good_outcomes": 1,
        "bad_outcomes": 0,
        "good_outcome_rate": 1.0,
        "response_p50_ms": 16,
        "response_p95_ms": 31,
    });
    let with_revenue = |figures: &serde_json::Value, revenue, per_user| {
        let mut figures = figures.clone();
        figures["revenue"] = revenue;
        figures["revenue_per_user"] = per_user;
        figures
    };
    let expected = json!({
        "window": {"first": "2026-11-01", "last": "2026-11-30"},
        "monthly_cost": 0.640_001,
        "unpriced_events": 0,
        "unheard_cost": 0.064,
        "monthly_revenue": 150.0,
        "cost_per_user": 1.600_003,
        "revenue_per_user": 375.0,
        "daily_active_users": 0.4,
        "sessions_per_month": 4,
        "voice_minutes_per_month": 11.0,
        "minutes_per_user": 27.5,
        "tool_calls_per_month": 5,
        "tool_calls_per_session": 1.25,
        "retention": {"d1": 0.5, "d7": 0.0, "d30": null},
        "optimization_trigger": {
            "should_optimize": false,
            "reason": "Keep using OpenAI (cost 0.640001 USD > 150.00 USD: no; daily users 0.40 > 50: no; \
                       revenue 150.00 USD > 500.00 USD: no)",
            "estimated_savings": 0.422_401,
        },
        "agents": {
            "day desk": with_revenue(&cascade, json!(100.0), json!(1_000.0)),
            "night desk": with_revenue(&realtime, json!(null), json!(null)),
        },
        "modes": {"realtime": realtime, "cascade": cascade},
    });
    assert_eq!(told, expected, "{told:#}");
}

#[test]
fn of_nothing_there_are_zeros_and_nulls() {
    let told = serde_json::to_value(Rows::default().dashboard(&[])).unwrap();
    let expected = json!({
        "window": {"first": "2026-11-01", "last": "2026-11-30"},
        "monthly_cost": 0.0,
        "unpriced_events": 0,
        "unheard_cost": 0.0,
        "monthly_revenue": null,
        "cost_per_user": null,
        "revenue_per_user": null,
        "daily_active_users": null,
        "sessions_per_month": 0,
        "voice_minutes_per_month": 0.0,
        "minutes_per_user": null,
        "tool_calls_per_month": 0,
        "tool_calls_per_session": null,
        "retention": {"d1": null, "d7": null, "d30": null},
        "optimization_trigger": {
            "should_optimize": false,
            "reason": "Keep using OpenAI (cost 0.00 USD > 150.00 USD: no; daily users 0.00 > 50: no; \
                       revenue is not known, and so not asked for)",
            "estimated_savings": 0.0,
        },
        "modes": {},
        "agents": {},
    });
    assert_eq!(told, expected);
}

#[test]
fn days_before_the_first_use_do_not_dilute_the_average() {
    let daily_users = |calls: &[Call]| Rows::of(calls).dashboard(&[]).daily_active_users;
    let ago = |days_ago| Call { days_ago, ..FIRST_CALL };
    assert_eq!(daily_users(&[ago(0)]), Some(1.0));
    assert_eq!(daily_users(&[ago(3)]), Some(0.25));
    assert_eq!(daily_users(&[ago(29)]), Some(1.0 / 30.0));
    assert_eq!(daily_users(&[ago(30)]), Some(0.0), "it was open all the time");
    assert_eq!(daily_users(&[ago(45), ago(0)]), Some(1.0 / 30.0));
    assert_eq!(daily_users(&[ago(-1)]), None, "it opened after the window");

    let mut rows = Rows::of(&[ago(3)]);
    let (day, usage) = (LAST.saturating_sub(20.days()), Usage { sessions: 5, ..Usage::default() });
    rows.0.daily.push(DailyUsageStats { day, unique_users: 0, usage });
    assert_eq!(rows.dashboard(&[]).daily_active_users, Some(0.25), "callers who are not known are no users");
}

#[test]
fn a_user_of_two_modes_is_one_user_of_the_agent() {
    let calls = [
        Call { days_ago: 0, ..FIRST_CALL },
        Call { days_ago: 0, mode: Mode::Cascade, ..FIRST_CALL },
        Call { days_ago: 0, agent: "day desk", ..FIRST_CALL },
    ];
    let told = Rows::of(&calls).dashboard(&[]);
    assert_eq!(told.daily_active_users, Some(1.0));
    assert_eq!(told.agents["night desk"].figures.daily_active_users, Some(1.0));
    assert_eq!(told.modes[&Mode::Realtime].daily_active_users, Some(1.0));
}

fn call() -> impl Strategy<Value = Call> {
    let who = (select(&["ann", "bob", "cy"][..]), select(&["night desk", "day desk"][..]));
    let what = (1_i64..60, 0_u32..4, prop_oneof![0_u64..1_000, 0_u64..200_000_000]);
    (-3_i32..64, who, select(&Mode::ALL[..]), what).prop_map(
        |(days_ago, (user, agent), mode, (minutes, tool_calls, microusd))| Call {
            days_ago,
            user,
            agent,
            mode,
            minutes,
            tool_calls,
            microusd,
        },
    )
}

proptest! {
    #[test]
    fn a_months_figures_are_the_sums_of_its_calls(calls in vec(call(), 0..60)) {
        let told = Rows::of(&calls).dashboard(&[]);
        let month: Vec<&Call> = calls.iter().filter(|call| (0..30).contains(&call.days_ago)).collect();
        let minutes = |calls: &[&Call]| calls.iter().map(|call| call.minutes).sum::<i64>() as f64;
        let microusd = |calls: &[&Call]| calls.iter().map(|call| call.microusd).sum::<u64>();
        let user_days = |calls: &[&Call]| {
            calls.iter().map(|call| (call.days_ago, call.user)).collect::<BTreeSet<_>>().len() as f64
        };
        let days = calls.iter().map(|call| call.days_ago).filter(|ago| *ago >= 0).max().map_or(0, |ago| ago.min(29) + 1);
        let average = |calls: &[&Call]| (days > 0).then(|| user_days(calls) / f64::from(days));

        prop_assert_eq!(told.monthly_cost, Usd(Microusd::from(microusd(&month))));
        prop_assert_eq!(told.sessions_per_month, month.len() as u64);
        prop_assert_eq!(Some(told.voice_minutes_per_month), Some(minutes(&month)));
        prop_assert_eq!(told.tool_calls_per_month, month.iter().map(|call| u64::from(call.tool_calls)).sum::<u64>());
        prop_assert_eq!(told.daily_active_users, average(&month));
        let per_user = |amount: f64, calls: &[&Call]| average(calls).filter(|n| *n > 0.0).map(|n| amount / n);
        let close = |told: Option<f64>, expected: Option<f64>| match (told, expected) {
            (Some(told), Some(expected)) => (told - expected).abs() <= 1e-9 * expected.max(1.0),
            (told, expected) => told == expected,
        };
        prop_assert!(close(told.minutes_per_user, per_user(minutes(&month), &month)));
        let cost_per_user = told.cost_per_user.map(|Usd(cost)| i64::from(cost) as f64);
        let expected = per_user(microusd(&month) as f64, &month);
        prop_assert_eq!(cost_per_user.is_some(), expected.is_some());
        let off = cost_per_user.zip(expected).map_or(0.0, |(told, expected)| (told - expected).abs());
        prop_assert!(off <= 0.501, "cost per user is off by {off} micro-dollars");

        for mode in Mode::ALL {
            let of_mode: Vec<&Call> = month.iter().copied().filter(|call| call.mode == mode).collect();
            let Some(figures) = told.modes.get(&mode) else {
                prop_assert!(of_mode.is_empty());
                continue;
            };
            prop_assert_eq!(figures.cost, Usd(Microusd::from(microusd(&of_mode))));
            prop_assert_eq!(Some(figures.voice_minutes), Some(minutes(&of_mode)));
            prop_assert_eq!(figures.daily_active_users, average(&of_mode));
            prop_assert_eq!(figures.calls_ended, of_mode.len() as u64);
            let early = of_mode.iter().filter(|call| call.minutes == 2).count() as f64;
            prop_assert_eq!(figures.early_hang_up_rate, Some(early / of_mode.len() as f64));
        }
        let of_agents: u64 = told.agents.values().map(|agent| agent.figures.sessions).sum();
        prop_assert_eq!(of_agents, month.len() as u64);
    }
}
