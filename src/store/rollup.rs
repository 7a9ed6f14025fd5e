//! Roll-up: days are summed up again whenever something was written of them.
//!
//! It refuses to know what a day comes to; that is [`Day`]'s.
//!
//! Whoever writes a fact marks its hour as dirty, in the same transaction: with the spool that it came from and the number
//! that was reached in it, so that no two nodes write the same mark. A roll-up reads the marks, sums up the days that they
//! are in from all their facts, writes the rows in the place of those that were there, and then takes the marks away, but
//! for those that have moved on meanwhile. So a late fact is as good as a timely one, and a roll-up that is cut off is
//! begun again.
//!
//! **Several at once.** Each makes its rows from facts that it read after the day's revision. It writes them only while
//! that still is the revision: nobody puts older figures in the place of newer ones. The loser leaves the day for the next
//! time.
//!
//! **What is frozen.** Facts are deleted when they have become old, sums are not. A day some of whose facts may be gone is
//! never summed up again; what comes so late for it is left out, and told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::calls::{meant, named};
use super::columns::{Day as DayColumn, Id, Stamp};
use super::database::{Connection, execute, row, rows};
use super::error::StoreError;
use super::rows::{Again, Kind, Row, Table, date, id, integer, stamp, text};
use super::{Store, settings};
use crate::analytics::{
    AFTER_DAYS, CallEnding, DailyModeStats, DailyUniqueUsers, Day, DayRows, Outcome, Part, Usage, UsageEvent,
    UserDay, span,
};
use crate::journal::Batch;
use crate::money::Microusd;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Marks of one round. There are 24 a day for each spool: this is a year of a node's.
const MARKS_MAX: i64 = 10_000;

/// Held in PostgreSQL by whoever writes sums: a number of our own choice.
const SUMS_LOCK: i64 = 0x7461_6e64_656d_0005;

/// The zone that days were summed up in, among the settings.
const TIME_ZONE: &str = "analytics_time_zone";

/// An outcome is good from here on.
const GOOD_REWARD: f64 = 0.5;

const SUMS: &str = "the sums of a day";

const DIRTY_HOURS: Table = Table {
    name: "dirty_hours",
    columns: &[("hour", Kind::Stamp), ("spool", Kind::Id), ("number", Kind::Integer)],
    again: Again::Replaced { key: 2 },
};

const DAILY_MODE_STATS: Table = Table {
    name: "daily_mode_stats",
    columns: &[
        ("date", Kind::Date),
        ("agent", Kind::Text),
        ("mode", Kind::Text),
        ("sessions", Kind::Integer),
        ("voice_ms", Kind::Integer),
        ("tool_calls", Kind::Integer),
        ("cost_microusd", Kind::Integer),
        ("unpriced_events", Kind::Integer),
        ("unheard_microusd", Kind::Integer),
        ("calls_ended", Kind::Integer),
        ("failed", Kind::Integer),
        ("early_hang_ups", Kind::Integer),
        ("good_outcomes", Kind::Integer),
        ("bad_outcomes", Kind::Integer),
        ("response_times", Kind::Text),
    ],
    again: Again::Stays,
};

const DAILY_UNIQUE_USERS: Table = Table {
    name: "daily_unique_users",
    columns: &[
        ("date", Kind::Date),
        ("part", Kind::Text),
        ("name", Kind::Text),
        ("unique_users", Kind::Integer),
    ],
    again: Again::Stays,
};

const USER_DAYS: Table = Table {
    name: "user_days",
    columns: &[
        ("date", Kind::Date),
        ("user_id", Kind::Id),
        ("agent", Kind::Text),
        ("mode", Kind::Text),
        ("sessions", Kind::Integer),
        ("voice_ms", Kind::Integer),
        ("tool_calls", Kind::Integer),
        ("cost_microusd", Kind::Integer),
        ("unpriced_events", Kind::Integer),
        ("unheard_microusd", Kind::Integer),
    ],
    again: Again::Stays,
};

/// Which days there are, and which of them can no longer be summed up.
#[derive(Clone, Debug)]
pub struct Calendar {
    pub zone: TimeZone,
    /// Facts from before may have been deleted.
    pub frozen_before_opt: Option<Timestamp>,
}

/// What a roll-up has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RolledUp {
    /// Days that were summed up.
    pub days: u64,
    /// Days for which something came too late.
    pub frozen: u64,
    /// Days that somebody else was summing up.
    pub left: u64,
}

