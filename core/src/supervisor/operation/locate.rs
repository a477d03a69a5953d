//! Finding the release that a new generation runs, before its workers are started.

use crate::action::Action;
use crate::event::Failure;
use crate::release::Release;
use crate::supervisor::generation::Generation;
use crate::supervisor::pool::Pool;

use super::plan::Plan;
use super::replace::roll_out;
use super::{Kind, Operation, Operations, Phase, Requester};

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
    operations.enter(&mut pool.requests, kind, requesters, Phase::Locating(Box::new(plan)));
    look_up(pool, operations);
}

/// Finds the release of the operation that waits for it.
pub(super) fn look_up(pool: &mut Pool, operations: &Operations) {
    let Some(Phase::Locating(plan)) = operations.current().map(|operation| &operation.phase) else { return };
    let (named, env_files) = (Release::named_by(&plan.config), plan.config.env_files.clone());
    pool.effects.order(Action::LocateRelease { named, env_files, pinned: None });
}

/// The configuration names this release now. `gone`: the one in force is not there any more.
pub(in crate::supervisor) fn located(
    pool: &mut Pool,
    operations: &mut Operations,
    named: Result<Release, Failure>,
    gone: bool,
) {
    // Where the names lead nowhere either, starting a worker fails, and says why.
    if let (true, Ok(named)) = (gone, &named) {
        stand_in(&mut pool.generation, named);
    }
    if let Some(Operation { kind, requesters, phase: Phase::Locating(plan) }) =
        operations.take_locating(&mut pool.requests)
    {
        let generation = pool.generation.next(named.ok());
        roll_out(pool, operations, kind, requesters, *plan, generation);
    }
}

/// The release of the generation was removed: its workers run what the configuration names, which is better than nothing.
fn stand_in(generation: &mut Generation, named: &Release) {
    let release = generation.release.as_ref().filter(|release| *release != named);
    if let Some(release) = release {
        tracing::warn!(
            "the release of generation {} is gone: {}; workers that are started for it run {}",
            generation.number,
            release.dir.display(),
            named.dir.display()
        );
        generation.release = Some(named.clone());
    }
}
