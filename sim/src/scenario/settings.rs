//! The configuration of the simulated app.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use nodesockd_core::config::{
    Age, Config, Env, Health, Limits, Listen, Log, LogFormat, LogSize, MemoryLimit, MetricsAddress, Options,
    PatternError, Program, Ready, SocketPattern, StopSignal, Symlinks, Upgrade,
};
use serde::{Deserialize, Serialize};

/// Where the simulated `tmpDir` is.
pub(crate) const TMP_DIR: &str = "/run/app";

/// The name of the socket of metrics.
pub(crate) const METRICS_SOCKET: &str = "metrics.sock";

/// The configuration, as far as the supervisor's decisions depend on it. Times in ms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `name`
    pub name: String,
    /// `workers`
    pub workers: u32,
    /// `standby`
    pub standby: u32,
    /// `script`: another one means that workers have to be restarted.
    pub script: String,
    /// `socketFile`
    pub socket_file: String,
    /// `options.symlinks`
    pub absolute_links: bool,
    /// `devServer`
    pub dev_server: Option<u16>,
    /// `options.spawnTimeout`
    pub spawn_timeout_ms: u64,
    /// `options.onlineTimeout`
    pub online_timeout_ms: u64,
    /// `options.drainTimeout`
    pub drain_timeout_ms: u64,
    /// `options.shutdownTimeout`
    pub shutdown_timeout_ms: u64,
    /// `options.stopSignal`: what the program of `script` finishes on.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// `options.maxStartAttempts`
    pub max_start_attempts: u32,
    /// `options.listen` is `daemon`.
    #[serde(default)]
    pub daemon_listens: bool,
    /// `options.ready`
    #[serde(default)]
    pub ready: Readiness,
    /// `options.upgrade` is `respawn`.
    #[serde(default)]
    pub respawn: bool,
    /// `options.retiring`
    #[serde(default = "default_retiring")]
    pub retiring: u32,
    /// `options.batch`
    #[serde(default)]
    pub batch: u32,
    /// `slots`; as many as `workers` if 0.
    #[serde(default)]
    pub slots: u32,
    /// `options.boots`; any number if 0, as in histories that are older than the key.
    #[serde(default)]
    pub boots: u32,
    /// `health.hangTimeout`
    #[serde(default)]
    pub hang_timeout_ms: Option<u64>,
    /// `limits.memory` is set, to 1 GiB.
    #[serde(default)]
    pub limit_memory: bool,
    /// `limits.age`
    #[serde(default)]
    pub limit_age_ms: Option<u64>,
    /// What workers write to stderr goes to a process that takes it.
    #[serde(default)]
    pub sink: bool,
    /// `options.onEvent`: how long the command takes each time, in ms; none if empty.
    #[serde(default)]
    pub hook_ms: Vec<u64>,
    /// `log.keep`, where there is a log; none if 0.
    #[serde(default)]
    pub log: u32,
    /// `metrics` is set.
    #[serde(default)]
    pub metrics: bool,
    /// It names a socket, where it is set.
    #[serde(default)]
    pub metrics_socket: bool,
}

/// So much memory a worker may have where that is limited, in bytes.
pub const MAY_HAVE: u64 = 1 << 30;

fn default_retiring() -> u32 {
    Options::default().retiring.get()
}

/// `options.ready`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Readiness {
    /// `report`
    #[default]
    Report,
    /// `listen`
    Listen,
    /// `notify`
    Notify,
    /// `http`
    Http,
}

