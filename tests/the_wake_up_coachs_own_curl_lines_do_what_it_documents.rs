//! Who tuned the wake-up coach with curl tunes Tandem with the same lines: the same figures come back in the same words,
//! the next calls follow them, they outlive a restart, and whoever asks is told who set them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "world/webhook.rs"]
mod webhook;
mod world;

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_actors::mode::Mode;
use tandem_sim::carrier::{CallPlan, HangUp};
use tandem_sim::provider::ProviderOptions;
use tokio::process::Command;

use webhook::{Answer, ask, over, post};
use world::{World, place};

/// Who calls is drawn with it, so that the same calls are drawn the same in every run.
const SALT: (&str, &str) = ("TANDEM__ROUTING__SALT", "good morning");

#[actix_rt::test]
async fn the_figure_is_read_and_set_in_the_words_of_that_system() {
    let world = World::start(ProviderOptions::default(), &[("REALTIME_API_PROBABILITY", "0.5")]).await;
    let read = |probability: f64, percentage: &str| {
        json!({
            "probability": probability,
            "percentage": percentage,
            "description": "Probability of using OpenAI Realtime API vs Traditional API"
        })
    };
    assert_eq!(get(&world, "/realtime-api-config").await, read(0.5, "50.0%"));
    for (text, probability, percentage) in
        [("0.0", 0.0, "0.0%"), ("1.0", 1.0, "100.0%"), ("0.25", 0.25, "25.0%")]
    {
        let updated = json!({"status": "updated", "probability": probability, "percentage": percentage});
        assert_eq!(set(&world, text).await, (200, updated), "{text}");
        assert_eq!(get(&world, "/realtime-api-config").await, read(probability, percentage), "{text}");
        let root = get(&world, "/").await;
        assert_eq!(root["status"], "tandem is running");
        assert_eq!(root["realtime_api_probability"], probability, "{text}");
        assert_eq!(root["realtime_api_percentage"], percentage, "{text}");
    }
    world.close().await;
}

#[actix_rt::test]
async fn what_is_no_probability_is_refused_and_changes_nothing() {
    let world = World::start(ProviderOptions::default(), &[("REALTIME_API_PROBABILITY", "0.5")]).await;
    let before = get(&world, "/realtime-api-config").await;
    let audited = get(&world, "/api/v1/audit").await;
    for query in [
        "?probability=abc",
        "?probability=1.5",
        "?probability=-0.1",
        "?probability=NaN",
        "?probability=",
        "?",
        "",
    ] {
        let Answer { status, body } = curl(&world, "POST", &format!("/realtime-api-config{query}")).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &problem["status"]), (422, &json!(422)), "{query}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("`probability`"), "{query}: {detail}");
    }
    assert_eq!(get(&world, "/realtime-api-config").await, before);
    assert_eq!(get(&world, "/api/v1/audit").await, audited);
    world.close().await;
}

#[actix_rt::test]
async fn calls_are_shared_out_by_the_figure_and_every_node_answers_a_call_the_same_however_often() {
    /// Calls at a quarter, and what may be realtime of them: 100, and four standard deviations of 8.66 either way. The
    /// draw is a hash of the call's id and the salt: what it is once, it always is.
    const CALLS: usize = 400;
    const QUARTER: std::ops::RangeInclusive<usize> = 66..=134;

    let world = World::start(ProviderOptions::default(), &[SALT]).await;
    let another_node = World::start(ProviderOptions::default(), &[SALT]).await;
    for (n, (probability, calls, realtime)) in
        [("0.0", CALLS / 4, 0..=0), ("1.0", CALLS / 4, CALLS / 4..=CALLS / 4), ("0.25", CALLS, QUARTER)]
            .into_iter()
            .enumerate()
    {
        set(&world, probability).await;
        set(&another_node, probability).await;
        let mut drawn = 0;
        for call in (0..calls).map(|number| format!("CAcoach{n}x{number}")) {
            let kind = ring(&world, &call).await;
            let again = [ring(&world, &call).await, ring(&another_node, &call).await];
            assert_eq!(again, [kind; 2], "{call}");
            over(&world, &call).await;
            over(&another_node, &call).await;
            drawn += usize::from(kind == Mode::Realtime);
        }
        assert!(realtime.contains(&drawn), "at {probability}, {drawn} of {calls} were realtime");
    }
    world.close().await;
    another_node.close().await;
}

