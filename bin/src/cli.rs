//! The command line: what can be typed, and what the help says about it.
//!
//! What scripts written for 2.x say works as well: options before the command, the same option twice (the last one holds),
//! `--maxAttempts` for `--max-attempts`, `--suspended=false` and `--no-suspended`. The help does not list these spellings.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use nodesockd_core::config::DevAddress;
use nodesockd_core::wire::Json;

use crate::VERSION;

pub use crate::setup::args::{
    CheckArgs, CompletionsArgs, DoctorArgs, InitArgs, ManArgs, Manager, NginxArgs, ServiceArgs,
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
    /// Goes by package.json: `start`, else `main`, else a usual name. Makes tmpDir for nginx's group, or says which
    /// commands do, and says what is left to do. Overwrites nothing; what is there already stays as it is.
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
    Nginx(NginxArgs),
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
    #[command(after_help = "Example:\n  nodesockd status --json")]
    Status(ReadArgs),
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
    #[command(after_help = "Example:\n  nodesockd restart --suspended && ./migrate && nodesockd resume")]
    Restart(RestartArgs),
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
            Self::Status(args) | Self::Config(args) => &mut args.target,
            Self::Start(args) => &mut args.target,
            Self::Restart(args) => &mut args.target,
            Self::Resume(target) | Self::Stop(target) | Self::Reload(target) | Self::Terminate(target) => {
                target
            }
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
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
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

/// A number and a unit of time: `5` and `5s`, `500ms`, `5m` and `5min`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "ms" => Some(Duration::from_millis(1)),
        "" | "s" => Some(Duration::from_secs(1)),
        "m" | "min" => Some(Duration::from_secs(60)),
        "h" => Some(Duration::from_secs(3600)),
        _ => None,
    };
    let count = number.parse::<u32>().ok().filter(|count| *count > 0);
    unit.zip(count).map(|(unit, count)| unit * count).ok_or_else(|| {
        "expected seconds (5 or 5s), milliseconds (500ms), minutes (5m) or hours (1h), more than none".into()
    })
}

/// Nothing, or `true` and `false` as in the configuration, or a port or address.
fn dev_server(text: &str) -> Result<DevServerArg, String> {
    match text {
        "" | "true" => Ok(DevServerArg::At(DevAddress::DEFAULT_PORT.into())),
        "false" => Ok(DevServerArg::Off),
        text => text.parse().map(DevServerArg::At).map_err(|error| format!("{error}")),
    }
}

fn at_least_one(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "expected a whole number from 1".to_owned())
}

/// How many slots.
fn slots(text: &str) -> Result<NonZeroU32, String> {
    if text == "0" {
        return Err("there is at least one slot; `nodesockd stop` stops all workers".to_owned());
    }
    at_least_one(text)
}

