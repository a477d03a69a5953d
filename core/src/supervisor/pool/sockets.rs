//! The daemon's listening sockets: which one a worker inherits and accepts from, and which are needed.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::config::{Config, Listen, Named};
use crate::event::Failure;
use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::listener::{Listener, Origin};
use crate::supervisor::worker::{Place, Worker};

use super::Pool;

/// The socket that workers of a slot inherit under `config`, if it is there. Another `socketFile` makes another one.
pub(in crate::supervisor) fn listener<'a>(
    pool: &'a Pool,
    slot: SlotIndex,
    config: &Config,
) -> Option<&'a str> {
    if config.options.listen != Listen::Daemon {
        return None;
    }
    let fits = |name: &str| matches!(config.socket_file.matches(name), Some(Named::Socket(_)));
    let mut sockets = pool.listeners.of(slot);
    sockets.find(|(name, listener)| listener.can_be_inherited() && fits(name)).map(|(name, _)| name)
}

/// The sockets that a worker for `place` inherits under `config`, in the order of their descriptors: that of its slot, or
/// those of all `slots` if it may get any. What is not there yet is ordered.
pub(in crate::supervisor) fn listeners_for(
    pool: &mut Pool,
    place: Place,
    config: &Config,
    slots: u32,
) -> Vec<String> {
    let slots = match place {
        _ if config.options.listen != Listen::Daemon => return Vec::new(),
        Place::Slot(slot) => slot.0..slot.0 + 1,
        Place::Standby => 0..slots,
    };
    slots.map(|slot| open(pool, SlotIndex(slot), config)).collect()
}

fn open(pool: &mut Pool, slot: SlotIndex, config: &Config) -> String {
    if let Some(socket) = listener(pool, slot, config) {
        return socket.to_owned();
    }
    let socket = config.socket_file.socket(pool.ids.worker());
    pool.listeners.add(slot, &socket, Origin::Ours);
    pool.slots.touch([slot]);
    pool.settled.touch_standbys();
    pool.effects.order(Action::Listen { slot, socket: socket.clone() });
    socket
}

/// A socket was opened, or could not be.
pub(in crate::supervisor) fn listening(
    pool: &mut Pool,
    slot: SlotIndex,
    socket: &str,
    result: Result<(), Failure>,
) {
    if let Err(failure) = result {
        // The worker that was to inherit it cannot be started now, and says so.
        tracing::warn!(slot = slot.0, "no listening socket for the slot: {failure}");
        forget(pool, socket);
    }
}

fn forget(pool: &mut Pool, socket: &str) {
    let slot = pool.listeners.remove(socket);
    pool.slots.touch(slot);
    pool.slots.touch_naming(socket);
    pool.settled.touch_standbys();
}

/// Closes those of `sockets` that nobody will need.
pub(in crate::supervisor) fn close_unneeded(pool: &mut Pool, sockets: &BTreeSet<String>) {
    let now = pool.now();
    let may_close = |name: &&String| {
        let listener = pool.listeners.get(name);
        listener.is_some_and(|listener| {
            (listener.is_closing() || !is_needed(pool, name, listener)) && listener.may_close(now)
        })
    };
    let due: Vec<String> = sockets.iter().filter(may_close).cloned().collect();
    for socket in due {
        if let Some(slot) = pool.listeners.closes(&socket) {
            pool.slots.touch([slot]);
            pool.slots.touch_naming(&socket);
            pool.settled.touch_standbys();
            pool.effects.order(Action::Unlisten { slot, socket });
        }
    }
}

/// A socket was closed; its file is gone, or could not be removed.
pub(in crate::supervisor) fn unlistened(pool: &mut Pool, socket: &str, result: Result<(), Failure>) {
    match result {
        Ok(()) => forget(pool, socket),
        Err(failure) => {
            let now = pool.now();
            if let Some((slot, 1)) = pool.listeners.not_removed(socket, now, &failure) {
                tracing::warn!(slot = slot.0, "cannot remove a slot's socket, will try again: {failure}");
            }
        }
    }
}

