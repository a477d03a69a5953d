//! The backend: what the core's trait asks for, done for real.

mod succession;

pub use succession::start_over;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nodesockd_core::action::{CommandOrder, CommandSignal, HookOrder, SpawnOrder, WorkerSignal};
use nodesockd_core::config::{
    Companion, Config, DevAddress, Log, MetricsAddress, Problem, SocketPattern, StopSignal, Symlinks,
};
use nodesockd_core::env_file::EnvFile;
use nodesockd_core::event::{CpuTime, Dying, ExitStatus, Failure, Memory, Queue, Vitals};
use nodesockd_core::frame::Decoder;
use nodesockd_core::history;
use nodesockd_core::id::{ConnId, Peer, Process, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::notice::Notice;
use nodesockd_core::page::Page;
use nodesockd_core::release::{Release, ReleaseLink};
use nodesockd_core::state::{Entry, Leftovers, MigrationStage, Survivor};
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::survey::{Own, Sight, Survey};
use nodesockd_core::wire::{Reply, ToWorker};
use nodesockd_core::{Event, Time};
use rustix::fs::FileType;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::clock;
use crate::dev_server::DevServer;
use crate::error::OpenError;
use crate::files::claims::Claims;
use crate::files::history::HistoryFile;
use crate::files::keeping::Keeping;
use crate::files::listeners::Listeners;
use crate::files::lock::{Lock, Refused};
use crate::files::logs::Logs;
use crate::files::queue::Queues;
use crate::files::release;
use crate::files::release_link;
use crate::files::state_file::StateFile;
use crate::files::sweep;
use crate::files::tmp_dir::TmpDir;
use crate::files::watch::Stir;
use crate::handoff::pause::Pause;
use crate::heap::Heap;
use crate::metrics::server::{MetricsServer, Sources};
use crate::peers::channel;
use crate::peers::channel::Channel;
use crate::peers::ipc;
use crate::peers::ipc::{ControlSocket, IpcFile};
use crate::peers::manager;
use crate::peers::notify;
use crate::peers::outbox::{Outbox, outbox};
use crate::peers::probe_http;
use crate::peers::session::{Fact, LAST_WORDS, Paused, SinkWord, tell};
use crate::processes::cgroup;
use crate::processes::cgroup::Cgroup;
use crate::processes::children;
use crate::processes::command::{self, Purpose, Running};
use crate::processes::core_dumps;
use crate::processes::cpu_time;
use crate::processes::first_signs;
use crate::processes::first_signs::Threads;
use crate::processes::moment::Moment;
use crate::processes::oom_order;
use crate::processes::pidfd::Pidfd;
use crate::processes::servers::{self, Told};
use crate::processes::spawn;
use crate::processes::survivors;
use crate::processes::survivors::{LastLook, Places};
use crate::processes::vitals;
use crate::processes::worker_locks::WorkerLocks;
use crate::signals;
use crate::sink::files::writable;
use crate::sink::keeper::Keeper;

/// By which the kernel ends processes when memory runs out, and others do.
const SIGKILL: i32 = 9;

/// Facts that wait for the supervisor. Those who have more to tell wait, too; the supervisor waits for none of them.
const INBOX: usize = 64;

/// What a backend needs to begin.
pub struct Setup {
    /// The configuration in force.
    pub config: Config,
    /// Reads the configuration again ([`load_config`](nodesockd_core::backend::Backend::load_config)).
    pub load: Box<dyn FnMut() -> Result<Config, Vec<Problem>>>,
    /// The installed program, by the path that a newer version is put at.
    pub program: PathBuf,
}

/// Processes, sockets, links and signals of this machine.
///
/// Lives within a current-thread tokio runtime with I/O and time enabled. One process is meant to have one; several
/// (in tests) keep out of each other's way, except that each gets the daemon's signals.
pub struct Backend {
    load: Box<dyn FnMut() -> Result<Config, Vec<Problem>>>,
    program: PathBuf,
    /// The working directory by its logical name, which may be another folder by now than the one we were put into.
    cwd: PathBuf,
    /// Facts that came while everything was being stopped.
    backlog: VecDeque<Event>,
    /// Conversations that have stopped.
    paused: Vec<Paused>,
    pause: Pause,
    control: ControlSocket,
    inbox: mpsc::Receiver<Fact>,
    facts: mpsc::Sender<Fact>,
    workers: BTreeMap<WorkerId, Worker>,
    clients: BTreeMap<ConnId, Outbox>,
    /// The command of a deploy that was started last.
    command: Option<Running>,
    /// The command of `options.onEvent` that was started last.
    hook: Option<Running>,
    /// The folder of links and sockets.
    sockets: TmpDir,
    queues: Queues,
    state_file: StateFile,
    history: HistoryFile,
    locks: WorkerLocks,
    last_look: LastLook,
    cgroup: Cgroup,
    /// The names that links and sockets may have.
    patterns: Vec<SocketPattern>,
    listeners: Listeners,
    logs: Logs,
    sink: Keeper,
    dev_server: DevServer,
    metrics_server: MetricsServer,
    manager: Option<manager::Line>,
    /// Those that bring signals.
    tasks: Vec<JoinHandle<()>>,
    /// The one that brings connections.
    accepting: Option<JoinHandle<()>>,
    /// The one that tells what somebody else changes in our folders.
    watching: Option<JoinHandle<()>>,
    keeping: Keeping,
    heap: Heap,
    /// `ipcFile`, and the group that may use it.
    ipc: (PathBuf, Option<String>),
    ipc_file: Option<IpcFile>,
    /// Whose the names of links and sockets are.
    claims: Claims,
    /// Last: it is released when everything else is gone.
    lock: Lock,
}

/// A process that has not been collected.
struct Worker {
    pid: Pid,
    process: Process,
    pidfd: Pidfd,
    /// It is a child of this process, not one that an earlier daemon left.
    child: bool,
    /// Its channel, if that was open when this program had hold of it first.
    outbox: Option<Outbox>,
    watch: ExitWatch,
    /// The task that sees its end begin, once there is something to see it by.
    signs: Option<JoinHandle<()>>,
    /// Its `NOTIFY_SOCKET`, if it has one.
    notices: Option<Arc<UnixDatagram>>,
}

/// The task that reports a worker's exit.
struct ExitWatch {
    task: JoinHandle<()>,
    /// When the exit was noticed.
    noticed: Arc<OnceLock<Moment>>,
}

impl Backend {
    /// Takes the lock, binds the control socket, and takes over the process's signals and orphans.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Nothing is left behind then but the lock file.
    pub fn open(setup: Setup) -> Result<Self, OpenError> {
        let config = &setup.config;
        if let Some(log) = &config.log {
            writable(log).map_err(OpenError::Log)?;
        }
        let sockets = open_folders(config)?;
        let lock = take_lock(&config.ipc_file)?;
        let claims = Claims::take(&config.socket_dir, &config.ipc_file, &config.socket_file)?;
        expect_survivors_in(&sockets, config)?;
        let (ipc_file, control) = ipc::open(&config.ipc_file, config.options.ipc_group.as_deref())?;
        Self::assemble(setup, sockets, (lock, claims), Some(ipc_file), control)
    }

    fn assemble(
        setup: Setup,
        sockets: TmpDir,
        (lock, claims): (Lock, Claims),
        ipc_file: Option<IpcFile>,
        control: ControlSocket,
    ) -> Result<Self, OpenError> {
        let Setup { config, load, program } = setup;
        let (facts, inbox) = mpsc::channel(INBOX);
        children::have_own_group();
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| OpenError::System { what: "become a subreaper", error: error.into() })?;
        let mut backend = Self {
            load,
            program,
            cwd: config.cwd.clone(),
            backlog: VecDeque::new(),
            paused: Vec::new(),
            pause: Pause::new(),
            control,
            inbox,
            facts,
            workers: BTreeMap::new(),
            clients: BTreeMap::new(),
            command: None,
            hook: None,
            logs: Logs::new(&config.tmp_dir),
            sink: Keeper::beside(&config.ipc_file),
            sockets,
            patterns: vec![config.socket_file.clone()],
            state_file: StateFile::beside(&config.ipc_file),
            history: HistoryFile::beside(&config.ipc_file),
            locks: WorkerLocks::beside(&config.ipc_file),
            last_look: LastLook::default(),
            cgroup: Cgroup::own(),
            queues: Queues::new(),
            listeners: Listeners::default(),
            dev_server: DevServer::default(),
            metrics_server: MetricsServer::default(),
            manager: manager::Line::open(),
            tasks: Vec::new(),
            accepting: None,
            watching: None,
            keeping: Keeping::of(&config),
            heap: Heap::default(),
            ipc: (config.ipc_file.clone(), config.options.ipc_group.clone()),
            ipc_file,
            claims,
            lock,
        };
        backend.watch_folders();
        let heard = backend.start_hearing();
        heard.map_err(|error| OpenError::System { what: "install signal handlers", error })?;
        Ok(backend)
    }

    /// Hears signals and new clients from now on.
    fn start_hearing(&mut self) -> io::Result<()> {
        self.pause.reset();
        self.tasks = signals::watch(&self.facts, &self.pause)?;
        self.start_accepting();
        self.start_watching();
        let sources = self.sources();
        self.metrics_server.go_on(sources);
        match core_dumps::watch(self.facts.clone(), self.pause.token()) {
            Ok(watch) => self.tasks.push(tokio::spawn(watch)),
            Err(error) => tracing::debug!("core dumps are noticed late, when they are complete: {error}"),
        }
        signals::release();
        Ok(())
    }

    /// Serves clients of the control socket from now on.
    fn start_accepting(&mut self) {
        let serve = ipc::serve(self.control.clone(), self.facts.clone(), self.pause.token());
        if let Some(before) = self.accepting.replace(tokio::spawn(serve)) {
            before.abort();
        }
    }

    /// Tells what somebody else changes in the folders, from now on.
    fn start_watching(&mut self) {
        let watch = self.keeping.watched();
        let serve = watch.map(|watch| watch.serve(self.facts.clone(), self.pause.token()));
        if let Some(before) = std::mem::replace(&mut self.watching, serve.map(tokio::spawn)) {
            before.abort();
        }
    }

    /// Watches the folders as they are by now.
    fn watch_folders(&mut self) {
        if let Err(failure) = self.keeping.watch(self.metrics_server.socket()) {
            self.backlog.push_back(Event::Unwatched { failure });
        }
    }

    /// What is found where somebody has changed something.
    fn stirred(&mut self, stir: &Stir) -> Survey {
        if stir.all {
            self.watch_folders();
            self.start_watching();
            return self.look_at_all();
        }
        let entries = self.keeping.look_at(stir, &mut self.sockets);
        let lost = if stir.names.is_empty() { BTreeMap::new() } else { self.lost() };
        Survey { entries, complete: false, lost }
    }

    fn look_at_all(&mut self) -> Survey {
        let entries = self.keeping.entries(&mut self.sockets);
        Survey { entries, complete: true, lost: self.lost() }
    }

    /// What of the daemon's own is missing.
    fn lost(&self) -> BTreeMap<Own, PathBuf> {
        let (ipc_file, _) = &self.ipc;
        let socket = self.ipc_file.as_ref().is_none_or(IpcFile::is_lost);
        let socket = socket.then(|| (Own::ControlSocket, ipc_file.clone()));
        let lock = self.lock.is_lost().then(|| self.lock.path().to_owned()).or_else(|| self.claims.lost());
        let lock = lock.map(|path| (Own::Lock, path));
        let metrics = self.metrics_server.lost().map(|path| (Own::MetricsSocket, path.to_owned()));
        let state = self.state_file.lost().map(|path| (Own::State, path));
        let all = [self.keeping.missing_folder(), lock, socket, metrics, state];
        all.into_iter().flatten().collect()
    }

    /// Notices when somebody removes the socket of metrics, wherever it is.
    fn watch_metrics(&mut self) {
        if self.metrics_server.socket().is_some_and(|socket| !self.keeping.covers(socket)) {
            self.watch_anew();
        }
    }

    /// Watches the folders from now on, and tells what is there: news that came just before are lost.
    fn watch_anew(&mut self) {
        self.watch_folders();
        self.start_watching();
        let survey = self.look_at_all();
        self.backlog.push_back(Event::Surveyed(survey));
    }

    fn make_control_socket(&mut self) -> Result<(), Failure> {
        if self.ipc_file.as_ref().is_some_and(|file| !file.is_lost()) {
            return Ok(());
        }
        // First: it would remove the new file if that got the number of the old one.
        self.ipc_file = None;
        let (path, group) = &self.ipc;
        let opened = ipc::open_again(path, group.as_deref(), &self.control);
        let (file, control) = opened.map_err(|error| Failure(error.to_string()))?;
        (self.ipc_file, self.control) = (Some(file), control);
        self.start_accepting();
        Ok(())
    }

    /// Hears what a worker sends to its `NOTIFY_SOCKET`, if it has one.
    fn hear_notices(&self, id: WorkerId) {
        if let Some(Worker { pid, notices: Some(socket), .. }) = self.workers.get(&id) {
            let (facts, token) = (self.facts.clone(), self.pause.token());
            tokio::spawn(notify::serve(id, *pid, Arc::clone(socket), facts, token));
        }
    }

    /// Who is asked for metrics.
    fn sources(&self) -> Sources {
        Sources { control: self.control.clone(), facts: self.facts.clone(), token: self.pause.token() }
    }

    /// The port the dev server listens on, if it does: the real one, where port 0 was asked for.
    #[must_use]
    pub fn dev_port(&self) -> Option<u16> {
        self.dev_server.port()
    }

    /// Ends everything but workers: removes the control socket, delivers the replies that wait (to clients that read
    /// them within two seconds), closes the connections and gives the lock back. The lock file stays.
    ///
    /// To be called when the driver has quit; without it, connections are cut.
    pub async fn close(&mut self) {
        self.ipc_file = None;
        let others = self.accepting.take().into_iter().chain(self.watching.take());
        for task in self.tasks.drain(..).chain(others) {
            task.abort();
        }
        let deadline = Instant::now() + LAST_WORDS;
        let clients = std::mem::take(&mut self.clients);
        clients.values().for_each(Outbox::close);
        for client in clients.values() {
            let _ = timeout_at(deadline, client.ended()).await;
        }
        let _ = self.dev_server.serve(None, Vec::new()).await;
        self.metrics_server.stop();
        self.finish_output(deadline).await;
        let _ = std::fs::remove_file(Companion::Migration.path(&self.ipc.0));
        let _ = std::fs::remove_file(Companion::Hook.path(&self.ipc.0));
        if let Some(manager) = self.manager.take() {
            manager.close().await;
        }
        self.claims.release();
        self.lock.release();
    }

    /// Has the sink pass on what workers wrote: where the daemon is the first process of a container, nobody outlives it.
    async fn finish_output(&mut self, deadline: Instant) {
        if !self.sink.finish() {
            return;
        }
        while let Ok(Some(fact)) = timeout_at(deadline, self.inbox.recv()).await {
            if matches!(&fact, Fact::Sink(SinkWord(word)) if word.is_last()) {
                return;
            }
        }
    }

    /// Removes a name from the folder of links and sockets.
    fn take_away(&mut self, name: &str, kind: FileType) -> Result<(), Failure> {
        if self.sockets.remove(name, kind)? {
            self.keeping.did(name, Sight::Nothing);
        }
        Ok(())
    }

    /// The worker, if its process is still this one.
    fn worker(&self, id: WorkerId, process: Process) -> Option<&Worker> {
        self.workers.get(&id).filter(|worker| worker.process == process)
    }

    /// Reports the exit of a worker's process.
    fn report_exit(&self, worker: WorkerId, pidfd: &Pidfd) -> ExitWatch {
        let (pidfd, facts, noticed) = (pidfd.clone(), self.facts.clone(), Arc::new(OnceLock::new()));
        let moment = Arc::clone(&noticed);
        let task = tokio::spawn(async move {
            let status = pidfd.exited().await;
            let _ = moment.set(Moment::now());
            tell(&facts, || Fact::Event(Event::Exited { worker, status })).await;
        });
        ExitWatch { task, noticed }
    }

    /// Looks out for the beginning of a worker's end. While it boots it may have no thread yet to see that by, so this is
    /// called whenever something is heard of it.
    fn expect_first_signs(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.signs.is_none()) else { return };
        let Some(threads) = Threads::of(worker.pid) else { return };
        let (noticed, facts) = (Arc::clone(&worker.watch.noticed), self.facts.clone());
        worker.signs = Some(tokio::spawn(async move {
            if threads.process_goes().await {
                first_signs::report(id, Dying::GivesBackMemory, noticed, facts).await;
            }
        }));
    }

    /// Reports a core dump, if it is a worker's.
    fn dumps_core(&self, pid: u32) {
        let found = self.workers.iter().find(|(_, worker)| worker.process.pid == pid);
        if let Some((id, worker)) = found {
            let (noticed, facts) = (Arc::clone(&worker.watch.noticed), self.facts.clone());
            tokio::spawn(first_signs::report(*id, Dying::DumpsCore, noticed, facts));
        }
    }

    /// Watches a process that is no child of ours.
    fn take_hold(&mut self, id: WorkerId, process: Process) -> io::Result<()> {
        let (pid, pidfd) = survivors::open(process)?;
        let watch = self.report_exit(id, &pidfd);
        let worker =
            Worker { pid, process, pidfd, child: false, outbox: None, watch, signs: None, notices: None };
        self.workers.insert(id, worker);
        self.expect_first_signs(id);
        Ok(())
    }

    /// What of a fact is the supervisor's business.
    fn take_in(&mut self, fact: Fact) -> Option<Event> {
        match fact {
            Fact::Connected(conn, outbox) => {
                self.clients.insert(conn, outbox);
                None
            }
            Fact::Stirred(stir) => {
                let survey = self.stirred(&stir);
                (!survey.is_empty()).then_some(Event::Surveyed(survey))
            }
            Fact::DumpsCore { pid } => {
                self.dumps_core(pid);
                None
            }
            Fact::Sink(SinkWord(word)) => self.sink.hear(word),
            Fact::Paused(paused) => {
                self.paused.push(paused);
                None
            }
            Fact::Claimed { conn, pid, claims, message } => {
                // Those who have said who they are are known by their connection.
                let pid = pid.filter(|_| claims.is_some());
                let caller = pid.and_then(|pid| survivors::caller(pid, &self.sockets, &self.patterns));
                Some(Event::Claimed { conn, caller, claims, message })
            }
            Fact::Event(Event::Exited { worker, status: ExitStatus::Signal(SIGKILL) })
                if self.cgroup.has_lost_one() =>
            {
                let status = ExitStatus::OutOfMemory { limit: self.cgroup.limit() };
                Some(Event::Exited { worker, status })
            }
            Fact::Event(event) => {
                if let Event::Received { worker, .. } | Event::Notified { worker } = &event {
                    self.expect_first_signs(*worker);
                }
                if let Event::Disconnected { conn } = &event
                    && let Some(outbox) = self.clients.remove(conn)
                {
                    outbox.close();
                }
                if matches!(&event, Event::CommandEnded { .. }) {
                    self.command = None;
                }
                if matches!(&event, Event::HookEnded { .. }) {
                    self.hook = None;
                }
                Some(event)
            }
        }
    }
}

