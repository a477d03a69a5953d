//! Trying the installed program before becoming it.

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

use crate::parcel;

/// The argument that asks a program whether it could take over what it reads from its standard input.
pub const PREFLIGHT: &str = "--preflight";

/// How much of what it says is listened to.
const HEARD: u64 = 16 << 10;

/// What a program answers that could take over: one line of JSON on standard output, and exit status 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fit {
    /// Its version, semantic.
    pub version: String,
}

/// Runs `program` in `cwd` as it would be run, but for [`PREFLIGHT`], and returns its version, or why it will not do.
pub(crate) async fn run(
    program: &Path,
    args: Vec<OsString>,
    cwd: &Path,
    parcel: io::Result<File>,
    limit: Duration,
) -> Result<String, Failure> {
    let cannot = |reason: String| Failure(format!("`{}` cannot take over: {reason}", program.display()));
    let parcel = parcel.map_err(|error| cannot(error.to_string()))?;
    let child = Command::new(program)
        .args(args)
        .arg(PREFLIGHT)
        .current_dir(cwd)
        .env_remove(parcel::VARIABLE)
        .stdin(Stdio::from(parcel))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| cannot(error.to_string()))?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let work = async { tokio::join!(child.wait(), hear(out), hear(errors)) };
    let Ok((status, out, errors)) = tokio::time::timeout(limit, work).await else {
        return Err(cannot(format!("it has not answered within {} s", limit.as_secs())));
    };
    let status = status.map_err(|error| cannot(error.to_string()))?;
    let said = errors.trim();
    match serde_json::from_str::<Fit>(&out) {
        Ok(Fit { version }) if status.success() => Ok(version),
        Ok(_) | Err(_) if !said.is_empty() => Err(cannot(said.to_owned())),
        Ok(_) | Err(_) => Err(cannot(format!("it does not answer as nodesockd does ({status})"))),
    }
}

async fn hear(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What cannot be read was not said.
        let _ = pipe.take(HEARD).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What this process was started with, and the program it becomes as well.
pub(crate) fn arguments() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}
