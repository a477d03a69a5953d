//! Workers that outlived their daemon.
//!
//! They are known by the state file — pid and start time — and, where that says nothing, by what they carry: the path of
//! the control socket and their id in the environment, and their lock in the file of [`WorkerLocks`]. Both are looked for, because a
//! daemon can die between starting a worker and writing its pid down, an environment can be overwritten (as programs do that
//! change their title), and a lock can be closed. Of those who carry the same, the worker is who leads a process group.
//!
//! Workers of a 2.x daemon have no lock, and no path of the control socket in their environment. They are known by the path of
//! their own socket, which must be one of ours, and by leading a process group. One whose parent may be its daemon is left
//! alone; it reports on the control socket when that daemon gives it up, and the supervisor decides by what [`caller`] says
//! of it.
//!
//! A child that has not become its program yet carries nothing. But it has the daemon's own lock, so no other daemon starts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nodesockd_core::config::SocketPattern;
use nodesockd_core::event::Caller;
use nodesockd_core::id::{Process, WorkerId};
use nodesockd_core::state::{FoundLink, State, Survivor};
use rustix::process::{Pid, Signal, geteuid};

use crate::files::tmp_dir::TmpDir;
use crate::processes::children::{self, Stat, WORKER_ID, about};
use crate::processes::moment::Moment;
use crate::processes::pidfd::Pidfd;
use crate::processes::worker_locks::WorkerLocks;

/// The variable by which a worker is recognised as one of this control socket.
const IPC_PATH: &str = "NODESOCKD_IPC_PATH";

/// The variable with the path of a worker's own socket.
const SOCKET_PATH: &str = "NODESOCKD_SOCKET_PATH";

/// More ancestors than a process has. Pids that are used again while they are looked at could make a circle.
const MOST_ANCESTORS: usize = 100;

/// Where the workers of a daemon are.
pub(crate) struct Places<'a> {
    pub(crate) ipc_file: &'a Path,
    /// The folder of links and sockets.
    pub(crate) sockets: &'a TmpDir,
    pub(crate) socket_file: &'a SocketPattern,
}

