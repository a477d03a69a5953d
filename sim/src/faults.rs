//! What goes wrong, and when. Plain data beside the [`Scenario`](crate::Scenario).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::daemon_death::DaemonDeath;
use crate::scenario::Behaviour;

/// Everything that goes wrong in a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
// Histories in files do not know the faults that were thought of after them.
#[serde(default)]
pub struct FaultPlan {
    /// Calls of the backend that do not go well.
    pub calls: Vec<CallFault>,
    /// Workers that misbehave.
    pub workers: Vec<WorkerFault>,
    /// Blows from outside, by time.
    pub external: Vec<ExternalFault>,
    /// The daemon's own deaths.
    pub deaths: Vec<DaemonDeath>,
    /// Percentage of workers that speak to no other daemon than their first, as those without our library.
    pub strangers: u32,
    /// Percentage of workers that do not understand what they are told about who leads.
    pub unaware: u32,
    /// So many workers can boot at the same time without delaying each other; any number of them if 0.
    pub cores: u32,
    /// Workers boot so many times slower than those who wrote them think, to the end and beyond; not so if 0.
    pub slow: u32,
    /// A process that is killed takes up to so many ms to die, and its sockets stay open as long.
    pub dying_ms: u64,
    /// The daemon is told of a death that takes long before it is over.
    pub first_signs: bool,
    /// Exits are noticed up to so many ms late.
    pub exit_delay_ms: u64,
    /// The process that takes workers' output says everything so many ms late.
    pub sink_delay_ms: u64,
    /// From then on, in ms, nothing goes wrong any more.
    pub until_ms: u64,
}

/// One call of the backend goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFault {
    /// Which method.
    pub call: Call,
    /// Which of its calls, from 0.
    pub nth: u32,
    /// What is wrong with it.
    pub trouble: Trouble,
}

/// Methods of the backend that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Call {
    /// `Processes::spawn`
    Spawn,
    /// `Files::publish`
    Publish,
    /// `Files::withdraw`
    Withdraw,
    /// `Files::measure_queue`
    MeasureQueue,
    /// `Files::listen`
    Listen,
    /// `Files::unlisten`
    Unlisten,
    /// `Files::remove`
    Remove,
    /// `Files::sweep`
    Sweep,
    /// `Files::restore`
    Restore,
    /// `Files::persist`
    Persist,
    /// `Backend::load_config`
    LoadConfig,
    /// `Backend::reopen_logs`
    ReopenLogs,
    /// `Backend::serve_dev`
    ServeDev,
    /// `Backend::serve_metrics`
    ServeMetrics,
    /// `Succession::preflight`: the installed program is no good.
    Preflight,
    /// `Succession::hand_off`
    HandOff,
    /// `Backend::find_release_link`
    FindReleaseLink,
    /// `Backend::switch_release_link`
    SwitchReleaseLink,
    /// `Backend::run_command`
    RunCommand,
    /// `Output::start_sink`
    StartSink,
    /// `Files::record`
    Record,
    /// `Backend::run_hook`
    RunHook,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Spawn,
        Self::Publish,
        Self::Withdraw,
        Self::MeasureQueue,
        Self::Listen,
        Self::Unlisten,
        Self::Remove,
        Self::Sweep,
        Self::Persist,
        Self::LoadConfig,
        Self::ReopenLogs,
        Self::ServeDev,
        Self::Preflight,
        Self::HandOff,
        Self::Restore,
        Self::FindReleaseLink,
        Self::SwitchReleaseLink,
        Self::RunCommand,
        Self::StartSink,
        Self::Record,
        Self::RunHook,
        Self::ServeMetrics,
    ];

    /// Those that are drawn for a history before all else. Each later one is drawn by itself, so that old seeds keep their
    /// histories.
    pub const FIRST: [Self; 14] = {
        let mut first = [Self::Spawn; 14];
        let mut index = 0;
        while index < first.len() {
            first[index] = Self::ALL[index];
            index += 1;
        }
        first
    };

    fn name(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Publish => "publish",
            Self::Withdraw => "withdraw",
            Self::MeasureQueue => "measure-queue",
            Self::Listen => "listen",
            Self::Unlisten => "unlisten",
            Self::Remove => "remove",
            Self::Sweep => "sweep",
            Self::Restore => "restore",
            Self::Persist => "persist",
            Self::LoadConfig => "load-config",
            Self::ReopenLogs => "reopen-logs",
            Self::ServeDev => "serve-dev",
            Self::ServeMetrics => "serve-metrics",
            Self::Preflight => "preflight",
            Self::HandOff => "hand-off",
            Self::FindReleaseLink => "find-release-link",
            Self::SwitchReleaseLink => "switch-release-link",
            Self::RunCommand => "run-command",
            Self::StartSink => "start-sink",
            Self::Record => "record",
            Self::RunHook => "run-hook",
        }
    }
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// It fails.
    Fails(Errno),
    /// It takes so long, in ms, and then succeeds.
    Slow(u64),
}

