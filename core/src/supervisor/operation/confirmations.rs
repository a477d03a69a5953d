//! Whose word a `resume` waits for.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::WorkerId;
use crate::time::Time;

/// How long a worker may take to confirm that it was resumed.
pub(super) const CONFIRM: Duration = Duration::from_secs(5);

/// A `resume` in progress.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Confirmations {
    /// Workers that were suspended and have not confirmed that they are not.
    pub waiting: BTreeSet<WorkerId>,
    /// Workers that were told, and cannot confirm anything.
    pub unconfirmed: Vec<WorkerId>,
    /// Nobody is waited for any longer.
    pub until: Time,
}

impl Confirmations {
    /// These workers have confirmed, or are gone.
    pub fn forget(&mut self, workers: &[WorkerId]) {
        for worker in workers {
            self.waiting.remove(worker);
        }
    }

    pub fn is_over(&self, now: Time) -> bool {
        self.waiting.is_empty() || self.until <= now || defect!(ResumeNotConfirmed)
    }
}
