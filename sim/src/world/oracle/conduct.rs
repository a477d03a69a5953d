//! The contract, seen from outside: what the daemon does to workers, held against what was promised.
//!
//! None of it asks the supervisor what it thinks; it only knows what the daemon could know, and what it did.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::action::WorkerSignal;
use nodesockd_core::config::StopSignal;
use nodesockd_core::id::{Process, SlotIndex, WorkerId};
use nodesockd_core::wire::ToWorker;

use super::Slot;
use super::known::Known;
use crate::faults::CallFault;
use crate::world::files::Entry;
use crate::world::process::{Proc, Server};
use crate::world::{Worker, World};

/// From SIGTERM to SIGKILL (docs/03-config.md).
pub(crate) const KILL_DELAY: Duration = Duration::from_secs(5);

/// So long a report is on its way.
const REPORTS: Duration = Duration::from_millis(1);

/// For so long a batch waits for the old workers of the one before.
const BATCH_WAITS: Duration = Duration::from_secs(30);

/// For so long a replacement of a worker that has died may boot.
const HEALING: Duration = Duration::from_secs(10);

/// Within so long no more workers are ordered than starts and first retries call for.
const STORM: Duration = Duration::from_millis(50);

impl World {
    /// A worker is ordered: whatever is wrong, that does not happen as fast as the machine can.
    pub(crate) fn check_ordered(&mut self) {
        let now = self.agenda.now();
        let oracle = &mut self.oracle;
        oracle.orders.push_back(now);
        for times in [&mut oracle.orders, &mut oracle.starts, &mut oracle.unopened] {
            times.retain(|at| now.since(*at) <= STORM);
        }
        // One set by itself, the free second attempt of each, one more for a standby promoted, and starts that use up their
        // attempts one after the other; those that wait for their turn may all have it within that time.
        let starts = 1 + oracle.starts.len() + oracle.lifting as usize;
        let set = (oracle.most + oracle.most_standby) as usize;
        let most = set * (3 + oracle.attempts as usize * starts)
            + oracle.unopened.len() * oracle.most_standby as usize;
        let count = oracle.orders.len();
        if count > most {
            let millis = STORM.as_millis();
            self.violated(format_args!(
                "{count} workers are ordered within {millis} ms; at most {most} are due"
            ));
        }
    }

    /// When a suspended restart has been answered, a migration may begin.
    pub(crate) fn check_suspended(&mut self) {
        let active = self.processes.iter().find(|(_, process)| process.alive() && !process.suspended);
        if let Some((worker, _)) = active {
            self.violated(format_args!(
                "a suspended restart is done, but {worker} is alive and not suspended"
            ));
        }
    }

    pub(crate) fn check_spawned(&mut self, worker: Worker) {
        if self.processes.get(worker).is_some_and(|process| !process.suspended) {
            self.check_may_begin(worker);
        }
        let Some(process) = self.processes.get(worker) else { return };
        if !process.suspended && self.oracle.stays_suspended(self.agenda.now()) {
            self.violated(format_args!("{worker} is started unsuspended while the app is suspended"));
        }
        // Those of an earlier daemon may have to go, and cannot be told before they report.
        let stays =
            |process: &Proc| process.alive() && !process.dying && !process.retiring() && !process.adopted;
        // A link that could not be led elsewhere keeps an old one.
        let held = |worker| self.oracle.unswapped.iter().any(|link| self.files.follow(link) == Some(worker));
        let staying =
            self.processes.iter().filter(|(worker, process)| stays(process) && !held(*worker)).count();
        let asks = |process: &Proc| process.asks_to_go() || self.has_hung(process);
        let fails = |process: &Proc| process.alive() && (asks(process) || self.has_lost_socket(process));
        let failing = self.processes.iter().filter(|(_, process)| fails(process)).count();
        // One set, its replacement, those that ask to be replaced, and one set whose end is decided but not begun: by this
        // daemon, and by each before it.
        let (slots, standbys) = (self.oracle.most as usize, self.oracle.most_standby as usize);
        let most = (3 + self.deaths.count as usize) * (slots + standbys) + failing;
        if staying > most {
            self.violated(format_args!(
                "{staying} processes are alive that are not retiring; at most {most} are due"
            ));
        }
        self.check_batches();
    }

    /// Somebody has removed a socket from which it accepts.
    pub(crate) fn has_lost_socket(&self, process: &Proc) -> bool {
        let mut sockets = process.sockets.own.iter().chain(&process.sockets.inherits);
        sockets.any(|socket| self.oracle.has_spoiled(socket))
    }

