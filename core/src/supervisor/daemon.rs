//! Who the daemon is.

use crate::id::BootId;
use crate::notice::Manager;

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
}
