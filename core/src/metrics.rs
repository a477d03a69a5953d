//! Numbers about the app, its workers and the daemon, for `nodesockd metrics` and for Prometheus. `docs/12-watching.md` says what
//! each of them means.
//!
//! Totals never fall: not when a worker is replaced, and not when the daemon becomes a newer version, dies, or is followed by
//! another one. What was told to anybody is in the state file before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{SlotIndex, WorkerId};
use crate::wire::WorkerState;

/// The upper bounds of durations of requests, in µs; a last bucket has what is above them.
pub const DURATIONS: [u64; 12] = [
    5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    30_000_000,
];

/// The upper bounds of event-loop lag, in µs.
pub const LAGS: [u64; 12] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 30_000_000,
];

/// The upper bounds of take-over times, in µs.
pub const TAKEOVERS: [u64; 12] = [
    1_000,
    5_000,
    10_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    30_000_000,
    300_000_000,
];

/// Classes of requests, in the order in which workers count them: the first digit of the answer's status, or that the client went
/// away before there was a whole answer.
pub const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "aborted"];

/// A histogram whose bounds are known to whoever reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// All that was observed, in µs.
    pub sum: u64,
    /// How many observations were in each bucket, and above the last bound; buckets that are missing at the end are empty.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Adds an observation, in µs.
    pub fn observe(&mut self, bounds: &[u64], value: u64) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// How many observations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn combine(&mut self, other: &Self, with: fn(u64, u64) -> u64) {
        self.sum = with(self.sum, other.sum);
        combine(&mut self.counts, &other.counts, with);
    }
}

fn combine(mine: &mut Vec<u64>, theirs: &[u64], with: fn(u64, u64) -> u64) {
    if mine.len() < theirs.len() {
        mine.resize(theirs.len(), 0);
    }
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine = with(*mine, *theirs);
    }
}

/// What a worker has counted since it started, or several workers together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Requests by [`CLASSES`]; classes that are missing at the end had none.
    pub requests: Vec<u64>,
    /// How long they took, by [`DURATIONS`].
    pub duration: Histogram,
    /// How late the event loop was, by [`LAGS`].
    pub lag: Histogram,
}

impl Traffic {
    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds what others have counted.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, u64::saturating_add);
    }

    /// Takes over what a worker says that it has counted by now. Nothing falls, whatever it says.
    pub fn rise_to(&mut self, said: &Self) {
        self.combine(said, u64::max);
    }

    /// What `later` has beyond this.
    #[must_use]
    pub fn until(&self, later: &Self) -> Self {
        let mut more = later.clone();
        more.combine(self, u64::saturating_sub);
        more
    }

    /// Whether it has no more classes and buckets than there are.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.requests.len() <= CLASSES.len()
            && self.duration.counts.len() <= DURATIONS.len() + 1
            && self.lag.counts.len() <= LAGS.len() + 1
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn combine(&mut self, other: &Self, with: fn(u64, u64) -> u64) {
        combine(&mut self.requests, &other.requests, with);
        self.duration.combine(&other.duration, with);
        self.lag.combine(&other.lag, with);
    }
}

/// What a worker has at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Level {
    /// Requests that are not answered yet.
    pub in_flight: u64,
    /// Bytes of its heap that are in use.
    pub heap_used: u64,
    /// Bytes that its heap may have.
    pub heap_limit: u64,
}

/// How often something has happened, by its name.
pub type Tally = BTreeMap<String, u64>;

/// Counts one more of `name`.
pub(crate) fn count(tally: &mut Tally, name: &str) {
    match tally.get_mut(name) {
        Some(count) => *count = count.saturating_add(1),
        None => {
            tally.insert(name.to_owned(), 1);
        }
    }
}

