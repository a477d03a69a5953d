//! What can be typed after each command.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, ValueEnum};
use nodesockd_core::config::DevAddress;
use nodesockd_core::wire::Json;

use super::values::{at_least_one, dev_server, duration, json, request_path, since, slots, time};

/// Which daemon, and for how long to wait.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// The configuration file that names the daemon's socket
    #[arg(short, long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The daemon's socket; no configuration is read then, whatever --config says
    #[arg(short, long, value_name = "PATH")]
    pub ipc: Option<PathBuf>,
    /// Give up after this long (5 or 5s: seconds, 500ms, 5m, 1h); what was asked for goes on
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}

impl Target {
    /// Takes from `other` what is not set.
    pub(super) fn fill(&mut self, other: Self) {
        self.config = self.config.take().or(other.config);
        self.ipc = self.ipc.take().or(other.ipc);
        self.timeout = self.timeout.or(other.timeout);
    }
}

/// Arguments of commands that only read.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// What all commands that read have.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Exit with 1 if something is wrong
    #[arg(long)]
    pub check: bool,
    /// Go on and on, as `top` does
    #[arg(long, conflicts_with_all = ["check", "json"])]
    pub watch: bool,
}

/// Arguments of `daemon`.
#[derive(Debug, Clone, Args)]
pub struct DaemonArgs {
    /// The configuration file
    #[arg(short, long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Serve the app on a TCP port, without nginx; 8000 unless given, of this machine only unless an address such as
    /// 0.0.0.0:8000 is given
    #[arg(short, long, alias = "devServer", value_name = "[ADDRESS:]PORT", num_args = 0..=1,
        default_missing_value = "true", value_parser = dev_server, overrides_with = "no_dev_server")]
    pub dev_server: Option<DevServerArg>,
    /// No dev server, whatever the configuration says
    #[arg(long, alias = "no-devServer", overrides_with = "dev_server")]
    pub no_dev_server: bool,
    /// Say whether this program could take over what it reads from its standard input.
    #[arg(long, hide = true)]
    pub preflight: bool,
}

/// What the command line says about the dev server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevServerArg {
    /// There is to be none.
    Off,
    /// Where it is to listen.
    At(DevAddress),
}

/// How workers are started.
#[derive(Debug, Args)]
pub struct Starting {
    /// The new workers wait, and queue requests, until `resume`
    #[arg(short, long, visible_alias = "suspend", value_name = "true|false", action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_value_t = false, default_missing_value = "true", hide_default_value = true,
        hide_possible_values = true, overrides_with = "no_suspended")]
    pub suspended: bool,
    /// The opposite, as 2.x allows it to be written.
    #[arg(long, hide = true, alias = "no-suspend", overrides_with = "suspended")]
    pub no_suspended: bool,
    /// How often each start is tried; options.maxStartAttempts unless given
    #[arg(short, long, alias = "maxAttempts", value_name = "N", value_parser = at_least_one)]
    pub max_attempts: Option<NonZeroU32>,
}

/// Arguments of `start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// How.
    #[command(flatten)]
    pub starting: Starting,
}

/// Arguments of `restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// How.
    #[command(flatten)]
    pub starting: Starting,
    /// Upgrade the daemon first, if it is older than this command
    #[arg(short, long, value_name = "true|false", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_value_t = false, default_missing_value = "true", hide_default_value = true,
        hide_possible_values = true, overrides_with = "no_upgrade")]
    pub upgrade: bool,
    /// The opposite, as 2.x allows it to be written.
    #[arg(long, hide = true, overrides_with = "upgrade")]
    pub no_upgrade: bool,
    /// If another operation is in progress, wait for its end instead of failing
    #[arg(long)]
    pub wait: bool,
    /// Return when the new workers serve, and let the old ones finish meanwhile
    #[arg(long, conflicts_with = "suspended")]
    pub no_wait: bool,
    /// How long the app may stay suspended, from when this command returns: 10m, 90s; for ever unless given
    #[arg(long = "for", value_name = "TIME", value_parser = duration, requires_all = ["suspended", "then"])]
    pub expires: Option<Duration>,
    /// What is done after that: resume the new workers, or go back to the old release
    #[arg(long, value_name = "resume|rollback", requires = "expires")]
    pub then: Option<Then>,
    /// Have at most N new workers beside the full set, 0 for all at once; options.batch unless given
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
}

/// What ends a suspension that nobody has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Then {
    /// The suspended workers begin
    Resume,
    /// Workers of the release that served before are started
    Rollback,
}

