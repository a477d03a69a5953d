//! The table of slots, with what is needed to answer questions about them without looking at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::timer::{Deadlines, Timer};
use crate::time::Time;

use super::Slot;
use super::neighbours::{Host, Neighbours};

/// All slots that ought to be served, and those whose link is not gone yet.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Slots {
    table: BTreeMap<SlotIndex, Slot>,
    /// When the next worker of a slot may be started.
    restarts: Deadlines<SlotIndex>,
    /// When a link is swapped again that could not be.
    swaps: Deadlines<SlotIndex>,
    /// When a link is removed again that could not be.
    removals: Deadlines<SlotIndex>,
    /// When a standby may take a slot from a worker that is still booting for it.
    promotions: Deadlines<SlotIndex>,
    promotion_of: BTreeMap<SlotIndex, Time>,
    /// The sockets that links name.
    named: BTreeMap<Arc<str>, BTreeSet<SlotIndex>>,
    neighbours: Neighbours,
    /// Before that, no link goes from one host to another while further workers come.
    spread_at: Option<Time>,
    changing: usize,
    promoting: usize,
    touched: BTreeSet<SlotIndex>,
    service: BTreeMap<SlotIndex, Service>,
    unready: BTreeSet<SlotIndex>,
    unwell: BTreeSet<SlotIndex>,
    failing: BTreeSet<SlotIndex>,
}

/// How a slot is served that ought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Service {
    /// Its owner is ready and well.
    Healthy,
    /// Its owner serves, but has to be replaced.
    Broken,
    /// Its owner has a process and is not ready.
    Owned,
    /// It has no owner with a process. `failing`: because its workers fail.
    Vacant { failing: bool },
}

impl Slots {
    pub fn get(&self, index: SlotIndex) -> Option<&Slot> {
        self.table.get(&index)
    }

