//! `daemon`: wires the supervisor to the real world.

use nodesockd_core::Supervisor;
use nodesockd_core::backend::Clock;
use nodesockd_core::config::{Config, Problem, Surroundings};
use nodesockd_core::driver::Driver;
use nodesockd_core::supervisor::Daemon;
use nodesockd_os::{Backend, OpenError, Setup, random_boot_id, service_manager};
use tokio::task::LocalSet;

use crate::VERSION;
use crate::check::{Finding, obstacles};
use crate::cli::DaemonArgs;
use crate::configuration::{invalid, read, surroundings};
use crate::exit::{Exit, Failure};
use crate::logging::{self, Verbosity};

/// Runs the daemon until it quits.
///
/// # Errors
///
/// Exit code 3 with everything that is wrong with the configuration, 1 if there can be no daemon here.
pub async fn run(args: DaemonArgs) -> Result<Exit, Failure> {
    let source = Source { around: surroundings()?, args };
    let config = source.load().map_err(|problems| invalid(&problems))?;
    let verbosity = logging::start(config.debug);
    if rustix::process::geteuid().is_root() {
        tracing::warn!("running as root: so do all workers; give the app a user of its own");
    }
    for Finding { message, help, .. } in obstacles(&config) {
        tracing::warn!("{message}; {}", help.unwrap_or_default());
    }
    LocalSet::new().run_until(supervise(config, source, verbosity)).await
}

async fn supervise(config: Config, source: Source, verbosity: Verbosity) -> Result<Exit, Failure> {
    let load = Box::new(move || {
        let loaded = source.load();
        if let Ok(config) = &loaded {
            verbosity.set(config.debug);
        }
        loaded
    });
    let daemon = Daemon {
        version: VERSION.to_owned(),
        pid: std::process::id(),
        boot: random_boot_id(),
        manager: service_manager(),
    };
    let mut backend =
        Backend::open(Setup { config: config.clone(), load }).map_err(|error| refused(&error))?;
    tracing::info!("nodesockd {VERSION} runs `{}`, pid {}", config.name, daemon.pid);
    let left = backend.inherit(&config);
    let supervisor = Supervisor::adopt(config, daemon, left, backend.now());
    let mut driver = Driver::new(supervisor, backend);
    driver.run().await;
    driver.backend().close().await;
    tracing::info!("nodesockd has quit");
    Ok(Exit::Done)
}

fn refused(error: &OpenError) -> Failure {
    let failure = Failure::new(Exit::Unexpected, error.to_string());
    if matches!(error, OpenError::TmpDir { .. }) {
        return failure.help("`nodesockd init` makes such a folder, `nodesockd doctor` looks at one");
    }
    failure
}

/// Where the configuration comes from, at the start and at every reload.
#[derive(Debug)]
struct Source {
    around: Surroundings,
    args: DaemonArgs,
}

impl Source {
    /// Loads the configuration; what the command line says about the dev server wins.
    fn load(&self) -> Result<Config, Vec<Problem>> {
        let mut config = read(self.args.config.as_deref(), &self.around)?;
        if self.args.no_dev_server {
            config.dev_server = None;
        } else if self.args.dev_server.is_some() {
            config.dev_server = self.args.dev_server;
        }
        Ok(config)
    }
}
