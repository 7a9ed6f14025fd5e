//! The program: reads the command line and the environment, and does what it is told.

use std::process::ExitCode;

fn main() -> ExitCode {
    // `vars` would panic on a variable that is not UTF-8; none of ours is.

    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    tandem::cli::run(&environment)
}
