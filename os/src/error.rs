//! Why a backend cannot be opened, in words that help.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nodesockd_core::event::Failure;

use crate::files::holder::Holder;

/// Why there can be no daemon here. `Display` says what is wrong, why, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another daemon has the lock.
    Locked {
        /// Its process id, if the lock file says.
        pid: Option<u32>,
        /// The lock file.
        file: PathBuf,
    },
    /// The names of links and sockets are another daemon's.
    Claimed {
        /// The folder of links and sockets.
        folder: PathBuf,
        /// `socketFile`
        pattern: String,
        /// The other daemon, if the lock file says.
        holder: Option<Holder>,
    },
    /// Another daemon uses the folder of links and sockets, and nothing says which names in it are that one's.
    Unclaimed {
        /// The folder.
        folder: PathBuf,
        /// The other daemon's process id.
        pid: u32,
    },
    /// The lock file cannot be used.
    Lock {
        /// The lock file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// `tmpDir`, or the folder of `ipcFile`, cannot be used or trusted.
    TmpDir {
        /// The folder.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// Workers that an earlier daemon left have their sockets in another folder than `socketFile` names.
    Moved {
        /// The folder of their sockets.
        from: PathBuf,
        /// The folder of `socketFile`.
        to: PathBuf,
        /// Their process ids.
        pids: Vec<u32>,
    },
    /// The control socket cannot be bound.
    Ipc {
        /// `ipcFile`
        file: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// `options.ipcGroup` cannot be used.
    Group {
        /// The group's name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// `log` cannot be written.
    Log(Failure),
    /// The system refuses something every daemon needs.
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { pid: Some(pid), file } if is_elsewhere(*pid) => write!(
                f,
                "a daemon in another container, process {pid} there, holds `{}`; this one can start when that has ended, or with a \
                 volume of its own for its `tmpDir`",
                file.display()
            ),
            Self::Locked { pid: Some(pid), file } => write!(
                f,
                "another daemon, process {pid}, runs here: it holds `{}`; end it with `nodesockd terminate` (or `kill {pid}`, \
                 if it has no control socket), or give this one a `tmpDir` of its own",
                file.display()
            ),
            Self::Locked { pid: None, file } => {
                write!(f, "another daemon runs here: it holds `{0}`; `fuser {0}` says which", file.display())
            }
            Self::Claimed { folder, pattern, holder } => {
                let (folder, whose) = (folder.display(), holder.as_ref().map(whose).unwrap_or_default());
                write!(
                    f,
                    "the links `{pattern}` in `{folder}` are those of another daemon{whose}; give this one a `tmpDir` of its \
                     own, or another `socketFile`, or end the other one first"
                )
            }
            Self::Unclaimed { folder, pid } => write!(
                f,
                "another daemon, process {pid}, uses `{}`, and its lock file was removed, so that nobody knows which links \
                 are its own; end it with `nodesockd terminate` or `kill {pid}`, or give this one a `tmpDir` of its own",
                folder.display()
            ),
            Self::Lock { file, reason } => write!(f, "cannot lock `{}`: {reason}", file.display()),
            Self::TmpDir { path, reason } => {
                write!(f, "cannot use the folder `{}`: {reason}", path.display())
            }
            Self::Moved { from, to, pids } => {
                let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "workers that an earlier daemon left, processes {}, have their sockets in `{}`, and `socketFile` \
                     names the folder `{}` now; change it back, or end these workers first",
                    pids.join(", "),
                    from.display(),
                    to.display()
                )
            }
            Self::Ipc { file, reason } => {
                write!(f, "cannot listen on `ipcFile` `{}`: {reason}", file.display())
            }
            Self::Group { name, reason } => write!(f, "cannot use `options.ipcGroup` `{name}`: {reason}"),
            Self::Log(failure) => {
                write!(f, "{failure}; make the folder `log.dir`, for the daemon's user, or name another one")
            }
            Self::System { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { error, .. } => Some(error),
            Self::Locked { .. }
            | Self::Claimed { .. }
            | Self::Unclaimed { .. }
            | Self::Lock { .. }
            | Self::TmpDir { .. }
            | Self::Moved { .. }
            | Self::Ipc { .. }
            | Self::Group { .. }
            | Self::Log(_) => None,
        }
    }
}

/// Whether a pid that a daemon has written down must be of another PID namespace: here it is our own, or nobody's.
fn is_elsewhere(pid: u32) -> bool {
    pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists()
}

/// Which daemon, in a sentence.
fn whose(holder: &Holder) -> String {
    let socket = holder.ipc_file.as_ref().map(|path| format!(" (`ipcFile` `{}`)", path.display()));
    let place = if is_elsewhere(holder.pid) { " of another container" } else { "" };
    format!(", process {}{place}{}", holder.pid, socket.unwrap_or_default())
}

/// What could not be done to which file, and the system's words.
pub(crate) fn failure(what: &str, path: &Path, error: impl fmt::Display) -> Failure {
    Failure(format!("cannot {what} `{}`: {error}", path.display()))
}
