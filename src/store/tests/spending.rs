//! What a month has cost, as its days say: of each agent, and of a user.

use jiff::civil::date;
use jiff::tz::TimeZone;
use tandem_actors::budgets::Tally;
use tandem_actors::mode::Mode;
use tandem_actors::ports::CallId;
use tandem_actors::usage::event::{EventKind, Metadata, Unit, UsageEvent};

use super::*;
use crate::journal::{Archive, Batch, Entry, UsageEntry};
use crate::spending::Spending;

const SPOOL: Uuid = Uuid::from_u128(7);

/// An answer that a user had of an agent.
fn used(n: u128, at: &str, user: Option<u128>, agent: &str, mode: Mode, microusd_opt: Option<u64>) -> Entry {
    Entry::Usage(Box::new(UsageEntry {
        user_opt: user.map(Uuid::from_u128),
        event: UsageEvent {
            id: Uuid::from_u128(n),
            at: at.parse().unwrap(),
            call: CallId(Uuid::from_u128(1_000 + n)), // which nobody has heard of
            agent: agent.to_owned(),
            mode,
            kind: EventKind::Tokens,
            provider_opt: Some("lab".to_owned()),
            model_opt: Some("brain".to_owned()),
            quantity: 10,
            unit: Unit::Token,
            metadata: Metadata::default(),
            cost_microusd_opt: microusd_opt,
            unheard_microusd: 0,
            price_version: 1,
        },
    }))
}

async fn write(store: &Store, number: u64, entries: Vec<Entry>) {
    Archive::write(store, SPOOL, number, Batch::of(entries)).await.unwrap();
    store.roll_up(&Calendar { zone: TimeZone::UTC, frozen_before_opt: None }).await.unwrap();
}

fn tally(microusd: u64, unpriced: u64) -> Tally {
    Tally { microusd, unpriced }
}

on_both! {
    async fn a_month_is_what_its_days_cost_each_agent_and_each_user(ground) {
        use Mode::{Cascade, Realtime};
        let store = ground.open().await;
        let november = date(2026, 11, 1);
        assert_eq!(store.of_agents(november).await, Ok(vec![]), "an empty house has cost nothing");
        assert_eq!(store.of_user(Uuid::from_u128(1), november).await, Ok(tally(0, 0)));
        write(&store, 1, vec![
            used(1, "2026-10-31T23:59:59Z", Some(1), "a", Realtime, Some(1)),
            used(2, "2026-11-01T00:00:00Z", Some(1), "a", Realtime, Some(20)),
            used(3, "2026-11-15T12:00:00Z", Some(1), "b", Cascade, Some(300)),
            used(4, "2026-11-30T23:59:59Z", Some(1), "a", Cascade, None),
            used(5, "2026-11-30T23:59:59Z", Some(2), "a", Cascade, Some(4_000)),
            used(6, "2026-11-30T23:59:59Z", None, "a", Cascade, Some(50_000)),
            used(7, "2026-12-01T00:00:00Z", Some(1), "a", Realtime, Some(600_000)),
        ]).await;
        let agents = vec![("a".to_owned(), tally(54_020, 1)), ("b".to_owned(), tally(300, 0))];
        assert_eq!(store.of_agents(november).await, Ok(agents));
        assert_eq!(store.of_user(Uuid::from_u128(1), november).await, Ok(tally(320, 1)));
        assert_eq!(store.of_user(Uuid::from_u128(3), november).await, Ok(tally(0, 0)), "who was never there");
        let october = date(2026, 10, 1);
        assert_eq!(store.of_user(Uuid::from_u128(1), october).await, Ok(tally(1, 0)));
    }

    async fn a_sum_beyond_its_range_is_the_end_of_it(ground) {
        let store = ground.open().await;
        let days = (1..=4).map(|n| used(n, &format!("2026-11-0{n}T12:00:00Z"), Some(1), "a", Mode::Realtime, Some(u64::MAX)));
        write(&store, 1, days.collect()).await;
        let november = date(2026, 11, 1);
        assert_eq!(store.of_user(Uuid::from_u128(1), november).await, Ok(tally(u64::MAX, 0)));
        assert_eq!(store.of_agents(november).await, Ok(vec![("a".to_owned(), tally(u64::MAX, 0))]));
    }
}
