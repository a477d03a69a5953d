//! Starting a worker's process.
//!
//! `std::process::Command` uses `posix_spawn` (`clone3` with `CLONE_VFORK`, no copy of the daemon's memory) as long as
//! nothing is asked of it that needs code between fork and exec. So the program is looked up here rather than there, and
//! the channel is inherited by clearing close-on-exec for the moment of the call. A worker that inherits listening sockets,
//! too, is started by way of the [`trampoline`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nodesockd_core::action::{SpawnOrder, Stream};
use nodesockd_core::config::{RELEASE_PLACEHOLDER, Ready};
use nodesockd_core::env_file::EnvFile;
use nodesockd_core::event::Failure;
use nodesockd_core::id::Process;
use rustix::fs::{Access, access};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::net::{UnixDatagram, UnixStream};

use crate::error::failure;
use crate::files::listeners::Listeners;
use crate::files::logs::Logs;
use crate::files::release::variables;
use crate::files::text;
use crate::peers::notify;
use crate::processes::children;
use crate::processes::descriptors;
use crate::processes::pidfd::Pidfd;
use crate::processes::trampoline;
use crate::processes::worker_locks::{self, WorkerLocks};
use crate::sink::keeper::Keeper;

/// The program that is running now, even if its file was replaced meanwhile (`proc(5)`).
pub(crate) const OURSELVES: &str = "/proc/self/exe";

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) process: Process,
    pub(crate) pidfd: Pidfd,
    pub(crate) channel: UnixStream,
    /// Where it says that it is ready, if it is to notify.
    pub(crate) notices: Option<UnixDatagram>,
}

/// Starts the process of a worker, and records it among [`children::workers`].
pub(crate) fn start(
    order: &SpawnOrder,
    listeners: &Listeners,
    (sink, logs): (&mut Keeper, &mut Logs),
    locks: &mut WorkerLocks,
) -> Result<Started, Failure> {
    // Of a folder that the state file cannot name, no daemon could keep its workers to a release.
    if let Ok(real) = order.cwd.canonicalize() {
        text::of_path(&real)?;
    }
    let words: Vec<OsString> = order.argv.iter().map(|word| in_release(word, &order.cwd)).collect();
    let Some(name) = words.first().map(|word| word.to_string_lossy()) else {
        return Err(Failure("there is no program to run".into()));
    };
    let name = name.as_ref();
    let stdout = sink.stdio(order.worker, Stream::Stdout, &order.stdout, logs)?;
    let stderr = sink.stdio(order.worker, Stream::Stderr, &order.stderr, logs)?;
    let (channel, theirs) =
        channel().map_err(|error| Failure(format!("cannot make a worker's channel: {error}")))?;
    let sockets = listeners.get(&order.listeners)?;
    let mut environment = environment(&Variables {
        cwd: &order.cwd,
        pass: &order.pass,
        set: &order.set,
        env_files: &order.env_files,
        overrides: &order.overrides,
    })?;
    let notices = notices(order, &mut environment)?;
    let lock = lock(order, locks, &mut environment);
    let number = theirs.as_raw_fd().to_string();
    environment.extend(trampoline::CHANNEL.map(|name| (name.into(), number.clone().into())));
    environment.insert("NODE_CHANNEL_SERIALIZATION_MODE".into(), "json".into());
    let path = environment.get(OsStr::new("PATH")).cloned().unwrap_or_default();

    let program = look_up(name, &path, &order.cwd)?;
    let mut command = if sockets.is_empty() {
        let mut command = Command::new(program);
        command.arg0(name);
        command
    } else {
        let numbers: Vec<String> = sockets.iter().map(|socket| socket.as_raw_fd().to_string()).collect();
        environment.insert(trampoline::INHERITED.into(), numbers.join(",").into());
        let mut command = Command::new(OURSELVES);
        command.arg0(trampoline::NAME).arg(program).arg(name);
        command
    };
    command.args(&words[1..]).current_dir(&order.cwd).process_group(0);
    command.env_clear().envs(environment);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);

    let mut workers = children::workers();
    let lock = lock.as_ref().map(AsFd::as_fd);
    let passed: Vec<BorrowedFd<'_>> = sockets.into_iter().chain([theirs.as_fd()]).chain(lock).collect();
    let spawned = passing(&passed, || {
        // The exit is collected through the pidfd, when the core orders it.
        command.spawn()
    });
    drop(theirs);
    let child = spawned.map_err(|error| explain(name, &order.cwd, &error))?;
    let (pid, process, pidfd) = take_hold(name, &child)?;
    descriptors::give(pid);
    workers.insert(pid);
    Ok(Started { pid, process, pidfd, channel, notices })
}

/// Identifies a child that was just started, `name`, in a process group of its own.
pub(crate) fn take_hold(name: &str, child: &Child) -> Result<(Pid, Process, Pidfd), Failure> {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return Err(cannot_run(name, "the system gave no process id"));
    };
    identify(pid).map(|(process, pidfd)| (pid, process, pidfd)).map_err(|error| {
        // Nobody could watch it, so it must not be.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
        cannot_run(name, error)
    })
}

