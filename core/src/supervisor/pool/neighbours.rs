//! Links without a worker of their own: they name one that serves another slot.
//!
//! A spare slot (`slots`) never has a worker of its own, a vacant one will have. Their links are spread evenly over the
//! workers that serve, and come home when there is a worker for them. Who is named by such a link is retired only after the
//! link has gone elsewhere (`retire`).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::slot::Slot;
use crate::supervisor::slot::neighbours::Host;
use crate::supervisor::worker::{Place, Worker};

use super::{Pool, links, sockets};

/// From one spreading of links to the next. Workers that come one after the other would each move the links of many.
const PAUSE: Duration = Duration::from_millis(100);

/// Notes who may be named by links of other slots, because it serves one of `slots`.
pub(in crate::supervisor) fn note_hosts(pool: &mut Pool, slots: &BTreeSet<SlotIndex>) {
    for index in slots {
        let concerned = pool.slots.set_host(*index, host(pool, *index));
        pool.slots.touch(concerned);
    }
}

/// The worker that serves the slot, if it may serve others as well. One that is not as the app is — it holds requests back,
/// or does not although it ought to — may not, and one of a rollout may not before that is complete.
fn host(pool: &Pool, index: SlotIndex) -> Option<Host> {
    let (worker, owner) = pool.owner(index).filter(|_| pool.is_wanted(index))?;
    let serves = owner.holds(Place::Slot(index)) && owner.can_serve() && is_as_the_app(pool, owner);
    serves.then(|| Host { worker, broken: !owner.is_healthy() })
}

/// The worker is suspended if the app is, and active if the app is.
fn is_as_the_app(pool: &Pool, worker: &Worker) -> bool {
    worker.is_suspended() == pool.desired.is_suspended()
}

/// Has the link of a slot without a worker of its own name a neighbour. Returns whether the link leads to somebody, or is
/// about to.
pub(super) fn lend(pool: &mut Pool, index: SlotIndex) -> bool {
    if defect!(VacantLinksWithdrawn) {
        return false;
    }
    let slot = pool.slots.get(index);
    let named = slot.is_some_and(|slot| !slot.is_lost())
        && slot.and_then(Slot::link) == Some(pool.config.socket_file.link(index).as_str());
    if named && slot.and_then(Slot::neighbour).is_some_and(|id| pool.slots.is_host(id)) {
        return true;
    }
    // Whoever is named goes on until another is.
    let named_by = slot.and_then(|slot| slot.owner().or(slot.neighbour()));
    let leads = named_by.and_then(|id| pool.workers.get(id)).is_some_and(Worker::can_serve)
        && slot.and_then(Slot::link).is_some();
    let may_swap = slot.is_none_or(|slot| slot.swap_failures().permits(pool.now()));
    match pool.slots.next_host() {
        Some(host) if may_swap => {
            links::lend(pool, index, host);
            true
        }
        Some(_) => leads || leads_to_others(pool, index),
        None => {
            pool.slots.needs_host(index);
            // The last worker that can serve goes when another can.
            let stays = leads && (slot_is_spare(pool, index) || may_stay(pool, index));
            let neighbour = pool.slots.get(index).and_then(Slot::neighbour);
            if let Some(neighbour) = neighbour.filter(|_| stays && !named && may_swap) {
                // Somebody has removed the link.
                links::lend(pool, index, neighbour);
            }
            if !stays
                && named
                && let Some(last) = last_that_accepts(pool, index)
            {
                pool.slots.change(index, |slot| slot.is_lent(last));
                return true;
            }
            if stays || leads_to_others(pool, index) {
                return true;
            }
            let last = last_that_serves(pool).filter(|_| may_swap);
            last.inspect(|last| links::lend(pool, index, *last)).is_some()
        }
    }
}

/// A worker that is to go, and has not gone yet because links name it: those of other slots, or one that could not be removed
/// of a slot that there is no more. Better than nobody.
fn last_that_serves(pool: &Pool) -> Option<WorkerId> {
    let serves = |id: &WorkerId| {
        pool.workers.get(*id).is_some_and(|worker| {
            let goes = worker.is_retired() || worker.slot().is_some_and(|slot| !pool.is_wanted(slot));
            goes && worker.can_serve() && is_as_the_app(pool, worker)
        })
    };
    let unwanted = pool.slots.from(SlotIndex(pool.desired.slots)).filter_map(|(_, slot)| slot.owner());
    pool.slots.with_guests().chain(unwanted).find(serves)
}

