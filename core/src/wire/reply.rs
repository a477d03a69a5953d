//! Replies to requests.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Json, SuspensionStatus};
use crate::id::{SlotIndex, WorkerId};
use crate::metrics::Metrics;
use crate::occurrence::Occurrence;
use crate::time::Time;

/// A reply, or one part of a stream of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// `data`.
    pub body: Option<Body>,
    /// Not empty: the request failed, for these reasons.
    pub errors: Vec<String>,
    /// What kind of failure it is, where that is one of the contract's.
    pub code: Option<Code>,
    /// Nothing follows. Always so when there are errors.
    pub done: bool,
}

impl Reply {
    /// The only, or last, reply.
    #[must_use]
    pub fn done(body: Option<Body>) -> Self {
        Self { body, errors: Vec::new(), code: None, done: true }
    }

    /// One of several.
    #[must_use]
    pub fn part(body: Body) -> Self {
        Self { body: Some(body), errors: Vec::new(), code: None, done: false }
    }

    /// The request failed.
    #[must_use]
    pub fn failed(code: Option<Code>, errors: Vec<String>) -> Self {
        Self { body: None, errors, code, done: true }
    }

    /// The line to send, with its newline. `wall` tells what a time is on the wall clock as it is set
    /// now: milliseconds since 1970-01-01T00:00Z.
    pub fn encode(&self, request: &str, wall: impl Fn(Time) -> u64) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Frame<'a> {
            r#type: &'static str,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<Json>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            code: Option<Code>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            done: bool,
        }
        let mut line = Json::of(&Frame {
            r#type: "reply",
            request_id: request,
            data: self.body.as_ref().map(|body| body.json(wall)),
            errors: &self.errors,
            code: self.code,
            done: self.done,
        })
        .get()
        .to_owned();
        line.push('\n');
        line
    }
}

/// What a reply's `data` holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Of `status`.
    Status(Box<Status>),
    /// Of `metrics`.
    Metrics(Box<Metrics>),
    /// Of `config`: `{config, files}`, ready-made.
    Config(Json),
    /// Of `start-workers`, `restart-workers`, `terminate` and their like: the daemon that did it.
    Daemon {
        /// Its process id.
        pid: u32,
        /// It goes now, and the one that follows is to be asked for the restart.
        upgrading: bool,
        /// What it was before it upgraded itself for this request.
        upgraded_from: Option<String>,
    },
    /// Of `resume-workers`.
    Resumed {
        /// The daemon's process id.
        pid: u32,
        /// Workers that were told, and cannot confirm it: their library has no heartbeat.
        unconfirmed: Vec<WorkerId>,
    },
    /// On the way there, for clients that asked: `{progress: {…}}`.
    Progress(Progress),
    /// Of `send-app-req`: one worker's answer.
    Answer {
        /// The worker.
        id: WorkerId,
        /// Its process id.
        pid: u32,
        /// The application's own data.
        data: Option<Json>,
        /// Why there is none.
        errors: Vec<String>,
    },
    /// How a deploy goes on, for clients that asked: `{deploy: {…}}`.
    Deploy(DeployNews),
    /// Which batch of workers is being replaced from now on, for clients that asked: `{batch: {…}}`.
    Batch(BatchStatus),
    /// Which workers could not be started: `{failed: […]}`, beside `errors`.
    Failed(Vec<FailedWorker>),
    /// Of `watch-events`, at once: `{watching: {seq}}`, the number of the last occurrence before.
    Watching {
        /// How many there were under this daemon.
        seq: u64,
    },
    /// Of `watch-events`: `{event: {…}}`, what has happened.
    Occurred {
        /// Its number.
        seq: u64,
        /// What.
        occurrence: Box<Occurrence>,
    },
}

impl Body {
    fn json(&self, wall: impl Fn(Time) -> u64) -> Json {
        match self {
            Self::Config(json) => json.clone(),
            Self::Status(status) => Json::of(&status.json(wall)),
            Self::Metrics(metrics) => Json::of(metrics),
            Self::Daemon { pid, upgrading, upgraded_from } => {
                #[derive(Serialize)]
                #[serde(rename_all = "camelCase")]
                struct Daemon<'a> {
                    pid: u32,
                    #[serde(skip_serializing_if = "std::ops::Not::not")]
                    upgrading: bool,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    upgraded_from: Option<&'a str>,
                }
                let upgraded_from = upgraded_from.as_deref();
                Json::of(&Daemon { pid: *pid, upgrading: *upgrading, upgraded_from })
            }
            Self::Resumed { pid, unconfirmed } => {
                #[derive(Serialize)]
                struct Resumed<'a> {
                    pid: u32,
                    #[serde(skip_serializing_if = "<[_]>::is_empty")]
                    unconfirmed: &'a [WorkerId],
                }
                Json::of(&Resumed { pid: *pid, unconfirmed })
            }
            Self::Progress(progress) => Json::of(&json!({ "progress": progress })),
            Self::Deploy(news) => Json::of(&json!({ "deploy": news })),
            Self::Batch(batch) => Json::of(&json!({ "batch": batch })),
            Self::Failed(workers) => Json::of(&json!({ "failed": workers })),
            Self::Watching { seq } => Json::of(&json!({ "watching": { "seq": seq } })),
            Self::Occurred { seq, occurrence } => {
                Json::of(&BTreeMap::from([("event", occurrence.told(*seq, wall))]))
            }
            Self::Answer { id, pid, data, errors } => {
                #[derive(Serialize)]
                struct Answer<'a> {
                    id: &'a WorkerId,
                    pid: u32,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    data: Option<&'a Json>,
                    #[serde(skip_serializing_if = "<[_]>::is_empty")]
                    errors: &'a [String],
                }
                Json::of(&Answer { id, pid: *pid, data: data.as_ref(), errors })
            }
        }
    }
}

