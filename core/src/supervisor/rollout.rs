//! A set of new workers that boot together and take over together, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, Output, SocketPattern};
use crate::id::{SlotIndex, WorkerId};
use crate::wire::{Body, Code, FailedWorker, Reply, Stage, ToWorker};

use super::operation::{Asker, Kind, Operation, Phase};
use super::worker::{Seat, State, Worker};
use super::{Desired, Supervisor};

/// What is being rolled out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rollout {
    /// Its workers.
    seats: Vec<Booking>,
    /// They start suspended.
    pub suspended: bool,
    /// Whether all other workers go when it is committed, or only surplus ones.
    pub replaces: bool,
    /// What ought to be, from then on.
    pub desired: Desired,
    /// The configuration that is in force from then on.
    pub config: Box<Config>,
    /// Workers that could not be started.
    failed: Vec<FailedWorker>,
}

/// A seat and the worker that is to take it.
#[derive(Debug, Clone, PartialEq)]
struct Booking {
    seat: Seat,
    worker: WorkerId,
    attempts_left: u32,
}

/// What is being swapped.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Swap {
    /// Slots whose link is under way.
    pub pending: BTreeSet<SlotIndex>,
    /// Who owned each slot before.
    before: BTreeMap<SlotIndex, WorkerId>,
    /// Why it has to be swapped back.
    pub failure: Option<String>,
}

/// What to roll out.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub kind: Kind,
    pub askers: Vec<Asker>,
    pub seats: Vec<Seat>,
    pub suspended: bool,
    pub attempts: u32,
    pub replaces: bool,
    pub desired: Desired,
    pub config: Config,
}

impl Rollout {
    /// How many slots there ought to be then.
    pub fn slots_ahead(&self) -> u32 {
        self.desired.slots
    }

    fn slots(&self) -> impl Iterator<Item = (SlotIndex, WorkerId)> + '_ {
        self.seats.iter().filter_map(|booking| match booking.seat {
            Seat::Slot(slot) => Some((slot, booking.worker)),
            Seat::Standby | Seat::Retired { .. } => None,
        })
    }
}

/// All seats of `slots` slots and `standby` spares.
pub(super) fn all_seats(slots: u32, standby: u32) -> Vec<Seat> {
    let slots = (0..slots).map(|slot| Seat::Slot(SlotIndex(slot)));
    slots.chain((0..standby).map(|_| Seat::Standby)).collect()
}

impl Supervisor {
    /// Starts the workers of a plan.
    pub(super) fn roll_out(&mut self, plan: Plan) {
        self.note = None;
        let Plan { kind, askers, seats, suspended, attempts, replaces, desired, config } = plan;
        tracing::info!(
            "{} begins: {} new workers{}",
            kind.words(),
            seats.len(),
            if suspended { ", suspended" } else { "" }
        );
        let rollout = Rollout {
            seats: Vec::new(),
            suspended,
            replaces,
            desired,
            config: Box::new(config),
            failed: Vec::new(),
        };
        // In place before the first worker is ordered, so that its progress finds those who asked.
        self.operation = Some(Operation { kind, askers, phase: Phase::Starting(rollout) });
        for seat in seats {
            self.book(seat, attempts);
        }
    }

    /// Orders a worker for a seat of the rollout in progress.
    fn book(&mut self, seat: Seat, attempts: u32) {
        let Some(Operation { phase: Phase::Starting(rollout), .. }) = &self.operation else { return };
        let suspended = rollout.suspended || seat == Seat::Standby;
        let config = rollout.config.clone();
        let worker = self.spawn(seat, suspended, Some(&config));
        if let Some(Operation { phase: Phase::Starting(rollout), .. }) = &mut self.operation {
            rollout.seats.push(Booking { seat, worker, attempts_left: attempts.saturating_sub(1) });
        }
    }