/// Workers of these places that are alive. What dead ones have left behind is killed.
pub(crate) fn find(places: &Places<'_>, state: Option<&State>, locks: &WorkerLocks) -> Vec<Survivor> {
    let recorded = |id| state.and_then(|state| state.worker(id)).and_then(|record| record.process);
    let by_state = state.into_iter().flat_map(|state| &state.workers);
    let mut found: BTreeMap<WorkerId, Process> = by_state
        .filter_map(|record| Some((record.id, record.process.filter(|process| is_alive(*process))?)))
        .collect();
    let own = lineage();
    let mut marked: Vec<Marked> =
        pids().filter_map(|pid| Marked::by_environment(pid, places, &own)).collect();
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

/// The workers of which something was alive when all processes were looked at for the last time.
#[derive(Debug, Default)]
pub(crate) struct LastLook(Option<(Moment, BTreeSet<WorkerId>)>);

impl LastLook {
    /// Kills what carries the worker's id in its environment, or holds its lock. Its process group cannot be named any more:
    /// init has collected the leader, and its number may be another's.
    ///
    /// `exited` is when the worker's exit was noticed, if it was: a look after that serves for all workers that had exited.
    pub(crate) fn kill_left_behind(&mut self, worker: WorkerId, exited: Option<Moment>, locks: &WorkerLocks) {
        if let (Some((began, alive)), Some(exited)) = (&self.0, exited)
            && *began > exited
            && !alive.contains(&worker)
        {
            return;
        }
        let began = Moment::now();
        let held = locks.held();
        let is_held = held.contains(&worker);
        let holds = |pid: Pid| is_held && locks.held_by(pid).contains(&worker) && !is_spared(pid);
        let carries = |pid: Pid, id| id == Some(worker) || holds(pid);
        let mut alive = held;
        for pid in pids() {
            let id = worker_of(pid);
            alive.extend(id);
            if carries(pid, id)
                && let Ok(process) = Pidfd::open(pid)
                && carries(pid, worker_of(pid))
            {
                children::say_killed(worker, std::iter::once(pid));
                process.signal(Signal::KILL);
            }
        }
        self.0 = Some((began, alive));
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
    /// By a worker's id and the path of our control socket in its environment, or that of its own socket.
    fn by_environment(pid: Pid, places: &Places<'_>, own: &[Pid]) -> Option<Self> {
        let environ = environ(pid)?;
        let id = worker_in(&environ)?;
        if let Some(ipc_file) = variable(&environ, IPC_PATH) {
            let ours = ipc_file == places.ipc_file.as_os_str().as_bytes();
            return ours.then(|| Self::of(pid, id)).flatten();
        }
        let socket = places.sockets.name_of(&path(variable(&environ, SOCKET_PATH)?))?;
        if socket != places.socket_file.socket(id) || !is_own_user(pid) {
            return None;
        }
        let marked = Self::of(pid, id).filter(|marked| marked.leads)?;
        let parent = Stat::of(pid)?.parent;
        if parent.is_some_and(|parent| !parent.is_init() && !own.contains(&parent)) {
            tracing::warn!(
                worker = %id.short(),
                pid = marked.process.pid,
                parent = parent.map(|parent| parent.as_raw_nonzero().get()),
                "a worker of nodesockd 2.x is not adopted, because its parent may be its daemon"
            );
            return None;
        }
        Some(marked)
    }

    /// By the locks that it holds.
    fn by_locks(pid: Pid, locks: &WorkerLocks) -> Vec<Self> {
        let held = locks.held_by(pid);
        if held.is_empty() || is_spared(pid) {
            return Vec::new();
        }
        held.into_iter().filter_map(|id| Self::of(pid, id)).collect()
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

/// What there is to know of a process that speaks as a worker; none if it is gone.
pub(crate) fn caller(pid: u32, sockets: &TmpDir, patterns: &[SocketPattern]) -> Option<Caller> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    let stat = Stat::of(number).filter(|stat| !stat.exited)?;
    let environ = environ(number).unwrap_or_default();
    let socket = variable(&environ, SOCKET_PATH).and_then(|socket| sockets.name_of(&path(socket)));
    let names = |link: &FoundLink| socket.as_ref() == Some(&link.socket);
    Some(Caller {
        process: Process { pid, started: stat.started? },
        own_user: is_own_user(number),
        leads: stat.group == Some(number),
        family: family(number, stat.group),
        worker: worker_in(&environ),
        link: sockets.links(patterns).into_iter().find(names),
        socket,
    })
}

/// The processes that one descends from, up to this one, and the leader of its process group.
fn family(pid: Pid, group: Option<Pid>) -> Vec<Process> {
    let us = rustix::process::getpid();
    let parent = |pid: &Pid| Stat::of(*pid).and_then(|stat| stat.parent).filter(|parent| *parent != us);
    let ancestors = std::iter::successors(parent(&pid), parent).take(MOST_ANCESTORS);
    let leader = group.filter(|leader| *leader != pid && *leader != us);
    let identified = |pid: Pid| {
        let started = Stat::of(pid)?.started?;
        Some(Process { pid: pid.as_raw_nonzero().get().cast_unsigned(), started })
    };
    ancestors.chain(leader).filter_map(identified).collect()
}

/// Whether it runs as our user, with no other user's rights (`Uid:` in `/proc/PID/status`: real, effective, saved and
/// file system).
fn is_own_user(pid: Pid) -> bool {
    let us = geteuid().as_raw().to_string();
    let status = about(pid, "status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    users.is_some_and(|users| users.split_ascii_whitespace().all(|user| user == us))
}

pub(crate) fn worker_of(pid: Pid) -> Option<WorkerId> {
    worker_in(&environ(pid)?)
}

/// The worker that an environment names, unless its process is to outlive that.
fn worker_in(environ: &[u8]) -> Option<WorkerId> {
    if children::is_detached(environ) {
        return None;
    }
    WorkerId::parse(std::str::from_utf8(variable(environ, WORKER_ID)?).ok()?)
}

/// It is to outlive the worker that has started it.
fn is_spared(pid: Pid) -> bool {
    environ(pid).is_some_and(|environ| children::is_detached(&environ))
}

fn path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

fn environ(pid: Pid) -> Option<Vec<u8>> {
    about(pid, "environ").ok()
}

fn variable<'a>(environ: &'a [u8], name: &str) -> Option<&'a [u8]> {
    environ
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// All processes of this machine that are visible from here.
pub(crate) fn pids() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Pid::from_raw)
}
