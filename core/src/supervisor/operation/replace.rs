//! Replacing or adding workers as a set: start, swap, commit, or undo.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::history::Outcome;
use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::generation::Generation;
use crate::supervisor::pool::{Pool, boot, last_lines, links, retire, sockets, surplus};
use crate::supervisor::requests::Audience;
use crate::supervisor::slot::Slot;
use crate::supervisor::worker::{Place, Role, Worker};
use crate::wire::{BatchStatus, Body, Code, Reply, Stage};

use super::batches::{self, Batches, Former, Turn, Undoing};
use super::deployment::OldWorkers;
use super::failure::describe;
use super::go_back::{self, between};
use super::plan::Plan;
use super::requester::audience;
use super::rollout::{PendingWorker, Rollout, Swap};
use super::watch::{self, Watch};
use super::{
    Kind, Operation, Operations, Phase, Progress, Requester, answer, in_force, news, release_link,
    reply_to_all, retirement,
};

/// Starts the workers of a plan.
pub(super) fn roll_out(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    plan: Plan,
    generation: Generation,
) {
    operations.set_note(None);
    if generation != pool.generation {
        pool.ledger.brings_up(&generation);
    }
    let Plan { places, suspended, attempts, replaces, batch, desired, config } = plan;
    tracing::info!(
        "{} begins: {} new workers{}",
        kind.words(),
        places.len(),
        if suspended { ", suspended" } else { "" }
    );
    let batches = batch.map(|size| Box::new(Batches::new(size, attempts, Former::of(pool))));
    let (workers, failed) = Default::default();
    let rollout = Rollout { workers, suspended, replaces, desired, config, generation, failed, batches };
    if let Some(size) = batch {
        let turn = batches::turn(pool, &rollout.desired, &rollout.generation, size);
        if turn.ahead > 0 {
            return begin_batch(pool, operations, kind, requesters, rollout, turn);
        }
    }
    let rollout = Rollout { batches: None, ..rollout };
    start(pool, operations, kind, requesters, rollout, (places, attempts));
}

/// The next batch of a rollout begins.
pub(super) fn begin_batch(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    mut rollout: Rollout,
    turn: Turn,
) {
    let mut attempts = 1;
    if let Some(batches) = &mut rollout.batches {
        batches.begin(&turn);
        attempts = batches.attempts;
        let status = batches.status();
        let BatchStatus { number, of, back } = status;
        let way = if back { ", back to the former generation" } else { "" };
        tracing::info!("{}: batch {number} of {of}{way}: {} new workers", kind.words(), turn.places.len());
        news::part(pool, &requesters, &Body::Batch(status));
    }
    start(pool, operations, kind, requesters, rollout, (turn.places, attempts));
}

/// Starts workers for `places`, each so many times at most.
fn start(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    rollout: Rollout,
    (places, attempts): (Vec<Place>, u32),
) {
    // In place before the first worker is ordered, so that its progress finds the requesters.
    operations.enter(pool, kind, requesters, Phase::Starting(rollout));
    if let Some(Operation { phase: Phase::Starting(rollout), .. }) = &mut operations.current {
        for place in places {
            order(pool, rollout, place, attempts);
        }
    }
}

/// Orders a worker for a place of the rollout in progress.
fn order(pool: &mut Pool, rollout: &mut Rollout, place: Place, attempts: u32) {
    let slots = rollout.desired.slots.max(pool.desired.slots);
    let suspended = rollout.suspended || place == Place::Standby;
    let worker =
        boot::spawn(pool, Role::Joining(place), suspended, &rollout.config, &rollout.generation, slots);
    rollout.workers.push(PendingWorker {
        place,
        worker,
        attempts_left: attempts.saturating_sub(u32::from(!defect!(AttemptsNotCounted))),
    });
}

/// A worker of the rollout in progress failed.
pub(in crate::supervisor) fn worker_failed(
    pool: &mut Pool,
    operations: &mut Operations,
    id: WorkerId,
    reason: &str,
) -> Progress {
    pool.progress(id, Stage::Failed, Some(reason));
    match operations.current.as_mut().map(|operation| &mut operation.phase) {
        Some(Phase::Starting(rollout)) => {
            rollout.failed.push(last_lines::failed_worker(pool, id, reason));
            if again(pool, rollout, id) {
                return Progress::GoesOn;
            }
        }
        Some(Phase::Swapping(_, swap)) => {
            swap.failure.get_or_insert_with(|| format!("worker {}: {reason}", id.short()));
            return Progress::GoesOn;
        }
        Some(
            Phase::Reverting(..)
            | Phase::Between(..)
            | Phase::Watching(_)
            | Phase::RollingBack(_)
            | Phase::Loading { .. }
            | Phase::Locating(_)
            | Phase::Upgrading { .. }
            | Phase::Migrating
            | Phase::Resuming(_)
            | Phase::Retiring { .. },
        )
        | None => return Progress::GoesOn,
    }
    fail(pool, operations)
}

