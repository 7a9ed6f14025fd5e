//! Sums of days are what brute force says, however facts come, and however often and by whomever they are summed up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tandem_actors::mode::Mode;
use tandem_actors::ports::CallId;
use tandem_actors::usage::event::{EventKind, Metadata, Unit, UsageEvent};

use super::*;
use crate::analytics::{Dashboard, Thresholds, dashboard};
use crate::journal::{Archive, Batch, EndingEntry, Entry, OutcomeEntry, UsageEntry};
use crate::money::{Microusd, Usd};
use crate::statistics::{RevenueEntry, Statistics};

const SPOOLS: [Uuid; 2] = [Uuid::from_u128(7), Uuid::from_u128(8)];
const FIRST: Date = date(2026, 3, 15);
const LAST: Date = date(2026, 4, 13);

/// Clocks are changed on the fifteenth of these thirty days.
fn calendar() -> Calendar {
    Calendar { zone: TimeZone::get("Europe/Berlin").unwrap(), frozen_before_opt: None }
}

/// What happened in one call.
#[derive(Clone, Debug)]
struct Call {
    id: CallId,
    began: Timestamp,
    user_opt: Option<Uuid>,
    agent: &'static str,
    mode: Mode,
    minutes: u64,
    tool_calls: u64,
    microusd_opt: Option<u64>,
    failed: bool,
    early_hang_up: bool,
    reward_opt: Option<f64>,
    response_ms: Vec<u32>,
    /// It was handed over after the first minute: two parts end.
    parts: bool,
}

impl Call {
    fn any(n: u128, rng: &mut StdRng) -> Self {
        let minute = rng.random_range(0..30 * 24 * 60);
        let began = FIRST.to_zoned(calendar().zone).unwrap().timestamp() + SignedDuration::from_mins(minute);
        let modes = [Mode::Realtime, Mode::Cascade, Mode::Traditional];
        Self {
            id: CallId(Uuid::from_u128(n)),
            began,
            user_opt: rng.random_bool(0.9).then(|| Uuid::from_u128(rng.random_range(0..40))),
            agent: if rng.random_bool(0.7) { "night desk" } else { "day desk" },
            mode: modes[rng.random_range(0..3)],
            minutes: rng.random_range(1..40),
            tool_calls: rng.random_range(0..4),
            microusd_opt: rng.random_bool(0.9).then(|| rng.random_range(0..3_000_000)),
            failed: rng.random_bool(0.2),
            early_hang_up: rng.random_bool(0.2),
            reward_opt: rng.random_bool(0.5).then(|| rng.random_range(0.0..1.0)),
            response_ms: (0..rng.random_range(0..6)).map(|_| rng.random_range(200..4_000)).collect(),
            parts: rng.random_bool(0.1),
        }
    }

    fn at(&self, minute: u64) -> Timestamp {
        self.began + SignedDuration::from_mins(i64::try_from(minute).unwrap())
    }

    fn day(&self, minute: u64) -> Date {
        self.at(minute).to_zoned(calendar().zone).date()
    }

    fn entries(&self) -> Vec<Entry> {
        let mut n = self.id.0.as_u128() << 32;
        let mut id = || {
            n += 1;
            Uuid::from_u128(n)
        };
        let event = |id, minute, kind, quantity, unit, cost_microusd_opt| {
            Entry::Usage(Box::new(UsageEntry {
                user_opt: self.user_opt,
                event: UsageEvent {
                    id,
                    at: self.at(minute),
                    call: self.id,
                    agent: self.agent.to_owned(),
                    mode: self.mode,
                    kind,
                    provider_opt: None,
                    model_opt: None,
                    quantity,
                    unit,
                    metadata: Metadata::default(),
                    cost_microusd_opt,
                    unheard_microusd: 0,
                    price_version: 1,
                },
            }))
        };
        let mut entries = vec![event(id(), 0, EventKind::SessionStart, 1, Unit::Call, Some(0))];
        for minute in 0..self.minutes {
            let cost = if minute == 0 { self.microusd_opt } else { Some(0) };
            entries.push(event(id(), minute, EventKind::VoiceMinute, 60_000, Unit::Millisecond, cost));
        }
        for _ in 0..self.tool_calls {
            entries.push(event(id(), 0, EventKind::ToolCall, 1, Unit::Call, Some(0)));
        }
        let ending = |id, minute, is_last, response_ms: &[u32]| {
            Entry::Ending(Box::new(EndingEntry {
                id,
                at: self.at(minute),
                call: self.id,
                agent: self.agent.to_owned(),
                mode: self.mode,
                is_last,
                failed: self.failed,
                early_hang_up: self.early_hang_up,
                response_ms: response_ms.to_vec(),
            }))
        };
        let (first, rest) = self.response_ms.split_at(usize::from(self.parts).min(self.response_ms.len()));
        if self.parts {
            entries.push(ending(id(), 0, false, first));
        }
        entries.push(ending(id(), self.minutes, true, rest));
        if let Some(reward) = self.reward_opt {
            let (call, at) = (self.id, self.at(9_000));
            entries.push(Entry::Outcome(OutcomeEntry { call, at, reward, note: String::new() }));
        }
        entries
    }
}

