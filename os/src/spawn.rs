//! Starting a worker's process.
//!
//! `std::process::Command` uses `posix_spawn` (`clone3` with `CLONE_VFORK`, no copy of the daemon's memory) as long as
//! nothing is asked of it that needs code between fork and exec. So the program is looked up here rather than there, and
//! the channel is inherited by clearing close-on-exec for the moment of the call.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nodesockd_core::action::SpawnOrder;
use nodesockd_core::event::Failure;
use nodesockd_core::id::Process;
use rustix::fs::{Access, access};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::net::UnixStream;

use crate::children;
use crate::error::failure;
use crate::logs::Logs;
use crate::pidfd::Pidfd;

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) process: Process,
    pub(crate) pidfd: Pidfd,
    pub(crate) channel: UnixStream,
}

/// Starts the process of a worker, and records it among [`children::workers`].
pub(crate) fn start(order: &SpawnOrder, logs: &mut Logs) -> Result<Started, Failure> {
    let Some(name) = order.argv.first() else { return Err(Failure("there is no program to run".into())) };
    let (stdout, stderr) = (logs.stdio(&order.stdout)?, logs.stdio(&order.stderr)?);
    let (channel, theirs) =
        channel().map_err(|error| Failure(format!("cannot make a worker's channel: {error}")))?;
    let mut environment = environment(order);
    let number = theirs.as_raw_fd().to_string();
    environment.insert("NODE_CHANNEL_FD".into(), number.clone().into());
    environment.insert("NODESOCKD_CHANNEL_FD".into(), number.into());
    environment.insert("NODE_CHANNEL_SERIALIZATION_MODE".into(), "json".into());
    let path = environment.get(OsStr::new("PATH")).cloned().unwrap_or_default();

    let mut command = Command::new(look_up(name, &path, &order.cwd)?);
    command.arg0(name).args(&order.argv[1..]).current_dir(&order.cwd).process_group(0);
    command.env_clear().envs(environment);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);

    let mut workers = children::workers();
    fcntl_setfd(&theirs, FdFlags::empty()).map_err(|error| cannot_run(name, error))?;
    // The exit is collected through the pidfd, when the core orders it.
    let spawned = command.spawn();
    drop(theirs);
    let child = spawned.map_err(|error| explain(name, &order.cwd, &error))?;
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return Err(cannot_run(name, "the system gave no process id"));
    };
    match identify(pid) {
        Ok((process, pidfd)) => {
            workers.insert(pid);
            Ok(Started { pid, process, pidfd, channel })
        }
        Err(error) => {
            // Nobody could watch it, so it must not be.
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
            Err(cannot_run(name, error))
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
    let pidfd = Pidfd::open(pid)?;
    let started =
        children::started(pid).ok_or_else(|| io::Error::other("/proc does not tell when it started"))?;
    Ok((Process { pid: pid.as_raw_nonzero().get().cast_unsigned(), started }, pidfd))
}

fn environment(order: &SpawnOrder) -> BTreeMap<OsString, OsString> {
    let passed = order.pass.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    passed.chain(order.set.iter().map(|(name, value)| (name.into(), value.into()))).collect()
}

/// The program's path. Names without a slash are looked up in the worker's own `PATH`, whose relative parts are meant
/// relative to its working directory.
fn look_up(name: &str, path: &OsStr, cwd: &Path) -> Result<PathBuf, Failure> {
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
fn explain(name: &str, cwd: &Path, error: &io::Error) -> Failure {
    match std::fs::metadata(cwd) {
        Err(error) => failure("change to the working directory", cwd, error),
        Ok(folder) if !folder.is_dir() => failure("change to the working directory", cwd, "it is no folder"),
        Ok(_) => cannot_run(name, error),
    }
}

fn cannot_run(name: &str, error: impl std::fmt::Display) -> Failure {
    Failure(format!("cannot run `{name}`: {error}"))
}
