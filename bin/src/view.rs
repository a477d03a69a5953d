//! What daemons answer, as far as a client looks at it. Everything that some version leaves out is optional.

use std::time::SystemTime;

use nodesockd_core::asker::Asker;
use nodesockd_core::expiry::Ending;
use nodesockd_core::wire::{BatchStatus, DeployNews, FailedWorker, Json, Progress};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::exit::{Exit, Failure};

/// The answer to `status`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Its configured name; since 3.0.
    pub name: Option<String>,
    /// When it started, in milliseconds since the epoch.
    pub start_ts: u64,
    /// All workers.
    pub workers: Vec<WorkerView>,
    /// The app is suspended; since 3.0.
    #[serde(default)]
    pub suspended: bool,
    /// Since when, and by whom; since 3.0.
    pub suspension: Option<SuspensionView>,
    /// The number of the generation in force; since 3.0.
    pub generation: Option<u32>,
    /// The folder that its workers run; since 3.0.
    pub release: Option<String>,
    /// Slots without the worker that they ought to have; since 3.0.
    #[serde(default)]
    pub vacant: Vec<VacantView>,
    /// Slots beyond the number of workers (key `slots`); since 3.0.
    #[serde(default)]
    pub spare: Vec<SpareView>,
    /// Standbys that are missing because they fail; since 3.0.
    pub failing_standby: Option<FailingStandbyView>,
    /// What has failed in the slots there are; since 3.0.
    #[serde(default)]
    pub failures: Vec<FailuresView>,
    /// What the daemon is busy with; since 3.0.
    pub operation: Option<String>,
    /// How far that is, if it replaces workers batch by batch; since 3.0.
    pub batch: Option<BatchStatus>,
    /// What became of an operation that an earlier daemon had begun; since 3.0.
    pub note: Option<String>,
}

/// Which batch of workers is being replaced from now on.
#[derive(Debug, Clone, Deserialize)]
pub struct BatchView {
    /// Which, of how many.
    pub batch: BatchStatus,
}

/// The suspension in [`StatusView`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuspensionView {
    /// When it was asked for, in milliseconds since the epoch.
    pub since_ts: u64,
    /// By whom, if that is known.
    pub by: Option<Asker>,
    /// How many requests wait for its end, as far as that is known.
    #[serde(default)]
    pub waiting: u32,
    /// Slots whose accept queue is full.
    #[serde(default)]
    pub full: Vec<u32>,
    /// When it ends by itself, in milliseconds since the epoch.
    #[serde(default)]
    pub ends_ts: Option<u64>,
    /// What is done then.
    #[serde(default)]
    pub then: Option<Ending>,
}

/// A worker in [`StatusView`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerView {
    /// Its name.
    pub id: String,
    /// Its slot.
    pub idx: Option<u32>,
    /// Its process id.
    pub pid: Option<u32>,
    /// Its state; text, as newer daemons may know states that we do not.
    pub state: String,
    /// Since when, in milliseconds since the epoch.
    pub state_ts: u64,
    /// It is a spare; since 3.0.
    #[serde(default)]
    pub standby: bool,
    /// It is of the former generation, and kept while a deploy is watched; since 3.0.
    #[serde(default)]
    pub kept: bool,
    /// It leads; since 3.0.
    #[serde(default)]
    pub leader: bool,
    /// The number of its generation, if that is known; since 3.0.
    pub generation: Option<u32>,
    /// Why it is being replaced, if that is because it hangs or fails its checks.
    #[serde(default)]
    pub reason: Option<String>,
}

impl WorkerView {
    /// What it is there for, in a word: the number of its slot, if it serves one.
    #[must_use]
    pub fn place(&self) -> String {
        match self.idx {
            None if self.standby => "standby".to_owned(),
            _ if self.kept => "kept".to_owned(),
            None if self.state == "terminating" => "retiring".to_owned(),
            Some(slot) => slot.to_string(),
            None => "-".to_owned(),
        }
    }