/// What `metrics` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// `name`
    pub name: String,
    /// The number of the generation in force.
    pub generation: u32,
    /// How many workers there ought to be in slots.
    pub wanted: u32,
    /// How many standbys there ought to be.
    pub wanted_standbys: u32,
    /// The app is suspended.
    pub suspended: bool,
    /// For how long it was suspended, in ms.
    pub suspended_ms: u64,
    /// Slots that ought to be served and are not, by a worker of their own or of another slot.
    pub unserved: u32,
    /// Processes of workers that have come into being.
    pub started: u64,
    /// Processes of workers that have ended, by reason.
    pub deaths: Tally,
    /// Operations that have ended, by what they were and by their outcome.
    pub operations: BTreeMap<String, Tally>,
    /// What has happened without being asked for.
    pub incidents: Tally,
    /// Links that somebody else had removed, and that were made again.
    pub links_repaired: u64,
    /// For how long slots were not served after a worker had failed, by [`TAKEOVERS`].
    pub takeovers: Histogram,
    /// What all workers have counted that there were.
    pub traffic: Traffic,
    /// Workers that have a process.
    pub workers: Vec<WorkerMetrics>,
    /// Links of slots: absolute paths.
    pub links: BTreeMap<SlotIndex, String>,
}

/// A worker that has a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerMetrics {
    /// Its name.
    pub id: WorkerId,
    /// Its process id.
    pub pid: u32,
    /// The slot it is for, or was; none for a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotIndex>,
    /// Its state.
    pub state: WorkerState,
    /// The number of its generation; 0 if that is not known.
    #[serde(default)]
    pub generation: u32,
    /// Requests that it has answered, if it counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// How late its event loop was, if it counts that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
    /// What it has at this moment, if it says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
}

/// How late an event loop was, since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// How often that was looked at.
    pub count: u64,
    /// All of it together, in µs.
    pub sum: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(requests: &[u64], observed: &[u64]) -> Traffic {
        let mut duration = Histogram::default();
        observed.iter().for_each(|value| duration.observe(&DURATIONS, *value));
        Traffic { requests: requests.to_vec(), duration, lag: Histogram::default() }
    }

    #[test]
    fn observations_go_into_the_bucket_of_the_next_bound() {
        let seen = traffic(&[], &[0, 5_000, 5_001, 30_000_001]).duration;
        assert_eq!((seen.counts[0], seen.counts[1], seen.counts[12], seen.count()), (2, 1, 1, 4));
        assert_eq!(seen.sum, 30_010_002);
    }

    #[test]
    fn nothing_falls_whatever_a_worker_says() {
        let mut known = traffic(&[0, 7, 1], &[10]);
        let before = known.clone();
        known.rise_to(&traffic(&[0, 3, 1, 2], &[]));
        assert_eq!((known.requests.clone(), known.duration.count()), (vec![0, 7, 1, 2], 1));
        assert_eq!(before.until(&known).requests, [0, 0, 0, 2]);
        let mut sum = before.clone();
        sum.add(&before.until(&known));
        assert_eq!(sum, known);
    }

    #[test]
    fn what_was_observed_is_added_and_taken_away_bucket_by_bucket() {
        let (early, late) = (traffic(&[], &[10]), traffic(&[], &[10, 20, 5_001]));
        let more = early.until(&late).duration;
        assert_eq!((more.counts.clone(), more.sum), (vec![1, 1], 5_021));
        let mut sum = early.clone();
        sum.add(&early.until(&late));
        assert_eq!(sum, late);
        let mut lags = Traffic { lag: early.duration, ..Traffic::default() };
        lags.rise_to(&Traffic { lag: late.duration.clone(), ..Traffic::default() });
        assert_eq!(lags.lag, late.duration);
    }

    #[test]
    fn nothing_counted_is_told_apart_from_a_zero() {
        assert!(Traffic::default().is_empty());
        assert!(!traffic(&[0], &[]).is_empty());
    }

    #[test]
    fn more_buckets_than_there_are_are_no_numbers_of_ours() {
        let lag = |buckets| Histogram { counts: vec![0; buckets], sum: 0 };
        let lags = |buckets| Traffic { lag: lag(buckets), ..Traffic::default() };
        let durations = |buckets| Traffic { duration: lag(buckets), ..Traffic::default() };
        assert!(traffic(&[0; 6], &[u64::MAX]).is_well_formed());
        assert!(!traffic(&[0; 7], &[]).is_well_formed());
        assert!(lags(LAGS.len() + 1).is_well_formed() && !lags(LAGS.len() + 2).is_well_formed());
        let most = DURATIONS.len() + 1;
        assert!(durations(most).is_well_formed() && !durations(most + 1).is_well_formed());
    }
}
