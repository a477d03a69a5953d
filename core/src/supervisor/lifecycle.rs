//! A worker's life: ordered, booting, ready, gone.

use std::time::Duration;

use crate::action::{Action, SpawnOrder, WorkerSignal};
use crate::config::{Config, Listen, Program, Ready};
use crate::event::{ExitStatus, Failure};
use crate::id::{Process, SlotIndex, WorkerId};
use crate::text::escape;
use crate::wire::{FromWorker, Stage, ToWorker};

use super::readiness::Watch;
use super::worker::{Channel, Seat, State, Worker};
use super::{Supervisor, Timer};

/// Variables that every worker gets if the daemon has them.
const ALWAYS_PASSED: [&str; 5] = ["NODE_ENV", "PATH", "HOME", "LANG", "TZ"];

/// What a service manager told the daemon is not for its workers: they would speak to it in the daemon's place.
const NEVER_PASSED: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// A worker's own words are cut to this many characters.
const REASON: usize = 500;

impl Supervisor {
    /// Orders a worker for `seat`, from `config` where a rollout brings its own.
    pub(super) fn spawn(&mut self, seat: Seat, suspended: bool, rollout: Option<&Config>) -> WorkerId {
        let id = self.ids.worker();
        let config = rollout.unwrap_or(&self.config).clone();
        let listeners = self.listeners_for(seat, &config, self.slots_ahead());
        let suspended = suspended || config.options.listen == Listen::Daemon;
        let socket = match listeners.as_slice() {
            [] => Some(config.socket_file.socket(id)),
            [only] if seat != Seat::Standby => Some(only.clone()),
            _ => None,
        };
        let worker = Worker {
            seat,
            in_rollout: rollout.is_some(),
            state: State::Spawning { deadline: self.now + config.options.spawn_timeout },
            since: self.now,
            ordered: self.now,
            online_timeout: config.options.online_timeout,
            ready: None,
            started_suspended: suspended,
            ready_by: config.options.ready,
            ready_path: config.options.ready_path.clone(),
            speaks: config.options.ready == Ready::Report,
            socket,
            listeners,
            served: false,
            drained: false,
            channel: Channel::Open,
            stderr: config.options.stderr.clone(),
        };
        let order = spawn_order(id, &worker, &config);
        self.workers.insert(id, worker);
        self.act(Action::Spawn(Box::new(order)));
        self.progress(id, Stage::Starting, None);
        id
    }

    pub(super) fn spawned(&mut self, id: WorkerId, result: Result<Process, Failure>) {
        let Some(worker) = self.workers.get(&id) else { return };
        let deadline = if let State::Spawning { deadline } = worker.state { Some(deadline) } else { None };
        if deadline.is_none() && worker.state != State::Unwanted {
            return;
        }
        let online_by = self.now + worker.online_timeout;
        let watch = Watch::over(worker.ready_by, self.now, online_by);
        self.restart_spawn_timeouts();
        match result {
            Err(failure) => {
                if deadline.is_some() {
                    self.failed(id, &failure.0);
                }
                self.enter(id, State::Exited);
                self.reaped(id);
            }
            Ok(process) => {
                tracing::info!(worker = %id.short(), pid = process.pid, "worker started");
                self.enter(id, State::Booting { process, deadline: online_by, watch });
                match deadline {
                    Some(deadline) if self.now <= deadline => {}
                    Some(_) => {
                        self.failed(id, &self.spawn_time_out());
                        self.end_at_once(id);
                    }
                    None if defect!(UnwantedProcessStays) => {}
                    None => self.end_at_once(id),
                }
            }
        }
    }

    /// Processes are created one after the other: the time that one takes is not the next one's.
    fn restart_spawn_timeouts(&mut self) {
        let limit = self.now + self.config.options.spawn_timeout;
        for worker in self.workers.values_mut() {
            if let State::Spawning { deadline } = &mut worker.state {
                *deadline = limit;
            }
        }
    }