impl From<Readiness> for Ready {
    fn from(readiness: Readiness) -> Self {
        match readiness {
            Readiness::Report => Self::Report,
            Readiness::Listen => Self::Listen,
            Readiness::Notify => Self::Notify,
            Readiness::Http => Self::Http,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "app".into(),
            workers: 2,
            standby: 0,
            script: "/srv/app/server.js".into(),
            socket_file: "app.{worker}.sock".into(),
            absolute_links: false,
            dev_server: None,
            spawn_timeout_ms: 2000,
            online_timeout_ms: 10_000,
            drain_timeout_ms: 5000,
            shutdown_timeout_ms: 10_000,
            stop_signal: StopSignal::Term,
            max_start_attempts: 1,
            daemon_listens: false,
            ready: Readiness::Report,
            respawn: false,
            retiring: default_retiring(),
            batch: 0,
            slots: 0,
            boots: 0,
            hang_timeout_ms: None,
            limit_memory: false,
            limit_age_ms: None,
            sink: false,
            hook_ms: Vec::new(),
            log: 0,
            metrics: false,
            metrics_socket: false,
        }
    }
}

impl Settings {
    /// The configuration a loader would make of them.
    ///
    /// # Errors
    ///
    /// `socket_file` is no pattern.
    pub fn config(&self) -> Result<Config, PatternError> {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let tmp_dir = PathBuf::from(TMP_DIR);
        Ok(Config {
            files: vec![PathBuf::from("/srv/app/nodesockd.toml")],
            cwd: PathBuf::from("/srv/app"),
            name: self.name.clone(),
            program: Program::Script {
                node: "node".into(),
                node_args: Vec::new(),
                script: PathBuf::from(&self.script),
            },
            ipc_file: tmp_dir.join("nodesockd.ipc"),
            socket_dir: tmp_dir.clone(),
            tmp_dir,
            socket_file: SocketPattern::parse(&self.socket_file)?,
            workers: at_least_one(self.workers),
            slots: NonZeroU32::new(self.slots).map(|slots| slots.max(at_least_one(self.workers))),
            standby: self.standby,
            env: Env::default(),
            env_files: Vec::new(),
            dev_server: self.dev_server.map(Into::into),
            metrics: self.metrics.then(|| {
                if self.metrics_socket {
                    MetricsAddress::Unix(PathBuf::from(TMP_DIR).join(METRICS_SOCKET))
                } else {
                    MetricsAddress::Tcp(([127, 0, 0, 1], 9464).into())
                }
            }),
            debug: false,
            limits: Limits {
                memory: self.limit_memory.then_some(MemoryLimit::Bytes(MAY_HAVE)),
                age: self.limit_age_ms.map(|age| Age(Duration::from_millis(age))),
            },
            log: NonZeroU32::new(self.log).map(|keep| Log {
                dir: PathBuf::from("/var/log"),
                format: LogFormat::Text,
                rotate: LogSize(100 << 20),
                keep,
                name: self.name.clone(),
            }),
            health: Health {
                hang_timeout: self.hang_timeout_ms.map(Duration::from_millis),
                ..Health::default()
            },
            options: Options {
                spawn_timeout: Duration::from_millis(self.spawn_timeout_ms),
                online_timeout: Duration::from_millis(self.online_timeout_ms),
                drain_timeout: Duration::from_millis(self.drain_timeout_ms),
                shutdown_timeout: Duration::from_millis(self.shutdown_timeout_ms),
                stop_signal: self.stop_signal,
                max_start_attempts: at_least_one(self.max_start_attempts),
                retiring: at_least_one(self.retiring),
                batch: self.batch,
                boots: NonZeroU32::new(self.boots).unwrap_or(NonZeroU32::MAX),
                symlinks: if self.absolute_links { Symlinks::Absolute } else { Symlinks::Relative },
                listen: if self.daemon_listens { Listen::Daemon } else { Listen::Worker },
                ready: self.ready.into(),
                upgrade: if self.respawn { Upgrade::Respawn } else { Upgrade::Exec },
                on_event: if self.hook_ms.is_empty() {
                    Vec::new()
                } else {
                    let times = self.hook_ms.iter().map(ToString::to_string);
                    std::iter::once("mail".to_owned()).chain(times).collect()
                },
                ..Options::default()
            },
        })
    }
}
