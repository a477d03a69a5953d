//! Listening sockets that the daemon keeps for slots (`options.listen = "daemon"`).
//!
//! A slot's socket outlives its workers: all of them inherit it, one after the other, and what waits in its accept queue
//! waits for whichever of them accepts next. So that the one who accepts is the one who serves, every worker that
//! inherits is started suspended, whatever the app is, and resumed when it takes the slot over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::config::{Config, Listen, Named};
use crate::event::Failure;
use crate::id::{SlotIndex, WorkerId};
use crate::time::Time;

use super::backoff::Backoff;
use super::slots::LAST_TRIES;
use super::worker::{Seat, Worker};
use super::{Supervisor, Timer};

/// A socket of ours. It is known by its file name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listener {
    /// Whose it is.
    pub slot: SlotIndex,
    /// It is being closed, or was and its file could not be removed.
    closing: bool,
    /// An earlier daemon opened it, and only workers hold it still: no other one can inherit it, and it closes with them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    foreign: bool,
    /// Connections may wait in it that nobody will accept, so that it is closed as soon as no worker needs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deserted: bool,
    /// Failures to remove its file.
    removal: Backoff,
}

impl Listener {
    fn new(slot: SlotIndex, foreign: bool) -> Self {
        Self { slot, closing: false, foreign, deserted: false, removal: Backoff::default() }
    }

    /// Workers can inherit it from us.
    fn is_ours(&self) -> bool {
        !self.foreign && !self.closing && !self.deserted
    }
}

impl Supervisor {
    /// The socket that workers of a slot inherit under `config`, if it is there. Another `socketFile` makes another one.
    pub(super) fn listener(&self, slot: SlotIndex, config: &Config) -> Option<&str> {
        if config.options.listen != Listen::Daemon {
            return None;
        }
        let fits = |name: &str| matches!(config.socket_file.matches(name), Some(Named::Socket(_)));
        self.listeners
            .iter()
            .find(|(name, listener)| listener.slot == slot && listener.is_ours() && fits(name))
            .map(|(name, _)| name.as_str())
    }

    /// The sockets that a worker for `seat` inherits under `config`, in the order of their descriptors: that of its slot, or
    /// of all slots if it may get any. What is not there yet is ordered.
    pub(super) fn listeners_for(&mut self, seat: Seat, config: &Config, slots: u32) -> Vec<String> {
        let slots = match seat {
            _ if config.options.listen != Listen::Daemon => return Vec::new(),
            Seat::Slot(slot) => slot.0..slot.0 + 1,
            Seat::Standby => 0..slots,
            Seat::Retired { .. } => return Vec::new(),
        };
        slots.map(|slot| self.open_listener(SlotIndex(slot), config)).collect()
    }

    fn open_listener(&mut self, slot: SlotIndex, config: &Config) -> String {
        if let Some(socket) = self.listener(slot, config) {
            return socket.to_owned();
        }
        let socket = config.socket_file.socket(self.ids.worker());
        self.listeners.insert(socket.clone(), Listener::new(slot, false));
        self.act(Action::Listen { slot, socket: socket.clone() });
        socket
    }

    /// A worker that outlived its daemon holds this socket of that daemon's.
    pub(super) fn found_listener(&mut self, slot: SlotIndex, socket: &str) {
        self.listeners.entry(socket.to_owned()).or_insert_with(|| Listener::new(slot, true));
    }

    /// It is a socket that a daemon opened: this one, or one before it.
    pub(super) fn is_listener(&self, socket: &str) -> bool {
        self.listeners.contains_key(socket)
    }

    pub(super) fn listening(&mut self, slot: SlotIndex, socket: &str, result: Result<(), Failure>) {
        if let Err(failure) = result {
            // The worker that was to inherit it cannot be started now, and says so.
            tracing::warn!(slot = slot.0, "no listening socket for the slot: {failure}");
            self.listeners.remove(socket);
        }
    }

