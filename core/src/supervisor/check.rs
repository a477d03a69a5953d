//! The invariants, checked at every simulated step.

use std::fmt;

use crate::id::SlotIndex;
use crate::wire::WorkerState;

use super::Supervisor;
use super::slots::{Moving, Slot};
use super::worker::{Seat, State, Worker};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number in the crate's documentation.
    pub invariant: u8,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.what)
    }
}

impl Supervisor {
    /// Checks the invariants that can be seen from inside, between any two facts.
    ///
    /// # Errors
    ///
    /// The first one that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_links()?;
        self.check_owners()?;
        self.check_population()?;
        self.check_suspension()?;
        self.check_requests()?;
        self.check_drains()
    }

    /// 1: a published link names the socket of a worker that was ready and is not known to be gone, or one that the daemon
    /// itself keeps open.
    fn check_links(&self) -> Result<(), Violation> {
        for (index, slot) in &self.slots {
            if let (Some(id), None) = (slot.owner, &slot.moving) {
                let worker = self.workers.get(&id);
                let alive = worker.is_some_and(|worker| worker.ready.is_some() && worker.process().is_some());
                // A socket of ours keeps what comes. A link that could not be removed is tried again.
                let kept = self.keeps_requests(*index);
                ensure(alive || kept || slot.removal_backoff.retry_at.is_some(), 1, || {
                    format!("slot {index} names {}, which is not online", id.short())
                })?;
            }
            if let Some(Moving::To { worker: id, .. }) = &slot.moving {
                let ready = self.workers.get(id).is_none_or(|worker| worker.ready.is_some());
                ensure(ready, 1, || {
                    format!("slot {index} is to name {}, which never was online", id.short())
                })?;
            }
        }
        Ok(())
    }

    /// 2 and 3: no worker is retired while a link names it, and a worker owns at most one slot.
    fn check_owners(&self) -> Result<(), Violation> {
        for (id, worker) in &self.workers {
            let owned: Vec<SlotIndex> = self
                .slots
                .iter()
                .filter(|(_, slot)| slot.owner == Some(*id))
                .map(|(index, _)| *index)
                .collect();
            ensure(owned.len() <= 1, 3, || format!("{} owns the slots {owned:?}", id.short()))?;
            let Some(index) = owned.first() else { continue };
            let moving = self.slots.get(index).is_some_and(|slot| slot.moving.is_some());
            let told = matches!(
                worker.state,
                State::Draining(_) | State::ShuttingDown { .. } | State::Terminating { .. }
            );
            ensure(!told || moving, 2, || format!("{} is retired but still owns slot {index}", id.short()))?;
        }
        Ok(())
    }

    /// 6: live processes ≤ workers + standby + the replacements in flight.
    fn check_population(&self) -> Result<(), Violation> {
        let own = |worker: &&Worker| !worker.in_rollout && !matches!(worker.seat, Seat::Retired { .. });
        let count = self.workers.values().filter(own).filter(|worker| !worker.is_gone()).count();
        let broken = self
            .workers
            .values()
            .filter(own)
            .filter(|worker| worker.is_ready() && !worker.is_healthy())
            .count();
        // Their links are being removed, or will be tried again.
        let unwanted = self
            .slots
            .range(SlotIndex(self.desired.slots)..)
            .filter(|(_, slot)| slot.owner.is_some())
            .count();
        let slots = usize::try_from(self.desired.slots).unwrap_or(usize::MAX).saturating_add(unwanted);
        let limit = slots.saturating_add(usize::try_from(self.desired.standby).unwrap_or(usize::MAX));
        let exited = self.workers.values().filter(own).filter(|worker| worker.state == State::Exited).count();
        // Whoever is to take over stays beside whoever may have to, until the link can be swapped.
        let taking = |slot: &&Slot| slot.moving.is_some() || slot.link_backoff.retry_at.is_some();
        let replacing = self.slots.values().filter(taking).count();
        ensure(self.is_swapping() || count <= limit.saturating_add(broken + exited + replacing), 6, || {
            format!("{count} workers where at most {limit} are wanted, {broken} of them broken")
        })
    }

    /// 7: in a suspended app no worker that serves a slot, or is meant to, runs unsuspended.
    fn check_suspension(&self) -> Result<(), Violation> {
        if !self.desired.suspended {
            return Ok(());
        }
        for (id, worker) in &self.workers {
            let active = !worker.started_suspended
                || matches!(worker.state, State::Ready { suspended: false, .. })
                    && worker.seat != Seat::Standby;
            // Of a slot that there is no more it goes once the link is withdrawn; whoever asked is answered after that.
            let unwanted = worker.slot().is_some_and(|slot| slot.0 >= self.desired.slots);
            let leaving = matches!(worker.seat, Seat::Retired { .. }) || unwanted && self.operation.is_some();
            // It serves because its link could not be swapped back, and goes as soon as that succeeds.
            let stuck = worker.wire_state() == WorkerState::Broken;
            let alive = worker.process().is_some() || worker.is_coming();
            let wrong = active && alive && !worker.in_rollout && !stuck && !leaving;
            ensure(!wrong, 7, || format!("{} is not suspended in a suspended app", id.short()))?;
        }
        Ok(())
    }

    /// 5: every open request has somebody who will answer it.
    fn check_requests(&self) -> Result<(), Violation> {
        for to in &self.open {
            let asked =
                self.operation.as_ref().is_some_and(|op| op.askers.iter().any(|asker| asker.to == *to));
            let queued = self.queue.iter().any(|queued| queued.to == *to);
            ensure(asked || queued || self.relays.waits(to), 5, || format!("nobody will answer {to:?}"))?;
        }
        Ok(())
    }

    /// 8: no worker that a link named is told to shut down before its accept queue was seen empty, or `drainTimeout`.
    fn check_drains(&self) -> Result<(), Violation> {
        let told = |worker: &Worker| {
            let signalled = matches!(worker.state, State::Terminating { .. }) && !worker.speaks;
            matches!(worker.state, State::ShuttingDown { .. }) || signalled
        };
        for (id, worker) in self.workers.iter().filter(|(_, worker)| told(worker)) {
            ensure(!worker.served || worker.drained, 8, || {
                format!("{} was told to shut down without having been drained", id.short())
            })?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, invariant: u8, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}