/// A worker that is to go, and has not gone yet because links of other slots name it, accepts from the socket that this link names
/// as well. It goes when none names it.
fn last_that_accepts(pool: &Pool, index: SlotIndex) -> Option<WorkerId> {
    let socket = pool.slots.get(index).and_then(Slot::linked_to)?;
    let serves = |worker: &Worker| {
        worker.is_retired() && worker.is_ready() && worker.can_serve() && is_as_the_app(pool, worker)
    };
    pool.workers.accepting_from(socket).find(|(_, worker)| serves(worker)).map(|(id, _)| id)
}

/// Others accept from the socket that the link names, or will.
fn leads_to_others(pool: &Pool, index: SlotIndex) -> bool {
    is_about_to_lead(pool, index) || keeps_requests(pool, index)
}

/// The link names a socket whose queue is kept for another slot that names it as well: whoever takes that over serves both.
pub(in crate::supervisor) fn keeps_requests(pool: &Pool, index: SlotIndex) -> bool {
    let socket = pool.slots.get(index).and_then(Slot::linked_to);
    let homes = socket.into_iter().flat_map(|socket| pool.slots.naming(socket)).filter(|home| *home != index);
    homes.filter(|home| pool.is_wanted(*home)).any(|home| sockets::keeps_requests(pool, home))
}

/// The link names a socket from which another worker accepts as soon as the link of that one's own slot names it.
fn is_about_to_lead(pool: &Pool, index: SlotIndex) -> bool {
    let socket = pool.slots.get(index).and_then(Slot::linked_to);
    let serves = |worker: &Worker| worker.can_serve() && !worker.is_retired() && may_answer(pool, worker);
    socket.is_some_and(|socket| pool.workers.accepting_from(socket).any(|(_, worker)| serves(worker)))
}

/// The link may go on to name the neighbour that it names, although that is to go, or does not serve its own slot yet, as when an
/// earlier daemon died between two links.
fn may_stay(pool: &Pool, index: SlotIndex) -> bool {
    let neighbour = pool.slots.get(index).and_then(Slot::neighbour);
    neighbour.and_then(|id| pool.workers.get(id)).is_some_and(|worker| may_answer(pool, worker))
}

/// An active worker of a suspended app may not.
fn may_answer(pool: &Pool, worker: &Worker) -> bool {
    worker.is_suspended() || !pool.desired.is_suspended()
}

/// The slot ought to have no worker of its own, while others ought to have one. Where a daemon died in the midst of suspending the
/// app, its link goes on with the links of those.
fn slot_is_spare(pool: &Pool, index: SlotIndex) -> bool {
    pool.is_linked(index) && !pool.is_wanted(index)
}

/// A worker cannot serve any more. Links of other slots may name it although it never was one whom they may name, as when an
/// earlier daemon has led them there.
pub(in crate::supervisor) fn lost(pool: &mut Pool, id: WorkerId) {
    let guests: Vec<SlotIndex> = pool.slots.guests(id).collect();
    pool.slots.touch(guests);
}

/// Spreads links evenly over those who serve behind them, unless that has been done just now and further workers come.
pub(in crate::supervisor) fn spread(pool: &mut Pool) {
    let now = pool.now();
    if pool.workers.any_coming() && !pool.slots.may_spread(now) {
        return;
    }
    while let Some((guest, to)) = next_move(pool) {
        links::lend(pool, guest, to);
        pool.slots.spread_at(now + PAUSE);
    }
}

/// A slot whose link ought to name another worker, and can now, and that worker.
fn next_move(pool: &Pool) -> Option<(SlotIndex, WorkerId)> {
    let (from, to) = pool.slots.unequal_hosts()?;
    let movable = |slot: &Slot| !slot.is_changing() && slot.swap_failures().permits(pool.now());
    let guest = pool.slots.guests(from).find(|index| pool.slots.get(*index).is_some_and(movable))?;
    Some((guest, to))
}
