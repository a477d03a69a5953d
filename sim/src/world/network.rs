//! nginx and the users behind it: requests go to whatever a slot's link names at that moment. Between reading the link
//! and entering the accept queue behind it some time may pass, as on a machine that has much else to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use nodesockd_core::id::SlotIndex;

use super::agenda::Happening;
use super::{Entry, Worker, World, ms};
use crate::ledger::{Cause, RequestNo};

/// A user's request on its way.
#[derive(Debug, Clone, Copy)]
struct UserRequest {
    user: u32,
    slot: u32,
    post: bool,
    /// Upstreams that failed.
    failed: u32,
}

/// Requests without an answer, and idle connections.
#[derive(Debug, Default)]
pub(crate) struct Nginx {
    requests: BTreeMap<RequestNo, UserRequest>,
    /// By upstream: connections that wait for the next request, the latest last.
    idle: BTreeMap<u32, Vec<(u64, Worker)>>,
    connections: u64,
}

impl Nginx {
    /// These connections were closed by their workers.
    pub fn forget(&mut self, connections: &BTreeSet<u64>) {
        if !connections.is_empty() {
            for idle in self.idle.values_mut() {
                idle.retain(|(connection, _)| !connections.contains(connection));
            }
        }
    }
}

impl World {
    /// Requests on their way that the ledger does not know of, or the other way round.
    pub(super) fn imbalance(&self) -> Option<String> {
        let (waiting, account) = (self.nginx.requests.len() as u64, self.ledger.in_flight());
        (waiting != account)
            .then(|| format!("{waiting} requests are on their way, but {account} by the account"))
    }

    /// A user makes a request.
    pub(super) fn user(&mut self, user: u32) {
        if self.scenario_over() {
            return;
        }
        let number = self.ledger.sent;
        self.ledger.sent += 1;
        let slot = self.agenda.dice().u32(0..self.scenario.load.upstreams.max(1));
        let post = self.agenda.dice().u32(0..100) < self.scenario.load.posts;
        self.nginx.requests.insert(number, UserRequest { user, slot, post, failed: 0 });
        self.connect(number, slot);
    }

    /// Sends a request to a slot's upstream: over an idle connection, or a new one.
    fn connect(&mut self, number: RequestNo, slot: u32) {
        if let Some((connection, worker)) = self.nginx.idle.get_mut(&slot).and_then(Vec::pop) {
            self.trace.note(self.agenda.now(), &[number, u64::from(worker.0), connection]);
            if let Some(process) = self.processes.get_mut(worker) {
                process.traffic.idle.remove(&connection);
            }
            self.begin(worker, number);
            return;
        }
        let gap = self.scenario.load.gap_ms;
        let late = if gap > 0 { self.draw_us(gap * 1000) } else { Duration::ZERO };
        let socket = self.oracle.link(SlotIndex(slot)).and_then(|link| self.files.target(link));
        let arrival = match socket.and_then(|socket| Some((socket, self.files.get(socket)?))) {
            Some((socket, Entry::Ours)) => Happening::ConnectToOurs(number, socket.into()),
            Some((_, Entry::Socket(Some(worker)))) => Happening::Connect(number, *worker),
            Some((_, Entry::Socket(None) | Entry::Link(_) | Entry::Plain)) | None => {
                let cause = self.cause_of_refusal(SlotIndex(slot), None);
                return self.fail(number, cause, false, format_args!("slot {slot} leads nowhere"));
            }
        };
        if gap > 0 {
            self.after(late, arrival);
        } else {
            self.happens(arrival);
        }
    }

    /// A connection reaches the worker whose socket a link named when it was looked up.
    pub(super) fn arrive(&mut self, number: RequestNo, worker: Worker) {
        let Some(slot) = self.nginx.requests.get(&number).map(|request| request.slot) else { return };
        let backlog = self.scenario.load.backlog;
        if self.processes.get(worker).is_some_and(|process| process.known.unlinked.is_some()) {
            self.marks.count("a connection arrives after the swap");
        }
        match self.processes.get_mut(worker).and_then(|process| process.traffic.queue.as_mut()) {
            Some(queue) if queue.len() < backlog => {
                queue.push_back(number);
                self.trace.note(self.agenda.now(), &[number, u64::from(worker.0)]);
                self.rouse(worker);
            }
            Some(_) => {
                self.tally.count("backlog full");
                self.fail(number, Some(Cause::BacklogFull), false, format_args!("slot {slot} is full"));
            }
            None => {
                let cause = self.cause_of_lateness(SlotIndex(slot), worker);
                self.fail(
                    number,
                    cause,
                    false,
                    format_args!("slot {slot} refuses: {worker} does not listen"),
                );
            }
        }
    }

