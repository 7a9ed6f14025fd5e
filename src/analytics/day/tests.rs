//! Days: when they are, and every history against sums that follow the definitions word for word.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::date;
use jiff::{SignedDuration, ToSpan};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tandem_actors::usage::event::{EventKind, Unit};

use super::*;
use crate::money::Microusd;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn hours(date: Date, zone_name: &str) -> i64 {
    let span = span(date, &zone(zone_name)).unwrap();
    span.start.duration_until(span.end).as_hours()
}

fn user(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Uuid::from_bytes(bytes)
}

fn event(at: Timestamp, user_opt: Option<&str>, kind: EventKind) -> UsageEvent {
    UsageEvent {
        at,
        user_opt: user_opt.map(user),
        agent: "night desk".to_owned(),
        mode: Mode::Realtime,
        kind,
        quantity: 1,
        unit: Unit::Minute,
        cost_opt: Some(Microusd::from(10_u64)),
        unheard: Microusd::ZERO,
    }
}

fn ending(at: Timestamp) -> CallEnding {
    CallEnding {
        ended_at: at,
        agent: "night desk".to_owned(),
        mode: Mode::Realtime,
        failed: false,
        early_hang_up: false,
        outcome_opt: None,
        response_ms: Vec::new(),
    }
}

// --- when a day is ---------------------------------------------------------------------------------------

#[test]
fn a_day_has_as_many_hours_as_its_clocks_show() {
    assert_eq!(hours(date(2026, 11, 21), "UTC"), 24);
    assert_eq!(hours(date(2026, 3, 29), "Europe/Berlin"), 23);
    assert_eq!(hours(date(2026, 10, 25), "Europe/Berlin"), 25);
    assert_eq!(hours(date(2026, 3, 8), "America/New_York"), 23);
    // Clocks went from midnight to one o'clock: the day had no midnight.
    assert_eq!(hours(date(2018, 11, 4), "America/Sao_Paulo"), 23);
    // Samoa moved over the date line and left a day out.
    assert_eq!(hours(date(2011, 12, 30), "Pacific/Apia"), 0);
}

#[test]
fn an_hour_that_is_shown_twice_over_midnight_is_the_later_days() {
    // At 00:01 on 2010-11-07 clocks went back to 23:01 on the 6th.
    let zone = zone("America/St_Johns");
    let [before, after] = [date(2010, 11, 6), date(2010, 11, 7)].map(|day| span(day, &zone).unwrap());
    assert_eq!(before.end, after.start);
    assert_eq!(before.start.duration_until(before.end).as_hours(), 24);
    let again = after.start + 30.minutes();
    assert_eq!(again.to_zoned(zone.clone()).date(), date(2010, 11, 6), "what the clocks show");
    assert!(after.contains(&again));
}

#[test]
fn the_calendars_ends_have_no_days() {
    assert_eq!(span(Date::MAX, &TimeZone::UTC), None);
    assert_eq!(Day::new(Date::MIN, &zone("Asia/Tokyo")), None);
}

// --- what counts -----------------------------------------------------------------------------------------

#[test]
fn facts_of_other_days_change_nothing() {
    let of_day = || Day::new(date(2026, 11, 21), &zone("Europe/Berlin")).unwrap();
    let (first, end): (Timestamp, Timestamp) =
        ("2026-11-20T23:00:00Z".parse().unwrap(), "2026-11-21T23:00:00Z".parse().unwrap());
    let mut day = of_day();
    for at in [first - 1.nanosecond(), end, Timestamp::MIN, Timestamp::MAX] {
        day.note_event(&event(at, Some("ann"), EventKind::SessionStart));
        day.note_ending(&ending(at));
    }
    assert_eq!(day, of_day());
    for at in [first, end - 1.nanosecond()] {
        day.note_event(&event(at, Some("ann"), EventKind::SessionStart));
        day.note_ending(&ending(at));
    }
    let rows = day.rows();
    assert_eq!((rows.usage.usage.sessions, rows.modes[0].endings.calls), (2, 2));
}

#[test]
fn an_empty_day_has_a_row_of_zeros_and_no_others() {
    let day = date(2026, 11, 21);
    let rows = Day::new(day, &TimeZone::UTC).unwrap().rows();
    let usage = DailyUsageStats { day, unique_users: 0, usage: Usage::default() };
    assert_eq!(rows, DayRows { usage, modes: Vec::new(), parts: Vec::new(), users: Vec::new() });
}

