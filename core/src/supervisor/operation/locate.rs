//! Finding the release that a new generation runs, before its workers are started.

use crate::action::Action;
use crate::event::Failure;
use crate::release::Release;
use crate::supervisor::pool::Pool;

use super::plan::Plan;
use super::replace::roll_out;
use super::{Kind, Operation, Operations, Phase, Progress, Requester, former};

/// Carries out a plan. Where all workers are replaced, the new ones are a generation of their own, of the release that the
/// configuration names now.
pub(super) fn begin(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    plan: Plan,
) {
    if !plan.replaces || plan.places.is_empty() {
        let generation = pool.generation.clone();
        return roll_out(pool, operations, kind, requesters, plan, generation);
    }
    operations.enter(pool, kind, requesters, Phase::Locating(Box::new(plan)));
    look_up(pool, operations);
}

/// Finds the release of the operation that waits for it.
pub(super) fn look_up(pool: &mut Pool, operations: &Operations) {
    if let Some(Phase::Locating(plan)) = operations.current().map(|operation| &operation.phase) {
        let (named, env_files) = (Release::named_by(&plan.config), plan.config.env_files.clone());
        pool.effects.order(Action::LocateRelease { named, env_files });
    }
}

/// The configuration names this release now: the operation that waits for it goes on.
pub(in crate::supervisor) fn located(
    pool: &mut Pool,
    operations: &mut Operations,
    named: Result<Release, Failure>,
) -> Progress {
    if let Some(Operation { kind, mut requesters, phase: Phase::Locating(plan) }) =
        operations.take_if(&mut pool.requests, |phase| matches!(phase, Phase::Locating(_)))
    {
        // Where the names lead nowhere, starting a worker fails, and says why.
        let named = named.ok();
        let suspension = plan.desired.suspension.as_ref();
        if former::refuse_without(pool, suspension, named.as_ref(), &mut requesters) {
            return Progress::Ended;
        }
        let generation = pool.next_generation(named);
        roll_out(pool, operations, kind, requesters, *plan, generation);
    }
    Progress::GoesOn
}

/// The release in force is still there, or it is not: then workers of its generation run what the configuration names now, which is
/// better than nothing. Where that leads nowhere either, starting a worker fails, and says why.
pub(in crate::supervisor) fn checked(pool: &mut Pool, stand_in: Option<Result<Release, Failure>>) {
    let generation = &mut pool.generation;
    let release = generation.release.as_ref();
    if let (Some(release), Some(Ok(named))) = (release, stand_in)
        && *release != named
    {
        tracing::warn!(
            "the release of generation {} is gone: {}; workers that are started for it run {}",
            generation.number,
            release.dir.display(),
            named.dir.display()
        );
        generation.release = Some(named);
    }
}
