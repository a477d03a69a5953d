//! What workers do by themselves, and how they take what they are told.

use std::collections::VecDeque;
use std::time::Duration;

use nodesockd_core::config::{Ready, StopSignal};
use nodesockd_core::event::Event;
use nodesockd_core::id::{Peer, RequestRef};
use nodesockd_core::wire::{Claim, FromWorker, Json, ToWorker};

use super::agenda::{Happening, Lane};
use super::process::{Channel, Proc, State};
use super::{Worker, World, clients, ms};
use crate::ledger::{Cause, RequestNo};
use crate::scenario::{Ask, Behaviour, Death, Hang};

/// What a worker does when its time comes.
#[derive(Debug)]
pub(crate) enum WorkerStep {
    /// It has initialised: it binds its socket.
    Boot,
    /// It reports online.
    Report,
    /// It tries to reach the daemon by the control socket.
    Dial,
    /// It reports broken.
    Break,
    /// It has done what it did as the leader, which it was told by this term not to be any more.
    LeadNoMore(u64),
    /// It ends.
    End(Death, Option<Cause>),
    /// It was killed, and is dead now.
    Die(Death, Option<Cause>),
    /// It says on the control socket that it is another worker.
    ClaimAnother,
    /// A process that it has started says on the control socket that it is the worker.
    ChildClaims,
    /// It closes its channel.
    CloseChannel,
    /// It forks a child.
    Fork,
    /// It says things that make no sense.
    Babble,
    /// It is stopped for so long.
    Stop(Duration),
    /// Its event loop does not turn any more.
    Hang(Hang),
    /// It takes what waits in its accept queue.
    Accept,
    /// It answers a user's request.
    Answer(RequestNo),
    /// It says what it has counted.
    SayCounts,
    /// It answers the daemon, which wants to know whether it is ready.
    AnswerProbe,
    AnswerCheck(u16),
    /// It reads a message from the daemon.
    Hear(Box<ToWorker>),
    /// SIGTERM reaches it.
    Term(StopSignal, Option<Cause>),
    /// The stop signal reaches who serves behind a wrapper.
    TermServer,
}