/// The socket is the one of a slot that ought to be served, or a link or a worker still needs it.
fn is_needed(pool: &Pool, socket: &str, socket_of: &Listener) -> bool {
    let slot = socket_of.slot();
    let wanted = pool.is_wanted(slot)
        && listener(pool, slot, &pool.config) == Some(socket)
        && (!is_served_by_another(pool, slot, socket) || a_standby_has(pool, socket));
    let held = || pool.workers.iter().any(|(_, worker)| worker.inherited(socket) && !worker.is_gone());
    wanted || is_accepted_from(pool, socket) || socket_of.is_foreign() && held() || pool.slots.names(socket)
}

/// A worker accepts from the socket.
fn is_accepted_from(pool: &Pool, socket: &str) -> bool {
    pool.workers.accepting_from(socket).any(|(_, worker)| !worker.is_gone())
}

/// A standby has inherited the socket.
fn a_standby_has(pool: &Pool, socket: &str) -> bool {
    let mut standbys = pool.workers.iter().filter(|(_, worker)| worker.is_standby());
    standbys.any(|(_, worker)| worker.inherited(socket))
}

fn is_foreign(pool: &Pool, socket: &str) -> bool {
    pool.listeners.get(socket).is_some_and(Listener::is_foreign)
}

/// The slot's link names another socket, of a worker's own or of an earlier daemon's. Connections to this one would wait for
/// nobody. While the link names a neighbour's, this one waits for the slot's next worker, and so does what came before.
fn is_served_by_another(pool: &Pool, slot: SlotIndex, socket: &str) -> bool {
    !is_lent(pool, slot) && linked_to(pool, slot).is_some_and(|linked| linked != socket)
}

/// The slot's link names a neighbour.
fn is_lent(pool: &Pool, slot: SlotIndex) -> bool {
    pool.slots.get(slot).is_some_and(|slot| slot.neighbour().is_some())
}

/// A link named the worker's socket for a moment, and the worker is never resumed. Whoever connected then is turned away
/// when the socket is closed: as soon as no link names it and no worker accepts from it.
pub(in crate::supervisor) fn desert(pool: &mut Pool, id: WorkerId) {
    let socket = pool.workers.get(id).and_then(Worker::socket).cloned();
    if let Some(socket) = socket {
        turn_away(pool, &socket);
    }
}

/// The worker goes before its accept queue was seen empty. If no link leads to the one who accepts next, whoever waits in
/// the queue is turned away, and does not wait until a standby that has inherited the socket is needed.
pub(in crate::supervisor) fn left_waiting(pool: &mut Pool, id: WorkerId) {
    let socket = pool.workers.get(id).filter(|worker| worker.has_served()).and_then(Worker::socket).cloned();
    if let Some(socket) = socket.filter(|socket| !pool.slots.names(socket)) {
        turn_away(pool, &socket);
    }
}

/// A slot's link has left the socket for another one. If its worker has died, nobody else answers what came to it last.
pub(super) fn left_by_link(pool: &mut Pool, socket: &str) {
    let answered = pool.workers.accepting_from(socket).any(|(_, worker)| !worker.has_ended());
    if !answered && !pool.slots.names(socket) {
        turn_away(pool, socket);
    }
}

fn turn_away(pool: &mut Pool, socket: &str) {
    let slot = pool.listeners.desert(socket);
    pool.slots.touch(slot);
    pool.settled.touch_standbys();
}

/// The socket that the slot's link names, if there is a link.
fn linked_to(pool: &Pool, slot: SlotIndex) -> Option<&str> {
    pool.slots.get(slot)?.linked_to().map(AsRef::as_ref)
}

/// A slot's link names a socket that keeps what comes, even while the slot has no worker: the socket is the daemon's, or
/// a worker has inherited it that is about to serve.
pub(in crate::supervisor) fn keeps_requests(pool: &Pool, slot: SlotIndex) -> bool {
    linked_to(pool, slot).is_some_and(|socket| {
        let listener = pool.listeners.get(socket);
        let fits = |worker: &Worker| {
            worker.is_healthy() && socket_for(pool, worker, slot, &pool.config) == Some(socket)
        };
        listener.is_some_and(Listener::can_be_inherited)
            || has_heir(pool, socket, slot, None)
            || pool.workers.holding(Place::Standby).any(|(_, worker)| worker.inherits() && fits(worker))
    })
}