#[test]
fn callers_who_are_not_known_count_in_all_sums_but_are_no_users() {
    let mut day = Day::new(date(2026, 11, 21), &TimeZone::UTC).unwrap();
    let noon = "2026-11-21T12:00:00Z".parse().unwrap();
    for user_opt in [None, None, Some("ann")] {
        day.note_event(&event(noon, user_opt, EventKind::VoiceMinute));
    }
    // A call that never started is known by what else was said of it: a doubtful event, and its end.
    let doubtful = UsageEvent { quantity: -1, ..event(noon, Some("bob"), EventKind::VoiceMinute) };
    day.note_event(&doubtful);
    day.note_ending(&CallEnding { mode: Mode::Cascade, ..ending(noon) });
    let rows = day.rows();
    assert_eq!(
        (rows.usage.unique_users, rows.usage.usage.voice_ms, rows.usage.usage.sessions),
        (2, 180_000, 0)
    );
    assert_eq!(rows.users.iter().map(|row| row.user).collect::<Vec<_>>(), ["ann", "bob"].map(user));
    let modes: Vec<_> =
        rows.modes.iter().map(|row| (row.mode, row.usage.unpriced, row.endings.calls)).collect();
    assert_eq!(modes, [(Mode::Realtime, 1, 0), (Mode::Cascade, 0, 1)]);
}

#[test]
#[should_panic(expected = "only parts of one day merge")]
fn two_days_are_not_merged() {
    let day = |zone_name| Day::new(date(2026, 11, 21), &zone(zone_name)).unwrap();
    day("UTC").absorb(day("Europe/Berlin"));
}

// --- every history ---------------------------------------------------------------------------------------

/// Days around changes of clocks in one zone or another, with their neighbours.
const ZONES: [(&str, Date); 7] = [
    ("UTC", date(2026, 2, 27)),
    ("Europe/Berlin", date(2026, 3, 28)),
    ("Europe/Berlin", date(2026, 10, 24)),
    ("America/New_York", date(2026, 10, 31)),
    ("America/Sao_Paulo", date(2018, 11, 3)),
    ("Australia/Lord_Howe", date(2026, 4, 4)),
    ("Asia/Kathmandu", date(2025, 12, 31)),
];

#[derive(Clone, Debug)]
enum Fact {
    Event(UsageEvent),
    Ending(CallEnding),
}

/// Facts of some five days from here on, many of them near the hours at which clocks change or days end.
fn fact(from: Timestamp) -> impl Strategy<Value = Fact> {
    let minute =
        prop_oneof![0_i64..7_200, (0_i64..5, -70_i64..200).prop_map(|(day, near)| day * 1_440 + near)];
    let at = (minute, 0_i64..60)
        .prop_map(move |(minute, second)| from + SignedDuration::from_secs(minute * 60 + second));
    let who = (select(&["night desk", "day desk"][..]), select(&Mode::ALL[..]));
    let types = [
        EventKind::SessionStart,
        EventKind::SessionEnd,
        EventKind::VoiceMinute,
        EventKind::VoiceMinute,
        EventKind::ToolCall,
        EventKind::Tokens,
    ];
    let quantity = prop_oneof![
        8 => (0_i64..400, select(&[Unit::Millisecond, Unit::Minute, Unit::Message][..])),
        1 => (any::<i64>(), select(&[Unit::Millisecond, Unit::Minute, Unit::Token, Unit::Character][..])),
    ];
    let cost = (prop::option::weighted(0.8, 0_u64..1_000_000), 0_u64..200_000);
    let name = prop::option::weighted(0.8, select(&["ann", "bob", "cy", "di"][..]));
    let event = (at.clone(), who.clone(), name, select(types.to_vec()), quantity, cost).prop_map(
        |(at, (agent, mode), user_opt, kind, (quantity, unit), (cost_opt, unheard))| {
            Fact::Event(UsageEvent {
                at,
                user_opt: user_opt.map(user),
                agent: agent.to_owned(),
                mode,
                kind,
                quantity,
                unit,
                cost_opt: cost_opt.map(Microusd::from),
                unheard: Microusd::from(unheard),
            })
        },
    );
    let outcome = select(vec![None, Some(Outcome::Good), Some(Outcome::Bad)]);
    let ending = (at, who, any::<bool>(), any::<bool>(), outcome, vec(0_u32..6_000, 0..5)).prop_map(
        |(ended_at, (agent, mode), failed, early_hang_up, outcome_opt, response_ms)| {
            let agent = agent.to_owned();
            Fact::Ending(CallEnding {
                ended_at,
                agent,
                mode,
                failed,
                early_hang_up,
                outcome_opt,
                response_ms,
            })
        },
    );
    prop_oneof![4 => event.boxed(), 1 => ending.boxed()]
}

