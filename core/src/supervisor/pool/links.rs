//! Swapping and removing links, and what that means for the workers they name.

use std::sync::Arc;

use crate::action::Action;
use crate::config::Config;
use crate::event::Failure;
use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::slot::{LinkChange, Relation, Removed, Slot};
use crate::supervisor::worker::Worker;
use crate::wire::{Stage, ToWorker};

use super::{Pool, health, leadership, output, retire, sockets};

/// What became of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) enum Swap {
    /// Nobody had ordered it.
    Unknown,
    /// The link names its slot's worker now, instead of `before`.
    Done { before: Option<WorkerId> },
    /// The link names a worker of another slot now.
    Lent,
    /// The link is what it was.
    Failed(String),
}

/// Orders a slot's link to name a worker, under `config`.
pub(in crate::supervisor) fn publish(pool: &mut Pool, index: SlotIndex, id: WorkerId, config: &Config) {
    let worker = pool.workers.known(id);
    let inherited = sockets::socket_for(pool, worker, index, config).map(Arc::from);
    let promoted = worker.is_standby();
    pool.workers.change(id, |worker| {
        if promoted && defect!(StandbyTakenTwice) {
            return worker.accepts(inherited);
        }
        worker.takes_slot(index, inherited);
    });
    if promoted {
        pool.settled.touch_standbys();
    }
    if defect!(StandbyResumedBeforeSwap) && promoted && !pool.desired.is_suspended() {
        resume(pool, id);
    }
    let relation = if promoted { Relation::Standby } else { Relation::Own };
    swap(pool, index, id, relation, config);
}

/// Orders the link of a slot without a worker of its own to name one that serves another slot.
pub(in crate::supervisor) fn lend(pool: &mut Pool, index: SlotIndex, id: WorkerId) {
    let config = Arc::clone(&pool.config);
    swap(pool, index, id, Relation::Neighbour, &config);
}

fn swap(pool: &mut Pool, index: SlotIndex, id: WorkerId, relation: Relation, config: &Config) {
    let (link, symlinks) = (config.socket_file.link(index), config.options.symlinks);
    // A standby that has inherited no socket of this slot accepts from none: no link can name it.
    let Some(socket) = pool.workers.known(id).socket().cloned() else { return };
    let (to, target) = (link.clone(), Arc::clone(&socket));
    pool.slots.change(index, |slot| {
        slot.swaps(LinkChange::To { worker: id, relation, link: to, socket: target });
    });
    if defect!(LinkRemovedBeforeSwap) {
        pool.effects.order(Action::Withdraw { slot: index, link: link.clone() });
    }
    let socket = socket.to_string();
    pool.effects.order(Action::Publish { slot: index, worker: id, link, socket, symlinks });
}

/// A link was swapped, or could not be.
pub(in crate::supervisor) fn published(
    pool: &mut Pool,
    index: SlotIndex,
    id: WorkerId,
    result: Result<(), Failure>,
) -> Swap {
    let change = pool.slots.get(index).and_then(|slot| slot.change().cloned());
    let Some(LinkChange::To { worker, relation, link, socket }) = change else { return Swap::Unknown };
    if worker != id {
        return Swap::Unknown;
    }
    pool.slots.touch_homeless();
    let promoted = relation == Relation::Standby;
    if promoted {
        pool.settled.touch_standbys();
    }
    let now = pool.now();
    let was_lost = pool.slots.get(index).is_some_and(|slot| slot.is_lost());
    if let Err(failure) = result {
        tracing::warn!(worker = %id.short(), slot = index.0, "cannot swap the link: {failure}");
        pool.slots.change(index, |slot| slot.not_swapped(now, &failure.0));
        if promoted && pool.workers.get(id).is_some_and(Worker::is_ready) {
            pool.workers.change(id, Worker::demoted);
        }
        retire::left_by_guest(pool, id);
        return Swap::Failed(failure.0);
    }
    if let Some(worker) = pool.workers.get(id) {
        if let Some(process) = worker.process().filter(|_| !worker.has_served()) {
            pool.effects.order(Action::MarkServing { worker: id, process });
        }
        pool.workers.change(id, Worker::named);
    }
    if promoted {
        output::label(pool, id, index);
        leadership::tell_slot(pool, id);
    }
    if was_lost {
        pool.counters.repaired_link();
        pool.repaired("link", Some(index));
    }
    touch_named_socket(pool, index);
    let swapped = pool.slots.change(index, |slot| slot.swapped(id, relation, link, socket));
    if let Some(socket) = swapped.former_socket.filter(|_| relation != Relation::Neighbour) {
        sockets::left_by_link(pool, &socket);
    }
    if let Some(before) = swapped.before.and_then(|before| Some((before, pool.workers.get(before)?))) {
        // Its slot has another owner now.
        let slot = before.1.slot();
        pool.slots.touch(slot);
    }
    if let Some(link) = swapped.former_link.filter(|_| !defect!(OldLinkLeft)) {
        pool.effects.order(Action::Withdraw { slot: index, link });
    }
    if let Some(left) = swapped.left {
        retire::left_by_guest(pool, left);
    }
    if relation != Relation::Neighbour {
        return Swap::Done { before: swapped.before };
    }
    tracing::info!(worker = %id.short(), slot = index.0, "worker serves this slot as well");
    if let Some(before) = swapped.before {
        retire::retire(pool, before);
    }
    Swap::Lent
}

