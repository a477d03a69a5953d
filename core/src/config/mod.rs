//! Configuration: what a person writes, parsed into what the supervisor may rely on.
//!
//! A [`Config`] is valid by construction: counts are in range, names contain their placeholder, paths are absolute and
//! short enough for the kernel.

mod build;
mod companion;
mod dev_address;
mod health;
mod layer;
mod limits;
mod load;
mod log;
mod metrics_address;
mod package;
mod paths;
mod pattern;
mod placeholder;
mod problem;
mod request_path;
mod salvage;
mod section;
mod setting;
mod show;
mod source;
mod suggest;
mod toml;
mod tree;
mod yaml;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::env_file::EnvFile;

pub use companion::Companion;
pub use dev_address::{DevAddress, NotAnAddress};
pub use limits::{Age, Limits, MemoryLimit};
pub use load::{Sources, Start, file_names, load};
pub use log::{Log, LogFormat, LogSize};
pub use metrics_address::MetricsAddress;
pub use paths::Surroundings;
pub use pattern::{Named, PatternError, SocketPattern};
pub use placeholder::{RELEASE_PLACEHOLDER, fill, names_slot};
pub use problem::{Place, Problem};
pub use request_path::is_request_path;
pub use salvage::control_socket;
pub use show::{resolved, schema};

/// More slots, or standbys, than this are a slip of the pen.
pub const MAX_WORKERS: u32 = 4096;

/// So many workers may boot at a time on any machine: one that waits for something holds up no other then.
pub const LEAST_BOOTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// `health.hangTimeout` of workers with a heartbeat, where the key is not set.
const HANG_TIMEOUT: Duration = Duration::from_secs(30);

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The files it came from: the one that was named or found first, then those it extends.
    pub files: Vec<PathBuf>,
    /// The working directory of daemon and workers: absolute and logical, so that symlinks on the way are resolved at
    /// every spawn.
    pub cwd: PathBuf,
    /// `name`
    pub name: String,
    /// `script` or `command`
    pub program: Program,
    /// `tmpDir`, absolute.
    pub tmp_dir: PathBuf,
    /// `socketFile`: names in `socket_dir`.
    pub socket_file: SocketPattern,
    /// The folder of links and sockets, absolute: `tmpDir`, or the folder that `socketFile` names.
    pub socket_dir: PathBuf,
    /// `ipcFile`, absolute.
    pub ipc_file: PathBuf,
    /// `workers`
    pub workers: NonZeroU32,
    /// `slots`, if it is given: not fewer than `workers`.
    pub slots: Option<NonZeroU32>,
    /// `standby`
    pub standby: u32,
    /// `env`
    pub env: Env,
    /// `envFile`: the later ones win.
    pub env_files: Vec<EnvFile>,
    /// `devServer`: where it listens, if there is to be one.
    pub dev_server: Option<DevAddress>,
    /// `metrics`: where they are served, if they are to be.
    pub metrics: Option<MetricsAddress>,
    /// `debug`
    pub debug: bool,
    /// `limits`
    pub limits: Limits,
    /// `log`, if workers' output is logged.
    pub log: Option<Log>,
    /// `health`
    pub health: Health,
    /// `options`
    pub options: Options,
}

impl Config {
    /// How many links there are, which is what nginx lists: `slots`, or one a worker.
    #[must_use]
    pub fn links(&self) -> NonZeroU32 {
        self.slots.map_or(self.workers, |slots| slots.max(self.workers))
    }

    /// The key that says how many links there are.
    #[must_use]
    pub fn links_key(&self) -> &'static str {
        if self.slots.is_some() { "slots" } else { "workers" }
    }

    /// The folder of links and sockets, if it is another one than `tmpDir`.
    #[must_use]
    pub fn separate_socket_dir(&self) -> Option<PathBuf> {
        (self.socket_dir != self.tmp_dir).then(|| self.socket_dir.clone())
    }

    /// How long a worker may give no sign of life; `None` if that is not watched.
    #[must_use]
    pub fn hang_timeout(&self, heartbeat: bool) -> Option<Duration> {
        let default = heartbeat.then_some(HANG_TIMEOUT);
        let limit = self.health.hang_timeout.or(default);
        // Code under development stands still for good reasons.
        limit.filter(|limit| !limit.is_zero() && self.dev_server.is_none())
    }
}

/// What a worker runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// `script`, run by `node` with `nodeArgs`.
    Script {
        /// `node`
        node: String,
        /// `nodeArgs`
        node_args: Vec<String>,
        /// `script`, absolute and logical.
        script: PathBuf,
    },
    /// `command`: not empty.
    Command(Vec<String>),
}

/// The variables of a worker's environment, besides those that always pass through and those we set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Env {
    /// Names passed on from the daemon's environment.
    pub pass: Vec<String>,
    /// Names and values.
    pub set: Vec<(String, String)>,
}

