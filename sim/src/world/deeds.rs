//! What workers do by themselves, and how they take what they are told.

use std::collections::VecDeque;
use std::time::Duration;

use nodesockd_core::config::Ready;
use nodesockd_core::event::Event;
use nodesockd_core::id::{Peer, RequestRef};
use nodesockd_core::wire::{FromWorker, Json, ToWorker};

use super::{Happening, Lane, Worker, World, clients, ms};
use crate::ledger::{Cause, RequestNo};
use crate::scenario::{Ask, Behaviour, Death};

/// What a worker does when its time comes.
#[derive(Debug)]
pub(crate) enum Doing {
    /// It has initialised: it binds its socket.
    Boot,
    /// It reports online.
    Report,
    /// It tries to reach the daemon by the control socket.
    Dial,
    /// It reports broken.
    Break,
    /// It ends.
    End(Death, Option<Cause>),
    /// It closes its channel.
    CloseChannel,
    /// It forks a child.
    Fork,
    /// It says things that make no sense.
    Babble,
    /// It is stopped for so long.
    Stop(Duration),
    /// It takes what waits in its accept queue.
    Accept,
    /// It answers a user's request.
    Answer(RequestNo),
    /// It answers the daemon, which wants to know whether it is ready.
    AnswerProbe,
    /// It reads a message from the daemon.
    Hear(ToWorker),
    /// SIGTERM reaches it.
    Term(Option<Cause>),
}

