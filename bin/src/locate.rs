//! Finding the daemon.

use std::path::PathBuf;

use crate::cli::Target;
use crate::configuration;
use crate::exit::Failure;

/// The socket of the daemon that `target` means: the one it names, else `ipcFile` of the configuration.
///
/// # Errors
///
/// Exit code 3 with everything that is wrong with the configuration.
pub fn socket(target: &Target) -> Result<PathBuf, Failure> {
    if let Some(path) = &target.ipc {
        return Ok(path.clone());
    }
    let around = configuration::surroundings()?;
    let config = configuration::read(target.config.as_deref(), &around);
    Ok(config.map_err(|problems| configuration::invalid(&problems))?.ipc_file)
}
