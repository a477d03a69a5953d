//! The daemon: real sessions, the real loop and the real supervisor; played workers.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::action::{CommandOrder, CommandSignal, HookOrder, SpawnOrder, WorkerSignal};
use nodesockd_core::backend::Backend;
use nodesockd_core::config::{
    Config, DevAddress, Env, Health, Limits, Log, MetricsAddress, Options, Problem, Program, SocketPattern,
    StopSignal, Symlinks,
};
use nodesockd_core::driver::{Driver, Step};
use nodesockd_core::env_file::EnvFile;
use nodesockd_core::event::{CpuTime, ExitStatus, Failure, Memory, Queue, Vitals};
use nodesockd_core::history;
use nodesockd_core::id::{BootId, ConnId, Peer, Process, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::notice::Notice;
use nodesockd_core::page::Page;
use nodesockd_core::release::{Release, ReleaseLink};
use nodesockd_core::state::{Entry, Leftovers};
use nodesockd_core::supervisor::{Daemon, Handoff, Terminal};
use nodesockd_core::survey::{Own, Survey};
use nodesockd_core::wire::{FromWorker, Json, Reply, Request, ToWorker};
use nodesockd_core::{Event, Supervisor, Time};
use nodesockd_os::outbox::Outbox;
use nodesockd_os::session::{self, Fact};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};
use turmoil::net::TcpListener;

use crate::choppy::Choppy;
use crate::sim_network::{PORT, Trace};

/// Runs until it is told to terminate.
pub async fn run(trace: Trace, most: u64, seed: u64) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let (facts, inbox) = mpsc::channel(64);
    let record = trace.clone();
    spawn_local(async move {
        let mut connections = 0;
        while let Ok((stream, _)) = listener.accept().await {
            connections += 1;
            let name = format!("daemon hears c{connections}");
            let stream = Choppy::new(stream, most, seed ^ connections, name, record.clone());
            spawn_local(session::serve(stream, ConnId(connections), None, facts.clone()));
        }
    });
    let crew =
        Crew { begun: Instant::now(), inbox, soon: VecDeque::new(), clients: BTreeMap::new(), pids: 0 };
    let daemon = Daemon {
        version: "3.0.0".into(),
        pid: 1,
        boot: BootId(1),
        manager: None,
        release: None,
        stderr: Terminal::Yes,
    };
    let mut driver = Driver::new(Supervisor::new(config(), daemon, crew.now()), crew);
    loop {
        let step = driver.step().await;
        driver.supervisor().check().map_err(|violation| violation.to_string())?;
        match step {
            Step::Heard(event) => tell(&trace, &event),
            Step::Quit => break,
            Step::Performed(_) | Step::TimedOut => {}
        }
    }
    trace.tell("daemon", "has quit");
    let clients = std::mem::take(&mut driver.backend().clients);
    clients.values().for_each(Outbox::close);
    for client in clients.values() {
        let _ = timeout(Duration::from_secs(2), client.ended()).await;
    }
    Ok(())
}

/// What the supervisor hears from and about clients.
fn tell(trace: &Trace, event: &Event) {
    if let Event::Requested { from: RequestRef { peer: Peer::Client(conn), .. }, request, .. } = event {
        let what = if let Request::SendRequest { request, .. } = request {
            request.clone()
        } else {
            format!("{request:?}")
        };
        trace.tell("daemon", format_args!("{conn} asks: {what}"));
    } else if let Event::Disconnected { conn } = event {
        trace.tell("daemon", format_args!("{conn} is gone"));
    }
}

fn config() -> Config {
    let folder = PathBuf::from("/run/app");
    Config {
        files: Vec::new(),
        cwd: folder.clone(),
        name: "app".into(),
        program: Program::Command(vec!["app".into()]),
        ipc_file: folder.join("nodesockd.ipc"),
        socket_dir: folder.clone(),
        tmp_dir: folder,
        socket_file: SocketPattern::parse("app.{worker}.sock").expect("a pattern"),
        workers: NonZeroU32::new(3).expect("not 0"),
        slots: None,
        standby: 1,
        env: Env::default(),
        env_files: Vec::new(),
        dev_server: None,
        metrics: None,
        debug: false,
        limits: Limits::default(),
        log: None,
        health: Health::default(),
        options: Options::default(),
    }
}

