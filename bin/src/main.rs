//! nodesockd, the command.

use std::process::ExitCode;

fn main() -> ExitCode {
    nodesockd_os::become_worker_if_asked();
    nodesockd_os::become_sink_if_asked(nodesockd::VERSION);
    nodesockd::run()
}