    /// Where workers are replaced in batches, there are never more than the full set and one batch beside it: besides those that
    /// fail or have come to a limit, the old ones of earlier operations, those that take longer than a batch waits for them, and those
    /// that lost their slot to a standby before they had it. While a slot has no worker of its own, replacements come besides.
    fn check_batches(&mut self) {
        // A worker whose link could not be taken from it, or whose queue could not be measured, stays longer.
        let came = |fault: &CallFault| self.calls.get(&fault.call).is_some_and(|count| fault.nth < *count);
        if self.oracle.at_once || self.deaths.count > 0 || self.faults.calls.iter().any(came) {
            return;
        }
        let now = self.agenda.now();
        let counts = |process: &Proc| {
            let slow =
                process.stopped || process.known.unlinked.is_some_and(|at| now.since(at) >= BATCH_WAITS);
            let left = process.known.left_at();
            let earlier = left.is_some_and(|at| Some(at) <= self.oracle.operation_ended);
            let (late, unwanted) = (process.known.late, process.known.unwanted);
            let fails = process.asks_to_go()
                || process.dying
                || late
                || unwanted
                || !process.plan.behaviours.is_empty();
            // A standby has taken the slot that it booted for.
            let spare = !process.suspended && !process.known.published && process.known.told_to_go();
            process.alive()
                && !slow
                && !earlier
                && !fails
                && !spare
                && !self.has_hung(process)
                && !self.has_lost_socket(process)
        };
        let count = self.processes.iter().filter(|(_, process)| counts(process)).count();
        let (set, batch) = (self.oracle.most + self.oracle.most_standby, self.oracle.batch);
        let named = self.oracle.slots.values().filter_map(|slot| slot.worker).collect::<BTreeSet<_>>();
        let missing = (self.oracle.most as usize).saturating_sub(named.len());
        if missing > 0 {
            return;
        }
        // A replacement may still boot when a standby has taken over, and the next standby boots beside it.
        let failed = |process: &Proc| {
            let known = &process.known;
            process.ended_at().is_some_and(|at| now.since(at) < HEALING)
                && (known.late || !known.told_to_go())
        };
        let healing = self.processes.iter().filter(|(_, process)| failed(process)).count();
        let most = (set + batch) as usize + healing;
        if count > most {
            self.violated(format_args!(
                "{count} processes are alive while workers are replaced in batches of {batch}; at most {most} are due"
            ));
        }
    }

    pub(crate) fn check_told(&mut self, worker: Worker, message: &ToWorker) {
        if matches!(message, ToWorker::Resume { .. }) {
            self.check_may_begin(worker);
        }
        match message {
            ToWorker::Resume { .. } if self.oracle.stays_suspended(self.agenda.now()) => {
                self.violated(format_args!("{worker} is told to resume while the app is suspended"));
            }
            ToWorker::Resume { .. } if self.is_unnamed(worker) => {
                self.violated(format_args!("{worker} is told to resume before a link names it"));
            }
            ToWorker::Leader { leads, .. } => self.check_told_who_leads(worker, *leads),
            ToWorker::Shutdown => {
                self.check_not_needed(worker, "told to shut down");
                self.check_retired(worker, "told to shut down");
            }
            ToWorker::Resume { .. }
            | ToWorker::Detach { .. }
            | ToWorker::SetName { .. }
            | ToWorker::AppMessage { .. }
            | ToWorker::AppRequest { .. }
            | ToWorker::Ping { .. }
            | ToWorker::Slot { .. }
            | ToWorker::Count { .. }
            | ToWorker::NodeHandleAck => {}
        }
    }

    /// No link has ever named the socket of the worker.
    fn is_unnamed(&self, worker: Worker) -> bool {
        self.processes
            .get(worker)
            .is_some_and(|process| process.sockets.inherits.is_empty() && !process.known.published)
    }

