//! Workers whose own process is a wrapper, and processes that workers have started.

use std::time::Duration;

use nodesockd_core::action::WorkerSignal;
use nodesockd_core::config::StopSignal;
use nodesockd_core::event::{Caller, Event};
use nodesockd_core::id::{Process, WorkerId};
use nodesockd_core::wire::{Claim, FromWorker};

use super::agenda::{Happening, Lane};
use super::process::{Server, State};
use super::worker_actions::WorkerStep;
use super::{Worker, World};

impl World {
    /// The stop signal for those of a worker's processes that serve.
    pub fn terminate(
        &mut self,
        id: WorkerId,
        target: Process,
        signal: StopSignal,
        again: bool,
    ) -> Vec<Process> {
        let named = self.processes.named(id).and_then(|worker| self.processes.get(worker));
        let serves = named.is_some_and(|process| process.state == State::Running);
        let wrapped = named.is_some_and(|process| process.server.is_some());
        if again && !serves {
            return Vec::new();
        }
        let words = format!("{} to", signal.name());
        let worker = self.check_signal(id, target, WorkerSignal::Terminate, &words);
        let Some(worker) = worker else { return Vec::new() };
        self.check_stop_signal(worker, signal);
        if !wrapped || !serves {
            self.term(worker, signal);
            return Vec::new();
        }
        self.check_kept(worker, "sent a signal");
        self.marks.count("SIGTERM is needed");
        let decided = self.agenda.busy_since();
        let Some(process) = self.processes.get_mut(worker) else { return Vec::new() };
        process.known.terminates(decided);
        process.server = Some(Server::Told);
        let delay = self.draw_us(30);
        self.after(delay, Happening::Worker(worker, WorkerStep::TermServer));
        vec![Process { pid: target.pid + STARTED, ..target }]
    }

    /// Who serves has ended, and the wrapper lives on.
    pub(super) fn server_ends(&mut self, worker: Worker) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        let id = process.id;
        process.leading.ended();
        if process.server.replace(Server::Gone) == Some(Server::Told) {
            self.deliver(Some(Lane::Worker(id)), Duration::ZERO, Event::ServersEnded { worker: id });
        }
    }

    /// A process that a worker has started says that it is the worker, which has said so itself.
    pub(super) fn child_claims(&mut self, worker: Worker) {
        let Some(process) = self.processes.get(worker).filter(|process| process.known.online) else { return };
        let (own, id) = (process.process, process.id);
        let child = Process { pid: own.pid + STARTED, ..own };
        let caller = Caller { process: child, family: vec![own], leads: false, ..Self::caller(process) };
        let claims = Some(Claim { worker: id, pid: Some(child.pid) });
        let message = FromWorker::Online {
            pid: None,
            suspended: process.holds,
            heartbeat: false,
            leads: None,
            counts: None,
        };
        self.trace.line(self.agenda.now(), worker, "a child says that it is the worker");
        let conn = self.clients.open_for_lie();
        let event = Event::Claimed { conn, caller: Some(caller), claims, message };
        self.deliver(Some(Lane::Client(conn)), Duration::ZERO, event);
    }
}

/// From a worker's own pid to that of a process that it has started.
const STARTED: u32 = 100_000;
