//! `tandem migrate`: brings the database's tables up to date, which `serve` does too when it starts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use secrecy::ExposeSecret;

use super::Environment;
use crate::clock::{SystemClock, SystemIds};
use crate::config::{Config, HOUSE_FILE, Sources};
use crate::store::Store;

/// Bring the tables of the database up to date, without serving calls.
///
/// `serve` does so at every start; this is for those who want it done before. Several at a time wait for each other.
#[derive(Args)]
#[command(after_help = "Example: DATABASE_URL=postgres://tandem@db.example/tandem tandem migrate")]
pub(super) struct MigrateOptions {
    /// A configuration file; its keys override those of config/tandem.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(options: &MigrateOptions, environment: &Environment) -> Result<ExitCode> {
    let config = Config::load(&Sources {
        house_file: Path::new(HOUSE_FILE),
        chosen_file_opt: options.config.as_deref(),
        environment,
    })?;
    let url = config.database.url.expose_secret();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(url, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
        store.settle().await?;
        println!("the tables are up to date");
        Ok(ExitCode::SUCCESS)
    })
}