impl World {
    /// A worker does what it does; a dead one nothing, a stopped one later.
    pub(super) fn work(&mut self, worker: Worker, step: WorkerStep) {
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.alive()) else { return };
        if process.dying {
            if let WorkerStep::Die(how, cause) = step {
                self.ended(worker, how, cause);
            }
            return;
        }
        let looping =
            process.stands_still.is_some_and(|still| still.until.is_none() && still.how == Hang::Loops);
        // A signal without a handler ends a process that loops.
        let ends = matches!(step, WorkerStep::Term(..)) && looping && process.speaks();
        if process.stopped && !ends {
            process.deferred.push_back(step);
            return;
        }
        match step {
            WorkerStep::Boot => self.boot(worker),
            WorkerStep::Report => self.report(worker),
            WorkerStep::Dial => self.dial(worker),
            WorkerStep::Break => {
                process.broken = true;
                self.say(worker, FromWorker::Broken { reason: Some("out of memory soon".into()) }, "broken");
            }
            WorkerStep::LeadNoMore(term) => self.leads_no_more(worker, term),
            WorkerStep::End(how, cause) => self.end(worker, how, cause),
            WorkerStep::Die(how, cause) => self.ended(worker, how, cause),
            WorkerStep::ClaimAnother => self.claim_another(worker),
            WorkerStep::ChildClaims => self.child_claims(worker),
            WorkerStep::CloseChannel => self.close_channel(worker),
            WorkerStep::Fork => {
                let escapes = process.has(Behaviour::Forks { escapes: true });
                process.children.push(escapes);
                self.trace.line(
                    self.agenda.now(),
                    worker,
                    if escapes { "forks a daemon" } else { "forks a child" },
                );
            }
            WorkerStep::Babble => self.babble(worker),
            WorkerStep::Stop(duration) => self.stop(worker, duration),
            WorkerStep::Hang(how) => self.hang(worker, how),
            WorkerStep::Accept => self.accept(worker),
            WorkerStep::Answer(request) => self.answer(worker, request),
            WorkerStep::SayCounts => self.say_counts(worker),
            WorkerStep::AnswerProbe => self.answer_probe(worker),
            WorkerStep::AnswerCheck(status) => self.answer_with(worker, status),
            WorkerStep::Hear(message) => self.hear(worker, *message),
            WorkerStep::Term(..) | WorkerStep::TermServer if process.has(Behaviour::IgnoresSigterm) => {}
            // What a wrapper has started is killed when it has ended.
            WorkerStep::Term(signal, cause) if process.server.is_some() => {
                self.end(worker, Death::Signal(number(signal)), cause);
            }
            WorkerStep::TermServer => self.shut_down(worker),
            // To one that hears nothing else, it means what `shutdown` means to others.
            WorkerStep::Term(..) if process.state != State::Booting && !process.speaks() => {
                self.shut_down(worker)
            }
            WorkerStep::Term(signal, cause) => self.end(worker, Death::Signal(number(signal)), cause),
        }
    }

    fn boot(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.state = State::Running;
        if process.has(Behaviour::NeverReports) {
            return;
        }
        let late = process.plan.behaviours.iter().find_map(|behaviour| {
            if let Behaviour::ReportsLate { by_ms } = behaviour { Some(ms(*by_ms)) } else { None }
        });
        if let Some(socket) = process.sockets.own.clone() {
            process.traffic.queue = Some(VecDeque::new());
            if !self.files.bind(&socket, worker) {
                self.violated(format_args!("{worker} cannot bind {socket}: the name is taken (EADDRINUSE)"));
            }
        } else if !process.speaks() {
            let all = process.sockets.inherits.clone();
            all.into_iter().for_each(|socket| self.accept_from(worker, socket));
        } else if let Some(socket) = process.sockets.inherits.first().filter(|_| !process.holds).cloned() {
            self.accept_from(worker, socket);
        }
        let moment = self.draw_us(2000);
        self.after(late.unwrap_or_default() + moment, Happening::Worker(worker, WorkerStep::Report));
    }

    fn report(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        if process.is_shutting_down() {
            return;
        }
        process.healthy = true;
        if process.plan.ready == Ready::Notify {
            let id = process.id;
            self.trace.line(self.agenda.now(), worker, "notifies");
            self.deliver(None, Duration::ZERO, Event::Notified { worker: id });
        }
        let Some(process) = self.processes.get(worker).filter(|process| process.speaks()) else { return };
        let (suspended, twice) = (process.holds, process.has(Behaviour::ReportsTwice));
        let leads = process.leading.reported();
        if let Some(process) = self.processes.get_mut(worker) {
            process.reported = true;
        }
        let word = if suspended { "online, suspended" } else { "online" };
        let counts = self.counts(worker);
        for _ in 0..=u32::from(twice) {
            self.say(
                worker,
                FromWorker::Online {
                    pid: None,
                    suspended,
                    heartbeat: self.has_library(worker),
                    leads,
                    counts,
                },
                word,
            );
        }
    }

    /// A worker's message to the daemon.
    pub(super) fn say(&mut self, worker: Worker, message: FromWorker, words: &str) {
        let Some((lane, event)) = self.said(worker, message) else { return };
        let now = self.agenda.now();
        self.trace.line(now, worker, words);
        if let (Event::Claimed { message: FromWorker::Online { .. }, .. }, Some(process)) =
            (&event, self.processes.get_mut(worker))
        {
            process.reunites.get_or_insert(now);
        }
        self.deliver(Some(lane), Duration::ZERO, event);
    }

    fn babble(&mut self, worker: Worker) {
        let stray = FromWorker::Reply {
            request: "nobody's".into(),
            answers: true,
            data: None,
            errors: Vec::new(),
            done: true,
        };
        self.say(worker, stray, "answers a request nobody made");
        self.say(worker, FromWorker::NodeHandle, "sends a handle");
    }

    /// A worker's request to the daemon.
    pub(super) fn worker_asks(&mut self, nth: u32, ask: &Ask) {
        let live = self.processes.live();
        let Some(worker) = live.get(nth as usize % live.len().max(1)).copied() else { return };
        let Some(process) = self.processes.get(worker).filter(|process| process.has_own_channel()) else {
            return;
        };
        let id = process.id;
        let from = RequestRef { peer: Peer::Worker(id), id: format!("{worker}-{}", self.agenda.sequence()) };
        self.trace.line(self.agenda.now(), worker, format_args!("asks: {}", clients::name(ask)));
        let event = Event::Requested { from, asker: None, request: ask.request() };
        self.deliver(Some(Lane::Worker(id)), Duration::ZERO, event);
    }

    fn hear(&mut self, worker: Worker, message: ToWorker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        if !process.reachable() && !process.is_orphaned() {
            return;
        }
        if let ToWorker::AppRequest { id, .. } = &message {
            self.answer_for(worker, id);
        }
        let Some(process) = self.processes.get_mut(worker) else { return };
        match message {
            ToWorker::Resume { fd } => {
                process.suspended = false;
                process.holds = false;
                let (held, service) = (std::mem::take(&mut process.traffic.held), process.plan.service);
                if !held.is_empty() {
                    self.marks.count("held requests are answered");
                }
                process.traffic.serving.extend(&held);
                let socket = process.socket_at(fd).filter(|_| !process.is_shutting_down()).cloned();
                for request in held {
                    self.after(service, Happening::Worker(worker, WorkerStep::Answer(request)));
                }
                if let Some(socket) = socket {
                    self.let_go_of_others(worker, &socket);
                    self.accept_from(worker, socket);
                }
            }
            ToWorker::Shutdown if process.has(Behaviour::IgnoresShutdown) => {}
            ToWorker::Shutdown => self.shut_down(worker),
            ToWorker::AppRequest { id, .. } if !process.has(Behaviour::Mute) => {
                let data = Some(Json::of(&worker.0));
                self.say(
                    worker,
                    FromWorker::Reply { request: id, answers: true, data, errors: Vec::new(), done: true },
                    "answers the application request",
                );
            }
            ToWorker::Ping { seq } => {
                let pong = FromWorker::Pong { seq, inspected: false, held: 0 };
                self.say(worker, pong, &format!("pong {seq}"));
            }
            ToWorker::Count { on } => self.counts_from_now(worker, on),
            ToWorker::Leader { leads, term } => self.hears_who_leads(worker, leads, term),
            ToWorker::AppRequest { .. }
            // It finds the next daemon as it would without that word.
            | ToWorker::Detach { .. }
            | ToWorker::SetName { .. }
            | ToWorker::AppMessage { .. }
            | ToWorker::Slot { .. }
            | ToWorker::NodeHandleAck => {}
        }
    }

    /// Workers that lie answer what another one was asked.
    fn answer_for(&mut self, asked: Worker, request: &str) {
        let lies = |(worker, process): &(Worker, &Proc)| {
            *worker != asked && process.alive() && process.has(Behaviour::AnswersForOthers)
        };
        let liars: Vec<Worker> = self.processes.iter().filter(lies).map(|(worker, _)| worker).collect();
        for liar in liars {
            let reply = FromWorker::Reply {
                request: request.to_owned(),
                answers: true,
                data: Some(Json::of(&"a lie")),
                errors: Vec::new(),
                done: true,
            };
            self.say(liar, reply, "answers a request that another worker was asked");
        }
    }

    /// It says on the control socket that it is another worker. The kernel knows better.
    fn claim_another(&mut self, worker: Worker) {
        let Some(liar) = self.processes.get(worker) else { return };
        let victim = self.processes.iter().find(|(other, process)| *other != worker && process.alive());
        let Some((victim, claimed)) = victim.map(|(victim, process)| (victim, process.id)) else { return };
        let caller = Self::caller(liar);
        let claims = Some(Claim { worker: claimed, pid: Some(liar.process.pid) });
        let message = FromWorker::Online {
            pid: None,
            suspended: liar.holds,
            heartbeat: false,
            leads: None,
            counts: None,
        };
        self.trace.line(self.agenda.now(), worker, format_args!("says that it is {victim}"));
        let conn = self.clients.open_for_lie();
        let event = Event::Claimed { conn, caller: Some(caller), claims, message };
        self.deliver(Some(Lane::Client(conn)), Duration::ZERO, event);
    }

    /// It stops accepting, answers what it has, and goes.
    fn shut_down(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.state = State::ShuttingDown;
        process.sockets.accepts.clear();
        self.stop_listening(worker);
        self.close_abandoned(None);
        self.leave_if_done(worker);
    }

    /// Closes the listening socket, as Node does: the file goes with it, and whoever waits to be accepted is cut off.
    fn stop_listening(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        let (Some(queue), Some(socket)) = (process.traffic.queue.take(), process.sockets.own.clone()) else {
            return;
        };
        self.files.remove(&socket);
        for request in queue {
            let cause = self.cause_of_closing(worker);
            self.lose(request, cause, format_args!("{worker} closed its socket before accepting it"));
        }
    }

    /// A worker that was told to shut down goes when nothing is left to answer.
    pub(super) fn leave_if_done(&mut self, worker: Worker) {
        let Some(process) = self.processes.get(worker) else { return };
        if process.is_shutting_down() && !process.traffic.is_busy() {
            if process.has(Behaviour::Wrapped { lingers: true }) {
                return self.server_ends(worker);
            }
            self.after(ms(1), Happening::Worker(worker, WorkerStep::End(Death::Code(0), None)));
        }
    }

    fn close_channel(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        let (id, own, conn) = (process.id, process.has_own_channel(), process.conn());
        process.channel = Channel::Closed;
        if own || conn.is_some() {
            self.trace.line(self.agenda.now(), worker, "closes its channel");
        }
        if own {
            self.deliver(Some(Lane::Worker(id)), Duration::ZERO, Event::ChannelClosed { worker: id });
        }
        if let Some(conn) = conn {
            self.part(conn);
        }
    }

    /// Takes a request from a connection that is accepted.
    pub(super) fn begin(&mut self, worker: Worker, request: RequestNo) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.traffic.begun += 1;
        let begun = process.traffic.begun;
        let dies = process.plan.behaviours.iter().find_map(|behaviour| {
            let Behaviour::DiesServing { requests, how } = behaviour else { return None };
            (*requests == begun).then_some(*how)
        });
        if process.holds {
            process.traffic.held.insert(request);
        } else {
            process.traffic.serving.insert(request);
            let (now, service) = (self.agenda.now(), process.plan.service);
            self.schedule(now + service, Happening::Worker(worker, WorkerStep::Answer(request)));
        }
        if let Some(how) = dies {
            self.after(ms(1), Happening::Worker(worker, WorkerStep::End(how, Some(Cause::WorkerDied))));
        }
    }

    /// The worker's event loop will look at its listening socket soon.
    pub(super) fn rouse(&mut self, worker: Worker) {
        let turn = self.draw_us(800) * self.slowness();
        let Some(process) = self.processes.get_mut(worker) else { return };
        if !process.traffic.accepting {
            process.traffic.accepting = true;
            self.after(turn, Happening::Worker(worker, WorkerStep::Accept));
        }
    }

    fn accept(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.traffic.accepting = false;
        let accepts = |socket: &String| process.sockets.accepts.contains(socket);
        let shared = self.listeners.iter_mut().filter(|(socket, _)| accepts(socket));
        let queues = shared.map(|(_, listener)| &mut listener.queue).chain(process.traffic.queue.as_mut());
        let requests: Vec<RequestNo> = queues.flat_map(std::mem::take).collect();
        for request in requests {
            self.begin(worker, request);
        }
    }

    fn answer(&mut self, worker: Worker, request: RequestNo) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.traffic.serving.remove(&request);
        let kept = !process.is_shutting_down();
        self.answered(worker, request, kept);
        self.counts_one(worker);
        self.leave_if_done(worker);
    }
}

/// Its number on most machines.
const fn number(signal: StopSignal) -> i32 {
    match signal {
        StopSignal::Hup => 1,
        StopSignal::Int => 2,
        StopSignal::Quit => 3,
        StopSignal::Usr1 => 10,
        StopSignal::Usr2 => 12,
        StopSignal::Term => 15,
        StopSignal::Winch => 28,
    }
}
