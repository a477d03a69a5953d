//! What those hear who wait for an operation: how far it has got, and which workers have failed.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{SlotIndex, WorkerId};

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