    pub(super) fn received(&mut self, id: WorkerId, message: FromWorker) {
        match message {
            FromWorker::Online { suspended } => self.reported(id, suspended),
            FromWorker::Broken { reason } => {
                self.broken(id, reason.as_deref().unwrap_or("it gave no reason"))
            }
            FromWorker::Reply { request, answers, data, errors, done } => {
                self.answered(id, &request, answers.then_some((data, errors)), done);
            }
            FromWorker::NodeHandle => self.tell(id, ToWorker::NodeHandleAck),
        }
    }

    /// It reported ready. Where readiness is shown by other means, that is what counts; but one that holds requests back
    /// until it is resumed could not show it.
    fn reported(&mut self, id: WorkerId, suspended: bool) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.speaks = true;
        if worker.ready_by == Ready::Report || suspended {
            self.online(id, suspended);
        }
    }

    /// It is ready.
    pub(super) fn online(&mut self, id: WorkerId, suspended: bool) {
        let Some(worker) = self.workers.get(&id) else { return };
        let State::Booting { process, .. } = worker.state else { return };
        // Nobody minds one that knows nothing of suspension, unless a migration is being prepared, or goes on.
        let matters = self.desired.suspended && !worker.in_rollout || self.rolls_out_suspended();
        if worker.started_suspended && !suspended && matters {
            let reason =
                "it came up active although it was started suspended; its app must wait for `resume`";
            if !worker.listeners.is_empty() {
                // It has begun to accept: what it took, it may answer.
                self.enter(id, State::Ready { process, suspended, broken: false });
            }
            return self.fail_and_retire(id, reason);
        }
        let boot = self.now.since(worker.ordered);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.ready = Some(self.now);
        }
        tracing::info!(worker = %id.short(), pid = process.pid, suspended, "worker online after {} ms", boot.as_millis());
        self.enter(id, State::Ready { process, suspended, broken: false });
        self.progress(id, Stage::Online, None);
    }

    /// It asks to be replaced, or has to be.
    pub(super) fn broken(&mut self, id: WorkerId, reason: &str) {
        let Some(worker) = self.workers.get(&id) else { return };
        let reason = format!("it is broken: {}", escape(reason, REASON));
        let replaceable = worker.in_rollout || worker.seat == Seat::Standby;
        match worker.state {
            State::Ready { process, suspended, broken: false }
                if !replaceable && !defect!(BrokenRetiredAtOnce) =>
            {
                self.failed(id, &reason);
                self.enter(id, State::Ready { process, suspended, broken: true });
            }
            State::Booting { .. } | State::Ready { broken: false, .. } => self.fail_and_retire(id, &reason),
            State::Spawning { .. }
            | State::Unwanted
            | State::Ready { .. }
            | State::Draining(_)
            | State::ShuttingDown { .. }
            | State::Terminating { .. }
            | State::Killed { .. }
            | State::Exited
            | State::Reaped { .. } => {}
        }
    }

    pub(super) fn channel_closed(&mut self, id: WorkerId) {
        if self.workers.get(&id).is_some_and(|worker| worker.channel == Channel::Open) {
            self.channel_lost(id);
        }
    }

    /// It cannot be told anything any more; nor will it answer what it was asked.
    pub(super) fn channel_lost(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.channel = Channel::Lost { at: self.now };
        }
        self.fail_relays_of(id, "its channel is closed");
    }

    /// It lives on without a channel. What is active serves as before; what is suspended could never be resumed.
    fn out_of_reach(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.channel = Channel::Closed;
        if worker.is_suspended() {
            self.broken(id, "it has no channel to the daemon, so that it cannot be resumed");
        } else {
            tracing::warn!(
                worker = %id.short(),
                "worker has no channel to the daemon: no message reaches it, and SIGTERM will be its end"
            );
        }
    }

    /// Its process ended, by itself or because we asked. Returns the order to reap it.
    pub(super) fn exited(&mut self, id: WorkerId, status: ExitStatus) -> Option<Action> {
        let worker = self.workers.get(&id)?;
        let process = worker.process()?;
        let expected = matches!(worker.seat, Seat::Retired { .. });
        let accounted = matches!(worker.state, State::Ready { broken: true, .. });
        tracing::info!(worker = %id.short(), pid = process.pid, "worker {status}");
        self.enter(id, State::Exited);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.channel = Channel::Lost { at: self.now };
        }
        self.fail_relays_of(id, &format!("it {status}"));
        if !expected && !accounted {
            self.failed(id, &format!("it {status}"));
        }
        if defect!(SignalAfterReap) {
            self.act(Action::Reap { worker: id, process });
            return Some(Action::Signal { worker: id, process, signal: WorkerSignal::KillGroup });
        }
        Some(Action::Reap { worker: id, process })
    }

    /// Its process is gone, or there never was one.
    pub(super) fn reaped(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        if worker.state != State::Exited {
            return;
        }
        let inherited = self.outlives(id, worker) || defect!(SocketLeft);
        if matches!(worker.seat, Seat::Retired { .. }) {
            self.progress(id, Stage::Gone, None);
        }
        if inherited {
            // Its socket stays: it is ours, or another worker's as well.
            self.workers.remove(&id);
            return;
        }
        self.enter(id, State::Reaped { removal: super::Backoff::default() });
        self.remove_socket(id);
    }

    /// The socket of a dead worker is not to be removed: there is none, it is ours, or another worker accepts from it.
    fn outlives(&self, id: WorkerId, worker: &Worker) -> bool {
        let Some(socket) = worker.socket.as_deref() else { return true };
        let others = self.workers.iter().filter(|(other, _)| **other != id);
        let shared =
            others.filter(|(_, other)| !other.is_gone()).any(|(_, other)| other.accepts_from(socket));
        shared || self.listeners.contains_key(socket)
    }

    fn remove_socket(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if let State::Reaped { removal } = &mut worker.state {
            removal.tried();
            if let Some(socket) = worker.socket.clone() {
                self.act(Action::Remove { worker: id, socket });
            }
        }
    }

    pub(super) fn removed(&mut self, id: WorkerId, result: Result<(), Failure>) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let State::Reaped { removal } = &mut worker.state else { return };
        match result {
            Ok(()) => {
                self.workers.remove(&id);
            }
            Err(failure) => {
                removal.failed(now, Duration::ZERO, &failure.0);
                if removal.failures == 1 {
                    tracing::warn!(worker = %id.short(), "cannot remove the socket of a dead worker, will try again: {failure}");
                }
            }
        }
    }

    /// A deadline of the worker has passed.
    pub(super) fn worker_due(&mut self, id: WorkerId, timer: Timer) {
        match timer {
            Timer::Spawn => self.fail_and_retire(id, &self.spawn_time_out()),
            Timer::Online => self.fail_and_retire(id, &self.not_online(id)),
            Timer::Ready => self.look_whether_ready(id),
            Timer::Look => self.look(id),
            Timer::Drain if defect!(DrainTimeoutIgnored) => {}
            Timer::Drain => self.drain_timed_out(id),
            Timer::Shutdown if defect!(KillInsteadOfTerminate) => self.kill(id),
            Timer::Shutdown => self.terminate(id),
            Timer::Kill => self.kill(id),
            Timer::Channel => self.out_of_reach(id),
            Timer::Removal => self.remove_socket(id),
            Timer::Restart
            | Timer::Promotion
            | Timer::Link
            | Timer::Persist
            | Timer::Extend
            | Timer::Watchdog => {}
        }
    }

    fn spawn_time_out(&self) -> String {
        let limit = self.config.options.spawn_timeout.as_millis();
        format!("its process was not created within {limit} ms (options.spawnTimeout)")
    }

    fn fail_and_retire(&mut self, id: WorkerId, reason: &str) {
        self.failed(id, reason);
        self.retire(id);
    }

    /// It failed at what it is for; says so to whoever counts failures of that.
    fn failed(&mut self, id: WorkerId, reason: &str) {
        let Some(worker) = self.workers.get(&id) else { return };
        let worked = worker.ready.map_or(Duration::ZERO, |ready| self.now.since(ready));
        match (worker.in_rollout, worker.seat) {
            (_, Seat::Retired { .. }) => {}
            (true, _) => {
                tracing::warn!(worker = %id.short(), "new worker failed: {reason}");
                self.rollout_worker_failed(id, reason);
            }
            (false, Seat::Slot(slot)) => {
                tracing::warn!(worker = %id.short(), slot = slot.0, "worker failed: {reason}");
                self.slot_failed(slot, worked, reason);
            }
            (false, Seat::Standby) => {
                tracing::warn!(worker = %id.short(), "standby failed: {reason}");
                self.standby_backoff.failed(self.now, worked, reason);
            }
        }
    }

    /// Ends the suspension of a worker.
    pub(super) fn resume(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let State::Ready { process, suspended: true, broken } = worker.state else { return };
        if worker.speaks && !worker.channel.is_open() {
            return;
        }
        if worker.channel.is_open() {
            let fd = worker.serving_fd();
            self.tell(id, ToWorker::Resume { fd });
        }
        tracing::info!(worker = %id.short(), pid = process.pid, "worker resumed");
        self.enter(id, State::Ready { process, suspended: false, broken });
    }

    /// Changes a worker's state.
    pub(super) fn enter(&mut self, id: WorkerId, state: State) {
        let now = self.now;
        if let Some(worker) = self.workers.get_mut(&id) {
            let before = worker.wire_state();
            worker.state = state;
            if worker.wire_state() != before {
                worker.since = now;
            }
        }
    }

    /// The worker that owns `slot`, if its process still runs for all we know.
    pub(super) fn owner(&self, slot: SlotIndex) -> Option<(WorkerId, &Worker)> {
        let id = self.slots.get(&slot)?.owner?;
        let worker = self.workers.get(&id)?;
        worker.process().map(|_| (id, worker))
    }
}

