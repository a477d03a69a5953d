//! What a deploy in progress is about.

use std::time::Duration;

use crate::release::ReleaseLink;

/// A deploy, from its request until its end.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Deployment {
    /// For how long the new workers are watched, and the old ones kept.
    pub watch: Duration,
    /// The symlink that it has switched, or is about to.
    pub link: Option<ReleaseLink>,
    /// The new workers have taken over.
    pub swapped: bool,
}
