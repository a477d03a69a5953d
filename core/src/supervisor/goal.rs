//! What ought to be.

/// How many workers there ought to be, and whether they work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Desired {
    /// Workers run; not so between `stop` and `start`.
    pub running: bool,
    /// How many slots are served.
    pub slots: u32,
    /// How many standbys there are.
    pub standby: u32,
    /// The app is suspended: workers in slots wait for `resume`, and so do those that replace them.
    pub suspended: bool,
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
