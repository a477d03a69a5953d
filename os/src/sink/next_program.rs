//! Becoming a newer version of itself: by `execve(2)`, with all pipes open and all that was read of them.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nodesockd_core::config::Log;
use nodesockd_core::id::{SlotIndex, WorkerId};
use rustix::fs::MemfdFlags;
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};

use super::last_lines::LastLines;
use super::process::NAME;
use super::wire::Pipe;
use crate::files::identity::Identity;
use crate::files::own;
use crate::handoff::fds::{FdCollector, FdNumber};

/// The variable that names the descriptor of what the next program gets.
const VARIABLE: &str = "NODESOCKD_SINK_LEGACY";

/// The version of the format. Fields may be added with a default; anything else is another version.
const VERSION: u32 = 1;

/// What the next program of the sink's process gets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Legacy {
    pub version: u32,
    /// The socket by which daemons find the sink, and the file of that.
    pub listener: Option<(FdNumber, Identity)>,
    pub daemon: Option<FdNumber>,
    pub inputs: Vec<InputFds>,
    /// The last lines of workers that have ended.
    pub ended: Vec<(WorkerId, LastLines)>,
    pub stderr: Option<FdNumber>,
    pub log: Option<Log>,
    pub slots: Vec<(WorkerId, SlotIndex)>,
    /// Lines that could not be written to standard error, and to the log.
    pub lost: (u64, u64),
}

/// A pipe, and what was read of it that is not passed on yet.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InputFds {
    pub pipe: Pipe,
    pub end: FdNumber,
    pub begun: Vec<u8>,
    pub cut: bool,
    pub last_lines: LastLines,
}

impl Legacy {
    pub const VERSION: u32 = VERSION;

    /// Becomes `program`, with these descriptors open. Returns on failure only.
    pub fn hand_to(
        &self,
        program: &impl AsRawFd,
        path: &Path,
        fds: &FdCollector<'_>,
    ) -> io::Result<Infallible> {
        let file = own::in_memory(NAME, &serde_json::to_vec(self)?, MemfdFlags::empty())?;
        let kept = || fds.descriptors().iter().copied().chain([file.as_fd()]);
        let arguments = [CString::new(NAME)?, CString::new(path.as_os_str().as_bytes())?];
        let environment = [CString::new(format!("{VARIABLE}={}", file.as_raw_fd()))?];
        let program = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd()))?;
        let marked = kept().try_for_each(|fd| fcntl_setfd(fd, FdFlags::empty()));
        let done = marked
            .map_err(io::Error::from)
            .and_then(|()| Ok(nix::unistd::execve(&program, &arguments, &environment)?));
        for fd in kept() {
            let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
        }
        done
    }

    /// What the program before this one has left, in the descriptor of this number.
    #[expect(unsafe_code, reason = "a program can tell the next one of the same process only numbers")]
    pub fn read(number: RawFd) -> io::Result<Self> {
        let named = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
        if !named.to_string_lossy().contains(NAME) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the descriptor is open, and is the file that the program before this one has made for it.
        let mut file = unsafe { File::from_raw_fd(number) };
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let legacy: Self = serde_json::from_slice(&text)?;
        if legacy.version == VERSION { Ok(legacy) } else { Err(io::ErrorKind::Unsupported.into()) }
    }
}

/// A descriptor that the program before this one has left.
pub(super) fn inherited(number: FdNumber) -> io::Result<OwnedFd> {
    let fd = number.open();
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// How the sink was called: with the path of its socket, and, if it was another program before, what that has left.
pub(super) fn arguments() -> io::Result<(PathBuf, Option<Legacy>)> {
    let path = std::env::args_os().nth(1).map(PathBuf::from).ok_or(io::ErrorKind::InvalidInput)?;
    let number = std::env::var(VARIABLE).ok().and_then(|number| number.parse::<RawFd>().ok());
    Ok((path, number.filter(|number| *number > 2).map(Legacy::read).transpose()?))
}
