//! `tandem sim`: the simulated providers, for a switch to be pointed at.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tandem_sim::provider::{Fault, Provider, ProviderOptions, Script, SessionRecord};

use super::Environment;
use crate::config::{Log, LogFormat, LogLevel};
use crate::telemetry;

/// Serve the simulated providers: OpenAI's Realtime, Chat Completions, Responses, speech and transcription, and
/// ElevenLabs' speech.
///
/// They hear where the caller's turns end, answer with real sentences, enforce what the real ones enforce, and fail on
/// request. Stops on Ctrl-C and says what each realtime session saw.
#[derive(Args)]
#[command(after_help = "Example: tandem sim --fault drop-after:5@1 --fault chat/delay:800\n\
                  Then:    TANDEM__OPENAI__REALTIME_URL=ws://127.0.0.1:8766/v1/realtime \\\n         \
                  TANDEM__OPENAI__BASE_URL=http://127.0.0.1:8766/v1 OPENAI_API_KEY=any tandem serve")]
pub(super) struct SimOptions {
    /// Address to serve on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8766")]
    listen: SocketAddr,
    /// What goes wrong: with sessions, such as `http:429`, `drop-after:5`, `stall`, or with another endpoint, such as
    /// `chat/http:500`, `speech/break`; `@N` for the N-th only. May be repeated.
    #[arg(long, value_name = "SPEC")]
    fault: Vec<Fault>,
    /// How much faster than real time answers are made.
    #[arg(long, default_value_t = 3.0)]
    speed: f32,
    /// Milliseconds from a request to its first audio.
    #[arg(long, value_name = "MS", default_value_t = 250)]
    first_audio: u64,
    /// Speak the beta dialect to clients that ask for it.
    #[arg(long)]
    beta: bool,
}

pub(super) fn run(options: &SimOptions, environment: &Environment) -> Result<ExitCode> {
    ensure!(options.speed > 0.0, "--speed must be above 0");
    let log = Log { format: LogFormat::Pretty, level: LogLevel::Info };
    telemetry::init(&log, environment.get("RUST_LOG").map(String::as_str))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let provider = Provider::start(ProviderOptions {
            listen: options.listen,
            faults: options.fault.clone(),
            script: Script::demo(),
            first_audio_delay: Duration::from_millis(options.first_audio),
            speed: options.speed,
            beta: options.beta,
            ..ProviderOptions::default()
        })
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
        println!("provider: {}", provider.realtime_url());
        println!("models:   {}", provider.http_base());
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
        for session in provider.sessions() {
            report(&session);
        }
        provider.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn report(session: &SessionRecord) {
    println!(
        "{}: heard {:.1} s in {} turns, answered {} times, {} truncations, {} errors, {} violations, {}",
        session.id,
        session.audio_received_ms as f64 / 1e3,
        session.turns.len(),
        session.responses.len(),
        session.truncations.len(),
        session.errors_sent.len(),
        session.violations.len(),
        if session.is_open() { "open" } else { "closed" }
    );
    for violation in &session.violations {
        println!("  {violation}");
    }
}
