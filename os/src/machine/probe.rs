//! Looking before leaping: whether a daemon would find here what it needs.

use std::io;
use std::path::Path;

use rustix::process::{PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use crate::files::diag::Diag;
use crate::files::queue::{self, answers};
use crate::files::tmp_dir::open_trusted;
use crate::machine::accounts::Account;
use crate::processes::children;

/// Whether [`Backend::open`](crate::Backend::open) would accept this `tmpDir`, run by `account`.
///
/// # Errors
///
/// Why it cannot be used or trusted, and what to do.
pub fn tmp_dir_usable(path: &Path, account: &Account) -> Result<(), String> {
    open_trusted(path, account.uid, account.gid).map(drop)
}

/// Whether somebody listens on the socket at `path`, found out by connecting.
///
/// # Errors
///
/// `connect(2)`, for instance that we may not.
pub fn listens(path: &Path) -> io::Result<bool> {
    answers(path)
}

/// Whether the kernel tells accept queues by `UNIX_DIAG`. Without it they are read from `/proc/self/net/unix`.
///
/// # Errors
///
/// Why not (`sock_diag(7)`): the module `unix_diag` is absent, or a sandbox forbids netlink sockets.
pub fn diag_available() -> io::Result<()> {
    Diag::open()?.listeners().map(drop)
}

/// Whether accept queues can be read from `/proc/self/net/unix`, which is slower. Without either, a retiring worker is left alone
/// for a while.
///
/// # Errors
///
/// Why not: `/proc` is not mounted, or a sandbox hides it.
pub fn table_available() -> io::Result<()> {
    std::fs::File::open(queue::TABLE).map(drop)
}

/// Whether processes can be waited for and signalled by pidfd, without which no worker can be started.
///
/// # Errors
///
/// Why not: the kernel is older than 5.3, or a sandbox (seccomp) denies a call; which one.
pub fn pidfd_available() -> Result<(), (&'static str, io::Error)> {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| ("pidfd_open", error.into()))?;
    // A process may always send itself a signal. This one is ignored unless somebody has asked for it.
    pidfd_send_signal(&own, Signal::URG).map_err(|error| ("pidfd_send_signal", error.into()))
}

/// Whether `/proc` tells when a process has started, without which none could be told from another of the same pid.
#[must_use]
pub fn start_times_available() -> bool {
    children::started(getpid()).is_some()
}
