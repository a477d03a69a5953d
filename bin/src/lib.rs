//! nodesockd, the command: every sentence a person reads, the client side of the protocol, and the wiring of the daemon.
//!
//! A library beside the program, so that tests can use its client and look at its renderers.

pub mod cli;
pub mod client;
pub mod commands;
mod configuration;
mod daemon;
pub mod exit;
mod live;
mod locate;
mod logging;
pub mod out;
mod preflight;
mod program;
pub mod render;
pub mod setup;
mod top;
pub mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::out::Console;

/// Our version: of the package, unless the build sets `NODESOCKD_VERSION`.
pub const VERSION: &str = match option_env!("NODESOCKD_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Does what the command line says, and returns the exit code.
#[must_use]
pub fn run() -> ExitCode {
    let command = Cli::parse().into_command().unwrap_or_else(|error| error.exit());
    let mut console = Console::of_process();
    let result = match command {
        Command::Client(command) => on_runtime(commands::run(command, &mut console)),
        Command::Daemon(args) if args.preflight => preflight::run(&args, &mut console),
        Command::Daemon(args) => {
            nodesockd_os::prepare();
            logging::close(on_runtime(daemon::run(args)))
        }
        Command::Check(args) => on_runtime(setup::check::run(&args, &mut console)),
        Command::Init(args) => on_runtime(setup::init::run(&args, &mut console)),
        Command::Doctor(args) => on_runtime(setup::doctor::run(&args, &mut console)),
        Command::Proxy(args) => on_runtime(setup::proxy::run(args, &mut console)),
        Command::Nginx(args) => on_runtime(setup::nginx::run(&args, &mut console)),
        Command::Service(args) => on_runtime(setup::service::run(&args, &mut console)),
        Command::Completions(args) => setup::manual::completions(&args, &mut console),
        Command::Man(args) => setup::manual::man(&args, &mut console),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            console.report(&failure);
            failure.exit.into()
        }
    }
}

/// Runs `work` on this thread.
fn on_runtime(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(Failure::new(Exit::Unexpected, format!("cannot wait for events: {error}"))),
    }
}
