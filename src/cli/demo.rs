//! `tandem demo`: a simulated provider, the switch and one call, on free loopback ports of this process. Nothing to set
//! up, nothing left behind.

mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tandem_actors::call::CallReport;
use tandem_actors::call::decide::EndReason;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::mode::Mode;
use tandem_sim::carrier::{CallPlan, CallRecord, CallerAudio, CarrierEvent, HangUp, place_call};
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
/// Prints the transcript and, for each turn, where the time went. With --fail-after the realtime provider dies in the
/// midst of it, and the call goes on in another mode.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tandem demo --out /tmp/demo && aplay /tmp/demo/call.wav\n  tandem demo --fail-after 4\n  \
                  tandem demo --fail-after 4 --fail-to traditional"
)]
pub(super) struct DemoOptions {
    /// What the caller says: a WAV file of any rate, mono or stereo. Without it a guest calls a night desk.
    #[arg(long, value_name = "FILE")]
    wav: Option<PathBuf>,
    /// Write heard.wav (what the caller heard), call.wav (caller left, agent right), timeline.json and tandem.db (the
    /// database, from which `tandem export` reads) into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Kill the realtime provider so many seconds after the caller's stream began: its sockets are reset, and it refuses
    /// every new one.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    fail_after: Option<Duration>,
    /// What the call falls to then: cascade (a chain of models, on the same stream) or traditional (TwiML, turn by turn).
    #[arg(long, value_name = "MODE", value_parser = fall)]
    fail_to: Option<Mode>,
    /// Leave the switch and the provider running after the call, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// When the provider dies if only the mode was named: in the midst of the agent's first answer.
const FAIL_AFTER: Duration = Duration::from_secs(4);

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("`{text}` is no number of seconds"))
}

