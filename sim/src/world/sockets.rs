//! Listening sockets that the daemon opens: queues that outlive those who accept from them.
//!
//! When it dies they are as open as before wherever a worker has inherited them, and close with the last such worker; its
//! successor holds sockets of its own.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::event::{Event, Failure};
use nodesockd_core::id::WorkerId;

use super::agenda::Happening;
use super::process::Proc;
use super::{Worker, WorkerStep, World};
use crate::faults::Call;
use crate::ledger::{Cause, RequestNo};
use crate::scenario::CHECKED;

/// One of them. People read it as `s1`, `s2`, ….
#[derive(Debug)]
pub(crate) struct Listener {
    number: usize,
    /// The daemon there is holds it open, not only those who inherited it.
    pub held: bool,
    /// Connections that wait to be accepted.
    pub queue: VecDeque<RequestNo>,
    /// The kernel could not be asked about its queue.
    pub unseen: bool,
    /// Its link could not be withdrawn: users still came when nobody was meant to serve them.
    pub overdue: bool,
    /// When its link was swapped away or withdrawn.
    pub unlinked: Option<Time>,
    /// When the daemon began to drain it although its link could not be withdrawn.
    pub given_up: Option<Time>,
}

impl Listener {
    /// When its drain began, at the earliest.
    pub fn drained_since(&self) -> Option<Time> {
        self.given_up.into_iter().chain(self.unlinked).min()
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.number)
    }
}

impl World {
    /// Opens a listening socket.
    pub fn listen(&mut self, socket: &str) -> Result<(), Failure> {
        let called = self.call(Call::Listen);
        self.opened += 1;
        let number = self.opened;
        self.log_file(format_args!("listen on s{number}"), &called);
        if called.is_err() {
            self.oracle.unopened.push_back(self.agenda.now());
        }
        called?;
        if self.files.get(socket).is_some() {
            self.violated(format_args!("{socket} cannot be bound: the name is taken (EADDRINUSE)"));
        }
        self.files.bind_ours(socket);
        let listener = Listener {
            number,
            held: true,
            queue: VecDeque::new(),
            unseen: false,
            overdue: false,
            unlinked: None,
            given_up: None,
        };
        self.listeners.insert(socket.to_owned(), listener);
        Ok(())
    }

    /// Closes a listening socket and removes its file. Whoever waits is cut off, if it still was open.
    pub fn unlisten(&mut self, socket: &str) -> Result<(), Failure> {
        let called = self.call(Call::Unlisten);
        let name = self.listeners.get(socket).map_or_else(|| socket.to_owned(), Listener::to_string);
        self.log_file(format_args!("close {name}"), &called);
        let linked = self
            .files
            .iter()
            .any(|(link, _)| self.files.target(link) == Some(socket) && !self.oracle.is_stuck(link));
        if linked {
            self.violated(format_args!("{name} is closed while a link names it"));
        }
        let cause = self.cause_of_unlistening(socket);
        if self.is_ours(socket) {
            self.closed.insert(socket.to_owned(), cause);
        }
        for request in self.listeners.remove(socket).map(|closed| closed.queue).unwrap_or_default() {
            self.lose(request, cause, format_args!("{name} is closed while it waits"));
        }
        match called {
            Ok(()) => {
                self.unstuck(socket);
                self.files.remove(socket);
            }
            Err(_) => self.stuck(socket),
        }
        called
    }

    /// It is one that a daemon opened, and still open.
    pub(super) fn is_ours(&self, socket: &str) -> bool {
        self.listeners.contains_key(socket)
    }

    /// The daemon holds it, and can let workers inherit it.
    pub(super) fn is_held(&self, socket: &str) -> bool {
        self.listeners.get(socket).is_some_and(|listener| listener.held)
    }

    /// The daemon is gone, and its descriptors with it.
    pub(super) fn let_go(&mut self) {
        self.listeners.values_mut().for_each(|listener| listener.held = false);
        self.close_abandoned(None);
    }