    /// All slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = (SlotIndex, &Slot)> {
        self.table.iter().map(|(index, slot)| (*index, slot))
    }

    /// The slots from `first` on.
    pub fn from(&self, first: SlotIndex) -> impl Iterator<Item = (SlotIndex, &Slot)> {
        self.table.range(first..).map(|(index, slot)| (*index, slot))
    }

    /// Changes a slot, which comes into being if it was not there.
    pub fn change<R>(&mut self, index: SlotIndex, change: impl FnOnce(&mut Slot) -> R) -> R {
        let before = self.table.remove(&index);
        let mut slot = before.clone().unwrap_or_default();
        let result = change(&mut slot);
        if before.as_ref() != Some(&slot) {
            self.touched.insert(index);
            self.update(index, before.as_ref(), Some(&slot));
        }
        self.table.insert(index, slot);
        result
    }

    /// Forgets a slot that is not to be served and has no link.
    pub fn remove(&mut self, index: SlotIndex) {
        if let Some(slot) = self.table.remove(&index) {
            self.touched.insert(index);
            self.update(index, Some(&slot), None);
            self.expect_promotion(index, None);
        }
    }

    /// No link is being changed.
    pub fn is_at_rest(&self) -> bool {
        self.changing == 0
    }

    /// How many links are going to name a worker that was a standby.
    pub fn promoting(&self) -> usize {
        self.promoting
    }

    /// Whether a link names this socket.
    pub fn names(&self, socket: &str) -> bool {
        self.named.contains_key(socket)
    }

    /// The slots whose links name the socket.
    pub fn naming(&self, socket: &str) -> impl Iterator<Item = SlotIndex> + '_ {
        self.named.get(socket).into_iter().flatten().copied()
    }

    /// Slots whose links name the socket are to be looked at.
    pub fn touch_naming(&mut self, socket: &str) {
        self.touched.extend(self.named.get(socket).into_iter().flatten());
    }

    /// The slots whose link names this worker of another slot, or is going to.
    pub fn guests(&self, worker: WorkerId) -> impl Iterator<Item = SlotIndex> + '_ {
        self.neighbours.guests(worker)
    }

    /// The workers that links of other slots name, or are going to.
    pub fn with_guests(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.neighbours.with_guests()
    }

    /// A link of another slot names the worker, or is going to.
    pub fn has_guests(&self, worker: WorkerId) -> bool {
        self.guests(worker).next().is_some()
    }

    /// Links of other slots may name the worker.
    pub fn is_host(&self, worker: WorkerId) -> bool {
        self.neighbours.is_host(worker)
    }

    /// The worker that the link of another slot is to name next.
    pub fn next_host(&self) -> Option<WorkerId> {
        self.neighbours.next_host()
    }

    /// The link of a slot leads nowhere until there is a host.
    pub fn needs_host(&mut self, index: SlotIndex) {
        self.neighbours.needs_host(index);
    }

    /// Slots that have asked for a host in vain are to be looked at again.
    pub fn touch_homeless(&mut self) {
        let homeless = self.neighbours.take_homeless();
        self.touch(homeless);
    }

    /// Who may be named by links of other slots because it serves this one. Returns the slots to which that matters.
    pub fn set_host(&mut self, index: SlotIndex, host: Option<Host>) -> BTreeSet<SlotIndex> {
        self.neighbours.set_host(index, host)
    }

    /// Two workers of which the second one ought to be named by a link that names the first one.
    pub fn unequal_hosts(&self) -> Option<(WorkerId, WorkerId)> {
        self.neighbours.unequal()
    }

    /// Links may be spread anew at `now`.
    pub fn may_spread(&self, now: Time) -> bool {
        self.spread_at.is_none_or(|at| at <= now)
    }

    /// Links are spread anew at `at`, if that is needed by then.
    pub fn spread_at(&mut self, at: Time) {
        self.spread_at = Some(at);
    }

    /// Something about the slot may have changed that is not in the slot itself.
    pub fn touch(&mut self, slots: impl IntoIterator<Item = SlotIndex>) {
        self.touched.extend(slots);
    }

    /// Touches all slots: those that are there, and those that ought to be.
    pub fn touch_all(&mut self, wanted: u32) {
        self.touched.extend(self.table.keys().chain(self.service.keys()).copied());
        self.touched.extend((0..wanted).map(SlotIndex));
    }

    /// Touches the slots for which a wait is over at `now`.
    pub fn touch_due(&mut self, now: Time, filling: bool) {
        self.touched.extend(self.swaps.due(now).map(|(index, _)| *index));
        self.touched.extend(self.removals.due(now).map(|(index, _)| *index));
        if filling {
            self.touched.extend(self.restarts.due(now).map(|(index, _)| *index));
            self.touched.extend(self.promotions.due(now).map(|(index, _)| *index));
        }
    }

    /// The slots touched since this was called last.
    pub fn take_touched(&mut self) -> BTreeSet<SlotIndex> {
        std::mem::take(&mut self.touched)
    }

    /// The slots touched since they were last taken.
    pub fn touched(&self) -> &BTreeSet<SlotIndex> {
        &self.touched
    }

    /// When a standby may take the slot, if its own worker is still booting then.
    pub fn expect_promotion(&mut self, index: SlotIndex, at: Option<Time>) {
        let before = match at {
            Some(at) => self.promotion_of.insert(index, at),
            None => self.promotion_of.remove(&index),
        };
        let timer = |at: Time| (at, Timer::Promotion);
        self.promotions.replace(&index, before.map(timer), at.map(timer));
    }

    /// How the slot is served; `None` for one that ought not to be.
    pub fn set_service(&mut self, index: SlotIndex, service: Option<Service>) {
        let before = match service {
            Some(service) => self.service.insert(index, service),
            None => self.service.remove(&index),
        };
        if before == service {
            return;
        }
        let set = |slots: &mut BTreeSet<SlotIndex>, member: bool| {
            if member {
                slots.insert(index)
            } else {
                slots.remove(&index)
            };
        };
        let ready = matches!(service, Some(Service::Healthy | Service::Broken));
        set(&mut self.unready, service.is_some() && !ready);
        set(&mut self.unwell, service.is_some_and(|service| service != Service::Healthy));
        set(&mut self.failing, service == Some(Service::Vacant { failing: true }));
    }

    /// How many slots that ought to be served have no ready owner.
    pub fn unready(&self) -> usize {
        self.unready.len()
    }

    /// Slots that ought to be served and have no healthy owner: a standby may take them over.
    pub fn unwell(&self) -> &BTreeSet<SlotIndex> {
        &self.unwell
    }

    /// The first vacant slot whose workers fail.
    pub fn first_failing(&self) -> Option<SlotIndex> {
        self.failing.first().copied()
    }

    /// The next time after `now` at which something is tried again. What is due has been tried already, or waits for
    /// the completion of an order. `filling`: workers are started for vacant slots, and links spread.
    pub fn next_deadline(&self, now: Time, filling: bool) -> Option<(Time, Timer)> {
        let links = [self.swaps.next_after(now), self.removals.next_after(now)];
        let workers = [self.restarts.next_after(now), self.promotions.next_after(now)];
        let spread = self.spread_at.filter(|at| *at > now && self.unequal_hosts().is_some());
        let spread = spread.map(|at| (at, Timer::Spread));
        let workers = workers.into_iter().flatten().chain(spread).filter(|_| filling);
        links.into_iter().flatten().chain(workers).min()
    }

    fn update(&mut self, index: SlotIndex, before: Option<&Slot>, after: Option<&Slot>) {
        self.neighbours.update(index, before, after);
        let changing = |slot: Option<&Slot>| usize::from(slot.is_some_and(Slot::is_changing));
        self.changing = self.changing + changing(after) - changing(before);
        let promoting = |slot: Option<&Slot>| usize::from(slot.is_some_and(Slot::is_promoting));
        self.promoting = self.promoting + promoting(after) - promoting(before);
        let wait = |slot: Option<&Slot>, timer: Timer, which: fn(&Slot) -> Option<Time>| {
            slot.and_then(which).map(|at| (at, timer))
        };
        let restart = |slot: &Slot| slot.worker_failures().retry_at();
        self.restarts.replace(
            &index,
            wait(before, Timer::Restart, restart),
            wait(after, Timer::Restart, restart),
        );
        let swap = |slot: &Slot| slot.swap_failures().retry_at();
        self.swaps.replace(&index, wait(before, Timer::Link, swap), wait(after, Timer::Link, swap));
        let removal = |slot: &Slot| slot.removal_failures().retry_at();
        self.removals.replace(&index, wait(before, Timer::Link, removal), wait(after, Timer::Link, removal));
        let socket = |slot: Option<&Slot>| slot.and_then(Slot::linked_to).cloned();
        let (was, is) = (socket(before), socket(after));
        if was != is {
            if let Some(was) = was
                && let Some(slots) = self.named.get_mut(&was)
            {
                slots.remove(&index);
                if slots.is_empty() {
                    self.named.remove(&was);
                }
            }
            if let Some(is) = is {
                self.named.entry(is).or_default().insert(index);
            }
        }
    }
}
