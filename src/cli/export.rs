//! `tandem export`: what is in the database, for other programs.
//!
//! It refuses to know how anything is kept: it reads as operators do.

mod finetune;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::Environment;
use crate::call_log::{Call, CallFilter, CallLog};
use crate::clock::{SystemClock, SystemIds};
use crate::config::{Config, HOUSE_FILE, Sources};
use crate::instructions::{Particulars, Template};
use crate::money::Usd;
use crate::store::Store;
use crate::usage_log::{UsageLine, UsageLog};

/// Calls that are read at a time.
const PAGE: u32 = 500;

/// Write what is in the database, as CSV or JSON Lines.
#[derive(Args)]
#[command(
    after_help = "Example: tandem export calls --since 2026-11-01T00:00:00Z --format csv --out calls.csv"
)]
pub(super) struct ExportOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Calls, the newest first; as JSON Lines each with its turns.
    Calls(Chosen),
    /// What calls used and what that cost, event by event, the oldest first.
    Usage(Chosen),
    /// What was said in calls with a good outcome, as training lines in the chat format of fine-tuning: numbers, addresses
    /// and names that are recognised are taken out.
    Finetune(FinetuneOptions),
}

#[derive(Args)]
struct FinetuneOptions {
    /// Calls whose outcome is known and at least this, 0 to 1.
    #[arg(long, value_name = "REWARD", default_value_t = 0.5)]
    reward_min: f64,
    /// Calls that began then or later, such as 2026-11-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// And before that.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Where they are written; the standard output if it is not told.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A configuration file; its keys override those of config/tandem.toml. The agent's instructions are told with each call.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct Chosen {
    /// What began or happened then or later, such as 2026-11-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// And before that.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Where it is written; the standard output if it is not told.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A configuration file; its keys override those of config/tandem.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON document a line.
    Jsonl,
    /// Comma-separated values with a head line (RFC 4180).
    Csv,
}

/// A usage event as a line of a table.
#[derive(Serialize)]
struct EventLine<'a> {
    id: String,
    at: String,
    call: String,
    user: Option<String>,
    agent: &'a str,
    mode: &'a str,
    event_type: &'a str,
    provider: Option<&'a str>,
    model: Option<&'a str>,
    quantity: u64,
    unit: &'a str,
    metadata: String,
    cost_usd: Option<Usd>,
    unheard_usd: Usd,
    price_version: u32,
}

/// A call as a line of a table.
#[derive(Serialize)]
struct CallLine<'a> {
    id: String,
    call_sid: &'a str,
    user: Option<String>,
    agent: &'a str,
    from: Option<&'a str>,
    to: Option<&'a str>,
    started_at: String,
    ended_at: Option<String>,
    state: &'a str,
    end_reason: Option<&'a str>,
    routed: &'a str,
    rule: Option<&'a str>,
    mode: &'a str,
    cost_usd: Usd,
    unpriced: u32,
    carrier_usd: Usd,
    outcome: Option<f64>,
}

