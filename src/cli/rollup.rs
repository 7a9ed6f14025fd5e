//! `tandem rollup`: sums up days, which `serve` does too as it goes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use secrecy::ExposeSecret;
use tandem_actors::ports::Clock;

use super::Environment;
use crate::app::Sums;
use crate::clock::{SystemClock, SystemIds};
use crate::config::{Config, HOUSE_FILE, Sources};
use crate::store::Store;

/// Sum up the days of which something was written, as `serve` does by itself.
#[derive(Args)]
#[command(after_help = "Example: tandem rollup --rebuild")]
pub(super) struct RollUpOptions {
    /// Sum up all days again, from all that calls used and how they ended. Days whose records are deleted by
    /// `retention.usage_days` keep their sums.
    #[arg(long)]
    rebuild: bool,

    /// A configuration file; its keys override those of config/tandem.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(options: &RollUpOptions, environment: &Environment) -> Result<ExitCode> {
    let config = Config::load(&Sources {
        house_file: Path::new(HOUSE_FILE),
        chosen_file_opt: options.config.as_deref(),
        environment,
    })?;
    let calendar = Sums::of(&config).calendar(SystemClock.now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let url = config.database.url.expose_secret();
        let store = Store::open(url, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
        let done =
            if options.rebuild { store.rebuild(&calendar).await? } else { store.roll_up(&calendar).await? };
        store.settle().await?;
        println!("days summed up: {}", done.days);
        if done.frozen > 0 {
            println!(
                "days left as they are, since their records are deleted when they are old: {}",
                done.frozen
            );
        }
        if done.left > 0 {
            println!("days left to another process that is summing them up: {}", done.left);
        }
        Ok(ExitCode::SUCCESS)
    })
}
