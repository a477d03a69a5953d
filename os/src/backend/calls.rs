//! What the core's trait asks for, method by method. What is more than a few lines is in the modules that these call.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nodesockd_core::action::{CommandOrder, CommandSignal, HookOrder, SpawnOrder, WorkerSignal};
use nodesockd_core::config::{
    Companion, Config, DevAddress, Log, MetricsAddress, Problem, SocketPattern, StopSignal, Symlinks,
};
use nodesockd_core::env_file::EnvFile;
use nodesockd_core::event::{CpuTime, ExitStatus, Failure, Memory, Queue, Vitals};
use nodesockd_core::frame::Decoder;
use nodesockd_core::history;
use nodesockd_core::id::{ConnId, Peer, Process, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::notice::Notice;
use nodesockd_core::page::Page;
use nodesockd_core::release::{Release, ReleaseLink};
use nodesockd_core::state::{Entry, Leftovers, MigrationStage};
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::survey::{Own, Sight, Survey};
use nodesockd_core::wire::{Reply, ToWorker};
use nodesockd_core::{Event, Time};
use rustix::fs::FileType;

use crate::clock;
use crate::files::release;
use crate::files::release_link;
use crate::files::sweep;
use crate::peers::channel;
use crate::peers::channel::Channel;
use crate::peers::outbox::outbox;
use crate::peers::probe_http;
use crate::peers::session::Fact;
use crate::processes::cgroup;
use crate::processes::command::{self, Purpose};
use crate::processes::cpu_time;
use crate::processes::oom_order;
use crate::processes::spawn;
use crate::processes::survivors::Places;
use crate::processes::vitals;
use crate::sink::files::writable;

use super::workers::Worker;
use super::{Backend, places};

impl nodesockd_core::backend::Backend for Backend {
    fn now(&self) -> Time {
        clock::now()
    }

    fn find_leftovers(&mut self, config: &Config) -> Leftovers {
        let state = self.state_file.read();
        let places =
            Places { ipc_file: &config.ipc_file, sockets: &self.sockets, socket_file: &config.socket_file };
        let survivors = self.workers.find(&places, state.as_ref());
        let former = state.iter().flat_map(|state| state.former_patterns(&config.socket_file));
        let patterns: Vec<SocketPattern> = former.chain([config.socket_file.clone()]).collect();
        let links = self.sockets.links(&patterns);
        self.patterns = patterns;
        if !survivors.is_empty() {
            // Nobody has told what was removed while there was no daemon.
            let survey = self.look_at_all();
            self.backlog.push_back(Event::Surveyed(survey));
        }
        let interrupted = state.as_ref().and_then(|state| state.deploy.as_ref()).is_some_and(|deploy| {
            matches!(deploy.migration, Some(MigrationStage::Runs | MigrationStage::Reverts))
        });
        let command =
            interrupted.then(|| command::find(&Companion::Migration.path(&config.ipc_file))).flatten();
        Leftovers { state, survivors, links, command, history: self.history.tail() }
    }

    fn spawn(&mut self, order: &SpawnOrder) -> Result<Process, Failure> {
        let worker = order.worker;
        let spawn::Started { pid, process, pidfd, channel, notices } =
            spawn::start(order, &self.listeners, (&mut self.sink, &mut self.logs), &mut self.workers.locks)
                .inspect_err(|_| self.workers.locks.release(worker))?;
        oom_order::expose(pid);
        let (outbox, outgoing) = outbox(Vec::new());
        let channel =
            Channel { worker, stream: channel, decoder: Decoder::new(), outbox: outbox.clone(), outgoing };
        tokio::spawn(channel::serve(channel, self.facts.clone(), self.pause.token()));
        let (outbox, notices) = (Some(outbox), notices.map(Arc::new));
        self.workers.add(worker, Worker { pid, process, pidfd, child: true, outbox, notices });
        self.hear_notices(worker);
        self.heap.has_changed();
        Ok(process)
    }

    fn start_sink(&mut self, log: Option<&Log>) -> Result<(), Failure> {
        self.sink.start(log, self.facts.clone())
    }

    fn direct_log(&mut self, log: &Log) {
        self.sink.direct_log(log);
    }

    fn label_output(&mut self, worker: WorkerId, slot: SlotIndex) {
        self.sink.label(worker, slot);
    }

    fn upgrade_sink(&mut self) {
        self.sink.upgrade();
    }

    fn ask_last_lines(&mut self, worker: WorkerId) {
        self.sink.ask(worker);
    }

    fn kill_sink(&mut self) {
        self.sink.kill();
    }

    fn watch(&mut self, worker: WorkerId, process: Process) {
        if self.workers.take_hold(worker, process).is_err() {
            self.backlog.push_back(Event::Exited { worker, status: ExitStatus::Unknown });
        }
    }

    fn terminate(
        &mut self,
        worker: WorkerId,
        process: Process,
        socket: Option<&str>,
        signal: StopSignal,
        again: bool,
    ) -> Vec<Process> {
        let Some(own) = self.workers.running(worker, process) else { return Vec::new() };
        let inode = socket.map(|socket| self.queues.inode(socket, &self.sockets.path(socket)));
        self.workers.terminate(worker, own, inode, signal, again)
    }

    fn signal(&mut self, worker: WorkerId, process: Process, signal: WorkerSignal) {
        self.workers.signal(worker, process, signal);
    }

    fn examine(&mut self, worker: WorkerId, process: Process) -> Result<Vitals, Failure> {
        let found =
            self.workers.running(worker, process).ok_or_else(|| Failure("the process is gone".into()))?;
        vitals::of(found.pid, process)
    }

    async fn reap(&mut self, worker: WorkerId, process: Process) {
        self.workers.reap(worker, process).await;
        self.heap.has_changed();
    }

    fn mark_serving(&mut self, worker: WorkerId, process: Process) {
        if let Some(found) = self.workers.running(worker, process) {
            oom_order::protect(found.pid);
        }
    }

    fn measure_memory(&mut self, worker: WorkerId, process: Process) -> Result<Memory, Failure> {
        let resident = self.workers.running(worker, process).and_then(|found| cgroup::resident(found.pid));
        let memory = resident.zip(self.cgroup.room()).map(|(resident, room)| Memory { resident, room });
        memory.ok_or_else(|| Failure("/proc does not tell".to_owned()))
    }

    fn publish(&mut self, link: &str, socket: &str, symlinks: Symlinks) -> Result<(), Failure> {
        self.sockets.publish(link, socket, symlinks)?;
        self.keeping.did(link, Sight::Link(socket.to_owned()));
        self.dev_server.published();
        self.queues.ask_anew();
        self.queues.observe(socket, &self.sockets.path(socket));
        Ok(())
    }

    fn withdraw(&mut self, link: &str) -> Result<(), Failure> {
        let withdrawn = self.take_away(link, FileType::Symlink);
        self.queues.ask_anew();
        withdrawn
    }

    fn measure_queue(&mut self, worker: WorkerId, socket: &str) -> Queue {
        self.workers.expect_first_signs(worker);
        let holder = self.workers.get(worker).map(|worker| worker.process.pid);
        self.queues.measure(socket, &self.sockets.path(socket), holder)
    }

    fn count_waiting(&mut self, _worker: WorkerId, socket: &str) -> Queue {
        self.queues.measure(socket, &self.sockets.path(socket), None)
    }

    fn list_queue(&mut self, _worker: WorkerId, socket: &str) -> Result<Vec<u64>, Failure> {
        self.queues
            .list(socket, &self.sockets.path(socket))
            .map_err(|error| Failure(format!("UNIX_DIAG: {error}")))
    }

    fn measure_cpu(&mut self, _worker: WorkerId, process: Process) -> Result<CpuTime, Failure> {
        cpu_time::of(process).map_err(|error| Failure(format!("process {}: {error}", process.pid)))
    }

    fn listen(&mut self, socket: &str) -> Result<(), Failure> {
        self.listeners.open(socket, &self.sockets.path(socket))
    }

    fn unlisten(&mut self, socket: &str) -> Result<(), Failure> {
        self.listeners.close(socket);
        self.queues.forget(socket);
        self.take_away(socket, FileType::Socket)
    }

    fn remove(&mut self, socket: &str) -> Result<(), Failure> {
        self.queues.forget(socket);
        self.take_away(socket, FileType::Socket)
    }

    fn run_command(&mut self, order: &CommandOrder) -> Result<Process, Failure> {
        self.commands.run(order)
    }

    fn watch_command(&mut self, process: Process) {
        if !self.commands.watch(Purpose::Deploy, process) {
            self.backlog.push_back(Event::CommandEnded { process, status: ExitStatus::Unknown });
        }
    }

    fn signal_command(&mut self, process: Process, signal: CommandSignal) {
        self.commands.signal(Purpose::Deploy, process, signal);
    }

    fn run_hook(&mut self, order: &HookOrder) -> Result<Process, Failure> {
        self.commands.run_hook(order)
    }

    fn watch_hook(&mut self, process: Process) {
        if !self.commands.watch(Purpose::Hook, process) {
            self.backlog.push_back(Event::HookEnded { process, status: ExitStatus::Unknown });
        }
    }

    fn kill_hook(&mut self, process: Process) {
        self.commands.signal(Purpose::Hook, process, CommandSignal::Kill);
    }

    fn survey(&mut self) -> Survey {
        self.look_at_all()
    }

    fn restore(&mut self, what: Own) -> Result<(), Failure> {
        match what {
            Own::Folder => {
                self.keeping.make_folders()?;
                self.watch_anew();
                Ok(())
            }
            Own::Lock => {
                if self.lock.is_lost() {
                    self.lock =
                        places::take_lock(self.control.path()).map_err(|error| Failure(error.to_string()))?;
                }
                self.claims.restore()
            }
            Own::ControlSocket => self.control.restore(&self.facts, &self.pause),
            Own::MetricsSocket => {
                let sources = self.sources();
                self.metrics_server.restore(sources)
            }
            Own::State => Ok(()),
        }
    }

    fn persist(&mut self, entry: Option<&Entry>) -> Result<(), Failure> {
        self.state_file.write(entry)
    }

    fn record(&mut self, entry: &history::Entry) -> Result<(), Failure> {
        self.history.add(entry)
    }

    fn sweep(&mut self, pattern: &SocketPattern) -> Result<u32, Failure> {
        sweep::sweep(&mut self.sockets, &mut self.queues, pattern)
    }

    fn locate_release(&mut self, named: &Release, env_files: &[EnvFile]) -> Result<Release, Failure> {
        release::locate(named, env_files)
    }

    fn has_release(&mut self, release: &Release) -> bool {
        release::exists(release)
    }

    fn find_release_link(&mut self, named: &Release, folder: &Path) -> Result<ReleaseLink, Failure> {
        release_link::find(named, folder)
    }

    fn switch_release_link(&mut self, path: &Path, from: &Path, to: &Path) -> Result<(), Failure> {
        release_link::switch(path, from, to)
    }

    fn probe(&mut self, worker: WorkerId, socket: &str, path: &str) {
        self.workers.expect_first_signs(worker);
        let (socket, path, facts) = (self.sockets.path(socket), path.to_owned(), self.facts.clone());
        tokio::spawn(async move {
            let result = probe_http::get(&socket, &path).await;
            let _ = facts.send(Fact::Event(Event::Probed { worker, result })).await;
        });
    }

    fn tell(&mut self, worker: WorkerId, over: Option<ConnId>, message: &ToWorker) {
        let outbox = match over {
            Some(conn) => self.clients.get(&conn),
            None => self.workers.outbox(worker),
        };
        if let Some(outbox) = outbox {
            outbox.push(&message.encode());
        }
    }

    fn reply(&mut self, to: &RequestRef, reply: &Reply) {
        let outbox = match to.peer {
            Peer::Client(conn) => self.clients.get(&conn),
            Peer::Worker(worker) => self.workers.outbox(worker),
        };
        if let Some(outbox) = outbox {
            outbox.push(&reply.encode(&to.id, clock::wall_ms));
        }
    }

    fn load_config(&mut self) -> Result<Config, Vec<Problem>> {
        let loaded = (self.load)();
        if let Ok(Config { log: Some(log), .. }) = &loaded {
            writable(log).map_err(|failure| vec![Problem::general(failure.0)])?;
        }
        // It may be in force from now on.
        if let Ok(Config { socket_file, .. }) = &loaded
            && !self.patterns.contains(socket_file)
        {
            if let Err(error) = self.claims.claim(socket_file) {
                return Err(vec![Problem::general(error.to_string())]);
            }
            self.patterns.push(socket_file.clone());
        }
        loaded
    }

    fn reopen_logs(&mut self) -> Result<(), Failure> {
        self.logs.reopen()
    }

    async fn serve_dev(&mut self, address: Option<DevAddress>, links: &[String]) -> Result<(), Failure> {
        let links = links.iter().map(|link| self.sockets.path(link)).collect();
        self.dev_server.serve(address, links).await
    }

    fn show_page(&mut self, page: Option<&Page>) {
        self.dev_server.show(page);
    }

    fn serve_metrics(&mut self, address: Option<&MetricsAddress>) -> Result<(), Failure> {
        let sources = self.sources();
        self.metrics_server.serve(address, sources)?;
        self.watch_metrics();
        Ok(())
    }

    fn notify(&mut self, notice: &Notice) {
        if let Some(manager) = &self.manager {
            manager.notify(notice);
        }
    }

    async fn next(&mut self, deadline: Option<Time>) -> Option<Event> {
        loop {
            let left = deadline.map(|deadline| deadline.since(clock::now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            if let Some(event) = self.backlog.pop_front() {
                return Some(event);
            }
            let rest = self.heap.gives_back_in().filter(|rest| left.is_none_or(|left| *rest < left));
            let fact = match rest.or(left) {
                None => self.inbox.recv().await,
                Some(wait) => match tokio::time::timeout(wait, self.inbox.recv()).await {
                    Ok(fact) => fact,
                    Err(_) if rest.is_some() => {
                        self.queues.ask_anew();
                        self.heap.give_back();
                        continue;
                    }
                    Err(_) => return None,
                },
            };
            // The channel cannot be closed: we hold a sender ourselves.
            if let Some(event) = self.take_in(fact?) {
                return Some(event);
            }
        }
    }

    fn preflight(&mut self, handoff: &Handoff, limit: Duration) {
        self.start_preflight(handoff, limit);
    }

    async fn freeze(&mut self) {
        self.pause_all().await;
    }

    async fn thaw(&mut self) {
        self.resume_all().await;
    }

    async fn hand_off(&mut self, handoff: &Handoff) -> Result<(), Failure> {
        let Err(error) = self.become_successor(handoff).await;
        Err(Failure(format!("cannot become `{}`: {error}", self.program.display())))
    }
}
