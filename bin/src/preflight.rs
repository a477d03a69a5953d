//! `daemon --preflight`: what a daemon asks the installed program before it becomes it.

use std::io;

use nodesockd_os::{HandoffFile, PreflightReply, could_take_over};

use crate::VERSION;
use crate::cli::DaemonArgs;
use crate::configuration::{invalid, surroundings};
use crate::daemon::Source;
use crate::exit::{Exit, Failure};
use crate::out::Console;

/// Says which version this is, if it could take over from the daemon whose hand-off is on standard input.
///
/// # Errors
///
/// Why it could not: exit code 3 for the configuration, else 1.
pub fn run(args: &DaemonArgs, console: &mut Console) -> Result<Exit, Failure> {
    let refused = |reason: String| Failure::new(Exit::Unexpected, reason);
    let handoff = HandoffFile::read(io::stdin().lock())
        .map_err(|error| refused(format!("{VERSION} does not understand this hand-off: {error}")))?;
    let source = Source { around: surroundings()?, args: args.clone() };
    let config = source.load().map_err(|problems| invalid(&problems))?;
    if let Some(reason) = handoff.supervisor.refuses(&config) {
        return Err(Failure::new(Exit::InvalidConfig, reason));
    }
    could_take_over(&config).map_err(|error| refused(error.to_string()))?;
    let reply = PreflightReply { version: VERSION.to_owned() };
    let line = serde_json::to_string(&reply).map_err(|error| refused(error.to_string()))?;
    console.out.line(&line)?;
    Ok(Exit::Done)
}
