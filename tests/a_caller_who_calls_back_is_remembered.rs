//! A caller who calls back is remembered: what he said in one call is told to the agent of the next, until he is
//! forgotten. Then no agent knows him, and no table, no file and no log has his number.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/webhook.rs"]
#[expect(dead_code, reason = "the carrier of this test is a whole one")]
mod webhook;
mod world;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tandem_sim::carrier::{CallPlan, CallRecord, CallerAudio, HangUp};
use tandem_sim::provider::{Endpoint, ProviderOptions};
use tokio::time::{Instant, sleep};
use tracing_subscriber::filter::LevelFilter;

use webhook::ask;
use world::{ASK_EVERY, PATIENCE, World, place};

const ANN: &str = "+12065550188";
const DIGITS: &str = "2065550188";

/// How the log may name her.
const MASKED: &str = "user=\"+1206***0188\"";

/// Who calls meanwhile: the log is all tests'.
const BOB: &str = "+14155550177";
const EVE: &str = "+14155550199";
const STATED: &str = "My name is Ann Bell and I keep bees.";
const ASKED: &str = "Can I check in late?";

const WORDING: (&str, &str) = ("TANDEM__MEMORY__BY", "extraction");

#[actix_rt::test]
async fn until_he_is_forgotten() {
    let log = Log::of_this_process();
    let home = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", home.path().join("calls.db").display());
    let settings = [("DATABASE_URL", &database[..]), ("TANDEM__MEMORY__ENABLED", "true"), WORDING];
    let mut world = World::start(provider(), &settings).await;

    call(&mut world, ANN, &[STATED, ASKED]).await;
    let told = told_to_the_agent(&world);
    assert!(!told.iter().any(|told| told.contains("earlier calls")), "a stranger: {told:?}");
    let user = id(&world).await;
    let memory = remembered(&world, &user).await;
    assert_eq!((&memory["text"], &memory["calls"]), (&STATED.into(), &1.into()), "{memory}");

    let asked_before = told.len();
    call(&mut world, ANN, &[ASKED]).await;
    let told = told_to_the_agent(&world);
    assert!(told.len() > asked_before);
    for told in &told[asked_before..] {
        assert!(told.contains("no instructions") && told.ends_with(&format!("\n> {STATED}\n")), "{told}");
    }
    assert_eq!(log.call_backs(), [false, true]);

    forget(&world, &user).await;
    let asked_before = told.len();
    call(&mut world, ANN, &[ASKED]).await;
    let told = told_to_the_agent(&world);
    assert!(told.len() > asked_before);
    for told in &told[asked_before..] {
        assert!(!told.contains("earlier calls") && !told.contains("bees"), "{told}");
    }
    assert_eq!(log.call_backs(), [false, true, false]);
    let known = awaited(async || get(&world, &format!("/api/v1/users/{user}")).await).await;
    assert_eq!(known["calls"], 1, "he is another");

    forget(&world, &user).await;
    assert_eq!(get(&world, &format!("/api/v1/users/{user}")).await, None);
    let calls = get(&world, "/api/v1/calls").await.unwrap();
    let calls = calls["calls"].as_array().unwrap();
    assert!(calls.len() == 3 && calls.iter().all(|call| call["user"].is_null() && call["from"].is_null()));
    let audited = get(&world, "/api/v1/audit").await.unwrap();
    assert_eq!(audited["entries"][1]["before"]["calls"], 2, "{audited}");
    assert_nowhere(&home.path().join("calls.db.spool"), DIGITS);
    world.close().await;
    for trace in [DIGITS, "bees"] {
        assert_nowhere(home.path(), trace);
    }
    assert_eq!(log.lines_with(DIGITS).collect::<Vec<_>>(), [""; 0]);
}

#[actix_rt::test]
async fn a_model_that_cannot_be_asked_leaves_him_remembered_in_his_own_words() {
    // The answers of the first call come; the memory does not.
    let faults = vec!["chat/http:500@2".parse().unwrap()];
    let settings = [("TANDEM__MEMORY__ENABLED", "true")];
    let mut world = World::start(ProviderOptions { faults, ..provider() }, &settings).await;
    call(&mut world, BOB, &[STATED]).await;
    let user = id(&world).await;
    assert_eq!(remembered(&world, &user).await["text"], STATED);
    world.close().await;
}

#[actix_rt::test]
async fn whatever_serves_his_call_knows_him() {
    let settings = [("TANDEM__MEMORY__ENABLED", "true"), WORDING];
    let faults = vec!["http:500".parse().unwrap()];
    let mut world = World::start(ProviderOptions { faults, ..provider() }, &settings).await;
    call(&mut world, BOB, &[STATED]).await;
    remembered(&world, &id(&world).await).await;
    let asked_before = told_to_the_agent(&world).len();
    // Realtime fails him, and he goes on turn by turn: another actor, by his call's record.
    let plan = CallPlan { voice_url: world.url("/voice-realtime"), ..caller(&world, BOB, &[ASKED]) };
    let call = place(plan).await;
    assert_eq!(call.stream_sids.len(), 1, "{:?}", call.events);
    let told = &told_to_the_agent(&world)[asked_before..];
    assert!(!told.is_empty() && told.iter().all(|told| told.contains(STATED)), "{told:?}");
    world.close().await;
}