fn spawn_order(id: WorkerId, worker: &Worker, config: &Config) -> SpawnOrder {
    let argv = match &config.program {
        Program::Command(argv) => argv.clone(),
        Program::Script { node, node_args, script } => {
            let mut argv = vec![node.clone()];
            argv.extend_from_slice(node_args);
            argv.push(script.to_string_lossy().into_owned());
            argv
        }
    };
    let named = config.env.pass.iter().map(String::as_str);
    let passed = ALWAYS_PASSED.into_iter().chain(named).filter(|name| !NEVER_PASSED.contains(name));
    let pass = passed.map(str::to_owned).collect();
    let mut set = config.env.set.clone();
    let suspended = worker.started_suspended;
    // A standby does not know yet which of the sockets will be its own; all of them are there.
    let socket =
        worker.socket.as_ref().or(worker.listeners.first()).map(|socket| config.socket_dir.join(socket));
    let socket = socket.unwrap_or_default();
    let ours = [
        ("NODESOCKD_APP_NAME", config.name.clone()),
        ("NODESOCKD_WORKER_ID", id.to_string()),
        ("NODESOCKD_SUSPENDED", if suspended { "true".to_owned() } else { String::new() }),
        ("NODESOCKD_SOCKET_PATH", socket.to_string_lossy().into_owned()),
        ("NODESOCKD_IPC_PATH", config.ipc_file.to_string_lossy().into_owned()),
        ("NODESOCKD_SHUTDOWN_TIMEOUT", config.options.shutdown_timeout.as_millis().to_string()),
    ];
    set.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    if !worker.listeners.is_empty() {
        let names: Vec<String> = match worker.seat {
            Seat::Slot(slot) => vec![slot.to_string()],
            Seat::Standby | Seat::Retired { .. } => {
                (0..worker.listeners.len()).map(|slot| slot.to_string()).collect()
            }
        };
        set.push(("LISTEN_FDS".to_owned(), worker.listeners.len().to_string()));
        set.push(("LISTEN_FDNAMES".to_owned(), names.join(":")));
    }
    SpawnOrder {
        worker: id,
        argv,
        cwd: config.cwd.clone(),
        pass,
        set,
        stdout: config.options.stdout.clone(),
        stderr: config.options.stderr.clone(),
        listeners: worker.listeners.clone(),
        ready: config.options.ready,
    }
}
