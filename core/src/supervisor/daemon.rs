//! Who the daemon is.

use crate::id::BootId;
use crate::notice::Manager;
use crate::release::Release;

/// Who the daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its semantic version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Its life.
    pub boot: BootId,
    /// Who started it, if that is a manager that wants to be told how it goes.
    pub manager: Option<Manager>,
    /// The release that the configuration named when the daemon started; `None` if it could not be told. A daemon that
    /// adopts workers, or goes on after an upgrade, goes by the release that those before it had.
    pub release: Option<Release>,
    /// Whether its standard error is a terminal.
    pub stderr: Terminal,
}

/// Whether a stream leads to a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// It does.
    Yes,
    /// It leads to a file, a pipe, the journal.
    No,
}
