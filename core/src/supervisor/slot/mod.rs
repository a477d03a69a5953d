//! One slot: the link that nginx follows, whose socket it names, and what has failed about it.

pub(super) mod neighbours;
pub(super) mod table;

use std::sync::Arc;
use std::time::Duration;

use crate::handoff::{ServiceRecord, SlotRecord};
use crate::id::WorkerId;
use crate::time::Time;

use super::backoff::Backoff;

/// A link, or a socket, that could not be removed this many times in a row is left behind, and no longer keeps its
/// worker or the daemon.
pub(super) const LAST_TRIES: u32 = 5;

/// A slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slot {
    /// The worker of the slot whose socket the link names.
    owner: Option<WorkerId>,
    /// The worker of another slot whose socket the link names, while the slot has none of its own.
    neighbour: Option<WorkerId>,
    /// The link's file name, if it exists.
    link: Option<String>,
    /// The file name of the socket that the link names, or named last.
    target: Option<Arc<str>>,
    /// Somebody else has removed the link, or made another one of it.
    lost: bool,
    /// A change of the link that is under way; never so between two orders.
    change: Option<LinkChange>,
    /// Failures of its workers.
    worker_failures: Backoff,
    /// Failures to swap its link.
    swap_failures: Backoff,
    /// Failures to remove its link.
    removal_failures: Backoff,
    /// What has failed since there is the slot.
    history: History,
    /// Whether it is served.
    continuity: Continuity,
}

/// Whether a slot is served, and since when it is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Continuity {
    /// It ought not to be, or has never been.
    #[default]
    None,
    Served,
    Missing {
        since: Time,
    },
}

/// How many workers of a slot have failed, or had to be replaced, and the last of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History {
    pub count: u64,
    pub last: Option<(Time, String)>,
}

impl History {
    fn add(&mut self, now: Time, reason: &str) {
        self.count = self.count.saturating_add(1);
        self.last = Some((now, reason.to_owned()));
    }
}

/// A change of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkChange {
    /// The link is going to name the socket of this worker.
    To { worker: WorkerId, relation: Relation, link: String, socket: Arc<str> },
    /// The link is being removed.
    Removal,
}

/// What the worker that a link is going to name is to the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// It was started for the slot.
    Own,
    /// It was a standby.
    Standby,
    /// It serves another slot, and goes on with that.
    Neighbour,
}

/// What became of the removal of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Removed {
    /// It was the link of an earlier `socketFile`.
    #[default]
    FormerLink,
    /// The link is gone, or given up; this worker owned it.
    Released(WorkerId),
    /// The link is gone, or given up; it named this worker of another slot.
    Left(WorkerId),
    /// The link is gone, or given up, and nobody owned it.
    Unowned,
    /// The removal failed and is tried again.
    Again,
}

/// A link that names another socket now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Swapped {
    /// The worker of the slot that was named before.
    pub before: Option<WorkerId>,
    /// The worker of another slot that was named before.
    pub left: Option<WorkerId>,
    /// The link by an earlier `socketFile`, which nobody looks for any more.
    pub former_link: Option<String>,
    /// The socket that the link named before, if that is another one.
    pub former_socket: Option<Arc<str>>,
}

impl Slot {
    /// An earlier daemon left this link to this socket.
    pub fn is_found(&mut self, link: String, target: Arc<str>) {
        self.link = Some(link);
        self.target = Some(target);
    }

    /// The worker whose socket the link names.
    pub fn owner(&self) -> Option<WorkerId> {
        self.owner
    }

    /// The worker of another slot whose socket the link names.
    pub fn neighbour(&self) -> Option<WorkerId> {
        self.neighbour
    }

    /// The link's file name, if it exists.
    pub fn link(&self) -> Option<&str> {
        self.link.as_deref()
    }

    /// Whether somebody else has removed the link, or made another one of it, and it has not been made again.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Somebody else has removed the link, or has put it back.
    pub fn set_lost(&mut self, lost: bool) {
        self.lost = lost;
    }