/// A zone, a day in it, and facts of that day and its neighbours, each with the batch that it comes in.
fn history() -> impl Strategy<Value = (TimeZone, Date, Vec<(Fact, usize)>)> {
    select(&ZONES[..]).prop_flat_map(|(name, first)| {
        let from = first.to_zoned(zone(name)).unwrap().timestamp();
        (Just(zone(name)), Just(first), vec((fact(from), 0_usize..4), 0..120).prop_shuffle())
    })
}

fn rolled_up(date: Date, zone: &TimeZone, facts: &[(Fact, usize)]) -> DayRows {
    let mut batches: Vec<Day> = (0..4).map(|_| Day::new(date, zone).unwrap()).collect();
    for (fact, batch) in facts {
        match fact {
            Fact::Event(event) => batches[*batch].note_event(event),
            Fact::Ending(ending) => batches[*batch].note_ending(ending),
        }
    }
    let merged = batches.into_iter().reduce(|mut merged, batch| {
        merged.absorb(batch);
        merged
    });
    merged.unwrap().rows()
}

/// The sums of a definition, by looking at all facts again for each of them.
#[derive(Debug, PartialEq)]
struct Naive {
    sessions: usize,
    ms: i64,
    tool_calls: usize,
    microusd: i64,
    unpriced: usize,
    unheard: i64,
}

fn naive(events: &[&UsageEvent]) -> Naive {
    let ms = |event: &UsageEvent| match event.unit {
        Unit::Millisecond => Some(i128::from(event.quantity)),
        Unit::Minute => Some(i128::from(event.quantity) * 60_000),
        _ => None,
    };
    let good: Vec<&&UsageEvent> = events
        .iter()
        .filter(|event| match ms(event) {
            Some(ms) => (0..=86_400_000).contains(&ms),
            None => event.kind != EventKind::VoiceMinute && (0..=1_000_000_000).contains(&event.quantity),
        })
        .collect();
    let count = |kind| good.iter().filter(|event| event.kind == kind).count();
    let cost = |event: &UsageEvent| event.cost_opt.map_or(0, i64::from);
    Naive {
        sessions: count(EventKind::SessionStart),
        ms: good
            .iter()
            .filter(|event| event.kind == EventKind::VoiceMinute)
            .map(|event| i64::try_from(ms(event).unwrap()).unwrap())
            .sum(),
        tool_calls: count(EventKind::ToolCall),
        microusd: good.iter().map(|event| cost(event)).sum(),
        unpriced: events.len() - good.len() + good.iter().filter(|event| event.cost_opt.is_none()).count(),
        unheard: good.iter().map(|event| i64::from(event.unheard)).sum(),
    }
}

fn plain(usage: &Usage) -> Naive {
    Naive {
        sessions: usize::try_from(usage.sessions).unwrap(),
        ms: i64::try_from(usage.voice_ms).unwrap(),
        tool_calls: usize::try_from(usage.tool_calls).unwrap(),
        microusd: usage.cost.into(),
        unpriced: usize::try_from(usage.unpriced).unwrap(),
        unheard: usage.unheard.into(),
    }
}

fn sorted_times(endings: &[&&CallEnding]) -> ResponseTimes {
    let mut times: Vec<u32> = endings.iter().flat_map(|ending| ending.response_ms.clone()).collect();
    times.sort_unstable();
    let mut histogram = ResponseTimes::default();
    histogram.note(&times);
    histogram
}

