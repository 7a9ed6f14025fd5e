//! What the journal writes is found again, whatever came before and however often it was told.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_actors::call::cost::Spent;
use tandem_actors::call::timeline::What;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::ledger::{Ledger, Speaker};
use tandem_actors::mode::Mode;
use tandem_actors::ports::CallId;
use tandem_actors::record::{CallRecord, CallState};
use tandem_media::playout::Part;

use super::*;
use crate::call_log::{CallFilter, CallLog};
use crate::journal::{Archive, Batch, Entry, EventEntry, User, call_entry};

const SPOOL: Uuid = Uuid::from_u128(7);

fn time(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn call(n: u128) -> CallRecord {
    let mut spent = Spent::default();
    spent.note(Some(1_200));
    spent.note(None);
    CallRecord {
        id: CallId(Uuid::from_u128(n)),
        call_sid: format!("CA{n}"),
        agent: "night desk; DROP TABLE calls".to_owned(),
        from_opt: Some("+12065550188".to_owned()),
        to_opt: None,
        started_at: time(0),
        routed: Mode::Realtime,
        rule_opt: Some("it's \"ours\"".to_owned()),
        mode: Mode::Cascade,
        failed: vec![Mode::Realtime],
        ledger: Ledger::default(),
        spent,
        turns_opt: None,
        state: CallState::Live,
    }
}

fn entry(before: &Ledger, now: &CallRecord) -> Entry {
    let user = User { id: Uuid::from_u128(1), phone_opt: Some("+12065550188".to_owned()) };
    Entry::Call(Box::new(call_entry(before, now, Some(user), time(1))))
}

async fn write(store: &Store, number: u64, entries: Vec<Entry>) {
    store.write_journal(number, entries).await.unwrap();
}

impl Store {
    async fn write_journal(
        &self,
        number: u64,
        entries: Vec<Entry>,
    ) -> Result<(), crate::journal::ArchiveError> {
        Archive::write(self, SPOOL, number, Batch::of(entries)).await
    }
}

async fn count(store: &Store, table: &'static str) -> i64 {
    let select = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    let found = store.read(async move |connection| row!(connection, select)).await;
    let (count,): (i64,) = found.unwrap().unwrap();
    count
}

on_both! {
    async fn a_call_is_found_as_it_was_written_last(ground) {
        let store = ground.open().await;
        let mut rng = StdRng::seed_from_u64(1);
        let mut calls = [call(1), call(2), call(3)];
        let mut written = calls.clone().map(|call| (call.ledger, false));
        let (mut number, mut waiting) = (0, Vec::new());
        for step in 0..400_u64 {
            let n = rng.random_range(0..calls.len());
            let call = &mut calls[n];
            change(call, step, &mut rng);
            waiting.push(entry(&written[n].0, call));
            written[n] = (call.ledger.clone(), true);
            number += 1;
            if rng.random_range(0..5) == 0 {
                let batch = std::mem::take(&mut waiting);
                write(&store, number, batch.clone()).await;
                if rng.random_range(0..3) == 0 {
                    write(&store, number, batch).await; // the answer was lost
                }
            }
        }
        write(&store, number + 1, waiting).await;
        drop(store);
        let store = ground.open().await;
        assert_eq!(store.written(SPOOL).await, Ok(number + 1));
        for call in calls {
            assert_eq!(store.find(&call.call_sid).await, Ok(Some(call)));
        }
        assert_eq!(store.find("CA9").await, Ok(None));
        assert_eq!((count(&store, "users").await, store.written(Uuid::nil()).await), (1, Ok(0)));
    }

    async fn what_was_written_is_not_written_again(ground) {
        let store = ground.open().await;
        let happened = |n: u128| {
            Entry::Event(EventEntry {
                id: Uuid::from_u128(n),
                at: time(3),
                call: CallId(Uuid::from_u128(1)),
                at_us: u64::MAX,
                what: json!({ "event": "engine_failed", "why": "zero \0 in it" }),
            })
        };
        write(&store, 2, vec![happened(1), happened(2)]).await;
        write(&store, 2, vec![happened(3)]).await; // numbers say that it stands
        write(&store, 3, vec![happened(2)]).await; // ids do
        assert_eq!((count(&store, "event_log").await, store.written(SPOOL).await), (2, Ok(3)));
        let other = Archive::write(&store, Uuid::from_u128(8), 1, Batch::of([happened(4)])).await;
        assert_eq!((other, count(&store, "event_log").await), (Ok(()), 3));
        let (at, call) = (Duration::from_secs(3), CallId(Uuid::from_u128(1)));
        let (from, to) = (Mode::Realtime, Rung::Mode(Mode::Cascade));
        let what = serde_json::to_value(What::ModeSwitched { from, to, why: "lost".into() }).unwrap();
        let at_us = u64::try_from(at.as_micros()).unwrap();
        let changed = Entry::Event(EventEntry { id: Uuid::from_u128(5), at: time(3), call, at_us, what });
        write(&store, 4, vec![changed]).await;
        let select = "SELECT mode, went_to, why FROM mode_changes";
        let found: Vec<(String, String, String)> =
            store.read(async move |connection| rows!(connection, select)).await.unwrap();
        assert_eq!(found, [("realtime".to_owned(), "cascade".to_owned(), "lost".to_owned())]);
    }

    async fn a_call_that_the_carrier_says_is_over_stays_so_until_another_has_its_name(ground) {
        let store = ground.open().await;
        let state = async || store.find("CA1").await.unwrap().map(|record| record.state);
        let over = || Entry::Over { call_sid: "CA1".to_owned(), at: time(60) };
        write(&store, 1, vec![over()]).await; // never heard of
        write(&store, 2, vec![entry(&Ledger::default(), &call(1)), over()]).await;
        let handed_over = CallState::HandedOver { to: Rung::Mode(Mode::Traditional) };
        write(&store, 3, vec![entry(&Ledger::default(), &CallRecord { state: handed_over, ..call(1) })]).await;
        let ended = CallState::Ended { reason: "caller_hung_up".to_owned(), for_good: true };
        assert_eq!(state().await, Some(ended));
        let later = CallRecord { call_sid: "CA1".to_owned(), started_at: time(61), ..call(2) };
        write(&store, 4, vec![entry(&Ledger::default(), &later), over()]).await;
        assert_eq!(state().await, Some(CallState::Live));
    }

    async fn a_batch_that_cannot_be_written_leaves_nothing_behind(ground) {
        let store = ground.open().await;
        say(&store, "DROP TABLE event_log").await.unwrap();
        let event = Entry::Event(EventEntry {
            id: Uuid::from_u128(1), at: time(0), call: CallId(Uuid::nil()), at_us: 0, what: json!({}),
        });
        let failed = store.write_journal(1, vec![entry(&Ledger::default(), &call(1)), event]).await;
        assert!(failed.unwrap_err().to_string().starts_with("cannot write the journal: "));
        assert_eq!((store.find("CA1").await, store.written(SPOOL).await), (Ok(None), Ok(0)));
    }

    async fn operators_read_what_they_ask_for(ground) {
        let store = ground.open().await;
        let mut entries = Vec::new();
        for n in 1..=6 {
            let mut record = call(n);
            record.started_at = time(60 * i64::try_from(n).unwrap());
            record.mode = if n % 2 == 0 { Mode::Cascade } else { Mode::Realtime };
            if n < 4 {
                record.state = CallState::Ended { reason: "silence".to_owned(), for_good: true };
            }
            record.ledger.said(Speaker::Caller, "item", "Is it open?", 500);
            entries.push(entry(&Ledger::default(), &record));
        }
        entries.push(Entry::Over { call_sid: "CA4".to_owned(), at: time(9_000) });
        entries.push(Entry::Event(EventEntry {
            id: Uuid::from_u128(1), at: time(1), call: CallId(Uuid::from_u128(2)), at_us: 1_500,
            what: json!({ "event": "engine_ready" }),
        }));
        write(&store, 1, entries).await;
        let user = Some(Uuid::from_u128(1));
        let found = async |filter: CallFilter| -> Vec<u128> {
            let page = store.calls(filter, 10, None).await.unwrap();
            page.entries.iter().map(|call| call.id.as_u128()).collect()
        };
        let all = CallFilter::default();
        assert_eq!(found(all.clone()).await, [6, 5, 4, 3, 2, 1]);
        assert_eq!(found(CallFilter { live: Some(true), ..all.clone() }).await, [6, 5]);
        assert_eq!(found(CallFilter { mode: Some(Mode::Cascade), user, ..all.clone() }).await, [6, 4, 2]);
        let between = CallFilter { since: Some(time(120)), until: Some(time(240)), ..all.clone() };
        assert_eq!(found(between).await, [3, 2]);
        let nobody = CallFilter { from: Some("+1".to_owned()), agent: Some("x".to_owned()), ..all.clone() };
        assert_eq!(found(nobody).await, [0; 0]);
        let page = store.calls(all, 2, Some(Uuid::from_u128(5))).await.unwrap();
        assert_eq!((page.entries.len(), page.entries[0].id.as_u128(), page.more), (2, 4, true));
        assert_eq!((page.entries[0].state.as_str(), page.entries[0].ended_at), ("ended", Some(time(9_000))));
        let conversation = CallLog::call(&store, Uuid::from_u128(2)).await.unwrap().unwrap();
        assert_eq!((conversation.call.state.as_str(), conversation.turns.len()), ("ended", 1));
        assert_eq!(CallLog::call(&store, Uuid::nil()).await, Ok(None));
        let events = store.events(Uuid::from_u128(2), 1, None).await.unwrap();
        assert_eq!((events.entries.len(), events.entries[0].at_ms, events.more), (1, 1.5, false));
        say(&store, "DROP TABLE calls").await.unwrap();
        let unread = store.calls(CallFilter::default(), 1, None).await.unwrap_err().to_string();
        assert!(unread.starts_with("cannot read a call: "), "{unread}");
    }

    async fn what_is_old_is_deleted_batch_by_batch_and_the_rest_stays(ground) {
        let store = ground.open().await;
        let id = |second: i64, n: u128| {
            let ms = u128::try_from(time(second).as_millisecond()).unwrap();
            Uuid::from_u128((ms << 80) | (7 << 76) | n)
        };
        let mut entries = Vec::new();
        for (n, second) in (0..).zip([-3_600; 600].into_iter().chain([3_600; 5])) {
            let mut record = CallRecord { id: CallId(id(second, n)), ..call(n) };
            record.ledger.said(Speaker::Caller, "item", "Is it open?", 500);
            entries.push(entry(&Ledger::default(), &record));
            let (call, what) = (record.id, json!({ "event": "engine_ready" }));
            entries.push(Entry::Event(EventEntry { id: id(second, n), at: time(second), call, at_us: 0, what }));
        }
        write(&store, 1, entries).await;
        let rows = async || [count(&store, "calls").await, count(&store, "turns").await, count(&store, "event_log").await];
        assert_eq!(rows().await, [605, 605, 605]);
        let delete = async |what| store.delete_older(what, time(0)).await.unwrap();
        assert_eq!((delete(Aging::Events).await, delete(Aging::Events).await), (500, 100));
        assert_eq!(delete(Aging::Turns).await, 500);
        assert_eq!(rows().await, [605, 105, 5]);
        assert_eq!((delete(Aging::Calls).await, delete(Aging::Calls).await, delete(Aging::Calls).await), (500, 100, 0));
        assert_eq!(rows().await, [5, 5, 5]);
    }

    async fn a_call_that_makes_no_sense_is_named(ground) {
        let store = ground.open().await;
        write(&store, 1, vec![entry(&Ledger::default(), &call(1))]).await;
        say(&store, "UPDATE calls SET mode = 'dreaming'").await.unwrap();
        let unread = store.find("CA1").await.unwrap_err().to_string();
        assert!(unread.starts_with("a call in the database makes no sense: "), "{unread}");
    }
}

/// Something happens in a call.
fn change(call: &mut CallRecord, step: u64, rng: &mut StdRng) {
    let (item, at_ms) = (format!("item_{step}"), 100 * step);
    match rng.random_range(0..7) {
        0 | 1 => call.ledger.said(Speaker::Caller, &item, "Is it, um, \"open\"? \u{1f680}", at_ms),
        2 => {
            let part = Part(u32::try_from(step).unwrap());
            call.ledger.agent_began(&item, part, at_ms);
            call.ledger.said(Speaker::Agent, &item, "From seven to nine, and on Sundays to ten.", at_ms);
            call.ledger.agent_ended(part, 2_800);
        }
        3 => {
            let last = call.ledger.last().and_then(|turn| turn.part).map(Part);
            if let Some(part) = last {
                call.ledger.cut(part..=part, None);
            }
        }
        4 => {
            if let Some(item) = call.ledger.last().map(|turn| turn.item.clone()) {
                call.ledger.retract(&item);
            }
        }
        5 => call.ledger.agent_text(&item, "Goodbye.", at_ms),
        _ => {
            call.spent.note(Some(step));
            call.state = match rng.random_range(0..3) {
                0 => CallState::Live,
                1 => CallState::HandedOver { to: Rung::Mode(Mode::Traditional) },
                _ => CallState::Ended { reason: "caller_hung_up".to_owned(), for_good: false },
            };
        }
    }
}
