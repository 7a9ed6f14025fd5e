//! The unmodified public clients against the simulated world: OpenAI's SDK talks to the provider, Twilio's
//! validator checks the carrier's signatures.
//!
//! They are Python packages, so `TANDEM_SDK_PYTHON` has to name an interpreter that has
//! `sdk/requirements.txt` installed; `tests/run` sees to that. Without one these tests are left out, and say
//! so.

use std::{io::Write as _, path::Path, process::Stdio, time::Duration};

use serde_json::json;
use tandem_sim::{
    carrier::{CallPlan, HangUp, place_call},
    provider::{Provider, ProviderOptions},
    speech::{self, CallerAudio},
    wav,
};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::switch::Switch;

/// Starting an interpreter and importing the SDK takes seconds on a busy machine.
const SCRIPT_TAKES_MAX: Duration = Duration::from_mins(2);

#[expect(clippy::disallowed_methods, reason = "what the machine has is told by its environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The interpreter, or `None` where it is missing and may be.
fn python(test: &str) -> Option<String> {
    let python = environment("TANDEM_SDK_PYTHON");
    if python.is_none() {
        assert_ne!(environment("TANDEM_TESTS").as_deref(), Some("all"), "{test} needs TANDEM_SDK_PYTHON");
        // Past the harness, which shows what a passing test prints to nobody.
        writeln!(std::io::stderr(), "left out: {test} (TANDEM_SDK_PYTHON names no Python with the SDKs)")
            .expect("somebody listens");
    }
    python
}

/// Runs a script of `sdk/` with some input; its output is part of the failure.
async fn run(python: &str, script: &str, arguments: &[&str], input: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(script);
    let mut child = Command::new(python)
        .arg(&script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output =
        timeout(SCRIPT_TAKES_MAX, child.wait_with_output()).await.expect("the script to end").unwrap();
    let [said, failed] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{}: {said}{failed}", script.display());
    println!("{said}");
}

#[tokio::test]
async fn openais_sdk_finds_every_event_in_its_schema() {
    let Some(python) = python("openais_sdk_finds_every_event_in_its_schema") else { return };
    let options =
        ProviderOptions { first_audio_delay: Duration::from_millis(50), ..ProviderOptions::default() };
    let provider = Provider::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let question = folder.path().join("question.ulaw");
    std::fs::write(&question, speech::sentence("castle").unwrap().audio).unwrap();
    let base = provider.realtime_url().replace("/realtime", "");
    run(&python, "realtime_check.py", &[&base, question.to_str().unwrap()], "").await;
    let session = &provider.sessions()[0];
    assert_eq!(session.violations, Vec::<String>::new());
    assert_eq!(session.errors_sent, ["invalid_value"], "the one truncation that was meant to be refused");
    assert_eq!((session.turns.len(), session.appends_before_updated), (1, 0));
}

#[tokio::test]
async fn openais_sdk_finds_every_answer_in_its_schema() {
    let Some(python) = python("openais_sdk_finds_every_answer_in_its_schema") else { return };
    let options = ProviderOptions {
        api_key: Some("sk-simulated".to_owned()),
        tokens_per_second: 1_000.0,
        ..ProviderOptions::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("caller.wav");
    // The third line of the demo's caller begins after 17.2 s.
    wav::write_mono(&recording, &CallerAudio::demo().samples()[17_000 * 8..20_500 * 8]).unwrap();
    run(&python, "http_check.py", &[&provider.http_base(), recording.to_str().unwrap()], "").await;
    let refused = provider.requests().iter().filter(|request| request.status != Some(200)).count();
    assert_eq!(refused, 4, "those that were meant to be");
}

#[tokio::test]
async fn twilios_validator_accepts_what_the_carrier_signs() {
    let Some(python) = python("twilios_validator_accepts_what_the_carrier_signs") else { return };
    let token = "9f3c1e7ab2d84056a1c7e0f4b65d2839";
    let mut switch = Switch::with_stream("").await;
    let plan = CallPlan {
        auth_token: Some(token.to_owned()),
        hang_up: HangUp::At(Duration::from_millis(100)),
        from: "client:Zoë & Søn".to_owned(),
        ..CallPlan::new(
            format!("{}?tenant=acme&leg=a", switch.voice_url()),
            CallerAudio::silence(Duration::ZERO),
        )
    };
    let running = tokio::spawn(async move { place_call(plan, |_| {}).await.unwrap() });
    let media = switch.media().await;
    let hook = &switch.hooks()[0];
    let seen = json!({
        "url": format!("{}?tenant=acme&leg=a", switch.voice_url()),
        "body": hook.body,
        "signature": hook.headers["x-twilio-signature"],
        "socket_url": format!("ws://{}/media", switch.addr),
        "socket_signature": media.headers["x-twilio-signature"],
    });
    drop(media);
    running.await.unwrap();
    run(&python, "signature_check.py", &[token], &seen.to_string()).await;
}
