//! Workers' processes: what they do by themselves, and what is done to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::action::{SpawnOrder, WorkerSignal};
use nodesockd_core::config::Ready;
use nodesockd_core::event::{Event, ExitStatus, Failure};
use nodesockd_core::id::{ConnId, Process, WorkerId};
use nodesockd_core::wire::ToWorker;

use super::{Doing, Happening, Lane, World, ms};
use crate::faults::Call;
use crate::ledger::{Cause, RequestNo};
use crate::scenario::{Behaviour, Death};

/// A worker of this history, numbered in the order of spawning; people read it as `w1`, `w2`, ….
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Worker(pub u32);

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0 + 1)
    }
}

/// A worker whose accept queue cannot be seen goes on accepting for so long.
const BLIND: Duration = Duration::from_millis(500);

/// One process, from spawn until it is reaped and beyond.
#[derive(Debug)]
pub(crate) struct Proc {
    pub id: WorkerId,
    pub process: Process,
    /// The file name of its own socket, if it binds one.
    pub socket: Option<String>,
    /// The daemon's sockets that it inherited, and those of them that it still holds.
    pub given: Vec<String>,
    pub inherits: Vec<String>,
    /// Those of them that it accepts from: the one that it was told, or all if it hears nothing.
    pub accepts: BTreeSet<String>,
    /// How it shows that it is ready.
    pub ready: Ready,
    /// It is fit to answer: the daemon may ask.
    pub healthy: bool,
    /// Questions of the daemon's that wait for an answer.
    pub probes: u32,
    pub behaviours: Vec<Behaviour>,
    pub service: Duration,
    /// It was started suspended and has not been told to resume.
    pub suspended: bool,
    /// It holds requests until it is resumed; not so if it takes no notice of being started suspended.
    pub holds: bool,
    /// A link has named it.
    pub published: bool,
    pub booted: bool,
    pub spawned: Time,
    pub boots_at: Time,
    /// It listens, and these connections wait.
    pub listening: Option<VecDeque<RequestNo>>,
    pub accepting: bool,
    /// Requests it works on.
    pub serving: BTreeSet<RequestNo>,
    /// Requests it holds until it is resumed.
    pub held: BTreeSet<RequestNo>,
    /// nginx's idle connections to it.
    pub idle: BTreeSet<u64>,
    pub begun: u32,
    pub broken: bool,
    pub channel_open: bool,
    /// Its daemon has died; what that had told it, it still hears.
    pub orphaned: bool,
    /// Its connection to the control socket of a daemon that is not its first.
    pub conn: Option<ConnId>,
    /// It has reported online.
    pub reported: bool,
    pub heard_until: Time,
    /// The daemon has learned that it is online.
    pub known_online: bool,
    /// The daemon has told it to resume.
    pub told_resume: bool,
    /// The inherited socket from which it was told to accept.
    pub told_socket: Option<String>,
    /// Another one was told to accept from that socket since: this one may go at any time.
    pub succeeded: bool,
    /// When the daemon decided to tell it to shut down: orders wait for those before them.
    pub told_shutdown: Option<Time>,
    pub shutting: bool,
    /// When the daemon decided to send it SIGTERM.
    pub termed: Option<Time>,
    /// The daemon watches its accept queue, as it does for those that are to go.
    pub draining: bool,
    /// Since when the kernel could not be asked about its accept queue.
    pub blind_since: Option<Time>,
    /// When its link was swapped away or withdrawn.
    pub unlinked: Option<Time>,
    /// When the daemon began to drain it although its link could not be withdrawn.
    pub given_up: Option<Time>,
    pub stopped: bool,
    pub deferred: VecDeque<Doing>,
    pub ended: Option<ExitStatus>,
    /// When.
    pub ended_at: Time,
    /// Its death was none of the daemon's doing.
    pub died_by_itself: bool,
    /// The daemon has learned that it ended.
    pub exit_known: bool,
    pub reaped: bool,
    /// It is no child of the daemon there is: init collects it when it ends.
    pub adopted: bool,
    /// Children of its own that live: escaped from its group or not.
    pub children: Vec<bool>,
}

impl Proc {
    pub fn alive(&self) -> bool {
        self.ended.is_none()
    }

    pub fn retiring(&self) -> bool {
        self.draining || self.told_to_go() || self.unlinked.is_some()
    }

    /// The daemon has decided to tell it to go, in words or by SIGTERM.
    pub fn told_to_go(&self) -> bool {
        self.told_shutdown.is_some() || self.termed.is_some()
    }

