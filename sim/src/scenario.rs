//! What is played: a daemon's configuration, the code its workers run, what its operators and its users do.
//!
//! Plain data: a scenario can be printed, kept in a file, shrunk and replayed. What goes *wrong* stands beside it, in
//! the [`FaultPlan`](crate::FaultPlan).

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::config::{
    Age, Config, Env, Health, Limits, Listen, Log, LogFormat, LogSize, MemoryLimit, MetricsAddress, Options,
    PatternError, Program, Ready, SocketPattern, StopSignal, Symlinks, Upgrade,
};
use nodesockd_core::event::DaemonSignal;
use nodesockd_core::expiry::{Ending, Expiry};
use nodesockd_core::wire::{DeployOptions, Json, MigrationOptions, Request, StartOptions};
use serde::{Deserialize, Serialize};

/// Where the simulated `tmpDir` is.
pub(crate) const TMP_DIR: &str = "/run/app";

/// The name of the socket of metrics.
pub(crate) const METRICS_SOCKET: &str = "metrics.sock";

/// A history to be played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// The configuration that the daemon starts with.
    pub settings: Settings,
    /// The code that can be deployed; the first one is in place at the start.
    pub releases: Vec<Release>,
    /// What operators do, by time.
    pub script: Vec<Step>,
    /// What users do.
    pub load: Load,
    /// File names that an earlier daemon, or somebody else, left in `tmpDir`.
    pub leftovers: Vec<String>,
    /// When script and load end, in ms.
    pub length_ms: u64,
    /// Draws all that nobody decides: latencies, the moments of requests.
    pub jitter: u64,
}

impl Scenario {
    /// The signal on which the program of a worker finishes what it has begun.
    pub(crate) fn finishes_on(&self, argv: &[String]) -> StopSignal {
        let edited = self.script.iter().filter_map(|step| match &step.act {
            Act::Edit(settings) => Some(&**settings),
            Act::Ask { .. }
            | Act::WorkerAsks { .. }
            | Act::Signal(_)
            | Act::Deploy { .. }
            | Act::EditBadly => None,
        });
        let mut all = std::iter::once(&self.settings).chain(edited);
        // Its folder is that of a release.
        let name = |path: &str| Path::new(path).file_name().map(ToOwned::to_owned);
        let runs = |settings: &&Settings| argv.iter().any(|word| name(word) == name(&settings.script));
        all.find(runs).map_or(StopSignal::Term, |its| its.stop_signal)
    }

    /// Somebody ends a daemon, or has it upgraded.
    pub(crate) fn ends_daemons(&self) -> bool {
        self.script.iter().any(|step| match &step.act {
            Act::Ask { ask, .. } | Act::WorkerAsks { ask, .. } => {
                matches!(ask, Ask::Upgrade { .. } | Ask::Terminate)
            }
            Act::Signal(signal) => !matches!(signal, Signal::Hup | Signal::Usr1),
            Act::Deploy { .. } | Act::Edit(_) | Act::EditBadly => false,
        })
    }
}

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

/// One version of the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// From spawn until it listens, in ms.
    pub boot_ms: u64,
    /// From accepting a request until its answer, in ms.
    pub service_ms: u64,
    /// What is wrong with it, in every worker that runs it.
    pub defects: Vec<Behaviour>,
}

impl Release {
    /// One that works.
    #[must_use]
    pub fn good() -> Self {
        Self { boot_ms: 42, service_ms: 4, defects: Vec::new() }
    }
}

/// How a worker deviates from one that boots, serves and goes when told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Behaviour {
    /// It lives and never reports online.
    NeverReports,
    /// It reports online only so long after it has booted.
    ReportsLate {
        /// In ms.
        by_ms: u64,
    },
    /// It reports online twice.
    ReportsTwice,
    /// It reports online although it was started suspended.
    ReportsUnsuspended,
    /// It dies so long after it was spawned.
    Dies {
        /// In ms.
        after_ms: u64,
        /// How.
        how: Death,
    },
    /// It dies while it holds this many requests' worth of work behind it.
    DiesServing {
        /// Requests begun.
        requests: u32,
        /// How.
        how: Death,
    },
    /// `shutdown` means nothing to it.
    IgnoresShutdown,
    /// SIGTERM means nothing to it.
    IgnoresSigterm,
    /// It reports broken so long after it came online.
    Breaks {
        /// In ms.
        after_ms: u64,
    },
    /// It closes its channel so long after it was spawned, and lives on.
    ClosesChannel {
        /// In ms.
        after_ms: u64,
    },
    /// It forks a child that outlives it.
    Forks {
        /// Into a process group of its own.
        escapes: bool,
    },
    /// It sends replies to requests that nobody made, and handles.
    Babbles,
    /// It does not answer application requests.
    Mute,
    /// It answers application requests that were put to others.
    AnswersForOthers,
    /// It says on the control socket that it is another worker, so long after it has booted.
    ClaimsAnother {
        /// In ms.
        after_ms: u64,
    },
    /// Its own process is a wrapper, which does not pass SIGTERM on.
    Wrapped {
        /// The wrapper lives on when who serves has ended.
        lingers: bool,
    },
    /// When it has reported, a process that it has started says that it is the worker, so long after it has booted.
    ChildClaims {
        /// In ms.
        after_ms: u64,
    },
    /// It is stopped (SIGSTOP) for a while.
    Stops {
        /// When, in ms after it was spawned.
        after_ms: u64,
        /// For how long, in ms.
        for_ms: u64,
    },
    /// It goes on with what it does as the leader for so long after it was told that it does not lead any more.
    LeadsOn {
        /// In ms; for ever if `None`.
        for_ms: Option<u64>,
    },
    /// It has more memory than it may, so long after it was spawned.
    Grows {
        /// In ms.
        after_ms: u64,
    },
    /// It answers so many checks of a deploy with 200, and each after that with 503.
    FailsChecks {
        /// How many.
        after: u32,
    },
    /// It answers each check of a deploy, with 200, only so long after it was asked.
    ChecksLate {
        /// In ms.
        by_ms: u64,
    },
    /// Its event loop stands still for good, so long after it has booted.
    Hangs {
        /// In ms.
        after_ms: u64,
        /// How.
        how: Hang,
    },
}