/// Kinds of failure that the command line turns into exit codes (docs/06-cli.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request makes no sense; exit code 2.
    Usage,
    /// The configuration is invalid; exit code 3.
    InvalidConfig,
    /// Another operation is in progress; exit code 5.
    Busy,
    /// Workers failed to start, the old ones still serve; exit code 6.
    StartFailed,
    /// A deploy was rolled back, the old workers serve again; exit code 7.
    RolledBack,
    /// A deploy failed after its workers had taken over, and was not rolled back; exit code 7.
    NotRolledBack,
    /// It took too long; exit code 8.
    TimeOut,
    /// The peer may not ask for that; exit code 9.
    NotPermitted,
}

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
    fn json(&self, wall: impl Fn(Time) -> u64) -> Value {
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

/// One worker's step through a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The worker.
    pub id: WorkerId,
    /// The slot it is meant for, or comes from; none for a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idx: Option<SlotIndex>,
    /// Its process id, while it has a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How far it has got.
    pub stage: Stage,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far a worker has got in a restart: a new one goes from `starting` to `serving` or `standby`, an old one from
/// `draining` to `gone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its process is being started.
    Starting,
    /// It reported online, or suspended.
    Online,
    /// Its slot's link names it.
    Serving,
    /// It is a spare.
    Standby,
    /// It could not be started.
    Failed,
    /// Its slot's link names another; it answers what it has.
    Draining,
    /// Its process is gone.
    Gone,
}

/// A step of a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployNews {
    /// Which.
    pub step: DeployStep,
    /// The release that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// For how much longer the new workers are watched, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<u64>,
    /// While they are watched, no old ones are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// Why it is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The command that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What the command wrote, escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// How far a deploy has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeployStep {
    /// The symlink of the release names the new one.
    Switched,
    /// The new workers serve, and are watched.
    Watching,
    /// They were watched long enough; the old ones go.
    Confirmed,
    /// Nobody is active any more; the migration begins.
    Migrating,
    /// The migration, or what undoes it, wrote a line.
    Output,
    /// The migration is done; the new workers are resumed.
    Migrated,
    /// What undoes the migration begins.
    Reverting,
    /// A new worker failed; links go back to the old ones. After a migration, workers of the old release are started.
    RollingBack,
}

impl DeployNews {
    /// A step that nothing else has to be said about.
    #[must_use]
    pub fn new(step: DeployStep) -> Self {
        Self { step, release: None, watch: None, alone: false, reason: None, command: None, line: None }
    }

    /// It is about this release.
    #[must_use]
    pub fn of(self, release: &Path) -> Self {
        Self { release: Some(release.to_string_lossy().into_owned()), ..self }
    }

    /// It takes so much longer.
    #[must_use]
    pub fn for_time(self, time: Duration) -> Self {
        Self { watch: u64::try_from(time.as_millis()).ok(), ..self }
    }

    /// This command runs.
    #[must_use]
    pub fn by(self, command: &str) -> Self {
        Self { command: Some(command.to_owned()), ..self }
    }

    /// A command wrote this.
    #[must_use]
    pub fn line(self, line: String) -> Self {
        Self { line: Some(line), ..self }
    }

    /// This is why.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }
}

/// A worker that could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedWorker {
    /// The worker.
    pub id: WorkerId,
    /// The slot it was meant for; none for a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idx: Option<SlotIndex>,
    /// Exit status, signal, time-out, or the operating system's refusal.
    pub reason: String,
    /// The file its standard error goes to, if it goes to a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// The last lines that it wrote there, escaped, where the daemon knows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, Ids};

    #[test]
    fn a_reply_is_one_line_that_says_no_more_than_it_must() {
        let line = |reply: Reply| reply.encode("1", |_| 0);
        assert_eq!(line(Reply::done(None)), "{\"type\":\"reply\",\"requestId\":\"1\",\"done\":true}\n");
        let body = Body::Daemon { pid: 7, upgrading: false, upgraded_from: None };
        assert_eq!(
            line(Reply::part(body)),
            "{\"type\":\"reply\",\"requestId\":\"1\",\"data\":{\"pid\":7}}\n"
        );
        let failed = Reply::failed(Some(Code::Busy), vec!["two\nlines".into()]);
        assert_eq!(
            line(failed),
            "{\"type\":\"reply\",\"requestId\":\"1\",\"errors\":[\"two\\nlines\"],\"code\":\"busy\",\"done\":true}\n"
        );
    }

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