    /// The socket that the link names, if there is a link.
    pub fn linked_to(&self) -> Option<&Arc<str>> {
        self.target.as_ref().filter(|_| self.link.is_some())
    }

    /// A change of the link is under way.
    pub fn is_changing(&self) -> bool {
        self.change.is_some()
    }

    pub fn change(&self) -> Option<&LinkChange> {
        self.change.as_ref()
    }

    /// The link is going to name this worker.
    pub fn is_going_to_name(&self, id: WorkerId) -> bool {
        matches!(self.change, Some(LinkChange::To { worker, .. }) if worker == id)
    }

    /// The worker owns the slot, or the link is going to name it.
    pub fn is_taken_by(&self, id: WorkerId) -> bool {
        self.owner() == Some(id) || self.is_going_to_name(id)
    }

    /// The link is going to name a worker that was a standby.
    pub fn is_promoting(&self) -> bool {
        matches!(self.change, Some(LinkChange::To { relation: Relation::Standby, .. }))
    }

    pub fn worker_failures(&self) -> &Backoff {
        &self.worker_failures
    }

    pub fn swap_failures(&self) -> &Backoff {
        &self.swap_failures
    }

    pub fn removal_failures(&self) -> &Backoff {
        &self.removal_failures
    }

    /// The link could not be removed so often that it is left behind.
    pub fn is_given_up(&self) -> bool {
        self.removal_failures.failures() >= LAST_TRIES
    }

    pub fn set_owner(&mut self, owner: Option<WorkerId>) {
        self.owner = owner;
    }

    /// The link names this worker of another slot: an earlier daemon had it do so, or the worker has taken over the socket.
    pub fn is_lent(&mut self, neighbour: WorkerId) {
        self.neighbour = Some(neighbour);
    }

    /// A worker of the slot failed after having worked for `worked`.
    pub fn worker_failed(&mut self, now: Time, worked: Duration, reason: &str) {
        self.worker_failures.failed(now, worked, reason);
        self.history.add(now, reason);
    }

    /// What is counted last has turned out to have this reason.
    pub fn explain_failure(&mut self, reason: &str) {
        self.worker_failures.explain(reason);
        if let Some((_, last)) = &mut self.history.last {
            reason.clone_into(last);
        }
    }

    /// A worker has to be replaced that has not failed.
    pub fn worker_worn(&mut self, now: Time, reason: &str) {
        self.history.add(now, reason);
    }

    /// Whether nothing new is said by that it is served, or not, or ought not to be (`None`).
    pub fn is_known_to_be_served(&self, served: Option<bool>) -> bool {
        match self.continuity {
            Continuity::None => served != Some(true),
            Continuity::Served => served == Some(true),
            Continuity::Missing { .. } => served == Some(false),
        }
    }

