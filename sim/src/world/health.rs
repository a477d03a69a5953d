//! Workers whose event loop stands still, and what can be seen of that from outside.

use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::event::{Failure, Vitals};
use nodesockd_core::id::{Process, WorkerId};

use super::agenda::Happening;
use super::process::{Proc, Standstill};
use super::{Worker, World, ms};
use crate::scenario::Hang;

/// From the last look at a silent worker to the verdict.
const LAST_LOOK: Duration = Duration::from_millis(250);

impl Proc {
    /// Its event loop stands still, and will not turn again before all faults are over.
    pub(super) fn hangs_for_good(&self) -> bool {
        self.stopped && self.hangs
    }

    /// Since when its event loop has not turned, or has not been heard of since it turned again.
    pub(super) fn silent_since(&self) -> Option<Time> {
        let still = self.stands_still?;
        // A look tells who is stopped, and not who loops or sleeps. One that goes on just before the last look may have had no time to
        // accept before the verdict.
        let seen = self.known.seen.filter(|_| still.how == Hang::Stopped);
        let answered = |until: Time| {
            self.known.heard.is_some_and(|at| at > until) || seen.is_some_and(|at| at > until + LAST_LOOK)
        };
        (!still.until.is_some_and(answered)).then_some(still.since)
    }
}

impl World {
    /// The worker's event loop does not turn any more.
    pub(super) fn hang(&mut self, worker: Worker, how: Hang) {
        let now = self.agenda.now();
        let Some(process) = self.processes.get_mut(worker) else { return };
        (process.stopped, process.hangs) = (true, true);
        let since = process.silent_since().unwrap_or(now);
        process.stands_still = Some(Standstill { since, until: None, how });
        self.deaths.kept.remove(&worker);
        self.trace.line(now, "fault", format_args!("{worker} hangs: {how:?}"));
        // What nobody watches would keep users waiting for ever.
        let end = Time::ZERO + ms(self.faults.until_ms);
        self.schedule(end.max(now), Happening::Continue(worker));
    }

    /// What the kernel says of a process.
    pub fn examine(&mut self, id: WorkerId, target: Process) -> Result<Vitals, Failure> {
        let now = self.agenda.now();
        let (worker, found) = self.living(id, target)?;
        let still = found.stands_still.filter(|still| still.until.is_none());
        let vitals = Vitals {
            state: match still.map(|still| still.how) {
                Some(Hang::Loops) => 'R',
                Some(Hang::Stopped) => 'T',
                Some(Hang::Sleeps) | None => 'S',
            },
            cpu: match still {
                Some(Standstill { since, how: Hang::Loops, .. }) => now.since(since),
                Some(_) | None => Duration::ZERO,
            },
            waits_in: None,
            traced: false,
        };
        if still.is_none() {
            found.known.seen = Some(now);
        }
        self.trace.line(now, "daemon", format_args!("look at {worker} → {}", vitals.state));
        Ok(vitals)
    }

    /// Nothing waits in the accept queue of a worker: one that has stood still goes on.
    pub(super) fn seen_to_accept(&mut self, id: WorkerId) {
        let worker = self.processes.named(id).and_then(|worker| self.processes.get(worker));
        if worker.and_then(|worker| worker.stands_still).is_some_and(|still| still.until.is_some()) {
            self.heard_of(id);
        }
    }

    /// Its event loop has stood still for so long that it may count as hung, and it has not answered since. From the last
    /// answer to the next question a third of the time may pass, or a little more.
    pub(crate) fn counts_as_hung(&self, worker: Worker) -> bool {
        let hung = |process: &Proc| self.has_hung(process) && process.silent_since().is_some();
        self.processes.get(worker).is_some_and(hung)
    }

    /// It has stood still for so long that it may have been called broken, whether or not it goes on.
    pub(crate) fn has_hung(&self, process: &Proc) -> bool {
        let (Some(still), Some(limit)) = (process.stands_still, self.oracle.hang_timeout) else {
            return false;
        };
        still.until.unwrap_or(self.agenda.now()).since(still.since) >= limit / 2
    }

    /// A standby takes over: it has given a sign of life a moment ago.
    pub(crate) fn check_promoted(&mut self, worker: Worker) {
        // That one has died is another matter.
        let Some(process) = self.processes.get(worker).filter(|process| process.alive()) else { return };
        let Some(still) = process.stands_still.filter(|still| still.until.is_none()) else { return };
        // A rollout swaps to workers that have all reported, some of them a while ago.
        let rollout = self.state.as_ref().is_none_or(|state| state.rollout.is_some()) || self.deaths.stale;
        // A worker that was started for the slot is asked nothing but whether it is ready.
        let has_slot = self.recorded(process).is_some_and(|record| record.slot.is_some());
        let its_own = !process.plan.standby || process.adopted && has_slot;
        let asked = process.speaks() && self.has_library(worker) || still.how == Hang::Stopped;
        let decided = self.agenda.busy_since();
        // A daemon that was busy hears late what a worker said before it hung.
        let heard = process.known.heard.max(process.known.seen).is_some_and(|at| decided.since(at) <= SIGN);
        if !rollout && !its_own && asked && !heard && decided.since(still.since) > SIGN {
            let ms = decided.since(still.since).as_millis();
            self.violated(format_args!(
                "{worker} is promoted although its event loop has stood still for {ms} ms"
            ));
        }
    }

    /// `resume` is done: whoever was told had to confirm it, and one whose event loop stands still since before cannot have.
    pub(crate) fn check_resumed(&mut self) {
        let silent = |worker: Worker, process: &Proc| {
            let Some(told) = process.known.told_resume else { return false };
            let still =
                process.stands_still.is_some_and(|still| still.until.is_none() && still.since <= told);
            let heard = process.known.heard.is_some_and(|at| at >= told);
            let leaves = process.dying || process.retiring() || process.known.told_to_go();
            let stays = process.alive() && !leaves;
            still && !heard && stays && process.speaks() && self.has_library(worker)
        };
        let found = self.processes.iter().find(|(worker, process)| silent(*worker, process));
        let found = found.map(|(worker, _)| worker).filter(|_| self.deaths.count == 0);
        if let Some(worker) = found {
            self.violated(format_args!("`resume` is done, but {worker} has not confirmed it and hangs"));
        }
    }

    /// The daemon learned that a worker's event loop turned. If it has decided before to end the worker, that comes too late.
    pub(crate) fn heard_of(&mut self, worker: WorkerId) {
        let now = self.agenda.now();
        let process = self.processes.named(worker).and_then(|w| self.processes.get_mut(w));
        if let Some(process) = process.filter(|process| process.known.terminated.is_none()) {
            process.known.heard = Some(now);
        }
    }
}

/// A sign of life is as old as this when a standby is promoted, and has been on its way for a moment.
const SIGN: Duration = Duration::from_millis(110);
