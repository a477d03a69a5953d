//! Telling workers who leads, and which slot they serve.

use std::collections::BTreeSet;

use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::leadership::{Reign, Step};
use crate::supervisor::worker::{Place, Role, Worker};
use crate::wire::ToWorker;

use super::Pool;

/// Ends what has to end, and chooses who leads if nobody does. `slots`: those that have changed.
pub(in crate::supervisor) fn settle(pool: &mut Pool, slots: &BTreeSet<SlotIndex>) {
    for index in slots {
        note_candidate(pool, *index);
    }
    forget_gone(pool);
    if let Some(reign) = pool.leadership.reign()
        && !may_go_on(pool, reign)
        && may_be_ended(pool, reign)
    {
        pool.leadership.ends();
    }
    let now = pool.now();
    for id in pool.leadership.untold() {
        if pool.workers.get(id).is_some_and(Worker::is_reachable) {
            let term = pool.leadership.told_off(now, id);
            pool.tell(id, ToWorker::Leader { leads: false, term });
        }
    }
    while let Some((slot, id)) = pool.leadership.next() {
        // A slot that there is no more is not among those that have changed.
        if note_candidate(pool, slot) == Some(id) {
            pool.leadership.choose(now, id);
        }
    }
}

/// Notes who could lead because it serves this slot.
fn note_candidate(pool: &mut Pool, index: SlotIndex) -> Option<WorkerId> {
    let able = |(id, owner): &(WorkerId, &Worker)| {
        let serves = owner.is_healthy() && owner.can_serve();
        serves && owner.can_lead() && may_go_on(pool, Reign { worker: *id, step: Step::Chosen })
    };
    let candidate = pool.owner(index).filter(able).map(|(id, _)| id);
    pool.leadership.set_candidate(index, candidate);
    candidate
}

/// Whoever is dead does not lead. What a wrapper has started is dead when what is left of its group was killed.
fn forget_gone(pool: &mut Pool) {
    for id in pool.leadership.concerned() {
        if pool.workers.get(id).is_none_or(Worker::is_gone) && pool.leadership.is_gone(id) {
            tracing::info!(worker = %id.short(), "worker that led is gone");
        }
    }
}

/// Whether the worker that leads, or is about to, may go on. A worker that asks to be replaced leads until it is; one that
/// hangs does not.
fn may_go_on(pool: &Pool, Reign { worker: id, step }: Reign) -> bool {
    pool.workers.get(id).is_some_and(|worker| {
        let holds = matches!(worker.role(), Role::Holding(Place::Slot(slot)) if pool.is_wanted(slot));
        let serves = holds && worker.is_ready() && !worker.hangs();
        let active = !worker.is_suspended() && !pool.desired.is_suspended() || defect!(SuspendedLeads);
        // One that was told nothing could not be told later either.
        let hears = step != Step::Chosen || worker.is_reachable();
        serves && active && hears
    })
}

/// One that cannot be told leads until it can, or is gone. By then it may have its place again, as when a deploy goes back.
fn may_be_ended(pool: &Pool, Reign { worker: id, step }: Reign) -> bool {
    step == Step::Chosen || pool.workers.get(id).is_some_and(Worker::is_reachable)
}

/// The state file says what it was told to say, and so whoever was chosen may be told.
pub(in crate::supervisor) fn recorded(pool: &mut Pool) {
    let goes_on = pool.leadership.reign().is_some_and(|reign| may_go_on(pool, reign));
    if goes_on && let Some((id, term)) = pool.leadership.recorded() {
        let slot = pool.workers.get(id).and_then(Worker::slot).map(|slot| slot.0);
        tracing::info!(worker = %id.short(), slot, "worker leads");
        pool.tell(id, ToWorker::Leader { leads: true, term });
    }
}

/// A worker answered whether it leads.
pub(in crate::supervisor) fn answered(pool: &mut Pool, id: WorkerId, leads: bool, term: u64) {
    if pool.leadership.answers(id, leads, term) {
        tracing::info!(worker = %id.short(), "worker does not lead any more");
    }
}

/// A worker has reported, perhaps to another daemon than before. `leads`: what it believes, if it understands such words.
pub(in crate::supervisor) fn reported(pool: &mut Pool, id: WorkerId, leads: Option<bool>) {
    // An earlier daemon may have died between link and word.
    let reunited = pool.workers.get(id).is_some_and(|worker| worker.connection().is_some());
    if reunited && pool.owns_its_slot(id) {
        tell_slot(pool, id);
    }
    pool.leadership.reports(id, leads);
    let goes_on = pool.leadership.reign().is_some_and(|reign| may_go_on(pool, reign));
    if leads.is_some() && pool.leadership.leads(id) && goes_on {
        let now = pool.now();
        let term = pool.leadership.repeats(now);
        pool.tell(id, ToWorker::Leader { leads: true, term });
    }
}

/// Nobody knows who leads of the workers that an earlier daemon has left, nor which of them can be told so: each of them may.
pub(in crate::supervisor) fn suspect_all(pool: &mut Pool) {
    let everybody = pool.workers.ids();
    pool.leadership.suspects(everybody);
}

/// Tells a worker which slot it serves. One that was started for a slot knows it from its environment.
pub(in crate::supervisor) fn tell_slot(pool: &mut Pool, id: WorkerId) {
    let hears = |worker: &&Worker| worker.can_lead() && worker.is_reachable();
    let slot = pool.workers.get(id).filter(hears).and_then(Worker::slot);
    if let Some(slot) = slot.filter(|slot| pool.is_wanted(*slot)) {
        pool.tell(id, ToWorker::Slot { slot: slot.0 });
    }
}
