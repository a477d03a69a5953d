//! Taking the operation in progress from phase to phase.

use crate::history::Outcome;
use crate::id::WorkerId;
use crate::supervisor::pool::{Pool, checks};

use super::{
    Kind, Operation, Operations, Phase, batch, begin, deploy, done, migrate, replace, resume, retirement,
    running,
};

/// Takes the operation in progress as far as it goes now, and what is left of earlier ones.
pub(in crate::supervisor) fn advance(pool: &mut Pool, operations: &mut Operations) {
    running::send_due(pool, operations);
    operations.no_longer_waits(pool);
    checks::watch(pool, operations.watched_path());
    let touched = pool.workers.touched();
    let gone = std::mem::take(&mut touched.gone);
    let resumed = std::mem::take(&mut touched.resumed);
    forget(operations, &gone, &resumed);
    retirement::advance(pool, &mut operations.retirements, &gone);
    while let Some(Operation { kind, requesters, phase }) = take_if_over(pool, operations) {
        match phase {
            Phase::Starting(rollout) => {
                let swap = replace::swap(pool, &rollout);
                let phase = Phase::Swapping(rollout, swap);
                operations.enter(pool, kind, requesters, phase);
            }
            Phase::Swapping(rollout, swap) if swap.failure().is_none() => {
                let rest = replace::commit(pool, operations, kind, requesters, rollout);
                deploy::tell_watch(pool, operations);
                begin::next_if_ended(pool, operations, rest);
            }
            Phase::Swapping(rollout, swap) => {
                let swap = replace::swap_back(pool, &rollout, swap);
                let phase = Phase::Reverting(rollout, swap);
                operations.enter(pool, kind, requesters, phase);
            }
            Phase::Reverting(rollout, swap) => {
                let failure = swap.into_failure();
                let rest = replace::abandon(pool, operations, kind, requesters, rollout, failure);
                begin::next_if_ended(pool, operations, rest);
            }
            Phase::Between(rollout, leaving) => {
                let rest = batch::next(pool, operations, kind, requesters, rollout, leaving);
                deploy::tell_watch(pool, operations);
                begin::next_if_ended(pool, operations, rest);
            }
            Phase::Watching(watch) => {
                deploy::confirm(pool, operations, kind, requesters, &watch);
                begin::next(pool, operations);
            }
            Phase::RollingBack(rollback) => {
                let rest = deploy::rolled_back(pool, operations, kind, requesters, rollback);
                begin::next_if_ended(pool, operations, rest);
            }
            Phase::Resuming(confirmations) if kind == Kind::Deploy => {
                let rest = migrate::resumed(pool, operations, requesters, &confirmations);
                deploy::tell_watch(pool, operations);
                begin::next_if_ended(pool, operations, rest);
            }
            Phase::Resuming(confirmations) => {
                resume::answer(pool, requesters, &confirmations);
                begin::next(pool, operations);
            }
            Phase::Retiring { .. } if kind == Kind::Deploy => {
                migrate::nobody_is_active(pool, operations, requesters);
            }
            Phase::Retiring { .. } => {
                tracing::info!("{} is complete", kind.words());
                pool.ended(Outcome::Done, None);
                requesters.into_iter().for_each(|requester| done(pool, requester));
                begin::next(pool, operations);
            }
            phase @ (Phase::Loading { .. }
            | Phase::Locating(_)
            | Phase::Upgrading { .. }
            | Phase::Migrating) => {
                return operations.enter(pool, kind, requesters, phase);
            }
        }
    }
}

/// Takes the operation in progress if nothing has to happen any more for its phase to end.
fn take_if_over(pool: &mut Pool, operations: &mut Operations) -> Option<Operation> {
    let phase = &operations.current()?.phase;
    // What was stopped is not at rest before its migration has ended.
    let called_off = operations.command.is_some() && matches!(phase, Phase::Retiring { .. });
    let over = !called_off && is_over(pool, phase);
    if over { operations.take(&mut pool.requests) } else { None }
}

/// Nothing has to happen any more for the phase to end.
fn is_over(pool: &Pool, phase: &Phase) -> bool {
    match phase {
        Phase::Starting(rollout) => rollout.can_swap(pool),
        Phase::Swapping(_, swap) | Phase::Reverting(_, swap) => swap.is_complete(),
        Phase::Between(_, leaving) => {
            leaving.workers.is_empty() || leaving.until <= pool.now() || defect!(BatchNotWaitedFor)
        }
        Phase::Watching(watch) => watch.until <= pool.now() && !checks::owed(pool, watch.until),
        Phase::RollingBack(rollback) => rollback.pending.is_empty(),
        Phase::Resuming(confirmations) => confirmations.is_over(pool.now()),
        Phase::Retiring { leaving } => leaving.is_empty() || defect!(CompleteBeforeOldGone),
        Phase::Loading { .. } | Phase::Locating(_) | Phase::Upgrading { .. } | Phase::Migrating => false,
    }
}

/// Nobody has to wait any more for workers that are gone, or have confirmed that they were resumed.
fn forget(operations: &mut Operations, gone: &[WorkerId], resumed: &[WorkerId]) {
    if let Some(Operation { phase: Phase::Retiring { leaving }, .. }) = &mut operations.current {
        for id in gone {
            leaving.remove(id);
        }
    }
    if let Some(Operation { phase: Phase::Between(_, leaving), .. }) = &mut operations.current {
        for id in gone {
            leaving.workers.remove(id);
        }
    }
    if let Some(Operation { phase: Phase::Resuming(confirmations), .. }) = &mut operations.current {
        confirmations.forget(gone);
        confirmations.forget(resumed);
    }
}