    /// It talks to the daemon, and hears it.
    pub fn speaks(&self) -> bool {
        self.ready == Ready::Report
    }

    /// It accepts although it was started suspended and has not been told to resume.
    pub fn ignores_suspension(&self) -> bool {
        self.speaks() && self.suspended && !self.accepts.is_empty()
    }

    /// It has inherited this socket.
    pub fn inherits(&self, socket: &str) -> bool {
        self.inherits.iter().any(|inherited| inherited == socket)
    }

    /// It has inherited this socket, and accepts from no other.
    pub fn may_accept(&self, socket: &str) -> bool {
        self.inherits(socket) && (self.is_free_for(socket) || !self.speaks())
    }

    /// It has inherited this socket, was ready, and has not been told to go, as far as the daemon knows.
    pub fn tends(&self, socket: &str) -> bool {
        self.may_accept(socket) && self.known_online && !self.exit_known && !self.told_to_go()
    }

    /// It was told to accept from no other socket than this.
    pub fn is_free_for(&self, socket: &str) -> bool {
        self.told_socket.as_deref().is_none_or(|told| told == socket)
    }

    /// It accepts from this socket, and was told no other.
    pub fn serves_from(&self, socket: &str) -> bool {
        self.accepts.contains(socket) && self.is_free_for(socket)
    }

    /// The inherited socket that a descriptor is, by default the first.
    pub fn socket_at(&self, fd: Option<u32>) -> Option<&String> {
        self.given.get(fd.and_then(|fd| fd.checked_sub(3)).unwrap_or_default() as usize)
    }

    /// When its drain began, at the earliest.
    pub fn drained_since(&self) -> Option<Time> {
        self.given_up.into_iter().chain(self.unlinked).min()
    }

    /// It has said, or shown, that it wants a replacement.
    pub fn asks_to_go(&self) -> bool {
        self.broken || !self.channel_open && !self.orphaned
    }

    /// Another process may get its pid.
    fn pid_is_free(&self) -> bool {
        self.reaped || self.adopted && !self.alive()
    }

    /// It was told to go, or asked to.
    pub fn asked_to_go(&self) -> bool {
        self.asks_to_go() || self.retiring() || self.shutting
    }

    /// It can be told things.
    pub fn reachable(&self) -> bool {
        self.channel_open || self.conn.is_some()
    }

    /// Its daemon has died. Where it has ended itself, init collects it.
    pub fn lose_daemon(&mut self) {
        if self.alive() {
            self.orphaned |= self.channel_open || self.conn.is_some();
            self.adopted = true;
            self.channel_open = false;
            self.conn = None;
        } else {
            self.exit_known = true;
            self.reaped = true;
        }
    }

    /// Its accept queue could not be seen for so long that it is not waited for any longer.
    pub fn is_unseen(&self, now: Time) -> bool {
        self.blind_since.is_some_and(|since| now.since(since) >= BLIND)
    }

    pub fn has(&self, behaviour: Behaviour) -> bool {
        self.behaviours.contains(&behaviour)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    table: Vec<Proc>,
    by_id: BTreeMap<WorkerId, Worker>,
}

impl Processes {
    pub fn get(&self, worker: Worker) -> Option<&Proc> {
        self.table.get(worker.0 as usize)
    }