/// What has become of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    Frozen,
    Left,
}

/// `hour, spool, number`
type Mark = (Stamp, Id, i64);

/// `at, user_id, agent, mode, event_type, quantity, unit, cost_microusd, unheard_microusd`
type EventRow = (Stamp, Option<Id>, String, String, String, i64, String, Option<i64>, i64);

/// `call_id, ended_at, agent, mode, is_last, failed, early_hang_up, response_ms, reward`
type EndingRow = (Id, Stamp, String, String, bool, bool, bool, String, Option<f64>);

// --- marks -----------------------------------------------------------------------------------------------

/// Marks the hours of what was just written.
pub(super) async fn mark(
    connection: &mut Connection<'_>,
    spool: Uuid,
    number: u64,
    batch: &Batch,
) -> sqlx::Result<()> {
    let mut hours: BTreeSet<Timestamp> = batch.usage.values().map(|usage| hour(usage.event.at)).collect();
    // An ending may move its call to another day, and an outcome comes when it comes.
    let calls = batch.endings.values().map(|ending| ending.call).chain(batch.outcomes.keys().copied());
    for call in calls.collect::<BTreeSet<_>>() {
        let select = "SELECT ended_at FROM call_endings WHERE call_id = $1";
        let ended: Vec<(Stamp,)> = rows!(connection, select, Id(call.0))?;
        hours.extend(ended.into_iter().map(|(Stamp(at),)| hour(at)));
    }
    let marks = hours.into_iter().map(|hour| vec![stamp(hour), id(spool), integer(number)]);
    DIRTY_HOURS.put(connection, marks.collect()).await
}

/// Marks the hour of something that came from no spool.
pub(super) async fn mark_hour(connection: &mut Connection<'_>, at: Timestamp) -> sqlx::Result<()> {
    let mark = "INSERT INTO dirty_hours (hour, spool, number) VALUES ($1, $2, 1) \
                ON CONFLICT (hour, spool) DO UPDATE SET number = dirty_hours.number + 1";
    execute!(connection, mark, Stamp(hour(at)), Id(Uuid::nil())).map(drop)
}

/// The first moment of the hour, in UTC.
fn hour(at: Timestamp) -> Timestamp {
    let seconds = at.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(HOUR.as_secs())).unwrap_or(at)
}

/// The days that an hour is in. In zones that are half an hour off, midnight is within one.
fn days_of(hour: Timestamp, zone: &TimeZone) -> BTreeSet<Date> {
    let date = |at: Timestamp| at.to_zoned(zone.clone()).date();
    let last = hour.saturating_add(HOUR - SignedDuration::from_nanos(1)).unwrap_or(hour);
    // When clocks go back over midnight, what they show is not the day that it counts to: its neighbour is asked too.
    let shown = [date(hour), date(last)];
    let near = shown.into_iter().flat_map(|day| [Some(day), day.tomorrow().ok()]).flatten();
    near.filter(|day| span(*day, zone).is_some_and(|span| span.start <= last && hour < span.end)).collect()
}

// --- the round -------------------------------------------------------------------------------------------

impl Store {
    /// Sums up again all days of which something was written, or all there are if they were summed up in another zone.
    pub async fn roll_up(&self, calendar: &Calendar) -> Result<RolledUp, StoreError> {
        let read = self.read(async |connection| settings::get(connection, TIME_ZONE).await);
        let known = read.await.map_err(unread)?;
        match known {
            Some(known) if known == calendar.zone_document() => {}
            Some(before) => {
                tracing::info!(before, "days are those of another zone now: all are summed up again");
                return self.rebuild(calendar).await;
            }
            None => self.note_zone(calendar).await?,
        }
        self.roll_up_marked(calendar).await
    }