/// The operating system's reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errno {
    /// Try again: no process slot, no backlog.
    Again,
    /// No memory.
    NoMem,
    /// No such file.
    NoEnt,
    /// Permission denied.
    Access,
    /// Too many open files.
    MFile,
    /// No space left on device.
    NoSpace,
    /// Read-only file system.
    ReadOnly,
    /// Input/output error.
    Io,
}

impl Errno {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Again,
        Self::NoMem,
        Self::NoEnt,
        Self::Access,
        Self::MFile,
        Self::NoSpace,
        Self::ReadOnly,
        Self::Io,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Again => "EAGAIN",
            Self::NoMem => "ENOMEM",
            Self::NoEnt => "ENOENT",
            Self::Access => "EACCES",
            Self::MFile => "EMFILE",
            Self::NoSpace => "ENOSPC",
            Self::ReadOnly => "EROFS",
            Self::Io => "EIO",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A worker misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerFault {
    /// Which process, in the order in which they are spawned, from 0.
    pub nth: u32,
    /// What it does.
    pub behaviour: Behaviour,
}

/// A fault from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalFault {
    /// When, in ms.
    pub at_ms: u64,
    /// What.
    pub what: ExternalFaultKind,
}

/// What can be done from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExternalFaultKind {
    /// The n-th live worker, modulo their number, is killed (`kill -9`, the OOM killer).
    Kill {
        /// Which.
        nth: u32,
    },
    /// All live workers are killed at once.
    KillAll,
    /// The n-th live worker is stopped for a while.
    Stop {
        /// Which.
        nth: u32,
        /// In ms.
        for_ms: u64,
    },
    /// Somebody removes the n-th link or socket from `tmpDir`, modulo their number.
    Unlink {
        /// Which.
        nth: u32,
    },
    /// Somebody removes all releases but the current one.
    Prune,
    /// Somebody makes another link in the place of the n-th one, modulo their number.
    Redirect {
        /// Which.
        nth: u32,
    },
    /// Somebody removes the lock, the control socket or the state file.
    RemoveOwn {
        /// Which.
        nth: u32,
    },
    /// Somebody removes the socket of metrics.
    RemoveMetricsSocket,
    /// Somebody removes everything from `tmpDir`.
    CleanUp,
    /// The process that takes workers' output dies.
    SinkDies,
    /// It does not do anything any more.
    SinkHangs,
}

/// How often each kind of fault struck, or each kind of situation came about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// How often `kind` struck.
    #[must_use]
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or_default()
    }

    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    pub(crate) fn call(&mut self, call: Call, trouble: Trouble) {
        match trouble {
            Trouble::Fails(errno) => {
                self.count(call.name());
                self.count(errno.name());
            }
            Trouble::Slow(_) => self.count("slow call"),
        }
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// The kinds and their numbers, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, count)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{kind} {count}")?;
        }
        Ok(())
    }
}