/// `health`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// `hangTimeout`; zero: workers may be silent for as long as they like.
    pub hang_timeout: Option<Duration>,
    /// `path`
    pub path: Option<String>,
    /// `interval`
    pub interval: Duration,
    /// `timeout`
    pub timeout: Duration,
    /// `failures`
    pub failures: NonZeroU32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            hang_timeout: None,
            path: None,
            interval: Duration::from_millis(10_000),
            timeout: Duration::from_millis(5000),
            failures: NonZeroU32::new(3).unwrap_or(NonZeroU32::MIN),
        }
    }
}

/// From SIGTERM to SIGKILL.
pub const KILL_AFTER: Duration = Duration::from_millis(5000);

/// `options`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `spawnTimeout`
    pub spawn_timeout: Duration,
    /// `onlineTimeout`
    pub online_timeout: Duration,
    /// `drainTimeout`
    pub drain_timeout: Duration,
    /// `shutdownTimeout`
    pub shutdown_timeout: Duration,
    /// `stopSignal`
    pub stop_signal: StopSignal,
    /// `quitTimeout`; none: as long as the workers' own time-outs allow
    pub quit_timeout: Option<Duration>,
    /// `maxStartAttempts`
    pub max_start_attempts: NonZeroU32,
    /// `retiring`
    pub retiring: NonZeroU32,
    /// `batch`; 0: all at once.
    pub batch: u32,
    /// `suspendWarning`; zero: never
    pub suspend_warning: Duration,
    /// `onEvent`: the program and its arguments; empty: none
    pub on_event: Vec<String>,
    /// `boots`
    pub boots: NonZeroU32,
    /// `symlinks`
    pub symlinks: Symlinks,
    /// `stdout`
    pub stdout: Output,
    /// `stderr`
    pub stderr: Output,
    /// `upgrade`
    pub upgrade: Upgrade,
    /// `listen`
    pub listen: Listen,
    /// `ready`
    pub ready: Ready,
    /// `readyPath`
    pub ready_path: String,
    /// `ipcGroup`
    pub ipc_group: Option<String>,
}

impl Options {
    /// How long a daemon that quits may have to wait for its workers: until the last one gets SIGKILL.
    #[must_use]
    pub fn longest_quit(&self) -> Duration {
        let longest = self.drain_timeout + self.shutdown_timeout + KILL_AFTER;
        self.quit_timeout.map_or(longest, |limit| limit.min(longest))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            spawn_timeout: Duration::from_millis(2000),
            online_timeout: Duration::from_millis(10_000),
            drain_timeout: Duration::from_millis(5000),
            shutdown_timeout: Duration::from_millis(10_000),
            stop_signal: StopSignal::Term,
            quit_timeout: None,
            max_start_attempts: NonZeroU32::MIN,
            retiring: const { NonZeroU32::new(3).unwrap() },
            batch: 0,
            suspend_warning: Duration::from_secs(300),
            on_event: Vec::new(),
            boots: LEAST_BOOTS,
            symlinks: Symlinks::Relative,
            stdout: Output::Inherit,
            stderr: Output::Inherit,
            upgrade: Upgrade::Exec,
            listen: Listen::Worker,
            ready: Ready::Report,
            ready_path: "/".to_owned(),
            ipc_group: None,
        }
    }
}

/// The signal that tells a worker to finish and exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StopSignal {
    /// What most programs expect.
    #[default]
    #[serde(rename = "SIGTERM")]
    Term,
    /// As by Ctrl+C.
    #[serde(rename = "SIGINT")]
    Int,
    /// php-fpm, nginx.
    #[serde(rename = "SIGQUIT")]
    Quit,
    /// A terminal that is gone.
    #[serde(rename = "SIGHUP")]
    Hup,
    /// Whatever the program makes of it.
    #[serde(rename = "SIGUSR1")]
    Usr1,
    /// Whatever the program makes of it.
    #[serde(rename = "SIGUSR2")]
    Usr2,
    /// Apache httpd.
    #[serde(rename = "SIGWINCH")]
    Winch,
}

impl StopSignal {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Hup => "SIGHUP",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Winch => "SIGWINCH",
        }
    }
}

/// Targets of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Symlinks {
    /// The socket's file name, beside the link.
    Relative,
    /// The socket's whole path.
    Absolute,
}

/// Where a worker's output goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Where the daemon's goes.
    Inherit,
    /// Nowhere.
    Discard,
    /// Appended to this file, absolute and logical.
    File(PathBuf),
}

/// How the daemon is replaced by a newer version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Upgrade {
    /// By `execve`, under the same pid.
    Exec,
    /// It quits and leaves its workers to the daemon that the service manager starts.
    Respawn,
}

/// Who owns the listening sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Listen {
    /// Each worker binds its own.
    Worker,
    /// The daemon keeps one a slot, and workers inherit it.
    Daemon,
}

/// How the daemon learns that a worker is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ready {
    /// It reports `online` on its channel.
    Report,
    /// It listens on its socket, as the kernel knows.
    Listen,
    /// It sends `READY=1` to `NOTIFY_SOCKET` (`sd_notify(3)`).
    Notify,
    /// A GET through its socket is answered by a 2xx.
    Http,
}