#[actix_rt::test]
async fn who_is_on_the_line_cannot_be_forgotten_before_he_hangs_up() {
    let settings = [("TANDEM__MEMORY__ENABLED", "true"), WORDING];
    let mut world = World::start(provider(), &settings).await;
    let mut plan = caller(&world, EVE, &[ASKED]);
    plan.hang_up = HangUp::At(Duration::from_secs(12));
    let living = actix_rt::spawn(place(plan));
    let user = id(&world).await;
    let path = format!("/api/v1/users/{user}");
    let refused = ask(world.app.address, "DELETE", &path, "", "").await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let call = living.await.unwrap();
    world.report(&call).await;
    forget(&world, &user).await;
    world.close().await;
}

// --- how it is done ----------------------------------------------------------------------------------------------

/// Thinks at once.
fn provider() -> ProviderOptions {
    ProviderOptions {
        first_token_delay: Duration::ZERO,
        tokens_per_second: f32::INFINITY,
        ..ProviderOptions::default()
    }
}

/// Says these one after the other, and hangs up.
fn caller(world: &World, from: &str, utterances: &[&str]) -> CallPlan {
    CallPlan {
        voice_url: world.url("/voice"),
        from: from.to_owned(),
        caller: CallerAudio::silence(Duration::ZERO),
        utterances: utterances.iter().map(|&text| text.to_owned()).collect(),
        reaction: Duration::from_millis(100),
        hang_up: HangUp::AfterAudio { linger: Duration::from_secs(1) },
        ..world.plan(0, 0)
    }
}

async fn call(world: &mut World, from: &str, utterances: &[&str]) -> CallRecord {
    let call = place(caller(world, from, utterances)).await;
    assert_eq!(world.report(&call).await.discrepancies, []);
    call
}

/// The instructions of every answer that a model was asked for.
fn told_to_the_agent(world: &World) -> Vec<String> {
    let requests = world.provider.requests();
    let asked = requests.iter().filter(|request| request.endpoint == Endpoint::Chat);
    asked.map(|request| request.body["messages"][0]["content"].as_str().unwrap().to_owned()).collect()
}

async fn get(world: &World, path: &str) -> Option<Value> {
    let answer = ask(world.app.address, "GET", path, "", "").await;
    match answer.status {
        200 => Some(serde_json::from_str(&answer.body).unwrap()),
        404 => None,
        status => panic!("{path}: {status} {}", answer.body),
    }
}

/// What `seek` finds, once the tables have it.
async fn awaited<T>(mut seek: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = seek().await {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "it never came");
        sleep(ASK_EVERY).await;
    }
}

async fn id(world: &World) -> String {
    awaited(async || {
        let calls = get(world, "/api/v1/calls").await?;
        Some(calls["calls"][0]["user"].as_str()?.to_owned())
    })
    .await
}

async fn remembered(world: &World, user: &str) -> Value {
    awaited(async || {
        let told = get(world, &format!("/api/v1/users/{user}/memory")).await?;
        told["memories"].as_array()?.first().cloned()
    })
    .await
}

async fn forget(world: &World, user: &str) {
    awaited(async || get(world, &format!("/api/v1/users/{user}")).await).await;
    let forgotten = ask(world.app.address, "DELETE", &format!("/api/v1/users/{user}"), "", "").await;
    assert_eq!((forgotten.status, forgotten.body.as_str()), (204, ""));
}

/// No file below this folder holds the text.
#[track_caller]
fn assert_nowhere(folder: &Path, text: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_nowhere(&path, text);
        } else {
            let held = fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&held).contains(text), "{} holds {text}", path.display());
        }
    }
}

/// What this process has logged, the smallest things too.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_this_process() -> Self {
        let log = Self::default();
        let paper = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::DEBUG);
        subscriber.with_writer(move || paper.clone()).try_init().expect("nobody else in this process logs");
        log
    }

    /// Of every call of hers whether it was told to be a call-back.
    fn call_backs(&self) -> Vec<bool> {
        let told = self.lines_with(MASKED).filter(|line| line.contains("call started"));
        told.map(|line| line.contains("callback=true")).collect()
    }

    fn lines_with(&self, text: &str) -> impl Iterator<Item = String> {
        let written = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        let lines: Vec<String> =
            written.lines().filter(|line| line.contains(text)).map(str::to_owned).collect();
        lines.into_iter()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
