//! Taking a worker out of service without losing a request.
//!
//! By the time a worker is retired, no link names it. But a client may have looked the link up just before, and
//! connections may wait in the accept queue of its socket: closing that socket would reset them. So the kernel is asked
//! for the queue's length until it has been empty for [`QUIET`], and only then is the worker told to shut down.

use std::time::Duration;

use crate::action::{Action, WorkerSignal};
use crate::event::Queue;
use crate::id::{Process, WorkerId};
use crate::time::Time;
use crate::wire::{Stage, ToWorker};

use super::Supervisor;
use super::slots::{Moving, Slot};
use super::worker::{Channel, Drain, State, Worker};

/// How long the accept queue must have been empty. Covers a client that has read the old link and is about to connect:
/// microseconds normally, some scheduling quanta on a starved machine.
const QUIET: Duration = Duration::from_millis(50);
/// How long after a look that found connections waiting the next one is taken.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a worker goes on accepting where the kernel does not tell.
const BLIND: Duration = Duration::from_millis(500);
/// From SIGTERM to SIGKILL.
const KILL_AFTER: Duration = Duration::from_millis(5000);

impl Supervisor {
    /// Takes a worker out of service; no link may name it any more.
    pub(super) fn retire(&mut self, id: WorkerId) {
        let taking = |slot: &Slot| matches!(slot.moving, Some(Moving::To { worker, .. }) if worker == id);
        let named = self.slots.values().any(taking);
        // What waits in the queue is another worker's by now; nothing is lost when this one stops accepting.
        let shared = self.workers.get(&id).is_some_and(|worker| self.is_shared(id, worker));
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.unseat();
        let (inherits, speaks) = (!worker.listeners.is_empty(), worker.speaks);
        // A spare accepts from no socket that could be watched.
        let nothing_waits = shared || worker.socket.is_none();
        match worker.state {
            State::Spawning { .. } => self.enter(id, State::Unwanted),
            // It may be accepting already: nothing keeps it from that.
            State::Booting { process, .. } if inherits && !speaks && nothing_waits => {
                self.terminate_gently(id, process);
            }
            State::Booting { process, .. } if inherits && !speaks => self.drain(id, process),
            // By the state file it is booting; that may not be the latest.
            State::Booting { .. } if worker.channel != Channel::Open && nothing_waits => self.drained(id),
            State::Booting { process, .. } if worker.channel != Channel::Open => self.drain(id, process),
            State::Booting { .. } => self.terminate(id),
            State::Ready { .. } if !worker.served && !named || defect!(NoDrain) => self.shut_down(id),
            State::Ready { .. } if nothing_waits => self.drained(id),
            State::Ready { process, .. } => self.drain(id, process),
            State::Unwanted
            | State::Draining(_)
            | State::ShuttingDown { .. }
            | State::Terminating { .. }
            | State::Killed { .. }
            | State::Exited
            | State::Reaped { .. } => {}
        }
    }

    fn drain(&mut self, id: WorkerId, process: Process) {
        let deadline = self.now + self.config.options.drain_timeout;
        let drain = Drain { process, deadline, look: None, empty_since: None, blind_since: None, waiting: 0 };
        self.enter(id, State::Draining(drain));
        self.progress(id, Stage::Draining, None);
        self.measure(id);
    }

    pub(super) fn measure(&mut self, id: WorkerId) {
        if let Some(socket) = self.workers.get(&id).and_then(|worker| worker.socket.clone()) {
            self.act(Action::MeasureQueue { worker: id, socket });
        }
    }

    /// It is time to look at the accept queue again.
    pub(super) fn look(&mut self, id: WorkerId) {
        if let Some(drain) = self.drain_of(id) {
            drain.look = None;
            self.measure(id);
        }
    }