fn history(seed: u64) -> (Vec<Call>, StdRng) {
    let mut rng = StdRng::seed_from_u64(seed);
    let calls = (1..=300).map(|n| Call::any(n, &mut rng)).collect();
    (calls, rng)
}

/// Writes all of it in some order, from two spools, and sums up now and then.
async fn live_through(store: &Store, calls: &[Call], rng: &mut StdRng) {
    let mut entries: Vec<Entry> = calls.iter().flat_map(Call::entries).collect();
    entries.shuffle(rng);
    let mut numbers = [0, 0];
    while !entries.is_empty() {
        let batch: Vec<Entry> = entries.drain(..rng.random_range(1..400).min(entries.len())).collect();
        let spool = rng.random_range(0..2);
        numbers[spool] += batch.len() as u64;
        Archive::write(store, SPOOLS[spool], numbers[spool], Batch::of(batch.clone())).await.unwrap();
        if rng.random_bool(0.2) {
            // Told again, by somebody who did not hear that it was written.
            numbers[spool] += 1;
            Archive::write(store, SPOOLS[spool], numbers[spool], Batch::of(batch)).await.unwrap();
        }
        if rng.random_bool(0.3) {
            store.roll_up(&calendar()).await.unwrap();
        }
    }
}

async fn told(store: &Store) -> Dashboard {
    dashboard(LAST, &store.history(LAST).await.unwrap(), Thresholds::default())
}

/// The sums of a day, by looking at all calls again: `sessions, minutes, tool calls, users, micro-dollars, unpriced`.
fn brute_force(calls: &[Call], day: Date) -> Option<(usize, f64, u64, usize, u64, u64)> {
    let began: Vec<&Call> = calls.iter().filter(|call| call.day(0) == day).collect();
    let minutes = calls.iter().flat_map(|call| (0..call.minutes).filter(|minute| call.day(*minute) == day));
    let there = calls.iter().filter(|call| (0..call.minutes).any(|minute| call.day(minute) == day));
    let users: BTreeSet<Uuid> = there.filter_map(|call| call.user_opt).collect();
    let ended = calls.iter().any(|call| call.day(call.minutes) == day);
    let (minutes, sessions) = (minutes.count(), began.len());
    if sessions == 0 && minutes == 0 && !ended {
        return None;
    }
    let sum = |of: fn(&Call) -> u64| began.iter().map(|call| of(call)).sum::<u64>();
    let (tool_calls, microusd) =
        (sum(|call| call.tool_calls), sum(|call| call.microusd_opt.unwrap_or_default()));
    let unpriced = sum(|call| u64::from(call.microusd_opt.is_none()));
    Some((sessions, minutes as f64, tool_calls, users.len(), microusd, unpriced))
}

type DailyRow = (columns::Day, i64, f64, i64, i64, i64, i64, i64, i64, i64);
type ActivityRow = (columns::Id, columns::Day, columns::Day, i64, f64, i64);

async fn daily(store: &Store) -> Vec<DailyRow> {
    let select = "SELECT date, total_sessions, total_voice_minutes, total_tool_calls, unique_users, cost_microusd, \
                  unpriced_events, d1_came_back, d7_came_back, d30_came_back FROM daily_usage_stats ORDER BY date";
    store.read(async move |connection| rows!(connection, select)).await.unwrap()
}

async fn activity(store: &Store) -> Vec<ActivityRow> {
    let select = "SELECT user_id, first_seen, last_seen, total_sessions, total_voice_minutes, total_tool_calls \
                  FROM user_activity ORDER BY user_id";
    store.read(async move |connection| rows!(connection, select)).await.unwrap()
}

/// The days of each user.
fn days_of_users(calls: &[Call]) -> BTreeMap<Uuid, BTreeSet<Date>> {
    let mut days: BTreeMap<Uuid, BTreeSet<Date>> = BTreeMap::new();
    for call in calls {
        if let Some(user) = call.user_opt {
            days.entry(user).or_default().extend((0..call.minutes).map(|minute| call.day(minute)));
        }
    }
    days
}

