//! Users' requests, accounted for: sent = answered + in flight + lost, and each lost one for a reason.

use std::collections::BTreeMap;
use std::fmt;

/// Number of a user's request, from 0.
pub(crate) type RequestNo = u64;

/// Why a user got no answer, where the contract allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The worker died, or was killed, and the daemon had no part in it.
    WorkerDied,
    /// No worker was meant to run: before the first one was online, after `stop`, in a slot that is gone.
    NotRunning,
    /// The worker had `shutdownTimeout` to answer it, and did not.
    ShutdownTimeout,
    /// More operations retired workers than `options.retiring` allows, and the worker's was the oldest.
    Hastened,
    /// It waited in the accept queue of a retired worker for the whole of `drainTimeout`.
    DrainTimeout,
    /// It waited in the accept queue of a retired worker, and the kernel could not be asked.
    QueueUnseen,
    /// The worker had closed its channel, so that only a signal could end it.
    ChannelLost,
    /// The operator had the workers killed.
    KilledByOperator,
    /// A suspended worker held it and was discarded before it was resumed.
    NeverResumed,
    /// A worker took it although it had been told to wait, and was discarded.
    IgnoredSuspension,
    /// The accept queue was full.
    BacklogFull,
    /// Somebody had removed the link, or the socket.
    Removed,
    /// The worker's event loop stood still for longer than `health.hangTimeout` allows.
    Hung,
    /// A daemon died while it could not write its state file, and its successor did not know who had inherited the socket, which
    /// links lead to it, or how to tell a worker to go.
    Forgotten,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::WorkerDied => "worker died",
            Self::NotRunning => "not running",
            Self::ShutdownTimeout => "shutdown time-out",
            Self::Hastened => "too many retiring",
            Self::DrainTimeout => "drain time-out",
            Self::QueueUnseen => "queue unseen",
            Self::ChannelLost => "channel lost",
            Self::KilledByOperator => "killed by operator",
            Self::NeverResumed => "never resumed",
            Self::IgnoredSuspension => "ignored suspension",
            Self::BacklogFull => "backlog full",
            Self::Hung => "worker hung",
            Self::Removed => "link or socket removed",
            Self::Forgotten => "state not written",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Requests that users made.
    pub sent: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that nginx sent to another upstream after the first one failed.
    pub retried: u64,
    /// Those that users saw fail, by cause.
    pub lost: BTreeMap<Cause, u64>,
    /// Those that failed for no reason the contract knows. Always zero, or the run has failed.
    pub unexplained: u64,
}

impl Ledger {
    /// Those that are not finished.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.answered + self.lost() + self.unexplained)
    }

    /// Those that users saw fail for a known cause.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.retried += other.retried;
        self.unexplained += other.unexplained;
        for (cause, count) in &other.lost {
            *self.lost.entry(*cause).or_default() += count;
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} answered, {} in flight", self.sent, self.answered, self.in_flight())?;
        write!(f, ", {} retried, {} lost", self.retried, self.lost() + self.unexplained)?;
        let causes: Vec<String> = self.lost.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
        if !causes.is_empty() {
            write!(f, " ({})", causes.join(", "))?;
        }
        if self.unexplained > 0 {
            write!(f, ", {} of them unexplained", self.unexplained)?;
        }
        Ok(())
    }
}