    /// Whether it is served now; `None`: it ought not to be. Returns for how long it was not, if that is over.
    pub fn is_served(&mut self, now: Time, served: Option<bool>) -> Option<Duration> {
        let before = self.continuity;
        self.continuity = match (served, before) {
            (None, _) | (Some(false), Continuity::None) => Continuity::None,
            (Some(true), _) => Continuity::Served,
            (Some(false), Continuity::Served) => Continuity::Missing { since: now },
            (Some(false), Continuity::Missing { .. }) => before,
        };
        match (before, self.continuity) {
            (Continuity::Missing { since }, Continuity::Served) => Some(now.since(since)),
            (Continuity::None | Continuity::Served | Continuity::Missing { .. }, _) => None,
        }
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    /// A worker of the slot is started, or none is needed.
    pub fn worker_tried(&mut self) {
        self.worker_failures.tried();
    }

    /// New workers took over: what failed before is forgotten.
    pub fn forget_failures(&mut self) {
        self.worker_failures.succeeded();
    }

    /// The link is going to be swapped.
    pub fn swaps(&mut self, change: LinkChange) {
        self.change = Some(change);
        self.swap_failures.tried();
    }

    /// The link was swapped to name `worker`.
    pub fn swapped(
        &mut self,
        worker: WorkerId,
        relation: Relation,
        link: String,
        socket: Arc<str>,
    ) -> Swapped {
        self.change = None;
        self.lost = false;
        self.swap_failures.succeeded();
        let former_socket = self.target.replace(Arc::clone(&socket)).filter(|former| *former != socket);
        let (owner, neighbour) = match relation {
            Relation::Own | Relation::Standby => (Some(worker), None),
            Relation::Neighbour => (None, Some(worker)),
        };
        let before = std::mem::replace(&mut self.owner, owner).filter(|before| *before != worker);
        let left = std::mem::replace(&mut self.neighbour, neighbour).filter(|left| *left != worker);
        let former_link = self.link.replace(link.clone()).filter(|former| *former != link);
        Swapped { before, left, former_link, former_socket }
    }

    /// The link could not be swapped.
    pub fn not_swapped(&mut self, now: Time, reason: &str) {
        self.change = None;
        self.swap_failures.failed(now, Duration::ZERO, reason);
    }

    /// The link is going to be removed, if there is one that is not being changed. Returns its name.
    pub fn removes(&mut self) -> Option<String> {
        let link = self.link.clone().filter(|_| self.change.is_none())?;
        self.change = Some(LinkChange::Removal);
        self.removal_failures.tried();
        Some(link)
    }

    /// `link` was removed, or could not be.
    pub fn removed(&mut self, now: Time, link: &str, failure: Option<&str>) -> Removed {
        if self.change != Some(LinkChange::Removal) || self.link.as_deref() != Some(link) {
            return Removed::FormerLink;
        }
        self.change = None;
        match failure {
            None => {
                self.link = None;
                self.lost = false;
                self.removal_failures.succeeded();
            }
            Some(failure) => self.removal_failures.failed(now, Duration::ZERO, failure),
        }
        if self.link.is_some() && !self.is_given_up() {
            return Removed::Again;
        }
        match (self.owner.take(), self.neighbour.take()) {
            (Some(owner), _) => Removed::Released(owner),
            (None, Some(neighbour)) => Removed::Left(neighbour),
            (None, None) => Removed::Unowned,
        }
    }
}

impl From<&Slot> for SlotRecord {
    fn from(slot: &Slot) -> Self {
        // A hand-off happens between two orders: no link is being changed. The next program looks at links by itself.
        let Slot { owner, neighbour, link, target, lost: _, change: _, .. } = slot;
        let Slot { worker_failures, swap_failures, removal_failures, history, continuity, .. } = slot;
        Self {
            owner: *owner,
            neighbour: *neighbour,
            link: link.clone(),
            target: target.as_ref().map(ToString::to_string),
            backoff: worker_failures.into(),
            link_backoff: swap_failures.into(),
            removal_backoff: removal_failures.into(),
            failures: history.count,
            last_failure: history.last.clone(),
            service: match *continuity {
                Continuity::None => ServiceRecord::None,
                Continuity::Served => ServiceRecord::Served,
                Continuity::Missing { since } => ServiceRecord::Missing { since },
            },
        }
    }
}

impl From<SlotRecord> for Slot {
    fn from(record: SlotRecord) -> Self {
        let SlotRecord {
            owner,
            neighbour,
            link,
            target,
            backoff,
            link_backoff,
            removal_backoff,
            failures,
            last_failure,
            service,
        } = record;
        Self {
            owner,
            neighbour,
            link,
            target: target.map(Arc::from),
            lost: false,
            change: None,
            worker_failures: backoff.into(),
            swap_failures: link_backoff.into(),
            removal_failures: removal_backoff.into(),
            history: History { count: failures, last: last_failure },
            continuity: match service {
                ServiceRecord::None => Continuity::None,
                ServiceRecord::Served => Continuity::Served,
                ServiceRecord::Missing { since } => Continuity::Missing { since },
            },
        }
    }
}
