//! A backend, and what is outside of it.

use std::path::PathBuf;
use std::time::Duration;

use nodesockd_core::Event;
use nodesockd_core::action::{CommandOrder, Route, SpawnOrder};
use nodesockd_core::backend::Backend;
use nodesockd_core::config::{Output, Ready, SocketPattern};
use nodesockd_core::event::ExitStatus;
use nodesockd_core::id::{BootId, Ids, Process, WorkerId};
use nodesockd_core::survey::Sight;
use nodesockd_core::wire::FromWorker;
use nodesockd_sim::Left;

/// How long a test waits for an event before it fails.
const EVENT_LIMIT: Duration = Duration::from_secs(60);

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Listens, reports online, answers requests, exits with 0 when told to shut down. Accepts no connection.
    Serves,
    /// The same, but takes no notice of SIGTERM.
    IgnoresSigterm,
    /// The same, and soon reports broken, and then exits with 3.
    Breaks,
    /// Closes its channel before it reports, and lives on.
    ClosesChannel,
    /// Serves as the first one; but its own process is a wrapper, which does not pass SIGTERM on, and lives on when the server has
    /// ended.
    Wrapped,
    /// Exits with this status.
    Exits(i32),
    /// Is killed by this signal, which is not ours.
    DiesOf(i32),
    /// Cannot be started.
    Missing,
}

/// What a command of a deploy does; it writes `half of it is done` on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Exits with 0.
    Succeeds,
    /// Exits with 1.
    Fails,
    /// Takes ten minutes, and heeds SIGTERM.
    TakesLong,
}

/// Whether a worker counts what it does, and which process id it says, is no part of the contract.
fn without_counts(mut fact: Event) -> Event {
    if let Event::Received { message: FromWorker::Online { pid, counts, .. }, .. } = &mut fact {
        (*pid, *counts) = (None, None);
    }
    fact
}

/// One backend with a `tmpDir` of its own.
pub trait Stage {
    type Backend: Backend;

    fn backend(&mut self) -> &mut Self::Backend;
    /// Names of workers.
    fn ids(&mut self) -> &mut Ids;
    /// The program that plays a part, and where it runs. What is told here goes for the worker that is spawned next.
    fn casts(&mut self, part: Part) -> (Vec<String>, PathBuf);
    /// The command, for the shell, that does this.
    fn command(&self, errand: Errand) -> String;
    /// Somebody else puts a file into `tmpDir`, takes one out of it, looks.
    fn put(&mut self, name: &str, left: Left<'_>);
    fn take(&mut self, name: &str);
    fn holds(&mut self, name: &str) -> bool;
    fn target(&mut self, link: &str) -> Option<String>;
    /// What a link says that is an absolute one.
    fn absolute(&self, socket: &str) -> String;
    /// nginx connects.
    fn connect(&mut self, link: &str) -> bool;

    fn worker(&mut self) -> WorkerId {
        self.ids().worker()
    }

    fn order(&mut self, part: Part, suspended: bool) -> SpawnOrder {
        let worker = self.worker();
        let (argv, cwd) = self.casts(part);
        let socket = cwd.join(pattern().socket(worker));
        let set = [
            ("NODESOCKD_WORKER_ID", worker.to_string()),
            ("NODESOCKD_SUSPENDED", if suspended { "true".into() } else { String::new() }),
            ("NODESOCKD_SOCKET_PATH", socket.to_string_lossy().into_owned()),
        ];
        SpawnOrder {
            worker,
            argv,
            cwd,
            pass: vec!["PATH".into()],
            set: Vec::new(),
            env_files: Vec::new(),
            overrides: set.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            stdout: Route::Straight(Output::Inherit),
            stderr: Route::Straight(Output::Inherit),
            listeners: Vec::new(),
            ready: Ready::Report,
        }
    }

    /// A command that runs.
    fn run(&mut self, errand: Errand) -> Process {
        let (_, cwd) = self.casts(Part::Serves);
        let order = CommandOrder {
            command: self.command(errand),
            cwd,
            pass: vec!["PATH".into()],
            set: Vec::new(),
            env_files: Vec::new(),
            overrides: Vec::new(),
        };
        self.backend().run_command(&order).expect("a process")
    }

    /// All facts about a command up to its end.
    async fn course(&mut self, command: Process) -> Vec<Event> {
        self.until(|event| matches!(event, Event::CommandEnded { process, .. } if *process == command)).await
    }

    fn spawn(&mut self, part: Part) -> (WorkerId, Process) {
        let order = self.order(part, false);
        let process = self.backend().spawn(&order).expect("a process");
        (order.worker, process)
    }

    /// A worker that has reported online.
    async fn online(&mut self, part: Part) -> (WorkerId, Process) {
        let (worker, process) = self.spawn(part);
        let online = Event::Received {
            worker,
            message: FromWorker::Online {
                pid: None,
                suspended: false,
                heartbeat: true,
                leads: Some(false),
                counts: None,
            },
        };
        self.until(|event| *event == online).await;
        (worker, process)
    }

    /// The next fact, but for those that depend on the machine: how long a process takes to die, and that a socket has come.
    async fn next(&mut self) -> Event {
        let deadline = self.backend().now() + EVENT_LIMIT;
        loop {
            let fact =
                self.backend().next(Some(deadline)).await.expect("what was waited for has not happened");
            if !matches!(fact, Event::Dying { .. }) && !tells_of_a_socket(&fact) {
                return without_counts(fact);
            }
        }
    }

    /// All facts up to the one that is waited for.
    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut facts = Vec::new();
        while !facts.last().is_some_and(&wanted) {
            facts.push(self.next().await);
        }
        facts
    }

    /// All facts about a worker up to its end: it exits, and its channel is closed.
    async fn life(&mut self, worker: WorkerId) -> Vec<Event> {
        let mut facts = Vec::new();
        let (mut exited, mut closed) = (false, false);
        while !exited || !closed {
            let fact = self.next().await;
            exited |= matches!(fact, Event::Exited { worker: its, .. } if its == worker);
            closed |= fact == Event::ChannelClosed { worker };
            facts.extend(Some(fact).filter(|fact| about(fact) == Some(worker)));
        }
        facts
    }

    /// How a worker ends; it is collected then.
    async fn end(&mut self, worker: WorkerId, process: Process) -> ExitStatus {
        let life = self.life(worker).await;
        self.backend().reap(worker, process).await;
        let status = life
            .iter()
            .find_map(|fact| if let Event::Exited { status, .. } = fact { Some(*status) } else { None });
        status.expect("it has exited")
    }
}

/// A socket has come, and nothing has gone.
fn tells_of_a_socket(fact: &Event) -> bool {
    let Event::Surveyed(survey) = fact else { return false };
    let all = !survey.entries.is_empty() && survey.entries.values().all(|sight| *sight == Sight::Socket);
    all && !survey.complete && survey.lost.is_empty()
}

pub fn pattern() -> SocketPattern {
    SocketPattern::parse("app.{worker}.sock").expect("a pattern")
}

pub fn ids() -> Ids {
    Ids::new(BootId(u128::from(std::process::id()) << 64 | u128::from(serial())))
}

/// Different for each stage of this process.
fn serial() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The worker that a fact is about.
pub fn about(event: &Event) -> Option<WorkerId> {
    if let Event::Exited { worker, .. } | Event::Received { worker, .. } | Event::ChannelClosed { worker } =
        event
    {
        Some(*worker)
    } else {
        None
    }
}
