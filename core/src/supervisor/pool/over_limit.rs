//! Who has come to a limit, and who is being replaced for that.

use std::collections::BTreeMap;

use crate::id::WorkerId;

/// Workers that have reached a limit.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct OverLimit {
    /// Those who wait for their turn, with the reason.
    pub waiting: BTreeMap<WorkerId, String>,
    /// The one that is being replaced.
    pub leaving: Option<WorkerId>,
}
