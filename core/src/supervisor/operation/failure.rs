//! Which worker has failed, and how, in words.

use crate::wire::FailedWorker;

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
