//! What workers count, and what the daemon says of that and of its own: no total falls that anybody was told.

use std::collections::BTreeMap;

use nodesockd_core::action::SpawnOrder;
use nodesockd_core::metrics::{Level, Metrics, Tally, Traffic};
use nodesockd_core::wire::FromWorker;

use super::agenda::Happening;
use super::{Worker, WorkerStep, World, ms};

/// How often a worker says what it has counted, while that changes.
const SAID_EVERY_MS: u64 = 1000;

/// What a worker counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counting {
    on: bool,
    requests: u64,
    /// It will say so soon.
    due: bool,
}

impl Counting {
    /// That of a worker that is started like this.
    pub fn ordered(order: &SpawnOrder) -> Self {
        let on = order.overrides.iter().any(|(name, _)| name == "NODESOCKD_COUNT");
        Self { on, ..Self::default() }
    }

    fn said(&self) -> FromWorker {
        let traffic = Traffic { requests: vec![0, self.requests], ..Traffic::default() };
        FromWorker::Counted { traffic: Box::new(traffic), level: Level::default() }
    }
}

/// What was told of all that.
#[derive(Debug, Default)]
pub(crate) struct Told {
    last: Metrics,
    /// What workers have told a daemon, none of which has died.
    heard: BTreeMap<Worker, u64>,
    /// Workers that the daemon has taken for new ones after their end: their reports came late. They are counted once more.
    pub(super) counted_again: u64,
}

impl World {
    /// What a worker says about counting when it reports.
    pub(super) fn counts(&self, worker: Worker) -> Option<bool> {
        let on = self.processes.get(worker)?.counting.on;
        self.has_library(worker).then_some(on)
    }

    /// A worker is told to count, or not to.
    pub(super) fn counts_from_now(&mut self, worker: Worker, on: bool) {
        if let Some(process) = self.processes.get_mut(worker) {
            process.counting.on = on;
        }
    }

    /// A worker has answered a user's request.
    pub(super) fn counts_one(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.counting.on) else {
            return;
        };
        process.counting.requests += 1;
        if !std::mem::replace(&mut process.counting.due, true) {
            self.after(ms(SAID_EVERY_MS), Happening::Worker(worker, WorkerStep::SayCounts));
        }
    }

    /// A worker says what it has counted.
    pub(super) fn say_counts(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.counting.on) else {
            return;
        };
        process.counting.due = false;
        let (said, requests) = (process.counting.said(), process.counting.requests);
        self.say(worker, said, &format!("has counted {requests} requests"));
    }

    /// The daemon hears what a worker has counted.
    pub(super) fn heard_counts(&mut self, worker: Option<Worker>, traffic: &Traffic) {
        if let Some(worker) = worker {
            self.told.heard.insert(worker, traffic.total());
        }
    }

    /// No daemon knows any more what was told.
    pub(super) fn forget_told(&mut self) {
        self.told.last = Metrics::default();
    }

    /// A client was told these.
    pub(super) fn told_metrics(&mut self, metrics: &Metrics) {
        // What could not be written down, the next daemon does not know.
        if !self.deaths.forgot
            && let Some(what) = falls(&self.told.last, metrics)
        {
            self.violated(format_args!("a total falls that was told: {what}"));
        }
        self.told.last = metrics.clone();
        self.check_metrics(metrics);
        self.marks.count("metrics are told");
    }

    /// These are what has happened.
    pub fn check_metrics(&mut self, metrics: &Metrics) {
        let counted: u64 = self.processes.iter().map(|(_, process)| process.counting.requests).sum();
        if metrics.traffic.total() > counted {
            let told = metrics.traffic.total();
            self.violated(format_args!("{told} requests are counted, and workers have counted {counted}"));
        }
        let deaths: u64 = metrics.deaths.values().sum();
        let ended = self.processes.iter().filter(|(_, process)| !process.alive()).count() as u64;
        if deaths > ended + self.told.counted_again {
            self.violated(format_args!("{deaths} deaths are counted, and {ended} workers have died"));
        }
        if self.deaths.count > 0 {
            return;
        }
        let heard: u64 = self.told.heard.values().sum();
        if metrics.traffic.total() < heard {
            let told = metrics.traffic.total();
            self.violated(format_args!("{told} requests are counted, and workers have said {heard}"));
        }
        let seen = self.processes.iter().filter(|(_, process)| process.known.exited).count() as u64;
        if deaths != seen {
            self.violated(format_args!("{deaths} deaths are counted, and the daemon has seen {seen}"));
        }
    }
}

/// The total that has fallen.
fn falls(before: &Metrics, after: &Metrics) -> Option<String> {
    let number = |name: &str, before: u64, after: u64| {
        (after < before).then(|| format!("{name} from {before} to {after}"))
    };
    let tally = |before: &Tally, after: &Tally| {
        before.iter().find_map(|(name, count)| number(name, *count, after.get(name).copied().unwrap_or(0)))
    };
    let none = Tally::new();
    let operations = before.operations.iter();
    number("requests", before.traffic.total(), after.traffic.total())
        .or_else(|| number("workers started", before.started, after.started))
        .or_else(|| number("links made again", before.links_repaired, after.links_repaired))
        .or_else(|| number("ms suspended", before.suspended_ms, after.suspended_ms))
        .or_else(|| number("take-overs", before.takeovers.count(), after.takeovers.count()))
        .or_else(|| tally(&before.deaths, &after.deaths))
        .or_else(|| tally(&before.incidents, &after.incidents))
        .or_else(|| {
            operations
                .into_iter()
                .find_map(|(what, before)| tally(before, after.operations.get(what).unwrap_or(&none)))
        })
}