impl World {
    /// A worker does what it does; a dead one nothing, a stopped one later.
    pub(super) fn work(&mut self, worker: Worker, doing: Doing) {
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.alive()) else { return };
        if process.stopped {
            process.deferred.push_back(doing);
            return;
        }
        match doing {
            Doing::Boot => self.boot(worker),
            Doing::Report => self.report(worker),
            Doing::Dial => self.dial(worker),
            Doing::Break => {
                process.broken = true;
                self.say(worker, FromWorker::Broken { reason: Some("out of memory soon".into()) }, "broken");
            }
            Doing::End(how, cause) => self.end(worker, how, cause),
            Doing::CloseChannel => self.close_channel(worker),
            Doing::Fork => {
                let escapes = process.has(Behaviour::Forks { escapes: true });
                process.children.push(escapes);
                self.trace.line(self.now, worker, if escapes { "forks a daemon" } else { "forks a child" });
            }
            Doing::Babble => self.babble(worker),
            Doing::Stop(duration) => self.stop(worker, duration),
            Doing::Accept => self.accept(worker),
            Doing::Answer(request) => self.answer(worker, request),
            Doing::AnswerProbe => self.answer_probe(worker),
            Doing::Hear(message) => self.hear(worker, message),
            Doing::Term(_) if process.has(Behaviour::IgnoresSigterm) => {}
            // To one that hears nothing else, it means what `shutdown` means to others.
            Doing::Term(_) if process.booted && !process.speaks() => self.shut_down(worker),
            Doing::Term(cause) => self.end(worker, Death::Signal(15), cause),
        }
    }

    fn boot(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.booted = true;
        if process.has(Behaviour::NeverReports) {
            return;
        }
        let late = process.behaviours.iter().find_map(|behaviour| {
            if let Behaviour::ReportsLate { by_ms } = behaviour { Some(ms(*by_ms)) } else { None }
        });
        if let Some(socket) = process.socket.clone() {
            process.listening = Some(VecDeque::new());
            if !self.files.bind(&socket, worker) {
                self.violated(format_args!("{worker} cannot bind {socket}: the name is taken (EADDRINUSE)"));
            }
        } else if !process.speaks() {
            let all = process.inherits.clone();
            all.into_iter().for_each(|socket| self.accept_from(worker, socket));
        } else if let Some(socket) = process.inherits.first().filter(|_| !process.holds).cloned() {
            self.accept_from(worker, socket);
        }
        let moment = self.draw_us(2000);
        self.after(late.unwrap_or_default() + moment, Happening::Worker(worker, Doing::Report));
    }

    fn report(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        if process.shutting {
            return;
        }
        process.healthy = true;
        if process.ready == Ready::Notify {
            let id = process.id;
            self.trace.line(self.now, worker, "notifies");
            self.deliver(None, Duration::ZERO, Event::Notified { worker: id });
        }
        let Some(process) = self.processes.get(worker).filter(|process| process.speaks()) else { return };
        let (suspended, twice) = (process.holds, process.has(Behaviour::ReportsTwice));
        if let Some(process) = self.processes.get_mut(worker) {
            process.reported = true;
        }
        let word = if suspended { "online, suspended" } else { "online" };
        for _ in 0..=u32::from(twice) {
            self.say(worker, FromWorker::Online { suspended }, word);
        }
    }

    /// A worker's message to the daemon.
    pub(super) fn say(&mut self, worker: Worker, message: FromWorker, words: &str) {
        let Some((lane, event)) = self.said(worker, message) else { return };
        self.trace.line(self.now, worker, words);
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
        let Some(process) = self.processes.get(worker).filter(|process| process.channel_open) else { return };
        let id = process.id;
        let from = RequestRef { peer: Peer::Worker(id), id: format!("{worker}-{}", self.sequence) };
        self.trace.line(self.now, worker, format_args!("asks: {}", clients::name(ask)));
        let event = Event::Requested { from, request: ask.request() };
        self.deliver(Some(Lane::Worker(id)), Duration::ZERO, event);
    }

    fn hear(&mut self, worker: Worker, message: ToWorker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        if !process.reachable() && !process.orphaned {
            return;
        }
        match message {
            ToWorker::Resume { fd } => {
                process.suspended = false;
                process.holds = false;
                let (held, service) = (std::mem::take(&mut process.held), process.service);
                if !held.is_empty() {
                    self.marks.count("held requests are answered");
                }
                process.serving.extend(&held);
                let socket = process.socket_at(fd).filter(|_| !process.shutting).cloned();
                for request in held {
                    self.after(service, Happening::Worker(worker, Doing::Answer(request)));
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
            ToWorker::AppRequest { .. }
            // It finds the next daemon as it would without that word.
            | ToWorker::Detach { .. }
            | ToWorker::SetName { .. }
            | ToWorker::AppMessage { .. }
            | ToWorker::NodeHandleAck => {}
        }
    }

    /// It stops accepting, answers what it has, and goes.
    fn shut_down(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.shutting = true;
        process.accepts.clear();
        self.stop_listening(worker);
        self.close_abandoned(None);
        self.leave_if_done(worker);
    }

    /// Closes the listening socket, as Node does: the file goes with it, and whoever waits to be accepted is cut off.
    fn stop_listening(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        let (Some(queue), Some(socket)) = (process.listening.take(), process.socket.clone()) else { return };
        self.files.remove(&socket);
        for request in queue {
            let cause = self.cause_of_closing(worker);
            self.lose(request, cause, format_args!("{worker} closed its socket before accepting it"));
        }
    }

    /// A worker that was told to shut down goes when nothing is left to answer.
    pub(super) fn leave_if_done(&mut self, worker: Worker) {
        let Some(process) = self.processes.get(worker) else { return };
        let busy = !process.serving.is_empty() || !process.held.is_empty() || !process.idle.is_empty();
        if process.shutting && process.alive() && !busy {
            self.after(ms(1), Happening::Worker(worker, Doing::End(Death::Code(0), None)));
        }
    }

    fn close_channel(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        let (id, own, conn) = (process.id, process.channel_open, process.conn.take());
        process.channel_open = false;
        process.orphaned = false;
        if own || conn.is_some() {
            self.trace.line(self.now, worker, "closes its channel");
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
        process.begun += 1;
        let begun = process.begun;
        let dies = process.behaviours.iter().find_map(|behaviour| {
            let Behaviour::DiesServing { requests, how } = behaviour else { return None };
            (*requests == begun).then_some(*how)
        });
        if process.holds {
            process.held.insert(request);
        } else {
            process.serving.insert(request);
            let (now, service) = (self.now, process.service);
            self.schedule(now + service, Happening::Worker(worker, Doing::Answer(request)));
        }
        if let Some(how) = dies {
            self.after(ms(1), Happening::Worker(worker, Doing::End(how, Some(Cause::WorkerDied))));
        }
    }

    /// The worker's event loop will look at its listening socket soon.
    pub(super) fn rouse(&mut self, worker: Worker) {
        let turn = self.draw_us(800);
        let Some(process) = self.processes.get_mut(worker) else { return };
        if !process.accepting {
            process.accepting = true;
            self.after(turn, Happening::Worker(worker, Doing::Accept));
        }
    }

    fn accept(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.accepting = false;
        let accepts = |socket: &String| process.accepts.contains(socket);
        let shared = self.listeners.iter_mut().filter(|(socket, _)| accepts(socket));
        let queues = shared.map(|(_, listener)| &mut listener.queue).chain(process.listening.as_mut());
        let requests: Vec<RequestNo> = queues.flat_map(std::mem::take).collect();
        for request in requests {
            self.begin(worker, request);
        }
    }

    fn answer(&mut self, worker: Worker, request: RequestNo) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.serving.remove(&request);
        let kept = !process.shutting;
        self.answered(worker, request, kept);
        self.leave_if_done(worker);
    }
}
