//! What the kernel says of a worker: whether its process runs or waits, and how much CPU time it has used.

use nodesockd_core::event::{Failure, Vitals};
use nodesockd_core::id::Process;
use rustix::process::Pid;

use super::children::{Stat, about};
use super::cpu_time;

/// What the process does at this moment. The CPU time is that of its whole group, as a worker may work behind a wrapper.
pub(crate) fn of(pid: Pid, process: Process) -> Result<Vitals, Failure> {
    let failure = |error: &dyn std::fmt::Display| Failure(format!("process {}: {error}", process.pid));
    let cpu = cpu_time::of(process).map_err(|error| failure(&error))?.used;
    let state = Stat::of(pid).ok_or_else(|| failure(&"the process is gone"))?.state;
    let read = |file: &str| about(pid, file).ok().map(|text| String::from_utf8_lossy(&text).into_owned());
    // Kernels that are built without it, or hide it, say nothing or `0`.
    let waits_in = read("wchan").filter(|function| !matches!(function.as_str(), "" | "0"));
    let traced = read("status").is_some_and(|status| is_traced(&status));
    Ok(Vitals { state, cpu, waits_in, traced })
}

fn is_traced(status: &str) -> bool {
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_under_a_debugger_is_traced() {
        assert!(is_traced("Name:\tnode\nTracerPid:\t17\n"));
        assert!(!is_traced("Name:\tnode\nTracerPid:\t0\n"));
        assert!(!is_traced(""));
    }

    #[test]
    fn this_process_runs() {
        let pid = rustix::process::getpid();
        let started = Stat::of(pid).and_then(|stat| stat.started).unwrap();
        let process = Process { pid: pid.as_raw_nonzero().get().unsigned_abs(), started };
        let vitals = of(pid, process).unwrap();
        assert!(!vitals.traced);
        of(pid, Process { started: started + 1, ..process }).unwrap_err();
    }
}