fn fall(text: &str) -> Result<Mode, String> {
    match text.parse() {
        Ok(mode @ (Mode::Cascade | Mode::Traditional)) => Ok(mode),
        Ok(mode) => {
            Err(format!("{mode} is not a mode that the demo can fall to; there are cascade and traditional"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The fault that was asked for.
#[derive(Clone, Copy)]
struct Failure {
    after: Duration,
    to: Mode,
}

impl Failure {
    fn of(options: &DemoOptions) -> Option<Self> {
        let after = options.fail_after.or_else(|| options.fail_to.map(|_| FAIL_AFTER))?;
        Some(Self { after, to: options.fail_to.unwrap_or(Mode::Cascade) })
    }
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
    let failure_opt = Failure::of(options);
    actix_rt::System::new().block_on(async {
        let provider = Provider::start(ProviderOptions { script, ..ProviderOptions::default() })
            .await
            .context("cannot start the simulated provider")?;
        let listener = Listener::bind(([127, 0, 0, 1], 0).into())?;
        let database = match &options.out {
            Some(out) => database_in(out)?,
            None => "sqlite::memory:".to_owned(),
        };
        let config = config(&listener, &provider, failure_opt, database)?;
        telemetry::init(&config.log, environment.get("RUST_LOG").map(String::as_str))?;
        let (reports, mut ended) = mpsc::unbounded_channel();
        let app = App::start(&config, listener, Some(reports)).await?;
        let url = format!("http://{}/twilio/voice", app.address);
        eprintln!("switch at {url}, provider at {}", provider.realtime_url());

        let provider = Rc::new(provider);
        let (began, record) = call(&url, caller, linger, failure_opt, &provider).await?;
        let calls = reports_of_one_call(&mut ended).await?;
        let report = Report::new(&calls, &record, began);
        report.print(options.json)?;
        if let Some(out) = &options.out {
            ear::write_recordings(out, &record)?;
            report.write(&out.join("timeline.json"))?;
            eprintln!("heard.wav, call.wav, timeline.json and tandem.db are in {}", out.display());
        }
        if options.keep {
            eprintln!("the switch stays up until Ctrl-C; call it again with:");
            eprintln!("  tandem call --url {url} --auth-token {AUTH_TOKEN}");
            tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
        }
        app.stop().await;
        if let Ok(provider) = Rc::try_unwrap(provider) {
            provider.stop().await;
        }
        Ok(if report.is_well(failure_opt.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// One report for every stretch that the call was served in: it may have been handed over from one to the next.
async fn reports_of_one_call(
    ended: &mut mpsc::UnboundedReceiver<Arc<CallReport>>,
) -> Result<Vec<Arc<CallReport>>> {
    let mut calls = Vec::new();
    loop {
        let Ok(Some(report)) = tokio::time::timeout(REPORT_MAX, ended.recv()).await else {
            bail!("the switch does not report the end of the call");
        };
        let goes_on = matches!(report.end, EndReason::HandedOver(Rung::Mode(_)));
        calls.push(report);
        if !goes_on {
            return Ok(calls);
        }
    }
}

/// Places the one call. Returns when it began, so that the switch's clock and the carrier's can be laid on each other.
async fn call(
    url: &str,
    caller: CallerAudio,
    linger: Duration,
    failure_opt: Option<Failure>,
    provider: &Rc<Provider>,
) -> Result<(Instant, CallRecord)> {
    let mut plan = CallPlan::new(url, caller);
    plan.auth_token = Some(AUTH_TOKEN.to_owned());
    plan.status_url = Some(url.replace("/twilio/voice", "/twilio/status"));
    plan.hang_up = HangUp::AfterAudio { linger };
    let mut line = ProgressLine::new(false);
    let (streams, stream) = mpsc::unbounded_channel();
    let killing =
        failure_opt.map(|failure| actix_rt::spawn(kill(stream, failure.after, Rc::clone(provider))));
    let began = Instant::now();
    let record = place_call(plan, |progress| {
        if let Some(CarrierEvent::StartSent { .. }) = progress.news {
            streams.send(()).ok(); // nobody waits for it unless a failure was asked for
        }
        line.show(progress);
    })
    .await;
    line.finish();
    if let Some(killing) = killing {
        killing.abort(); // its call is over
    }
    Ok((began, record?))
}

/// Ends the realtime provider so long after the first stream began.
async fn kill(mut stream: mpsc::UnboundedReceiver<()>, after: Duration, provider: Rc<Provider>) {
    if stream.recv().await.is_some() {
        tokio::time::sleep(after).await;
        provider.kill_realtime();
    }
}

/// A new database in this folder, in the place of that of an earlier demo.
fn database_in(folder: &Path) -> Result<String> {
    let failed = || format!("cannot use {}", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    let file = folder.join("tandem.db");
    for old in ["tandem.db", "tandem.db-wal", "tandem.db-shm"].map(|name| folder.join(name)) {
        match std::fs::remove_file(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(failed);
            }
            _ => {}
        }
    }
    let spool = folder.join("tandem.db.spool");
    if spool.is_dir() {
        std::fs::remove_dir_all(spool).with_context(failed)?;
    }
    Ok(format!("sqlite://{}", file.display()))
}

/// The demo has a configuration of its own, whatever lies in the working directory or the environment.
fn config(
    listener: &Listener,
    provider: &Provider,
    failure_opt: Option<Failure>,
    database: String,
) -> Result<Config> {
    let address = listener.address();
    let ladder = match failure_opt {
        Some(Failure { to: Mode::Traditional, .. }) => "traditional",
        _ => "cascade,traditional",
    };
    let environment = [
        ("TANDEM__SERVER__LISTEN", address.to_string()),
        ("TANDEM__SERVER__PUBLIC_URL", format!("http://{address}")),
        ("TANDEM__SERVER__WORKERS", "1".to_owned()),
        ("TANDEM__OPENAI__REALTIME_URL", provider.realtime_url()),
        ("TANDEM__OPENAI__BASE_URL", provider.http_base()),
        ("TANDEM__SPEECH__PROVIDER", "openai".to_owned()),
        ("TANDEM__TRANSCRIPTION__MODEL", "gpt-transcribe".to_owned()),
        ("TANDEM__AGENT__LADDER", ladder.to_owned()),
        ("OPENAI_API_KEY", "simulated".to_owned()),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN.to_owned()),
        ("REALTIME_API_PROBABILITY", "1".to_owned()),
        ("DATABASE_URL", database),
        ("TANDEM__LOG__LEVEL", "warn".to_owned()),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let sources = Sources { house_file: Path::new(""), chosen_file_opt: None, environment: &environment };
    Ok(Config::load(&sources)?)
}