/// Workers that do what they are told at once; nothing fails.
struct Crew {
    begun: Instant,
    inbox: mpsc::Receiver<Fact>,
    /// Facts about workers.
    soon: VecDeque<Event>,
    clients: BTreeMap<ConnId, Outbox>,
    pids: u32,
}

impl Backend for Crew {
    fn now(&self) -> Time {
        Time::ZERO + self.begun.elapsed()
    }

    fn find_leftovers(&mut self, _config: &Config) -> Leftovers {
        Leftovers::default()
    }

    fn spawn(&mut self, order: &SpawnOrder) -> Result<Process, Failure> {
        self.pids += 1;
        let suspended = order.set.contains(&("NODESOCKD_SUSPENDED".into(), "true".into()));
        self.soon.push_back(Event::Received { worker: order.worker, message: FromWorker::online(suspended) });
        Ok(Process { pid: 100 + self.pids, started: self.pids.into() })
    }

    fn watch(&mut self, worker: WorkerId, _process: Process) {
        self.soon.push_back(Event::Exited { worker, status: ExitStatus::Unknown });
    }

    fn terminate(
        &mut self,
        worker: WorkerId,
        process: Process,
        _socket: Option<&str>,
        _signal: StopSignal,
        _again: bool,
    ) -> Vec<Process> {
        self.signal(worker, process, WorkerSignal::Terminate);
        Vec::new()
    }

    fn signal(&mut self, worker: WorkerId, _process: Process, _signal: WorkerSignal) {
        self.soon.push_back(Event::Exited { worker, status: ExitStatus::Signal(15) });
    }

    fn examine(&mut self, _worker: WorkerId, _process: Process) -> Result<Vitals, Failure> {
        Err(Failure("nobody hangs here".into()))
    }

    async fn reap(&mut self, _worker: WorkerId, _process: Process) {}

    fn mark_serving(&mut self, _worker: WorkerId, _process: Process) {}

    fn measure_memory(&mut self, _worker: WorkerId, _process: Process) -> Result<Memory, Failure> {
        Err(Failure("nobody asks".to_owned()))
    }

    fn publish(&mut self, _link: &str, _socket: &str, _symlinks: Symlinks) -> Result<(), Failure> {
        Ok(())
    }

