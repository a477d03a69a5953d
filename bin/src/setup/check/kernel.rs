//! What the daemon cannot do without, and a sandbox may keep from it.

use nodesockd_os::{pidfd_available, start_times_available};

use super::Finding;

/// Whether processes can be watched at all.
pub(crate) fn look() -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err((call, error)) = pidfd_available() {
        findings.push(Finding::bad(
            format!("no worker can be started: {call}(2), by which the daemon watches it, is denied: {error}"),
            format!(
                "allow `{call}` in the seccomp profile (systemd: `SystemCallFilter=@process {call}`, Docker: a newer \
                 default profile); the kernel has to be 5.3 or newer"
            ),
        ));
    }
    if !start_times_available() {
        findings.push(Finding::bad(
            "no worker can be started: /proc does not tell when a process has started",
            "mount /proc where the daemon runs (systemd: no `ProcSubset=pid` or `InaccessiblePaths=/proc`)",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good("processes can be watched (pidfd_open, /proc)"));
    }
    findings
}