/// Gives a worker of the rollout up, and orders another one for its place. Returns whether the rollout can still succeed.
fn again(pool: &mut Pool, rollout: &mut Rollout, id: WorkerId) -> bool {
    let at = rollout.workers.iter().position(|pending| pending.worker == id);
    match at.map(|at| rollout.workers.remove(at)) {
        Some(PendingWorker { place, attempts_left, .. }) => {
            retire::retire(pool, id);
            if attempts_left > 0 {
                order(pool, rollout, place, attempts_left);
            }
            attempts_left > 0
        }
        // It had been given up before.
        None => true,
    }
}

/// A worker failed that had its place for good. If that is one of an earlier batch of the operation in progress, that has failed.
pub(in crate::supervisor) fn earlier_failed(
    pool: &mut Pool,
    operations: &mut Operations,
    id: WorkerId,
    reason: &str,
) -> Progress {
    let of = pool.workers.get(id).map(|worker| worker.start().generation);
    let ours = |rollout: &Rollout| {
        let forward = rollout.batches.as_ref().is_some_and(|batches| batches.back.is_none());
        forward && rollout.has_begun(pool) && of == Some(rollout.generation.number)
    };
    match operations.current.as_mut().map(|operation| &mut operation.phase) {
        Some(Phase::Starting(rollout) | Phase::Between(rollout, _)) if ours(rollout) => {
            rollout.failed.push(last_lines::failed_worker(pool, id, reason));
        }
        Some(Phase::Swapping(rollout, swap)) if ours(rollout) => {
            swap.failure.get_or_insert_with(|| format!("worker {}: {reason}", id.short()));
            return Progress::GoesOn;
        }
        Some(
            Phase::Starting(_)
            | Phase::Between(..)
            | Phase::Swapping(..)
            | Phase::Reverting(..)
            | Phase::Watching(_)
            | Phase::RollingBack(_)
            | Phase::Loading { .. }
            | Phase::Locating(_)
            | Phase::Upgrading { .. }
            | Phase::Migrating
            | Phase::Resuming(_)
            | Phase::Retiring { .. },
        )
        | None => return Progress::GoesOn,
    }
    fail(pool, operations)
}

/// The rollout in progress has failed, for those of its workers that have.
fn fail(pool: &mut Pool, operations: &mut Operations) -> Progress {
    match operations.take(&mut pool.requests) {
        Some(Operation {
            kind,
            requesters,
            phase: Phase::Starting(rollout) | Phase::Between(rollout, _),
        }) => abandon(pool, operations, kind, requesters, rollout, None),
        Some(_) | None => Progress::Ended,
    }
}

/// Orders all links to be swapped.
pub(in crate::supervisor) fn swap(pool: &mut Pool, rollout: &Rollout) -> Swap {
    let mut swap = Swap::default();
    for (slot, worker) in rollout.slots() {
        if let Some((owner, _)) = pool.owner(slot) {
            swap.before.insert(slot, owner);
            if defect!(RetireBeforeSwap) {
                retire::retire(pool, owner);
            }
        } else if let Some(neighbour) = pool.slots.get(slot).and_then(Slot::neighbour) {
            swap.neighbours.insert(slot, neighbour);
        }
        swap.pending.insert(slot);
        links::publish(pool, slot, worker, &rollout.config);
    }
    swap
}

/// A link was swapped, or swapped back, or could not be. Returns whether that is the rollout's business.
pub(in crate::supervisor) fn published(
    operations: &mut Operations,
    slot: SlotIndex,
    failure: Option<&str>,
) -> bool {
    match operations.current.as_mut().map(|operation| &mut operation.phase) {
        Some(Phase::RollingBack(rollback)) => {
            let ours = rollback.pending.remove(&slot);
            rollback.errors.extend(failure.filter(|_| ours).map(|reason| {
                format!(
                    "the link of slot {slot} could not be swapped back yet, which is tried again: {reason}"
                )
            }));
            false
        }
        Some(Phase::Swapping(_, swap) | Phase::Reverting(_, swap)) => {
            let ours = swap.pending.remove(&slot);
            if let Some(reason) = failure.filter(|_| ours && !defect!(SwapFailureIgnored)) {
                swap.failure
                    .get_or_insert_with(|| format!("the link of slot {slot} could not be swapped: {reason}"));
            }
            ours
        }
        Some(
            Phase::Starting(_)
            | Phase::Between(..)
            | Phase::Watching(_)
            | Phase::Loading { .. }
            | Phase::Locating(_)
            | Phase::Upgrading { .. }
            | Phase::Migrating
            | Phase::Resuming(_)
            | Phase::Retiring { .. },
        )
        | None => false,
    }
}

