//! What `status` answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::SuspensionStatus;
use crate::id::{SlotIndex, WorkerId};
use crate::time::Time;

/// A snapshot of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Its configured name.
    pub name: String,
    /// When it started.
    pub started: Time,
    /// All workers: those in slots first, by index.
    pub workers: Vec<WorkerStatus>,
    /// The number of the generation in force: every start and restart makes a new one.
    pub generation: u32,
    /// The working directory of its workers, without a symlink on the way.
    pub release: Option<String>,
    /// Slots without the worker that they ought to have.
    pub vacant: Vec<VacantSlot>,
    /// Slots beyond the number of workers (`slots`), and the worker of another slot that serves each.
    pub spare: Vec<(SlotIndex, Option<WorkerId>)>,
    /// Standbys that are missing because they fail.
    pub failing_standby: Option<FailingStandby>,
    /// What has failed in slots that there are, served or not.
    pub failures: Vec<SlotFailures>,
    /// The app is suspended: from a suspended restart until `resume`, `restart` or `stop`.
    pub suspended: bool,
    /// Since when, by whom, and what waits for its end.
    pub suspension: Option<SuspensionStatus>,
    /// What the daemon is busy with, in words.
    pub operation: Option<String>,
    /// How far that is, if workers are replaced batch by batch.
    pub batch: Option<BatchStatus>,
    /// What became of an operation that an earlier daemon had begun, in words.
    pub note: Option<String>,
}

/// How far an operation is that replaces workers batch by batch (`options.batch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchStatus {
    /// Which batch it is, counted from 1; 0 before the first one of a way back.
    pub number: u32,
    /// How many there are, as far as that can be told.
    pub of: u32,
    /// A batch has failed, and workers of the old release are started again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
}

/// A worker, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Its name.
    pub id: WorkerId,
    /// The slot whose link names it.
    pub slot: Option<SlotIndex>,
    /// Its process id, while it has a process.
    pub pid: Option<u32>,
    /// Its state.
    pub state: WorkerState,
    /// Since when.
    pub since: Time,
    /// It is a spare.
    pub standby: bool,
    /// It is of the former generation, and kept while a deploy is watched.
    pub kept: bool,
    /// It leads.
    pub leader: bool,
    /// The number of its generation, if that is known.
    pub generation: Option<u32>,
    /// Why it is being replaced, if that is because it hangs or fails its checks.
    pub reason: Option<String>,
}

/// A worker's state on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerState {
    /// Waits for its turn to be started (`options.boots`).
    Waiting,
    /// Started, not ready.
    Running,
    /// Ready.
    Online,
    /// Ready, and waiting for `resume`.
    Suspended,
    /// Serving, and asking to be replaced.
    Broken,
    /// Being retired.
    Terminating,
    /// Gone.
    Dead,
}

/// A slot without the worker that it ought to have, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VacantSlot {
    /// Which.
    pub slot: SlotIndex,
    /// How often in a row a worker of it has failed.
    pub failures: u32,
    /// When the next worker is started, if that has to wait.
    pub retry: Option<Time>,
    /// How the last one failed.
    pub reason: Option<String>,
    /// The worker of another slot that serves it meanwhile.
    pub served_by: Option<WorkerId>,
}

/// Standbys that are missing because they fail, as `status` shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingStandby {
    /// How many are missing.
    pub missing: u32,
    /// How often in a row one has failed.
    pub failures: u32,
    /// When the next is started, if that has to wait.
    pub retry: Option<Time>,
    /// How the last one failed.
    pub reason: String,
}

/// What has failed in a slot since there is that slot, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotFailures {
    /// Which.
    pub slot: SlotIndex,
    /// How many of its workers have failed, or had to be replaced.
    pub count: u64,
    /// When the last one did.
    pub last: Time,
    /// Why.
    pub reason: String,
}