    /// Closes the sockets that nobody holds any more: whoever waits is cut off, for `cause` if there is one.
    pub(super) fn close_abandoned(&mut self, cause: Option<Cause>) {
        let holds = |process: &Proc, socket: &str| {
            process.inherits(socket) && process.alive() && !process.is_shutting_down()
        };
        let abandoned = self.listeners.iter().filter(|(socket, listener)| {
            !listener.held && !self.processes.iter().any(|(_, process)| holds(process, socket))
        });
        let abandoned: Vec<String> = abandoned.map(|(socket, _)| socket.clone()).collect();
        let mut cut_off = Vec::new();
        for socket in abandoned {
            let cause = cause.or_else(|| self.cause_of_unlistening(&socket));
            let cause = cause.or(self.deaths.forgot.then_some(Cause::Forgotten));
            cut_off.extend(self.listeners.remove(&socket).map(|listener| (listener, cause)));
            self.closed.insert(socket, cause);
        }
        // Whoever is cut off may come again by another link, which may have named one of these sockets, too.
        for (listener, cause) in cut_off {
            for request in &listener.queue {
                self.lose(*request, cause, format_args!("nobody holds {listener} any more"));
            }
        }
    }

    /// How many connections wait at a socket that a worker listens on; `None` if it does not.
    pub(super) fn waiting(&self, worker: Option<Worker>, socket: &str) -> Option<usize> {
        if let Some(listener) = self.listeners.get(socket) {
            return Some(listener.queue.len());
        }
        self.own_queue(worker?, socket).map(VecDeque::len)
    }

    /// The connections that wait there, by numbers that no two have in common.
    pub(super) fn queue(&self, worker: Option<Worker>, socket: &str) -> Vec<u64> {
        let own = || self.own_queue(worker?, socket);
        let queue = self.listeners.get(socket).map(|listener| &listener.queue).or_else(own);
        queue.into_iter().flatten().map(|request| request + 1).collect()
    }

    /// That of a socket that a worker has bound, by the name that it was bound to.
    fn own_queue(&self, worker: Worker, socket: &str) -> Option<&VecDeque<RequestNo>> {
        let process = self.processes.get(worker)?;
        process.traffic.queue.as_ref().filter(|_| process.sockets.own.as_deref() == Some(socket))
    }

    /// A worker closes what it inherited but `socket`.
    pub(super) fn let_go_of_others(&mut self, worker: Worker, socket: &str) {
        if let Some(process) = self.processes.get_mut(worker) {
            process.sockets.inherits.retain(|its| its == socket);
        }
        self.close_abandoned(None);
    }

    /// A worker accepts from a socket that it inherited.
    pub(super) fn accept_from(&mut self, worker: Worker, socket: String) {
        let waits = self.listeners.get(&socket).is_some_and(|listener| !listener.queue.is_empty());
        if let Some(process) = self.processes.get_mut(worker) {
            process.sockets.accepts.insert(socket);
            process.known.published = true;
        }
        if waits {
            self.rouse(worker);
        }
    }

    /// Everybody who accepts from a socket will look at it.
    pub(super) fn rouse_all(&mut self, socket: &str) {
        let accepting = |worker: &Worker| {
            self.processes.get(*worker).is_some_and(|process| process.sockets.accepts.contains(socket))
        };
        let roused: Vec<Worker> = self.processes.live().into_iter().filter(accepting).collect();
        roused.into_iter().for_each(|worker| self.rouse(worker));
    }

    /// The daemon asks a worker whether it is ready.
    pub fn probe(&mut self, id: WorkerId, path: &str) {
        let Some(worker) = self.processes.named(id) else {
            self.violated(format_args!("GET {path} to {id}, which was never spawned"));
            return;
        };
        self.trace.line(self.agenda.now(), "daemon", format_args!("GET {path} from {worker}"));
        let service = self.draw_us(2000);
        let check = path == CHECKED;
        if check {
            self.check_sent(worker);
        }
        let Some(process) = self.processes.get_mut(worker) else { return };
        if process.alive() && process.traffic.queue.is_some() {
            process.traffic.probes += 1;
            let (step, late) = if check {
                process.traffic.checks += 1;
                let (status, late) = process.answers_check();
                (WorkerStep::AnswerCheck(status), late)
            } else {
                (WorkerStep::AnswerProbe, Duration::ZERO)
            };
            self.after(service + late, Happening::Worker(worker, step));
        } else {
            let result = Err(Failure("connection refused".into()));
            self.deliver(None, Duration::ZERO, Event::Probed { worker: id, result });
        }
    }

    pub(super) fn answer_probe(&mut self, worker: Worker) {
        let Some(process) = self.processes.get(worker) else { return };
        let status = if process.healthy { 200 } else { 503 };
        self.answer_with(worker, status);
    }

    pub(super) fn answer_with(&mut self, worker: Worker, status: u16) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        process.traffic.probes -= 1;
        let id = process.id;
        self.trace.line(self.agenda.now(), worker, format_args!("answers with {status}"));
        self.deliver(None, Duration::ZERO, Event::Probed { worker: id, result: Ok(status) });
    }
}
