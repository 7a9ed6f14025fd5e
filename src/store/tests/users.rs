//! What agents remember of callers is found when they call again, and goes when they are forgotten, with all the rest.

use tandem_actors::ledger::{Ledger, Speaker};
use tandem_actors::mode::Mode;
use tandem_actors::ports::CallId;
use tandem_actors::record::{CallRecord, CallState};
use tandem_actors::usage::event::{EventKind, Metadata, Unit, UsageEvent};

use super::calls::{call, count, time, write};
use super::*;
use crate::journal::{
    Acquaintance, Archive, Entry, EventEntry, ForgetEntry, MemoryEntry, Remembered, UsageEntry, User,
    call_entry,
};
use crate::users::{Erasure, UserLog};

const ALICE: Uuid = Uuid::from_u128(0xa);
const BOB: Uuid = Uuid::from_u128(0xb);

/// Of a user, who says something in it; ids sort by their second.
fn call_of(user: Uuid, number: &str, second: i64) -> (CallRecord, Entry) {
    let id = CallId(Uuid::from_u128(
        (u128::try_from(time(second).as_millisecond()).unwrap() << 80) | user.as_u128(),
    ));
    let mut record = CallRecord {
        id,
        call_sid: format!("CA{second}"),
        started_at: time(second),
        from_opt: Some(number.to_owned()),
        ..call(1)
    };
    record.ledger.said(Speaker::Caller, "item", &format!("My number is {number}."), 500);
    let user = User { id: user, phone_opt: Some(number.to_owned()) };
    let entry = Entry::Call(Box::new(call_entry(&Ledger::default(), &record, Some(user), time(second))));
    (record, entry)
}

fn memory(user: Uuid, call: CallId, second: i64, text: &str, before: Option<i64>) -> Entry {
    let (agent, at, before_opt) = ("desk".to_owned(), time(second), before.map(time));
    Entry::Memory(Box::new(MemoryEntry { user, agent, call, at, text: text.to_owned(), before_opt }))
}

fn forget(n: u128, user: Uuid, what: Erasure) -> Entry {
    let (id, who) = (Uuid::from_u128(n), "operator at 127.0.0.1".to_owned());
    Entry::Forget(ForgetEntry { id, at: time(0), user, what, who })
}

fn used(user: Uuid, call: CallId) -> Entry {
    let event = UsageEvent {
        id: call.0,
        at: time(0),
        call,
        agent: "desk".to_owned(),
        mode: Mode::Realtime,
        kind: EventKind::Tokens,
        provider_opt: None,
        model_opt: None,
        quantity: 1,
        unit: Unit::Token,
        metadata: Metadata::default(),
        cost_microusd_opt: Some(7),
        unheard_microusd: 0,
        price_version: 1,
    };
    Entry::Usage(Box::new(UsageEntry { user_opt: Some(user), event }))
}

fn happened(call: CallId, why: &str) -> Entry {
    let what = json!({ "event": "engine_failed", "why": why });
    Entry::Event(EventEntry { id: call.0, at: time(0), call, at_us: 0, what })
}

async fn known(store: &Store, user: Uuid, call: CallId) -> Acquaintance {
    store.acquaintance(user, "desk".to_owned(), call, time(-86_400)).await.unwrap()
}