/// The lock of the daemon whose control socket is `ipc_file`.
fn take_lock(ipc_file: &Path) -> Result<Lock, OpenError> {
    let file = Companion::Lock.path(ipc_file);
    Lock::acquire(&file, ipc_file).map_err(|refused| match refused {
        Refused::Held(holder) => OpenError::Locked { pid: holder.map(|holder| holder.pid), file },
        Refused::Unusable(reason) => OpenError::Lock { file, reason },
    })
}

/// The folder of links and sockets, if that and `tmpDir` can be trusted.
fn open_folders(config: &Config) -> Result<TmpDir, OpenError> {
    let open = |path: &PathBuf| {
        TmpDir::open(path).map_err(|reason| OpenError::TmpDir { path: path.clone(), reason })
    };
    let tmp_dir = open(&config.tmp_dir)?;
    config.separate_socket_dir().map_or(Ok(tmp_dir), |path| open(&path))
}

/// Workers that an earlier daemon left are reached through links in the folder that it used. Those of another folder
/// would lead nowhere.
fn expect_survivors_in(sockets: &TmpDir, config: &Config) -> Result<(), OpenError> {
    let Some(state) = StateFile::beside(&config.ipc_file).read() else { return Ok(()) };
    let from = state.socket_dir.clone().unwrap_or_else(|| config.tmp_dir.clone());
    if from == config.socket_dir {
        return Ok(());
    }
    let locks = WorkerLocks::beside(&config.ipc_file);
    let places = Places { ipc_file: &config.ipc_file, sockets, socket_file: &config.socket_file };
    let survivors = survivors::find(&places, Some(&state), &locks);
    let pids: Vec<u32> = survivors.iter().map(|survivor| survivor.process.pid).collect();
    if pids.is_empty() { Ok(()) } else { Err(OpenError::Moved { from, to: config.socket_dir.clone(), pids }) }
}