    /// Closes sockets that nobody will need.
    pub(super) fn close_listeners(&mut self) {
        let now = self.now;
        let due: Vec<String> = self
            .listeners
            .iter()
            .filter(|(name, listener)| listener.closing || !self.is_needed(name, listener.slot))
            .filter(|(_, listener)| match listener.removal.retry_at {
                Some(at) => at <= now,
                None => !listener.closing,
            })
            .map(|(name, _)| name.clone())
            .collect();
        for socket in due {
            let Some(listener) = self.listeners.get_mut(&socket) else { continue };
            listener.closing = true;
            listener.removal.tried();
            let slot = listener.slot;
            self.act(Action::Unlisten { slot, socket });
        }
    }

    pub(super) fn unlistened(&mut self, socket: &str, result: Result<(), Failure>) {
        let now = self.now;
        let Some(listener) = self.listeners.get_mut(socket) else { return };
        match result {
            Ok(()) => {
                self.listeners.remove(socket);
            }
            Err(failure) => {
                listener.removal.failed(now, Duration::ZERO, &failure.0);
                if listener.removal.failures == 1 {
                    tracing::warn!(
                        slot = listener.slot.0,
                        "cannot remove a slot's socket, will try again: {failure}"
                    );
                }
            }
        }
    }

    /// It is the one of a slot that ought to be served, or a link or a worker still needs it.
    fn is_needed(&self, socket: &str, slot: SlotIndex) -> bool {
        let wanted = self.is_serving()
            && slot.0 < self.desired.slots
            && self.listener(slot, &self.config) == Some(socket)
            && (!self.is_served_by_another(slot, socket) || self.has_spare(socket));
        let foreign = self.is_foreign(socket);
        let uses = |worker: &Worker| worker.accepts_from(socket) || foreign && worker.inherited(socket);
        let used = self.workers.values().any(|worker| uses(worker) && !worker.is_gone());
        wanted || used || self.is_named(socket)
    }

    /// A spare has inherited the socket.
    fn has_spare(&self, socket: &str) -> bool {
        self.workers.values().any(|worker| worker.seat == Seat::Standby && worker.inherited(socket))
    }

    fn is_foreign(&self, socket: &str) -> bool {
        self.listeners.get(socket).is_some_and(|listener| listener.foreign)
    }

    /// The slot's link names another socket, of a worker's own or of an earlier daemon's. Connections to this one would
    /// wait for nobody.
    fn is_served_by_another(&self, slot: SlotIndex, socket: &str) -> bool {
        self.linked_to(slot).is_some_and(|linked| linked != socket)
    }

    /// A link named the worker's socket for a moment, and the worker is never resumed. Whoever connected then is turned
    /// away when the socket is closed: as soon as no link names it and no worker accepts from it.
    pub(super) fn desert(&mut self, id: WorkerId) {
        let socket = self.workers.get(&id).and_then(|worker| worker.socket.clone());
        if let Some(listener) = socket.and_then(|socket| self.listeners.get_mut(&socket)) {
            listener.deserted = true;
        }
    }

    /// The socket that the slot's link names, if there is one.
    fn linked_to(&self, slot: SlotIndex) -> Option<&str> {
        let linked = self.slots.get(&slot).filter(|slot| slot.link.is_some());
        linked.and_then(|slot| slot.target.as_deref())
    }

    /// A link names it, or will.
    fn is_named(&self, socket: &str) -> bool {
        self.slots.values().any(|slot| slot.link.is_some() && slot.target.as_deref() == Some(socket))
    }

    /// A slot's link names a socket that keeps what comes, even while the slot has no worker: it is ours, or somebody has
    /// inherited it who is about to serve.
    pub(super) fn keeps_requests(&self, slot: SlotIndex) -> bool {
        self.linked_to(slot).is_some_and(|socket| {
            let listener = self.listeners.get(socket);
            let spare = |worker: &Worker| {
                worker.is_for(Seat::Standby)
                    && worker.is_healthy()
                    && self.socket_for(worker, slot, &self.config) == Some(socket)
            };
            listener.is_some_and(Listener::is_ours)
                || self.has_heir(socket, slot, None)
                || self.workers.values().any(spare)
        })
    }

