//! A call survives the process that served it: killed in mid-call, it leaves in its spool and in the database what the
//! next process needs, on the same machine or on another. The caller goes on talking, and is not greeted again.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/patient_ear.rs"]
mod patient_ear;
#[path = "world/postgres.rs"]
mod postgres;
#[expect(dead_code, reason = "the switch is a process of its own here")]
mod world;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_sim::carrier::{CallEnd, CallPlan, CallRecord, CallerAudio, HangUp};
use tandem_sim::provider::{Provider, ProviderOptions, Script};
use tandem_sim::speech;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use patient_ear::heard_through;
use postgres::Postgres;
use world::{ASK_EVERY, AUTH_TOKEN, PATIENCE, place};

/// The greeting takes 3.9 s, and the second question comes at 10 s.
const KILLED_AT: Duration = Duration::from_secs(5);

#[actix_rt::test]
async fn a_call_goes_on_when_its_process_is_killed_and_started_again() {
    let home = TempDir::new().unwrap();
    let database = format!("sqlite://{}", home.path().join("calls.db").display());
    lives_on(&database, [home.path(), home.path()]).await;
    let said = export(home.path(), &database, "calls", "jsonl");
    let call: serde_json::Value =
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let turns = call["turns"].as_array().unwrap().iter();
    let heard: Vec<_> = turns.filter(|turn| turn["who"] == "agent").map(|turn| &turn["heard_text"]).collect();
    assert_eq!(heard, ["late-arrival", "farewell"].map(|id| speech::sentence(id).unwrap().text), "{said}");
    assert_eq!((&call["state"], &call["end_reason"]), (&"ended".into(), &"caller_hung_up".into()), "{said}");
    let table = export(home.path(), &database, "calls", "csv");
    assert!(table.starts_with("id,call_sid,user,agent,from,") && table.lines().count() == 2, "{table}");
    let used = export(home.path(), &database, "usage", "jsonl");
    let used: Vec<serde_json::Value> = used.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |kind: &str| used.iter().filter(|event| event["event_type"] == kind).count();
    assert_eq!(["session_start", "tokens", "session_end"].map(count), [1, 2, 1], "{used:#?}");
    assert!(
        used.iter().all(|event| event["user"] == call["user"] && event["call"] == call["id"]),
        "{used:#?}"
    );
    let paid =
        used.iter().filter(|event| event["provider"] == "127.0.0.1" || event["event_type"] == "tokens");
    let tokens: f64 = paid.map(|event| event["cost_usd"].as_f64().unwrap()).sum();
    assert!((tokens - call["cost_usd"].as_f64().unwrap()).abs() < 1e-9, "{tokens} {used:#?}");
    let table = export(home.path(), &database, "usage", "csv");
    assert_eq!(table.lines().count(), 1 + used.len(), "{table}");
}

