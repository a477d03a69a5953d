//! The symlink that a deploy has switched, and how it is switched back.

use crate::action::Action;
use crate::release::ReleaseLink;
use crate::supervisor::pool::Pool;

use super::Operations;
use super::deployment::Deployment;

/// The deploy in progress, if there is one, is given up: its symlink names again what it named before.
pub(super) fn undo(pool: &mut Pool, operations: &mut Operations) {
    if let Some(Deployment { link: Some(link), .. }) = operations.deployment.take()
        && !defect!(ReleaseLinkStays)
    {
        restore(pool, operations, link);
    }
}

/// The deploy in progress goes back, and has not ended: its symlink names again what it named before.
pub(super) fn go_back(pool: &mut Pool, operations: &mut Operations) {
    let link = operations.deployment.as_mut().and_then(|deployment| deployment.link.take());
    if let Some(link) = link.filter(|_| !defect!(ReleaseLinkStays)) {
        restore(pool, operations, link);
    }
}

/// Orders the symlink to name what it named before.
pub(in crate::supervisor) fn restore(pool: &mut Pool, operations: &mut Operations, link: ReleaseLink) {
    let ReleaseLink { path, before, after } = link.clone();
    tracing::info!("{} is to name {} again", path.display(), before.display());
    operations.restoring = Some(link);
    pool.effects.order(Action::SwitchReleaseLink { path, from: after, to: before });
}