async fn is_what_brute_force_says(store: &Store, calls: &[Call]) {
    let days = days_of_users(calls);
    let rows = daily(store).await;
    let mut day = FIRST.yesterday().unwrap();
    let mut told_days = 0;
    while day <= LAST.tomorrow().unwrap() {
        let row = rows.iter().find(|row| row.0.0 == day);
        let sums = row.map(|(_, sessions, minutes, tools, users, cost, unpriced, ..)| {
            let [tools, cost, unpriced] = [tools, cost, unpriced].map(|n| n.cast_unsigned());
            let [sessions, users] = [sessions, users].map(|n| usize::try_from(*n).unwrap());
            (sessions, *minutes, tools, users, cost, unpriced)
        });
        assert_eq!(sums, brute_force(calls, day), "{day}");
        let came_back = |n: i32| {
            let first = day.saturating_sub(n.days());
            let of_user = |days: &&BTreeSet<Date>| days.first() == Some(&first) && days.contains(&day);
            days.values().filter(of_user).count()
        };
        if let Some((.., d1, d7, d30)) = row {
            let told = [d1, d7, d30].map(|n| usize::try_from(*n).unwrap());
            assert_eq!(told, [1, 7, 30].map(came_back), "{day}");
        }
        told_days += usize::from(row.is_some());
        day = day.tomorrow().unwrap();
    }
    assert_eq!(told_days, rows.len(), "no other days have rows");

    let users = activity(store).await;
    assert_eq!(users.len(), days.len());
    for (columns::Id(user), columns::Day(first), columns::Day(last), sessions, minutes, tools) in users {
        assert_eq!((Some(&first), Some(&last)), (days[&user].first(), days[&user].last()));
        let calls: Vec<&Call> = calls.iter().filter(|call| call.user_opt == Some(user)).collect();
        assert_eq!(usize::try_from(sessions), Ok(calls.len()));
        assert_eq!(Some(minutes), Some(calls.iter().map(|call| call.minutes as f64).sum()));
        assert_eq!(tools, calls.iter().map(|call| call.tool_calls.cast_signed()).sum::<i64>());
    }

    let told = told(store).await;
    let is_here = |minute: u64, call: &&Call| (FIRST..=LAST).contains(&call.day(minute));
    let cost = calls.iter().filter(|call| is_here(0, call)).filter_map(|call| call.microusd_opt).sum::<u64>();
    assert_eq!(told.monthly_cost, Usd(Microusd::from(cost)));
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    for (n, retention) in [(1, told.retention.d1), (7, told.retention.d7), (30, told.retention.d30)] {
        let due = |days: &BTreeSet<Date>| days.first().map(|first| first.saturating_add(n.days()));
        let asked: Vec<_> =
            days.values().filter(|days| due(days).is_some_and(|due| (FIRST..=LAST).contains(&due))).collect();
        let came_back = asked.iter().filter(|days| due(days).is_some_and(|due| days.contains(&due))).count();
        assert_eq!(retention, share(came_back, asked.len()), "d{n}");
    }
    for (mode, figures) in told.modes {
        let ended: Vec<&Call> =
            calls.iter().filter(|call| is_here(call.minutes, call) && call.mode == mode).collect();
        let count = |is: fn(&Call) -> bool| ended.iter().filter(|call| is(call)).count();
        assert_eq!(figures.calls_ended, ended.len() as u64);
        assert_eq!(figures.failure_rate, share(count(|call| call.failed), ended.len()));
        let early = count(|call| call.early_hang_up && !call.parts);
        assert_eq!(figures.early_hang_up_rate, share(early, ended.len()));
        let good = count(|call| call.reward_opt.is_some_and(|reward| reward >= 0.5)) as u64;
        let bad = count(|call| call.reward_opt.is_some_and(|reward| reward < 0.5)) as u64;
        assert_eq!((figures.good_outcomes, figures.bad_outcomes), (good, bad));
        let mut times: Vec<u32> = ended.iter().flat_map(|call| call.response_ms.iter().copied()).collect();
        times.sort_unstable();
        let p95 = f64::from(times[(times.len() * 95).div_ceil(100) - 1]);
        let told = f64::from(figures.response_p95_ms.unwrap());
        assert!((p95..p95 * (1.0 + 1.0 / 16.0)).contains(&told), "{mode}: {told} for {p95}");
    }
}

fn money(id: u128, date: Date, usd: u32) -> RevenueEntry {
    let (agent, note) = (Some("night desk".to_owned()), "invoice".to_owned());
    RevenueEntry { id: Uuid::from_u128(id), date, agent, amount: Usd(Microusd::from_usd(usd)), note }
}

