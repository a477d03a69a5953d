//! The last failure of all in a slot.

use crate::wire::FailedWorker;

/// The worker that failed last of those for slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct LastFailure {
    pub worker: FailedWorker,
    /// It had got ready before.
    pub was_ready: bool,
}
