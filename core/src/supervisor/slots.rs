//! Slots: whose socket each link names, and who takes over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::config::Config;
use crate::event::Failure;
use crate::id::{SlotIndex, WorkerId};
use crate::time::Time;
use crate::wire::Stage;

use super::backoff::Backoff;
use super::worker::{Seat, State, Worker};
use super::{Life, Supervisor, Timer};

/// A slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slot {
    /// The worker whose socket the link names.
    pub owner: Option<WorkerId>,
    /// The link's file name, if it exists.
    pub link: Option<String>,
    /// The file name of the socket that the link names, or named last.
    pub target: Option<String>,
    /// A change of the link that is under way; never so between two orders.
    #[serde(skip)]
    pub moving: Option<Moving>,
    /// Failures of its workers.
    pub backoff: Backoff,
    /// Failures to swap its link.
    pub link_backoff: Backoff,
    /// Failures to remove its link.
    pub removal_backoff: Backoff,
}

/// A change of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moving {
    /// It is going to name the socket of this worker, which was a spare if `promoted`.
    To { worker: WorkerId, link: String, socket: String, promoted: bool },
    /// It is being removed.
    Away,
}

/// A worker that boots for a slot, as at the daemon's own start, is given this long before a standby takes the slot:
/// the two usually come up together, and one of them would have booted in vain.
const PATIENCE: Duration = Duration::from_secs(1);

/// A link, or a socket, that could not be removed this many times in a row is left behind, and no longer keeps its
/// worker or the daemon.
pub(super) const LAST_TRIES: u32 = 5;

impl Supervisor {
    /// Starts, promotes and replaces what is missing.
    pub(super) fn fill_vacancies(&mut self) {
        if !self.is_serving() || self.is_swapping() {
            return;
        }
        for slot in (0..self.desired.slots).map(SlotIndex) {
            self.slots.entry(slot).or_default();
            self.fill_slot(slot);
        }
        self.fill_standby();
    }

    fn fill_slot(&mut self, index: SlotIndex) {
        let Some(slot) = self.slots.get(&index) else { return };
        if slot.moving.is_some() {
            return;
        }
        if self.owner(index).is_some_and(|(_, worker)| worker.is_healthy()) {
            self.slot_mut(index).backoff.tried();
            return self.rename_link(index);
        }
        if let Some(successor) = self.successor(index) {
            if slot.link_backoff.permits(self.now) {
                self.publish(index, successor, None);
            }
            return;
        }
        let coming =
            self.workers.values().any(|worker| worker.is_for(Seat::Slot(index)) && worker.is_coming());
        if (!coming || defect!(SecondWorkerWhileBooting)) && slot.backoff.permits(self.now) {
            self.slot_mut(index).backoff.tried();
            self.spawn(Seat::Slot(index), self.desired.suspended && !defect!(ReplacementNotSuspended), None);
        }
        self.rename_link(index);
    }

    /// A link that a former `socketFile` named gets the name of today, as long as there is a worker for it to name.
    fn rename_link(&mut self, index: SlotIndex) {
        let Some(slot) = self.slots.get(&index) else { return };
        let named = slot.link.as_ref() == Some(&self.config.socket_file.link(index));
        let permitted = slot.link_backoff.permits(self.now);
        let owner = self.owner(index).filter(|(_, worker)| worker.is_ready()).map(|(id, _)| id);
        if let (false, true, Some(owner)) = (named, permitted, owner) {
            self.publish(index, owner, None);
        }
    }

    /// Who can take a slot over now: a worker started for it, else a standby, else the one it had before, even if that
    /// asks to be replaced.
    fn successor(&self, index: SlotIndex) -> Option<WorkerId> {
        let owner = self.owner(index).map(|(id, _)| id);
        let find = |fits: &dyn Fn(&Worker) -> bool| {
            self.workers.iter().find(|(id, worker)| Some(**id) != owner && fits(worker)).map(|(id, _)| *id)
        };
        find(&|worker| worker.is_for(Seat::Slot(index)) && worker.is_healthy())
            .or_else(|| {
                find(&|worker| worker.is_for(Seat::Standby) && self.may_serve(worker, index))
                    .filter(|_| self.promotable_at(index).is_none_or(|at| at <= self.now))
            })
            .or_else(|| {
                find(&|worker| worker.is_for(Seat::Slot(index)) && worker.is_ready())
                    .filter(|_| owner.is_none())
            })
    }