impl Drop for Backend {
    fn drop(&mut self) {
        for task in self.tasks.iter().chain(&self.accepting).chain(&self.watching) {
            task.abort();
        }
    }
}

impl nodesockd_core::backend::Backend for Backend {
    fn now(&self) -> Time {
        clock::now()
    }

    fn find_leftovers(&mut self, config: &Config) -> Leftovers {
        let state = self.state_file.read();
        let places =
            Places { ipc_file: &config.ipc_file, sockets: &self.sockets, socket_file: &config.socket_file };
        let mut survivors = survivors::find(&places, state.as_ref(), &self.locks);
        survivors.retain(|Survivor { id, process }| match self.take_hold(*id, *process) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!("worker {} is gone: {error}", id.short());
                false
            }
        });
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
            spawn::start(order, &self.listeners, (&mut self.sink, &mut self.logs), &mut self.locks)
                .inspect_err(|_| self.locks.release(worker))?;
        oom_order::expose(pid);
        let (outbox, outgoing) = outbox(Vec::new());
        let channel =
            Channel { worker, stream: channel, decoder: Decoder::new(), outbox: outbox.clone(), outgoing };
        tokio::spawn(channel::serve(channel, self.facts.clone(), self.pause.token()));
        let watch = self.report_exit(worker, &pidfd);
        let (outbox, notices) = (Some(outbox), notices.map(Arc::new));
        self.workers
            .insert(worker, Worker { pid, process, pidfd, child: true, outbox, watch, signs: None, notices });
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
        if self.take_hold(worker, process).is_err() {
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
        let Some(own) = self.worker(worker, process) else { return Vec::new() };
        let (pidfd, signal) = (own.pidfd.clone(), servers::number(signal));
        let inode = socket.map(|socket| self.queues.inode(socket, &self.sockets.path(socket)));
        let told = match inode {
            None => Told::Nobody { own: true },
            Some(None) => Told::Nobody { own: false },
            Some(Some(inode)) => servers::terminate(worker, process, inode, signal),
        };
        let told = match told {
            Told::Servers(told) => told,
            Told::Nobody { own } => {
                if own || !again {
                    pidfd.signal(signal);
                }
                return Vec::new();
            }
        };
        let (servers, ends): (Vec<Process>, Vec<Pidfd>) = told.into_iter().unzip();
        let facts = self.facts.clone();
        tokio::spawn(async move {
            for end in ends {
                end.gone().await;
            }
            let _ = facts.send(Fact::Event(Event::ServersEnded { worker })).await;
        });
        servers
    }

    fn signal(&mut self, worker: WorkerId, process: Process, signal: WorkerSignal) {
        let Some(found) = self.worker(worker, process) else { return };
        match signal {
            WorkerSignal::Terminate => found.pidfd.signal(Signal::TERM),
            WorkerSignal::KillGroup => {
                // One that is no child of ours may be collected at any time; a child's number is its own until we do.
                if !found.child {
                    found.pidfd.signal(Signal::KILL);
                    self.last_look.kill_left_behind(worker, None, &self.locks);
                } else if let Err(error) = kill_process_group(found.pid, Signal::KILL) {
                    tracing::warn!("cannot kill the process group of worker {}: {error}", worker.short());
                }
            }
        }
    }

    fn examine(&mut self, worker: WorkerId, process: Process) -> Result<Vitals, Failure> {
        let found = self.worker(worker, process).ok_or_else(|| Failure("the process is gone".into()))?;
        vitals::of(found.pid, process)
    }

    async fn reap(&mut self, worker: WorkerId, process: Process) {
        let Some(found) = self.worker(worker, process) else { return };
        let exited = found.watch.noticed.get().copied();
        if found.child {
            children::kill_left_behind(worker, found.pid, exited).await;
        } else {
            self.last_look.kill_left_behind(worker, exited, &self.locks);
        }
        self.locks.release(worker);
        self.heap.has_changed();
        if let Some(found) = self.workers.remove(&worker) {
            {
                let mut workers = children::workers();
                found.pidfd.collect();
                workers.remove(&found.pid);
            }
            children::collect_orphans();
            found.watch.task.abort();
            found.signs.iter().for_each(JoinHandle::abort);
            // Whoever else still holds the other end is none of the worker's any more.
            if let Some(outbox) = &found.outbox {
                outbox.close();
            }
        }
    }

    fn mark_serving(&mut self, worker: WorkerId, process: Process) {
        if let Some(found) = self.worker(worker, process) {
            oom_order::protect(found.pid);
        }
    }

    fn measure_memory(&mut self, worker: WorkerId, process: Process) -> Result<Memory, Failure> {
        let resident = self.worker(worker, process).and_then(|found| cgroup::resident(found.pid));
        let memory = resident.zip(self.cgroup.room()).map(|(resident, room)| Memory { resident, room });
        memory.ok_or_else(|| Failure("/proc does not tell".to_owned()))
    }

    fn publish(&mut self, link: &str, socket: &str, symlinks: Symlinks) -> Result<(), Failure> {
        self.sockets.publish(link, socket, symlinks)?;
        self.keeping.did(link, Sight::Link(socket.to_owned()));
        self.dev_server.published();
        self.queues.observe(socket, &self.sockets.path(socket));
        Ok(())
    }

    fn withdraw(&mut self, link: &str) -> Result<(), Failure> {
        self.take_away(link, FileType::Symlink)
    }

    fn measure_queue(&mut self, worker: WorkerId, socket: &str) -> Queue {
        self.expect_first_signs(worker);
        let holder = self.workers.get(&worker).map(|worker| worker.process.pid);
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
        let file = Companion::Migration.path(&self.ipc.0);
        let command = Running::start(order, &file)?;
        tokio::spawn(command.follow(&file, self.facts.clone()));
        Ok(self.command.insert(command).process())
    }

    fn watch_command(&mut self, process: Process) {
        let Some(command) = Running::adopt(Purpose::Deploy, process) else {
            return self.backlog.push_back(Event::CommandEnded { process, status: ExitStatus::Unknown });
        };
        let file = Companion::Migration.path(&self.ipc.0);
        tokio::spawn(command.follow(&file, self.facts.clone()));
        self.command = Some(command);
    }

    fn signal_command(&mut self, process: Process, signal: CommandSignal) {
        if let Some(command) = self.command.as_ref().filter(|command| command.process() == process) {
            command.signal(signal);
        }
    }

    fn run_hook(&mut self, order: &HookOrder) -> Result<Process, Failure> {
        let file = Companion::Hook.path(&self.ipc.0);
        let hook = Running::start_hook(order, &file)?;
        tokio::spawn(hook.follow(&file, self.facts.clone()));
        Ok(self.hook.insert(hook).process())
    }

    fn watch_hook(&mut self, process: Process) {
        let Some(hook) = Running::adopt(Purpose::Hook, process) else {
            return self.backlog.push_back(Event::HookEnded { process, status: ExitStatus::Unknown });
        };
        tokio::spawn(hook.follow(&Companion::Hook.path(&self.ipc.0), self.facts.clone()));
        self.hook = Some(hook);
    }

    fn kill_hook(&mut self, process: Process) {
        if let Some(hook) = self.hook.as_ref().filter(|hook| hook.process() == process) {
            hook.signal(CommandSignal::Kill);
        }
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
                    self.lock = take_lock(&self.ipc.0).map_err(|error| Failure(error.to_string()))?;
                }
                self.claims.restore()
            }
            Own::ControlSocket => self.make_control_socket(),
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
        self.expect_first_signs(worker);
        let (socket, path, facts) = (self.sockets.path(socket), path.to_owned(), self.facts.clone());
        tokio::spawn(async move {
            let result = probe_http::get(&socket, &path).await;
            let _ = facts.send(Fact::Event(Event::Probed { worker, result })).await;
        });
    }

    fn tell(&mut self, worker: WorkerId, over: Option<ConnId>, message: &ToWorker) {
        let outbox = match over {
            Some(conn) => self.clients.get(&conn),
            None => self.workers.get(&worker).and_then(|worker| worker.outbox.as_ref()),
        };
        if let Some(outbox) = outbox {
            outbox.push(&message.encode());
        }
    }

    fn reply(&mut self, to: &RequestRef, reply: &Reply) {
        let outbox = match to.peer {
            Peer::Client(conn) => self.clients.get(&conn),
            Peer::Worker(worker) => self.workers.get(&worker).and_then(|worker| worker.outbox.as_ref()),
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
