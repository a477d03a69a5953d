//! What is found in the folders that the daemon uses, when somebody else may have changed something there.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A look at names in the folder of links and sockets, and at the daemon's own files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Names in the folder of links and sockets, and what each names now.
    pub entries: BTreeMap<String, Sight>,
    /// Everything was looked at: a name that `entries` does not have names nothing, what `lost` does not have is there.
    pub complete: bool,
    /// What of the daemon's own is not there, or is somebody else's, and its path.
    pub lost: BTreeMap<Own, PathBuf>,
}

/// What a name in the folder of links and sockets names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// Nothing: there is no such name.
    Nothing,
    /// A symlink: to this name in the same folder, or else what it says.
    Link(String),
    /// A socket.
    Socket,
    /// Something else.
    Other,
}

/// What a daemon keeps for itself, and makes again if it is gone. What comes first is needed for what comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Own {
    /// The folder of links and sockets, or the one of the control socket.
    Folder,
    /// The lock, which keeps other daemons away.
    Lock,
    /// The control socket.
    ControlSocket,
    /// The socket of `metrics`, while they are served there.
    MetricsSocket,
    /// The state file. It is written as a whole rather than made again.
    State,
}

impl Own {
    /// All of it.
    pub const ALL: [Self; 5] =
        [Self::Folder, Self::Lock, Self::ControlSocket, Self::MetricsSocket, Self::State];

    /// Its name in an event (docs/12-watching.md).
    #[must_use]
    pub const fn thing(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Lock => "lock",
            Self::ControlSocket => "control-socket",
            Self::MetricsSocket => "metrics-socket",
            Self::State => "state-file",
        }
    }

    /// Its name in a sentence.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Lock => "lock",
            Self::ControlSocket => "control socket",
            Self::MetricsSocket => "metrics socket",
            Self::State => "state file",
        }
    }
}

impl Survey {
    /// What `name` names; `None` if it was not looked at.
    #[must_use]
    pub fn sight(&self, name: &str) -> Option<&Sight> {
        self.entries.get(name).or(self.complete.then_some(&Sight::Nothing))
    }

    /// Whether there is anything to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.complete && self.entries.is_empty() && self.lost.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survey_that_says_anything_is_not_empty() {
        assert!(Survey::default().is_empty());
        let seen = Survey { entries: [("app.0".into(), Sight::Nothing)].into(), ..Survey::default() };
        let lost = Survey { lost: [(Own::Lock, "/run/app.lock".into())].into(), ..Survey::default() };
        let complete = Survey { complete: true, ..Survey::default() };
        assert!(![seen, lost, complete].iter().any(Survey::is_empty));
    }
}
