//! A lock that belongs to a name.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock, ftruncate};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::files::holder::{self, Holder};
use crate::files::identity;

/// `flock(2)` on a file. The file is never removed, or two daemons could each lock one of that name; what it says is for
/// people, and for those who are refused.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
}

/// Why a lock cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another daemon has it; who, if the file says.
    Held(Option<Holder>),
    /// The file cannot be used.
    Unusable(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(Some(holder)) => write!(f, "process {} holds it", holder.pid),
            Self::Held(None) => f.write_str("another process holds it"),
            Self::Unusable(reason) => f.write_str(reason),
        }
    }
}

impl Lock {
    /// Takes the lock at `path`, for the daemon whose control socket is `ipc_file`.
    pub(crate) fn acquire(path: &Path, ipc_file: &Path) -> Result<Self, Refused> {
        let unusable = |error: &dyn fmt::Display| Refused::Unusable(error.to_string());
        loop {
            let mut file = open(path).map_err(|error| Refused::Unusable(explain(path, &error)))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(Refused::Held(holder::read(path))),
                Err(error) => return Err(unusable(&error)),
            }
            let held = file.metadata().map_err(|error| unusable(&error))?;
            if !held.is_file() {
                return Err(Refused::Unusable("it is no regular file; remove it".into()));
            }
            // Somebody may have removed or replaced it since it was opened: then the lock is on a nameless file.
            if identity::is_named(&file, path) {
                let written = ftruncate(&file, 0)
                    .map_err(io::Error::from)
                    .and_then(|()| file.write_all(holder::words(ipc_file).as_bytes()));
                written.map_err(|error| unusable(&error))?;
                return Ok(Self { path: path.to_owned(), file });
            }
        }
    }

    /// The lock that an earlier program of this process has taken: it belongs to the open file (flock(2)).
    pub(crate) fn from_handoff(path: PathBuf, file: OwnedFd) -> Self {
        Self { path, file: file.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file of that name is another one now, or there is none.
    pub(crate) fn is_lost(&self) -> bool {
        !identity::is_named(&self.file, &self.path)
    }

    /// Gives the lock back.
    pub(crate) fn release(&self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
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
        self.file.as_fd()
    }
}

fn open(file: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    OpenOptions::new().read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(file)
}