    pub fn get_mut(&mut self, worker: Worker) -> Option<&mut Proc> {
        self.table.get_mut(worker.0 as usize)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Proc> {
        self.table.iter_mut()
    }

    pub fn named(&self, id: WorkerId) -> Option<Worker> {
        self.by_id.get(&id).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Worker, &Proc)> + Clone {
        (0..).map(Worker).zip(&self.table)
    }

    pub fn live(&self) -> Vec<Worker> {
        self.iter().filter(|(_, process)| process.alive()).map(|(worker, _)| worker).collect()
    }

    /// The lowest pid that is free: one that was freed is taken again at once.
    fn free_pid(&self) -> u32 {
        let taken: BTreeSet<u32> = self
            .table
            .iter()
            .filter(|process| !process.pid_is_free())
            .map(|process| process.process.pid)
            .collect();
        (5000..).find(|pid| !taken.contains(pid)).unwrap_or(u32::MAX)
    }
}

impl World {
    /// Starts a worker.
    pub fn spawn(&mut self, order: &SpawnOrder) -> Result<Process, Failure> {
        let called = self.call(Call::Spawn);
        self.check_ordered();
        let suspended = variable(order, "NODESOCKD_SUSPENDED") == "true";
        let mood = if suspended { " suspended" } else { "" };
        if let Err(failure) = called {
            self.trace.line(self.now, "daemon", format_args!("spawn{mood} → {failure}"));
            return Err(failure);
        }
        if let Some(missing) = order.listeners.iter().find(|socket| !self.is_held(socket)) {
            return Err(Failure(format!("{missing} is not open")));
        }
        let worker = Worker(u32::try_from(self.processes.table.len()).unwrap_or(u32::MAX));
        let pid = self.processes.free_pid();
        if self.processes.table.iter().any(|former| former.process.pid == pid) {
            self.tally.count("pid reused");
        }
        let process = Process { pid, started: self.now.as_nanos() / 10_000_000 * 1000 + u64::from(worker.0) };
        self.trace.line(self.now, "daemon", format_args!("spawn {worker}{mood} → pid {pid}"));
        // Whatever was deployed before, in the end there is code that works.
        let deployed = if self.scenario_over() { 0 } else { self.release };
        let release = self.scenario.releases.get(deployed);
        let mut behaviours = release.map(|release| release.defects.clone()).unwrap_or_default();
        if !behaviours.is_empty() {
            self.tally.count("bad release");
        }
        if !self.faults_over() {
            let planned = self.faults.workers.iter().filter(|fault| fault.nth == worker.0);
            behaviours.extend(planned.map(|fault| fault.behaviour));
        }
        let (boot, service) = release.map_or((40, 4), |release| (release.boot_ms, release.service_ms));
        let boot = ms(boot) + self.draw_us(boot * 250);
        let path = variable(order, "NODESOCKD_SOCKET_PATH");
        self.processes.by_id.insert(order.worker, worker);
        self.processes.table.push(Proc {
            id: order.worker,
            process,
            socket: path.rsplit('/').next().filter(|_| order.listeners.is_empty()).map(str::to_owned),
            given: order.listeners.clone(),
            inherits: order.listeners.clone(),
            accepts: BTreeSet::new(),
            ready: order.ready,
            healthy: false,
            probes: 0,
            behaviours: behaviours.clone(),
            service: ms(service),
            suspended,
            holds: suspended
                && order.ready == Ready::Report
                && !behaviours.contains(&Behaviour::ReportsUnsuspended),
            published: false,
            booted: false,
            spawned: self.now,
            boots_at: self.now + boot,
            listening: None,
            accepting: false,
            serving: BTreeSet::new(),
            held: BTreeSet::new(),
            idle: BTreeSet::new(),
            begun: 0,
            broken: false,
            channel_open: true,
            orphaned: false,
            conn: None,
            reported: false,
            heard_until: self.now,
            known_online: false,
            told_resume: false,
            told_socket: None,
            succeeded: false,
            told_shutdown: None,
            shutting: false,
            termed: None,
            draining: false,
            blind_since: None,
            unlinked: None,
            given_up: None,
            stopped: false,
            deferred: VecDeque::new(),
            ended: None,
            ended_at: Time::ZERO,
            died_by_itself: false,
            exit_known: false,
            reaped: false,
            adopted: false,
            children: Vec::new(),
        });
        self.after(boot, Happening::Worker(worker, Doing::Boot));
        for behaviour in behaviours {
            self.misbehave(worker, boot, behaviour);
        }
        self.check_spawned(worker);
        Ok(process)
    }

    /// Puts a worker's deviations on the agenda, those that come by time.
    fn misbehave(&mut self, worker: Worker, boot: Duration, behaviour: Behaviour) {
        let (kind, plan) = match behaviour {
            Behaviour::NeverReports => ("never reports", None),
            Behaviour::ReportsLate { .. } => ("reports late", None),
            Behaviour::ReportsTwice => ("reports twice", None),
            Behaviour::ReportsUnsuspended => ("reports unsuspended", None),
            Behaviour::Dies { after_ms, how } => {
                let kind = if ms(after_ms) < boot { "dies booting" } else { "dies" };
                (kind, Some((ms(after_ms), Doing::End(how, Some(Cause::WorkerDied)))))
            }
            Behaviour::DiesServing { .. } => ("dies serving", None),
            Behaviour::IgnoresShutdown => ("ignores shutdown", None),
            Behaviour::IgnoresSigterm => ("ignores SIGTERM", None),
            Behaviour::Breaks { after_ms } => ("broken", Some((boot + ms(after_ms), Doing::Break))),
            Behaviour::ClosesChannel { after_ms } => {
                ("closes channel", Some((ms(after_ms), Doing::CloseChannel)))
            }
            Behaviour::Forks { escapes } => {
                (if escapes { "escaped child" } else { "child" }, Some((boot / 2, Doing::Fork)))
            }
            Behaviour::Babbles => ("babbles", Some((boot / 2, Doing::Babble))),
            Behaviour::Mute => ("mute", None),
            Behaviour::Stops { after_ms, for_ms } => ("busy", Some((ms(after_ms), Doing::Stop(ms(for_ms))))),
        };
        self.tally.count(kind);
        if let Some((delay, doing)) = plan {
            self.after(delay, Happening::Worker(worker, doing));
        }
    }

