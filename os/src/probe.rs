//! Looking before leaping: whether a daemon would find here what it needs.

use std::io;
use std::path::Path;

use crate::diag::Diag;
use crate::tmp_dir::TmpDir;

/// Whether [`Backend::open`](crate::Backend::open) would accept this `tmpDir`.
///
/// # Errors
///
/// Why it cannot be used or trusted, and what to do.
pub fn tmp_dir_usable(path: &Path) -> Result<(), String> {
    TmpDir::open(path).map(drop)
}

/// Whether the kernel tells accept queues by `UNIX_DIAG`. Without it they are read from `/proc/net/unix`.
///
/// # Errors
///
/// Why not (`sock_diag(7)`): the module `unix_diag` is absent, or a sandbox forbids netlink sockets.
pub fn diag_available() -> io::Result<()> {
    Diag::open()?.listeners().map(drop)
}
