//! What people see, and why the daemon has not come to rest.

use std::fmt;

use crate::id::{SlotIndex, WorkerId};
use crate::wire::{FailingStandby, SlotFailures, Status, VacantSlot, WorkerState, WorkerStatus};

use super::operation::Operations;
use super::pool::{Pool, suspension};
use super::slot::Slot;
use super::worker::drain::BLIND;
use super::worker::{Place, Worker};

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
    /// Standbys are missing.
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

/// What `status` answers.
pub(super) fn status(pool: &Pool, operations: &Operations) -> Status {
    let row = |(id, worker): (WorkerId, &Worker)| {
        let slot = worker.slot().filter(|_| pool.owns_its_slot(id));
        let standby = worker.is_standby();
        let rank = if slot.is_some() { 0 } else { 1 + u8::from(!standby) };
        let row = WorkerStatus {
            id,
            slot,
            pid: worker.process().map(|process| process.pid),
            state: worker.wire_state(),
            since: worker.since(),
            standby,
            kept: worker.is_kept(),
            leader: pool.leadership.leads(id),
            generation: Some(worker.start().generation).filter(|generation| *generation > 0),
            reason: worker.ailment().map(str::to_owned),
        };
        (rank, slot.or(worker.slot()).unwrap_or(SlotIndex(0)), row)
    };
    let mut workers: Vec<(u8, SlotIndex, WorkerStatus)> = pool.workers.iter().map(row).collect();
    workers.sort_by_key(|(rank, slot, row)| (*rank, *slot, row.since, row.id));
    Status {
        version: pool.daemon.version.clone(),
        pid: pool.daemon.pid,
        name: pool.config.name.clone(),
        started: pool.started,
        workers: workers.into_iter().map(|(_, _, row)| row).collect(),
        generation: pool.generation.number,
        release: pool.generation.release.as_ref().map(|release| release.dir.to_string_lossy().into_owned()),
        vacant: vacant(pool),
        spare: spare(pool),
        failing_standby: failing_standby(pool),
        failures: failures(pool),
        suspended: pool.desired.is_suspended(),
        suspension: suspension::status(pool),
        note: operations
            .standing()
            .or_else(|| operations.note().map(str::to_owned))
            .or_else(|| unseen_queues(pool)),
        operation: operations.words().map(str::to_owned),
        batch: operations.batch_status(),
    }
}

/// What is not promised where the kernel does not tell accept queues.
fn unseen_queues(pool: &Pool) -> Option<String> {
    let reason = pool.unseen_queues.as_deref()?;
    let limit = BLIND.as_millis();
    Some(format!(
        "the kernel does not tell accept queues ({reason}): a worker that retires has {limit} ms to accept what waits, and \
         restarts may lose requests; `nodesockd check` says what to change"
    ))
}

fn vacant(pool: &Pool) -> Vec<VacantSlot> {
    let wanted = if pool.is_serving() { pool.desired.slots } else { 0 };
    let vacant = (0..wanted).map(SlotIndex).filter(|index| pool.owner(*index).is_none());
    let row = |slot| {
        let failures = pool.slots.get(slot).map(|slot| slot.worker_failures());
        VacantSlot {
            slot,
            failures: failures.map_or(0, |failures| failures.failures()),
            retry: failures.and_then(|failures| failures.retry_at()),
            reason: failures.and_then(|failures| failures.reason()).map(str::to_owned),
            served_by: served_by(pool, slot),
        }
    };
    vacant.map(row).collect()
}

/// The worker of another slot that serves this one.
fn served_by(pool: &Pool, slot: SlotIndex) -> Option<WorkerId> {
    pool.slots.get(slot)?.neighbour().filter(|id| pool.slots.is_host(*id))
}

fn spare(pool: &Pool) -> Vec<(SlotIndex, Option<WorkerId>)> {
    let links = if pool.is_serving() { pool.links() } else { 0 };
    (pool.desired.slots..links).map(SlotIndex).map(|slot| (slot, served_by(pool, slot))).collect()
}

/// Standbys that are missing, if that is because they fail. While one boots again, it is not known to be well.
fn failing_standby(pool: &Pool) -> Option<FailingStandby> {
    let reason = pool.standby_failures.reason().filter(|_| pool.is_serving())?;
    let ready = pool.workers.holding(Place::Standby).filter(|(_, worker)| worker.is_healthy()).count();
    let missing = pool.desired.standby.saturating_sub(u32::try_from(ready).unwrap_or(u32::MAX));
    (missing > 0).then(|| FailingStandby {
        missing,
        failures: pool.standby_failures.failures(),
        retry: pool.standby_failures.retry_at(),
        reason: reason.to_owned(),
    })
}

fn failures(pool: &Pool) -> Vec<SlotFailures> {
    let row = |(slot, its): (SlotIndex, &Slot)| {
        let (last, reason) = its.history().last.clone()?;
        Some(SlotFailures { slot, count: its.history().count, last, reason })
    };
    pool.slots.iter().filter_map(row).collect()
}

/// Why not everything is as it ought to be; `None` if it is.
pub(super) fn pending(pool: &Pool, operations: &Operations) -> Option<Pending> {
    if let Some(words) = operations.words() {
        return Some(Pending::Operation(words));
    }
    if let Some((slot, _)) = pool.slots.iter().find(|(_, slot)| slot.is_changing()) {
        return Some(Pending::Link(slot));
    }
    let settled = |worker: &Worker| worker.is_healthy() && !worker.is_retired();
    if let Some((id, worker)) = pool.workers.iter().find(|(_, worker)| !settled(worker)) {
        return Some(Pending::Worker(id, worker.wire_state()));
    }
    let relays = pool.requests.relays().len();
    if relays > 0 {
        return Some(Pending::Requests(relays));
    }
    if let Some(slot) = pool.listeners.closing() {
        return Some(Pending::Socket(slot));
    }
    if !pool.is_serving() {
        return pool.slots.iter().next().map(|(slot, _)| Pending::Link(slot));
    }
    let astray =
        (pool.desired.slots..pool.links()).map(SlotIndex).find(|slot| served_by(pool, *slot).is_none());
    if let Some(slot) = astray {
        return Some(Pending::Link(slot));
    }
    let unserved = (0..pool.desired.slots).map(SlotIndex).find(|slot| pool.owner(*slot).is_none());
    if let Some(slot) = unserved {
        return Some(Pending::Slot(slot));
    }
    let standbys = pool.workers.holding(Place::Standby).count();
    (standbys != pool.desired.standbys()).then_some(Pending::Standby)
}
