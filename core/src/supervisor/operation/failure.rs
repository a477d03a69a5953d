//! Which worker has failed, and how, in words.

use crate::config::Output;
use crate::id::WorkerId;
use crate::supervisor::pool::Pool;
use crate::supervisor::worker::Worker;
use crate::wire::FailedWorker;

pub(super) fn failed_worker(pool: &Pool, id: WorkerId, reason: &str) -> FailedWorker {
    let worker = pool.workers.get(id);
    let stderr = worker.and_then(|worker| match &worker.start().stderr {
        Output::File(path) => Some(path.to_string_lossy().into_owned()),
        Output::Inherit | Output::Discard => None,
    });
    FailedWorker { id, idx: worker.and_then(Worker::slot), reason: reason.to_owned(), stderr }
}

/// A worker that had its place already, and how it has failed.
pub(super) fn describe_in_place(failed: &FailedWorker) -> String {
    let place = failed.idx.map_or_else(|| "as a standby".to_owned(), |slot| format!("in slot {slot}"));
    format!("worker {} {place}: {}", failed.id.short(), failed.reason)
}

pub(super) fn describe(failed: &FailedWorker) -> String {
    match failed.idx {
        Some(slot) => format!("worker {} for slot {slot}: {}", failed.id.short(), failed.reason),
        None => format!("standby {}: {}", failed.id.short(), failed.reason),
    }
}
