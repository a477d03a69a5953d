//! The order of exits and looks at other processes.
//!
//! To find what a dead worker has left behind takes a look at all processes. One look serves for all workers that had
//! exited before it began, so that many deaths at once do not cost as many looks.

use std::sync::atomic::{AtomicU64, Ordering};

/// A point in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Later than every moment before.
    pub(crate) fn now() -> Self {
        static LATEST: AtomicU64 = AtomicU64::new(0);
        Self(LATEST.fetch_add(1, Ordering::Relaxed))
    }
}
