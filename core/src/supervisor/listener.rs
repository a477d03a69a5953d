//! The table of listening sockets that the daemon keeps for slots (`options.listen = "daemon"`).
//!
//! A slot's socket outlives its workers: all of them inherit it, one after the other, and what waits in its accept queue
//! waits for whichever of them accepts next. So that the one who accepts is the one who serves, every worker that
//! inherits is started suspended, whatever the app is, and resumed when it takes the slot over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::Failure;
use crate::handoff::ListenerRecord;
use crate::id::SlotIndex;
use crate::time::Time;

use super::backoff::Backoff;
use super::slot::LAST_TRIES;
use super::timer::{Deadlines, Timer};

/// A socket, known by its file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listener {
    slot: SlotIndex,
    origin: Origin,
    /// It is being closed, or was and its file could not be removed.
    closing: bool,
    /// Connections may wait in it that nobody will accept, so that it is closed as soon as no worker needs it.
    deserted: bool,
    /// Failures to remove its file.
    removal: Backoff,
}

/// Who opened a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This daemon: workers can inherit it.
    Ours,
    /// An earlier daemon. Only workers hold it still: no other worker can inherit it, and it closes with them.
    Foreign,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Listeners {
    table: BTreeMap<String, Listener>,
    by_slot: BTreeMap<SlotIndex, BTreeSet<String>>,
    removals: Deadlines<String>,
    foreign: usize,
    touched: BTreeSet<String>,
}

impl Listener {
    pub fn slot(&self) -> SlotIndex {
        self.slot
    }

    pub fn is_foreign(&self) -> bool {
        self.origin == Origin::Foreign
    }

    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Connections may wait in it that nobody will accept.
    pub fn is_deserted(&self) -> bool {
        self.deserted
    }

    /// Workers can inherit it from this daemon.
    pub fn can_be_inherited(&self) -> bool {
        !self.is_foreign() && !self.closing && !self.deserted
    }

    /// Whether it is to be closed at `now`, if nobody needs it: not while that is under way, or has just failed.
    pub fn may_close(&self, now: Time) -> bool {
        match self.removal.retry_at() {
            Some(at) => at <= now,
            None => !self.closing,
        }
    }
}

impl Listeners {
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether a socket of an earlier daemon is held by workers.
    pub fn any_foreign(&self) -> bool {
        self.foreign > 0
    }

    pub fn get(&self, socket: &str) -> Option<&Listener> {
        self.table.get(socket)
    }

    /// All sockets, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Listener)> {
        self.table.iter().map(|(name, listener)| (name.as_str(), listener))
    }

    /// The sockets of a slot, in the order of their names.
    pub fn of(&self, slot: SlotIndex) -> impl Iterator<Item = (&str, &Listener)> {
        let names = self.by_slot.get(&slot).into_iter().flatten();
        names.filter_map(|name| Some((name.as_str(), self.table.get(name)?)))
    }

    /// Adds a socket, if it is not there.
    pub fn add(&mut self, slot: SlotIndex, socket: &str, origin: Origin) {
        if !self.table.contains_key(socket) {
            let listener =
                Listener { slot, origin, closing: false, deserted: false, removal: Backoff::default() };
            self.restore(socket.to_owned(), listener);
        }
    }

    /// Puts a socket back as it was recorded.
    pub fn restore(&mut self, socket: String, listener: Listener) {
        self.by_slot.entry(listener.slot).or_default().insert(socket.clone());
        let wait = listener.removal.retry_at().map(|at| (at, Timer::Removal));
        self.removals.replace(&socket, None, wait);
        self.foreign += usize::from(listener.is_foreign());
        self.touched.insert(socket.clone());
        self.table.insert(socket, listener);
    }

    /// Forgets a socket that does not exist. Returns the slot it was for.
    pub fn remove(&mut self, socket: &str) -> Option<SlotIndex> {
        let listener = self.table.remove(socket)?;
        let wait = listener.removal.retry_at().map(|at| (at, Timer::Removal));
        self.removals.replace(&socket.to_owned(), wait, None);
        self.foreign -= usize::from(listener.is_foreign());
        if let Some(names) = self.by_slot.get_mut(&listener.slot) {
            names.remove(socket);
            self.touched.extend(names.iter().cloned());
        }
        Some(listener.slot)
    }

    /// Nobody will accept from a socket any more. Returns the slot it is for.
    pub fn desert(&mut self, socket: &str) -> Option<SlotIndex> {
        self.change(socket, |listener| {
            listener.deserted = true;
            listener.slot
        })
    }

    /// A socket is being closed. Returns the slot it is for.
    pub fn closes(&mut self, socket: &str) -> Option<SlotIndex> {
        self.change(socket, |listener| {
            listener.closing = true;
            listener.removal.tried();
            listener.slot
        })
    }

    /// The file of a socket could not be removed. Returns the slot it was for, and how often that has failed.
    pub fn not_removed(&mut self, socket: &str, now: Time, failure: &Failure) -> Option<(SlotIndex, u32)> {
        self.change(socket, |listener| {
            listener.removal.failed(now, Duration::ZERO, &failure.0);
            (listener.slot, listener.removal.failures())
        })
    }

    /// A socket that ought to be gone.
    pub fn closing(&self) -> Option<SlotIndex> {
        self.table.values().find(|listener| listener.closing).map(|listener| listener.slot)
    }

    /// All sockets are gone that could be removed.
    pub fn all_gone(&self) -> bool {
        self.table.values().all(|listener| listener.removal.failures() >= LAST_TRIES)
    }

    /// The next time after `now` at which a file is tried again.
    pub fn next_deadline(&self, now: Time) -> Option<(Time, Timer)> {
        self.removals.next_after(now)
    }

    /// Something about these sockets may have changed that is not in this table.
    pub fn touch(&mut self, sockets: impl IntoIterator<Item = String>) {
        self.touched.extend(sockets);
    }

    pub fn touch_all(&mut self) {
        self.touched.extend(self.table.keys().cloned());
    }

    /// Touches the sockets whose file is to be tried again at `now`.
    pub fn touch_due(&mut self, now: Time) {
        self.touched.extend(self.removals.due(now).map(|(name, _)| name.clone()));
    }

    /// The sockets touched since they were last taken.
    pub fn touched(&self) -> &BTreeSet<String> {
        &self.touched
    }

    /// The sockets touched since this was called last.
    pub fn take_touched(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.touched)
    }

    fn change<R>(&mut self, socket: &str, change: impl FnOnce(&mut Listener) -> R) -> Option<R> {
        let listener = self.table.get_mut(socket)?;
        let before = listener.removal.retry_at().map(|at| (at, Timer::Removal));
        let result = change(listener);
        let after = listener.removal.retry_at().map(|at| (at, Timer::Removal));
        self.removals.replace(&socket.to_owned(), before, after);
        self.touched.extend(self.by_slot.get(&listener.slot).into_iter().flatten().cloned());
        Some(result)
    }
}

impl From<&Listener> for ListenerRecord {
    fn from(listener: &Listener) -> Self {
        let Listener { slot, origin, closing, deserted, removal } = listener;
        Self {
            slot: *slot,
            closing: *closing,
            foreign: *origin == Origin::Foreign,
            deserted: *deserted,
            removal: removal.into(),
        }
    }
}

impl From<ListenerRecord> for Listener {
    fn from(record: ListenerRecord) -> Self {
        let ListenerRecord { slot, closing, foreign, deserted, removal } = record;
        let origin = if foreign { Origin::Foreign } else { Origin::Ours };
        Self { slot, origin, closing, deserted, removal: removal.into() }
    }
}