/// `id` serves the slot now, in place of `before`.
pub(in crate::supervisor) fn took_over(
    pool: &mut Pool,
    index: SlotIndex,
    id: WorkerId,
    before: Option<WorkerId>,
) {
    if !pool.workers.get(id).is_some_and(Worker::is_ready) {
        return;
    }
    tracing::info!(worker = %id.short(), slot = index.0, "worker serves");
    pool.progress(id, Stage::Serving, None);
    if pool.is_active() || defect!(SuccessorResumedInSuspendedApp) {
        resume(pool, id);
    }
    takes_guests(pool, index, id);
    if let Some(before) = before {
        retire::retire(pool, before);
    }
}

/// Links of other slots without a worker that name the same socket name its new worker from now on.
fn takes_guests(pool: &mut Pool, index: SlotIndex, id: WorkerId) {
    let socket = pool.slots.get(index).and_then(Slot::linked_to);
    let naming = socket.into_iter().flat_map(|socket| pool.slots.naming(socket));
    let guests: Vec<SlotIndex> = naming.filter(|guest| *guest != index).collect();
    for guest in guests {
        let slot = pool.slots.get(guest).filter(|slot| slot.owner().is_none() && !slot.is_changing());
        let Some(left) = slot.map(Slot::neighbour) else { continue };
        pool.slots.change(guest, |slot| slot.is_lent(id));
        if let Some(left) = left.filter(|left| *left != id) {
            retire::left_by_guest(pool, left);
        }
    }
}

/// Ends the suspension of a worker, if it is suspended and can be told.
pub(in crate::supervisor) fn resume(pool: &mut Pool, id: WorkerId) {
    let worker = pool.workers.known(id);
    if !worker.is_suspended() || worker.speaks() && !worker.channel().is_open() {
        return;
    }
    let pid = worker.process().map(|process| process.pid);
    if worker.channel().is_open() {
        let fd = worker.serving_fd().filter(|_| !defect!(ResumeNamesNoSocket));
        pool.tell(id, ToWorker::Resume { fd });
    }
    tracing::info!(worker = %id.short(), pid, "worker resumed");
    let now = pool.now();
    health::ask_for_confirmation(pool, id);
    pool.workers.change(id, |worker| worker.reports_suspended(now, false));
    health::begin(pool, id);
}

/// Orders the removal of a slot's link; its owner is retired when that is done.
pub(in crate::supervisor) fn withdraw(pool: &mut Pool, index: SlotIndex) {
    if let Some(link) = pool.slots.change(index, |slot| slot.removes()) {
        pool.effects.order(Action::Withdraw { slot: index, link });
    }
}

/// The socket that a slot's link names may not be needed any more: it may be another slot's.
fn touch_named_socket(pool: &mut Pool, index: SlotIndex) {
    let named = pool.slots.get(index).and_then(Slot::linked_to).map(ToString::to_string);
    pool.listeners.touch(named.filter(|name| pool.listeners.get(name).is_some()));
}

/// A link was removed, or could not be.
pub(in crate::supervisor) fn withdrawn(
    pool: &mut Pool,
    index: SlotIndex,
    link: &str,
    result: Result<(), Failure>,
) {
    let now = pool.now();
    let failure = result.err().map(|failure| failure.0);
    touch_named_socket(pool, index);
    let removed = pool.slots.change(index, |slot| slot.removed(now, link, failure.as_deref()));
    if let Some(failure) = failure {
        let former = if removed == Removed::FormerLink { "old " } else { "" };
        tracing::warn!(slot = index.0, "cannot remove the {former}link {link}: {failure}");
    }
    match removed {
        Removed::Released(owner) => retire::retire(pool, owner),
        Removed::Left(neighbour) => retire::left_by_guest(pool, neighbour),
        Removed::FormerLink | Removed::Unowned | Removed::Again => {}
    }
}
