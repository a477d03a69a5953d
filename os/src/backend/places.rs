//! The folders and files that a daemon needs for itself, before anything else.

use std::path::{Path, PathBuf};

use nodesockd_core::config::{Companion, Config};

use crate::error::OpenError;
use crate::files::lock::{Lock, Refused};
use crate::files::state_file::StateFile;
use crate::files::tmp_dir::TmpDir;
use crate::processes::survivors;
use crate::processes::survivors::Places;
use crate::processes::worker_locks::WorkerLocks;

/// The lock of the daemon whose control socket is `ipc_file`.
pub(super) fn take_lock(ipc_file: &Path) -> Result<Lock, OpenError> {
    let file = Companion::Lock.path(ipc_file);
    Lock::acquire(&file, ipc_file).map_err(|refused| match refused {
        Refused::Held(holder) => OpenError::Locked { pid: holder.map(|holder| holder.pid), file },
        Refused::Unusable(reason) => OpenError::Lock { file, reason },
    })
}

/// The folder of links and sockets, if that and `tmpDir` can be trusted.
pub(super) fn open_folders(config: &Config) -> Result<TmpDir, OpenError> {
    let open = |path: &PathBuf| {
        TmpDir::open(path).map_err(|reason| OpenError::TmpDir { path: path.clone(), reason })
    };
    let tmp_dir = open(&config.tmp_dir)?;
    config.separate_socket_dir().map_or(Ok(tmp_dir), |path| open(&path))
}

/// Workers that an earlier daemon left are reached through links in the folder that it used. Those of another folder
/// would lead nowhere.
pub(super) fn expect_survivors_in(sockets: &TmpDir, config: &Config) -> Result<(), OpenError> {
    let Some(state) = StateFile::beside(&config.ipc_file).read() else { return Ok(()) };
    let from = state.socket_dir.clone().unwrap_or_else(|| config.tmp_dir.clone());
    if from == config.socket_dir {
        return Ok(());
    }
    let locks = WorkerLocks::beside(&config.ipc_file);
    let places = Places { ipc_file: &config.ipc_file, sockets, socket_file: &config.socket_file };
    let survivors = survivors::find(&places, Some(&state), &locks);
    let pids: Vec<u32> = survivors.iter().map(|survivor| survivor.process.pid).collect();
    if pids.is_empty() { Ok(()) } else { Err(OpenError::Moved { from, to: config.socket_dir.clone(), pids }) }
}
