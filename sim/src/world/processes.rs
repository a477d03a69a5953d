//! What is done to workers' processes: started, told, signalled, collected.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::action::{SpawnOrder, WorkerSignal};
use nodesockd_core::config::{Ready, StopSignal};
use nodesockd_core::event::{Dying, Event, ExitStatus, Failure};
use nodesockd_core::id::{ConnId, Process, WorkerId};
use nodesockd_core::wire::ToWorker;

use super::agenda::{Happening, Lane};
use super::counts::Counting;
use super::leadership::Leading;
use super::oracle::known::Known;
use super::process::{Channel, Plan, Proc, Server, Sockets, Standstill, State, Traffic};
use super::{Worker, WorkerStep, World, ms};
use crate::faults::Call;
use crate::ledger::Cause;
use crate::scenario::{Behaviour, Death, Hang};

/// A process that is gone by then is not reported as dying.
const PATIENCE: Duration = Duration::from_millis(50);

impl World {
    /// Starts a worker.
    pub fn spawn(&mut self, order: &SpawnOrder) -> Result<Process, Failure> {
        let called = self.call(Call::Spawn);
        self.check_ordered();
        let suspended = variable(order, "NODESOCKD_SUSPENDED") == "true";
        let mood = if suspended { " suspended" } else { "" };
        if let Err(failure) = called {
            self.trace.line(self.agenda.now(), "daemon", format_args!("spawn{mood} → {failure}"));
            return Err(failure);
        }
        if let Some(missing) = order.listeners.iter().find(|socket| !self.is_held(socket)) {
            return Err(Failure(format!("{missing} is not open")));
        }
        let running = self.release_in(&order.cwd)?;
        let worker = self.processes.next();
        let pid = self.processes.free_pid();
        if self.processes.iter().any(|(_, former)| former.process.pid == pid) {
            self.tally.count("pid reused");
        }
        let process =
            Process { pid, started: self.agenda.now().as_nanos() / 10_000_000 * 1000 + u64::from(worker.0) };
        self.trace.line(self.agenda.now(), "daemon", format_args!("spawn {worker}{mood} → pid {pid}"));
        // Whatever was deployed before, in the end there is code that works.
        let deployed = if self.scenario_over() { 0 } else { running };
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
        let boot = (ms(boot) + self.draw_us(boot * 250)) * self.slowness();
        let path = variable(order, "NODESOCKD_SOCKET_PATH");
        let speaks = order.ready == Ready::Report;
        let understands = speaks && self.understands_leadership(worker);
        let standby = self.record_of(order.worker).is_some_and(|record| record.slot.is_none());
        self.processes.add(Proc {
            id: order.worker,
            process,
            plan: Plan {
                ready: order.ready,
                finishes_on: self.scenario.finishes_on(&order.argv),
                behaviours: behaviours.clone(),
                standby,
                release: running,
                service: ms(service),
                spawned: self.agenda.now(),
                boots_at: self.agenda.now() + boot,
            },
            state: State::Booting,
            dying: false,
            stopped: false,
            hangs: false,
            stands_still: None,
            deferred: VecDeque::new(),
            sockets: Sockets {
                own: path.rsplit('/').next().filter(|_| order.listeners.is_empty()).map(str::to_owned),
                given: order.listeners.clone(),
                inherits: order.listeners.clone(),
                accepts: BTreeSet::new(),
            },
            traffic: Traffic::default(),
            channel: Channel::Open,
            heard_until: self.agenda.now(),
            suspended,
            holds: suspended && speaks && !behaviours.contains(&Behaviour::ReportsUnsuspended),
            healthy: false,
            reported: false,
            reunites: None,
            broken: false,
            leading: Leading::new(understands),
            counting: Counting::ordered(order),
            adopted: false,
            server: behaviours.iter().any(is_wrapper).then_some(Server::Alive),
            children: Vec::new(),
            known: Known::default(),
        });
        self.after(boot, Happening::Worker(worker, WorkerStep::Boot));
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
                (kind, Some((ms(after_ms), WorkerStep::End(how, Some(Cause::WorkerDied)))))
            }
            Behaviour::DiesServing { .. } => ("dies serving", None),
            Behaviour::IgnoresShutdown => ("ignores shutdown", None),
            Behaviour::IgnoresSigterm => ("ignores SIGTERM", None),
            Behaviour::Breaks { after_ms } => ("broken", Some((boot + ms(after_ms), WorkerStep::Break))),
            Behaviour::ClosesChannel { after_ms } => {
                ("closes channel", Some((ms(after_ms), WorkerStep::CloseChannel)))
            }
            Behaviour::Forks { escapes } => {
                (if escapes { "escaped child" } else { "child" }, Some((boot / 2, WorkerStep::Fork)))
            }
            Behaviour::Babbles => ("babbles", Some((boot / 2, WorkerStep::Babble))),
            Behaviour::Mute => ("mute", None),
            Behaviour::AnswersForOthers => ("answers for others", None),
            Behaviour::ClaimsAnother { after_ms } => {
                ("claims another", Some((boot + ms(after_ms), WorkerStep::ClaimAnother)))
            }
            Behaviour::Wrapped { .. } => ("wrapped", None),
            Behaviour::ChildClaims { after_ms } => {
                ("child claims", Some((boot + ms(after_ms), WorkerStep::ChildClaims)))
            }
            Behaviour::Stops { after_ms, for_ms } => {
                ("busy", Some((ms(after_ms), WorkerStep::Stop(ms(for_ms)))))
            }
            Behaviour::Grows { .. } => ("grows too large", None),
            Behaviour::LeadsOn { .. } => ("leads on", None),
            Behaviour::FailsChecks { .. } => ("fails checks", None),
            Behaviour::ChecksLate { .. } => ("answers checks late", None),
            Behaviour::Hangs { after_ms, how } => {
                let kind = match how {
                    Hang::Loops => "hangs in a loop",
                    Hang::Sleeps => "hangs asleep",
                    Hang::Stopped => "hangs stopped",
                };
                (kind, Some((boot + ms(after_ms), WorkerStep::Hang(how))))
            }
        };
        self.tally.count(kind);
        if let Some((delay, step)) = plan {
            self.after(delay, Happening::Worker(worker, step));
        }
    }

    /// The daemon sends a message: it arrives a moment later, when the worker reads again.
    pub fn tell(&mut self, id: WorkerId, over: Option<ConnId>, message: &ToWorker) {
        let Some(worker) = self.processes.named(id) else {
            self.violated(format_args!("a message to {id}, which was never spawned"));
            return;
        };
        if !matches!(message, ToWorker::NodeHandleAck) {
            self.trace.line(self.agenda.now(), "daemon", format_args!("tell {worker}: {}", words(message)));
        }
        if self.processes.get(worker).is_some_and(Proc::alive)
            && over.is_some_and(|it| self.clients.is_lie(it))
        {
            self.violated(format_args!("{worker} is told something over another process's connection"));
        }
        self.check_told(worker, message);
        if *message == ToWorker::Shutdown {
            self.check_kept(worker, "told to shut down");
        }
        let latency = self.draw_us(150);
        let (now, decided) = (self.agenda.now(), self.agenda.busy_since());
        let Some(process) = self.processes.get_mut(worker) else { return };
        if let ToWorker::Resume { fd } = message {
            process.known.told_resume = Some(decided);
            process.known.told_socket = process.socket_at(*fd).cloned();
            self.succeed(worker);
        }
        let Some(process) = self.processes.get_mut(worker) else { return };
        if *message == ToWorker::Shutdown {
            process.known.shuts_down(decided);
        }
        let heard = if over.is_some() { over == process.conn() } else { process.has_own_channel() };
        if !heard || !process.alive() {
            return;
        }
        let at = (now + latency).max(process.heard_until).max(process.plan.boots_at);
        process.heard_until = at;
        self.schedule(at, Happening::Worker(worker, WorkerStep::Hear(Box::new(message.clone()))));
    }

    /// Whoever accepts from the socket that a worker was told, is not needed there any more.
    fn succeed(&mut self, worker: Worker) {
        let Some(socket) = self.processes.get(worker).and_then(|process| process.known.told_socket.clone())
        else {
            return;
        };
        let others = (0..).map(Worker).zip(self.processes.iter_mut()).filter(|(other, _)| *other != worker);
        others
            .filter(|(_, process)| process.sockets.accepts.contains(&socket))
            .for_each(|(_, process)| process.known.succeeded = true);
    }

    /// SIGSTOP, and SIGCONT later.
    pub(super) fn stop(&mut self, worker: Worker, duration: Duration) {
        let end = Time::ZERO + ms(self.faults.until_ms);
        let now = self.agenda.now();
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.alive()) else { return };
        if process.hangs_for_good() {
            return;
        }
        process.stopped = true;
        let since = process.silent_since().unwrap_or(now);
        process.stands_still = Some(Standstill { since, until: None, how: Hang::Stopped });
        self.deaths.kept.remove(&worker);
        self.trace.line(
            self.agenda.now(),
            "fault",
            format_args!("stop {worker} for {} ms", duration.as_millis()),
        );
        let until = (self.agenda.now() + duration).min(end.max(self.agenda.now()));
        self.schedule(until, Happening::Continue(worker));
    }

    pub(super) fn go_on(&mut self, worker: Worker) {
        let (now, over) = (self.agenda.now(), self.faults_over());
        let Some(process) = self.processes.get_mut(worker) else { return };
        if process.hangs_for_good() && !over {
            return;
        }
        (process.stopped, process.hangs) = (false, false);
        process.stands_still = process.stands_still.map(|still| Standstill { until: Some(now), ..still });
        for step in std::mem::take(&mut process.deferred) {
            self.after(Duration::ZERO, Happening::Worker(worker, step));
        }
    }

    /// Somebody else's SIGKILL.
    pub(super) fn kill(&mut self, worker: Worker) {
        self.trace.line(self.agenda.now(), "fault", format_args!("kill -9 {worker}"));
        self.end(worker, Death::Signal(9), Some(Cause::WorkerDied));
    }

    /// The daemon's signals.
    pub fn signal(&mut self, id: WorkerId, target: Process, signal: WorkerSignal) {
        let words = match signal {
            WorkerSignal::Terminate => "SIGTERM to",
            WorkerSignal::KillGroup => "SIGKILL to the group of",
        };
        let Some(worker) = self.check_signal(id, target, signal, words) else { return };
        match signal {
            WorkerSignal::Terminate => self.term(worker, StopSignal::Term),
            WorkerSignal::KillGroup => {
                self.check_kept(worker, "sent a signal");
                let cause = self.cause_of_signal(worker);
                let Some(process) = self.processes.get_mut(worker) else { return };
                self.marks.count("SIGKILL is needed");
                process.children.retain(|escaped| *escaped && !process.adopted);
                self.end(worker, Death::Signal(9), cause);
            }
        }
    }

    /// Its stop signal is on its way to a worker's own process.
    pub(super) fn term(&mut self, worker: Worker, signal: StopSignal) {
        self.check_kept(worker, "sent a signal");
        let cause = self.cause_of_signal(worker);
        let decided = self.agenda.busy_since();
        let Some(process) = self.processes.get_mut(worker) else { return };
        self.marks.count("SIGTERM is needed");
        process.known.terminates(decided);
        let delay = self.draw_us(30);
        self.after(delay, Happening::Worker(worker, WorkerStep::Term(signal, cause)));
    }

    /// How much longer everything takes because other workers boot.
    pub(super) fn slowness(&mut self) -> u32 {
        let booting = |(_, process): &(Worker, &Proc)| process.state == State::Booting;
        let cores = if self.faults_over() { 0 } else { self.faults.cores };
        let booting = self.processes.iter().filter(booting).count();
        let slowness = u32::try_from(booting).unwrap_or(u32::MAX).checked_div(cores).unwrap_or(0).max(1);
        if slowness > 1 {
            self.tally.count("starved");
        }
        if self.faults.slow > 1 {
            self.tally.count("slow machine");
        }
        slowness * self.faults.slow.max(1)
    }

    /// A process ends, at once or after a while.
    pub(super) fn end(&mut self, worker: Worker, how: Death, cause: Option<Cause>) {
        let takes = if self.faults_over() { 0 } else { self.faults.dying_ms };
        if takes == 0 || !matches!(how, Death::Signal(_)) {
            return self.ended(worker, how, cause);
        }
        let delay = self.draw_us(takes * 1000);
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.alive()) else { return };
        if !std::mem::replace(&mut process.dying, true) {
            self.deaths.kept.remove(&worker);
            self.tally.count("dies slowly");
            self.after(delay, Happening::Worker(worker, WorkerStep::Die(how, cause)));
            self.show_first_signs(worker, delay);
        }
    }

    /// The backend tells of a death when it has taken a while, if it can see that at all.
    fn show_first_signs(&mut self, worker: Worker, takes: Duration) {
        let Some(process) = self.processes.get(worker) else { return };
        if self.faults.first_signs && takes > PATIENCE {
            let dying = Event::Dying { worker: process.id, cause: Dying::DumpsCore };
            self.after(PATIENCE, Happening::Deliver(Box::new(dying)));
        }
    }

    /// A process has ended: what it held is lost for `cause`, or for no reason the contract knows.
    pub(super) fn ended(&mut self, worker: Worker, how: Death, cause: Option<Cause>) {
        self.check_succeeded(worker);
        let delay = Duration::from_nanos(self.agenda.dice().u64(0..=self.faults.exit_delay_ms * 1_000_000));
        let delay = if self.faults_over() { Duration::ZERO } else { delay };
        if delay > Duration::ZERO {
            self.tally.count("exit noticed late");
        }
        if matches!(how, Death::Code(_)) {
            self.say_counts(worker);
        }
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.alive()) else { return };
        let status = match how {
            Death::Code(code) => ExitStatus::Code(code),
            Death::Signal(number) => ExitStatus::Signal(number),
        };
        process.state = State::Ended { at: self.agenda.now(), by_itself: cause == Some(Cause::WorkerDied) };
        if self.oracle.suspended && process.known.published && cause == Some(Cause::WorkerDied) {
            self.marks.count("a worker of a suspended app dies");
        }
        process.traffic.queue.iter_mut().for_each(|queue| {
            process.traffic.serving.extend(queue.drain(..));
        });
        process.traffic.queue = None;
        process.sockets.accepts.clear();
        process.leading.ended();
        let probes = std::mem::take(&mut process.traffic.probes);
        let lost: BTreeSet<_> = process.traffic.serving.union(&process.traffic.held).copied().collect();
        process.traffic.serving.clear();
        process.traffic.held.clear();
        let (id, idle) = (process.id, std::mem::take(&mut process.traffic.idle));
        let (closed, conn) = (process.has_own_channel(), process.conn());
        process.channel = Channel::Closed;
        let adopted = process.adopted;
        if self.deaths.down {
            process.known.exited = true;
            process.known.reaped = true;
        }
        self.trace.line(self.agenda.now(), worker, status);
        self.nginx.forget(&idle);
        for request in lost {
            self.lose(request, cause, format_args!("{worker} {status}"));
        }
        self.watch_leadership();
        self.close_abandoned(cause);
        for _ in 0..probes {
            let result = Err(Failure("the connection was reset".into()));
            self.deliver(None, Duration::ZERO, Event::Probed { worker: id, result });
        }
        let status = if adopted { ExitStatus::Unknown } else { status };
        let exited = Event::Exited { worker: id, status };
        let mut facts = vec![exited];
        if closed {
            let place = usize::from(self.agenda.dice().u8(0..5) < 2);
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
                self.told.counted_again += u64::from(process.known.exited);
                (process.known.exited, process.known.reaped) = (false, false);
                let exited = Event::Exited { worker: id, status: ExitStatus::Unknown };
                self.deliver(Some(Lane::Worker(id)), Duration::ZERO, exited);
            }
            None => self.violated(format_args!("{id} is adopted a second time")),
        }
    }

    /// The worker about which the kernel is asked, if that is its process and lives.
    pub(super) fn living(&mut self, id: WorkerId, target: Process) -> Result<(Worker, &mut Proc), Failure> {
        let Some(worker) = self.processes.named(id) else {
            self.violated(format_args!("the kernel is asked about {id}, which was never spawned"));
            return Err(Failure(format!("there is no process {}", target.pid)));
        };
        let found = self.processes.get_mut(worker).filter(|its| its.process == target && its.alive());
        let found = found.ok_or_else(|| Failure(format!("process {} is gone", target.pid)))?;
        Ok((worker, found))
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
        } else if process.known.reaped {
            Some("twice")
        } else if !process.known.exited {
            Some("before its exit is known")
        } else {
            None
        };
        process.known.reaped = true;
        process.children.clear();
        match fault {
            Some(fault) => self.violated(format_args!("{worker} is reaped {fault}")),
            None => self.trace.line(self.agenda.now(), "daemon", format_args!("reap {worker}")),
        }
    }
}

