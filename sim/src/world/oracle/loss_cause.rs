//! Why a user's request was lost: by a cause the contract knows, or by none.

use std::time::Duration;

use nodesockd_core::id::SlotIndex;

use super::conduct::KILL_DELAY;
use crate::ledger::Cause;
use crate::scenario::Readiness;
use crate::world::process::Proc;
use crate::world::{Worker, World};

/// Links that named one socket are led elsewhere within so long.
const SWAPS: Duration = Duration::from_millis(1);

impl World {
    /// Why a slot's link leads to no listening worker, if that may be.
    pub(crate) fn cause_of_refusal(&self, slot: SlotIndex, named: Option<Worker>) -> Option<Cause> {
        let last = named.or_else(|| self.oracle.slots.get(&slot).and_then(|slot| slot.worker));
        let died = last
            .and_then(|worker| self.processes.get(worker))
            .is_some_and(|process| process.dying || process.died_by_itself() && !process.alive());
        let meant = self.oracle.slots.get(&slot).filter(|slot| slot.worker.is_none());
        let closed = meant.and_then(|slot| self.closed.get(&slot.socket).copied().flatten());
        if died {
            Some(Cause::WorkerDied)
        } else if closed.is_some() {
            closed
        } else if self.oracle.is_spoiled(slot) {
            Some(Cause::Removed)
        } else if last.is_none() && meant.is_none()
            || !self.oracle.wanted
            || self.oracle.given_up.contains(&slot)
            || slot.0 >= self.oracle.floor()
        {
            Some(Cause::NotRunning)
        } else if self.deaths.forgot
            && self.oracle.slots.get(&slot).is_some_and(|its| self.oracle.is_stuck(&its.link))
        {
            // Its name was lost with the state file.
            Some(Cause::Forgotten)
        } else {
            None
        }
    }

    /// Why a worker that a link named a moment ago may have stopped listening.
    pub(crate) fn cause_of_lateness(&self, slot: SlotIndex, worker: Worker) -> Option<Cause> {
        self.cause_of_refusal(slot, Some(worker)).or_else(|| self.cause_of_closing(worker))
    }

    /// Why a worker may close its socket while connections wait.
    pub(crate) fn cause_of_closing(&self, worker: Worker) -> Option<Cause> {
        let process = self.processes.get(worker)?;
        if self.oracle.kill_allowed() {
            return Some(Cause::KilledByOperator);
        }
        if self.counts_as_hung(worker) {
            return Some(Cause::Hung);
        }
        match process.known.drained_since() {
            Some(at) if self.agenda.now().since(at) >= self.oracle.drain => Some(Cause::DrainTimeout),
            Some(_) if process.is_unseen(self.agenda.now()) => Some(Cause::QueueUnseen),
            None if !self.oracle.wanted => Some(Cause::NotRunning),
            Some(_) | None => self.cause_of_coming(worker),
        }
    }

    /// Why users may still come to a worker that is to go, after its queue was seen empty: by links that could not be removed, or
    /// of which nobody knows.
    fn cause_of_coming(&self, worker: Worker) -> Option<Cause> {
        let process = self.processes.get(worker)?;
        if !process.known.seen_empty && !self.deaths.forgot {
            return None;
        }
        // Its file may be gone already.
        let socket = process.sockets.own.as_deref()?;
        let leads = |name: &&str| self.oracle.is_stuck(name) && self.files.target(name) == Some(socket);
        let links = self.files.iter().map(|(name, _)| name).filter(leads);
        let mut slots = links.filter_map(|link| self.oracle.slot_of(link));
        slots.find_map(|slot| self.cause_of_refusal(slot, Some(worker)))
    }

    /// Why the daemon may end a worker by a signal although it holds requests.
    pub(crate) fn cause_of_signal(&self, worker: Worker) -> Option<Cause> {
        let process = self.processes.get(worker)?;
        if self.counts_as_hung(worker) {
            return Some(Cause::Hung);
        }
        // One that cannot be told, as far as the daemon knows, has its time as well.
        let unheard = self.is_unheard(process);
        let told = process.known.told_shutdown.or(process.known.drained_since().filter(|_| unheard));
        let told = if process.speaks() { told } else { process.known.terminated };
        let had_time = told.is_some_and(|at| self.agenda.now().since(at) >= self.oracle.shutdown);
        if self.oracle.kill_allowed() {
            Some(Cause::KilledByOperator)
        } else if process.known.terminated.is_some_and(|at| self.agenda.now().since(at) >= KILL_DELAY) {
            Some(Cause::ShutdownTimeout)
        } else if had_time && process.holds {
            Some(Cause::NeverResumed)
        } else if had_time {
            Some(Cause::ShutdownTimeout)
        } else if !process.reachable()
            && (process.holds || !process.is_orphaned() || !process.sockets.accepts.is_empty())
        {
            Some(Cause::ChannelLost)
        } else if process.ignores_suspension() {
            Some(Cause::IgnoredSuspension)
        } else if self.may_be_hastened(&process.known) {
            Some(Cause::Hastened)
        } else if self.deaths.forgot && process.adopted && self.in_force.ready != Readiness::Report {
            // Without its state file, a daemon takes a worker of before for what the configuration says today.
            Some(Cause::Forgotten)
        } else {
            None
        }
    }

    /// A worker that had inherited the socket has died by itself.
    pub(super) fn has_lost_a_worker(&self, socket: &str) -> bool {
        self.processes.iter().any(|(_, process)| process.inherits(socket) && process.died_by_itself())
    }

    /// Somebody has removed the link by which users came to the socket.
    fn is_named_by_a_removed_link(&self, socket: &str) -> bool {
        self.oracle.slots.values().any(|slot| slot.socket == socket && self.oracle.is_removed(slot))
    }

    /// Why the daemon may close a socket of its own while connections wait.
    pub(crate) fn cause_of_unlistening(&self, socket: &str) -> Option<Cause> {
        let listener = self.listeners.get(socket)?;
        let accepts = |process: &Proc| process.inherits(socket) && process.known.online;
        let tended = self.processes.iter().any(|(_, process)| accepts(process));
        // One that holds requests back and cannot be told to resume answers none.
        let told = |process: &Proc| accepts(process) && (process.reachable() || !process.speaks());
        let resumable = self.processes.iter().any(|(_, process)| told(process));
        let hung =
            self.processes.iter().any(|(_, process)| process.inherits(socket) && self.has_hung(process));
        match listener.drained_since() {
            _ if self.oracle.kill_allowed() => Some(Cause::KilledByOperator),
            _ if hung => Some(Cause::Hung),
            // The daemon counts from the first of several swaps.
            Some(at) if self.agenda.now().since(at) + SWAPS >= self.oracle.drain => Some(Cause::DrainTimeout),
            _ if self.oracle.has_spoiled(socket) || self.is_named_by_a_removed_link(socket) => {
                Some(Cause::Removed)
            }
            Some(_) if listener.unseen => Some(Cause::QueueUnseen),
            _ if listener.overdue => Some(Cause::NotRunning),
            _ if self.has_lost_a_worker(socket) => Some(Cause::WorkerDied),
            _ if !tended => Some(Cause::NotRunning),
            _ if !resumable => Some(Cause::ChannelLost),
            Some(_) | None => None,
        }
    }
}