    /// When a standby may take the slot from a worker that is still booting for it; `None`: there is no such worker.
    fn promotable_at(&self, index: SlotIndex) -> Option<Time> {
        let coming =
            self.workers.values().filter(|worker| worker.is_for(Seat::Slot(index)) && worker.is_coming());
        coming.map(|worker| worker.ordered + PATIENCE).max()
    }

    /// A healthy worker that can take the slot, and does not run ahead of a suspended app.
    fn may_serve(&self, worker: &Worker, slot: SlotIndex) -> bool {
        worker.is_healthy()
            && (worker.is_suspended() || !self.desired.suspended)
            && self.can_take(worker, slot)
    }

    fn fill_standby(&mut self) {
        let present = self
            .workers
            .values()
            .filter(|worker| worker.is_for(Seat::Standby) && (worker.is_coming() || worker.is_healthy()))
            .filter(|worker| self.can_take_any(worker))
            .count();
        // Until the link names it, one that is being promoted may have to come back.
        let leaving = |slot: &&Slot| matches!(slot.moving, Some(Moving::To { promoted: true, .. }));
        let present = present + self.slots.values().filter(leaving).count();
        let missing = usize::try_from(self.desired.standby).unwrap_or(usize::MAX).saturating_sub(present);
        if missing == 0 {
            self.standby_backoff.tried();
        } else if self.standby_backoff.permits(self.now) {
            self.standby_backoff.tried();
            for _ in 0..missing {
                self.spawn(Seat::Standby, true, None);
            }
        }
    }

    /// A worker of the slot failed after having worked for `worked`.
    pub(super) fn slot_failed(&mut self, slot: SlotIndex, worked: Duration, reason: &str) {
        let now = self.now;
        self.slot_mut(slot).backoff.failed(now, worked, reason);
        let standby = self.workers.values().any(|worker| worker.is_for(Seat::Standby) && worker.is_healthy());
        if standby {
            // It is about to be promoted. Its own successor waits as long as one for the slot would have to: without
            // that, an app that crashes at once would be started as fast as the machine can.
            self.standby_backoff.failed(now, worked, reason);
        }
    }

    /// Orders a slot's link to name a worker, under `config` where a rollout brings its own.
    pub(super) fn publish(&mut self, index: SlotIndex, id: WorkerId, rollout: Option<&Config>) {
        let config = rollout.unwrap_or(&self.config);
        let (link, symlinks) = (config.socket_file.link(index), config.options.symlinks);
        let Some(worker) = self.workers.get(&id) else { return };
        let inherited = self.socket_for(worker, index, config).map(str::to_owned);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let promoted = worker.seat == Seat::Standby;
        if !(promoted && defect!(StandbyTakenTwice)) {
            worker.seat = Seat::Slot(index);
        }
        if promoted && !worker.listeners.is_empty() {
            worker.socket = inherited;
        }
        let Some(socket) = worker.socket.clone() else { return };
        let slot = self.slot_mut(index);
        slot.moving = Some(Moving::To { worker: id, link: link.clone(), socket: socket.clone(), promoted });
        slot.link_backoff.tried();
        if defect!(StandbyResumedBeforeSwap) && promoted && !self.desired.suspended {
            self.resume(id);
        }
        if defect!(LinkRemovedBeforeSwap) {
            self.act(Action::Withdraw { slot: index, link: link.clone() });
        }
        self.act(Action::Publish { slot: index, worker: id, link, socket, symlinks });
    }