    fn withdraw(&mut self, _link: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn list_queue(&mut self, _worker: WorkerId, _socket: &str) -> Result<Vec<u64>, Failure> {
        Ok(Vec::new())
    }

    fn measure_queue(&mut self, _worker: WorkerId, _socket: &str) -> Queue {
        Queue::Length(0)
    }

    fn count_waiting(&mut self, _worker: WorkerId, _socket: &str) -> Queue {
        Queue::Length(0)
    }

    fn measure_cpu(&mut self, _worker: WorkerId, process: Process) -> Result<CpuTime, Failure> {
        Err(Failure(format!("process {} is none of this machine's", process.pid)))
    }

    fn listen(&mut self, _socket: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn unlisten(&mut self, _socket: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn remove(&mut self, _socket: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn persist(&mut self, _entry: Option<&Entry>) -> Result<(), Failure> {
        Ok(())
    }

    fn run_hook(&mut self, _order: &HookOrder) -> Result<Process, Failure> {
        Err(Failure("nobody has set options.onEvent".into()))
    }

    fn watch_hook(&mut self, _process: Process) {}

    fn kill_hook(&mut self, _process: Process) {}

    fn record(&mut self, _entry: &history::Entry) -> Result<(), Failure> {
        Ok(())
    }

    fn sweep(&mut self, _pattern: &SocketPattern) -> Result<u32, Failure> {
        Ok(0)
    }

    fn locate_release(&mut self, named: &Release, _env_files: &[EnvFile]) -> Result<Release, Failure> {
        Ok(named.clone())
    }

    fn has_release(&mut self, _release: &Release) -> bool {
        true
    }

    fn find_release_link(&mut self, named: &Release, folder: &Path) -> Result<ReleaseLink, Failure> {
        Ok(ReleaseLink { path: named.dir.clone(), before: folder.to_owned(), after: folder.to_owned() })
    }

    fn switch_release_link(&mut self, _path: &Path, _from: &Path, _to: &Path) -> Result<(), Failure> {
        Ok(())
    }

    fn run_command(&mut self, _order: &CommandOrder) -> Result<Process, Failure> {
        Err(Failure("no command runs here".into()))
    }

    fn watch_command(&mut self, _process: Process) {}

    fn signal_command(&mut self, _process: Process, _signal: CommandSignal) {}

    fn direct_log(&mut self, _log: &Log) {}

    fn label_output(&mut self, _worker: WorkerId, _slot: SlotIndex) {}

    fn upgrade_sink(&mut self) {}

    fn start_sink(&mut self, _log: Option<&Log>) -> Result<(), Failure> {
        Err(Failure("what workers write goes to a terminal".into()))
    }

    fn ask_last_lines(&mut self, _worker: WorkerId) {}

    fn kill_sink(&mut self) {}

    fn survey(&mut self) -> Survey {
        Survey::default()
    }

    fn restore(&mut self, _what: Own) -> Result<(), Failure> {
        Ok(())
    }

    fn probe(&mut self, worker: WorkerId, _socket: &str, _path: &str) {
        self.soon.push_back(Event::Probed { worker, result: Ok(200) });
    }

    /// A request is answered with a text of as many bytes as its data says.
    fn tell(&mut self, worker: WorkerId, _over: Option<ConnId>, message: &ToWorker) {
        match message {
            ToWorker::Shutdown => self.soon.push_back(Event::Exited { worker, status: ExitStatus::Code(0) }),
            ToWorker::AppRequest { id, data, .. } => {
                let length = data.as_ref().and_then(|data| data.get().parse().ok()).unwrap_or(0);
                let message = FromWorker::Reply {
                    request: id.clone(),
                    answers: true,
                    data: Some(Json::of(&"x".repeat(length))),
                    errors: Vec::new(),
                    done: true,
                };
                self.soon.push_back(Event::Received { worker, message });
            }
            ToWorker::Resume { .. }
            | ToWorker::Detach { .. }
            | ToWorker::SetName { .. }
            | ToWorker::AppMessage { .. }
            | ToWorker::Ping { .. }
            | ToWorker::Count { .. }
            | ToWorker::Slot { .. }
            | ToWorker::Leader { .. }
            | ToWorker::NodeHandleAck => {}
        }
    }

    fn reply(&mut self, to: &RequestRef, reply: &Reply) {
        let Peer::Client(conn) = to.peer else { return };
        if let Some(outbox) = self.clients.get(&conn) {
            outbox.push(&reply.encode(&to.id, wall_ms));
        }
    }

    fn load_config(&mut self) -> Result<Config, Vec<Problem>> {
        Ok(config())
    }

    fn reopen_logs(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    async fn serve_dev(&mut self, _address: Option<DevAddress>, _links: &[String]) -> Result<(), Failure> {
        Ok(())
    }

    fn show_page(&mut self, _page: Option<&Page>) {}

    fn serve_metrics(&mut self, _address: Option<&MetricsAddress>) -> Result<(), Failure> {
        Ok(())
    }

    fn notify(&mut self, _notice: &Notice) {}

    fn preflight(&mut self, _handoff: &Handoff, _limit: Duration) {
        let result = Err(Failure("no other program is played here".into()));
        self.soon.push_back(Event::Preflighted { result });
    }

    async fn freeze(&mut self) {}

    async fn thaw(&mut self) {}

    async fn hand_off(&mut self, _handoff: &Handoff) -> Result<(), Failure> {
        Err(Failure("no other program is played here".into()))
    }

    async fn next(&mut self, deadline: Option<Time>) -> Option<Event> {
        loop {
            if let Some(event) = self.soon.pop_front() {
                return Some(event);
            }
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.since(self.now()));
            match timeout(left, self.inbox.recv()).await.ok()?? {
                Fact::Connected(conn, outbox) => {
                    self.clients.insert(conn, outbox);
                }
                Fact::Event(event) => {
                    if let Event::Disconnected { conn } = &event
                        && let Some(outbox) = self.clients.remove(conn)
                    {
                        outbox.close();
                    }
                    return Some(event);
                }
                Fact::Claimed { conn, claims, message, .. } => {
                    return Some(Event::Claimed { conn, caller: None, claims, message });
                }
                Fact::DumpsCore { .. } | Fact::Paused(_) | Fact::Stirred(_) | Fact::Sink(_) => {}
            }
        }
    }
}

/// The history begins on 2026-01-01T00:00Z.
fn wall_ms(time: Time) -> u64 {
    1_767_225_600_000 + time.as_nanos() / 1_000_000
}