proptest! {
    #[test]
    fn a_roll_up_is_what_brute_force_says(
        (zone, first, facts) in history(),
        day in 0_i32..5,
    ) {
        let date = first.saturating_add(day.days());
        let shown = |at: Timestamp| at.to_zoned(zone.clone()).date() == date;
        let events: Vec<&UsageEvent> = facts
            .iter()
            .filter_map(|(fact, _)| match fact {
                Fact::Event(event) if shown(event.at) => Some(event),
                _ => None,
            })
            .collect();
        let endings: Vec<&CallEnding> = facts
            .iter()
            .filter_map(|(fact, _)| match fact {
                Fact::Ending(ending) if shown(ending.ended_at) => Some(ending),
                _ => None,
            })
            .collect();
        let rows = rolled_up(date, &zone, &facts);

        prop_assert_eq!(plain(&rows.usage.usage), naive(&events));
        let users_of = |is_part: &dyn Fn(&UsageEvent) -> bool| {
            let of_part = events.iter().filter(|event| is_part(event));
            of_part.filter_map(|event| event.user_opt).collect::<BTreeSet<_>>().len() as u64
        };
        prop_assert_eq!(rows.usage.unique_users, users_of(&|_| true));
        for DailyUniqueUsers { part, unique_users, day } in &rows.parts {
            let expected = match part {
                Part::Mode(mode) => users_of(&|event| event.mode == *mode),
                Part::Agent(agent) => users_of(&|event| event.agent == *agent),
            };
            prop_assert_eq!((*unique_users, *day), (expected, date));
        }
        let modes: BTreeSet<Mode> = events.iter().map(|event| event.mode).collect();
        let agents: BTreeSet<&str> = events.iter().map(|event| &*event.agent).collect();
        prop_assert_eq!(rows.parts.len(), modes.len() + agents.len());

        let mut cells: BTreeSet<(&str, Mode)> = events.iter().map(|event| (&*event.agent, event.mode)).collect();
        cells.extend(endings.iter().map(|ending| (&*ending.agent, ending.mode)));
        prop_assert_eq!(rows.modes.iter().map(|row| (&*row.agent, row.mode)).collect::<BTreeSet<_>>(), cells);
        for row in &rows.modes {
            let is_here = |agent: &str, mode: Mode| (agent, mode) == (&*row.agent, row.mode);
            let used: Vec<_> = events.iter().copied().filter(|event| is_here(&event.agent, event.mode)).collect();
            prop_assert_eq!(plain(&row.usage), naive(&used));
            let ended: Vec<_> = endings.iter().filter(|ending| is_here(&ending.agent, ending.mode)).collect();
            let count = |is: fn(&CallEnding) -> bool| ended.iter().filter(|ending| is(ending)).count() as u64;
            let expected = Endings {
                calls: ended.len() as u64,
                failed: count(|ending| ending.failed),
                early_hang_ups: count(|ending| ending.early_hang_up),
                good: count(|ending| ending.outcome_opt == Some(Outcome::Good)),
                bad: count(|ending| ending.outcome_opt == Some(Outcome::Bad)),
                response_times: sorted_times(&ended),
            };
            prop_assert_eq!(&row.endings, &expected);
            prop_assert_eq!(row.day, date);
        }

        let mut by_user: BTreeMap<(Uuid, &str, Mode), Vec<&UsageEvent>> = BTreeMap::new();
        for event in &events {
            if let Some(user) = event.user_opt {
                by_user.entry((user, &event.agent, event.mode)).or_default().push(event);
            }
        }
        prop_assert_eq!(rows.users.len(), by_user.len());
        for row in &rows.users {
            prop_assert_eq!(plain(&row.usage), naive(&by_user[&(row.user, &*row.agent, row.mode)]));
            prop_assert_eq!(row.day, date);
        }
    }

    #[test]
    fn every_moment_is_in_one_day(
        (name, first) in select(&ZONES[..]),
        minute in -2_000_i64..9_000,
    ) {
        let zone = zone(name);
        let at = first.to_zoned(zone.clone()).unwrap().timestamp() + SignedDuration::from_mins(minute);
        let days = (-3_i32..9).map(|n| first.saturating_add(n.days()));
        let holds: Vec<Date> = days.filter(|day| span(*day, &zone).unwrap().contains(&at)).collect();
        prop_assert_eq!(holds, [at.to_zoned(zone).date()]);
    }
}