on_both! {
    async fn who_calls_again_is_known(ground) {
        let store = ground.open().await;
        let (first, began) = call_of(ALICE, "+12065550188", 0);
        let (second, _) = call_of(ALICE, "+12065550188", 600);
        assert_eq!(known(&store, ALICE, first.id).await, Acquaintance::default());
        write(&store, 1, vec![began, memory(ALICE, first.id, 60, "Likes tea.", None)]).await;
        assert!(!known(&store, ALICE, first.id).await.callback, "his call is not before itself");
        let memory_opt = Some(Remembered { text: "Likes tea.".to_owned(), at: time(60) });
        assert_eq!(known(&store, ALICE, second.id).await, Acquaintance { memory_opt, callback: true });
        let long_after = store.acquaintance(ALICE, "desk".to_owned(), second.id, time(300)).await.unwrap();
        assert!(!long_after.callback && long_after.memory_opt.is_some(), "{long_after:?}");
        let other = store.acquaintance(ALICE, "other".to_owned(), second.id, time(-1)).await.unwrap();
        assert_eq!(other, Acquaintance { memory_opt: None, callback: true }, "another agent remembers nothing");
        assert_eq!(known(&store, BOB, second.id).await, Acquaintance::default());
        say(&store, "DROP TABLE memories").await.unwrap();
        let unread = store.acquaintance(ALICE, String::new(), first.id, time(0)).await.unwrap_err();
        assert!(unread.to_string().starts_with("cannot read a user: "), "{unread}");
        let unread = store.memories(ALICE).await.unwrap_err().to_string();
        assert!(unread.starts_with("cannot read a user: "), "{unread}");
    }

    async fn a_memory_counts_its_calls_and_is_not_made_from_what_does_not_stand_any_more(ground) {
        let store = ground.open().await;
        let calls: Vec<_> = (0..4).map(|n| call_of(ALICE, "+12065550188", 100 * n)).collect();
        let ids: Vec<_> = calls.iter().map(|(record, _)| record.id).collect();
        write(&store, 1, calls.into_iter().map(|(_, entry)| entry).collect()).await;
        let stands = async || {
            let found = store.memories(ALICE).await.unwrap();
            found.into_iter().map(|memory| (memory.text, memory.calls, memory.call)).next()
        };
        let text = str::to_owned;
        write(&store, 2, vec![memory(ALICE, ids[0], 10, "one \0", None)]).await;
        assert_eq!(stands().await, Some((text("one \u{fffd}"), 1, ids[0].0)));
        let twice = vec![memory(ALICE, ids[1], 20, "two", Some(10)), memory(ALICE, ids[1], 21, "two again", Some(20))];
        write(&store, 3, twice).await;
        assert_eq!(stands().await, Some((text("two again"), 2, ids[1].0)));
        write(&store, 4, vec![memory(ALICE, ids[2], 30, "at the same time", Some(20))]).await;
        write(&store, 5, vec![memory(ALICE, ids[2], 30, "knew of none", None)]).await;
        assert_eq!(stands().await, Some((text("two again"), 2, ids[1].0)));
        write(&store, 6, vec![memory(BOB, ids[2], 30, "his call is not hers", None)]).await;
        assert_eq!(store.memories(BOB).await, Ok(vec![]));
        write(&store, 7, vec![forget(1, ALICE, Erasure::Memory)]).await;
        write(&store, 8, vec![memory(ALICE, ids[2], 40, "from what is forgotten", Some(21))]).await;
        assert_eq!(stands().await, None);
        assert_eq!(store.user(ALICE).await.unwrap().map(|user| user.calls), Some(4), "she is known all the same");
        write(&store, 9, vec![memory(ALICE, ids[3], 50, "afresh", None)]).await;
        let afresh = &store.memories(ALICE).await.unwrap()[0];
        assert_eq!((afresh.since, afresh.updated_at, afresh.calls), (time(50), time(50), 1));
    }

    async fn who_is_forgotten_is_in_no_table_and_everybody_else_is(ground) {
        let store = ground.open().await;
        let (alice, bob) = (call_of(ALICE, "+12065550188", 0), call_of(BOB, "+12065550199", 5));
        let mut entries = Vec::new();
        for (user, (record, entry)) in [(ALICE, &alice), (BOB, &bob)] {
            let number = record.from_opt.as_deref().unwrap();
            entries.push(entry.clone());
            entries.push(used(user, record.id));
            entries.push(happened(record.id, &format!("{number} is engaged")));
            entries.push(memory(user, record.id, 60, &format!("Is called back at {number}."), None));
        }
        write(&store, 1, entries).await;
        let stamp = |at: &str| if ground.postgres_opt.is_some() { "now()".to_owned() } else { at.to_owned() };
        for (user, (record, _)) in [(ALICE, &alice), (BOB, &bob)] {
            let (id, number, now) = (record.id, record.from_opt.as_deref().unwrap(), stamp("1"));
            for sql in [
                format!("INSERT INTO call_outcomes VALUES ('{id}', {now}, 1.0, 'called {number} back')"),
                format!("INSERT INTO user_days VALUES ('2026-11-21', '{user}', 'desk', 'realtime', 1, 1, 1, 1, 1, 1)"),
                format!(
                    "INSERT INTO user_activity (user_id, first_seen, last_seen, total_sessions, voice_ms, \
                     total_tool_calls, updated_at) VALUES ('{user}', '2026-11-21', '2026-11-21', 1, 1, 1, {now})"
                ),
            ] {
                say(&store, &sql).await.unwrap();
            }
        }
        let tables = every_table(&store).await;
        let holds = async |what: &str| {
            let mut holding = Vec::new();
            for table in &tables {
                if text_of(&store, table).await.contains(what) {
                    holding.push(table.as_str());
                }
            }
            holding
        };
        let his = ["call_outcomes", "calls", "event_log", "memories", "turns", "users"];
        assert_eq!(holds("2065550188").await, his);
        write(&store, 2, vec![forget(1, ALICE, Erasure::Person)]).await;
        write(&store, 2, vec![forget(1, ALICE, Erasure::Person)]).await; // the answer was lost
        assert_eq!(holds("2065550188").await, [""; 0]);
        assert_eq!(holds("2065550199").await, his);
        assert_eq!(holds(&ALICE.to_string()).await, ["audit_log"], "who wanted it is known");
        let calendar = Calendar { zone: jiff::tz::TimeZone::UTC, frozen_before_opt: None };
        assert_eq!(store.roll_up(&calendar).await.unwrap().days, 1);
        let select = "SELECT unique_users FROM daily_usage_stats";
        let users: Vec<(i64,)> = store.read(async move |connection| rows!(connection, select)).await.unwrap();
        assert_eq!((users, holds(&ALICE.to_string()).await), (vec![(1,)], vec!["audit_log"]), "nor in any sum");
        assert_eq!((store.user(ALICE).await, store.memories(ALICE).await), (Ok(None), Ok(vec![])));
        let rows = [count(&store, "calls").await, count(&store, "usage_events").await, count(&store, "event_log").await];
        assert_eq!(rows, [2, 2, 2], "what it cost stays");
        let entries = log(&store).await.entries;
        let told = (entries.len(), entries[0].what.as_str(), entries[0].who.as_str());
        assert_eq!(told, (1, "user", "operator at 127.0.0.1"));
        assert_eq!((&entries[0].before["calls"], &entries[0].after), (&json!(1), &json!(null)));
        let kept = crate::call_log::CallLog::events(&store, alice.0.id.0, 5, None).await.unwrap();
        assert_eq!(kept.entries[0].what, json!({ "event": "engine_failed" }));
        // A memory that was being made meanwhile.
        write(&store, 3, vec![memory(ALICE, alice.0.id, 90, "late", None)]).await;
        assert_eq!(store.memories(ALICE).await, Ok(vec![]));
        let bobs = store.user(BOB).await.unwrap().unwrap();
        assert_eq!((bobs.phone.as_deref(), bobs.first_seen, bobs.calls), (Some("+12065550199"), time(5), 1));
    }

    async fn memories_that_are_old_go_and_with_them_who_has_no_call_either(ground) {
        let store = ground.open().await;
        let (alice, bob) = (call_of(ALICE, "+12065550188", 0), call_of(BOB, "+12065550199", 50));
        let entries = vec![
            alice.1,
            memory(ALICE, alice.0.id, 10, "Likes tea.", None),
            bob.1,
            memory(BOB, bob.0.id, 60, "Has a dog.", None),
        ];
        write(&store, 1, entries).await;
        let rows = async || [count(&store, "users").await, count(&store, "calls").await, count(&store, "memories").await];
        let delete = async |what, than| store.delete_older(what, time(than)).await.unwrap();
        assert_eq!((delete(Aging::Memories, 10).await, rows().await), (0, [2, 2, 2]));
        assert_eq!((delete(Aging::Memories, 11).await, rows().await), (1, [2, 2, 1]), "she has a call");
        assert_eq!(store.memories(ALICE).await, Ok(vec![]));
        assert_eq!((delete(Aging::Calls, 55).await, rows().await), (2, [1, 0, 1]), "he is remembered");
        assert_eq!(store.user(ALICE).await, Ok(None));
        say(&store, "INSERT INTO memories SELECT user_id, 'other', text, since, updated_at, call_id, calls FROM memories")
            .await
            .unwrap();
        let later = if ground.postgres_opt.is_some() { "updated_at + interval '1 day'" } else { "updated_at + 86400000000" };
        say(&store, &format!("UPDATE memories SET updated_at = {later} WHERE agent = 'other'")).await.unwrap();
        assert_eq!((delete(Aging::Memories, 61).await, rows().await), (1, [1, 0, 1]), "another agent remembers him");
        assert_eq!((delete(Aging::Memories, 86_461).await, rows().await), (1, [0, 0, 0]));
    }

    async fn a_call_that_is_not_over_is_known_to_go_on_for_as_long_as_calls_can(ground) {
        let store = ground.open().await;
        let calls: Vec<_> = (0..3).map(|n| call_of(ALICE, "+12065550188", 100 * n)).collect();
        let ids: Vec<_> = calls.iter().map(|(record, _)| record.id).collect();
        let state = CallState::Ended { reason: "silence".to_owned(), for_good: true };
        let ended = CallRecord { state, ..calls[2].0.clone() };
        let user = User { id: ALICE, phone_opt: None };
        let ended = Entry::Call(Box::new(call_entry(&Ledger::default(), &ended, Some(user), time(300))));
        let entries = calls.into_iter().map(|(_, entry)| entry).chain([ended]).collect();
        write(&store, 1, entries).await;
        assert_eq!(store.going_on(ALICE, time(0)).await, Ok(vec![ids[0], ids[1]]));
        assert_eq!(store.going_on(ALICE, time(50)).await, Ok(vec![ids[1]]));
        let over = Entry::Over { call_sid: "CA100".to_owned(), at: time(200) };
        write(&store, 2, vec![over]).await;
        assert_eq!((store.going_on(ALICE, time(50)).await, store.going_on(BOB, time(0)).await), (Ok(vec![]), Ok(vec![])));
    }
}

async fn every_table(store: &Store) -> Vec<String> {
    let found: Vec<(String,)> = store
        .read(async |connection| {
            let select = match connection {
                Connection::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
                Connection::Postgres(_) => {
                    "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
                }
            };
            rows!(connection, select)
        })
        .await
        .unwrap();
    found.into_iter().map(|(name,)| name).collect()
}

/// All cells of a table.
async fn text_of(store: &Store, table: &str) -> String {
    let table = table.to_owned();
    let found: Vec<(String,)> = store
        .read(async move |connection| {
            let select = match connection {
                Connection::Postgres(_) => format!("SELECT r::text FROM {table} AS r"),
                Connection::Sqlite(_) => {
                    let columns = format!("SELECT name FROM pragma_table_info('{table}')");
                    let columns: Vec<(String,)> = rows!(connection, AssertSqlSafe(columns))?;
                    let cells: Vec<_> = columns.iter().map(|(name,)| format!("quote({name})")).collect();
                    format!("SELECT {} FROM {table}", cells.join(" || ' ' || "))
                }
            };
            rows!(connection, AssertSqlSafe(select))
        })
        .await
        .unwrap();
    found.into_iter().map(|(cells,)| cells + "\n").collect()
}
