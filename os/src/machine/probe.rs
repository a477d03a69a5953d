//! Looking before leaping: whether a daemon would find here what it needs.

use std::io;
use std::path::Path;

use crate::files::diag::Diag;
use crate::files::queue::{self, answers};
use crate::files::tmp_dir::open_trusted;
use crate::machine::accounts::Account;

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