#[actix_rt::test]
async fn a_path_that_names_the_mode_forces_it_whatever_the_figure_is() {
    let mut world = World::start(ProviderOptions::default(), &[]).await;
    for probability in ["0.0", "1.0"] {
        set(&world, probability).await;
        for (path, mode) in [("/voice", Mode::Traditional), ("/voice-realtime", Mode::Realtime)] {
            let hang_up = HangUp::At(Duration::from_millis(200));
            let call = place(CallPlan { voice_url: world.url(path), hang_up, ..world.plan(0, 0) }).await;
            let report = world.report(&call).await;
            assert_eq!((report.routed, report.mode), (mode, mode), "{path} at {probability}");
            assert_eq!(
                call.stream_sids.len(),
                usize::from(mode == Mode::Realtime),
                "{path} at {probability}"
            );
        }
    }
    world.close().await;
}

#[actix_rt::test]
async fn the_figure_outlives_a_restart_and_the_audit_log_says_who_changed_what() {
    let home = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", home.path().join("coach.db").display());
    let settings = [("DATABASE_URL", &database[..]), ("REALTIME_API_PROBABILITY", "0.5")];
    let world = World::start(ProviderOptions::default(), &settings).await;
    for probability in ["0.75", "0.25"] {
        assert_eq!(set(&world, probability).await.0, 200);
    }
    let audited = get(&world, "/api/v1/audit").await;
    world.close().await;

    let world = World::start(ProviderOptions::default(), &settings).await;
    assert_eq!(get(&world, "/realtime-api-config").await["percentage"], "25.0%");
    assert_eq!(get(&world, "/api/v1/audit").await, audited, "the log outlives it too");
    let changes: Vec<_> = audited["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let probability = |side: &str| entry[side]["realtime_probability"].as_f64().unwrap();
            (entry["who"].as_str().unwrap(), probability("before"), probability("after"))
        })
        .collect();
    let who = "operator at 127.0.0.1";
    assert_eq!(changes, [(who, 0.75, 0.25), (who, 0.5, 0.75)], "newest first: {audited}");
    world.close().await;
}

// --- how it is asked ---------------------------------------------------------------------------------------------

async fn get(world: &World, path: &str) -> Value {
    let Answer { status, body } = curl(world, "GET", path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn set(world: &World, probability: &str) -> (u16, Value) {
    let path = format!("/realtime-api-config?probability={probability}");
    let Answer { status, body } = curl(world, "POST", &path).await;
    (status, serde_json::from_str(&body).unwrap())
}

/// As the operators do it: `curl -X POST "http://localhost:8765/realtime-api-config?probability=0.25"`. A machine without
/// curl asks the same by hand.
async fn curl(world: &World, method: &str, path: &str) -> Answer {
    let arguments = ["--silent", "--show-error", "--write-out", "\n%{http_code}", "-X", method];
    let mut command = Command::new("curl");
    command.args(arguments).arg(world.url(path)).env_remove("http_proxy");
    match command.output().await {
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{method} {path}: {complaint}");
            let said = String::from_utf8(output.stdout).unwrap();
            let (body, status) = said.rsplit_once('\n').unwrap();
            Answer { status: status.parse().unwrap(), body: body.to_owned() }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ask(world.app.address, method, path, "", "").await
        }
        Err(error) => panic!("curl: {error}"),
    }
}

/// How a call that rings is answered.
async fn ring(world: &World, call_sid: &str) -> Mode {
    let form = format!("CallSid={call_sid}&From=%2B12065550188&To=%2B14155550142");
    let Answer { status, body } = post(world, "/twilio/voice", &form, None).await;
    assert_eq!(status, 200, "{body}");
    match (body.contains("<Stream "), body.contains("<Gather ")) {
        (true, false) => Mode::Realtime,
        (false, true) => Mode::Traditional,
        _ => panic!("{body}"),
    }
}
