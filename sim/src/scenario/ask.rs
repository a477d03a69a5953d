//! What clients ask for.

use std::num::NonZeroU32;
use std::time::Duration;

use super::errand::Errand;
use nodesockd_core::expiry::{Ending, Expiry};
use nodesockd_core::wire::{DeployOptions, Json, MigrationOptions, Request, StartOptions};
use serde::{Deserialize, Serialize};

/// What the workers of a deploy are asked for, if they are.
pub(crate) const CHECKED: &str = "/fit";

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// `status`
    Status,
    /// `metrics`
    Metrics,
    /// `config`
    Config,
    /// `start-workers`
    Start {
        /// `suspended`
        suspended: bool,
        /// `maxAttempts`
        attempts: Option<NonZeroU32>,
    },
    /// `restart-workers`
    Restart {
        /// `suspended`
        suspended: bool,
        /// `maxAttempts`
        attempts: Option<NonZeroU32>,
        /// Queue behind the operation in progress.
        wait: bool,
        /// The client waits for the new workers only.
        #[serde(default)]
        until_swap: bool,
    },
    /// `restart-workers`, suspended, with an end
    Suspend {
        /// `for`, in ms
        after_ms: u64,
        /// `then`
        then: Ending,
    },
    /// `deploy`
    Deploy {
        /// Index in [`Scenario::releases`](super::Scenario::releases); none: what the symlink names.
        release: Option<usize>,
        /// For how long the new workers are watched, in ms.
        watch_ms: u64,
    },
    /// `deploy --health`
    DeployChecked {
        /// Index in [`Scenario::releases`](super::Scenario::releases); none: what the symlink names.
        release: Option<usize>,
        /// For how long the new workers are watched, in ms.
        watch_ms: u64,
    },
    /// `deploy` with a migration
    Migrate {
        /// Index in [`Scenario::releases`](super::Scenario::releases).
        release: usize,
        /// For how long the new workers are watched, in ms.
        watch_ms: u64,
        /// `--migrate`
        migrate: Errand,
        /// `--revert`
        revert: Option<Errand>,
        /// `--migrate-timeout`, in ms
        limit_ms: Option<u64>,
    },
    /// `attach-deploy`
    AttachDeploy,
    /// `restart-workers` by a client of a newer version.
    Upgrade {
        /// `suspended`
        suspended: bool,
    },
    /// `resume-workers`
    Resume,
    /// `stop-workers`
    Stop,
    /// `set-worker-count`
    SetWorkers(NonZeroU32),
    /// `set-standby-count`
    SetStandby(u32),
    /// `reload`
    Reload,
    /// `terminate`
    Terminate,
    /// `send-app-msg`
    Message {
        /// Selector.
        workers: Option<String>,
    },
    /// `send-app-req`
    Request {
        /// Selector.
        workers: Option<String>,
    },
}

impl Ask {
    /// A restart as most people ask for it.
    pub const RESTART: Self =
        Self::Restart { suspended: false, attempts: None, wait: false, until_swap: false };

    pub(crate) fn request(&self) -> Request {
        match self {
            Self::Status => Request::Status,
            Self::Config => Request::Config,
            Self::Metrics => Request::Metrics,
            Self::Start { suspended, attempts } => Request::Start(StartOptions {
                suspended: *suspended,
                max_attempts: *attempts,
                ..StartOptions::default()
            }),
            Self::Restart { suspended, attempts, wait, until_swap } => Request::Restart {
                options: StartOptions {
                    suspended: *suspended,
                    max_attempts: *attempts,
                    progress: true,
                    wait: *wait,
                    until_swap: *until_swap,
                    expiry: None,
                    batch: suspended.then_some(0),
                },
                version: None,
            },
            Self::Suspend { after_ms, then } => Request::Restart {
                options: StartOptions {
                    suspended: true,
                    progress: true,
                    expiry: Some(Expiry { after: Duration::from_millis(*after_ms), then: *then }),
                    batch: Some(0),
                    ..StartOptions::default()
                },
                version: None,
            },
            Self::Deploy { release, watch_ms } => Request::Deploy(DeployOptions {
                release: release.map(crate::world::releases::folder),
                watch: Duration::from_millis(*watch_ms),
                health: None,
                migration: None,
                max_attempts: None,
                progress: true,
                batch: None,
            }),
            Self::DeployChecked { release, watch_ms } => Request::Deploy(DeployOptions {
                release: release.map(crate::world::releases::folder),
                watch: Duration::from_millis(*watch_ms),
                health: Some(CHECKED.to_owned()),
                migration: None,
                max_attempts: None,
                progress: true,
                batch: None,
            }),
            Self::Migrate { release, watch_ms, migrate, revert, limit_ms } => {
                Request::Deploy(DeployOptions {
                    release: Some(crate::world::releases::folder(*release)),
                    watch: Duration::from_millis(*watch_ms),
                    health: None,
                    migration: Some(MigrationOptions {
                        command: migrate.to_string(),
                        revert: revert.map(|errand| errand.to_string()),
                        limit: limit_ms.map(Duration::from_millis),
                    }),
                    max_attempts: None,
                    progress: true,
                    batch: Some(0),
                })
            }
            Self::AttachDeploy => Request::AttachDeploy { progress: true },
            Self::Upgrade { suspended } => Request::Restart {
                options: StartOptions {
                    suspended: *suspended,
                    progress: true,
                    batch: suspended.then_some(0),
                    ..StartOptions::default()
                },
                version: None,
            },
            Self::Resume => Request::Resume,
            Self::Stop => Request::Stop,
            Self::SetWorkers(count) => Request::SetWorkers { count: *count },
            Self::SetStandby(count) => Request::SetStandby { count: *count },
            Self::Reload => Request::Reload,
            Self::Terminate => Request::Terminate,
            Self::Message { workers } => Request::SendMessage {
                message: "hello".into(),
                data: Some(Json::of(&1)),
                workers: workers.clone(),
            },
            Self::Request { workers } => {
                Request::SendRequest { request: "ping".into(), data: None, workers: workers.clone() }
            }
        }
    }
}