    /// Sums up again all days that have facts or sums.
    pub async fn rebuild(&self, calendar: &Calendar) -> Result<RolledUp, StoreError> {
        let read = self.read(async |connection| {
            let hour = |column: &str| match connection {
                Connection::Sqlite(_) => format!("{column} - {column} % 3600000000"),
                Connection::Postgres(_) => format!("date_trunc('hour', {column}, 'UTC')"),
            };
            let select = format!(
                "SELECT {} FROM usage_events UNION SELECT {} FROM call_endings",
                hour("at"),
                hour("ended_at")
            );
            let hours: Vec<(Stamp,)> = rows!(connection, AssertSqlSafe(select))?;
            let dates: Vec<(DayColumn,)> = rows!(connection, "SELECT date FROM daily_usage_stats")?;
            Ok((hours, dates))
        });
        let (hours, dates) = read.await.map_err(unread)?;
        let mut days: BTreeSet<Date> = dates.into_iter().map(|(DayColumn(date),)| date).collect();
        days.extend(hours.into_iter().flat_map(|(Stamp(hour),)| days_of(hour, &calendar.zone)));
        let mut done = RolledUp::default();
        for day in days {
            done.note(self.sum_up(day, calendar).await?);
        }
        self.note_zone(calendar).await?;
        Ok(done)
    }

    async fn note_zone(&self, calendar: &Calendar) -> Result<(), StoreError> {
        let (document, at) = (calendar.zone_document(), self.clock.now());
        let noted =
            self.write(async move |connection| settings::put(connection, TIME_ZONE, &document, at).await);
        noted.await.map_err(unwritten)
    }

    async fn roll_up_marked(&self, calendar: &Calendar) -> Result<RolledUp, StoreError> {
        let read = self.read(async |connection| {
            let select = "SELECT hour, spool, number FROM dirty_hours ORDER BY hour LIMIT $1";
            rows!(connection, select, MARKS_MAX)
        });
        let marks: Vec<Mark> = read.await.map_err(unread)?;
        let days_of_mark = |(Stamp(hour), ..): &Mark| days_of(*hour, &calendar.zone);
        let mut fates: BTreeMap<Date, Fate> = BTreeMap::new();
        let mut done = RolledUp::default();
        for day in marks.iter().flat_map(days_of_mark).collect::<BTreeSet<_>>() {
            let fate = self.sum_up(day, calendar).await?;
            fates.insert(day, fate);
            done.note(fate);
        }
        let is_settled = |mark: &Mark| days_of_mark(mark).iter().all(|day| fates[day] != Fate::Left);
        let settled: Vec<Mark> = marks.into_iter().filter(is_settled).collect();
        if !settled.is_empty() {
            self.take_away(settled).await?;
        }
        Ok(done)
    }

    /// Marks that have moved on stay.
    async fn take_away(&self, marks: Vec<Mark>) -> Result<(), StoreError> {
        let taken = self.write(async move |connection| {
            for (hour, spool, number) in marks {
                let delete = "DELETE FROM dirty_hours WHERE hour = $1 AND spool = $2 AND number <= $3";
                execute!(connection, delete, hour, spool, number)?;
            }
            Ok(())
        });
        taken.await.map_err(unwritten)
    }

    async fn sum_up(&self, date: Date, calendar: &Calendar) -> Result<Fate, StoreError> {
        let Some(span) = span(date, &calendar.zone) else { return Ok(Fate::Frozen) };
        if calendar.frozen_before_opt.is_some_and(|frozen| span.start < frozen) {
            return Ok(Fate::Frozen);
        }
        let revision_opt = self.revision(date).await?;
        let Some(mut day) = Day::new(date, &calendar.zone) else { return Ok(Fate::Frozen) };
        let mut from = span.start;
        while from < span.end {
            // An hour at a time: nobody who reads waits for a whole day, and memory holds no more.
            let until = span.end.min(from.saturating_add(HOUR).unwrap_or(span.end));
            self.events(from, until).await?.iter().for_each(|event| day.note_event(event));
            from = until;
        }
        self.endings(span.start, span.end).await?.iter().for_each(|ending| day.note_ending(ending));
        let (rows, at) = (day.rows(), self.clock.now());
        let wrote = self.write(async move |connection| replace(connection, rows, revision_opt, at).await);
        Ok(if wrote.await.map_err(unwritten)? { Fate::Written } else { Fate::Left })
    }

    async fn revision(&self, date: Date) -> Result<Option<i64>, StoreError> {
        let read = self.read(async move |connection| {
            let select = "SELECT revision FROM daily_usage_stats WHERE date = $1";
            let found: Option<(i64,)> = row!(connection, select, DayColumn(date))?;
            Ok(found.map(|(revision,)| revision))
        });
        read.await.map_err(unread)
    }
}

