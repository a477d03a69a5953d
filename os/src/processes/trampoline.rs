//! The short life of this program as a worker that has yet to become what it is.
//!
//! Descriptors that are passed by systemd's convention (`sd_listen_fds(3)`) have to be 3, 4, …, and `LISTEN_PID` has to be the
//! pid of who gets them. Neither can be arranged from outside without code between fork and exec. So the daemon starts its
//! own program, which puts things in their places and then becomes the worker by `execve(2)`, under the same pid.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use crate::processes::worker_locks;

/// What the program is called when it is to become a worker.
pub(crate) const NAME: &str = "nodesockd-worker";

/// The variable with the numbers of the inherited sockets, separated by commas.
pub(crate) const INHERITED: &str = "NODESOCKD_INHERITED_FDS";

/// The variables with the number of the worker's channel.
pub(crate) const CHANNEL: [&str; 2] = ["NODE_CHANNEL_FD", "NODESOCKD_CHANNEL_FD"];

/// Where the first descriptor is passed.
const FIRST: RawFd = 3;

/// The exit status of a shell that cannot run a command.
const CANNOT_RUN: i32 = 127;

/// Becomes the worker that the daemon wants this process to be, if it does; then there is no return. To be called before
/// anything else in `main`.
///
/// Arguments are the program's path, the name it is called by, and its own arguments.
pub fn become_worker_if_asked() {
    let mut args = std::env::args_os();
    if args.next().as_deref() != Some(OsStr::new(NAME)) {
        return;
    }
    let (Some(path), Some(name)) = (args.next(), args.next()) else { give_up("a worker", "nothing to run") };
    let error = match arrange() {
        Ok(variables) => {
            let mut command = Command::new(path);
            command.arg0(&name).args(args).env_remove(INHERITED).envs(variables).exec()
        }
        Err(error) => error,
    };
    give_up(&name.to_string_lossy(), error)
}

/// Puts the inherited sockets where they belong, and everything else out of their way. Returns what changes in the environment.
fn arrange() -> io::Result<Vec<(&'static str, OsString)>> {
    let sockets = inherited(INHERITED)?;
    let end = FIRST + RawFd::try_from(sockets.len()).map_err(io::Error::other)?;
    let mut variables = vec![("LISTEN_PID", std::process::id().to_string().into())];
    for names in [CHANNEL.as_slice(), &[worker_locks::VARIABLE]] {
        for other in inherited(names[0])? {
            let number = if other.as_raw_fd() < end {
                leave_open(fcntl_dupfd_cloexec(&other, end)?)?
            } else {
                leave_open(other)?
            };
            variables.extend(names.iter().map(|name| (*name, number.to_string().into())));
        }
    }
    // First all of them out of the way: one may be where another belongs.
    let aside: Vec<OwnedFd> =
        sockets.iter().map(|socket| fcntl_dupfd_cloexec(socket, end)).collect::<Result<_, _>>()?;
    drop(sockets);
    for (place, socket) in (FIRST..).zip(&aside) {
        let number = leave_open(fcntl_dupfd_cloexec(socket, place)?)?;
        if number != place {
            return Err(io::Error::other(format!("descriptor {place} is taken")));
        }
    }
    Ok(variables)
}

/// The descriptors whose numbers a variable gives, if it is there.
#[expect(unsafe_code, reason = "the daemon can only tell their numbers")]
fn inherited(variable: &str) -> io::Result<Vec<OwnedFd>> {
    let numbers = std::env::var(variable).unwrap_or_default();
    let own = |number: &str| {
        let number: RawFd = number.parse().map_err(io::Error::other)?;
        // SAFETY: the daemon left it open for this process, which has done nothing yet, and each number is named once.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    };
    numbers.split_terminator(',').map(own).collect()
}

/// Keeps a descriptor open across `execve(2)`; returns its number.
fn leave_open(fd: OwnedFd) -> io::Result<RawFd> {
    fcntl_setfd(&fd, FdFlags::empty())?;
    Ok(fd.into_raw_fd())
}

/// Says what went wrong where the worker's own errors go, and ends as a shell would.
fn give_up(name: &str, why: impl Display) -> ! {
    let _ = writeln!(io::stderr(), "nodesockd: cannot run `{name}`: {why}");
    std::process::exit(CANNOT_RUN)
}
