//! `tandem call`: the simulated carrier, against any running switch.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use tandem_sim::carrier::{CallEnd, CallPlan, CallRecord, CallerAudio, CarrierFault, HangUp, place_call};

use super::progress::ProgressLine;
use super::{Environment, ear};

/// Call a running switch as the carrier would, and speak a recording into the line.
///
/// Posts the voice webhook, does what the TwiML says, connects the media stream, plays the recording in real time and hangs
/// up some seconds after its end. Signs its requests with --auth-token or `TWILIO_AUTH_TOKEN`.
#[derive(Args)]
#[command(
    after_help = "Example: tandem call --url http://127.0.0.1:8765/twilio/voice --wav question.wav --out /tmp/call"
)]
pub(super) struct CallOptions {
    /// The switch's voice webhook.
    #[arg(long, value_name = "URL")]
    url: String,
    /// What the caller says: a WAV file of any rate, mono or stereo. Without it the demo's caller speaks.
    #[arg(long, value_name = "FILE")]
    wav: Option<PathBuf>,
    /// The caller's number.
    #[arg(long, value_name = "NUMBER", default_value = "+12065550188")]
    from: String,
    /// The number called.
    #[arg(long, value_name = "NUMBER", default_value = "+14155550142")]
    to: String,
    /// Write heard.wav, call.wav and call.json into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seconds from the end of the recording to hanging up.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    linger: f64,
    /// What goes wrong on the carrier's side, such as `reset-after:2`; may be repeated.
    #[arg(long, value_name = "SPEC")]
    fault: Vec<CarrierFault>,
    /// The account's auth token. Better set `TWILIO_AUTH_TOKEN`: other users see the command line.
    #[arg(long, value_name = "TOKEN")]
    auth_token: Option<String>,
    /// Print the record of the call as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &CallOptions, environment: &Environment) -> Result<ExitCode> {
    let caller = match &options.wav {
        Some(file) => {
            CallerAudio::from_wav(file).with_context(|| format!("cannot use {}", file.display()))?
        }
        None => CallerAudio::demo(),
    };
    let linger =
        Duration::try_from_secs_f64(options.linger).context("--linger must be seconds, not negative")?;
    let mut plan = CallPlan::new(&options.url, caller);
    plan.from.clone_from(&options.from);
    plan.to.clone_from(&options.to);
    plan.auth_token = options.auth_token.clone().or_else(|| environment.get("TWILIO_AUTH_TOKEN").cloned());
    plan.status_url = status_url(&options.url);
    plan.hang_up = HangUp::AfterAudio { linger };
    plan.faults.clone_from(&options.fault);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut line = ProgressLine::new(false);
    let record = runtime.block_on(place_call(plan, |progress| line.show(progress)));
    line.finish();
    let record = record?;
    let described = describe(&record);
    if let Some(out) = &options.out {
        ear::write_recordings(out, &record)?;
        let json = serde_json::to_vec_pretty(&described).context("a record is plain data")?;
        std::fs::write(out.join("call.json"), json).context("cannot write call.json")?;
    }
    if options.json {
        println!("{described:#}");
    } else {
        report(&record);
    }
    let well = matches!(record.end, CallEnd::CallerHungUp | CallEnd::HungUp | CallEnd::DocumentEnded);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where a number's status callback usually points: the same switch.
fn status_url(voice_url: &str) -> Option<String> {
    let (scheme, rest) = voice_url.split_once("://")?;
    let host = rest.split('/').next()?;
    Some(format!("{scheme}://{host}/twilio/status"))
}

fn report(record: &CallRecord) {
    for (at, event) in &record.events {
        println!("{:7.3} s  {event:?}", at.as_secs_f64());
    }
    for (code, text) in &record.warnings {
        println!("warning {code}: {text}");
    }
    println!(
        "{}: {}; {:.1} s, of which the agent spoke {:.1} s",
        record.call_sid,
        record.end,
        record.duration.as_secs_f64(),
        record.played_ms as f64 / 1e3
    );
}

fn describe(record: &CallRecord) -> serde_json::Value {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    json!({
        "call_sid": record.call_sid,
        "end": record.end.to_string(),
        "duration_ms": ms(record.duration),
        "received_ms": record.received_ms,
        "played_ms": record.played_ms,
        "cleared": record.cleared.iter().map(|clear| json!({
            "at_ms": ms(clear.at), "played_ms_total": clear.played_ms_total, "dropped_ms": clear.dropped_ms
        })).collect::<Vec<_>>(),
        "warnings": record.warnings,
        "webhooks": record.webhooks.iter().map(|webhook| json!({
            "at_ms": ms(webhook.at), "url": webhook.url, "status": webhook.status, "took_ms": ms(webhook.took)
        })).collect::<Vec<_>>(),
        "events": record.events.iter().map(|(at, event)| json!({
            "at_ms": ms(*at), "event": format!("{event:?}")
        })).collect::<Vec<_>>(),
    })
}