pub(super) fn run(options: &ExportOptions, environment: &Environment) -> Result<ExitCode> {
    let (config_opt, out_opt) = match &options.what {
        What::Calls(chosen) | What::Usage(chosen) => (&chosen.config, &chosen.out),
        What::Finetune(chosen) => (&chosen.config, &chosen.out),
    };
    let config = Config::load(&Sources {
        house_file: Path::new(HOUSE_FILE),
        chosen_file_opt: config_opt.as_deref(),
        environment,
    })?;
    let out: Box<dyn Write> = match out_opt {
        Some(file) => {
            Box::new(File::create(file).with_context(|| format!("cannot write {}", file.display()))?)
        }
        None => Box::new(io::stdout().lock()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let url = config.database.url.expose_secret();
        if let Some(file) = url.strip_prefix("sqlite://").filter(|file| !Path::new(file).exists()) {
            bail!("there is no database {file}: set `database.url`, or go to its folder");
        }
        let store = Store::open(url, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
        let out = BufWriter::new(out);
        match &options.what {
            What::Calls(chosen) => calls(&store, chosen, out).await?,
            What::Usage(chosen) => usage(&store, chosen, out).await?,
            What::Finetune(chosen) => finetune(&store, chosen, &instructions(&config)?, out).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// As strangers' agents have them.
fn instructions(config: &Config) -> Result<String> {
    let stranger = Particulars { agent_name: &config.agent.name, ..Particulars::default() };
    Ok(Template::new(&config.agent.instructions)?.fill(&stranger)?)
}

async fn calls(store: &Store, chosen: &Chosen, mut out: impl Write) -> Result<()> {
    let filter = CallFilter { since: chosen.since, until: chosen.until, ..CallFilter::default() };
    let mut table = Table::default();
    let mut before_opt = None;
    loop {
        let page = store.calls(filter.clone(), PAGE, before_opt).await?;
        for call in &page.entries {
            match chosen.format {
                Format::Csv => table.write(&mut out, &CallLine::of(call))?,
                Format::Jsonl => {
                    let conversation = CallLog::call(store, call.id).await?;
                    conversation.map_or(Ok(()), |conversation| json_line(&mut out, &conversation))?;
                }
            }
        }
        before_opt = page.entries.last().filter(|_| page.more).map(|call| call.id);
        if before_opt.is_none() {
            return Ok(out.flush()?);
        }
    }
}

async fn usage(store: &Store, chosen: &Chosen, mut out: impl Write) -> Result<()> {
    let mut table = Table::default();
    let mut after_opt = None;
    loop {
        let page = store.usage(chosen.since, chosen.until, PAGE, after_opt).await?;
        for event in &page.entries {
            match chosen.format {
                Format::Csv => table.write(&mut out, &EventLine::of(event))?,
                Format::Jsonl => json_line(&mut out, event)?,
            }
        }
        after_opt = page.entries.last().filter(|_| page.more).map(|event| event.id);
        if after_opt.is_none() {
            return Ok(out.flush()?);
        }
    }
}

async fn finetune(
    store: &Store,
    chosen: &FinetuneOptions,
    instructions: &str,
    mut out: impl Write,
) -> Result<()> {
    let filter = CallFilter { since: chosen.since, until: chosen.until, ..CallFilter::default() };
    let is_good = |call: &&Call| call.outcome.is_some_and(|outcome| outcome >= chosen.reward_min);
    let mut before_opt = None;
    loop {
        let page = store.calls(filter.clone(), PAGE, before_opt).await?;
        for call in page.entries.iter().filter(is_good) {
            let conversation = CallLog::call(store, call.id).await?;
            let line = conversation.and_then(|conversation| finetune::line(instructions, &conversation));
            line.map_or(Ok(()), |line| json_line(&mut out, &line))?;
        }
        before_opt = page.entries.last().filter(|_| page.more).map(|call| call.id);
        if before_opt.is_none() {
            return Ok(out.flush()?);
        }
    }
}

fn json_line(mut out: impl Write, entry: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut out, entry)?;
    Ok(writeln!(out)?)
}

/// Lines of one kind, the first below a head line.
#[derive(Default)]
struct Table {
    has_head: bool,
}

impl Table {
    fn write(&mut self, out: impl Write, line: &impl Serialize) -> Result<()> {
        let mut writer = csv::WriterBuilder::new().has_headers(!self.has_head).from_writer(out);
        self.has_head = true;
        writer.serialize(line)?;
        Ok(writer.flush()?)
    }
}

impl<'a> CallLine<'a> {
    fn of(call: &'a Call) -> Self {
        Self {
            id: call.id.to_string(),
            call_sid: &call.call_sid,
            user: call.user.map(|user| user.to_string()),
            agent: &call.agent,
            from: call.from.as_deref(),
            to: call.to.as_deref(),
            started_at: call.started_at.to_string(),
            ended_at: call.ended_at.map(|at| at.to_string()),
            state: &call.state,
            end_reason: call.end_reason.as_deref(),
            routed: call.routed.name(),
            rule: call.rule.as_deref(),
            mode: call.mode.name(),
            cost_usd: call.cost_usd,
            unpriced: call.unpriced,
            carrier_usd: call.carrier_usd,
            outcome: call.outcome,
        }
    }
}

impl<'a> EventLine<'a> {
    fn of(event: &'a UsageLine) -> Self {
        Self {
            id: event.id.to_string(),
            at: event.at.to_string(),
            call: event.call.to_string(),
            user: event.user.map(|user| user.to_string()),
            agent: &event.agent,
            mode: &event.mode,
            event_type: &event.event_type,
            provider: event.provider.as_deref(),
            model: event.model.as_deref(),
            quantity: event.quantity,
            unit: &event.unit,
            metadata: event.metadata.to_string(),
            cost_usd: event.cost_usd,
            unheard_usd: event.unheard_usd,
            price_version: event.price_version,
        }
    }
}
