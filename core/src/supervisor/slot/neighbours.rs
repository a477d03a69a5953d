//! Which links name a worker of another slot, and which workers such links may name.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::{SlotIndex, WorkerId};

use super::{LinkChange, Relation, Slot};

/// A worker that links of other slots may name, because it serves its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) struct Host {
    pub worker: WorkerId,
    /// It has to be replaced: it is named only if no other is there.
    pub broken: bool,
}

/// Links without a worker of their own, and those who serve behind them meanwhile.
#[derive(Debug, Clone, Default)]
pub(super) struct Neighbours {
    /// The slots whose link names this worker of another slot, or is going to.
    guests: BTreeMap<WorkerId, BTreeSet<SlotIndex>>,
    /// How many links will name this worker of another slot, once all swaps are done.
    load: BTreeMap<WorkerId, usize>,
    hosts: BTreeMap<SlotIndex, Host>,
    slot_of: BTreeMap<WorkerId, SlotIndex>,
    /// Hosts, those first that have the fewest guests; broken ones last.
    by_load: BTreeSet<(bool, usize, SlotIndex)>,
    /// Slots that have asked for a host when there was none.
    homeless: BTreeSet<SlotIndex>,
}

impl Neighbours {
    /// The slots whose link names this worker of another slot, or is going to.
    pub fn guests(&self, worker: WorkerId) -> impl Iterator<Item = SlotIndex> + '_ {
        self.guests.get(&worker).into_iter().flatten().copied()
    }

    /// The workers that links of other slots name, or are going to.
    pub fn with_guests(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.guests.keys().copied()
    }

    pub fn is_host(&self, worker: WorkerId) -> bool {
        self.slot_of.contains_key(&worker)
    }

    /// The host that a link is to name next.
    pub fn next_host(&self) -> Option<WorkerId> {
        let (_, _, slot) = self.by_load.first()?;
        self.hosts.get(slot).map(|host| host.worker)
    }

    /// Somebody has no host.
    pub fn needs_host(&mut self, slot: SlotIndex) {
        self.homeless.insert(slot);
    }

    /// Slots that have asked for a host in vain: they are to be looked at again.
    pub fn take_homeless(&mut self) -> BTreeSet<SlotIndex> {
        std::mem::take(&mut self.homeless)
    }

    /// Two hosts, of which the first one has at least two guests more than the second, or is broken and has any.
    pub fn unequal(&self) -> Option<(WorkerId, WorkerId)> {
        let (broken, least, to) = *self.by_load.first()?;
        let (most_broken, most, from) = *self.by_load.last()?;
        let (_, most_healthy, from_healthy) = *self.by_load.range(..(true, 0, SlotIndex(0))).next_back()?;
        let from = if most_broken && !broken && most > 0 {
            from
        } else if most_healthy > least + 1 {
            from_healthy
        } else {
            return None;
        };
        Some((self.hosts.get(&from)?.worker, self.hosts.get(&to)?.worker))
    }

    /// Who may be named by links of other slots because it serves `slot`. Returns the slots to which that matters.
    pub fn set_host(&mut self, slot: SlotIndex, host: Option<Host>) -> BTreeSet<SlotIndex> {
        let before = self.hosts.get(&slot).copied();
        if before == host {
            return BTreeSet::new();
        }
        let mut concerned = BTreeSet::new();
        if let Some(before) = before {
            concerned.extend(self.guests(before.worker));
            self.by_load.remove(&(before.broken, self.load(before.worker), slot));
            self.slot_of.remove(&before.worker);
            self.hosts.remove(&slot);
        }
        if let Some(host) = host {
            // A worker that comes to serve another slot leaves the former one first.
            if let Some(former) = self.slot_of.get(&host.worker).copied() {
                concerned.extend(self.set_host(former, None));
            }
            self.by_load.insert((host.broken, self.load(host.worker), slot));
            self.slot_of.insert(host.worker, slot);
            self.hosts.insert(slot, host);
            concerned.append(&mut self.homeless);
        }
        concerned
    }

    /// A slot has changed.
    pub fn update(&mut self, index: SlotIndex, before: Option<&Slot>, after: Option<&Slot>) {
        let (was, is) = (named(before), named(after));
        for worker in was.difference(&is) {
            if let Entry::Occupied(mut guests) = self.guests.entry(*worker) {
                guests.get_mut().remove(&index);
                if guests.get().is_empty() {
                    guests.remove();
                }
            }
        }
        for worker in is.difference(&was) {
            self.guests.entry(*worker).or_default().insert(index);
        }
        let (was, is) = (meant(before), meant(after));
        if was != is {
            was.into_iter().for_each(|worker| self.change_load(worker, |load| load.saturating_sub(1)));
            is.into_iter().for_each(|worker| self.change_load(worker, |load| load + 1));
        }
    }

    fn change_load(&mut self, worker: WorkerId, change: impl FnOnce(usize) -> usize) {
        let (before, after) = (self.load(worker), change(self.load(worker)));
        if after == 0 {
            self.load.remove(&worker);
        } else {
            self.load.insert(worker, after);
        }
        let host = self.slot_of.get(&worker).and_then(|slot| Some((*slot, self.hosts.get(slot)?.broken)));
        if let Some((slot, broken)) = host {
            self.by_load.remove(&(broken, before, slot));
            self.by_load.insert((broken, after, slot));
        }
    }

    fn load(&self, worker: WorkerId) -> usize {
        self.load.get(&worker).copied().unwrap_or_default()
    }
}

/// The workers of other slots that the link names, or is going to.
fn named(slot: Option<&Slot>) -> BTreeSet<WorkerId> {
    slot.and_then(Slot::neighbour).into_iter().chain(meant(slot)).collect()
}

/// The worker of another slot that the link will name, once its swap is done.
fn meant(slot: Option<&Slot>) -> Option<WorkerId> {
    let slot = slot?;
    match slot.change() {
        Some(LinkChange::To { worker, relation: Relation::Neighbour, .. }) => Some(*worker),
        Some(LinkChange::To { relation: Relation::Own | Relation::Standby, .. } | LinkChange::Removal) => {
            None
        }
        None => slot.neighbour(),
    }
}
