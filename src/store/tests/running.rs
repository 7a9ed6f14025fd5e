//! Time that a killed process could not tell is told once, by whoever comes after it.

use jiff::Timestamp;
use tandem_actors::call::cost::Spent;
use tandem_actors::ledger::Ledger;
use tandem_actors::mode::Mode;
use tandem_actors::ports::CallId;
use tandem_actors::record::{CallRecord, CallState};
use tandem_actors::usage::event::{EventKind, Metadata, Unit, UsageEvent};

use super::*;
use crate::journal::{Archive, Batch, Entry, LeftEntry, RunningCall, UsageEntry, User, call_entry};
use crate::money::Usd;
use crate::usage_log::{UsageLine, UsageLog};

const SPOOL: Uuid = Uuid::from_u128(7);

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
}

fn call(n: u128) -> Entry {
    let record = CallRecord {
        id: CallId(Uuid::from_u128(n)),
        call_sid: format!("CA{n}"),
        agent: "night desk".to_owned(),
        from_opt: None,
        to_opt: None,
        started_at: at(0),
        routed: Mode::Realtime,
        rule_opt: None,
        mode: Mode::Cascade,
        failed: vec![],
        ledger: Ledger::default(),
        spent: Spent::default(),
        turns_opt: None,
        state: CallState::Live,
    };
    let user = User { id: Uuid::from_u128(1), phone_opt: None };
    Entry::Call(Box::new(call_entry(&Ledger::default(), &record, Some(user), at(0))))
}

fn left(process: u128, ms: i64, calls: &[(u128, u64, u64)]) -> Entry {
    let running = |(call, served_ms, heard_ms): &(u128, u64, u64)| RunningCall {
        call: CallId(Uuid::from_u128(*call)),
        served_ms: *served_ms,
        heard_ms: *heard_ms,
    };
    let calls = calls.iter().map(running).collect();
    Entry::Left(LeftEntry { process: Uuid::from_u128(process), at: at(ms), calls })
}

fn told(n: u128, call: u128, ms: i64) -> Entry {
    let event = UsageEvent {
        id: Uuid::from_u128(n),
        at: at(ms),
        call: CallId(Uuid::from_u128(call)),
        agent: "night desk".to_owned(),
        mode: Mode::Cascade,
        kind: EventKind::VoiceMinute,
        provider_opt: None,
        model_opt: None,
        quantity: 10_000,
        unit: Unit::Millisecond,
        metadata: Metadata::default(),
        cost_microusd_opt: Some(0),
        unheard_microusd: 0,
        price_version: 5,
    };
    Entry::Usage(Box::new(UsageEntry { user_opt: None, event }))
}

async fn write(store: &Store, number: u64, entries: Vec<Entry>) {
    Archive::write(store, SPOOL, number, Batch::of(entries)).await.unwrap();
}

async fn recovered(store: &Store) -> Vec<UsageLine> {
    let page = store.usage(None, None, 100, None).await.unwrap();
    page.entries.into_iter().filter(|line| line.metadata["recovered"] == true).collect()
}

on_both! {
    async fn what_a_killed_process_left_is_told_once(ground) {
        let store = ground.open().await;
        // Its last word is from 10.15 s; call 3 was told in an event just after it.
        write(&store, 1, vec![call(1), call(2), call(3), told(1, 1, 10_000), told(2, 3, 10_200)]).await;
        let word = || left(1, 10_150, &[(1, 150, 140), (2, 3_000, 0), (3, 9_900, 0), (9, 1_000, 0)]);
        // The next process goes on with call 2 at once, and is killed before it knows that it told of the first.
        write(&store, 2, vec![word(), told(3, 2, 70_000)]).await;
        write(&store, 3, vec![word(), left(2, 71_000, &[(2, 1_000, 0)])]).await;
        let mut lines = recovered(&store).await;
        lines.sort_by_key(|line| (line.call, std::cmp::Reverse(line.quantity)));
        let told: Vec<_> = lines.iter().map(|line| (line.call.as_u128(), &*line.event_type, line.quantity)).collect();
        assert_eq!(told, [
            (1, "voice_minute", 150), (1, "audio_input", 140), (2, "voice_minute", 3_000), (2, "voice_minute", 1_000),
        ]);
        let first = &lines[0];
        assert_eq!((first.at, &*first.agent, &*first.mode), (at(10_150), "night desk", "cascade"));
        assert_eq!((first.user, first.cost_usd, first.price_version), (Some(Uuid::from_u128(1)), Some(Usd::default()), 5));
        assert_eq!(first.id.get_version_num(), 7, "ids sort by time");
        let calendar = Calendar { zone: jiff::tz::TimeZone::UTC, frozen_before_opt: None };
        assert_eq!(store.roll_up(&calendar).await.unwrap().days, 1);
        let today = at(0).to_zoned(calendar.zone).date();
        let history = crate::statistics::Statistics::history(&store, today).await.unwrap();
        assert_eq!(history.daily[0].usage.voice_ms, 30_000 + 4_150);
    }
}