/// Arguments of `deploy`.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// The folder of the release; what the working directory leads to unless given
    #[arg(long, value_name = "DIR")]
    pub release: Option<PathBuf>,
    /// Watch the new workers for so long before the old ones go; 30s unless given, 0 for not at all
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub watch: Option<Duration>,
    /// Have each new worker answer GET PATH with 2xx or 3xx while it is watched; not with options.listen = "daemon"
    #[arg(long, value_name = "PATH", value_parser = request_path)]
    pub health: Option<String>,
    /// Run this command, by sh, in the new release while no worker is active; then nothing is watched unless --watch is given
    #[arg(long, value_name = "CMD", value_parser = NonEmptyStringValueParser::new())]
    pub migrate: Option<String>,
    /// Run this command to undo the migration if that, or the release after it, fails
    #[arg(long, value_name = "CMD", requires = "migrate", value_parser = NonEmptyStringValueParser::new())]
    pub revert: Option<String>,
    /// How long each of these commands may take before it gets SIGTERM, and SIGKILL 10 s later; for ever unless given
    #[arg(long, value_name = "TIME", requires = "migrate", value_parser = duration)]
    pub migrate_timeout: Option<Duration>,
    /// How often each start is tried; options.maxStartAttempts unless given
    #[arg(short, long, alias = "maxAttempts", value_name = "N", value_parser = at_least_one)]
    pub max_attempts: Option<NonZeroU32>,
    /// Have at most N new workers beside the full set, 0 for all at once; options.batch unless given
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    /// Show the deploy in progress, or how the last one ended
    #[arg(long, conflicts_with_all = ["release", "watch", "health", "migrate", "max_attempts", "batch"])]
    pub attach: bool,
    /// Print each step as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// What all commands that read have.
    #[command(flatten)]
    pub read: ReadArgs,
    /// How many entries at most
    #[arg(short = 'n', long = "entries", value_name = "N", default_value = "20", value_parser = at_least_one)]
    pub count: NonZeroU32,
    /// Only what began since then: so long ago (90s, 30m, 12h), or a date, with a time or not (2026-03-01,
    /// 2026-03-01T22:00, …+02:00; UTC without an offset)
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Since>,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// Go on with what is written from now on, also when other files are begun
    #[arg(short, long)]
    pub follow: bool,
    /// Which workers; all unless given
    #[arg(short, long, value_name = "SEL", allow_hyphen_values = true)]
    pub workers: Option<String>,
    /// How many of the last lines; 100 unless given, with --since all
    #[arg(short = 'n', long = "lines", value_name = "N", value_parser = at_least_one)]
    pub count: Option<NonZeroU32>,
    /// Print each line as one line of JSON: {time, slot?, worker?, stream, line}
    #[arg(long)]
    pub json: bool,
    /// Only what was written since then: so long ago (90s, 30m, 12h), or a date, with a time or not (2026-03-01,
    /// 2026-03-01T22:00, …+02:00; UTC without an offset)
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Since>,
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// So many milliseconds after 1970-01-01T00:00Z.
    At(u64),
}

/// Arguments of `set-workers`.
#[derive(Debug, Args)]
pub struct SetWorkersArgs {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// How many slots, at least 1
    #[arg(value_name = "N", value_parser = slots)]
    pub count: NonZeroU32,
}

/// Arguments of `set-standby`.
#[derive(Debug, Args)]
pub struct SetStandbyArgs {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// How many spare workers
    #[arg(value_name = "N")]
    pub count: u32,
}

/// Arguments of `send-msg`.
#[derive(Debug, Args)]
pub struct SendMsgArgs {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// Which workers; all in slots unless given
    #[arg(short, long, value_name = "SEL", allow_hyphen_values = true)]
    pub workers: Option<String>,
    /// The message's name
    pub message: String,
    /// Its data
    #[arg(value_name = "JSON", value_parser = json, allow_negative_numbers = true)]
    pub data: Option<Json>,
}

/// Arguments of `send-req`.
#[derive(Debug, Args)]
pub struct SendReqArgs {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// Which workers; all in slots unless given
    #[arg(short, long, value_name = "SEL", allow_hyphen_values = true)]
    pub workers: Option<String>,
    /// Print each answer as one line of JSON: {id, pid, data?, errors?}
    #[arg(long)]
    pub json: bool,
    /// The request's name
    pub request: String,
    /// Its data
    #[arg(value_name = "JSON", value_parser = json, allow_negative_numbers = true)]
    pub data: Option<Json>,
}