    pub(super) fn queue_measured(&mut self, id: WorkerId, queue: &Queue) {
        let now = self.now;
        let Some(drain) = self.drain_of(id) else { return self.listening_seen(id, queue) };
        match queue {
            Queue::Length(0) => {
                let since = *drain.empty_since.get_or_insert(now);
                drain.blind_since = None;
                drain.waiting = 0;
                drain.look = Some(since + QUIET);
                if now.since(since) >= QUIET || defect!(DrainEndsAtFirstEmptyQueue) {
                    self.drained(id);
                }
            }
            Queue::Length(waiting) => {
                drain.empty_since = None;
                drain.blind_since = None;
                drain.waiting = *waiting;
                drain.look = Some(now + LOOK_AGAIN);
            }
            Queue::Closed => self.drained(id),
            Queue::Unknown(reason) => {
                if drain.blind_since.is_none() {
                    let limit = BLIND.as_millis();
                    tracing::warn!(worker = %id.short(), "cannot see the accept queue, leaving it {limit} ms: {reason}");
                }
                let since = *drain.blind_since.get_or_insert(now);
                drain.empty_since = None;
                drain.look = Some(now + LOOK_AGAIN);
                if now.since(since) >= BLIND || defect!(UnknownQueueCountsAsEmpty) {
                    self.drained(id);
                }
            }
        }
    }

    pub(super) fn drain_timed_out(&mut self, id: WorkerId) {
        let limit = self.config.options.drain_timeout.as_millis();
        let Some(drain) = self.drain_of(id) else { return };
        if drain.waiting > 0 {
            tracing::warn!(
                worker = %id.short(),
                "{} connections still wait to be accepted after {limit} ms (options.drainTimeout); they will be reset",
                drain.waiting
            );
        }
        self.drained(id);
    }

    /// It has been waited for long enough.
    fn drained(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.drained = true;
        }
        self.shut_down(id);
    }

    fn drain_of(&mut self, id: WorkerId) -> Option<&mut Drain> {
        if let State::Draining(drain) = &mut self.workers.get_mut(&id)?.state { Some(drain) } else { None }
    }

    /// Tells a worker to finish and exit.
    fn shut_down(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let Some(process) = worker.process() else { return };
        if !worker.speaks {
            return self.terminate_gently(id, process);
        }
        if matches!(worker.channel, Channel::Lost { .. }) {
            return self.terminate(id);
        }
        let deadline = self.shutdown_deadline(worker.channel);
        // One that has not reported to this daemon yet is told when it does. One that cannot be told has its time as well:
        // it may be about to answer.
        if worker.channel.is_open() {
            self.tell(id, ToWorker::Shutdown);
        }
        self.enter(id, State::ShuttingDown { process, deadline });
    }

    /// Sends SIGTERM to a worker that hears nothing else, and gives it the time that others have after `shutdown`.
    pub(super) fn terminate_gently(&mut self, id: WorkerId, process: Process) {
        let deadline = self.now + self.config.options.shutdown_timeout + KILL_AFTER;
        self.act(Action::Signal { worker: id, process, signal: WorkerSignal::Terminate });
        self.enter(id, State::Terminating { process, deadline });
    }

    /// Ends a worker that was started too late. One that accepts without being told to may have taken requests.
    pub(super) fn end_at_once(&mut self, id: WorkerId) {
        let accepts = |worker: &Worker| !worker.speaks && !worker.listeners.is_empty();
        if self.workers.get(&id).is_some_and(accepts) { self.retire(id) } else { self.kill(id) }
    }

    /// When a worker that ought to shut down gets SIGTERM: not before it can have been told.
    pub(super) fn shutdown_deadline(&self, channel: Channel) -> Time {
        let deadline = self.now + self.config.options.shutdown_timeout;
        if let Channel::Expected { until } = channel { deadline.max(until) } else { deadline }
    }

    /// Sends SIGTERM.
    pub(super) fn terminate(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let Some(process) = worker.process() else { return };
        if matches!(worker.state, State::ShuttingDown { .. }) {
            let limit = self.config.options.shutdown_timeout.as_millis();
            tracing::warn!(worker = %id.short(), pid = process.pid, "worker did not exit within {limit} ms (options.shutdownTimeout), sending SIGTERM");
        }
        self.act(Action::Signal { worker: id, process, signal: WorkerSignal::Terminate });
        let grace = if defect!(KillAtOnce) { Duration::ZERO } else { KILL_AFTER };
        self.enter(id, State::Terminating { process, deadline: self.now + grace });
    }

    /// Sends SIGKILL to the whole group.
    pub(super) fn kill(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(process) = worker.process() else { return };
        worker.unseat();
        if matches!(worker.state, State::Terminating { .. }) {
            tracing::warn!(worker = %id.short(), pid = process.pid, "worker ignored SIGTERM, sending SIGKILL to its process group");
        }
        self.act(Action::Signal { worker: id, process, signal: WorkerSignal::KillGroup });
        self.enter(id, State::Killed { process });
    }
}
