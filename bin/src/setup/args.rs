//! Arguments of the commands that help to set up: they need no daemon.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::setup::proxy::fastcgi::{self, Script};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(short, long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `init`.
#[derive(Debug, Default, Args)]
pub struct InitArgs {
    /// The folder for sockets, in a new configuration; unless given, `run` in this folder, or /run/NAME for root
    #[arg(long, value_name = "PATH")]
    pub tmp_dir: Option<PathBuf>,
    /// Whom the daemon and its workers are to run as; whoever runs this command unless given, or for root the owner
    /// of this folder
    #[arg(long, value_name = "USER", value_parser = user)]
    pub user: Option<String>,
}

/// Arguments of `doctor`.
#[derive(Debug, Default, Args)]
pub struct DoctorArgs {
    /// The configuration file
    #[arg(short, long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// What `nginx -T` has printed (`-` is standard input); it is run unless given
    #[arg(long, value_name = "FILE")]
    pub nginx: Option<PathBuf>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `nginx`, and of `proxy` for each front.
#[derive(Debug, Default, Args)]
pub struct FrontArgs {
    /// The configuration file
    #[arg(short, long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The name under which the app is reached; any unless given
    #[arg(long, value_name = "NAME", conflicts_with = "check")]
    pub server_name: Option<String>,
    /// Where the front listens, as it spells it; may be repeated; port 80 unless given
    #[arg(long, value_name = "ADDRESS", conflicts_with = "check")]
    pub listen: Vec<String>,
    /// Workers speak FastCGI, such as php-fpm: the script that answers all requests
    #[arg(long, value_name = "SCRIPT", conflicts_with = "check", value_parser = fastcgi::script)]
    pub fastcgi: Option<Script>,
    /// Compare the configuration there is, or the one in FILE (`-` is standard input)
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub check: Option<Option<PathBuf>>,
    /// Print the findings as one line of JSON
    #[arg(long, requires = "check")]
    pub json: bool,
}

/// Arguments of `proxy`.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// What is in front of the app
    #[arg(value_name = "FRONT")]
    pub front: Front,
    /// The rest.
    #[command(flatten)]
    pub args: FrontArgs,
}

/// A server in front of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Front {
    /// nginx: the same as the command `nginx`.
    Nginx,
    /// Caddy, from version 2.6.
    Caddy,
    /// `HAProxy`, from version 2.4.
    Haproxy,
}

/// Arguments of `service`.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// Who is to start the daemon, and start it again
    #[arg(value_name = "MANAGER")]
    pub manager: Manager,
    /// The configuration file, if the daemon is not to look for it in the working directory
    #[arg(short, long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Whom the daemon and its workers run as; whoever runs this command unless given
    #[arg(long, value_name = "USER", value_parser = user)]
    pub user: Option<String>,
}

/// A service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Manager {
    /// A unit for systemd.
    Systemd,
    /// A section for supervisord.
    Supervisord,
    /// A run script for daemontools.
    Daemontools,
    /// A run script for runit.
    Runit,
    /// A run script for s6.
    S6,
}

/// A user's name, as the system's tools allow it.
fn user(name: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.starts_with('-') || !name.chars().all(allowed) {
        return Err("expected a user's name: letters, digits, dots, hyphens".into());
    }
    Ok(name.to_owned())
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this folder, instead of the page about `nodesockd` to standard output
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}
