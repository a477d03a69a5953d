//! The command line: what can be typed, and what the help says about it.
//!
//! What scripts written for 2.x say works as well: options before the command, the same option twice (the last one holds),
//! `--maxAttempts` for `--max-attempts`, `--suspended=false` and `--no-suspended`. The help does not list these spellings.

mod values;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use nodesockd_core::config::DevAddress;
use nodesockd_core::wire::Json;

use crate::VERSION;
use values::{at_least_one, dev_server, duration, json, request_path, since, slots, time};

pub use crate::setup::args::{
    CheckArgs, CompletionsArgs, DoctorArgs, Front, FrontArgs, InitArgs, ManArgs, Manager, ProxyArgs,
    ServiceArgs,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or already so
  1  something unexpected
  2  wrong usage
  3  the configuration is invalid
  4  the daemon cannot be reached
  5  another operation is in progress
  6  workers failed to start; the old ones still serve
  7  a deploy failed after its workers had taken over; see its message
  8  time-out
  9  not permitted

These options may stand before or after a command. Without -c or -i, the configuration is looked for
in the working directory: .nodesockd.local, nodesockd.local, .nodesockd or nodesockd, each with the
ending .toml, .yml or .yaml.
NO_COLOR is honoured.";

/// Supervises web workers behind nginx, and replaces them without losing a request.
#[derive(Debug, Parser)]
#[command(
    name = "nodesockd",
    version = VERSION,
    after_help = EXIT_CODES,
    subcommand_required = true,
    arg_required_else_help = true,
    args_override_self = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What stands before the command.
    #[command(flatten)]
    pub before: Target,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command, with the options that stand before it; those after it win.
    ///
    /// # Errors
    ///
    /// The command has no such option.
    pub fn into_command(self) -> Result<Command, clap::Error> {
        let Self { before, mut command } = self;
        if let Command::Client(client) = &mut command {
            client.target_mut().fill(before);
            return Ok(command);
        }
        let refused = |option: &str| {
            let message = format!("{option} is for commands to a daemon, which this one is not");
            Err(Self::command().error(ErrorKind::ArgumentConflict, message))
        };
        if before.ipc.is_some() {
            return refused("--ipc");
        } else if before.timeout.is_some() {
            return refused("--timeout");
        }
        match (command.config_mut(), before.config) {
            (Some(config), before) => *config = config.take().or(before),
            (None, Some(_)) => return refused("--config"),
            (None, None) => {}
        }
        Ok(command)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground
    ///
    /// Starts the configured workers and supervises them until SIGTERM or SIGINT. SIGHUP reloads the configuration,
    /// SIGUSR1 reopens the log files, SIGUSR2 upgrades to the installed version.
    #[command(after_help = "Example:\n  nodesockd daemon --dev-server")]
    Daemon(DaemonArgs),
    /// Whatever is asked of a running daemon.
    #[command(flatten)]
    Client(ClientCommand),
    /// Write a configuration for the app in this folder, and make its tmpDir
    ///
    /// Goes by what lies in the folder: package.json, the files of frameworks, requirements, Gemfile, go.mod, Cargo.toml. If
    /// several ways fit, or none, asks at a terminal; without one, writes a question mark and says what to decide. Makes
    /// tmpDir for nginx's group, or says which commands do, and says what is left to do. Overwrites nothing; what is there
    /// already stays as it is.
    #[command(after_help = "Example:\n  nodesockd init --tmp-dir /run/shop --user shop")]
    Init(InitArgs),
    /// Check whether a daemon would run here, without one
    ///
    /// Looks at the configuration and what it names: script, Node, folders, sockets. For deployment scripts: the exit
    /// code is 3 if a daemon, run by this user, would not run like this. `doctor` looks at everything around it, too.
    #[command(after_help = "Example:\n  nodesockd check -c nodesockd.toml")]
    Check(CheckArgs),
    /// Look at the whole set-up, from the configuration to nginx, and say what is wrong
    ///
    /// Finds what `check` finds, for the daemon's user, and adds what is around a daemon: its systemd unit, the library
    /// in the app, the way to the sockets for nginx's user, files that are left over, limits of the kernel, the daemon
    /// that runs, and nginx's configuration, as `nginx --check` does. Changes nothing; one worker is asked `OPTIONS *`.
    /// Best run as root, who sees everything. The exit code is 3 if something is wrong.
    #[command(
        after_help = "Examples:\n  sudo nodesockd doctor\n  sudo nginx -T | nodesockd doctor --nginx -"
    )]
    Doctor(DoctorArgs),
    /// Print the configuration of nginx that fits, or compare the one there is
    ///
    /// Prints an upstream and a server for nginx's http block. With --check, says what nginx does otherwise than the
    /// daemon serves: slots that are missing or too many, sockets elsewhere, failures that are counted, connections
    /// that end too early or too late. The exit code is 3 if something is wrong.
    #[command(
        after_help = "Examples:\n  nodesockd nginx --server-name shop.example > /etc/nginx/conf.d/shop.conf\n  sudo nginx -T | nodesockd nginx --check -"
    )]
    Nginx(FrontArgs),
    /// Print the configuration of nginx, Caddy or HAProxy that fits, or compare the one there is
    ///
    /// With --check, says what the front does otherwise than the daemon serves. nginx is asked by `nginx -T`, Caddy by its
    /// admin API (CADDY_ADMIN says where, localhost:2019 unless set); HAProxy's file is read, /etc/haproxy/haproxy.cfg unless
    /// given. The exit code is 3 if something is wrong.
    #[command(
        after_help = "Examples:\n  nodesockd proxy caddy --server-name shop.example | sudo tee -a /etc/caddy/Caddyfile\n  nodesockd proxy haproxy --check /etc/haproxy/haproxy.cfg"
    )]
    Proxy(ProxyArgs),
    /// Print what a service manager needs to run the daemon
    ///
    /// A unit, a section or a run script for the app in the working directory, with all paths absolute.
    #[command(
        after_help = "Example:\n  nodesockd service systemd --user shop > /etc/systemd/system/shop.service"
    )]
    Service(ServiceArgs),
    /// Print what makes a shell complete commands and options
    #[command(
        after_help = "Example:\n  nodesockd completions bash > ~/.local/share/bash-completion/completions/nodesockd"
    )]
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command
    #[command(after_help = "Example:\n  nodesockd man | man -l -")]
    Man(ManArgs),
}