/// Orders links to name again whom they named before.
pub(in crate::supervisor) fn swap_back(pool: &mut Pool, rollout: &Rollout, swap: Swap) -> Swap {
    let Swap { before, neighbours, failure, .. } = swap;
    let mut pending = BTreeSet::new();
    let config = Arc::clone(&pool.config);
    for (slot, worker) in rollout.slots() {
        if pool.slots.get(slot).is_none_or(|slot| slot.owner() != Some(worker)) {
            continue;
        }
        let ready = |old: &&WorkerId| pool.workers.get(**old).is_some_and(Worker::is_ready);
        if let Some(old) = before.get(&slot).filter(ready) {
            links::publish(pool, slot, *old, &config);
        } else if let Some(neighbour) = neighbours.get(&slot).filter(ready) {
            links::lend(pool, slot, *neighbour);
        } else {
            continue;
        }
        pending.insert(slot);
    }
    Swap { pending, before, neighbours, failure }
}

/// The new workers serve: makes that official and retires the others. These finish beside what comes next, unless a
/// migration is being prepared: whoever waits for that wants to know that no active worker is left, and that none comes.
pub(in crate::supervisor) fn commit(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    rollout: Rollout,
) -> Progress {
    let Rollout { mut desired, config, generation, replaces, suspended, .. } = rollout.clone();
    if !kind.decides_about_suspension() && desired.is_suspended() != pool.desired.is_suspended() {
        // By the word of a worker of an earlier daemon, since this was asked for. The new workers are not as the app is.
        desired.suspension.clone_from(&pool.desired.suspension);
        pool.evidence = pool.evidence.disputed();
    }
    let before = in_force::put(pool, Former { generation, desired, config });
    let keeps = operations.taken_over(&before.generation, &pool.generation) == OldWorkers::Kept;
    pool.requests.tell_progress_to(Audience::OfAllWorkers(audience(&requesters)));
    for PendingWorker { place, worker, .. } in &rollout.workers {
        joins(pool, *place, *worker);
    }
    let new: BTreeSet<WorkerId> = rollout.workers.iter().map(|pending| pending.worker).collect();
    let ahead = rollout.batches.as_ref().is_some_and(|batches| {
        let turn = batches::turn(pool, &pool.desired, &pool.generation, batches.size);
        !turn.places.is_empty()
    });
    let goes = rollout.batches.as_ref().map(|_| {
        let slots = rollout.slots().map(|(slot, _)| slot);
        batches::replaced(pool, &new, slots, &pool.generation)
    });
    let back = rollout.batches.as_ref().is_some_and(|batches| batches.back.is_some());
    let watch = operations.watch_time().filter(|_| !suspended && !ahead && !back);
    let mut kept = BTreeSet::new();
    let mut others = pool.workers.ids();
    others.retain(|id| !new.contains(id));
    for id in others.iter().filter(|id| goes.as_ref().is_none_or(|goes| goes.contains(id))) {
        if replaces && !pool.owns_its_slot(*id) {
            if watch.is_some() && keeps && watch::set_aside(pool, *id) {
                kept.insert(*id);
            } else {
                retire::retire(pool, *id);
            }
        }
    }
    if before.config.name != pool.config.name {
        in_force::tell_name(pool);
    }
    surplus::retire_all_surplus(pool);
    pool.requests.tell_progress_to(Audience::Nobody);
    let rollout = match rollout.batches {
        // The way back has ended when nobody of the generation that was given up is left.
        Some(_) if ahead || back && !rollout.workers.is_empty() => {
            between(pool, operations, kind, requesters, rollout);
            return Progress::GoesOn;
        }
        Some(batches) if batches.back.is_some() => {
            return go_back::answer(pool, operations, kind, requesters, &batches, Vec::new());
        }
        Some(_) | None => rollout,
    };
    if let Some(time) = watch {
        let former =
            rollout.batches.as_ref().map_or(before.generation, |batches| batches.former.generation.clone());
        let watch = Watch { new, kept, former, until: pool.now() + time, batches: rollout.batches };
        operations.enter(pool, kind, requesters, Phase::Watching(watch));
        return Progress::GoesOn;
    }
    let leaving: BTreeSet<WorkerId> = others.into_iter().filter(|id| leaves(pool, *id)).collect();
    if suspended {
        operations.enter(pool, kind, requesters, Phase::Retiring { leaving });
        return Progress::GoesOn;
    }
    let mut requesters = requesters;
    if operations.migration().is_some() {
        answer::went_back(pool, operations, std::mem::take(&mut requesters), Vec::new());
    } else {
        pool.ended(Outcome::Done, None);
        if operations.deployment.take().is_some() {
            operations.last_deploy = Some(Reply::done(None));
        }
    }
    retirement::begin(pool, &mut operations.retirements, kind, requesters, leaving);
    Progress::Ended
}

