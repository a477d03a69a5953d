//! `daemon`: wires the supervisor to the real world.

use std::io::IsTerminal;

use nodesockd_core::Supervisor;
use nodesockd_core::backend::Backend as _;
use nodesockd_core::config::{Config, Problem, Surroundings};
use nodesockd_core::driver::Driver;
use nodesockd_core::release::Release;
use nodesockd_core::supervisor::{Daemon, Terminal};
use nodesockd_os::{
    Backend, HandoffFile, OpenError, Setup, locate_release, random_boot_id, service_manager, set_title,
    start_over,
};
use tokio::task::LocalSet;

use crate::VERSION;
use crate::cli::{DaemonArgs, DevServerArg};
use crate::configuration::{invalid, read, surroundings};
use crate::exit::{Exit, Failure};
use crate::logging::{self, Verbosity};
use crate::program::installed;
use crate::render::word;
use crate::setup::check::{Finding, obstacles};

/// Runs the daemon until it quits.
///
/// # Errors
///
/// Exit code 3 with everything that is wrong with the configuration, 1 if there can be no daemon here.
pub async fn run(args: DaemonArgs) -> Result<Exit, Failure> {
    let log = logging::start()?;
    let source = Source { around: surroundings()?, args };
    let config = source.load().map_err(|problems| invalid(&problems))?;
    let verbosity = logging::listen(log, config.debug);
    show_title(&config);
    if rustix::process::geteuid().is_root() {
        tracing::warn!("running as root: so do all workers; give the app a user of its own");
    }
    for Finding { message, help, .. } in obstacles(&config) {
        tracing::warn!("{message}; {}", help.unwrap_or_default());
    }
    LocalSet::new().run_until(supervise(config, source, verbosity)).await
}

async fn supervise(config: Config, source: Source, verbosity: Verbosity) -> Result<Exit, Failure> {
    let program = installed(&source.around.cwd);
    let load = Box::new(move || {
        let loaded = source.load();
        if let Ok(config) = &loaded {
            verbosity.set(config.debug);
            show_title(config);
        }
        loaded
    });
    let setup = Setup { config: config.clone(), load, program };
    let mut driver = match HandoffFile::received() {
        None => begin(config, setup)?,
        Some(handoff) => take_over(config, setup, handoff)?,
    };
    driver.run().await;
    driver.backend().close().await;
    tracing::info!("nodesockd has quit");
    Ok(Exit::Done)
}

/// A daemon's first program. It adopts the workers of an earlier daemon.
fn begin(config: Config, setup: Setup) -> Result<Driver<Backend>, Failure> {
    let backend = Backend::open(setup).map_err(|error| refused(&error))?;
    let daemon = identity(&config);
    tracing::info!("nodesockd {VERSION} runs `{}`, pid {}", word(&config.name), daemon.pid);
    Ok(Driver::adopt(config, daemon, backend))
}

/// The program that a daemon has become. What it cannot take over is adopted, as after a crash.
fn take_over(
    config: Config,
    setup: Setup,
    handoff: Result<HandoffFile, String>,
) -> Result<Driver<Backend>, Failure> {
    let taken = handoff.and_then(|handoff| match handoff.supervisor.refuses(&config) {
        Some(reason) => Err(reason),
        None => Backend::take_over(setup, handoff).map_err(|error| error.to_string()),
    });
    match taken {
        Ok((backend, left)) => {
            let daemon = identity(&config);
            let supervisor = Supervisor::take_over(config, daemon, left, backend.now());
            Ok(Driver::new(supervisor, backend))
        }
        Err(reason) => {
            tracing::error!("cannot take over from the program that ran before, starting over: {reason}");
            let error = start_over();
            Err(Failure::new(Exit::Unexpected, format!("cannot start over: {error}")))
        }
    }
}

/// As 2.x does: `pgrep -f 'shop daemon'` finds the daemon of the app `shop`.
fn show_title(config: &Config) {
    set_title(&format!("{} daemon", config.name));
}

fn identity(config: &Config) -> Daemon {
    Daemon {
        version: VERSION.to_owned(),
        pid: std::process::id(),
        boot: random_boot_id(),
        manager: service_manager(),
        // A folder that cannot be resolved is a worker that cannot be started: that says why.
        release: locate_release(&Release::named_by(config), &config.env_files).ok(),
        stderr: if std::io::stderr().is_terminal() { Terminal::Yes } else { Terminal::No },
    }
}

fn refused(error: &OpenError) -> Failure {
    let failure = Failure::new(Exit::Unexpected, error.to_string());
    if matches!(error, OpenError::TmpDir { .. } | OpenError::Lock { .. }) {
        return failure.help("`nodesockd init` makes such a folder, `nodesockd doctor` looks at one");
    }
    failure
}

/// Where the configuration comes from, at the start and at every reload.
#[derive(Debug)]
pub(crate) struct Source {
    pub around: Surroundings,
    pub args: DaemonArgs,
}

impl Source {
    /// Loads the configuration; what the command line says about the dev server wins.
    pub(crate) fn load(&self) -> Result<Config, Vec<Problem>> {
        let mut config = read(self.args.config.as_deref(), &self.around)?;
        match self.args.dev_server {
            _ if self.args.no_dev_server => config.dev_server = None,
            Some(DevServerArg::Off) => config.dev_server = None,
            Some(DevServerArg::At(address)) => config.dev_server = Some(address),
            None => {}
        }
        Ok(config)
    }
}