    /// The daemon sends a message: it arrives a moment later, when the worker reads again.
    pub fn tell(&mut self, id: WorkerId, over: Option<ConnId>, message: &ToWorker) {
        let Some(worker) = self.processes.named(id) else {
            self.violated(format_args!("a message to {id}, which was never spawned"));
            return;
        };
        if !matches!(message, ToWorker::NodeHandleAck) {
            self.trace.line(self.now, "daemon", format_args!("tell {worker}: {}", words(message)));
        }
        self.check_told(worker, message);
        if *message == ToWorker::Shutdown {
            self.check_kept(worker, "told to shut down");
        }
        let latency = self.draw_us(150);
        let (now, decided) = (self.now, self.busy_since);
        let Some(process) = self.processes.get_mut(worker) else { return };
        if let ToWorker::Resume { fd } = message {
            process.told_resume = true;
            process.told_socket = process.socket_at(*fd).cloned();
            self.succeed(worker);
        }
        let Some(process) = self.processes.get_mut(worker) else { return };
        if *message == ToWorker::Shutdown {
            process.told_shutdown.get_or_insert(decided);
        }
        let heard = if over.is_some() { over == process.conn } else { process.channel_open };
        if !heard || !process.alive() {
            return;
        }
        let at = (now + latency).max(process.heard_until).max(process.boots_at);
        process.heard_until = at;
        self.schedule(at, Happening::Worker(worker, Doing::Hear(message.clone())));
    }

    /// Whoever accepts from the socket that a worker was told, is not needed there any more.
    fn succeed(&mut self, worker: Worker) {
        let Some(socket) = self.processes.get(worker).and_then(|process| process.told_socket.clone()) else {
            return;
        };
        let others = (0..).map(Worker).zip(self.processes.iter_mut()).filter(|(other, _)| *other != worker);
        others
            .filter(|(_, process)| process.accepts.contains(&socket))
            .for_each(|(_, process)| process.succeeded = true);
    }

    /// SIGSTOP, and SIGCONT later.
    pub(super) fn stop(&mut self, worker: Worker, duration: Duration) {
        let end = Time::ZERO + ms(self.faults.until_ms);
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.alive()) else { return };
        process.stopped = true;
        self.deaths.kept.remove(&worker);
        self.trace.line(self.now, "fault", format_args!("stop {worker} for {} ms", duration.as_millis()));
        let until = (self.now + duration).min(end.max(self.now));
        self.schedule(until, Happening::Continue(worker));
    }

    pub(super) fn go_on(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.stopped = false;
        for doing in std::mem::take(&mut process.deferred) {
            self.after(Duration::ZERO, Happening::Worker(worker, doing));
        }
    }

    /// Somebody else's SIGKILL.
    pub(super) fn kill(&mut self, worker: Worker) {
        self.trace.line(self.now, "fault", format_args!("kill -9 {worker}"));
        self.end(worker, Death::Signal(9), Some(Cause::WorkerDied));
    }

    /// The daemon's signals.
    pub fn signal(&mut self, id: WorkerId, target: Process, signal: WorkerSignal) {
        let Some(worker) = self.check_signal(id, target, signal) else { return };
        self.check_kept(worker, "sent a signal");
        let cause = self.cause_of_signal(worker);
        let decided = self.busy_since;
        let Some(process) = self.processes.get_mut(worker) else { return };
        match signal {
            WorkerSignal::Terminate => {
                self.marks.count("SIGTERM is needed");
                process.termed.get_or_insert(decided);
                let delay = self.draw_us(30);
                self.after(delay, Happening::Worker(worker, Doing::Term(cause)));
            }
            WorkerSignal::KillGroup => {
                self.marks.count("SIGKILL is needed");
                process.children.retain(|escaped| *escaped && !process.adopted);
                self.end(worker, Death::Signal(9), cause);
            }
        }
    }

