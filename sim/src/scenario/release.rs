//! The code that workers run, and what can be wrong with it.

use serde::{Deserialize, Serialize};

/// One version of the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// From spawn until it listens, in ms.
    pub boot_ms: u64,
    /// From accepting a request until its answer, in ms.
    pub service_ms: u64,
    /// What is wrong with it, in every worker that runs it.
    pub defects: Vec<Behaviour>,
}

impl Release {
    /// One that works.
    #[must_use]
    pub fn good() -> Self {
        Self { boot_ms: 42, service_ms: 4, defects: Vec::new() }
    }
}

/// How a worker deviates from one that boots, serves and goes when told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Behaviour {
    /// It lives and never reports online.
    NeverReports,
    /// It reports online only so long after it has booted.
    ReportsLate {
        /// In ms.
        by_ms: u64,
    },
    /// It reports online twice.
    ReportsTwice,
    /// It reports online although it was started suspended.
    ReportsUnsuspended,
    /// It dies so long after it was spawned.
    Dies {
        /// In ms.
        after_ms: u64,
        /// How.
        how: Death,
    },
    /// It dies while it holds this many requests' worth of work behind it.
    DiesServing {
        /// Requests begun.
        requests: u32,
        /// How.
        how: Death,
    },
    /// `shutdown` means nothing to it.
    IgnoresShutdown,
    /// SIGTERM means nothing to it.
    IgnoresSigterm,
    /// It reports broken so long after it came online.
    Breaks {
        /// In ms.
        after_ms: u64,
    },
    /// It closes its channel so long after it was spawned, and lives on.
    ClosesChannel {
        /// In ms.
        after_ms: u64,
    },
    /// It forks a child that outlives it.
    Forks {
        /// Into a process group of its own.
        escapes: bool,
    },
    /// It sends replies to requests that nobody made, and handles.
    Babbles,
    /// It does not answer application requests.
    Mute,
    /// It answers application requests that were put to others.
    AnswersForOthers,
    /// It says on the control socket that it is another worker, so long after it has booted.
    ClaimsAnother {
        /// In ms.
        after_ms: u64,
    },
    /// Its own process is a wrapper, which does not pass SIGTERM on.
    Wrapped {
        /// The wrapper lives on when who serves has ended.
        lingers: bool,
    },
    /// When it has reported, a process that it has started says that it is the worker, so long after it has booted.
    ChildClaims {
        /// In ms.
        after_ms: u64,
    },
    /// It is stopped (SIGSTOP) for a while.
    Stops {
        /// When, in ms after it was spawned.
        after_ms: u64,
        /// For how long, in ms.
        for_ms: u64,
    },
    /// It goes on with what it does as the leader for so long after it was told that it does not lead any more.
    LeadsOn {
        /// In ms; for ever if `None`.
        for_ms: Option<u64>,
    },
    /// It has more memory than it may, so long after it was spawned.
    Grows {
        /// In ms.
        after_ms: u64,
    },
    /// It answers so many checks of a deploy with 200, and each after that with 503.
    FailsChecks {
        /// How many.
        after: u32,
    },
    /// It answers each check of a deploy, with 200, only so long after it was asked.
    ChecksLate {
        /// In ms.
        by_ms: u64,
    },
    /// Its event loop stands still for good, so long after it has booted.
    Hangs {
        /// In ms.
        after_ms: u64,
        /// How.
        how: Hang,
    },
}

/// How an event loop stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hang {
    /// It computes for ever.
    Loops,
    /// It waits for something that does not happen.
    Sleeps,
    /// Somebody has sent SIGSTOP.
    Stopped,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Death {
    /// It exits with this status.
    Code(i32),
    /// This signal kills it.
    Signal(i32),
}