    /// A worker of the rollout in progress failed.
    pub(super) fn rollout_worker_failed(&mut self, id: WorkerId, reason: &str) {
        let idx = self.workers.get(&id).and_then(Worker::slot);
        let stderr = self.workers.get(&id).and_then(|worker| match &worker.stderr {
            Output::File(path) => Some(path.to_string_lossy().into_owned()),
            Output::Inherit | Output::Discard => None,
        });
        self.progress(id, Stage::Failed, Some(reason));
        let Some(operation) = &mut self.operation else { return };
        match &mut operation.phase {
            Phase::Starting(rollout) => {
                rollout.failed.push(FailedWorker { id, idx, reason: reason.to_owned(), stderr });
                let Some(at) = rollout.seats.iter().position(|booking| booking.worker == id) else { return };
                let Booking { seat, attempts_left, .. } = rollout.seats.remove(at);
                self.retire(id);
                if attempts_left > 0 {
                    return self.book(seat, attempts_left);
                }
                if let Some(Operation { kind, askers, phase: Phase::Starting(rollout) }) =
                    self.operation.take()
                {
                    self.abandon(kind, askers, rollout, None);
                    self.next_operation();
                }
            }
            Phase::Swapping(_, swap) => {
                swap.failure.get_or_insert_with(|| format!("worker {}: {reason}", id.short()));
            }
            Phase::Reverting(..)
            | Phase::Loading { .. }
            | Phase::Upgrading { .. }
            | Phase::Retiring { .. } => {}
        }
    }

    /// All workers are ready, and no link is under way for another reason.
    pub(super) fn can_swap(&self, rollout: &Rollout) -> bool {
        let ready = |booking: &Booking| self.workers.get(&booking.worker).is_some_and(Worker::is_healthy);
        (rollout.seats.iter().all(ready) || defect!(SwapBeforeAllOnline) && rollout.seats.iter().any(ready))
            && self.slots.values().all(|slot| slot.moving.is_none())
    }

    /// Orders all links to be swapped.
    pub(super) fn swap(&mut self, rollout: &Rollout) -> Swap {
        let mut swap = Swap::default();
        for (slot, worker) in rollout.slots() {
            if let Some((owner, _)) = self.owner(slot) {
                swap.before.insert(slot, owner);
                if defect!(RetireBeforeSwap) {
                    self.retire(owner);
                }
            }
            swap.pending.insert(slot);
            self.publish(slot, worker, Some(&rollout.config));
        }
        swap
    }

    /// A link was swapped, or swapped back, or could not be. Returns whether that is the rollout's business.
    pub(super) fn rollout_published(&mut self, slot: SlotIndex, result: Result<(), &str>) -> bool {
        let Some(Operation { phase: Phase::Swapping(_, swap) | Phase::Reverting(_, swap), .. }) =
            &mut self.operation
        else {
            return false;
        };
        let ours = swap.pending.remove(&slot);
        if let (true, Err(reason)) = (ours, result) {
            swap.failure
                .get_or_insert_with(|| format!("the link of slot {slot} could not be swapped: {reason}"));
        }
        ours
    }

    /// Orders links to name again whom they named before.
    pub(super) fn swap_back(&mut self, rollout: &Rollout, swap: Swap) -> Swap {
        let Swap { before, failure, .. } = swap;
        let mut pending = BTreeSet::new();
        for (slot, worker) in rollout.slots() {
            let owned = self.slots.get(&slot).is_some_and(|slot| slot.owner == Some(worker));
            let old = before.get(&slot).filter(|old| self.workers.get(old).is_some_and(Worker::is_ready));
            if let (true, Some(old)) = (owned, old) {
                pending.insert(slot);
                self.publish(slot, *old, None);
            }
        }
        Swap { pending, before, failure }
    }