impl Calendar {
    /// The zone's name as it stands in the settings.
    fn zone_document(&self) -> String {
        json!(self.zone.iana_name()).to_string()
    }
}

impl RolledUp {
    fn note(&mut self, fate: Fate) {
        match fate {
            Fate::Written => self.days += 1,
            Fate::Frozen => self.frozen += 1,
            Fate::Left => self.left += 1,
        }
    }
}

fn unread(source: sqlx::Error) -> StoreError {
    StoreError::Read { what: SUMS, source }
}

fn unwritten(source: sqlx::Error) -> StoreError {
    StoreError::Write { what: SUMS, source }
}

// --- facts -----------------------------------------------------------------------------------------------

impl Store {
    async fn events(&self, from: Timestamp, until: Timestamp) -> Result<Vec<UsageEvent>, StoreError> {
        let read = self.read(async move |connection| {
            let select = "SELECT at, user_id, agent, mode, event_type, quantity, unit, cost_microusd, \
                          unheard_microusd FROM usage_events WHERE at >= $1 AND at < $2";
            rows!(connection, select, Stamp(from), Stamp(until))
        });
        let found: Vec<EventRow> = read.await.map_err(unread)?;
        let (mut modes, mut kinds, mut units) = (Names::default(), Names::default(), Names::default());
        let event = |(at, user, agent, mode, kind, quantity, unit, cost, unheard): EventRow| {
            let money = |microusd: i64| Microusd::try_from(microusd).ok();
            Ok(UsageEvent {
                at: at.0,
                user_opt: user.map(|Id(user)| user),
                agent,
                mode: modes.read(&mode)?,
                kind: kinds.read(&kind)?,
                quantity,
                unit: units.read(&unit)?,
                cost_opt: cost.and_then(money), // no amount of money is no known cost
                unheard: money(unheard).unwrap_or_default(),
            })
        };
        found.into_iter().map(event).collect()
    }

    /// Of the calls that ended in that time: all their parts, put together.
    async fn endings(&self, from: Timestamp, until: Timestamp) -> Result<Vec<CallEnding>, StoreError> {
        let read = self.read(async move |connection| {
            let select = "SELECT e.call_id, e.ended_at, e.agent, e.mode, e.is_last, e.failed, e.early_hang_up, \
                          e.response_ms, o.reward FROM call_endings AS e \
                          LEFT JOIN call_outcomes AS o ON o.call_id = e.call_id WHERE e.call_id IN \
                          (SELECT call_id FROM call_endings WHERE is_last AND ended_at >= $1 AND ended_at < $2) \
                          ORDER BY e.call_id, e.ended_at, e.id";
            rows!(connection, select, Stamp(from), Stamp(until))
        });
        let found: Vec<EndingRow> = read.await.map_err(unread)?;
        let calls = found.chunk_by(|(one, ..), (other, ..)| one == other);
        calls.filter_map(|parts| ending(parts).transpose()).collect()
    }
}

/// A call's parts, in the order of time, as one ending; nothing when it is not over. A caller who was put through to
/// another mode before he hung up has heard more than a beginning.
fn ending(parts: &[EndingRow]) -> Result<Option<CallEnding>, StoreError> {
    let Some((_, Stamp(ended_at), agent, mode, .., reward_opt)) = parts.iter().rfind(|part| part.4) else {
        return Ok(None);
    };
    let mut response_ms: Vec<u32> = Vec::new();
    for (.., of_part, _) in parts {
        response_ms.extend(meant::<Vec<u32>>(of_part)?);
    }
    let outcome = |reward: f64| if reward >= GOOD_REWARD { Outcome::Good } else { Outcome::Bad };
    Ok(Some(CallEnding {
        ended_at: *ended_at,
        agent: agent.clone(),
        mode: named(mode)?,
        failed: parts.iter().any(|part| part.5),
        early_hang_up: matches!(parts, [only] if only.6),
        outcome_opt: reward_opt.map(outcome),
        response_ms,
    }))
}