/// How an event loop stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hang {
    /// It computes for ever.
    Loops,
    /// It waits for something that does not happen.
    Sleeps,
    /// Somebody has sent SIGSTOP.
    Stopped,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Death {
    /// It exits with this status.
    Code(i32),
    /// This signal kills it.
    Signal(i32),
}

/// Something an operator does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, in ms.
    pub at_ms: u64,
    /// What.
    pub act: Act,
}

/// What operators can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// A client makes a request.
    Ask {
        /// Which client.
        client: u32,
        /// What for.
        ask: Ask,
        /// It sends the request twice, with the same id.
        twice: bool,
        /// It hangs up so long after, in ms.
        hang_up_ms: Option<u64>,
    },
    /// The n-th live worker, modulo their number, makes a request.
    WorkerAsks {
        /// Which.
        nth: u32,
        /// What for; workers may only send messages and requests to each other.
        ask: Ask,
    },
    /// The daemon gets a signal.
    Signal(Signal),
    /// Workers spawned from now on run this release.
    Deploy {
        /// Index in [`Scenario::releases`].
        release: usize,
    },
    /// The configuration file is changed.
    Edit(Box<Settings>),
    /// The configuration file is ruined.
    EditBadly,
}

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
        /// Index in [`Scenario::releases`]; none: what the symlink names.
        release: Option<usize>,
        /// For how long the new workers are watched, in ms.
        watch_ms: u64,
    },
    /// `deploy --health`
    DeployChecked {
        /// Index in [`Scenario::releases`]; none: what the symlink names.
        release: Option<usize>,
        /// For how long the new workers are watched, in ms.
        watch_ms: u64,
    },
    /// `deploy` with a migration
    Migrate {
        /// Index in [`Scenario::releases`].
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

/// A command of a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// What it is for.
    pub purpose: Purpose,
    /// How long it takes, in ms.
    pub for_ms: u64,
    /// How it ends.
    pub finish: Finish,
}

/// What a command of a deploy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// `--migrate`
    Migrate,
    /// `--revert`
    Revert,
}

/// How a command of a deploy ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// With status 0.
    Succeeds,
    /// With another one.
    Fails,
    /// With status 0, and not before.
    IgnoresSigterm,
}

impl std::fmt::Display for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { purpose, for_ms, finish } = self;
        write!(f, "{purpose:?} {for_ms} {finish:?}")
    }
}

impl Errand {
    /// What such a command line means.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [purpose, for_ms, finish] = words.as_slice() else { return None };
        let purpose =
            [Purpose::Migrate, Purpose::Revert].into_iter().find(|its| format!("{its:?}") == *purpose);
        let all = [Finish::Succeeds, Finish::Fails, Finish::IgnoresSigterm];
        let finish = all.into_iter().find(|its| format!("{its:?}") == *finish);
        Some(Self { purpose: purpose?, for_ms: for_ms.parse().ok()?, finish: finish? })
    }
}

/// Signals to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// SIGTERM
    Term,
    /// SIGINT
    Int,
    /// SIGHUP
    Hup,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
}

impl From<Signal> for DaemonSignal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Term => Self::Terminate,
            Signal::Int => Self::Interrupt,
            Signal::Hup => Self::Hangup,
            Signal::Usr1 => Self::User1,
            Signal::Usr2 => Self::User2,
        }
    }
}

/// Users, as nginx passes their requests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// How many send requests at the same time, each one after the other.
    pub users: u32,
    /// The longest pause between one's requests, in ms.
    pub pause_ms: u64,
    /// The upstream servers that nginx lists: slots 0..n.
    pub upstreams: u32,
    /// Percentage of requests that are POSTs, which nginx never sends twice.
    pub posts: u32,
    /// nginx keeps idle connections to workers for so long, in ms; not at all if `None`.
    pub keep_alive_ms: Option<u64>,
    /// The longest time between reading a link and connecting to what it names, in ms.
    pub gap_ms: u64,
    /// Connections a worker's listening socket can hold unaccepted.
    pub backlog: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self { users: 2, pause_ms: 50, upstreams: 2, posts: 50, keep_alive_ms: None, gap_ms: 0, backlog: 511 }
    }
}
