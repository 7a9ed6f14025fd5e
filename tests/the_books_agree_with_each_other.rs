//! What a call cost is the same on the demo's bill, in the database, in an export and on the dashboard.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tandem_sim::provider::ProviderOptions;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use world::{ASK_EVERY, PATIENCE, World, place};

/// Runs the program as a user would, in a folder of its own.
fn tandem(home: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments).current_dir(home).env_clear();
    let done = command.env("DATABASE_URL", "sqlite://out/tandem.db").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Micro-dollars by provider and model.
type Costs = BTreeMap<(String, String), i64>;

fn microusd(usd: &Value) -> i64 {
    let microusd = (usd.as_f64().unwrap() * 1e6).round();
    format!("{microusd}").parse().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn the_demos_bill_is_what_stands_in_the_database() {
    let home = TempDir::new().unwrap();
    let demo = ["demo", "--fail-after", "4", "--json", "--out", "out"];
    let report: Value = serde_json::from_str(&tandem(home.path(), &demo)).unwrap();
    let bill: Costs = report["costs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| ((text(&line["provider"]), text(&line["model"])), microusd(&line["cost_usd"])))
        .collect();
    assert!(bill.len() >= 4 && bill.values().any(|cost| *cost > 0), "two modes and the carrier: {bill:?}");

    let mut used = Costs::new();
    for line in tandem(home.path(), &["export", "usage"]).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["provider"].is_string() {
            let payee = (text(&event["provider"]), text(&event["model"]));
            *used.entry(payee).or_default() +=
                event["cost_usd"].as_f64().map_or(0, |_| microusd(&event["cost_usd"]));
        }
    }
    assert_eq!(used, bill);

    assert_eq!(tandem(home.path(), &["export", "finetune"]), "", "nobody said that the call was a good one");
    let told = tandem(home.path(), &["rollup", "--rebuild"]);
    assert!(told.starts_with("days summed up: "), "{told}");
}

/// An operator at this machine asks.
async fn ask(world: &World, method: &str, path: &str, body: &str) -> Value {
    let address = world.app.address;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(body).unwrap()
}

#[actix_rt::test]
async fn the_dashboard_shows_what_calls_came_to() {
    let mut world = World::start(ProviderOptions::default(), &[]).await;
    let records = [place(world.plan(4_500, 2_340)).await, place(world.plan(4_500, 2_340)).await];
    let mut expected = 0;
    for record in &records {
        let report = world.report(record).await;
        expected += report.bill.iter().map(|line| i64::try_from(line.microusd).unwrap()).sum::<i64>();
    }
    let since = Instant::now();
    let calls = loop {
        let calls = ask(&world, "GET", "/api/v1/calls?live=false", "").await["calls"].clone();
        if calls.as_array().unwrap().len() == 2 {
            break calls;
        }
        assert!(since.elapsed() < PATIENCE, "{calls:#}");
        sleep(ASK_EVERY).await;
    };
    let outcome = format!("/api/v1/calls/{}/outcome", calls[0]["id"].as_str().unwrap());
    ask(&world, "POST", &outcome, r#"{"success": true, "note": "booked"}"#).await;
    ask(
        &world,
        "POST",
        "/api/v1/analytics/revenue",
        &json!({ "date": &calls[0]["started_at"].as_str().unwrap()[..10], "amount": 12.5 }).to_string(),
    )
    .await;
    let told = loop {
        let told = ask(&world, "GET", "/api/v1/analytics/dashboard", "").await;
        if told["agents"]["tandem"]["good_outcomes"] == 1 && told["agents"]["tandem"]["calls_ended"] == 2 {
            break told;
        }
        assert!(since.elapsed() < PATIENCE, "{told:#}");
        sleep(ASK_EVERY).await;
    };
    assert_eq!(microusd(&told["monthly_cost"]), expected, "{told:#}");
    assert_eq!((&told["sessions_per_month"], &told["monthly_revenue"]), (&json!(2), &json!(12.5)));
    assert_eq!(told["daily_active_users"], 1.0, "both calls were the same caller's");
    let minutes = told["voice_minutes_per_month"].as_f64().unwrap();
    assert!((0.1..2.0).contains(&minutes), "{minutes}");
    let realtime = &told["modes"]["realtime"];
    assert_eq!((&realtime["failure_rate"], &realtime["good_outcome_rate"]), (&json!(0.0), &json!(1.0)));
    assert!(realtime["response_p95_ms"].as_u64().is_some_and(|ms| (1..5_000).contains(&ms)), "{told:#}");
    world.close().await;
}
