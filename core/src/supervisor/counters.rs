//! What is counted for good: totals that a daemon gets from the one before it, and hands on to the next.
//!
//! What operations and incidents there were is counted by the `ledger`, which has an entry for each.

use std::time::Duration;

use crate::event::ExitStatus;
use crate::metrics::{Histogram, TAKEOVERS, Tally, Traffic, count};
use crate::state::CountersRecord;
use crate::time::Time;

use super::worker::{State, Worker};

/// Totals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Processes of workers that have come into being.
    started: u64,
    deaths: Tally,
    links_repaired: u64,
    takeovers: Histogram,
    /// Suspensions that are over.
    suspended: Duration,
    /// Since when the app is suspended.
    suspended_since: Option<Time>,
    /// What workers have counted whose process is gone.
    gone: Traffic,
    /// How many links and take-overs others were told.
    told: (u64, u64),
}

/// Why the process of a worker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// It exited by itself, without being asked to.
    Exited,
    /// A signal ended it that was not the daemon's.
    Signalled,
    /// The kernel ended it, because there was no memory left.
    OutOfMemory,
    /// It was taken out of service, and went.
    Retired,
    /// It was sent its stop signal, because it did not go otherwise, or was not to serve at all.
    Terminated,
    /// It was sent SIGKILL.
    Killed,
    /// It hung (`health.hangTimeout`).
    Hang,
    /// It did not answer as it has to (`health.path`).
    Unhealthy,
    /// It was gone when a daemon began: nobody knows why.
    Unseen,
}

impl Death {
    /// Why `worker` ends, which has not been told so far.
    pub fn of(worker: &Worker, status: ExitStatus) -> Self {
        let by_itself = match status {
            ExitStatus::OutOfMemory { .. } => Self::OutOfMemory,
            ExitStatus::Signal(_) => Self::Signalled,
            ExitStatus::Code(_) | ExitStatus::Unknown => Self::Exited,
        };
        if worker.health().hang().is_some() {
            return Self::Hang;
        }
        if worker.ailment().is_some() {
            return Self::Unhealthy;
        }
        match worker.state() {
            State::Draining(_) | State::ShuttingDown { .. } => Self::Retired,
            State::Terminating { .. } => Self::Terminated,
            State::Unwanted => Self::Killed,
            State::Killed { .. } if worker.died_in().is_none() => Self::Killed,
            State::Waiting
            | State::Spawning { .. }
            | State::Booting { .. }
            | State::Ready { .. }
            | State::Killed { .. }
            | State::Exited
            | State::Reaped { .. } => by_itself,
        }
    }

    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Exited,
        Self::Signalled,
        Self::OutOfMemory,
        Self::Retired,
        Self::Terminated,
        Self::Killed,
        Self::Hang,
        Self::Unhealthy,
        Self::Unseen,
    ];

    /// In metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Signalled => "signalled",
            Self::OutOfMemory => "out-of-memory",
            Self::Retired => "retired",
            Self::Terminated => "terminated",
            Self::Killed => "killed",
            Self::Hang => "hang",
            Self::Unhealthy => "unhealthy",
            Self::Unseen => "unseen",
        }
    }
}

impl Counters {
    /// The process of a worker exists.
    pub fn started(&mut self) {
        self.started = self.started.saturating_add(1);
    }

    /// The process of a worker has ended.
    pub fn died(&mut self, death: Death) {
        if !defect!(DeathNotCounted) {
            count(&mut self.deaths, death.name());
        }
    }

    /// How many processes of workers there are, if everything was counted.
    pub fn alive(&self) -> Option<u64> {
        self.started.checked_sub(self.deaths.values().sum())
    }

    /// These processes were started by somebody who did not count.
    pub fn begin_with(&mut self, alive: usize) {
        self.started = u64::try_from(alive).unwrap_or(u64::MAX);
    }

    /// A worker is gone that has counted this, or has counted this much more than was known when it went.
    pub fn keep(&mut self, traffic: &Traffic) {
        if !defect!(TrafficOfTheDeadForgotten) {
            self.gone.add(traffic);
        }
    }

    /// A link was made again that somebody else had removed.
    pub fn repaired_link(&mut self) {
        self.links_repaired = self.links_repaired.saturating_add(1);
    }

    /// A slot was not served for so long after a worker had failed.
    pub fn took_over(&mut self, after: Duration) {
        self.takeovers.observe(&TAKEOVERS, u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    }

    /// The app is suspended since then, or is not.
    pub fn suspension(&mut self, now: Time, since: Option<Time>) {
        if self.suspended_since != since {
            self.suspended = self.suspended_until(now);
            self.suspended_since = since;
        }
    }

    /// For how long the app was suspended.
    pub fn suspended_until(&self, now: Time) -> Duration {
        let lasts = self.suspended_since.map_or(Duration::ZERO, |since| now.since(since));
        self.suspended.saturating_add(lasts)
    }

    /// What all workers have counted that there were, if those that there are have counted this.
    pub fn traffic<'a>(&self, alive: impl Iterator<Item = &'a Traffic>) -> Traffic {
        let mut all = self.gone.clone();
        alive.for_each(|traffic| all.add(traffic));
        all
    }

    /// Others are told these.
    pub fn tell(&mut self) {
        self.told = (self.links_repaired, self.takeovers.count());
    }

    /// Whether the state file, which says `written`, has to say this at once. Links and take-overs that nobody was told have time
    /// until something else is written.
    pub fn is_urgent(&self, written: &Self) -> bool {
        let Self { started, deaths, links_repaired: _, takeovers: _, suspended, suspended_since, gone, told } =
            self;
        (started, deaths, suspended, suspended_since, gone)
            != (
                &written.started,
                &written.deaths,
                &written.suspended,
                &written.suspended_since,
                &written.gone,
            )
            || *told != written.told
    }

    /// Processes that have come into being, that have ended, links made again, and take-over times.
    pub fn totals(&self) -> (u64, &Tally, u64, &Histogram) {
        (self.started, &self.deaths, self.links_repaired, &self.takeovers)
    }
}

impl From<&Counters> for CountersRecord {
    fn from(counters: &Counters) -> Self {
        let Counters {
            started,
            deaths,
            links_repaired,
            takeovers,
            suspended,
            suspended_since,
            gone,
            told: _,
        } = counters.clone();
        Self { started, deaths, links_repaired, takeovers, suspended, suspended_since, gone }
    }
}

impl From<CountersRecord> for Counters {
    fn from(record: CountersRecord) -> Self {
        let CountersRecord { started, deaths, links_repaired, takeovers, suspended, suspended_since, gone } =
            record;
        let told = (links_repaired, takeovers.count());
        Self { started, deaths, links_repaired, takeovers, suspended, suspended_since, gone, told }
    }
}