impl Status {
    pub(super) fn json(&self, wall: impl Fn(Time) -> u64) -> Value {
        let workers: Vec<Value> = self
            .workers
            .iter()
            .map(|worker| {
                let mut row = Map::new();
                row.insert("id".into(), json!(worker.id));
                if let Some(slot) = worker.slot {
                    row.insert("idx".into(), json!(slot));
                }
                if let Some(pid) = worker.pid {
                    row.insert("pid".into(), json!(pid));
                }
                row.insert("state".into(), json!(worker.state));
                row.insert("stateTs".into(), json!(wall(worker.since)));
                if worker.standby {
                    row.insert("standby".into(), json!(true));
                }
                if worker.kept {
                    row.insert("kept".into(), json!(true));
                }
                if worker.leader {
                    row.insert("leader".into(), json!(true));
                }
                if let Some(generation) = worker.generation {
                    row.insert("generation".into(), json!(generation));
                }
                if let Some(reason) = &worker.reason {
                    row.insert("reason".into(), json!(reason));
                }
                Value::Object(row)
            })
            .collect();
        let vacant: Vec<Value> = self
            .vacant
            .iter()
            .map(|slot| {
                let mut row = Map::new();
                row.insert("idx".into(), json!(slot.slot));
                row.insert("failures".into(), json!(slot.failures));
                if let Some(retry) = slot.retry {
                    row.insert("retryTs".into(), json!(wall(retry)));
                }
                if let Some(reason) = &slot.reason {
                    row.insert("reason".into(), json!(reason));
                }
                if let Some(worker) = slot.served_by {
                    row.insert("servedBy".into(), json!(worker));
                }
                Value::Object(row)
            })
            .collect();
        let failing_standby = self.failing_standby.as_ref().map(|standby| {
            let mut row = Map::new();
            row.insert("missing".into(), json!(standby.missing));
            row.insert("failures".into(), json!(standby.failures));
            if let Some(retry) = standby.retry {
                row.insert("retryTs".into(), json!(wall(retry)));
            }
            row.insert("reason".into(), json!(standby.reason));
            Value::Object(row)
        });
        let failures = self.failures.iter().map(|slot| {
            let SlotFailures { slot, count, last, reason } = slot;
            json!({ "idx": slot, "count": count, "lastTs": wall(*last), "reason": reason })
        });
        let failures: Vec<Value> = failures.collect();
        let mut status = Map::new();
        status.insert("version".into(), json!(self.version));
        status.insert("pid".into(), json!(self.pid));
        status.insert("name".into(), json!(self.name));
        status.insert("startTs".into(), json!(wall(self.started)));
        status.insert("workers".into(), Value::Array(workers));
        status.insert("suspended".into(), json!(self.suspended));
        if let Some(suspension) = &self.suspension {
            status.insert("suspension".into(), suspension.json(&wall));
        }
        status.insert("generation".into(), json!(self.generation));
        if let Some(release) = &self.release {
            status.insert("release".into(), json!(release));
        }
        if !vacant.is_empty() {
            status.insert("vacant".into(), Value::Array(vacant));
        }
        if !self.spare.is_empty() {
            let row =
                |(slot, worker): &(SlotIndex, Option<WorkerId>)| json!({ "idx": slot, "servedBy": worker });
            status.insert("spare".into(), Value::Array(self.spare.iter().map(row).collect()));
        }
        if let Some(standby) = failing_standby {
            status.insert("failingStandby".into(), standby);
        }
        if !failures.is_empty() {
            status.insert("failures".into(), Value::Array(failures));
        }
        if let Some(operation) = &self.operation {
            status.insert("operation".into(), json!(operation));
        }
        if let Some(batch) = &self.batch {
            status.insert("batch".into(), json!(batch));
        }
        if let Some(note) = &self.note {
            status.insert("note".into(), json!(note));
        }
        Value::Object(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, Ids};

    #[test]
    fn status_tells_times_as_the_wall_clock_has_them() {
        let id = Ids::new(BootId(1)).worker();
        let since = Time::from_nanos(2_000_000);
        let row = WorkerStatus {
            id,
            slot: Some(SlotIndex(0)),
            pid: Some(7),
            state: WorkerState::Online,
            since,
            standby: false,
            kept: false,
            leader: true,
            generation: Some(2),
            reason: Some("it hangs".into()),
        };
        let slot =
            VacantSlot { slot: SlotIndex(1), failures: 2, retry: Some(since), reason: None, served_by: None };
        let mut status = Status {
            version: "3.0.0".into(),
            pid: 6,
            name: "app".into(),
            started: Time::ZERO,
            workers: vec![row],
            vacant: vec![slot],
            generation: 3,
            release: Some("/srv/releases/3".into()),
            spare: vec![(SlotIndex(2), Some(id))],
            failing_standby: Some(FailingStandby {
                missing: 1,
                failures: 3,
                retry: None,
                reason: "it exited".into(),
            }),
            failures: vec![SlotFailures {
                slot: SlotIndex(0),
                count: 5,
                last: since,
                reason: "it broke".into(),
            }],
            suspended: false,
            suspension: None,
            note: None,
            operation: None,
            batch: None,
        };
        let shown = |status: &Status| status.json(|time| 1000 + time.as_nanos() / 1_000_000);
        let expected = json!({
            "version": "3.0.0", "pid": 6, "name": "app", "startTs": 1000, "suspended": false,
            "generation": 3, "release": "/srv/releases/3",
            "workers": [
                {"id": id, "idx": 0, "pid": 7, "state": "online", "stateTs": 1002, "leader": true, "generation": 2, "reason": "it hangs"},
            ],
            "vacant": [{"idx": 1, "failures": 2, "retryTs": 1002}],
            "spare": [{"idx": 2, "servedBy": id}],
            "failingStandby": {"missing": 1, "failures": 3, "reason": "it exited"},
            "failures": [{"idx": 0, "count": 5, "lastTs": 1002, "reason": "it broke"}],
        });
        assert_eq!(shown(&status), expected);
        status.vacant.clear();
        assert_eq!(shown(&status).get("vacant"), None);
    }
}