    /// Somebody but `except` accepts from the socket for the slot, or will.
    fn has_heir(&self, socket: &str, slot: SlotIndex, except: Option<WorkerId>) -> bool {
        self.workers.iter().any(|(id, worker)| {
            let stays = worker.is_coming() || worker.is_ready();
            Some(*id) != except && stays && worker.is_for(Seat::Slot(slot)) && worker.accepts_from(socket)
        })
    }

    /// The queue that the worker accepts from is its successor's as well: a slot that is to be served goes on with the
    /// socket, which is ours, or another worker's too.
    pub(super) fn is_shared(&self, id: WorkerId, worker: &Worker) -> bool {
        let Some(socket) = worker.socket.as_deref().filter(|_| !worker.listeners.is_empty()) else {
            return false;
        };
        let goes_on = |listener: &Listener| {
            let wanted = self.is_serving() && listener.slot.0 < self.desired.slots;
            wanted && (!listener.foreign || self.has_heir(socket, listener.slot, Some(id)))
        };
        self.listeners.get(socket).is_some_and(goes_on) && self.is_named(socket)
    }

    /// The socket that a worker which has inherited some is to accept from for `slot`. One of an earlier daemon's does as long
    /// as the slot's link names it, or we have none for the slot.
    pub(super) fn socket_for(&self, worker: &Worker, slot: SlotIndex, config: &Config) -> Option<&str> {
        let ours = self.listener(slot, config);
        let foreign = self.listeners.iter().filter(|(_, listener)| listener.foreign && listener.slot == slot);
        let mut foreign = foreign.map(|(name, _)| name.as_str());
        let named = self.linked_to(slot);
        let foreign = foreign.find(|name| worker.inherited(name) && (ours.is_none() || named == Some(*name)));
        foreign.or(ours.filter(|socket| worker.inherited(socket)))
    }

    /// A worker has what it takes to serve `slot`: a socket of the slot, or leave to bind its own.
    pub(super) fn can_take(&self, worker: &Worker, slot: SlotIndex) -> bool {
        if worker.listeners.is_empty() {
            self.listener(slot, &self.config).is_none()
        } else {
            self.socket_for(worker, slot, &self.config).is_some()
        }
    }

    /// A standby has what it takes to serve every slot, and is not in the way. One that was started before a slot was added
    /// has not; one that holds a socket of an earlier daemon's from which nobody accepts any more keeps those waiting who
    /// ought to be turned away.
    pub(super) fn can_take_any(&self, standby: &Worker) -> bool {
        let missing = |slot| self.listener(slot, &self.config).is_some() && !self.can_take(standby, slot);
        let deserted = |socket: &String| {
            let accepts = |worker: &Worker| worker.accepts_from(socket) && !worker.is_gone();
            let left = self.listeners.get(socket).is_some_and(|listener| listener.deserted);
            left || self.is_foreign(socket) && !self.is_named(socket) && !self.workers.values().any(accepts)
        };
        !(0..self.desired.slots).map(SlotIndex).any(missing) && !standby.listeners.iter().any(deserted)
    }

    /// Sockets that ought to be gone.
    pub(super) fn closing_listener(&self) -> Option<SlotIndex> {
        self.listeners.values().find(|listener| listener.closing).map(|listener| listener.slot)
    }

    /// All sockets are gone that could be removed.
    pub(super) fn listeners_gone(&self) -> bool {
        self.listeners.values().all(|listener| listener.removal.failures >= LAST_TRIES)
    }

    pub(super) fn listener_deadlines(&self) -> impl Iterator<Item = (Time, Timer)> + '_ {
        self.listeners.values().filter_map(|listener| Some((listener.removal.retry_at?, Timer::Removal)))
    }
}