    pub(super) fn published(&mut self, index: SlotIndex, id: WorkerId, result: Result<(), Failure>) {
        let now = self.now;
        let slot = self.slot_mut(index);
        let Some(Moving::To { worker, link, socket, promoted }) = slot.moving.clone() else { return };
        if worker != id {
            return;
        }
        slot.moving = None;
        if let Err(failure) = result {
            tracing::warn!(worker = %id.short(), slot = index.0, "cannot swap the link: {failure}");
            slot.link_backoff.failed(now, Duration::ZERO, &failure.0);
            if let Some(worker) = self.workers.get_mut(&id).filter(|worker| promoted && worker.is_ready()) {
                worker.seat = Seat::Standby;
                worker.socket.take_if(|_| !worker.listeners.is_empty());
            }
            self.rollout_published(index, Err(&failure.0));
            return;
        }
        slot.link_backoff.succeeded();
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.served = true;
        }
        let slot = self.slot_mut(index);
        slot.target = Some(socket);
        let before = slot.owner.replace(id).filter(|before| *before != id);
        let old_link = slot.link.replace(link.clone()).filter(|old| *old != link);
        if let Some(link) = old_link.filter(|_| !defect!(OldLinkLeft)) {
            // `socketFile` was changed; nobody looks for the old name any more.
            self.act(Action::Withdraw { slot: index, link });
        }
        if !self.rollout_published(index, Ok(())) {
            self.took_over(index, id, before);
        }
    }

    /// `id` serves the slot now, in place of `before`.
    pub(super) fn took_over(&mut self, index: SlotIndex, id: WorkerId, before: Option<WorkerId>) {
        if !self.workers.get(&id).is_some_and(Worker::is_ready) {
            return;
        }
        tracing::info!(worker = %id.short(), slot = index.0, "worker serves");
        self.progress(id, Stage::Serving, None);
        if !self.desired.suspended || defect!(SuccessorResumedInSuspendedApp) {
            self.resume(id);
        }
        if let Some(before) = before {
            self.retire(before);
        }
    }

    /// Orders the removal of a slot's link; its owner is retired when that is done.
    fn withdraw(&mut self, index: SlotIndex) {
        let slot = self.slot_mut(index);
        if let (Some(link), None) = (slot.link.clone(), &slot.moving) {
            slot.moving = Some(Moving::Away);
            slot.removal_backoff.tried();
            self.act(Action::Withdraw { slot: index, link });
        }
    }

    pub(super) fn withdrawn(&mut self, index: SlotIndex, link: &str, result: Result<(), Failure>) {
        let now = self.now;
        let slot = self.slot_mut(index);
        if slot.moving != Some(Moving::Away) || slot.link.as_deref() != Some(link) {
            if let Err(failure) = result {
                tracing::warn!(slot = index.0, "cannot remove the old link {link}: {failure}");
            }
            return;
        }
        slot.moving = None;
        match result {
            Ok(()) => {
                slot.link = None;
                slot.removal_backoff.succeeded();
            }
            Err(failure) => {
                tracing::warn!(slot = index.0, "cannot remove the link {link}: {failure}");
                slot.removal_backoff.failed(now, Duration::ZERO, &failure.0);
            }
        }
        if (slot.link.is_none() || slot.removal_backoff.failures >= LAST_TRIES)
            && let Some(owner) = slot.owner.take()
        {
            self.retire(owner);
        }
    }

    /// Retires workers that have no place: those of slots that are served by others or not wanted, and spares beyond
    /// the wanted number. Owners stay until their link is gone.
    pub(super) fn retire_surplus(&mut self) {
        if self.is_swapping() {
            return;
        }
        let mut standbys = if self.is_serving() { self.desired.standby } else { 0 };
        let mut surplus = Vec::new();
        // Ready ones first: they are the ones to keep.
        let (ready, rest): (Vec<_>, Vec<_>) =
            self.workers.iter().partition(|(_, worker)| worker.is_healthy());
        for (id, worker) in ready.into_iter().chain(rest) {
            let keep = match worker.seat {
                _ if worker.in_rollout || worker.process().is_none() && !worker.is_coming() => true,
                Seat::Retired { .. } => true,
                Seat::Slot(slot) => self.has_place(*id, worker, slot),
                // It is about to be called broken, and replaced already.
                Seat::Standby if worker.is_ready() && !worker.is_healthy() && self.is_serving() => true,
                Seat::Standby if standbys > 0 && self.can_take_any(worker) => {
                    standbys -= 1;
                    true
                }
                Seat::Standby => defect!(SurplusStandbysStay),
            };
            if !keep {
                surplus.push(*id);
            }
        }
        for id in surplus {
            self.retire(id);
        }
    }

    /// Whether a worker for `index` owns it, is about to, or may have to.
    fn has_place(&self, id: WorkerId, worker: &Worker, index: SlotIndex) -> bool {
        let slot = self.slots.get(&index);
        let taking =
            slot.is_some_and(|slot| matches!(slot.moving, Some(Moving::To { worker, .. }) if worker == id));
        let wanted = self.is_serving() && index.0 < self.desired.slots;
        let served = self.owner(index).is_some_and(|(_, owner)| owner.is_healthy());
        slot.is_some_and(|slot| slot.owner == Some(id))
            || taking
            || wanted && !served && (worker.is_coming() || worker.is_ready())
    }

    /// Removes links that lead nowhere: those of slots that ought not to be served, and those whose worker is gone
    /// without a successor at hand, unless the socket keeps what comes.
    pub(super) fn clear_links(&mut self) {
        if self.is_swapping() {
            return;
        }
        let now = self.now;
        let serving = self.is_serving();
        let indices: Vec<SlotIndex> = self.slots.keys().copied().collect();
        for index in indices {
            let wanted = serving && index.0 < self.desired.slots + u32::from(defect!(SlotTooMany));
            let served = self.owner(index).is_some() || self.keeps_requests(index);
            let slot = self.slot_mut(index);
            if slot.moving.is_some() {
                continue;
            }
            if slot.link.is_none() {
                slot.owner = None;
                if !wanted {
                    self.slots.remove(&index);
                }
            } else if (!wanted && !defect!(StopLeavesLinks) || !served) && slot.removal_backoff.permits(now) {
                self.withdraw(index);
            }
        }
    }

    /// When what cannot be done now is tried again.
    pub(super) fn vacancy_deadlines(&self) -> impl Iterator<Item = (Time, Timer)> + '_ {
        let filling = self.is_serving();
        let slots = self.slots.values().flat_map(move |slot| {
            let restart = slot.backoff.retry_at.filter(|_| filling).map(|at| (at, Timer::Restart));
            let link = slot.link_backoff.retry_at.map(|at| (at, Timer::Link));
            let removal = slot.removal_backoff.retry_at.map(|at| (at, Timer::Link));
            [restart, link, removal].into_iter().flatten()
        });
        let promotions = (0..self.desired.slots)
            .map(SlotIndex)
            .filter(move |index| filling && self.owner(*index).is_none())
            .filter_map(|index| Some((self.promotable_at(index)?, Timer::Promotion)));
        let standby = self.standby_backoff.retry_at.filter(|_| filling).map(|at| (at, Timer::Restart));
        // What is due has been tried already, or waits for the completion of an action.
        slots
            .chain(promotions)
            .chain(standby)
            .chain(self.listener_deadlines())
            .filter(|(at, _)| *at > self.now)
    }

    /// Nothing runs and nothing is left, or nothing that could be removed.
    pub(super) fn quit_when_done(&mut self) {
        if !matches!(self.life, Life::Quitting { .. }) {
            return;
        }
        let given_up = |backoff: &Backoff| backoff.failures >= LAST_TRIES;
        let workers_gone = self
            .workers
            .values()
            .all(|worker| matches!(&worker.state, State::Reaped { removal } if given_up(removal)));
        let links_gone = self.slots.values().all(|slot| given_up(&slot.removal_backoff));
        if defect!(QuitBeforeWorkersGone)
            || workers_gone && links_gone && self.listeners_gone() && self.operation.is_none()
        {
            self.life = Life::Quit { detached: false };
            self.act(Action::Quit);
        }
    }

    /// Workers ought to run.
    pub(super) fn is_serving(&self) -> bool {
        self.desired.running && self.life == Life::Serving
    }

    pub(super) fn slot_mut(&mut self, index: SlotIndex) -> &mut Slot {
        self.slots.entry(index).or_default()
    }
}

impl Worker {
    /// It is for `seat`, now.
    pub(super) fn is_for(&self, seat: Seat) -> bool {
        self.seat == seat && !self.in_rollout
    }
}