fn is_wrapper(behaviour: &Behaviour) -> bool {
    matches!(behaviour, Behaviour::Wrapped { .. })
}

fn variable<'a>(order: &'a SpawnOrder, name: &str) -> &'a str {
    order.overrides.iter().find(|(set, _)| set == name).map_or("", |(_, value)| value.as_str())
}

fn words(message: &ToWorker) -> String {
    match message {
        ToWorker::Resume { .. } => "resume".into(),
        ToWorker::SetName { name } => format!("set-name {name}"),
        ToWorker::Detach { .. } => "detach".into(),
        ToWorker::Shutdown => "shutdown".into(),
        ToWorker::Ping { seq } => format!("ping {seq}"),
        ToWorker::Slot { slot } => format!("slot {slot}"),
        ToWorker::Count { on: true } => "count".into(),
        ToWorker::Count { on: false } => "do not count".into(),
        ToWorker::Leader { leads: true, .. } => "it leads".into(),
        ToWorker::Leader { leads: false, .. } => "it does not lead any more".into(),
        ToWorker::AppMessage { message, .. } => format!("app-msg {message}"),
        ToWorker::AppRequest { request, .. } => format!("app-req {request}"),
        ToWorker::NodeHandleAck => "acknowledge the handle".into(),
    }
}
