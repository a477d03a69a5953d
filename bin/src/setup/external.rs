//! Asking other programs: nginx, systemctl, Node.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::render;

/// Bytes of each stream that are read.
const READ: u64 = 64 << 20;

/// What a program said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its output.
    pub(crate) stdout: String,
    /// What it complained of.
    pub(crate) stderr: String,
}

/// Runs a program to its end.
///
/// # Errors
///
/// Why it cannot be run, or that it did not end within `patience`.
pub(crate) async fn ask(command: &mut Command, patience: Duration) -> Result<Answer, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = async { tokio::join!(child.wait(), text(stdout), text(stderr)) };
    match tokio::time::timeout(patience, ended).await {
        Ok((Ok(status), stdout, stderr)) => Ok(Answer { status, stdout, stderr }),
        Ok((Err(error), _, _)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {}", render::span(patience))),
    }
}

async fn text(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let _ = stream.take(READ).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The file that executing `name` would run, with `path` as `PATH` and `cwd` as working directory (`execvp(3)`), by
/// someone who may execute what `runs` says.
pub(crate) fn find(name: &str, path: &OsStr, cwd: &Path, runs: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let runs = |path: &PathBuf| path.is_file() && runs(path);
    if name.contains('/') {
        return Some(cwd.join(name)).filter(runs);
    }
    std::env::split_paths(path).map(|folder| cwd.join(folder).join(name)).find(runs)
}
