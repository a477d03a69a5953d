//! What workers count, and what is counted about them.

use std::collections::BTreeSet;

use crate::id::{SlotIndex, WorkerId};
use crate::metrics::{Level, Traffic};
use crate::supervisor::counters::{Counters, Death};
use crate::supervisor::worker::Worker;
use crate::wire::ToWorker;

use super::Pool;

/// Tells a worker to count, or not to, if it does otherwise than the configuration says.
pub(in crate::supervisor) fn tell(pool: &mut Pool, id: WorkerId) {
    let wanted = pool.config.metrics.is_some();
    if pool.workers.get(id).is_some_and(Worker::is_reachable)
        && pool.workers.change(id, |worker| worker.counts_mut().is_to_count(wanted))
    {
        pool.tell(id, ToWorker::Count { on: wanted });
    }
}

/// Goes on with what was counted before. If that was not by somebody who counts, the workers that there are have started.
pub(in crate::supervisor) fn begin(pool: &mut Pool) {
    let alive = pool.workers.iter().filter(|(_, worker)| worker.process().is_some()).count();
    if pool.counters == Counters::default() {
        pool.counters.begin_with(alive);
    }
    tell_all(pool);
}

/// The configuration may say otherwise than before.
pub(in crate::supervisor) fn tell_all(pool: &mut Pool) {
    pool.workers.ids().into_iter().for_each(|id| tell(pool, id));
}

/// A worker says what it has counted by now.
pub(in crate::supervisor) fn said(pool: &mut Pool, id: WorkerId, traffic: &Traffic, level: Level) {
    if pool.workers.get(id).is_none() {
        return;
    }
    if let Some(more) = pool.workers.change(id, |worker| worker.counts_mut().says(traffic, level)) {
        pool.counters.keep(&more);
    }
}

/// The process of a worker has ended.
pub(in crate::supervisor) fn died(pool: &mut Pool, id: WorkerId, death: Death) {
    pool.counters.died(death);
    if let Some(traffic) = pool.workers.change(id, |worker| worker.counts_mut().keep()) {
        pool.counters.keep(&traffic);
    }
}

/// What workers have said so far is told to others: it has to be in the state file from now on.
pub(in crate::supervisor) fn told(pool: &mut Pool) {
    pool.counters.tell();
    for id in pool.workers.ids() {
        let tells =
            |worker: &Worker| worker.counts().traffic().is_some_and(|said| said != worker.counts().told());
        if pool.workers.get(id).is_some_and(tells) && !defect!(ToldCountsNotRecorded) {
            pool.workers.change(id, |worker| worker.counts_mut().tell());
        }
    }
}

/// Notes whether slots are served, and for how long they were not.
pub(in crate::supervisor) fn note_takeovers(pool: &mut Pool, slots: &BTreeSet<SlotIndex>) {
    let now = pool.now();
    for index in slots {
        let served = pool.is_wanted(*index).then(|| is_served(pool, *index));
        if pool.slots.get(*index).is_none_or(|slot| slot.is_known_to_be_served(served)) {
            continue;
        }
        if let Some(after) = pool.slots.change(*index, |slot| slot.is_served(now, served)) {
            pool.counters.took_over(after);
        }
    }
}

/// A worker of the slot, or of another one, serves it.
pub(in crate::supervisor) fn is_served(pool: &Pool, slot: SlotIndex) -> bool {
    let neighbour = pool.slots.get(slot).and_then(|slot| slot.neighbour());
    pool.is_served_by_its_own(slot) || neighbour.is_some_and(|id| pool.slots.is_host(id))
}
