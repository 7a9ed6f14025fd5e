//! The command line: one file per command. What a command does stands there; here is how it is spelt.

mod demo;
mod ear;
mod export;
mod migrate;
mod place_call;
mod progress;
mod rollup;
mod serve;
mod simulate;
mod storm;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A media switch for voice agents: your call survives the engine, the node and the deploy.
#[derive(Parser)]
#[command(version, after_help = "First try: tandem demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoOptions),
    Serve(serve::ServeOptions),
    Sim(simulate::SimOptions),
    Call(place_call::CallOptions),
    Migrate(migrate::MigrateOptions),
    Export(export::ExportOptions),
    Rollup(rollup::RollUpOptions),
    Storm(storm::StormOptions),
    #[command(hide = true)]
    StormRelay(storm::relay::RelayOptions),
}

/// The environment of the process, read once.
type Environment = BTreeMap<String, String>;

/// Does what the command line says. Errors are told in one sentence, on the error stream.
pub fn run(environment: &Environment) -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(options) => demo::run(&options, environment),
        Command::Serve(options) => serve::run(&options, environment),
        Command::Sim(options) => simulate::run(&options, environment),
        Command::Call(options) => place_call::run(&options, environment),
        Command::Migrate(options) => migrate::run(&options, environment),
        Command::Export(options) => export::run(&options, environment),
        Command::Rollup(options) => rollup::run(&options, environment),
        Command::Storm(options) => storm::run(&options),
        Command::StormRelay(options) => storm::relay::run(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("tandem: {}", in_one_sentence(&error));
        ExitCode::FAILURE
    })
}

/// An error with its causes. Some errors quote their cause and some leave it to us: each is said once.
fn in_one_sentence(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|said, cause| if said.ends_with(&cause) { said } else { format!("{said}: {cause}") })
        .unwrap_or_default()
}
