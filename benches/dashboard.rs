//! How long the dashboard takes with ten million usage events on PostgreSQL, with the server's own account of each query.
//!
//! Not on CI: it fills a disk with some gigabytes and takes minutes. `cargo bench --bench dashboard`, or with another
//! number of events behind `--`.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "../tests/world/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;
use jiff::tz::TimeZone;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tandem::analytics::{Thresholds, dashboard};
use tandem::clock::{SystemClock, SystemIds};
use tandem::statistics::Statistics;
use tandem::store::{Calendar, Store};
use tokio::time::Instant;

use postgres::Postgres;

const EVENTS: u64 = 10_000_000;
const USERS: u64 = 10_000;
const DASHBOARDS: usize = 200;

/// Thirty days, each with as many events as any other; a call has eight, as calls of a minute or two do.
fn fill(events: u64) -> String {
    format!(
        "INSERT INTO usage_events SELECT gen_random_uuid(), \
         timestamptz '2026-11-01 00:00+00' + n * (interval '30 days' / {events}), \
         md5((n / 8)::text)::uuid, md5(((n / 8) % {USERS} * 7919 % 10007)::text)::uuid, \
         (ARRAY['night desk', 'day desk', 'coach'])[1 + (n / 8) % 3], \
         (ARRAY['realtime', 'cascade', 'traditional'])[1 + (n / 24) % 3], \
         (ARRAY['session_start', 'voice_minute', 'tokens', 'tokens', 'audio_input', 'tool_call', 'carrier_minute', \
         'session_end'])[1 + n % 8], 'openai', 'gpt-realtime-2.1', \
         (ARRAY[1, 60000, 900, 900, 40000, 1, 2, 1])[1 + n % 8], \
         (ARRAY['call', 'millisecond', 'token', 'token', 'millisecond', 'call', 'minute', 'call'])[1 + n % 8], \
         '{{}}', n % 40000, 0, 2 FROM generate_series(0::bigint, {events} - 1) AS n"
    )
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let events = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(EVENTS);
    let postgres = Postgres::start().expect("PostgreSQL is installed");
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let store = Store::open(&postgres.url(), clock, ids).await.unwrap();
    let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
    let filled = took(async {
        sqlx::query(AssertSqlSafe(fill(events))).execute(&mut connection).await.unwrap();
        sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
    });
    println!("{events} usage events written in {:?}", filled.await);

    let calendar = Calendar { zone: TimeZone::UTC, frozen_before_opt: None };
    let rolled = took(async { assert_eq!(store.rebuild(&calendar).await.unwrap().days, 30) });
    println!("thirty days summed up in {:?}", rolled.await);
    let mark = "INSERT INTO dirty_hours VALUES ('2026-11-15 12:00+00', gen_random_uuid(), 1)";
    sqlx::raw_sql(mark).execute(&mut connection).await.unwrap();
    let one = took(async { assert_eq!(store.roll_up(&calendar).await.unwrap().days, 1) });
    println!("one day summed up again in {:?}", one.await);
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();

    let last = date(2026, 11, 30);
    let mut times = Vec::new();
    for _ in 0..DASHBOARDS {
        times.push(
            took(async {
                let history = store.history(last).await.unwrap();
                assert!(dashboard(last, &history, Thresholds::default()).sessions_per_month > 0);
            })
            .await,
        );
    }
    times.sort_unstable();
    println!("dashboard: p50 {:?}, p95 {:?}, max {:?}", times[100], times[190], times[199]);

    // Connections made from now on account for what they do.
    let account = "ALTER ROLE tandem SET session_preload_libraries = 'auto_explain'; \
                   ALTER ROLE tandem SET auto_explain.log_min_duration = 0; \
                   ALTER ROLE tandem SET auto_explain.log_analyze = on";
    sqlx::raw_sql(account).execute(&mut connection).await.unwrap();
    let said = postgres.log().len();
    let store = Store::open(&postgres.url(), Arc::new(SystemClock), Arc::new(SystemIds)).await.unwrap();
    store.history(last).await.unwrap();
    println!("{}", &postgres.log()[said..]);
}

async fn took(work: impl Future<Output = ()>) -> Duration {
    let since = Instant::now();
    work.await;
    since.elapsed()
}
