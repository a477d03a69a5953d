//! Workers that outlived their daemon.
//!
//! They are known by the state file — pid and start time — and, where that says nothing, by what they carry: the path of
//! the control socket and their id in the environment, and their lock in the file of [`WorkerLocks`]. Both are looked for, because a
//! daemon can die between starting a worker and writing its pid down, an environment can be overwritten (as programs do that
//! change their title), and a lock can be closed. Of those who carry the same, the worker is who leads a process group.
//!
//! A child that has not become its program yet carries nothing. But it has the daemon's own lock, so no other daemon starts.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nodesockd_core::id::{Process, WorkerId};
use nodesockd_core::state::{State, Survivor};
use rustix::process::{Pid, Signal};

use crate::processes::children::{Stat, WORKER_ID, about};
use crate::processes::pidfd::Pidfd;
use crate::processes::worker_locks::WorkerLocks;

/// The variable by which a worker is recognised as one of this control socket.
const IPC_PATH: &str = "NODESOCKD_IPC_PATH";

/// Workers of the control socket `ipc_file` that are alive. What dead ones have left behind is killed.
pub(crate) fn find(ipc_file: &Path, state: Option<&State>, locks: &WorkerLocks) -> Vec<Survivor> {
    let recorded = |id| state.and_then(|state| state.worker(id)).and_then(|record| record.process);
    let by_state = state.into_iter().flat_map(|state| &state.workers);
    let mut found: BTreeMap<WorkerId, Process> = by_state
        .filter_map(|record| Some((record.id, record.process.filter(|process| is_alive(*process))?)))
        .collect();
    let mut marked: Vec<Marked> = pids().filter_map(|pid| Marked::by_environment(pid, ipc_file)).collect();
    // Who holds a lock is laborious to find out, and mostly known already.
    if locks.held().iter().any(|id| !found.contains_key(id)) {
        marked.extend(pids().flat_map(|pid| Marked::by_locks(pid, locks)));
    }
    // A worker's descendant may lead a group of its own; it was started later.
    for Marked { id, process, .. } in
        marked.iter().filter(|marked| marked.leads && recorded(marked.id).is_none())
    {
        let first = found.entry(*id).or_insert(*process);
        if process.started < first.started {
            *first = *process;
        }
    }
    let own = lineage();
    for Marked { id, process, .. } in marked.iter().filter(|marked| !found.contains_key(&marked.id)) {
        if let Ok((pid, pidfd)) = open(*process)
            && !own.contains(&pid)
        {
            tracing::info!(worker = %id.short(), pid = process.pid, "killing what a dead worker has left behind");
            pidfd.signal(Signal::KILL);
        }
    }
    found.into_iter().map(|(id, process)| Survivor { id, process }).collect()
}

/// Takes hold of a survivor, if it is still that process.
pub(crate) fn open(process: Process) -> io::Result<(Pid, Pidfd)> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let pidfd = Pidfd::open(pid)?;
    // The pid cannot become another's any more; it may have been another's before.
    if is_alive(process) { Ok((pid, pidfd)) } else { Err(gone()) }
}

/// Kills what carries the worker's id in its environment, or holds its lock. Its process group cannot be named any more:
/// init has collected the leader, and its number may be another's.
pub(crate) fn kill_left_behind(worker: WorkerId, locks: &WorkerLocks) {
    let held = locks.held().contains(&worker);
    let carries = |pid: Pid| worker_of(pid) == Some(worker) || held && locks.held_by(pid).contains(&worker);
    for pid in pids().filter(|pid| carries(*pid)) {
        if let Ok(process) = Pidfd::open(pid)
            && carries(pid)
        {
            process.signal(Signal::KILL);
        }
    }
}

fn is_alive(process: Process) -> bool {
    let stat = i32::try_from(process.pid).ok().and_then(Pid::from_raw).and_then(Stat::of);
    stat.is_some_and(|stat| !stat.exited && stat.started == Some(process.started))
}

/// A process that carries what a worker of our control socket does.
struct Marked {
    id: WorkerId,
    process: Process,
    /// It leads a process group, as workers do.
    leads: bool,
}

impl Marked {
    /// By a worker's id and the path of our control socket in its environment.
    fn by_environment(pid: Pid, ipc_file: &Path) -> Option<Self> {
        let environ = environ(pid)?;
        let id = WorkerId::parse(std::str::from_utf8(variable(&environ, WORKER_ID)?).ok()?)?;
        let ours = variable(&environ, IPC_PATH)? == ipc_file.as_os_str().as_bytes();
        ours.then(|| Self::of(pid, id)).flatten()
    }

    /// By the locks that it holds.
    fn by_locks(pid: Pid, locks: &WorkerLocks) -> Vec<Self> {
        locks.held_by(pid).into_iter().filter_map(|id| Self::of(pid, id)).collect()
    }

    fn of(pid: Pid, id: WorkerId) -> Option<Self> {
        let stat = Stat::of(pid).filter(|stat| !stat.exited)?;
        let process = Process { pid: pid.as_raw_nonzero().get().cast_unsigned(), started: stat.started? };
        Some(Self { id, process, leads: stat.group == Some(pid) })
    }
}

/// This process and those that it descends from: a worker may have started its own daemon's successor.
fn lineage() -> Vec<Pid> {
    let parent = |pid: &Pid| Stat::of(*pid).and_then(|stat| stat.parent);
    std::iter::successors(Some(rustix::process::getpid()), parent).collect()
}

fn worker_of(pid: Pid) -> Option<WorkerId> {
    WorkerId::parse(std::str::from_utf8(variable(&environ(pid)?, WORKER_ID)?).ok()?)
}

fn environ(pid: Pid) -> Option<Vec<u8>> {
    about(pid, "environ").ok()
}

fn variable<'a>(environ: &'a [u8], name: &str) -> Option<&'a [u8]> {
    environ
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn pids() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Pid::from_raw)
}
