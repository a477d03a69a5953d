//! Loading the configuration from the file system.

use std::io;
use std::path::{Path, PathBuf};

use nodesockd_core::config::{self, Config, Problem, Sources, Start, Surroundings, load};
use nodesockd_os::{logical_cwd, read_text, usable_cpus};

use crate::exit::{Exit, Failure};

/// The variable with the path of the Node that has started this program (`node/lib/launcher.js`).
const NODE: &str = "NODESOCKD_NODE";

/// Files as they are.
#[derive(Debug)]
struct Files;

impl Sources for Files {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        read_text(path)
    }
}

/// What the configuration depends on besides its files.
///
/// # Errors
///
/// Exit code 1: there is no working directory.
pub fn surroundings() -> Result<Surroundings, Failure> {
    let cwd = logical_cwd()
        .map_err(|error| Failure::new(Exit::Unexpected, format!("there is no working directory: {error}")))?;
    Ok(Surroundings {
        cwd,
        cpus: usable_cpus(),
        node: std::env::var(NODE).ok().filter(|node| !node.is_empty()),
    })
}

/// The same, as seen from the root where the working directory was removed.
pub fn surroundings_or_root() -> Surroundings {
    surroundings().unwrap_or_else(|_| Surroundings { cwd: "/".into(), cpus: usable_cpus(), node: None })
}

/// Loads `file`, or the first one found.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn read(file: Option<&Path>, around: &Surroundings) -> Result<Config, Vec<Problem>> {
    load(file.map_or(Start::Search, Start::File), around, &mut Files)
}

/// The control socket that a configuration names, whatever else may be wrong with it.
#[must_use]
pub fn control_socket(file: Option<&Path>, around: &Surroundings) -> Option<PathBuf> {
    config::control_socket(file.map_or(Start::Search, Start::File), around, &mut Files)
}

/// The problems of a configuration as a command's failure, exit code 3.
#[must_use]
pub fn invalid(problems: &[Problem]) -> Failure {
    let messages = problems.iter().map(|problem| problem.render().trim_end().to_owned()).collect();
    Failure { exit: Exit::InvalidConfig, messages, help: None }
}