    /// A process ends: what it held is lost for `cause`, or for no reason the contract knows.
    pub(super) fn end(&mut self, worker: Worker, how: Death, cause: Option<Cause>) {
        let delay = Duration::from_nanos(self.dice.u64(0..=self.faults.exit_delay_ms * 1_000_000));
        let delay = if self.faults_over() { Duration::ZERO } else { delay };
        if delay > Duration::ZERO {
            self.tally.count("exit noticed late");
        }
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.alive()) else { return };
        let status = match how {
            Death::Code(code) => ExitStatus::Code(code),
            Death::Signal(number) => ExitStatus::Signal(number),
        };
        process.ended = Some(status);
        process.ended_at = self.now;
        if self.promises.suspended && process.published && cause == Some(Cause::WorkerDied) {
            self.marks.count("a worker of a suspended app dies");
        }
        process.died_by_itself = cause == Some(Cause::WorkerDied);
        process.listening.iter_mut().for_each(|queue| {
            process.serving.extend(queue.drain(..));
        });
        process.listening = None;
        process.accepts.clear();
        let probes = std::mem::take(&mut process.probes);
        let lost: BTreeSet<_> = process.serving.union(&process.held).copied().collect();
        process.serving.clear();
        process.held.clear();
        let (id, idle) = (process.id, std::mem::take(&mut process.idle));
        let closed = std::mem::replace(&mut process.channel_open, false);
        let (adopted, conn) = (process.adopted, process.conn.take());
        if self.deaths.down {
            process.exit_known = true;
            process.reaped = true;
        }
        self.trace.line(self.now, worker, status);
        self.nginx.forget(&idle);
        for request in lost {
            self.lose(request, cause, format_args!("{worker} {status}"));
        }
        self.close_abandoned(cause);
        for _ in 0..probes {
            let result = Err(Failure("the connection was reset".into()));
            self.deliver(None, Duration::ZERO, Event::Probed { worker: id, result });
        }
        let status = if adopted { ExitStatus::Unknown } else { status };
        let exited = Event::Exited { worker: id, status };
        let mut facts = vec![exited];
        if closed {
            let place = usize::from(self.dice.u8(0..5) < 2);
            facts.insert(place, Event::ChannelClosed { worker: id });
        }
        for fact in facts {
            self.deliver(Some(Lane::Worker(id)), delay, fact);
        }
        if let Some(conn) = conn {
            self.part(conn);
        }
    }

    /// Here a daemon finds all survivors when it starts. Only a worker that has ended since it reported can be adopted later:
    /// its end is reported at once, as the kernel does of a process that is gone.
    pub fn watch(&mut self, id: WorkerId, _target: Process) {
        let worker = self.processes.named(id);
        match worker.and_then(|worker| self.processes.get_mut(worker)).filter(|process| !process.alive()) {
            Some(process) => {
                (process.exit_known, process.reaped) = (false, false);
                let exited = Event::Exited { worker: id, status: ExitStatus::Unknown };
                self.deliver(Some(Lane::Worker(id)), Duration::ZERO, exited);
            }
            None => self.violated(format_args!("{id} is adopted a second time")),
        }
    }

    /// Collects an ended worker and what it left behind.
    pub fn reap(&mut self, id: WorkerId, target: Process) {
        let took = self.draw_us(100);
        self.elapse(took);
        let Some(worker) = self.processes.named(id) else {
            self.violated(format_args!("{id} is to be reaped, but was never spawned"));
            return;
        };
        let Some(process) = self.processes.get_mut(worker) else { return };
        let fault = if process.process != target {
            Some("by another's identity")
        } else if process.reaped {
            Some("twice")
        } else if !process.exit_known {
            Some("before its exit is known")
        } else {
            None
        };
        process.reaped = true;
        process.children.clear();
        match fault {
            Some(fault) => self.violated(format_args!("{worker} is reaped {fault}")),
            None => self.trace.line(self.now, "daemon", format_args!("reap {worker}")),
        }
    }
}

fn variable<'a>(order: &'a SpawnOrder, name: &str) -> &'a str {
    order.set.iter().find(|(set, _)| set == name).map_or("", |(_, value)| value.as_str())
}

fn words(message: &ToWorker) -> String {
    match message {
        ToWorker::Resume { .. } => "resume".into(),
        ToWorker::SetName { name } => format!("set-name {name}"),
        ToWorker::Detach { .. } => "detach".into(),
        ToWorker::Shutdown => "shutdown".into(),
        ToWorker::AppMessage { message, .. } => format!("app-msg {message}"),
        ToWorker::AppRequest { request, .. } => format!("app-req {request}"),
        ToWorker::NodeHandleAck => "acknowledge the handle".into(),
    }
}
