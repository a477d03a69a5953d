//! One daemon per `ipcFile`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nodesockd_core::config::Companion;
use rustix::fs::{FlockOperation, OFlags, flock, ftruncate};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error::OpenError;

/// The lock: `flock(2)` on `<ipcFile>.lock`. The file is never removed, or two daemons could each lock one of that
/// name; the pid in it is for people.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock of the daemon at `ipc_file`.
    pub(crate) fn take(ipc_file: &Path) -> Result<Self, OpenError> {
        let file = Companion::Lock.path(ipc_file);
        let refused = |reason: String| OpenError::Lock { file: file.clone(), reason };
        loop {
            let mut lock = open(&file).map_err(|error| refused(explain(&file, &error)))?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let mut text = String::new();
                    let _ = Read::by_ref(&mut lock).take(16).read_to_string(&mut text);
                    return Err(OpenError::Locked { pid: text.trim().parse().ok(), file });
                }
                Err(error) => return Err(refused(error.to_string())),
            }
            let held = lock.metadata().map_err(|error| refused(error.to_string()))?;
            if !held.is_file() {
                return Err(refused("it is no regular file; remove it".into()));
            }
            // Somebody may have removed or replaced it since it was opened: then the lock is on a nameless file.
            let named = std::fs::symlink_metadata(&file);
            if named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
                let written = ftruncate(&lock, 0)
                    .map_err(io::Error::from)
                    .and_then(|()| writeln!(lock, "{}", std::process::id()));
                return written.map(|()| Self(lock)).map_err(|error| refused(error.to_string()));
            }
        }
    }

    /// The lock that an earlier program of this process has taken: it belongs to the open file (flock(2)).
    pub(crate) fn from_handoff(file: OwnedFd) -> Self {
        Self(file.into())
    }

    /// Gives the lock back.
    pub(crate) fn release(&self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Why the lock file cannot be opened: most often, somebody else made it, or its folder.
fn explain(file: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error.to_string();
    }
    let folder = file.parent().unwrap_or(file);
    let whose = if file.symlink_metadata().is_ok() { file } else { folder };
    let us = geteuid().as_raw();
    format!("{error}; the daemon runs as user {us}: `chown {us} {}`, or run it as its owner", whose.display())
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn open(file: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    OpenOptions::new().read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(file)
}
