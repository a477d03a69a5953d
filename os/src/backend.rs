//! The backend: how it begins and ends, and which facts it takes in. What the core's trait asks for is in `calls`.

mod calls;
mod commands;
mod control;
mod places;
mod succession;
mod workers;

pub use succession::{could_take_over, start_over};

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use nodesockd_core::Event;
use nodesockd_core::config::{Config, Problem, SocketPattern};
use nodesockd_core::event::{ExitStatus, Failure};
use nodesockd_core::id::{ConnId, WorkerId};
use nodesockd_core::survey::{Own, Sight, Survey};
use rustix::fs::FileType;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::dev_server::DevServer;
use crate::error::OpenError;
use crate::files::claims::Claims;
use crate::files::history::HistoryFile;
use crate::files::keeping::Keeping;
use crate::files::listeners::Listeners;
use crate::files::lock::Lock;
use crate::files::logs::Logs;
use crate::files::queue::Queues;
use crate::files::state_file::StateFile;
use crate::files::tmp_dir::TmpDir;
use crate::files::watch::Stir;
use crate::handoff::pause::Pause;
use crate::heap::Heap;
use crate::metrics::server::{MetricsServer, Sources};
use crate::peers::manager;
use crate::peers::notify;
use crate::peers::outbox::Outbox;
use crate::peers::session::{Fact, LAST_WORDS, Paused, SinkWord};
use crate::processes::cgroup::Cgroup;
use crate::processes::children;
use crate::processes::command::Purpose;
use crate::processes::core_dumps;
use crate::processes::survivors;
use crate::signals;
use crate::sink::files::writable;
use crate::sink::keeper::Keeper;
use commands::Commands;
use control::Control;
use workers::{Worker, Workers};

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
    control: Control,
    inbox: mpsc::Receiver<Fact>,
    facts: mpsc::Sender<Fact>,
    workers: Workers,
    clients: BTreeMap<ConnId, Outbox>,
    commands: Commands,
    /// The folder of links and sockets.
    sockets: TmpDir,
    queues: Queues,
    state_file: StateFile,
    history: HistoryFile,
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
    /// The one that tells what somebody else changes in our folders.
    watching: Option<JoinHandle<()>>,
    keeping: Keeping,
    heap: Heap,
    /// Whose the names of links and sockets are.
    claims: Claims,
    /// Last: it is released when everything else is gone.
    lock: Lock,
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
        let sockets = places::open_folders(config)?;
        let lock = places::take_lock(&config.ipc_file)?;
        let claims = Claims::take(&config.socket_dir, &config.ipc_file, &config.socket_file)?;
        places::expect_survivors_in(&sockets, config)?;
        let control = Control::open(config)?;
        Self::assemble(setup, sockets, (lock, claims), control)
    }

    fn assemble(
        setup: Setup,
        sockets: TmpDir,
        (lock, claims): (Lock, Claims),
        control: Control,
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
            workers: Workers::new(&config.ipc_file, facts.clone()),
            commands: Commands::beside(&config.ipc_file, facts.clone()),
            facts,
            clients: BTreeMap::new(),
            logs: Logs::new(&config.tmp_dir),
            sink: Keeper::beside(&config.ipc_file),
            sockets,
            patterns: vec![config.socket_file.clone()],
            state_file: StateFile::beside(&config.ipc_file),
            history: HistoryFile::beside(&config.ipc_file),
            cgroup: Cgroup::own(),
            queues: Queues::new(),
            listeners: Listeners::default(),
            dev_server: DevServer::default(),
            metrics_server: MetricsServer::default(),
            manager: manager::Line::open(),
            tasks: Vec::new(),
            watching: None,
            keeping: Keeping::of(&config),
            heap: Heap::default(),
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
        self.control.serve(&self.facts, &self.pause);
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
        let socket = self.control.lost().map(|path| (Own::ControlSocket, path.to_owned()));
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

    /// Hears what a worker sends to its `NOTIFY_SOCKET`, if it has one.
    fn hear_notices(&self, id: WorkerId) {
        if let Some(Worker { pid, notices: Some(socket), .. }) = self.workers.get(id) {
            let (facts, token) = (self.facts.clone(), self.pause.token());
            tokio::spawn(notify::serve(id, *pid, Arc::clone(socket), facts, token));
        }
    }

    /// Who is asked for metrics.
    fn sources(&self) -> Sources {
        Sources {
            control: self.control.socket().clone(),
            facts: self.facts.clone(),
            token: self.pause.token(),
        }
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
        self.control.close();
        for task in self.tasks.drain(..).chain(self.watching.take()) {
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
        self.commands.remove_files();
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
                self.workers.dumps_core(pid);
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
                    self.workers.expect_first_signs(*worker);
                }
                if let Event::Disconnected { conn } = &event
                    && let Some(outbox) = self.clients.remove(conn)
                {
                    outbox.close();
                }
                if matches!(&event, Event::CommandEnded { .. }) {
                    self.commands.ended(Purpose::Deploy);
                }
                if matches!(&event, Event::HookEnded { .. }) {
                    self.commands.ended(Purpose::Hook);
                }
                Some(event)
            }
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        for task in self.tasks.iter().chain(&self.watching) {
            task.abort();
        }
    }
}