    /// By what people find it in a list: those of slots first, then standbys.
    #[must_use]
    pub fn rank(&self) -> (bool, Option<u32>, bool) {
        (self.idx.is_none(), self.idx, !self.standby)
    }
}

/// A slot without the worker that it ought to have, in [`StatusView`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VacantView {
    /// Which.
    pub idx: u32,
    /// How often in a row a worker of it has failed.
    #[serde(default)]
    pub failures: u32,
    /// When the next worker is started, in milliseconds since the epoch.
    pub retry_ts: Option<u64>,
    /// How the last one failed.
    pub reason: Option<String>,
    /// The worker of another slot that serves it meanwhile; since 3.0.
    pub served_by: Option<String>,
}

impl VacantView {
    /// What is missing, in a few words.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.served_by {
            None => format!("nobody serves slot {}", self.idx),
            Some(_) => format!("slot {} has no worker, another slot's serves it as well", self.idx),
        }
    }
}

/// A slot without a worker of its own, in [`StatusView`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpareView {
    /// Which.
    pub idx: u32,
    /// The worker of another slot that serves it.
    pub served_by: Option<String>,
}

/// Standbys that are missing because they fail, in [`StatusView`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailingStandbyView {
    /// How many are missing.
    pub missing: u32,
    /// How often in a row one has failed.
    pub failures: u32,
    /// When the next is started, in milliseconds since the epoch.
    pub retry_ts: Option<u64>,
    /// How the last one failed.
    pub reason: Option<String>,
}

/// What has failed in a slot, in [`StatusView`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailuresView {
    /// Which.
    pub idx: u32,
    /// How many of its workers have failed, or had to be replaced.
    pub count: u64,
    /// When the last one did, in milliseconds since the epoch.
    pub last_ts: u64,
    /// Why.
    pub reason: String,
}

/// The answer to `config`.
#[derive(Debug, Clone, Deserialize)]
pub struct ConfigView {
    /// The configuration, resolved.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// The files it came from.
    #[serde(default)]
    pub files: Vec<String>,
}

/// The answer of a daemon that did something.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonView {
    /// Its process id.
    pub pid: Option<u32>,
    /// It goes, and the one that follows is to be asked again.
    #[serde(default)]
    pub upgrading: bool,
    /// What it was before it upgraded itself for this request.
    pub upgraded_from: Option<String>,
}

/// A part of the answer to `start-workers` and `restart-workers`.
#[derive(Debug, Clone, Deserialize)]
pub struct ProgressView {
    /// A worker's step.
    pub progress: Progress,
}

/// A part of the answer to `deploy`.
#[derive(Debug, Clone, Deserialize)]
pub struct DeployView {
    /// A step of it.
    pub deploy: DeployNews,
}

/// What comes with the news that workers could not be started.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct FailedView {
    /// Which.
    #[serde(default)]
    pub failed: Vec<FailedWorker>,
}

/// One worker's answer to `send-app-req`.
#[derive(Debug, Clone, Deserialize)]
pub struct AnswerView {
    /// The worker.
    pub id: String,
    /// Its process id.
    pub pid: Option<u32>,
    /// The application's data.
    pub data: Option<Json>,
    /// Why there is none.
    #[serde(default)]
    pub errors: Vec<String>,
}

/// Reads an answer.
///
/// # Errors
///
/// Exit code 1: the daemon speaks, but not as we know it.
pub fn read<T: DeserializeOwned>(data: &Json) -> Result<T, Failure> {
    serde_json::from_str(data.get()).map_err(|error| {
        Failure::new(Exit::Unexpected, format!("the daemon's answer is not understood: {error}"))
            .help("compare `nodesockd --version` with the version that `nodesockd status --json` shows")
    })
}

/// The time, as answers tell it: milliseconds since the epoch.
#[must_use]
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The last five characters of a worker's id, by which people tell workers apart.
#[must_use]
pub fn short(id: &str) -> &str {
    id.char_indices().rev().nth(4).map_or(id, |(start, _)| &id[start..])
}
