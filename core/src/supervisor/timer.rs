//! Deadlines and their reasons.

use std::collections::BTreeSet;

use crate::time::Time;

/// Why there is a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A process must exist by then (`spawnTimeout`).
    Spawn,
    /// A worker must be ready by then (`onlineTimeout`).
    Online,
    /// A worker that does not report is looked at: it may be ready.
    Ready,
    /// A worker is asked for a sign of life, or has given none for too long (`health.hangTimeout`).
    Heartbeat,
    /// A worker is sent a GET for `health.path`, or has not answered it in time.
    Check,
    /// A standby that may be promoted has to give a sign of life.
    Sign,
    /// What waits for the end of a suspension is counted, or the suspension is said again.
    Suspension,
    /// A worker that was told to resume has to have confirmed it.
    Confirm,
    /// The accept queue of a draining worker is looked at again.
    Look,
    /// A draining worker is not waited for any longer (`drainTimeout`).
    Drain,
    /// A worker that was told to shut down gets its stop signal (`shutdownTimeout`).
    Shutdown,
    /// A worker that got its stop signal gets SIGKILL.
    Kill,
    /// The daemon has to quit, and workers have not finished (`quitTimeout`).
    Quit,
    /// A worker has become too old (`limits.age`).
    Age,
    /// The memory of a worker is measured (`limits.memory`).
    Memory,
    /// A worker without a channel is still alive: nothing can be sent to it.
    Channel,
    /// A socket file could not be removed and is tried again.
    Removal,
    /// A worker is started again after a failure.
    Restart,
    /// A standby takes a slot whose own worker takes long to boot.
    Promotion,
    /// A link that could not be changed is tried again.
    Link,
    /// Links are spread anew over those who serve behind them.
    Spread,
    /// The next batch does not wait any longer for the old workers of the one before.
    Batch,
    /// The watch over the new workers of a deploy is over.
    Watch,
    /// A command of a deploy has taken too long, or did not heed SIGTERM.
    Command,
    /// The state file could not be written and is tried again.
    Persist,
    /// An entry of the history could not be written and is tried again.
    Record,
    /// The command of `options.onEvent` has taken too long.
    Hook,
    /// Something of the daemon's own is made again.
    Repair,
    /// The folders are looked at, because the kernel does not tell what changes in them.
    Survey,
    /// The process that takes workers' output is started again, or has taken too long to answer.
    Sink,
    /// Metrics could not be served, and that is tried again.
    Metrics,
    /// The service manager has to be asked for more time.
    Extend,
    /// The service manager has to hear that the daemon is not stuck.
    Watchdog,
}

/// The deadlines of many things, the next one first. Each thing has at most one deadline per table.
#[derive(Debug, Clone)]
pub(super) struct Deadlines<K> {
    by_time: BTreeSet<(Time, Timer, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Replaces the deadline `before` of `key` by `after`.
    pub fn replace(&mut self, key: &K, before: Option<(Time, Timer)>, after: Option<(Time, Timer)>) {
        if before == after {
            return;
        }
        if let Some((at, timer)) = before {
            self.by_time.remove(&(at, timer, key.clone()));
        }
        if let Some((at, timer)) = after {
            self.by_time.insert((at, timer, key.clone()));
        }
    }

    /// The first deadline.
    pub fn next(&self) -> Option<(Time, Timer)> {
        self.by_time.first().map(|(at, timer, _)| (*at, *timer))
    }

    /// The first deadline after `now`.
    pub fn next_after(&self, now: Time) -> Option<(Time, Timer)> {
        // The deadlines at `now` come first; they are few.
        self.by_time.iter().find(|(at, ..)| *at > now).map(|(at, timer, _)| (*at, *timer))
    }

    /// What is due at `now`.
    pub fn due(&self, now: Time) -> impl Iterator<Item = (&K, Timer)> {
        self.by_time.iter().take_while(move |(at, ..)| *at <= now).map(|(_, timer, key)| (key, *timer))
    }
}
