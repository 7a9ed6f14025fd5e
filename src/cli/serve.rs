//! `tandem serve`: the switch, until it is told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::Environment;
use crate::app::App;
use crate::config::{Config, HOUSE_FILE, Sources};
use crate::http::Listener;
use crate::telemetry;

/// Run the switch.
///
/// Reads config/tandem.toml when it is there, then --config, then the environment (`TANDEM__SECTION__KEY`).
/// Stops on SIGTERM or Ctrl-C: live calls are ended in order first.
#[derive(Args)]
#[command(after_help = "Example: OPENAI_API_KEY=... TWILIO_AUTH_TOKEN=... tandem serve --config tandem.toml")]
pub(super) struct ServeOptions {
    /// A configuration file; its keys override those of config/tandem.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(options: &ServeOptions, environment: &Environment) -> Result<ExitCode> {
    let sources = Sources {
        house_file: Path::new(HOUSE_FILE),
        chosen_file_opt: options.config.as_deref(),
        environment,
    };
    let config = Config::load(&sources)?;
    config.check_serve()?;
    telemetry::init(&config.log, environment.get("RUST_LOG").map(String::as_str))?;
    actix_rt::System::new().block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
        let app = App::start(&config, Listener::bind(config.server.listen)?, None).await?;
        tracing::info!(listen = %app.address, public_url = %config.server.public_url, "ready for calls");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: live calls are ended in order");
        app.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}
