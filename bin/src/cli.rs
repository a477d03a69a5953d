//! The command line: what can be typed, and what the help says about it.
//!
//! What scripts written for 2.x say works as well: options before the command, the same option twice (the last one holds),
//! `--maxAttempts` for `--max-attempts`, `--suspended=false` and `--no-suspended`. The help does not list these spellings.

mod args;
mod values;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::VERSION;

pub use args::{
    DaemonArgs, DeployArgs, DevServerArg, HistoryArgs, LogsArgs, ReadArgs, RestartArgs, SendMsgArgs,
    SendReqArgs, SetStandbyArgs, SetWorkersArgs, Since, StartArgs, Starting, StatusArgs, Target, Then,
};

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

#[cfg(test)]
mod tests;