on_both! {
    async fn thirty_days_come_to_what_brute_force_says(ground) {
        let store = ground.open().await;
        let (calls, mut rng) = history(1);
        live_through(&store, &calls, &mut rng).await;
        store.roll_up(&calendar()).await.unwrap();
        is_what_brute_force_says(&store, &calls).await;
        assert_eq!(store.roll_up(&calendar()).await.unwrap(), RolledUp::default(), "nothing is left to do");

        let before = (daily(&store).await, activity(&store).await, told(&store).await);
        let rebuilt = store.rebuild(&calendar()).await.unwrap();
        assert_eq!(rebuilt, RolledUp { days: before.0.len() as u64, ..RolledUp::default() });
        assert_eq!((daily(&store).await, activity(&store).await, told(&store).await), before);
    }

    async fn several_who_sum_up_at_once_come_to_the_same(ground) {
        let store = ground.open().await;
        let (calls, mut rng) = history(2);
        let other = ground.open().await;
        let (stop_tx, mut stop) = tokio::sync::oneshot::channel::<()>();
        let helper = async {
            while stop.try_recv().is_err() {
                other.roll_up(&calendar()).await.unwrap();
            }
        };
        let lived = async {
            live_through(&store, &calls, &mut rng).await;
            stop_tx.send(()).unwrap();
        };
        tokio::join!(helper, lived);
        while store.roll_up(&calendar()).await.unwrap() != RolledUp::default() {}
        is_what_brute_force_says(&store, &calls).await;
    }

    async fn in_another_zone_days_are_others(ground) {
        let store = ground.open().await;
        let (calls, mut rng) = history(3);
        let utc = Calendar { zone: TimeZone::UTC, frozen_before_opt: None };
        store.roll_up(&utc).await.unwrap();
        live_through(&store, &calls, &mut rng).await; // in Berlin
        store.roll_up(&utc).await.unwrap();
        let in_utc = daily(&store).await;
        store.roll_up(&calendar()).await.unwrap();
        is_what_brute_force_says(&store, &calls).await;
        assert_ne!(daily(&store).await, in_utc);
    }

    async fn what_comes_too_late_for_a_day_that_is_frozen_changes_nothing(ground) {
        let store = ground.open().await;
        let (calls, mut rng) = history(4);
        live_through(&store, &calls, &mut rng).await;
        store.roll_up(&calendar()).await.unwrap();
        let before = daily(&store).await;
        // Facts of the first half are gone.
        let cut = FIRST.saturating_add(12.days()).at(10, 0, 0, 0).to_zoned(calendar().zone).unwrap().timestamp();
        store.write_raw("DELETE FROM usage_events WHERE at < $1", cut).await;
        let late = Call { id: CallId(Uuid::from_u128(900)), began: cut - 48.hours(), ..calls[0].clone() };
        Archive::write(&store, SPOOLS[0], 1_000_000, Batch::of(late.entries())).await.unwrap();
        let frozen = Calendar { frozen_before_opt: Some(cut), ..calendar() };
        let done = store.roll_up(&frozen).await.unwrap();
        assert!(done.days == 0 && done.frozen > 0, "{done:?}");
        assert_eq!(daily(&store).await, before);
        let rebuilt = store.rebuild(&frozen).await.unwrap();
        assert_eq!((rebuilt.frozen, daily(&store).await), (13, before), "{rebuilt:?}");
    }

    async fn revenue_is_entered_corrected_and_told_with_who_did_it(ground) {
        let store = ground.open().await;
        store.enter(vec![money(1, LAST, 40), money(2, FIRST, 2)], "ann".to_owned()).await.unwrap();
        store.enter(vec![money(1, LAST, 50)], "bob".to_owned()).await.unwrap();
        assert_eq!(store.entered(FIRST, LAST).await, Ok(vec![money(2, FIRST, 2), money(1, LAST, 50)]));
        assert_eq!(told(&store).await.monthly_revenue, Some(Usd(Microusd::from_usd(52))));
        let Page { entries, .. } = AuditLog::page(&store, 10, None).await.unwrap();
        let said: Vec<_> = entries.iter().map(|entry| (&*entry.who, &*entry.what, entry.before["amount"].as_f64())).collect();
        assert_eq!(said, [("bob", "revenue", Some(40.0)), ("ann", "revenue", None), ("ann", "revenue", None)]);
        say(&store, "DROP TABLE revenue").await.unwrap();
        assert!(store.enter(vec![money(3, LAST, 1)], "ann".to_owned()).await.is_err());
        assert!(store.history(LAST).await.unwrap_err().to_string().starts_with("cannot read the statistics: "));
    }
}
