//! Sockets and links that an earlier daemon left: whose they are now.

use std::sync::Arc;

use crate::action::Action;
use crate::config::Named;
use crate::id::{SlotIndex, WorkerId};
use crate::state::{FoundLink, Leftovers, RecordedStage, State, WorkerRecord};
use crate::supervisor::listener::Origin;
use crate::supervisor::pool::Pool;

/// A link that stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnedLink {
    pub slot: SlotIndex,
    /// The worker of the slot that serves behind it; none if that is a neighbour, or a worker has inherited the socket that
    /// may.
    pub owner: Option<WorkerId>,
}

/// Takes over the sockets of the earlier daemon that its workers have inherited. A standby has those of all slots, from
/// the first one on.
pub(super) fn adopt_listeners(pool: &mut Pool, left: &Leftovers) {
    for record in left.survivors.iter().filter_map(|survivor| left.record(survivor.id)) {
        for (slot, socket) in (0..).map(SlotIndex).zip(&record.listeners) {
            let slot = record.slot.filter(|_| record.listeners.len() == 1).unwrap_or(slot);
            pool.listeners.add(slot, socket, Origin::Foreign);
        }
    }
}

/// Takes over one link for each slot: that of today's `socketFile`, else that of the former one. One that names a worker on its way
/// out stays only if there is no other: it could not be removed. Other links have to go. Returns those that stay, and whether a rollout
/// that was in progress is to be finished.
pub(super) fn adopt_links(pool: &mut Pool, left: &Leftovers) -> (Vec<OwnedLink>, bool) {
    if let Some(state) = &left.state {
        pool.former_patterns = state.former_patterns(&pool.config.socket_file).collect();
    }
    let named = |link: &FoundLink| (link.clone(), owner_of(pool, link, left));
    let mut found: Vec<(FoundLink, Option<WorkerId>)> = left.links.iter().map(named).collect();
    found.sort_by_cached_key(|(link, named)| {
        let record = named.and_then(|id| left.record(id));
        let goes = record.is_some_and(|record| record.stage.is_going());
        (link.slot, goes, link.name != pool.config.socket_file.link(link.slot))
    });
    let mut kept: Vec<OwnedLink> = Vec::new();
    let mut others: Vec<FoundLink> = Vec::new();
    for (FoundLink { slot, name, socket }, named) in found {
        let of_another = |id: &WorkerId| {
            let home = left.record(*id).and_then(|record| record.slot);
            home.is_some_and(|home| home != slot) || kept.iter().any(|kept| kept.owner == Some(*id))
        };
        let neighbour = named.filter(of_another);
        let owner = named.filter(|_| neighbour.is_none());
        let awaited = left.heirs(&socket).any(|heir| heir.slot.is_none_or(|its| its == slot) && !heir.new);
        let taken = kept.last().is_some_and(|kept| kept.slot == slot);
        if !taken && (named.is_some() || awaited) && !defect!(AdoptionForgetsLinks) {
            let target = Arc::from(socket);
            // One that was told to go serves no other slot, either.
            let serves =
                |id: &WorkerId| left.record(*id).is_none_or(|record| record.stage != RecordedStage::Leaving);
            pool.slots.change(slot, |slot| {
                slot.is_found(name, target);
                neighbour.filter(serves).into_iter().for_each(|id| slot.is_lent(id));
            });
            kept.push(OwnedLink { slot, owner });
        } else if named.is_some() || pool.listeners.get(&socket).is_some() {
            others.push(FoundLink { slot, name, socket });
        }
    }
    let finishes = left.state.as_ref().is_some_and(|state| rollout_is_finished(state, &kept));
    for FoundLink { slot, name, socket } in others {
        let stays = kept.iter().find(|kept| kept.slot == slot);
        // The link that stays gets this name in one step: clients meet no moment without a link.
        let replaced =
            name == pool.config.socket_file.link(slot) && stays.is_some_and(|stays| stays.owner.is_some());
        // The new worker of the slot is dead, and a new standby can serve from its socket.
        let awaited = left.heirs(&socket).any(|heir| heir.slot.is_none());
        if finishes && stays.is_none() && awaited && !defect!(AdoptionForgetsLinks) {
            pool.slots.change(slot, |slot| slot.is_found(name, Arc::from(socket)));
            kept.push(OwnedLink { slot, owner: None });
        } else if !replaced {
            pool.effects.order(Action::Withdraw { slot, link: name });
        }
    }
    for pattern in pool.former_patterns.clone() {
        pool.effects.order(Action::Sweep { pattern });
    }
    (kept, finishes)
}

/// Whether a rollout that was in progress is finished, because a link names a worker of it that is alive.
fn rollout_is_finished(state: &State, links: &[OwnedLink]) -> bool {
    // Of those who share a socket, the link does not tell whom it is to name.
    let shared =
        |socket: &String| state.workers.iter().any(|other| !other.new && other.listeners.contains(socket));
    let tells = |record: &WorkerRecord| record.new && !record.socket.iter().any(shared);
    let mut owners = links.iter().filter_map(|link| state.worker(link.owner?));
    state.rollout.is_some() && owners.any(tells)
}

/// Who serves behind a link: the worker that bound its socket or, of those that inherited that, one that is not to go, and was
/// not to replace another. A worker that is to go serves on while a link of another slot names it.
fn owner_of(pool: &Pool, link: &FoundLink, left: &Leftovers) -> Option<WorkerId> {
    let survives = |id: &WorkerId| left.survivors.iter().any(|survivor| survivor.id == *id);
    let serves = |holder: &&WorkerRecord| match holder.stage {
        RecordedStage::Booting | RecordedStage::BootingSuspended | RecordedStage::Leaving => false,
        RecordedStage::Draining => holder.slot.is_some_and(|home| home != link.slot),
        RecordedStage::Online | RecordedStage::Suspended | RecordedStage::Broken => holder.slot.is_some(),
    };
    let serving = left.holders(&link.socket).filter(serves);
    let first = serving.min_by_key(|holder| (holder.stage.is_going(), holder.new)).map(|holder| holder.id);
    socket_owner(pool, &link.socket).filter(survives).or(first)
}

/// The worker that binds a socket of this name, by today's `socketFile` and former ones.
pub(super) fn socket_owner(pool: &Pool, socket: &str) -> Option<WorkerId> {
    let mut patterns = pool.former_patterns.iter().chain([&pool.config.socket_file]);
    patterns.find_map(|pattern| match pattern.matches(socket)? {
        Named::Socket(worker) => Some(worker),
        Named::Link(_) | Named::TemporaryLink => None,
    })
}

impl Leftovers {
    /// What the state file says of a worker.
    pub(super) fn record(&self, id: WorkerId) -> Option<&WorkerRecord> {
        self.state.as_ref()?.worker(id)
    }

    /// Those alive who accept from a socket that they have inherited, or may.
    fn holders(&self, socket: &str) -> impl Iterator<Item = &WorkerRecord> {
        let records = self.survivors.iter().filter_map(|survivor| self.record(survivor.id));
        records.filter(move |record| {
            let inherited = record.listeners.iter().any(|inherited| inherited == socket);
            inherited && record.socket.as_deref().is_none_or(|its| its == socket)
        })
    }

    /// Those of them that are not about to go.
    fn heirs(&self, socket: &str) -> impl Iterator<Item = &WorkerRecord> {
        self.holders(socket).filter(|holder| !holder.stage.is_going())
    }
}
