//! The traits of the core over a [`World`].

use std::time::Duration;

use async_trait::async_trait;
use nodesockd_core::Time;
use nodesockd_core::action::{SpawnOrder, WorkerSignal};
use nodesockd_core::backend::{Clock, Files, Host, Inbox, Peers, Processes, Succession};
use nodesockd_core::config::{Config, Problem, SocketPattern, Symlinks};
use nodesockd_core::event::{Event, Failure, Queue};
use nodesockd_core::id::{ConnId, Process, RequestRef, WorkerId};
use nodesockd_core::notice::Notice;
use nodesockd_core::state::State;
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::wire::{Reply, ToWorker};

use crate::faults::Call;
use crate::world::World;

/// 2026-01-01T00:00Z, when every history begins.
const EPOCH_MS: u64 = 1_767_225_600_000;

impl Clock for World {
    fn now(&self) -> Time {
        self.time()
    }

    fn wall_ms(&self, time: Time) -> u64 {
        EPOCH_MS + time.as_nanos() / 1_000_000
    }
}

#[async_trait(?Send)]
impl Processes for World {
    async fn spawn(&mut self, order: &SpawnOrder) -> Result<Process, Failure> {
        World::spawn(self, order)
    }

    async fn signal(&mut self, worker: WorkerId, process: Process, signal: WorkerSignal) {
        World::signal(self, worker, process, signal);
    }

    async fn reap(&mut self, worker: WorkerId, process: Process) {
        World::reap(self, worker, process);
    }
}

#[async_trait(?Send)]
impl Files for World {
    async fn publish(&mut self, link: &str, socket: &str, symlinks: Symlinks) -> Result<(), Failure> {
        World::publish(self, link, socket, symlinks)
    }

    async fn withdraw(&mut self, link: &str) -> Result<(), Failure> {
        World::withdraw(self, link)
    }

    async fn measure_queue(&mut self, worker: WorkerId, socket: &str) -> Queue {
        World::measure_queue(self, worker, socket)
    }

    async fn listen(&mut self, socket: &str) -> Result<(), Failure> {
        World::listen(self, socket)
    }

    async fn unlisten(&mut self, socket: &str) -> Result<(), Failure> {
        World::unlisten(self, socket)
    }

    async fn remove(&mut self, socket: &str) -> Result<(), Failure> {
        World::remove(self, socket)
    }

    async fn persist(&mut self, state: Option<&State>) -> Result<(), Failure> {
        World::persist(self, state)
    }

    async fn sweep(&mut self, pattern: &SocketPattern) -> Result<u32, Failure> {
        World::sweep(self, pattern)
    }
}

#[async_trait(?Send)]
impl Peers for World {
    async fn probe(&mut self, worker: WorkerId, _socket: &str, path: &str) {
        World::probe(self, worker, path);
    }

    async fn tell(&mut self, worker: WorkerId, over: Option<ConnId>, message: &ToWorker) {
        World::tell(self, worker, over, message);
    }

    async fn reply(&mut self, to: &RequestRef, reply: &Reply) {
        self.replied(to, reply);
    }
}

#[async_trait(?Send)]
impl Host for World {
    async fn load_config(&mut self) -> Result<Config, Vec<Problem>> {
        World::load_config(self)
    }

    async fn reopen_logs(&mut self) -> Result<(), Failure> {
        self.call(Call::ReopenLogs)
    }

    async fn serve_dev(&mut self, _port: Option<u16>, _links: &[String]) -> Result<(), Failure> {
        self.call(Call::ServeDev)
    }

    async fn notify(&mut self, notice: &Notice) {
        World::notify(self, notice);
    }
}

#[async_trait(?Send)]
impl Succession for World {
    async fn preflight(&mut self, handoff: &Handoff, _limit: Duration) {
        World::preflight(self, handoff);
    }

    async fn freeze(&mut self) {
        World::freeze(self);
    }

    async fn thaw(&mut self) {
        World::thaw(self);
    }

    async fn hand_off(&mut self, handoff: &Handoff) -> Result<(), Failure> {
        World::hand_off(self, handoff)
    }
}

#[async_trait(?Send)]
impl Inbox for World {
    async fn next(&mut self, deadline: Option<Time>) -> Option<Event> {
        self.next_event(deadline)
    }
}
