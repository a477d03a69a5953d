//! Asks the installed program whether it could take over, before becoming it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nodesockd_core::event::Failure;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::handoff::handoff_file;

/// The argument that asks a program whether it could take over what it reads from its standard input.
pub const PREFLIGHT: &str = "--preflight";

/// At most this many bytes of its output are read, of each stream.
const OUTPUT_LIMIT: u64 = 16 << 10;

/// The answer of a program that can take over: one line of JSON on standard output, and exit status 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreflightReply {
    /// Its semantic version.
    pub version: String,
}

/// Runs `program` in `cwd` with [`PREFLIGHT`] after its usual arguments. Returns its version, or why it cannot take over.
pub(crate) async fn run(
    program: &Path,
    args: Vec<OsString>,
    cwd: &Path,
    handoff: io::Result<File>,
    limit: Duration,
) -> Result<String, Failure> {
    let cannot = |reason: String| Failure(format!("`{}` cannot take over: {reason}", program.display()));
    let handoff = handoff.map_err(|error| cannot(error.to_string()))?;
    let child = Command::new(program)
        .args(args)
        .arg(PREFLIGHT)
        .current_dir(cwd)
        .env_remove(handoff_file::VARIABLE)
        .stdin(Stdio::from(handoff))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| cannot(error.to_string()))?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let work = async { tokio::join!(child.wait(), read(out), read(errors)) };
    let Ok((status, out, errors)) = tokio::time::timeout(limit, work).await else {
        return Err(cannot(format!("it has not answered within {} s", limit.as_secs())));
    };
    let status = status.map_err(|error| cannot(error.to_string()))?;
    let said = errors.trim();
    match serde_json::from_str::<PreflightReply>(&out) {
        Ok(PreflightReply { version }) if status.success() => Ok(version),
        Ok(_) | Err(_) if !said.is_empty() => Err(cannot(said.to_owned())),
        Ok(_) | Err(_) => Err(cannot(format!("it does not answer as nodesockd does ({status})"))),
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(OUTPUT_LIMIT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The arguments of this process; the program that it becomes gets the same.
pub(crate) fn arguments() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}
