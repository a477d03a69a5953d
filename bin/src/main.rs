//! nodesockd, the command.

use std::process::ExitCode;

fn main() -> ExitCode {
    nodesockd::run()
}
