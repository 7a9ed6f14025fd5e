//! `tandem storm`: many calls at once through the real code paths, and what they cost.
//! It does not know the switch from inside: it starts one as a child and plays both of its neighbours.
//!
//! | file | |
//! |---|---|
//! | `round` | one round: a process in the middle, calls through it, its figures |
//! | `carrier`, `provider` | the two neighbours, over real sockets |
//! | `relay` | the floor: the same messages through a process that only copies bytes |
//! | `identity` | audio that says which frame of which call it is |
//! | `stats` | what was sent, what arrived, how late |
//! | `cost` | what the calls cost the process in the middle |
//! | `process` | the measured process and `/proc` |
//! | `report` | the table |
//! | `webhooks`, `failovers` | two other storms: calls that ring, calls whose engine is lost |

mod carrier;
mod cost;
mod failovers;
mod identity;
mod process;
mod provider;
pub(crate) mod relay;
mod report;
mod round;
mod sockets;
mod stats;
mod webhooks;

use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use process::Cores;
use report::Report;
use round::{Audio, Middle, Plan, Round};

/// Switch and floor in alternation, so that a slow minute of the machine hits both.
const ROUNDS_WITH_FLOOR: [Middle; 4] = [Middle::Switch, Middle::Relay, Middle::Switch, Middle::Relay];

/// Media calls of `--webhooks` that live at a time: 100 a second, each until its socket has not come for 10 s; and as
/// many connections that wait for answers.
const RINGING_MAX: u32 = 2_000;

/// Between lines of progress where they cannot be rewritten.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// To the line's beginning, and erase it.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Put many calls through a switch on loopback and measure it.
///
/// Starts `tandem serve` as a process of its own on a core of its own, plays the carrier and the provider of every
/// call, and reports added delay, lost, doubled or reordered audio, failures, CPU time and memory of the switch alone.
/// Ends with 1 if any frame or call was lost.
#[derive(Args, Debug)]
#[command(after_help = "Example: tandem storm --calls 500 --seconds 20 --floor")]
pub(crate) struct StormOptions {
    /// Calls at the same time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(identity::TRACKS_MAX)))]
    calls: u32,
    /// Length of the measured window of each round, in which all calls talk; at most 50 minutes, for a call and a
    /// session end after 60.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_000))]
    seconds: u64,
    /// What the provider's sessions speak: mu-law as the telephone does, or PCM16 at 24 kHz.
    #[arg(long, value_enum, default_value_t = Audio::Pcmu)]
    audio: Audio,
    /// Measure a bare socket-to-socket relay too, in alternation with the switch (two rounds each), and compare.
    #[arg(long)]
    floor: bool,
    /// Ring instead of talking: 200 webhooks a second for `--seconds`, and how long their answers take.
    #[arg(long, conflicts_with_all = ["calls", "audio", "floor"])]
    webhooks: bool,
    /// Lose the provider instead: so many sessions in mid-sentence, and how long the caller hears nothing.
    #[arg(long, conflicts_with_all = ["calls", "seconds", "audio", "floor", "webhooks"], value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    failovers: Option<u32>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// A line on the error stream while a storm runs: rewritten on a terminal, told every few seconds elsewhere.
struct Progress {
    terminal: bool,
    told_at: Option<Instant>,
}

/// Plays the storm and prints its report. Must be called outside any async runtime: it brings its own of one thread, so
/// that the load fits on one core beside the switch's.
pub(crate) fn run(options: &StormOptions) -> Result<ExitCode> {
    let mut progress = Progress { terminal: std::io::stderr().is_terminal(), told_at: None };
    if options.webhooks {
        process::allow_sockets(RINGING_MAX)?;
        let cores = Cores::divide()?;
        let report = play(webhooks::play(options.seconds, &cores, &mut |stage| progress.show(stage)))?;
        progress.clear();
        return print(&report, options.json, true);
    }
    if let Some(failovers) = options.failovers {
        let cores = Cores::divide()?;
        let report = play(failovers::play(failovers, &cores, &mut |stage| progress.show(stage)))?;
        progress.clear();
        return print(&report, options.json, report.is_clean());
    }
    process::allow_sockets(options.calls)?;
    let cores = Cores::divide()?;
    let rounds = play(play_rounds(options, &cores, &mut progress))?;
    let report = Report::new(options.calls, options.seconds, options.audio, &cores, rounds);
    print(&report, options.json, report.clean)
}

fn play<T>(storm: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            played = storm => played,
            // Dropping the storm stops the process in the middle, too.
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

fn print(report: &(impl Serialize + fmt::Display), json: bool, clean: bool) -> Result<ExitCode> {
    let mut output = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut output, report)?;
        writeln!(output)?;
    } else {
        write!(output, "{report}")?;
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn play_rounds(options: &StormOptions, cores: &Cores, progress: &mut Progress) -> Result<Vec<Round>> {
    let middles = if options.floor { &ROUNDS_WITH_FLOOR[..] } else { &ROUNDS_WITH_FLOOR[..1] };
    let mut rounds = Vec::new();
    for (index, middle) in middles.iter().copied().enumerate() {
        let plan = Plan { calls: options.calls, seconds: options.seconds, audio: options.audio, middle };
        let title = format!("round {} of {}", index + 1, middles.len());
        let round = round::play(plan, cores, &mut |stage| progress.show(&format!("{title}: {stage}"))).await;
        rounds.push(round.context(title)?);
    }
    progress.clear();
    Ok(rounds)
}

impl Progress {
    fn show(&mut self, line: &str) {
        let now = Instant::now();
        if self.terminal {
            tell(format_args!("{CLEAR_LINE}{line}"));
        } else if self.told_at.is_none_or(|told_at| now >= told_at + PROGRESS_EVERY) {
            self.told_at = Some(now);
            tell(format_args!("{line}\n"));
        }
    }

    fn clear(&self) {
        if self.terminal {
            tell(format_args!("{CLEAR_LINE}"));
        }
    }
}

/// An error stream that nobody reads is no reason to stop measuring.
fn tell(text: fmt::Arguments<'_>) {
    let mut error = std::io::stderr().lock();
    drop(error.write_fmt(text).and_then(|()| error.flush()));
}

#[cfg(test)]
mod tests;