/// JSON, passed on as it was typed.
fn json(text: &str) -> Result<Json, String> {
    // Parsed from a line of its own, because a frame is one: line ends between tokens become spaces.
    let line: String = text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect();
    Json::parse(line.trim()).map_err(|error| {
        let hint = if line.trim().starts_with(['"', '{', '[']) {
            ""
        } else {
            "; a string needs double quotes inside the shell's quotes: '\"text\"'"
        };
        format!("not JSON: {error}{hint}")
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' '))?.into_command()
    }

    fn starting(line: &str) -> Starting {
        match parse(line) {
            Ok(Command::Client(ClientCommand::Start(args))) => args.starting,
            Ok(Command::Client(ClientCommand::Restart(args))) => args.starting,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_dev_server_has_a_port_or_a_default_or_none() {
        let daemon = |line: &str| match parse(line) {
            Ok(Command::Daemon(args)) => (args.dev_server, args.no_dev_server),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(daemon("nodesockd daemon"), (None, false));
        let port = |port: u16| (Some(DevServerArg::At(port.into())), false);
        for default in ["-d", "--dev-server", "--devServer", "--dev-server=", "--dev-server=true"] {
            assert_eq!(daemon(&format!("nodesockd daemon {default}")), port(8000), "{default}");
        }
        for given in
            ["-d 3000", "--dev-server=3000", "--devServer=3000", "-d 1 -d 3000", "--no-dev-server -d 3000"]
        {
            assert_eq!(daemon(&format!("nodesockd daemon {given}")), port(3000), "{given}");
        }
        let address = "0.0.0.0:3000".parse().unwrap();
        assert_eq!(daemon("nodesockd daemon -d 0.0.0.0:3000"), (Some(DevServerArg::At(address)), false));
        assert_eq!(daemon("nodesockd daemon --dev-server=false"), (Some(DevServerArg::Off), false));
        for none in ["--no-dev-server", "--no-devServer", "-d --no-dev-server"] {
            assert_eq!(daemon(&format!("nodesockd daemon {none}")), (None, true), "{none}");
        }
        assert!(parse("nodesockd daemon -d 70000").is_err());
    }

    #[test]
    fn a_time_out_has_a_unit() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for bad in ["", "0", "-1", "5d", "1.5", "ms"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn selectors_may_start_with_a_hyphen() {
        let Ok(Command::Client(ClientCommand::SendReq(args))) = parse("nodesockd send-req -w -3 ping -5")
        else {
            panic!()
        };
        assert_eq!(args.workers.as_deref(), Some("-3"));
        assert_eq!(args.data.map(|data| data.get().to_owned()).as_deref(), Some("-5"));
    }

    #[test]
    fn suspended_has_its_old_spelling() {
        for spelling in
            ["-s", "--suspended", "--suspend", "-s -s", "--suspended=true", "--no-suspended -s", "-su"]
        {
            assert!(starting(&format!("nodesockd restart {spelling}")).suspended, "{spelling}");
        }
        for spelling in
            ["", " --suspended=false", " --no-suspended", " -s --no-suspended", " -s --suspended=false"]
        {
            assert!(!starting(&format!("nodesockd restart{spelling}")).suspended, "{spelling}");
        }
    }

    #[test]
    fn repeated_options_count_once_and_names_may_be_in_camel_case() {
        for spelling in ["-m 3", "-m 2 -m 3", "--maxAttempts 3", "--maxAttempts=2 --max-attempts=3"] {
            let attempts = starting(&format!("nodesockd start {spelling}")).max_attempts;
            assert_eq!(attempts.map(NonZeroU32::get), Some(3), "{spelling}");
        }
        let upgrade = |line: &str| match parse(line) {
            Ok(Command::Client(ClientCommand::Restart(args))) => args.upgrade,
            other => panic!("{line}: {other:?}"),
        };
        assert!(upgrade("nodesockd restart -u") && upgrade("nodesockd restart --upgrade=true"));
        assert!(
            !upgrade("nodesockd restart -u --upgrade=false") && !upgrade("nodesockd restart --no-upgrade")
        );
    }

    #[test]
    fn options_for_any_command_may_stand_before_it() {
        let target = |line: &str| match parse(line) {
            Ok(Command::Client(mut command)) => command.target_mut().clone(),
            other => panic!("{line}: {other:?}"),
        };
        let before = target("nodesockd -c a.toml -i b.ipc --timeout 5 status");
        let after = target("nodesockd status -c a.toml -i b.ipc --timeout 5");
        assert_eq!(
            (before.config.as_deref(), before.ipc.as_deref()),
            (Some("a.toml".as_ref()), Some("b.ipc".as_ref()))
        );
        assert_eq!((before.config, before.ipc, before.timeout), (after.config, after.ipc, after.timeout));
        assert_eq!(target("nodesockd -c a stop -c b").config.as_deref(), Some("b".as_ref()));
        let Ok(Command::Daemon(args)) = parse("nodesockd -c a daemon") else { panic!() };
        assert_eq!(args.config.as_deref(), Some("a".as_ref()));
        for wrong in ["-i a daemon", "--timeout 5 check", "-c a init", "-c a man"] {
            let refused = parse(&format!("nodesockd {wrong}")).map(drop).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn no_slot_at_all_is_refused_with_what_to_do() {
        let refused = parse("nodesockd set-workers 0").map(drop).unwrap_err().to_string();
        assert!(refused.contains("`nodesockd stop` stops all workers"), "{refused}");
    }

    #[test]
    fn json_on_several_lines_is_one_line_afterwards() {
        assert_eq!(json("{\n  \"a\": 1\n}\n").unwrap().get(), "{   \"a\": 1 }");
        assert!(json("{\"a\": 1,}").unwrap_err().contains("line 1 column 9"));
    }
}