impl Command {
    /// The configuration file, of those that read one and do not ask a daemon.
    fn config_mut(&mut self) -> Option<&mut Option<PathBuf>> {
        match self {
            Self::Daemon(args) => Some(&mut args.config),
            Self::Check(args) => Some(&mut args.config),
            Self::Doctor(args) => Some(&mut args.config),
            Self::Nginx(args) => Some(&mut args.config),
            Self::Proxy(proxy) => Some(&mut proxy.args.config),
            Self::Service(args) => Some(&mut args.config),
            Self::Client(_) | Self::Init(_) | Self::Completions(_) | Self::Man(_) => None,
        }
    }
}

/// The commands that ask something of a running daemon.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Show the daemon and its workers
    ///
    /// One row a worker: its slot, its short id, its pid, its state and since when. Standbys and retiring workers
    /// follow, then the slots that nobody serves, with the reason.
    ///
    /// With --check the exit code is 1 if something is wrong, and stderr says what: a slot that nobody serves, or whose
    /// worker has to be replaced; a standby that keeps failing; an app that is suspended.
    #[command(after_help = "Examples:\n  nodesockd status --json\n  nodesockd status --check")]
    Status(StatusArgs),
    /// Watch the workers in a live picture
    ///
    /// Once a second: the state of each worker, its share of a CPU, its memory with all that it has started, and how many connections
    /// wait to be accepted; where `metrics` is set, also requests and how late event loops are; the sums above, what happened
    /// below. Goes on over restarts and upgrades of the daemon. Where the output is no terminal, what happens is printed, a line
    /// each. `status --watch` is the same.
    #[command(after_help = "Example:\n  nodesockd top")]
    Top(Target),
    /// Print numbers about the app, for Prometheus and for people
    ///
    /// In the format of OpenMetrics: what the daemon has counted, and what the kernel knows of the workers. What workers have
    /// answered is counted if the key `metrics` is set. With --json, what the daemon has counted and nothing else.
    #[command(after_help = "Examples:\n  nodesockd metrics\n  nodesockd metrics | grep deaths")]
    Metrics(ReadArgs),
    /// Show the configuration in force, and the files it came from
    #[command(after_help = "Example:\n  nodesockd config")]
    Config(ReadArgs),
    /// Start the workers
    ///
    /// Has no effect when they are running.
    #[command(after_help = "Example:\n  nodesockd start --suspended")]
    Start(StartArgs),
    /// Replace all workers without losing a request
    ///
    /// New workers are started beside the old ones. When all are online they take over, and the old ones finish what
    /// they have begun. If one cannot be started, the old ones stay and the exit code is 6.
    ///
    /// With --suspended, the new workers wait until `resume`, so that a migration can run when no old worker is left. --for and --then
    /// say what becomes of that if nobody comes back.
    #[command(
        after_help = "Examples:\n  nodesockd restart\n  nodesockd restart --suspended --for 10m --then rollback && ./migrate && nodesockd resume"
    )]
    Restart(RestartArgs),
    /// Deploy a release: switch to it, watch it, and go back if its workers fail
    ///
    /// With --release, the symlink on the way to the working directory is switched first. New workers are started beside
    /// the old ones; when all are online they take over. Then they are watched, and the old ones kept: if a new worker crashes or
    /// has to be replaced, the links name the old ones again at once, the symlink is switched back, and the exit code is 7. If the new
    /// workers cannot be started, nothing has changed, and the exit code is 6.
    ///
    /// With --migrate, the new workers wait, suspended, until the old ones are gone; then the command runs, and the new workers are
    /// resumed when it has succeeded. If it fails, what --revert says is run, and the old release is started again: exit code 7. Where
    /// that fails, too, the app stays suspended, and `status` says that a person has to decide.
    ///
    /// The daemon does all this. It goes on if this command is interrupted; --attach shows it again.
    #[command(
        after_help = "Examples:\n  nodesockd deploy --release /srv/shop/releases/42\n  nodesockd deploy --watch 2m\n  nodesockd deploy --release releases/42 --migrate 'npm run migrate' --revert 'npm run migrate:down'\n  nodesockd deploy --attach"
    )]
    Deploy(DeployArgs),
    /// Show what was done, and what went wrong: deploys, restarts, crash loops, hangs
    ///
    /// The last entries, the newest one last: when, how it ended, how long it took until that was clear, who asked for it, the generation
    /// and its release, how many requests had waited, and the reason. Times are in UTC. Needs no daemon: the file
    /// `<ipcFile>.history` is read.
    #[command(
        after_help = "Examples:\n  nodesockd history --since 12h\n  nodesockd history -n 100 --since '2026-03-01 22:00' --json"
    )]
    History(HistoryArgs),
    /// Show what happens, as it happens
    ///
    /// A line for each step of a worker, each operation that begins or ends, and what goes wrong or is repaired; until the daemon quits. Times
    /// are in UTC. `options.onEvent` has a command run for what somebody has to know.
    #[command(after_help = "Example:\n  nodesockd events --json")]
    Events(ReadArgs),
    /// Show what workers wrote
    ///
    /// With `log.dir`: the last lines of its files, each with its time in UTC, the slot, the short id of the worker and the stream.
    /// Needs no daemon. A line that is too long for one is continued after `stdout+`; where lines are missing, one says how many.
    ///
    /// Without `log.dir`: what the journal has of the systemd unit, or the ends of the files that options.stdout and options.stderr
    /// name, or where to look.
    #[command(after_help = LOGS_SELECTORS)]
    Logs(LogsArgs),
    /// Resume suspended workers
    ///
    /// Standbys stay suspended until they take over a slot.
    #[command(after_help = "Example:\n  nodesockd resume")]
    Resume(Target),
    /// Stop all workers; the daemon stays
    #[command(after_help = "Example:\n  nodesockd stop")]
    Stop(Target),
    /// Change the number of slots until the next reload
    #[command(after_help = "Example:\n  nodesockd set-workers 4")]
    SetWorkers(SetWorkersArgs),
    /// Change the number of standby workers until the next reload
    #[command(after_help = "Example:\n  nodesockd set-standby 1")]
    SetStandby(SetStandbyArgs),
    /// Load the configuration again
    ///
    /// Does the least that makes reality match. If the new configuration is bad, the reasons are printed and the
    /// running one stays in force.
    #[command(after_help = "Example:\n  nodesockd reload")]
    Reload(Target),
    /// Stop all workers and the daemon
    ///
    /// Returns when the daemon is gone.
    #[command(after_help = "Example:\n  nodesockd terminate --timeout 30s")]
    Terminate(Target),
    /// Send a message to workers; nothing is answered
    #[command(after_help = SELECTORS_MESSAGE)]
    SendMsg(SendMsgArgs),
    /// Send a request to workers and print their answers as they come
    ///
    /// The exit code is 1 if a worker answers with errors.
    #[command(after_help = SELECTORS_REQUEST)]
    SendReq(SendReqArgs),
}