/// What the command writes of calls.
fn export(home: &Path, database: &str, what: &str, format: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(["export", what, "--format", format]).current_dir(home).env_clear();
    let done = command.env("DATABASE_URL", database).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[actix_rt::test]
async fn a_call_goes_on_when_its_node_is_lost_and_another_takes_over() {
    let Some(postgres) = Postgres::start() else { return };
    let homes = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    lives_on(&postgres.url(), homes.each_ref().map(TempDir::path)).await;
}

async fn lives_on(database: &str, homes: [&Path; 2]) {
    let [greeting, answer] = ["late-arrival", "farewell"].map(|id| speech::sentence(id).unwrap());
    let script = Script { greeting: greeting.clone(), answers: vec![answer.clone()], ..Script::default() };
    let provider = Provider::start(ProviderOptions { script, ..ProviderOptions::default() }).await.unwrap();
    let balancer = Balancer::start().await;
    let first = Process::start(homes[0], database, &provider, &balancer);
    let plan = CallPlan {
        auth_token: Some(AUTH_TOKEN.to_owned()),
        hang_up: HangUp::At(Duration::from_secs(16)),
        ..CallPlan::new(balancer.url("/twilio/voice"), question_after(10_000))
    };
    let living = actix_rt::spawn(place(plan));
    while provider.connections() == 0 {
        sleep(ASK_EVERY).await;
    }
    sleep(KILLED_AT).await; // on the clock of the call, which runs in real time
    drop(first);
    let second = Process::start(homes[1], database, &provider, &balancer);
    let call: CallRecord = living.await.unwrap();
    assert_eq!(call.end, CallEnd::CallerHungUp, "{:?}", call.events);
    assert_eq!(call.stream_sids.len(), 2, "{:?}", call.events);
    assert!(heard_through(&call, answer.text), "he was not answered: {:?}", call.events);
    let greetings = call.heard.iter().filter(|sample| **sample != 0).count();
    let said = greeting.audio.len() + answer.audio.len();
    assert!(greetings <= said, "{greetings} samples of {said} were heard: he was greeted again");
    second.end();
    let since = Instant::now();
    while provider.open_sessions() > 0 {
        assert!(since.elapsed() < PATIENCE, "a session is left open");
        sleep(ASK_EVERY).await;
    }
    let sessions = provider.sessions();
    assert_eq!(sessions.len(), 2);
    let told = sessions[1].client_events.iter().map(|(_, event)| &event[..]);
    let told: Vec<&str> = told.take_while(|event| *event != "input_audio_buffer.append").collect();
    assert_eq!(
        told,
        ["session.update", "conversation.item.create"],
        "what was said, and no wish for a greeting"
    );
}

fn question_after(silence_ms: usize) -> CallerAudio {
    let demo = CallerAudio::demo();
    let question = &demo.samples()[3_920 * 8..][..2_340 * 8];
    std::iter::repeat_n(0, silence_ms * 8).chain(question.iter().copied()).collect()
}

/// A switch, killed when it is dropped.
struct Process {
    child: Child,
}

impl Process {
    fn start(home: &Path, database: &str, provider: &Provider, balancer: &Balancer) -> Self {
        let address = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.arg("serve").current_dir(home).env_clear().stdin(Stdio::null());
        command.env("TANDEM__SERVER__LISTEN", address.to_string());
        command.env("TANDEM__SERVER__PUBLIC_URL", balancer.url(""));
        command.env("TANDEM__OPENAI__REALTIME_URL", provider.realtime_url());
        command.env("TANDEM__OPENAI__BASE_URL", provider.http_base());
        command.env("REALTIME_API_PROBABILITY", "1.0");
        command.env("OPENAI_API_KEY", "simulated");
        command.env("TWILIO_AUTH_TOKEN", AUTH_TOKEN);
        command.env("DATABASE_URL", database);
        command.env("TANDEM__MEMORY__ENABLED", "false"); // what the call used is counted
        command.env("RUST_LOG", "warn");
        let child = command.spawn().unwrap();
        *balancer.behind.lock().unwrap() = address;
        Self { child }
    }
}

impl Process {
    /// In order.
    fn end(mut self) {
        let terminate = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &terminate]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok(); // it may have ended
        self.child.wait().unwrap();
    }
}

/// A load balancer in front of one switch at a time: it waits for one that is not there yet.
struct Balancer {
    address: SocketAddr,
    behind: Arc<Mutex<SocketAddr>>,
}

impl Balancer {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = Arc::new(Mutex::new(address));
        let place = Arc::clone(&behind);
        actix_rt::spawn(async move {
            loop {
                let (mut asked, _) = listener.accept().await.unwrap();
                let place = Arc::clone(&place);
                actix_rt::spawn(async move {
                    let since = Instant::now();
                    while since.elapsed() < PATIENCE {
                        let address = *place.lock().unwrap();
                        if let Ok(mut switch) = TcpStream::connect(address).await {
                            copy_bidirectional(&mut asked, &mut switch).await.ok(); // either may be cut off
                            return;
                        }
                        sleep(ASK_EVERY).await;
                    }
                });
            }
        });
        Self { address, behind }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
