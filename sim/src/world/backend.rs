//! The backend of the core over a [`World`].

use std::path::Path;
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::action::{CommandOrder, CommandSignal, HookOrder, SpawnOrder, WorkerSignal};
use nodesockd_core::backend::Backend;
use nodesockd_core::config::{
    Config, DevAddress, Log, MetricsAddress, Problem, SocketPattern, StopSignal, Symlinks,
};
use nodesockd_core::env_file::EnvFile;
use nodesockd_core::event::{CpuTime, Event, Failure, Memory, Queue, Vitals};
use nodesockd_core::history;
use nodesockd_core::id::{ConnId, Process, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::notice::Notice;
use nodesockd_core::page::Page;
use nodesockd_core::release::{Release, ReleaseLink};
use nodesockd_core::state::{Entry, Leftovers};
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::survey::{Own, Survey};
use nodesockd_core::wire::{Reply, ToWorker};

use crate::faults::Call;
use crate::world::World;

impl Backend for World {
    fn now(&self) -> Time {
        self.time()
    }

    fn find_leftovers(&mut self, config: &Config) -> Leftovers {
        World::inherit(self, config)
    }

    fn spawn(&mut self, order: &SpawnOrder) -> Result<Process, Failure> {
        World::spawn(self, order)
    }

    fn watch(&mut self, worker: WorkerId, process: Process) {
        World::watch(self, worker, process);
    }

    fn terminate(
        &mut self,
        worker: WorkerId,
        process: Process,
        _socket: Option<&str>,
        signal: StopSignal,
        again: bool,
    ) -> Vec<Process> {
        World::terminate(self, worker, process, signal, again)
    }

    fn signal(&mut self, worker: WorkerId, process: Process, signal: WorkerSignal) {
        World::signal(self, worker, process, signal);
    }

    fn examine(&mut self, worker: WorkerId, process: Process) -> Result<Vitals, Failure> {
        World::examine(self, worker, process)
    }

    async fn reap(&mut self, worker: WorkerId, process: Process) {
        World::reap(self, worker, process);
    }

    fn mark_serving(&mut self, _worker: WorkerId, _process: Process) {}

    fn measure_memory(&mut self, worker: WorkerId, process: Process) -> Result<Memory, Failure> {
        World::measure_memory(self, worker, process)
    }

    fn publish(&mut self, link: &str, socket: &str, symlinks: Symlinks) -> Result<(), Failure> {
        World::publish(self, link, socket, symlinks)
    }

    fn withdraw(&mut self, link: &str) -> Result<(), Failure> {
        World::withdraw(self, link)
    }

    fn list_queue(&mut self, worker: WorkerId, socket: &str) -> Result<Vec<u64>, Failure> {
        World::list_queue(self, worker, socket)
    }

    fn measure_queue(&mut self, worker: WorkerId, socket: &str) -> Queue {
        World::measure_queue(self, worker, socket)
    }

    fn count_waiting(&mut self, worker: WorkerId, socket: &str) -> Queue {
        World::count_waiting(self, worker, socket)
    }

    fn measure_cpu(&mut self, worker: WorkerId, process: Process) -> Result<CpuTime, Failure> {
        World::measure_cpu(self, worker, process)
    }

    fn listen(&mut self, socket: &str) -> Result<(), Failure> {
        World::listen(self, socket)
    }

    fn unlisten(&mut self, socket: &str) -> Result<(), Failure> {
        World::unlisten(self, socket)
    }

    fn remove(&mut self, socket: &str) -> Result<(), Failure> {
        World::remove(self, socket)
    }

    fn persist(&mut self, entry: Option<&Entry>) -> Result<(), Failure> {
        World::persist(self, entry)
    }

    fn record(&mut self, entry: &history::Entry) -> Result<(), Failure> {
        World::record(self, entry)
    }

    fn sweep(&mut self, pattern: &SocketPattern) -> Result<u32, Failure> {
        World::sweep(self, pattern)
    }

    fn locate_release(&mut self, _named: &Release, _env_files: &[EnvFile]) -> Result<Release, Failure> {
        World::locate_release(self)
    }

    fn has_release(&mut self, release: &Release) -> bool {
        World::has_release(self, release)
    }

    fn find_release_link(&mut self, _named: &Release, folder: &Path) -> Result<ReleaseLink, Failure> {
        World::find_release_link(self, folder)
    }

    fn switch_release_link(&mut self, _path: &Path, from: &Path, to: &Path) -> Result<(), Failure> {
        World::switch_release_link(self, from, to)
    }

    fn run_command(&mut self, order: &CommandOrder) -> Result<Process, Failure> {
        World::run_command(self, order)
    }

    fn run_hook(&mut self, order: &HookOrder) -> Result<Process, Failure> {
        World::run_hook(self, order)
    }

    fn watch_hook(&mut self, process: Process) {
        World::watch_hook(self, process);
    }

    fn kill_hook(&mut self, process: Process) {
        World::kill_hook(self, process);
    }

    fn watch_command(&mut self, process: Process) {
        World::watch_command(self, process);
    }

    fn signal_command(&mut self, process: Process, signal: CommandSignal) {
        World::signal_command(self, process, signal);
    }

    fn start_sink(&mut self, log: Option<&Log>) -> Result<(), Failure> {
        World::start_sink(self, log)
    }

    fn direct_log(&mut self, log: &Log) {
        World::direct_log(self, log);
    }

    fn label_output(&mut self, worker: WorkerId, slot: SlotIndex) {
        World::label_output(self, worker, slot);
    }

    fn upgrade_sink(&mut self) {
        World::upgrade_sink(self);
    }

    fn ask_last_lines(&mut self, worker: WorkerId) {
        World::ask_last_lines(self, worker);
    }

    fn kill_sink(&mut self) {
        World::kill_sink(self);
    }

    fn survey(&mut self) -> Survey {
        World::survey(self)
    }

    fn restore(&mut self, what: Own) -> Result<(), Failure> {
        World::restore(self, what)
    }

    fn probe(&mut self, worker: WorkerId, _socket: &str, path: &str) {
        World::probe(self, worker, path);
    }

    fn tell(&mut self, worker: WorkerId, over: Option<ConnId>, message: &ToWorker) {
        World::tell(self, worker, over, message);
    }

    fn reply(&mut self, to: &RequestRef, reply: &Reply) {
        self.replied(to, reply);
    }

    fn load_config(&mut self) -> Result<Config, Vec<Problem>> {
        World::load_config(self)
    }

    fn reopen_logs(&mut self) -> Result<(), Failure> {
        self.call(Call::ReopenLogs)
    }

    async fn serve_dev(&mut self, address: Option<DevAddress>, _links: &[String]) -> Result<(), Failure> {
        self.dev_server = address;
        self.call(Call::ServeDev)
    }

    fn show_page(&mut self, page: Option<&Page>) {
        World::show_page(self, page);
    }

    fn serve_metrics(&mut self, address: Option<&MetricsAddress>) -> Result<(), Failure> {
        World::serve_metrics(self, address)
    }

    fn notify(&mut self, notice: &Notice) {
        World::notify(self, notice);
    }

    fn preflight(&mut self, handoff: &Handoff, _limit: Duration) {
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

    async fn next(&mut self, deadline: Option<Time>) -> Option<Event> {
        self.next_event(deadline)
    }
}