    /// The new workers serve: makes that official, and retires the others, whose end completes the operation.
    pub(super) fn commit(&mut self, rollout: Rollout) {
        let Rollout { seats, replaces, desired, config, .. } = rollout;
        let renamed = config.name != self.config.name;
        let before = std::mem::replace(&mut self.config, *config);
        self.remember_names(before.socket_file);
        self.desired = desired;
        for booking in &seats {
            if let Some(worker) = self.workers.get_mut(&booking.worker) {
                worker.in_rollout = false;
            }
            match booking.seat {
                Seat::Slot(slot) => {
                    self.slot_mut(slot).backoff.succeeded();
                    self.took_over(slot, booking.worker, None);
                }
                Seat::Standby => {
                    self.standby_backoff.succeeded();
                    self.progress(booking.worker, Stage::Standby, None);
                }
                Seat::Retired { .. } => {}
            }
        }
        let new: BTreeSet<WorkerId> = seats.iter().map(|booking| booking.worker).collect();
        let owners: BTreeSet<WorkerId> = self.slots.values().filter_map(|slot| slot.owner).collect();
        let others: Vec<WorkerId> = self.workers.keys().filter(|id| !new.contains(id)).copied().collect();
        for id in others.iter().filter(|id| replaces && !owners.contains(id)) {
            self.retire(*id);
        }
        if renamed {
            self.tell_name();
        }
        self.retire_surplus();
        let leaves = |id: &WorkerId| {
            self.workers.get(id).is_some_and(|worker| match worker.seat {
                Seat::Retired { .. } => true,
                Seat::Slot(slot) => slot.0 >= self.desired.slots,
                Seat::Standby => false,
            })
        };
        let gone = others.into_iter().filter(leaves).collect();
        if let Some(Operation { phase: Phase::Retiring { leaving }, .. }) = &mut self.operation {
            *leaving = gone;
        }
    }

    /// There may be files by names of this `socketFile`.
    fn remember_names(&mut self, pattern: SocketPattern) {
        if pattern != self.config.socket_file && !self.former_patterns.contains(&pattern) {
            self.former_patterns.push(pattern);
        }
    }

    fn tell_name(&mut self) {
        let workers: Vec<WorkerId> =
            self.workers.iter().filter(|(_, worker)| worker.is_reachable()).map(|(id, _)| *id).collect();
        for worker in workers {
            let name = self.config.name.clone();
            self.tell(worker, ToWorker::SetName { name });
        }
    }

    /// Gives a rollout up: what was there before stays.
    pub(super) fn abandon(
        &mut self,
        kind: Kind,
        askers: Vec<Asker>,
        rollout: Rollout,
        failure: Option<String>,
    ) {
        if defect!(FailedRestartKeepsConfig) {
            (self.config, self.desired) = ((*rollout.config).clone(), rollout.desired);
        }
        if !defect!(AbandonedWorkersStay) {
            self.release(&rollout);
        }
        let errors: Vec<String> = match failure {
            Some(failure) => vec![failure],
            None => rollout.failed.iter().map(describe).collect(),
        };
        tracing::warn!("{} failed, nothing has changed: {}", kind.words(), errors.join("; "));
        let mut reply = Reply::failed(Some(Code::StartFailed), errors);
        reply.body = (!rollout.failed.is_empty()).then_some(Body::Failed(rollout.failed));
        self.reply_to_all(askers, &reply);
    }

    /// Retires the workers of a rollout. One whose link could not be taken from it again is called broken, so that it
    /// serves until that succeeds. What has come to one that a link has named is answered, unless it was not to run yet.
    pub(super) fn release(&mut self, rollout: &Rollout) {
        self.remember_names(rollout.config.socket_file.clone());
        for booking in &rollout.seats {
            let id = booking.worker;
            let owns = self.slots.values().any(|slot| slot.owner == Some(id));
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            worker.in_rollout = false;
            if worker.served && !rollout.desired.suspended {
                self.resume(id);
            } else if worker.served {
                self.desert(id);
            }
            let Some(worker) = self.workers.get(&id) else { continue };
            if let (State::Ready { process, suspended, .. }, true) = (&worker.state, owns) {
                let (process, suspended) = (*process, *suspended);
                self.enter(id, State::Ready { process, suspended, broken: true });
            } else {
                self.retire(id);
            }
        }
    }
}

fn describe(failed: &FailedWorker) -> String {
    match failed.idx {
        Some(slot) => format!("worker {} for slot {slot}: {}", failed.id.short(), failed.reason),
        None => format!("standby {}: {}", failed.id.short(), failed.reason),
    }
}
