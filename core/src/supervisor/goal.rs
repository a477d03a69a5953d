//! What ought to be.

use crate::asker::Asker;
use crate::expiry::Expiry;
use crate::release::Release;
use crate::state::SuspensionRecord;
use crate::time::Time;

/// How many workers there ought to be, and whether they work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Desired {
    /// Workers run; not so between `stop` and `start`.
    pub running: bool,
    /// How many slots are served.
    pub slots: u32,
    /// How many standbys there are.
    pub standby: u32,
    /// The app is suspended: workers in slots wait for `resume`, and so do those that replace them.
    pub suspension: Option<Suspension>,
}

/// Why the app is suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspension {
    /// When that was asked for; when this daemon found the app suspended, if that is not known.
    pub since: Time,
    /// By whom, if that is known.
    pub by: Option<Asker>,
    /// The release that served before.
    pub former: Option<Release>,
    /// How it ends if nobody ends it.
    pub expiry: Option<Expiry>,
    /// When that is; `None` while something is in progress that may end it.
    pub ends: Option<Time>,
}

impl Desired {
    /// The app is suspended.
    pub fn is_suspended(&self) -> bool {
        self.suspension.is_some()
    }

    /// How many standbys there are to be, to be compared with how many there are.
    pub fn standbys(&self) -> usize {
        usize::try_from(self.standby).unwrap_or(usize::MAX)
    }
}

impl Suspension {
    /// From what was recorded of it: that it is there, and perhaps more.
    pub fn recorded(suspended: bool, record: Option<SuspensionRecord>, now: Time) -> Option<Self> {
        let unknown = Self { since: now, by: None, former: None, expiry: None, ends: None };
        suspended.then(|| record.map_or(unknown, Self::from))
    }
}

impl From<SuspensionRecord> for Suspension {
    fn from(record: SuspensionRecord) -> Self {
        let SuspensionRecord { since, by, former, expiry, ends } = record;
        Self { since, by, former, expiry, ends }
    }
}

impl From<&Suspension> for SuspensionRecord {
    fn from(suspension: &Suspension) -> Self {
        let Suspension { since, by, former, expiry, ends } = suspension.clone();
        Self { since, by, former, expiry, ends }
    }
}

/// What tells whether the app is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The state file, and what was asked for since.
    Record,
    /// The same, although a worker has reported the opposite.
    Disputed,
    /// There was no state file. Adopted workers that serve may still report; until then, nobody else begins.
    Awaited,
    /// There was no state file. Whoever was expected to report has done so, or cannot.
    Reports,
}

impl Evidence {
    /// There was no state file.
    pub fn is_guesswork(self) -> bool {
        matches!(self, Self::Awaited | Self::Reports)
    }

    /// A worker has reported the opposite.
    pub fn disputed(self) -> Self {
        if self.is_guesswork() { Self::Awaited } else { Self::Disputed }
    }
}

/// How far the daemon has got in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Serving,
    /// The daemon quits as soon as nothing runs any more.
    Quitting {
        /// SIGINT asked for it; the next SIGINT kills.
        interrupted: bool,
    },
    /// The daemon has quit.
    Quit {
        /// The workers run on, for the next daemon.
        detached: bool,
    },
}