/// Names that stand in many rows, each read once.
struct Names<T>(BTreeMap<String, T>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: DeserializeOwned + Copy> Names<T> {
    fn read(&mut self, name: &str) -> Result<T, StoreError> {
        if let Some(known) = self.0.get(name) {
            return Ok(*known);
        }
        let read = named(name)?;
        self.0.insert(name.to_owned(), read);
        Ok(read)
    }
}

// --- sums ------------------------------------------------------------------------------------------------

/// Puts a day's rows in the place of those that were there, unless somebody else has done so since that revision.
async fn replace(
    connection: &mut Connection<'_>,
    rows: DayRows,
    revision_opt: Option<i64>,
    at: Timestamp,
) -> sqlx::Result<bool> {
    if let Connection::Postgres(_) = connection {
        execute!(connection, "SELECT pg_advisory_xact_lock($1)", SUMS_LOCK)?;
    }
    let day = DayColumn(rows.usage.day);
    if !replace_total(connection, &rows, revision_opt).await? {
        return Ok(false);
    }
    let before = first_seen(connection, day).await?;
    for delete in [
        "DELETE FROM daily_mode_stats WHERE date = $1",
        "DELETE FROM daily_unique_users WHERE date = $1",
        "DELETE FROM user_days WHERE date = $1",
    ] {
        execute!(connection, delete, day)?;
    }
    DAILY_MODE_STATS.put(connection, rows.modes.iter().map(mode_row).collect()).await?;
    DAILY_UNIQUE_USERS.put(connection, rows.parts.iter().map(part_row).collect()).await?;
    USER_DAYS.put(connection, rows.users.iter().map(user_row).collect()).await?;

    let mut known = first_seen(connection, day).await?;
    let there: BTreeSet<Uuid> = rows.users.iter().map(|row| row.user).collect();
    for (user, first) in before {
        if !there.contains(&user) {
            forget_day_of(connection, user, at).await?;
            known.insert(user, first);
        }
    }
    execute!(
        connection,
        AssertSqlSafe(activity("(SELECT user_id FROM user_days WHERE date = $2)")),
        Stamp(at),
        day
    )?;
    count_those_who_came_back(connection, day.0, &known).await?;
    Ok(true)
}

/// The row of the whole house. An empty day has none.
async fn replace_total(
    connection: &mut Connection<'_>,
    rows: &DayRows,
    revision_opt: Option<i64>,
) -> sqlx::Result<bool> {
    let is_empty = rows.modes.is_empty();
    let day = DayColumn(rows.usage.day);
    let usage = &rows.usage.usage;
    let (sessions, voice, tools) = (column(usage.sessions), column(usage.voice_ms), column(usage.tool_calls));
    let users = column(rows.usage.unique_users);
    let (cost, unheard) = (i64::from(usage.cost), i64::from(usage.unheard));
    let unpriced = column(usage.unpriced);
    let changed = match revision_opt {
        None if is_empty => return Ok(true),
        None => {
            let insert = "INSERT INTO daily_usage_stats (date, total_sessions, voice_ms, total_tool_calls, unique_users, \
                          cost_microusd, unpriced_events, unheard_microusd, d1_came_back, d7_came_back, \
                          d30_came_back, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, 1) \
                          ON CONFLICT DO NOTHING";
            execute!(connection, insert, day, sessions, voice, tools, users, cost, unpriced, unheard)?
        }
        Some(revision) if is_empty => {
            let delete = "DELETE FROM daily_usage_stats WHERE date = $1 AND revision = $2";
            execute!(connection, delete, day, revision)?
        }
        Some(revision) => {
            let update = "UPDATE daily_usage_stats SET total_sessions = $2, voice_ms = $3, total_tool_calls = $4, \
                          unique_users = $5, cost_microusd = $6, unpriced_events = $7, unheard_microusd = $8, \
                          revision = revision + 1 WHERE date = $1 AND revision = $9";
            execute!(
                connection, update, day, sessions, voice, tools, users, cost, unpriced, unheard, revision
            )?
        }
    };
    Ok(changed == 1)
}

/// Of the users of a day, those whose activity is known.
async fn first_seen(connection: &mut Connection<'_>, day: DayColumn) -> sqlx::Result<BTreeMap<Uuid, Date>> {
    let select = "SELECT DISTINCT d.user_id, a.first_seen FROM user_days AS d \
                  JOIN user_activity AS a ON a.user_id = d.user_id WHERE d.date = $1";
    let found: Vec<(Id, DayColumn)> = rows!(connection, select, day)?;
    Ok(found.into_iter().map(|(Id(user), DayColumn(first))| (user, first)).collect())
}

/// Sums up the activity of these users, `$1` being the time, from all their days.
fn activity(users: &str) -> String {
    format!(
        "INSERT INTO user_activity (user_id, first_seen, last_seen, total_sessions, voice_ms, total_tool_calls, \
         updated_at) SELECT user_id, MIN(date), MAX(date), CAST(SUM(sessions) AS BIGINT), \
         CAST(SUM(voice_ms) AS BIGINT), CAST(SUM(tool_calls) AS BIGINT), $1 FROM user_days \
         WHERE user_id IN {users} GROUP BY user_id ON CONFLICT (user_id) DO UPDATE SET \
         first_seen = excluded.first_seen, last_seen = excluded.last_seen, \
         total_sessions = excluded.total_sessions, voice_ms = excluded.voice_ms, \
         total_tool_calls = excluded.total_tool_calls, updated_at = excluded.updated_at"
    )
}

/// A user turns out not to have been there on a day.
async fn forget_day_of(connection: &mut Connection<'_>, user: Uuid, at: Timestamp) -> sqlx::Result<()> {
    execute!(connection, "DELETE FROM user_activity WHERE user_id = $1", Id(user))?;
    execute!(connection, AssertSqlSafe(activity("($2)")), Stamp(at), Id(user)).map(drop)
}

/// Counts again on the day itself, and on those on which it is asked who came back of users that were first seen on
/// another day than it was known.
async fn count_those_who_came_back(
    connection: &mut Connection<'_>,
    day: Date,
    known: &BTreeMap<Uuid, Date>,
) -> sqlx::Result<()> {
    let now = first_seen(connection, DayColumn(day)).await?;
    let mut firsts: BTreeSet<Date> = BTreeSet::new();
    for user in known.keys().chain(now.keys()) {
        let (before, after) = (known.get(user), now.get(user));
        if before != after {
            firsts.extend(before.into_iter().chain(after));
        }
    }
    let asked = firsts.into_iter().flat_map(|first| AFTER_DAYS.map(|n| first.saturating_add(n.days())));
    for day in asked.chain([day]).collect::<BTreeSet<_>>() {
        let [first_1, first_7, first_30] = AFTER_DAYS.map(|n| DayColumn(day.saturating_sub(n.days())));
        let came_back = |n: usize| {
            format!(
                "(SELECT COUNT(*) FROM user_activity AS a WHERE a.first_seen = ${n} AND EXISTS \
                 (SELECT 1 FROM user_days AS d WHERE d.date = $1 AND d.user_id = a.user_id))"
            )
        };
        let update = format!(
            "UPDATE daily_usage_stats SET d1_came_back = {}, d7_came_back = {}, d30_came_back = {} WHERE date = $1",
            came_back(2),
            came_back(3),
            came_back(4)
        );
        execute!(connection, AssertSqlSafe(update), DayColumn(day), first_1, first_7, first_30)?;
    }
    Ok(())
}

fn mode_row(stats: &DailyModeStats) -> Row {
    let mut row = vec![date(stats.day), text(&stats.agent), text(stats.mode.name())];
    row.extend(usage_cells(&stats.usage));
    let endings = &stats.endings;
    let counts = [endings.calls, endings.failed, endings.early_hang_ups, endings.good, endings.bad];
    row.extend(counts.map(integer));
    row.push(text(&serde_json::to_string(&endings.response_times).expect("counts by number are JSON")));
    row
}

fn part_row(users: &DailyUniqueUsers) -> Row {
    let (part, name) = match &users.part {
        Part::Mode(mode) => ("mode", mode.name()),
        Part::Agent(agent) => ("agent", agent.as_str()),
    };
    vec![date(users.day), text(part), text(name), integer(users.unique_users)]
}

fn user_row(of_user: &UserDay) -> Row {
    let mut row = vec![date(of_user.day), id(of_user.user), text(&of_user.agent), text(of_user.mode.name())];
    row.extend(usage_cells(&of_user.usage));
    row
}

/// `sessions, voice_ms, tool_calls, cost_microusd, unpriced_events, unheard_microusd`
fn usage_cells(usage: &Usage) -> Row {
    let money = |amount: Microusd| i64::from(amount).into();
    vec![
        integer(usage.sessions),
        integer(usage.voice_ms),
        integer(usage.tool_calls),
        money(usage.cost),
        integer(usage.unpriced),
        money(usage.unheard),
    ]
}

/// What is beyond a column's range is its end.
fn column(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
