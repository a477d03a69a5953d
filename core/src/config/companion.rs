//! The files that a daemon keeps beside its control socket.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A file that is named after the control socket, by an ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Companion {
    /// What keeps a second daemon away.
    Lock,
    /// The state for the next daemon.
    State,
    /// The state file's successor, until it is complete.
    NewState,
    /// Which workers are alive.
    Workers,
    /// What the command of a deploy writes.
    Migration,
    /// Where the process listens that takes workers' output.
    Sink,
    /// What was done, and what went wrong.
    History,
    /// The history without its older half, until it is complete.
    NewHistory,
    /// What the command of `options.onEvent` writes.
    Hook,
}

impl Companion {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Lock,
        Self::State,
        Self::NewState,
        Self::Workers,
        Self::Migration,
        Self::Sink,
        Self::History,
        Self::NewHistory,
        Self::Hook,
    ];

    /// What is added to the control socket's name.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Lock => ".lock",
            Self::State => ".state",
            Self::NewState => ".state.new",
            Self::Workers => ".workers",
            Self::Migration => ".migration",
            Self::Sink => ".sink",
            Self::History => ".history",
            Self::NewHistory => ".history.new",
            Self::Hook => ".hook",
        }
    }

    /// The path of the one that belongs to the control socket `ipc_file`.
    #[must_use]
    pub fn path(self, ipc_file: &Path) -> PathBuf {
        let mut path = OsString::from(ipc_file);
        path.push(self.ending());
        path.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_are_named_after_the_control_socket() {
        let paths = Companion::ALL.map(|companion| companion.path(Path::new("/run/a.ipc")));
        let endings =
            ["lock", "state", "state.new", "workers", "migration", "sink", "history", "history.new", "hook"];
        let expected = endings.map(|it| format!("/run/a.ipc.{it}"));
        assert_eq!(paths, expected.map(PathBuf::from));
    }
}
