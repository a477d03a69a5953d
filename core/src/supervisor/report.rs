//! Outcomes that change nothing and are only told.

use crate::event::Failure;

/// Tells what the sweep of `tmpDir` found.
pub(super) fn sweep(result: Result<u32, Failure>) {
    match result {
        Ok(0) => {}
        Ok(count) => tracing::info!("removed {count} stale files that an earlier daemon left in tmpDir"),
        Err(failure) => tracing::warn!("cannot remove stale files from tmpDir: {failure}"),
    }
}

/// Tells that the dev server is not there.
pub(super) fn dev_server(result: Result<(), Failure>) {
    if let Err(failure) = result {
        tracing::warn!("{failure}");
    }
}

/// Tells whether log files were reopened.
pub(super) fn logs(result: Result<(), Failure>) {
    match result {
        Ok(()) => tracing::info!("log files reopened"),
        Err(failure) => tracing::warn!("log files not reopened, the old ones stay in use: {failure}"),
    }
}