/// Calls `spawn` while a child inherits these descriptors.
fn passing(descriptors: &[BorrowedFd<'_>], spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    let mark = |flags| descriptors.iter().try_for_each(|fd| fcntl_setfd(fd, flags));
    let spawned = mark(FdFlags::empty()).map_err(io::Error::from).and_then(|()| spawn());
    let _ = mark(FdFlags::CLOEXEC);
    spawned
}

/// The socket by which it notifies, if it is to.
fn notices(
    order: &SpawnOrder,
    environment: &mut BTreeMap<OsString, OsString>,
) -> Result<Option<UnixDatagram>, Failure> {
    if order.ready != Ready::Notify {
        return Ok(None);
    }
    let socket = notify::open(order.worker)
        .map_err(|error| Failure(format!("cannot make a worker's NOTIFY_SOCKET: {error}")))?;
    environment.insert("NOTIFY_SOCKET".into(), notify::address(order.worker).into());
    Ok(Some(socket))
}

/// Its lock, by which a later daemon knows that it is alive. It runs without one as well.
fn lock(
    order: &SpawnOrder,
    locks: &mut WorkerLocks,
    environment: &mut BTreeMap<OsString, OsString>,
) -> Option<OwnedFd> {
    match locks.acquire(order.worker) {
        Ok(lock) => {
            environment.insert(worker_locks::VARIABLE.into(), lock.as_raw_fd().to_string().into());
            Some(lock)
        }
        Err(error) => {
            let worker = order.worker.short();
            tracing::warn!(
                "worker {worker} has no lock; a daemon that follows this one may not find it: {error}"
            );
            None
        }
    }
}

/// Our end, ready to use, and the worker's.
fn channel() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let ours = std::os::unix::net::UnixStream::from(ours);
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs))
}

fn identify(pid: Pid) -> io::Result<(Process, Pidfd)> {
    let denied = |error| io::Error::other(format!("pidfd_open(2), which watches it: {error}"));
    let pidfd = Pidfd::open(pid).map_err(denied)?;
    let started =
        children::started(pid).ok_or_else(|| io::Error::other("/proc does not tell when it started"))?;
    Ok((Process { pid: pid.as_raw_nonzero().get().cast_unsigned(), started }, pidfd))
}

/// Where the variables of a process come from: each of these wins over those before it.
pub(crate) struct Variables<'a> {
    pub(crate) cwd: &'a Path,
    pub(crate) pass: &'a [String],
    pub(crate) set: &'a [(String, String)],
    pub(crate) env_files: &'a [EnvFile],
    pub(crate) overrides: &'a [(String, String)],
}

pub(crate) fn environment(from: &Variables<'_>) -> Result<BTreeMap<OsString, OsString>, Failure> {
    let passed = from.pass.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let set = from.set.iter().map(|(name, value)| (name.into(), in_release(value, from.cwd)));
    let read = variables(from.env_files)?;
    let last = read.iter().chain(from.overrides).map(|(name, value)| (name.into(), value.into()));
    Ok(passed.chain(set).chain(last).collect())
}

/// `text` with the real folder of the working directory, as it is now, filled in.
fn in_release(text: &str, cwd: &Path) -> OsString {
    if !text.contains(RELEASE_PLACEHOLDER) {
        return text.into();
    }
    let real = std::fs::canonicalize(cwd).unwrap_or_else(|_| cwd.to_owned());
    let mut parts = text.split(RELEASE_PLACEHOLDER);
    let mut filled = OsString::from(parts.next().unwrap_or_default());
    for part in parts {
        filled.push(&real);
        filled.push(part);
    }
    filled
}

/// The program's path. Names without a slash are looked up in the worker's own `PATH`, whose relative parts are meant
/// relative to its working directory.
pub(crate) fn look_up(name: &str, path: &OsStr, cwd: &Path) -> Result<PathBuf, Failure> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let candidates = std::env::split_paths(path).map(|folder| cwd.join(folder).join(name));
    let mut denied = None;
    for candidate in candidates.filter(|candidate| candidate.is_file()) {
        match access(&candidate, Access::EXEC_OK) {
            Ok(()) => return Ok(candidate),
            Err(error) => denied = denied.or(Some(failure("run", &candidate, error))),
        }
    }
    let path = path.display();
    Err(denied.unwrap_or_else(|| cannot_run(name, format!("it is in no folder of PATH, which is {path}"))))
}

/// `posix_spawn` reports a missing program, a missing interpreter and a missing working directory alike.
pub(crate) fn explain(name: &str, cwd: &Path, error: &io::Error) -> Failure {
    match std::fs::metadata(cwd) {
        Err(error) => failure("change to the working directory", cwd, error),
        Ok(folder) if !folder.is_dir() => failure("change to the working directory", cwd, "it is no folder"),
        Ok(_) => cannot_run(name, error),
    }
}

fn cannot_run(name: &str, error: impl std::fmt::Display) -> Failure {
    Failure(format!("cannot run `{name}`: {error}"))
}
