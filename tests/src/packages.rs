//! Projects for Node with many packages of their own, which npm brings: they are installed once, below `target/matrix`, and used again by the
//! next run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::root;

/// The sources of a project.
#[must_use]
pub fn sources(project: &str) -> PathBuf {
    root().join("bench/apps/matrix").join(project)
}

/// Where a project is installed, and built.
#[must_use]
pub fn folder(project: &str) -> PathBuf {
    root().join("target/matrix").join(project)
}

/// Installs what the lock file of a project names, unless that is there.
///
/// # Errors
///
/// What npm says.
pub fn install(project: &str) -> Result<(), String> {
    let (sources, folder) = (sources(project), folder(project));
    let (wanted, installed) =
        (sources.join("package-lock.json"), folder.join("node_modules/package-lock.json"));
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(said)?;
    // Tests run side by side.
    let alone = File::create(folder.join("lock")).map_err(said)?;
    alone.lock().map_err(said)?;
    if fs::read(&wanted).ok() == fs::read(&installed).ok() {
        return Ok(());
    }
    for name in ["package.json", "package-lock.json"] {
        fs::copy(sources.join(name), folder.join(name)).map_err(said)?;
    }
    done(
        Command::new("npm").args(["ci", "--loglevel=error", "--no-audit", "--no-fund"]).current_dir(&folder),
    )?;
    fs::copy(wanted, installed).map(drop).map_err(said)
}

/// Runs a command that has to succeed.
///
/// # Errors
///
/// What it says.
pub fn done(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {}", Path::new(command.get_program()).display(), said.trim()))
    }
}
