//! PostgreSQL is gone for a minute while calls come and go: nobody on the phone notices, and what the calls used is in the
//! database afterwards, all of it, once.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/postgres.rs"]
mod postgres;
#[expect(dead_code, reason = "nobody asks when a call is reported")]
mod world;

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tandem_sim::carrier::CallEnd;
use tandem_sim::provider::ProviderOptions;
use tokio::time::{Instant, sleep, sleep_until};

use postgres::Postgres;
use world::{ASK_EVERY, PATIENCE, World, place};

const GONE_FOR: Duration = Duration::from_mins(1);

/// Calls at a time, each of some ten seconds, one behind the other.
const LINES: usize = 20;

#[actix_rt::test]
async fn what_is_used_while_the_database_is_gone_is_in_it_afterwards() {
    let Some(mut postgres) = Postgres::start() else { return };
    let spool = tempfile::tempdir().unwrap();
    let settings =
        [("DATABASE_URL", &*postgres.url()), ("TANDEM__DATABASE__SPOOL", spool.path().to_str().unwrap())];
    let world = World::start(ProviderOptions::default(), &settings).await;
    let (began, plans) = (Instant::now(), (0..LINES).map(|line| world.plan(4_500 + 50 * line, 2_340)));
    let until = began + Duration::from_secs(5) + GONE_FOR;
    let lines: Vec<_> = plans
        .map(|plan| {
            actix_rt::spawn(async move {
                let mut calls = Vec::new();
                while Instant::now() < until {
                    calls.push(place(plan.clone()).await);
                }
                calls
            })
        })
        .collect();
    sleep_until(began + Duration::from_secs(3)).await;
    postgres.stop();
    sleep(GONE_FOR).await;
    postgres.go_on();
    let mut calls = Vec::new();
    for line in lines {
        calls.extend(line.await.unwrap());
    }
    assert!(calls.len() >= 4 * LINES, "calls that came and went: {}", calls.len());
    for call in &calls {
        let said = call.heard.iter().filter(|sample| sample.unsigned_abs() > 300).count();
        assert!(said > 8_000 && call.end == CallEnd::CallerHungUp, "{:?}, {said} loud samples", call.end);
    }
    let url = postgres.url();
    let since = Instant::now();
    let events = loop {
        let events = usage(&url);
        if count(&events, "session_end") >= calls.len() {
            break events;
        }
        assert!(
            since.elapsed() < PATIENCE,
            "{} of {} ends are told",
            count(&events, "session_end"),
            calls.len()
        );
        sleep(ASK_EVERY).await;
    };
    let answered: usize = world.provider.sessions().iter().map(|session| session.responses.len()).sum();
    assert_eq!(count(&events, "session_start"), calls.len());
    assert_eq!(count(&events, "session_end"), calls.len());
    // The recorder tells of every answer, also of those that nobody told what they used.
    assert_eq!(count(&events, "tokens"), answered);
    let heard_ms: u64 = world.provider.sessions().iter().map(|session| session.audio_received_ms).sum();
    let told_ms: u64 = events
        .iter()
        .filter(|event| event["event_type"] == "audio_input")
        .map(|event| event["quantity"].as_u64().unwrap())
        .sum();
    let apart = heard_ms.abs_diff(told_ms);
    assert!(apart <= 200 * calls.len() as u64, "{told_ms} ms are told of {heard_ms} ms");
    world.close().await;
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["event_type"] == kind).count()
}

fn usage(database: &str) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    let done = command.args(["export", "usage"]).env_clear().env("DATABASE_URL", database).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    str::from_utf8(&done.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