/// A worker of the slot other than `except` accepts from the socket, or will. Nobody reaches one whose socket was removed.
fn has_heir(pool: &Pool, socket: &str, slot: SlotIndex, except: Option<WorkerId>) -> bool {
    pool.workers.accepting_from(socket).any(|(id, worker)| {
        let stays = worker.is_coming() || worker.is_ready();
        Some(id) != except && stays && !worker.has_lost_socket() && worker.holds(Place::Slot(slot))
    })
}

/// The queue that the worker accepts from is its successor's as well: a slot that is to be served goes on with the
/// socket, which is the daemon's, or another worker's too.
pub(in crate::supervisor) fn is_shared(pool: &Pool, id: WorkerId, worker: &Worker) -> bool {
    let goes_on = |socket: &str, listener: &Listener| {
        pool.is_wanted(listener.slot())
            && (!listener.is_foreign() || has_heir(pool, socket, listener.slot(), Some(id)))
    };
    worker.socket().filter(|_| worker.inherits()).is_some_and(|socket| {
        let listener = pool.listeners.get(socket);
        defect!(QueueTakenForShared)
            || listener.is_some_and(|listener| goes_on(socket, listener)) && pool.slots.names(socket)
    })
}

/// The socket file of a dead worker has to stay: there is none, it is the daemon's, or another worker accepts from it.
pub(in crate::supervisor) fn outlives(pool: &Pool, id: WorkerId, worker: &Worker) -> bool {
    worker.socket().is_none_or(|socket| {
        let mut others = pool.workers.accepting_from(socket);
        others.any(|(other, worker)| other != id && !worker.is_gone()) || pool.listeners.get(socket).is_some()
    })
}

/// The socket that a worker which has inherited some is to accept from for `slot`. A socket of an earlier daemon does as
/// long as the slot's link names it, or a neighbour's in its place, or the daemon has none for the slot; not if its file is gone.
pub(in crate::supervisor) fn socket_for<'a>(
    pool: &'a Pool,
    worker: &Worker,
    slot: SlotIndex,
    config: &Config,
) -> Option<&'a str> {
    let ours = listener(pool, slot, config);
    let (named, lent) = (linked_to(pool, slot), is_lent(pool, slot));
    let usable = |listener: &Listener| listener.is_foreign() && !listener.is_deserted();
    let mut foreign = pool.listeners.of(slot).filter(|(_, listener)| usable(listener));
    let foreign = foreign
        .find(|(name, _)| worker.inherited(name) && (ours.is_none() || lent || named == Some(*name)))
        .map(|(name, _)| name);
    foreign.or(ours.filter(|socket| worker.inherited(socket)))
}

/// A worker has what it takes to serve `slot`: a socket of the slot, or leave to bind its own.
pub(in crate::supervisor) fn can_take(pool: &Pool, worker: &Worker, slot: SlotIndex) -> bool {
    if worker.inherits() {
        socket_for(pool, worker, slot, &pool.config).is_some()
    } else {
        listener(pool, slot, &pool.config).is_none()
    }
}

/// The slot that the socket was opened for has lost its worker: whoever takes the slot over answers what waits there, although
/// the link leads to a neighbour meanwhile.
fn is_vacant(pool: &Pool, socket: &str) -> bool {
    let slot = pool.listeners.get(socket).map(Listener::slot).filter(|slot| pool.is_wanted(*slot));
    slot.is_some_and(|slot| !pool.is_well(slot))
}

/// A standby has what it takes to serve every slot, and is not in the way. One that was started before a slot was added
/// has not; one that holds a socket of an earlier daemon's from which nobody accepts any more keeps those waiting who
/// ought to be turned away.
pub(in crate::supervisor) fn can_take_any(pool: &Pool, standby: &Worker) -> bool {
    if pool.listeners.is_empty() || standby.is_waiting() {
        return true;
    }
    let missing = |slot| listener(pool, slot, &pool.config).is_some() && !can_take(pool, standby, slot);
    let deserted = |socket: &String| {
        pool.listeners.get(socket).is_some_and(Listener::is_deserted)
            || is_foreign(pool, socket)
                && !pool.slots.names(socket)
                && !is_accepted_from(pool, socket)
                && !is_vacant(pool, socket)
    };
    !(0..pool.desired.slots).map(SlotIndex).any(missing) && !standby.listeners().iter().any(deserted)
}
