//! Sockets and links that an earlier daemon left: whose they are now.

use crate::action::Action;
use crate::id::{SlotIndex, WorkerId};
use crate::state::{FoundLink, Inheritance, WorkerRecord};

use super::Supervisor;
use super::slots::Slot;

/// A link that stays.
pub(super) struct OwnedLink {
    pub slot: SlotIndex,
    /// The worker that serves behind it; none if somebody has inherited the socket who may.
    pub owner: Option<WorkerId>,
}

impl Supervisor {
    /// Sockets of the earlier daemon that its workers have inherited. A spare has those of all slots, from the first one on.
    pub(super) fn inherit_listeners(&mut self, left: &Inheritance) {
        for record in left.survivors.iter().filter_map(|survivor| left.record(survivor.id)) {
            for (slot, socket) in (0..).map(SlotIndex).zip(&record.listeners) {
                self.found_listener(
                    record.slot.filter(|_| record.listeners.len() == 1).unwrap_or(slot),
                    socket,
                );
            }
        }
    }

    /// One link to a slot: that of today's `socketFile`, else that of the former one. Others have to go.
    pub(super) fn inherit_links(&mut self, left: &Inheritance) -> Vec<OwnedLink> {
        if let Some(state) = &left.state {
            self.former_patterns = state.former_patterns(&self.config.socket_file).collect();
        }
        let mut found = left.links.clone();
        found.sort_by_key(|link| (link.slot, link.name != self.config.socket_file.link(link.slot)));
        let mut kept: Vec<OwnedLink> = Vec::new();
        for FoundLink { slot, name, socket } in found {
            let owner = self.owner_of(&socket, left);
            let awaited =
                left.holders(&socket).any(|holder| holder.slot.is_none_or(|its| its == slot) && !holder.new);
            let taken = kept.last().is_some_and(|kept| kept.slot == slot);
            if !taken && (owner.is_some() || awaited) {
                self.slots.insert(slot, Slot { link: Some(name), target: Some(socket), ..Slot::default() });
                kept.push(OwnedLink { slot, owner });
            } else if owner.is_some() || self.is_listener(&socket) {
                self.act(Action::Withdraw { slot, link: name });
            }
        }
        for pattern in self.former_patterns.clone() {
            self.act(Action::Sweep { pattern });
        }
        kept
    }

    /// Who serves behind a socket: the worker that bound it or, of those that inherited it, the one that was not to replace
    /// another.
    fn owner_of(&self, socket: &str, left: &Inheritance) -> Option<WorkerId> {
        let survives = |id: &WorkerId| left.survivors.iter().any(|survivor| survivor.id == *id);
        let heirs = left.holders(socket).filter(|holder| holder.slot.is_some() && !holder.stage.is_booting());
        self.socket_owner(socket).filter(survives).or(heirs.min_by_key(|heir| heir.new).map(|heir| heir.id))
    }
}

impl Inheritance {
    /// What the state file says of a worker.
    pub(super) fn record(&self, id: WorkerId) -> Option<&WorkerRecord> {
        self.state.as_ref()?.worker(id)
    }

    /// Those alive who accept from a socket that they have inherited, or may, and are not about to go.
    fn holders(&self, socket: &str) -> impl Iterator<Item = &WorkerRecord> {
        let records = self.survivors.iter().filter_map(|survivor| self.record(survivor.id));
        records.filter(move |record| {
            let inherited = record.listeners.iter().any(|inherited| inherited == socket);
            let goes = record.stage.is_going();
            inherited && !goes && record.socket.as_deref().is_none_or(|its| its == socket)
        })
    }
}
