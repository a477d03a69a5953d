//! Finding the daemon.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nodesockd_core::config::Problem;

use crate::cli::Target;
use crate::configuration;
use crate::exit::Failure;
use crate::out::Console;

/// The socket of the daemon that `target` means: the one it names, else `ipcFile` of the configuration. A configuration
/// that has become invalid since the daemon started is no reason not to ask the daemon: that is said, and no more.
///
/// # Errors
///
/// Exit code 3 with everything that is wrong with the configuration, if no daemon is found by what can be read of it.
pub fn socket(target: &Target, console: &mut Console) -> Result<PathBuf, Failure> {
    if let Some(path) = &target.ipc {
        return Ok(path.clone());
    }
    let around = configuration::surroundings()?;
    let file = target.config.as_deref();
    let problems = match configuration::read(file, &around) {
        Ok(config) => return Ok(config.ipc_file),
        Err(problems) => problems,
    };
    let Some(path) = configuration::control_socket(file, &around).filter(|path| answers(path)) else {
        return Err(configuration::invalid(&problems));
    };
    console.err.line(&warning(&problems))?;
    Ok(path)
}

/// The control socket that `target` means, whether a daemon listens there or not. What else is wrong with the configuration does not
/// matter, nor does a working directory that was removed, where the configuration has an absolute path.
///
/// # Errors
///
/// See [`socket`].
pub fn control_socket(target: &Target) -> Result<PathBuf, Failure> {
    let file = target.config.as_deref();
    let around = match (&target.ipc, file) {
        (Some(path), _) => return Ok(path.clone()),
        (None, Some(file)) if file.is_absolute() => configuration::surroundings_or_root(),
        (None, _) => configuration::surroundings()?,
    };
    match configuration::read(file, &around) {
        Ok(config) => Ok(config.ipc_file),
        Err(problems) => {
            configuration::control_socket(file, &around).ok_or_else(|| configuration::invalid(&problems))
        }
    }
}

/// Whether a daemon listens there. One that we may not ask does.
fn answers(path: &Path) -> bool {
    let is_socket = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket && nodesockd_os::listens(path).unwrap_or(true)
}

fn warning(problems: &[Problem]) -> String {
    let first = problems.first().map(ToString::to_string).unwrap_or_default();
    let more = match problems.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    format!(
        "warning: the configuration is invalid, the daemon goes on with the one that it has: {first}{more}"
    )
}
