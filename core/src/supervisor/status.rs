//! What people see, and why the daemon has not come to rest.

use std::fmt;

use crate::id::{SlotIndex, WorkerId};
use crate::wire::{Status, VacantSlot, WorkerState, WorkerStatus};

use super::worker::{Seat, Worker};
use super::{Life, Supervisor};

/// Why not everything is as it ought to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// An operation is in progress.
    Operation(&'static str),
    /// A worker is on its way, to readiness or to its end.
    Worker(WorkerId, WorkerState),
    /// A slot is not served.
    Slot(SlotIndex),
    /// A slot's link is being changed, or has to be.
    Link(SlotIndex),
    /// A socket that the daemon kept for this slot has to be removed.
    Socket(SlotIndex),
    /// Spare workers are missing.
    Standby,
    /// Requests wait for the answers of workers.
    Requests(usize),
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(words) => write!(f, "{words} is in progress"),
            Self::Worker(id, state) => write!(f, "worker {} is {state:?}", id.short()),
            Self::Slot(slot) => write!(f, "slot {slot} is not served"),
            Self::Link(slot) => write!(f, "the link of slot {slot} has to be changed"),
            Self::Socket(slot) => write!(f, "the socket of slot {slot} has to be removed"),
            Self::Standby => f.write_str("standbys are missing"),
            Self::Requests(count) => write!(f, "{count} requests wait for workers"),
        }
    }
}

impl Supervisor {
    /// What `status` answers.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut workers: Vec<(u8, SlotIndex, WorkerStatus)> = self
            .workers
            .iter()
            .map(|(id, worker)| {
                let slot = worker.slot().filter(|slot| self.owns(*slot, *id));
                let standby = worker.seat == Seat::Standby;
                let rank = if slot.is_some() { 0 } else { 1 + u8::from(!standby) };
                let row = WorkerStatus {
                    id: *id,
                    slot,
                    pid: worker.process().map(|process| process.pid),
                    state: worker.wire_state(),
                    since: worker.since,
                    standby,
                };
                (rank, slot.or(worker.slot()).unwrap_or(SlotIndex(0)), row)
            })
            .collect();
        workers.sort_by_key(|(rank, slot, row)| (*rank, *slot, row.since, row.id));
        Status {
            version: self.daemon.version.clone(),
            pid: self.daemon.pid,
            name: self.config.name.clone(),
            started: self.started,
            workers: workers.into_iter().map(|(_, _, row)| row).collect(),
            vacant: self.vacant(),
            suspended: self.desired.suspended,
            note: self.note.clone(),
            operation: self.operation.as_ref().map(|operation| operation.kind.words().to_owned()),
        }
    }

    /// Why not everything is as it ought to be; `None` if it is.
    #[must_use]
    pub fn pending(&self) -> Option<Pending> {
        if let Some(operation) = &self.operation {
            return Some(Pending::Operation(operation.kind.words()));
        }
        if let Some(slot) = self.slots.iter().find(|(_, slot)| slot.moving.is_some()).map(|(index, _)| *index)
        {
            return Some(Pending::Link(slot));
        }
        let settled = |worker: &Worker| worker.is_healthy() && !matches!(worker.seat, Seat::Retired { .. });
        if let Some((id, worker)) = self.workers.iter().find(|(_, worker)| !settled(worker)) {
            return Some(Pending::Worker(*id, worker.wire_state()));
        }
        if self.relays.len() > 0 {
            return Some(Pending::Requests(self.relays.len()));
        }
        if let Some(slot) = self.closing_listener() {
            return Some(Pending::Socket(slot));
        }
        if !self.is_serving() {
            return self.slots.keys().next().map(|slot| Pending::Link(*slot));
        }
        let unserved = (0..self.desired.slots).map(SlotIndex).find(|slot| self.owner(*slot).is_none());
        if let Some(slot) = unserved {
            return Some(Pending::Slot(slot));
        }
        let standbys = self.workers.values().filter(|worker| worker.is_for(Seat::Standby)).count();
        (standbys != usize::try_from(self.desired.standby).unwrap_or(usize::MAX)).then_some(Pending::Standby)
    }

    /// Whether the daemon has quit.
    #[must_use]
    pub fn has_quit(&self) -> bool {
        matches!(self.life, Life::Quit { .. })
    }

    /// Whether it has quit and left its workers to the daemon that follows.
    #[must_use]
    pub fn has_detached(&self) -> bool {
        self.life == (Life::Quit { detached: true })
    }

    fn owns(&self, slot: SlotIndex, id: WorkerId) -> bool {
        self.slots.get(&slot).is_some_and(|slot| slot.owner == Some(id))
    }

    pub(super) fn vacant(&self) -> Vec<VacantSlot> {
        if !self.is_serving() {
            return Vec::new();
        }
        (0..self.desired.slots)
            .map(SlotIndex)
            .filter(|index| self.owner(*index).is_none())
            .map(|index| {
                let backoff = self.slots.get(&index).map(|slot| slot.backoff.clone()).unwrap_or_default();
                VacantSlot {
                    slot: index,
                    failures: backoff.failures,
                    retry: backoff.retry_at,
                    reason: backoff.reason,
                }
            })
            .collect()
    }
}
