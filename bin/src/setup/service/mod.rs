//! `service`: prints what a service manager needs to run the daemon of this app.

mod print;
mod systemd;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::config::{Config, Program};
use nodesockd_os::logical_cwd;
use rustix::fs::{Access, access};
use tokio::process::Command;

pub use print::print;

use crate::cli::{Manager, ServiceArgs};
use crate::configuration;
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::program::{installed, logical};
use crate::render;
use crate::setup::external::{ask, find};
use crate::setup::plain;

/// Where managers look for programs, for all we know: systemd's own list.
pub(crate) const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long `getent` and `id` may take.
const USER_LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// A margin for the daemon's own end.
const OWN_END: Duration = Duration::from_secs(5);

/// What there is to say about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The app's name, good for a file.
    pub name: String,
    /// The program, absolute.
    pub program: PathBuf,
    /// The working directory, absolute and logical.
    pub cwd: PathBuf,
    /// The configuration file, absolute and logical, if one was named.
    pub config: Option<PathBuf>,
    /// The control socket.
    pub ipc: PathBuf,
    /// Whom it runs as, where that is not whom the manager runs as.
    pub user: Option<String>,
    /// That user's home.
    pub home: Option<PathBuf>,
    /// `PATH`, if the workers' program is in none of the usual places.
    pub path: Option<String>,
    /// A graceful end takes no longer.
    pub stop: Duration,
}

/// Prints it.
///
/// # Errors
///
/// Exit code 3 if the configuration is invalid; 2 if there is no such user, or a name cannot be written.
pub async fn run(args: &ServiceArgs, console: &mut Console) -> Result<Exit, Failure> {
    let around = configuration::surroundings()?;
    let config = configuration::read(args.config.as_deref(), &around);
    let config = config.map_err(|problems| configuration::invalid(&problems))?;
    let service = describe(&config, args).await?;
    if service.user.is_none() {
        console.err.line(
            "warning: this service runs as root, and so do all workers; name the app's own user with --user",
        )?;
    }
    console.out.text(&print(args.manager, &service))?;
    Ok(Exit::Done)
}

async fn describe(config: &Config, args: &ServiceArgs) -> Result<Service, Failure> {
    let cwd = logical_cwd().map_err(|error| unknown("the working directory", &error))?;
    let user = match &args.user {
        Some(user) => Some(user.clone()),
        None => own_name().await,
    };
    let home = match &user {
        Some(user) => home(user).await?,
        None => None,
    };
    let service = Service {
        name: plain::name(&config.name, '-'),
        program: lasting(&cwd)?,
        config: args.config.as_ref().map(|path| cwd.join(path)),
        ipc: config.ipc_file.clone(),
        user,
        home,
        path: path_to(&config.program, &cwd),
        stop: config.options.longest_quit() + OWN_END,
        cwd,
    };
    writable(&service)?;
    Ok(service)
}

fn unknown(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Unexpected, format!("{what} is unknown: {error}"))
}

/// Where this program and later versions of it are. pnpm has the version in its folders, but not in the path by which its
/// launcher calls.
fn lasting(cwd: &Path) -> Result<PathBuf, Failure> {
    let file = std::env::current_exe().map_err(|error| unknown("the path of this program", &error))?;
    let versioned = file.components().any(|part| part.as_os_str() == ".pnpm");
    Ok(if versioned { installed(cwd) } else { logical(&file, cwd) })
}

/// Who runs this, unless that is root.
async fn own_name() -> Option<String> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    let answer = ask(Command::new("id").arg("-un"), USER_LOOKUP_LIMIT).await.ok()?;
    Some(answer.stdout.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Where a user is at home, if the system tells.
async fn home(user: &str) -> Result<Option<PathBuf>, Failure> {
    let Ok(answer) = ask(Command::new("getent").args(["--", "passwd", user]), USER_LOOKUP_LIMIT).await else {
        return Ok(None);
    };
    if !answer.status.success() {
        let message = format!("there is no user `{}`", render::word(user));
        let help = "create one for the app: `useradd --system --user-group NAME`";
        return Err(Failure::new(Exit::Usage, message).help(help));
    }
    Ok(answer.stdout.split(':').nth(5).map(PathBuf::from).filter(|home| home.is_absolute()))
}

/// The usual `PATH` and the folder in which the workers' program is found now, if that is needed.
fn path_to(program: &Program, cwd: &Path) -> Option<String> {
    let name = match program {
        Program::Script { node, .. } => node,
        Program::Command(argv) => argv.first()?,
    };
    let runs = |path: &Path| access(path, Access::EXEC_OK).is_ok();
    let usual = find(name, USUAL_PATH.as_ref(), cwd, runs);
    let found = find(name, &std::env::var_os("PATH")?, cwd, runs).filter(|_| usual.is_none())?;
    Some(format!("{}:{USUAL_PATH}", found.parent()?.display()))
}

/// No manager's file can hold every character.
fn writable(service: &Service) -> Result<(), Failure> {
    let Service { program, cwd, config, ipc, home, path, .. } = service;
    let paths = [Some(program), Some(cwd), config.as_ref(), Some(ipc), home.as_ref()];
    let texts = paths.into_iter().flatten().map(|path| path.to_str().ok_or_else(|| render::path(path)));
    let texts = texts.chain(path.as_deref().map(Ok));
    for text in texts {
        let text =
            text.and_then(
                |text| if text.contains(char::is_control) { Err(render::word(text)) } else { Ok(text) },
            );
        if let Err(shown) = text {
            let message = format!("the path {shown} cannot be written into a service's file");
            return Err(Failure::new(Exit::Usage, message)
                .help("rename what has control characters or no UTF-8 in it"));
        }
    }
    Ok(())
}

impl Service {
    /// The arguments that start the daemon.
    fn daemon(&self) -> Vec<String> {
        let mut words = vec![self.program.display().to_string(), "daemon".to_owned()];
        if let Some(config) = &self.config {
            words.extend(["-c".to_owned(), config.display().to_string()]);
        }
        words
    }

    /// What the daemon gets in its environment, beside what its manager sets.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables =
            vec![("PWD", self.cwd.display().to_string()), ("NODE_ENV", "production".to_owned())];
        variables.extend(self.path.clone().map(|path| ("PATH", path)));
        variables
    }

    /// The same, for managers that change the user and leave everything else as it was.
    fn environment_of_user(&self) -> Vec<(&'static str, String)> {
        let mut variables = self.environment();
        variables.extend(self.home.as_ref().map(|home| ("HOME", home.display().to_string())));
        variables
    }
}

impl Manager {
    fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Supervisord => "supervisord",
            Self::Daemontools => "daemontools",
            Self::Runit => "runit",
            Self::S6 => "s6",
        }
    }
}