/// A new worker gets its place for good.
fn joins(pool: &mut Pool, place: Place, worker: WorkerId) {
    pool.workers.change(worker, Worker::joined);
    match place {
        Place::Slot(slot) => {
            pool.slots.change(slot, |slot| slot.forget_failures());
            links::took_over(pool, slot, worker, None);
        }
        Place::Standby => {
            pool.standby_failures.succeeded();
            pool.progress(worker, Stage::Standby, None);
        }
    }
}

/// Whether a worker that a rollout found has no place after it.
fn leaves(pool: &Pool, id: WorkerId) -> bool {
    pool.workers.get(id).is_some_and(|worker| match worker.role() {
        _ if worker.is_gone() => false,
        Role::Retired { .. } => true,
        Role::Kept(_) => false,
        Role::Joining(Place::Slot(slot)) | Role::Holding(Place::Slot(slot)) => slot.0 >= pool.desired.slots,
        Role::Joining(Place::Standby) | Role::Holding(Place::Standby) => false,
    })
}

/// Gives a rollout up: what was there before stays. Where earlier batches have taken over, they are rolled back.
pub(in crate::supervisor) fn abandon(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    rollout: Rollout,
    failure: Option<String>,
) -> Progress {
    if defect!(FailedRestartKeepsConfig) {
        (pool.config, pool.desired) = (Arc::clone(&rollout.config), rollout.desired.clone());
    }
    if !defect!(AbandonedWorkersStay) {
        release(pool, &rollout);
    }
    let errors: Vec<String> = match failure {
        Some(failure) => vec![failure],
        None => rollout.failed.iter().map(describe).collect(),
    };
    let begun = rollout.has_begun(pool);
    let Rollout { failed, batches, .. } = rollout;
    if let Some(batches) = batches.filter(|_| begun) {
        return go_back::batch_failed(
            pool,
            operations,
            kind,
            requesters,
            *batches,
            Undoing { errors, failed },
        );
    }
    if operations.goes_back() {
        let why = format!("the old release cannot be started: {}", errors.join("; "));
        answer::stuck(pool, operations, requesters, &why);
        return Progress::Ended;
    }
    if kind == Kind::Rollback {
        answer::stays_suspended(pool, operations, &errors);
        return Progress::Ended;
    }
    release_link::undo(pool, operations);
    let words = errors.join("; ");
    tracing::warn!("{} failed, nothing has changed: {words}", kind.words());
    pool.ended(Outcome::Failed, Some(&words));
    let mut reply = Reply::failed(Some(Code::StartFailed), errors);
    reply.body = (!failed.is_empty()).then_some(Body::Failed(failed));
    if kind == Kind::Deploy {
        operations.last_deploy = Some(reply.clone());
    }
    reply_to_all(pool, requesters, &reply);
    Progress::Ended
}

/// Retires the workers of a rollout. A worker whose link could not be taken from it again is called broken, so that it
/// serves until that succeeds. What has come to a worker that a link has named is answered, unless the worker was not to
/// run yet.
pub(in crate::supervisor) fn release(pool: &mut Pool, rollout: &Rollout) {
    pool.remember_names(&rollout.config.socket_file);
    for PendingWorker { worker: id, .. } in &rollout.workers {
        let id = *id;
        // A standby of an earlier batch may have taken over a slot since.
        let owns = pool.owns_its_slot(id);
        let Some(worker) = pool.workers.get(id) else { continue };
        let served = worker.has_served();
        pool.workers.change(id, Worker::joined);
        if served && !rollout.desired.is_suspended() {
            links::resume(pool, id);
        } else if served {
            sockets::desert(pool, id);
        }
        if owns && pool.workers.get(id).is_some_and(Worker::is_ready) {
            let now = pool.now();
            pool.workers.change(id, |worker| worker.becomes_broken(now));
        } else {
            retire::retire(pool, id);
        }
    }
}