    /// A worker that served may go only when its link names another and its queue is empty, or has had its time.
    fn check_retired(&mut self, worker: Worker, what: &str) {
        let Some(process) = self.processes.get(worker).filter(|process| process.alive()) else { return };
        if !process.known.published || self.oracle.kill_allowed() || process.known.told_to_go() {
            return;
        }
        if process.known.succeeded || self.deaths.forgot {
            return;
        }
        if !process.sockets.accepts.is_empty() {
            // Those that hear nothing accept for other slots as well; nobody counts on that.
            let its = |socket: &&String| process.serves_from(socket) && !process.is_idle();
            let accepts: Vec<String> = process.sockets.accepts.iter().filter(its).cloned().collect();
            return accepts.iter().for_each(|socket| self.check_left(worker, socket, what));
        }
        let links: Vec<_> = self
            .files
            .iter()
            .filter(|(name, entry)| {
                matches!(entry, Entry::Link(_)) && self.files.follow(name) == Some(worker)
            })
            .map(|(name, _)| name.to_owned())
            .collect();
        let waiting = process.traffic.queue.as_ref().map_or(0, VecDeque::len);
        let drained =
            process.known.drained_since().is_none_or(|at| self.agenda.now().since(at) >= self.oracle.drain);
        let fresh = links.iter().find(|link| !self.oracle.stuck.contains(*link));
        if let Some(link) = fresh {
            self.violated(format_args!("{worker} is {what} while {link} names it"));
        } else if links.is_empty() && waiting > 0 && !drained && !process.is_unseen(self.agenda.now()) {
            self.violated(format_args!(
                "{worker} is {what} while {waiting} connections wait in its accept queue"
            ));
        }
    }

    /// A worker that accepts from a socket of the daemon's may go when another one accepts from it, or nothing comes any
    /// more and its queue is empty, or has had its time.
    fn check_left(&mut self, worker: Worker, socket: &str, what: &str) {
        let Some(listener) = self.listeners.get(socket) else { return };
        // It ought not to accept at all.
        if self.processes.get(worker).is_some_and(Proc::ignores_suspension) {
            return;
        }
        let served = self.processes.get(worker).is_some_and(|process| process.known.told_resume.is_some());
        // The link of a dead worker is removed by a daemon that follows, while it counts as its slot's still.
        let there = |slot: &&Slot| self.files.target(&slot.link).is_some() || self.oracle.is_removed(slot);
        let links = self.oracle.slots.values().filter(|slot| slot.socket == socket);
        let links: Vec<&Slot> = links.filter(there).collect();
        let stuck =
            links.iter().any(|slot| self.oracle.stuck.contains(&slot.link) || self.oracle.is_removed(slot));
        let drained =
            listener.drained_since().is_none_or(|at| self.agenda.now().since(at) >= self.oracle.drain);
        let (linked, waiting, unseen) = (!links.is_empty(), listener.queue.len(), listener.unseen);
        // A standby that stands still when it is needed cannot answer what came to a worker that has died.
        let helpless = self.has_lost_a_worker(socket)
            && self.processes.get(worker).is_some_and(|process| process.stopped);
        let bereft = self.is_bereft(worker);
        if linked && !stuck && served && !bereft && !self.is_tended(socket, Some(worker)) {
            self.violated(format_args!(
                "{worker} is {what} while a link names its socket, and nobody follows it"
            ));
        } else if !linked
            && waiting > 0
            && !drained
            && !unseen
            && !helpless
            && !self.is_tended(socket, Some(worker))
        {
            self.violated(format_args!(
                "{worker} is {what} while {waiting} connections wait in its accept queue"
            ));
        }
    }

    /// Those who accepted beside it when it began to drain have all died since.
    fn is_bereft(&self, worker: Worker) -> bool {
        let died = |other: &Worker| {
            let other = self.processes.get(*other);
            other.is_some_and(|other| other.died_by_itself() && !other.known.told_to_go())
        };
        let beside = self.processes.get(worker).map(|process| &process.known.beside);
        beside.is_some_and(|beside| !beside.is_empty() && beside.iter().all(died))
    }

    /// It has not reported to the daemon, which is not its first, or so lately that the daemon cannot have read that yet.
    pub(crate) fn is_unheard(&self, process: &Proc) -> bool {
        let readable = process.reunites.is_some_and(|at| self.agenda.busy_since().since(at) > REPORTS);
        process.awaits_reunion() && !readable
    }

    /// At least as many others leave as operations may retire workers at a time.
    pub(crate) fn may_be_hastened(&self, old: &Known) -> bool {
        let floor = SlotIndex(self.oracle.floor());
        let beyond: BTreeSet<Worker> =
            self.oracle.slots.range(floor..).filter_map(|(_, slot)| slot.worker).collect();
        let leaves = |(worker, process): &(Worker, &Proc)| {
            let known = &process.known;
            // A link that could not be swapped or removed may name it still, or the socket from which it accepts.
            let record = self.recorded(process);
            let goes = beyond.contains(worker)
                || record.is_some_and(|record| record.stage.is_going() || record.slot >= Some(floor));
            let replaced = known.unlinked.is_some() || known.succeeded || goes;
            !known.reaped && (replaced || known.draining.is_some() || known.told_to_go())
        };
        let leaving = self.processes.iter().filter(leaves).count();
        old.told_shutdown.is_some() && leaving > self.oracle.retiring
    }