    /// Enters the accept queue of a socket that the daemon holds. Whoever accepts from it looks.
    pub(super) fn arrive_at_ours(&mut self, number: RequestNo, socket: &str) {
        let Some(slot) = self.nginx.requests.get(&number).map(|request| request.slot) else { return };
        let backlog = self.scenario.load.backlog;
        let Some(listener) = self.listeners.get_mut(socket) else {
            let cause = self.closed.get(socket).copied().flatten();
            return self.fail(
                number,
                cause,
                false,
                format_args!("slot {slot} refuses: its socket is closed"),
            );
        };
        if listener.queue.len() >= backlog {
            self.tally.count("backlog full");
            return self.fail(number, Some(Cause::BacklogFull), false, format_args!("slot {slot} is full"));
        }
        listener.queue.push_back(number);
        self.trace.note(self.agenda.now(), &[number, u64::from(slot), 3]);
        self.rouse_all(socket);
    }

    /// A request that had been sent gets no answer.
    pub(super) fn lose(&mut self, number: RequestNo, cause: Option<Cause>, why: impl fmt::Display) {
        self.fail(number, cause, true, why);
    }

    /// nginx tries the next upstream, if it may; else the user sees an error.
    fn fail(&mut self, number: RequestNo, cause: Option<Cause>, sent: bool, why: impl fmt::Display) {
        let Some(request) = self.nginx.requests.get_mut(&number) else { return };
        request.failed += 1;
        let method = if request.post { "POST" } else { "GET" };
        let Some(cause) = cause else {
            self.ledger.unexplained += 1;
            let user = request.user;
            self.nginx.requests.remove(&number);
            self.violated(format_args!("a {method} is lost without a reason: {why}"));
            self.next_request(user);
            return;
        };
        let upstreams = self.scenario.load.upstreams.max(1);
        if request.failed < upstreams && !(sent && request.post) {
            request.slot = (request.slot + 1) % upstreams;
            let slot = request.slot;
            self.ledger.retried += 1;
            self.trace.note(self.agenda.now(), &[number, u64::from(slot), 1]);
            self.connect(number, slot);
            return;
        }
        let user = request.user;
        self.nginx.requests.remove(&number);
        *self.ledger.lost.entry(cause).or_default() += 1;
        self.trace.line(self.agenda.now(), "nginx", format_args!("loses a {method}: {why} ({cause})"));
        self.next_request(user);
    }

    /// A worker has answered; it keeps the connection open, or not.
    pub(super) fn answered(&mut self, worker: Worker, number: RequestNo, keeps: bool) {
        let Some(request) = self.nginx.requests.remove(&number) else {
            self.violated(format_args!("{worker} answers a request twice"));
            return;
        };
        self.ledger.answered += 1;
        self.trace.note(self.agenda.now(), &[number, u64::from(worker.0), 2]);
        if let (true, Some(kept)) = (keeps, self.scenario.load.keep_alive_ms) {
            self.nginx.connections += 1;
            let connection = self.nginx.connections;
            self.nginx.idle.entry(request.slot).or_default().push((connection, worker));
            if let Some(process) = self.processes.get_mut(worker) {
                process.traffic.idle.insert(connection);
            }
            self.after(ms(kept), Happening::IdleOut(connection));
        }
        self.next_request(request.user);
    }

    fn next_request(&mut self, user: u32) {
        let pause = self.draw_us(self.scenario.load.pause_ms * 1000);
        self.after(ms(1) + pause, Happening::User(user));
    }

    /// nginx closes a connection that has been idle for long enough.
    pub(super) fn idle_out(&mut self, connection: u64) {
        for idle in self.nginx.idle.values_mut() {
            let Some(index) = idle.iter().position(|(number, _)| *number == connection) else { continue };
            let (_, worker) = idle.remove(index);
            if let Some(process) = self.processes.get_mut(worker) {
                process.traffic.idle.remove(&connection);
            }
            self.leave_if_done(worker);
            return;
        }
    }
}