impl ClientCommand {
    /// Which daemon is meant.
    pub fn target_mut(&mut self) -> &mut Target {
        match self {
            Self::Status(args) => &mut args.read.target,
            Self::Config(args) | Self::Events(args) | Self::Metrics(args) => &mut args.target,
            Self::Start(args) => &mut args.target,
            Self::Restart(args) => &mut args.target,
            Self::Deploy(args) => &mut args.target,
            Self::History(args) => &mut args.read.target,
            Self::Logs(args) => &mut args.target,
            Self::Top(target)
            | Self::Resume(target)
            | Self::Stop(target)
            | Self::Reload(target)
            | Self::Terminate(target) => target,
            Self::SetWorkers(args) => &mut args.target,
            Self::SetStandby(args) => &mut args.target,
            Self::SendMsg(args) => &mut args.target,
            Self::SendReq(args) => &mut args.target,
        }
    }
}

/// What `-w` takes, with an example after it.
macro_rules! selectors {
    ($example:literal) => {
        concat!(
            "A selector is a list of these, separated by commas:\n",
            "  2            the worker in a slot\n",
            "  1-3, -3, 1-  the workers in a range of slots\n",
            "  $4711        the worker with a pid\n",
            "  UUID         the worker with an id\n",
            "  !…           all workers in slots but these\n",
            "Only pids and ids reach workers without a slot.\n\n",
            "Example:\n  ",
            $example
        )
    };
}

const SELECTORS_MESSAGE: &str = selectors!("nodesockd send-msg -w 0-1 log-level '\"debug\"'");
const SELECTORS_REQUEST: &str = selectors!("nodesockd send-req --json cache-size");

const LOGS_SELECTORS: &str = "\
A selector is a list of these, separated by commas:
  2            lines of workers while they served this slot
  1-3, -3, 1-  the same, of a range of slots
  UUID         lines of the worker with an id
  !…           all lines but these

Examples:
  nodesockd logs -f
  nodesockd logs -w 2 --since 10m --json";

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
    fn fill(&mut self, other: Self) {
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

#[cfg(test)]
mod tests;