    /// Whom a signal reaches, if it may be sent at all.
    pub(crate) fn check_signal(
        &mut self,
        id: WorkerId,
        target: Process,
        signal: WorkerSignal,
        words: &str,
    ) -> Option<Worker> {
        let Some(worker) = self.processes.named(id) else {
            self.violated(format_args!("{signal:?} to {id}, which was never spawned"));
            return None;
        };
        self.trace.line(self.agenda.now(), "daemon", format_args!("{words} {worker}"));
        let process = self.processes.get(worker)?;
        if process.process != target {
            self.violated(format_args!("{signal:?} to {worker} by the identity of another process"));
            return None;
        }
        if process.known.reaped {
            self.violated(format_args!("{signal:?} to {worker}, which is reaped: its pid may be another's"));
            return None;
        }
        // What is about to end takes no signal any more.
        if !process.alive() || process.dying {
            return None;
        }
        if process.known.published && !process.ignores_suspension() && !self.oracle.kill_allowed() {
            let hung = self.counts_as_hung(worker);
            let since = |at: Option<Time>| at.map(|at| self.agenda.now().since(at));
            let shutdown = self.oracle.shutdown;
            // Without its state file, a daemon takes a worker of before for what the configuration says today.
            let unknown = process.adopted && self.deaths.forgot;
            let hears = process.speaks() || hung || unknown;
            let delay = if hears { KILL_DELAY } else { shutdown + KILL_DELAY };
            let unheard = self.is_unheard(process);
            match signal {
                // Those that serve got it in time and have ended; now their wrapper does.
                WorkerSignal::Terminate if process.server == Some(Server::Gone) => {}
                // A hung one would not hear `shutdown`, and what waits in its queue waits in vain.
                WorkerSignal::Terminate if hung => {}
                WorkerSignal::Terminate if unheard || !process.reachable() || !process.speaks() => {
                    self.check_retired(worker, "sent SIGTERM")
                }
                WorkerSignal::Terminate
                    if since(process.known.told_shutdown).is_none_or(|ago| ago < shutdown)
                        && !self.may_be_hastened(&process.known) =>
                {
                    self.violated(format_args!("SIGTERM to {worker} before shutdownTimeout has passed"));
                }
                WorkerSignal::KillGroup if since(process.known.terminated).is_none_or(|ago| ago < delay) => {
                    let delay = delay.as_millis();
                    self.violated(format_args!("SIGKILL to {worker} less than {delay} ms after SIGTERM"));
                }
                WorkerSignal::Terminate | WorkerSignal::KillGroup => {}
            }
        }
        Some(worker)
    }

    /// What has served ends by the signal on which its program finishes, whatever the configuration says by then.
    pub(crate) fn check_stop_signal(&mut self, worker: Worker, signal: StopSignal) {
        if signal != StopSignal::Term {
            self.marks.count("another signal than SIGTERM is needed");
        }
        let Some(process) = self.processes.get(worker) else { return };
        let finishes_on = process.plan.finishes_on;
        if process.known.published && signal != finishes_on && !self.deaths.forgot {
            let (signal, finishes_on) = (signal.name(), finishes_on.name());
            self.violated(format_args!("{signal} to {worker}, whose program finishes on {finishes_on}"));
        }
    }

    /// The daemon has nothing to do but wait: all exits it knows of are collected, and no more workers boot than may.
    pub(crate) fn check_idle(&mut self) {
        self.check_links_lead();
        let zombie = self.processes.iter().find(|(_, process)| process.known.exited && !process.known.reaped);
        if let Some((worker, _)) = zombie {
            self.violated(format_args!("{worker} has exited, the daemon knows it, and does not reap it"));
        }
        let boots = |process: &Proc| {
            let known = process.known.online || process.known.exited || process.retiring();
            let goes = self.recorded(process).is_some_and(|record| record.stage.is_going());
            process.alive() && !process.dying && !process.adopted && !known && !goes
        };
        let booting = self.processes.iter().filter(|(_, process)| boots(process)).count();
        if booting > self.oracle.boots as usize {
            let most = self.oracle.boots;
            self.violated(format_args!("{booting} workers boot at a time; at most {most} may"));
        }
    }
}
