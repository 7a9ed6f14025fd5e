//! `tandem demo`: a simulated provider, the switch and one call, on free loopback ports of this process. Nothing to set
//! up, nothing left behind.

mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tandem_sim::carrier::{CallPlan, CallRecord, CallerAudio, HangUp, place_call};
use tandem_sim::provider::{Provider, ProviderOptions, Script};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::report::Report;
use super::progress::ProgressLine;
use super::{Environment, ear};
use crate::app::App;
use crate::config::{Config, Sources};
use crate::http::Listener;
use crate::telemetry;

/// The simulated account's token: webhooks are signed and checked as in earnest.
const AUTH_TOKEN: &str = "the-demo-signs-with-this";

/// From the end of the demo caller's goodbye to hanging up: 0.5 s of endpointing, 0.3 s of thought, an answer of 2.4 s.
const LINGER: Duration = Duration::from_secs(5);

/// The same after a recording of which nobody knows how it ends: the longest answer has 9 s.
const LINGER_AFTER_RECORDING: Duration = Duration::from_secs(11);

/// A call that has ended is reported at once; its sockets linger for 2 s at most.
const REPORT_MAX: Duration = Duration::from_secs(10);

/// Hear a call: simulated provider, switch and caller in one command.
///
/// A recording goes in as a phone call, crosses the switch to a realtime model and back, cuts the agent off, goes on and ends.
/// Prints the transcript and, for each turn, where the time went.
#[derive(Args)]
#[command(after_help = "Example: tandem demo --out /tmp/demo && aplay /tmp/demo/call.wav")]
pub(super) struct DemoOptions {
    /// What the caller says: a WAV file of any rate, mono or stereo. Without it a guest calls a night desk.
    #[arg(long, value_name = "FILE")]
    wav: Option<PathBuf>,
    /// Write heard.wav (what the caller heard), call.wav (caller left, agent right) and timeline.json into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave the switch and the provider running after the call, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &DemoOptions, environment: &Environment) -> Result<ExitCode> {
    let (caller, script, linger) = match &options.wav {
        Some(file) => {
            let caller =
                CallerAudio::from_wav(file).with_context(|| format!("cannot use {}", file.display()))?;
            (caller, Script::default(), LINGER_AFTER_RECORDING)
        }
        None => (CallerAudio::demo(), Script::demo(), LINGER),
    };
    actix_rt::System::new().block_on(async {
        let provider = Provider::start(ProviderOptions { script, ..ProviderOptions::default() })
            .await
            .context("cannot start the simulated provider")?;
        let listener = Listener::bind(([127, 0, 0, 1], 0).into())?;
        let config = config(&listener, &provider)?;
        telemetry::init(&config.log, environment.get("RUST_LOG").map(String::as_str))?;
        let (reports, mut ended) = mpsc::unbounded_channel();
        let app = App::start(&config, listener, Some(reports)).await?;
        let url = format!("http://{}/twilio/voice", app.address);
        eprintln!("switch at {url}, provider at {}", provider.realtime_url());

        let (began, record) = call(&url, caller, linger).await?;
        let Ok(Some(report)) = tokio::time::timeout(REPORT_MAX, ended.recv()).await else {
            bail!("the call never reached the switch: {}", record.end);
        };
        let report = Report::new(&report, &record, began);
        report.print(options.json)?;
        if let Some(out) = &options.out {
            ear::write_recordings(out, &record)?;
            report.write(&out.join("timeline.json"))?;
            eprintln!("heard.wav, call.wav and timeline.json are in {}", out.display());
        }
        if options.keep {
            eprintln!("the switch stays up until Ctrl-C; call it again with:");
            eprintln!("  tandem call --url {url} --auth-token {AUTH_TOKEN}");
            tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
        }
        app.stop().await;
        provider.stop().await;
        Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Places the one call. Returns when it began, so that the switch's clock and the carrier's can be laid on each other.
async fn call(url: &str, caller: CallerAudio, linger: Duration) -> Result<(Instant, CallRecord)> {
    let mut plan = CallPlan::new(url, caller);
    plan.auth_token = Some(AUTH_TOKEN.to_owned());
    plan.hang_up = HangUp::AfterAudio { linger };
    let mut line = ProgressLine::new(false);
    let began = Instant::now();
    let record = place_call(plan, |progress| line.show(progress)).await;
    line.finish();
    Ok((began, record?))
}

/// The demo has a configuration of its own, whatever lies in the working directory or the environment.
fn config(listener: &Listener, provider: &Provider) -> Result<Config> {
    let address = listener.address();
    let environment = [
        ("TANDEM__SERVER__LISTEN", address.to_string()),
        ("TANDEM__SERVER__PUBLIC_URL", format!("http://{address}")),
        ("TANDEM__SERVER__WORKERS", "1".to_owned()),
        ("TANDEM__OPENAI__REALTIME_URL", provider.realtime_url()),
        ("OPENAI_API_KEY", "simulated".to_owned()),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN.to_owned()),
        ("TANDEM__LOG__LEVEL", "warn".to_owned()),
        ("DATABASE_URL", "sqlite::memory:".to_owned()),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let sources = Sources { house_file: Path::new(""), chosen_file_opt: None, environment: &environment };
    Ok(Config::load(&sources)?)
}
