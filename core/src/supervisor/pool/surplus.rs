//! Retiring workers and removing links that have no place.

use std::collections::BTreeSet;

use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::slot::Slot;
use crate::supervisor::worker::{Place, Role, Worker};

use super::{Pool, links, neighbours, retire, sockets};

/// Retires, of the workers of `slots`, those that have no place: of slots that are served by others or not wanted. With
/// `standbys`, standbys beyond the wanted number as well. Owners stay until their link is gone.
pub(in crate::supervisor) fn retire_surplus(pool: &mut Pool, slots: &BTreeSet<SlotIndex>, standbys: bool) {
    let places = slots.iter().map(|slot| Place::Slot(*slot)).chain(standbys.then_some(Place::Standby));
    let workers = places.flat_map(|place| pool.workers.holding(place));
    // Healthy standbys first: they are the ones to keep.
    let mut workers: Vec<(bool, WorkerId)> = workers.map(|(id, worker)| (!worker.is_healthy(), id)).collect();
    workers.sort();
    let mut wanted_standbys = if pool.is_serving() { pool.desired.standby } else { 0 };
    let mut surplus = Vec::new();
    for (_, id) in workers {
        let keep = pool.workers.get(id).is_none_or(|worker| {
            let in_flight = worker.process().is_some() || worker.is_coming();
            match worker.role() {
                Role::Holding(Place::Slot(slot)) => !in_flight || has_place(pool, id, worker, slot),
                Role::Holding(Place::Standby) => {
                    !in_flight || keep_standby(pool, worker, &mut wanted_standbys)
                }
                Role::Joining(_) | Role::Kept(_) | Role::Retired { .. } => true,
            }
        });
        if !keep {
            surplus.push(id);
        }
    }
    for id in surplus {
        retire::retire(pool, id);
    }
}

/// Retires all workers that have no place.
pub(in crate::supervisor) fn retire_all_surplus(pool: &mut Pool) {
    let all = pool.workers.iter().filter_map(|(_, worker)| worker.slot()).collect();
    retire_surplus(pool, &all, true);
}

fn keep_standby(pool: &Pool, worker: &Worker, wanted: &mut u32) -> bool {
    // A standby that is about to be called broken has been replaced already.
    if worker.is_ready() && !worker.is_healthy() && pool.is_serving() {
        return true;
    }
    let keep = *wanted > 0 && sockets::can_take_any(pool, worker);
    *wanted -= u32::from(keep);
    keep || defect!(SurplusStandbysStay)
}

/// Whether a worker for `index` owns the slot, is about to, or may have to.
fn has_place(pool: &Pool, id: WorkerId, worker: &Worker, index: SlotIndex) -> bool {
    let owns = pool.slots.get(index).is_some_and(|slot| slot.is_taken_by(id));
    owns || pool.is_wanted(index) && !pool.is_well(index) && (worker.is_coming() || worker.is_ready())
}

/// Sees to the links of `slots` whose worker is gone without a successor at hand, and of those that ought to have none: they
/// name a neighbour, or are removed if there is none, unless the socket keeps what comes. Links of no use are removed.
pub(in crate::supervisor) fn clear_links(pool: &mut Pool, slots: &BTreeSet<SlotIndex>) {
    for index in slots {
        clear_link(pool, *index);
    }
}

fn clear_link(pool: &mut Pool, index: SlotIndex) {
    if pool.slots.get(index).is_some_and(Slot::is_changing) {
        return;
    }
    let one_less = SlotIndex(index.0 - u32::from(defect!(SlotTooMany) && index.0 > 0));
    let (wanted, linked) = (pool.is_wanted(one_less), pool.is_linked(one_less));
    let owned = pool.owner(index).is_some();
    if linked && !(wanted && pool.is_served_by_its_own(index)) && neighbours::lend(pool, index) {
        return;
    }
    let served = || owned || sockets::keeps_requests(pool, index);
    match pool.slots.get(index) {
        None => {}
        Some(slot) if slot.link().is_some() => {
            let useless = !wanted && !defect!(StopLeavesLinks) || !served();
            if slot.removal_failures().permits(pool.now()) && useless {
                links::withdraw(pool, index);
            }
        }
        Some(_) if linked => {}
        Some(_) => pool.slots.remove(index),
    }
}
