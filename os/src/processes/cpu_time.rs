//! What a worker has got of the machine, from `/proc` (`proc_pid_stat(5)`).

use std::io;
use std::time::Duration;

use nodesockd_core::event::CpuTime;
use nodesockd_core::id::Process;
use rustix::param::clock_ticks_per_second;
use rustix::process::Pid;

use crate::processes::children::{Stat, about};
use crate::processes::survivors::pids;

/// The CPU time of a process with all of its group, and how long the process itself has waited for a CPU.
pub(crate) fn of(process: Process) -> io::Result<CpuTime> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let leader = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let is_the_same = |stat: &Stat| stat.started == Some(process.started);
    let leads = Stat::of(leader).filter(is_the_same).ok_or_else(gone)?;
    // A worker behind a wrapper (`npm start`) works in another process of the group.
    let others = pids().filter(|pid| *pid != leader && leads.group == Some(leader));
    let others = others.filter_map(Stat::of).filter(|stat| stat.group == Some(leader));
    let ticks = others.map(|stat| stat.cpu_ticks).fold(leads.cpu_ticks, u64::saturating_add);
    Ok(CpuTime { used: of_ticks(ticks), waited: waited(leader).unwrap_or_default() })
}

/// So many ticks of the clock by which the kernel counts CPU time.
pub(crate) fn of_ticks(ticks: u64) -> Duration {
    Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second()).unwrap_or(100).max(1)
}

/// The second number of `/proc/PID/schedstat`: nanoseconds on a run queue. Not all kernels tell.
fn waited(pid: Pid) -> Option<Duration> {
    let text = String::from_utf8(about(pid, "schedstat").ok()?).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}
