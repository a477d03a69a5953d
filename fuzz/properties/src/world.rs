//! A world in which bytes choose what happens and what fails, but in which only happens what can: a process exits once
//! and after it was started, each order has its own completion, a client that hung up says nothing more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use nodesockd_core::action::{CommandOrder, CommandSignal, HookOrder, SpawnOrder, WorkerSignal};
use nodesockd_core::backend::Backend;
use nodesockd_core::config::{
    Config, DevAddress, Log, MetricsAddress, Named, Problem, SocketPattern, StopSignal, Symlinks,
};
use nodesockd_core::env_file::EnvFile;
use nodesockd_core::event::{CpuTime, DaemonSignal, Event, ExitStatus, Failure, Memory, Queue, Vitals};
use nodesockd_core::history;
use nodesockd_core::id::{ConnId, Peer, Process, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::notice::Notice;
use nodesockd_core::page::Page;
use nodesockd_core::page::html::html;
use nodesockd_core::release::{Release, ReleaseLink};
use nodesockd_core::state::{Entry, Leftovers};
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::survey::{Own, Survey};
use nodesockd_core::wire::{FromWorker, Reply, Request, ToWorker};
use nodesockd_core::{Time, config};

use crate::input::Input;
use crate::lines::options;

/// So many processes may have been started; more cost time and show nothing new.
const MOST_PROCESSES: u32 = 200;

/// What is outside the supervisor.
#[derive(Debug)]
pub(crate) struct World<'a> {
    input: Input<'a>,
    now: Time,
    config: Config,
    processes: BTreeMap<WorkerId, Proc>,
    started: u32,
    /// The worker that each link names.
    links: BTreeMap<String, WorkerId>,
    clients: BTreeSet<ConnId>,
    connections: u64,
    requests: u64,
    /// Requests made and final replies given.
    asked: BTreeMap<RequestRef, (u32, u32)>,
    /// Nothing goes wrong any more, and the daemon is to end.
    pub last_orders: bool,
    terminated: bool,
    /// Facts that are the next to come.
    soon: VecDeque<Event>,
    frozen: bool,
    /// How often the daemon has been upgraded.
    pub upgrades: u64,
    handed: Option<Handoff>,
    /// What the service manager was told last of how far the daemon has got.
    phase: Option<Notice>,
}

#[derive(Debug)]
struct Proc {
    process: Process,
    stage: Stage,
    suspended: bool,
    online: bool,
    channel: bool,
    /// It was told to go.
    leaving: bool,
    /// Application requests it has not answered.
    requests: Vec<String>,
    /// The last question that it has not answered.
    pings: Option<u64>,
    /// It was told to lead, and has not confirmed that it does not any more.
    leads: bool,
    /// What it was told last about that, and has not answered.
    leadership: Option<(bool, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Exited,
    Reaped,
}

impl<'a> World<'a> {
    pub fn new(mut input: Input<'a>) -> Self {
        let config = configuration(&mut input);
        Self {
            input,
            now: Time::from_nanos(1),
            config,
            processes: BTreeMap::new(),
            started: 0,
            links: BTreeMap::new(),
            clients: BTreeSet::new(),
            connections: 0,
            requests: 0,
            asked: BTreeMap::new(),
            last_orders: false,
            terminated: false,
            soon: VecDeque::new(),
            frozen: false,
            upgrades: 0,
            handed: None,
            phase: None,
        }
    }

    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// What was handed to the next program, if it was.
    pub fn handed_over(&mut self) -> Option<Handoff> {
        let handoff = self.handed.take()?;
        self.upgrades += 1;
        self.frozen = false;
        Some(handoff)
    }

    /// The bytes have had their say.
    pub fn is_calm(&self) -> bool {
        self.input.is_empty()
    }

    /// What must hold when the daemon has quit.
    pub fn check_end(&self) {
        for (worker, process) in &self.processes {
            assert_eq!(process.stage, Stage::Reaped, "{worker} is left behind");
        }
        assert_eq!(self.phase, Some(Notice::Stopping));
        assert!(self.links.is_empty(), "links are left behind: {:?}", self.links);
        self.check_answers();
    }

    /// Every request of somebody who is still there has had its final reply, unless workers owe it.
    pub fn check_answers(&self) {
        let open =
            self.asked.iter().filter(|(from, (made, finals))| finals < made && self.is_there(&from.peer));
        let open: Vec<_> = open.collect();
        assert!(open.is_empty(), "not answered: {open:?}");
    }

    fn is_there(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Client(conn) => self.clients.contains(conn),
            Peer::Worker(worker) => self.processes.get(worker).is_some_and(|process| process.channel),
        }
    }

    fn queue(&mut self) -> Queue {
        match self.input.below(8) {
            0..=3 => Queue::Length(0),
            4 => Queue::Length(self.input.byte().into()),
            5 => Queue::Full(self.input.byte().into()),
            6 => Queue::Closed,
            _ => Queue::Unknown("as chosen".into()),
        }
    }

    fn fails(&mut self) -> Result<(), Failure> {
        if self.input.rarely(8) { Err(Failure("as chosen".into())) } else { Ok(()) }
    }

    /// Something that happens by itself, or on account of what was ordered before.
    fn happens(&mut self) -> Option<Event> {
        if let Some(event) = self.soon.pop_front() {
            return Some(event);
        }
        assert!(!self.frozen, "the daemon waits for facts while it is frozen");
        if self.is_calm() {
            return self.happens_at_last();
        }
        match self.input.below(8) {
            0 => None,
            1..=4 => self.worker_does(),
            5 | 6 => Some(self.client_does()),
            _ => {
                let signals = [DaemonSignal::Hangup, DaemonSignal::User1, DaemonSignal::User2];
                let ends = [DaemonSignal::Terminate, DaemonSignal::Interrupt];
                let chosen =
                    if self.input.rarely(8) { self.input.one(&ends) } else { self.input.one(&signals) };
                chosen.map(|signal| Event::Signalled { signal })
            }
        }
    }

    fn worker_does(&mut self) -> Option<Event> {
        let running: Vec<WorkerId> =
            self.processes.iter().filter(|(_, its)| its.stage == Stage::Running).map(|(id, _)| *id).collect();
        let worker = self.input.one(&running)?;
        let deed = self.input.below(12);
        let reason = if deed == 5 { self.input.maybe_text() } else { None };
        let status = match self.input.below(4) {
            0 => ExitStatus::Code(0),
            1 => ExitStatus::Code(1),
            2 => ExitStatus::Signal(9),
            _ => ExitStatus::Unknown,
        };
        let process = self.processes.get_mut(&worker)?;
        match deed {
            0 => return process.exits(worker, status),
            1 if process.channel => {
                process.channel = false;
                return Some(Event::ChannelClosed { worker });
            }
            _ if !process.channel => return None,
            2..=4 => return process.reports(worker, process.suspended),
            5 => return process.says(worker, FromWorker::Broken { reason }),
            6 => return process.reports(worker, !process.suspended),
            7 => return process.says(worker, FromWorker::NodeHandle),
            8 | 9 => return process.answers(worker),
            _ => {}
        }
        let request = match self.input.flag() {
            true => Request::SendMessage { message: "m".into(), data: None, workers: self.selector() },
            false => Request::SendRequest { request: "r".into(), data: None, workers: self.selector() },
        };
        Some(self.asks(Peer::Worker(worker), request))
    }

    fn client_does(&mut self) -> Event {
        let clients: Vec<ConnId> = self.clients.iter().copied().collect();
        let conn = match self.input.one(&clients).filter(|_| self.input.flag()) {
            Some(conn) if self.input.rarely(6) => {
                self.clients.remove(&conn);
                return Event::Disconnected { conn };
            }
            Some(conn) => conn,
            None => {
                self.connections += 1;
                self.clients.insert(ConnId(self.connections));
                ConnId(self.connections)
            }
        };
        let request = self.request();
        self.asks(Peer::Client(conn), request)
    }

    /// Mostly under a new id.
    fn asks(&mut self, peer: Peer, request: Request) -> Event {
        if !self.input.rarely(8) {
            self.requests += 1;
        }
        let from = RequestRef { peer, id: self.requests.to_string() };
        self.asked.entry(from.clone()).or_default().0 += 1;
        Event::Requested { from, asker: None, request }
    }

    fn request(&mut self) -> Request {
        let count =
            if self.input.rarely(16) { self.input.number() } else { u32::from(self.input.byte() % 4) };
        match self.input.below(14) {
            0 if self.input.flag() => Request::Metrics,
            0 => Request::Status,
            1 => Request::Config,
            2 => Request::Start(options(&mut self.input)),
            3..=5 => Request::Restart { options: options(&mut self.input), version: None },
            6 => {
                let newer = self.input.flag().then(|| format!("99.0.{}", self.upgrades));
                let version = newer.or_else(|| self.input.maybe_text());
                Request::Restart { options: options(&mut self.input), version }
            }
            7 => Request::Resume,
            8 => Request::Stop,
            9 => Request::SetWorkers { count: NonZeroU32::new(few(count)).unwrap_or(NonZeroU32::MIN) },
            10 => Request::SetStandby { count: few(count) },
            11 => Request::Reload,
            12 => Request::SendMessage { message: "m".into(), data: None, workers: self.selector() },
            _ => Request::SendRequest { request: "r".into(), data: None, workers: self.selector() },
        }
    }

    fn selector(&mut self) -> Option<String> {
        match self.input.below(6) {
            0 => Some(self.input.text()),
            1 => Some(format!("${}", 100 + self.input.below(16))),
            2 => Some("self".into()),
            3 => Some("!0".into()),
            _ => None,
        }
    }

    /// When nothing is chosen any more, everything goes as it ought to.
    fn happens_at_last(&mut self) -> Option<Event> {
        for (worker, process) in &mut self.processes {
            if process.stage == Stage::Running {
                if process.leaving {
                    return process.exits(*worker, ExitStatus::Code(0));
                }
                if process.channel && !process.online {
                    return process.reports(*worker, process.suspended);
                }
                if process.channel && (!process.requests.is_empty() || process.leadership.is_some()) {
                    return process.answers(*worker);
                }
            }
        }
        let ends = self.last_orders && !std::mem::replace(&mut self.terminated, self.last_orders);
        ends.then_some(Event::Signalled { signal: DaemonSignal::Terminate })
    }
}

impl Proc {
    fn exits(&mut self, worker: WorkerId, status: ExitStatus) -> Option<Event> {
        self.stage = Stage::Exited;
        self.channel = false;
        Some(Event::Exited { worker, status })
    }

    fn reports(&mut self, worker: WorkerId, suspended: bool) -> Option<Event> {
        self.online = true;
        self.says(
            worker,
            FromWorker::Online {
                pid: None,
                suspended,
                heartbeat: true,
                leads: Some(self.leads),
                counts: None,
            },
        )
    }

    fn answers(&mut self, worker: WorkerId) -> Option<Event> {
        if let Some(seq) = self.pings.take() {
            return self.says(worker, FromWorker::Pong { seq, inspected: false, held: 0 });
        }
        if let Some((leads, term)) = self.leadership.take() {
            self.leads = leads;
            return self.says(worker, FromWorker::Leader { leads, term });
        }
        let request = self.requests.pop().unwrap_or_else(|| "nobody's".into());
        self.says(
            worker,
            FromWorker::Reply { request, answers: true, data: None, errors: Vec::new(), done: true },
        )
    }

    fn says(&mut self, worker: WorkerId, message: FromWorker) -> Option<Event> {
        Some(Event::Received { worker, message })
    }
}

/// Few, or too many to be accepted: what is in between costs time and shows nothing new.
fn few(count: u32) -> u32 {
    if count > config::MAX_WORKERS { count } else { count % 5 }
}

/// One of the configurations that a reload can come across.
fn configuration(input: &mut Input<'_>) -> Config {
    let tree = "tmpDir = '/run/app'\nscript = 'server.js'";
    let mut config = crate::config::of_toml(tree);
    config.workers = NonZeroU32::new(1 + u32::from(input.byte() % 3)).unwrap_or(NonZeroU32::MIN);
    config.standby = u32::from(input.byte() % 3);
    if input.rarely(4) {
        config.env.pass.push("A".into());
    }
    if input.rarely(8) {
        config.dev_server = Some(8000.into());
    }
    if input.rarely(16) {
        config.tmp_dir.push("elsewhere");
        config.socket_dir.push("elsewhere");
    }
    config.options.max_start_attempts =
        NonZeroU32::new(1 + u32::from(input.byte() % 3)).unwrap_or(NonZeroU32::MIN);
    config
}

impl Backend for World<'_> {
    fn now(&self) -> Time {
        self.now
    }

    fn find_leftovers(&mut self, _config: &Config) -> Leftovers {
        Leftovers::default()
    }

    fn spawn(&mut self, order: &SpawnOrder) -> Result<Process, Failure> {
        self.fails()?;
        if self.started == MOST_PROCESSES && !self.is_calm() {
            return Err(Failure("too many".into()));
        }
        self.started += 1;
        // Pids are few, and soon used again.
        let taken: Vec<u32> = self
            .processes
            .values()
            .filter(|its| its.stage != Stage::Reaped)
            .map(|its| its.process.pid)
            .collect();
        let pid = (100..).find(|pid| !taken.contains(pid)).unwrap_or_default();
        let process = Process { pid, started: self.started.into() };
        let suspended =
            order.set.iter().any(|(name, value)| name == "NODESOCKD_SUSPENDED" && value == "true");
        let stage = Stage::Running;
        let proc = Proc {
            process,
            stage,
            suspended,
            online: false,
            channel: true,
            leaving: false,
            requests: Vec::new(),
            pings: None,
            leads: false,
            leadership: None,
        };
        assert!(self.processes.insert(order.worker, proc).is_none(), "{} is started twice", order.worker);
        Ok(process)
    }

    fn watch(&mut self, worker: WorkerId, _process: Process) {
        panic!("{worker} is adopted, and nobody has reported that is not known");
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
        if self.input.rarely(4) { vec![Process { pid: process.pid + 1, ..process }] } else { Vec::new() }
    }

    fn signal(&mut self, worker: WorkerId, process: Process, _signal: WorkerSignal) {
        let found = self.processes.get_mut(&worker).filter(|found| found.process == process);
        let Some(found) = found else { panic!("a signal to {worker}, which never was {process:?}") };
        assert_ne!(found.stage, Stage::Reaped, "a signal to {worker}, whose pid may be another's");
        found.leaving = true;
    }

    fn examine(&mut self, worker: WorkerId, _process: Process) -> Result<Vitals, Failure> {
        assert!(self.processes.contains_key(&worker), "{worker} is looked at, but never was");
        self.fails()?;
        let state = self.input.one(&['R', 'S', 'T']).unwrap_or('S');
        let cpu = Duration::from_millis(self.input.byte().into());
        Ok(Vitals { state, cpu, waits_in: None, traced: self.input.flag() })
    }

    async fn reap(&mut self, worker: WorkerId, process: Process) {
        let found = self.processes.get_mut(&worker).filter(|found| found.process == process);
        let Some(found) = found else { panic!("{worker} is collected, which never was {process:?}") };
        assert_eq!(found.stage, Stage::Exited, "{worker} is collected");
        found.stage = Stage::Reaped;
    }

    fn mark_serving(&mut self, _worker: WorkerId, _process: Process) {}

    fn measure_memory(&mut self, _worker: WorkerId, _process: Process) -> Result<Memory, Failure> {
        Err(Failure("nobody asks".to_owned()))
    }

    fn publish(&mut self, link: &str, socket: &str, _symlinks: Symlinks) -> Result<(), Failure> {
        self.fails()?;
        let Some(Named::Socket(worker)) = self.config.socket_file.matches(socket) else {
            panic!("{link} is to name {socket}, which is no worker's socket");
        };
        assert!(
            self.processes.get(&worker).is_some_and(|process| process.online),
            "{worker} never was online"
        );
        self.links.insert(link.to_owned(), worker);
        Ok(())
    }

    fn withdraw(&mut self, link: &str) -> Result<(), Failure> {
        self.fails()?;
        self.links.remove(link);
        Ok(())
    }

    fn list_queue(&mut self, _worker: WorkerId, _socket: &str) -> Result<Vec<u64>, Failure> {
        self.fails()?;
        Ok((0..self.input.below(3)).map(|_| self.input.byte().into()).collect())
    }

    fn measure_queue(&mut self, _worker: WorkerId, _socket: &str) -> Queue {
        self.queue()
    }

    fn count_waiting(&mut self, _worker: WorkerId, _socket: &str) -> Queue {
        self.queue()
    }

    fn measure_cpu(&mut self, _worker: WorkerId, _process: Process) -> Result<CpuTime, Failure> {
        self.fails()?;
        let used = Duration::from_secs(self.input.byte().into());
        Ok(CpuTime { used, waited: Duration::ZERO })
    }

    fn listen(&mut self, socket: &str) -> Result<(), Failure> {
        panic!("{socket} is opened, but workers bind their own sockets here")
    }

    fn unlisten(&mut self, socket: &str) -> Result<(), Failure> {
        panic!("{socket} is closed, which never was opened")
    }

    fn remove(&mut self, _socket: &str) -> Result<(), Failure> {
        self.fails()
    }

    fn persist(&mut self, _entry: Option<&Entry>) -> Result<(), Failure> {
        self.fails()
    }

    fn run_hook(&mut self, _order: &HookOrder) -> Result<Process, Failure> {
        Err(Failure("nobody has set options.onEvent".into()))
    }

    fn watch_hook(&mut self, _process: Process) {}

    fn kill_hook(&mut self, _process: Process) {}

    fn record(&mut self, _entry: &history::Entry) -> Result<(), Failure> {
        self.fails()
    }

    fn sweep(&mut self, _pattern: &SocketPattern) -> Result<u32, Failure> {
        self.fails().map(|()| 1)
    }

    fn locate_release(&mut self, named: &Release, _env_files: &[EnvFile]) -> Result<Release, Failure> {
        self.fails().map(|()| named.clone())
    }

    fn has_release(&mut self, _release: &Release) -> bool {
        self.fails().is_ok()
    }

    fn find_release_link(&mut self, named: &Release, folder: &Path) -> Result<ReleaseLink, Failure> {
        let (path, before) = (named.dir.clone(), "before".into());
        self.fails().map(|()| ReleaseLink { path, before, after: folder.to_owned() })
    }

    fn switch_release_link(&mut self, _path: &Path, _from: &Path, _to: &Path) -> Result<(), Failure> {
        self.fails()
    }

    fn run_command(&mut self, _order: &CommandOrder) -> Result<Process, Failure> {
        self.fails().map(|()| Process { pid: 9, started: 9 })
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
        self.fails()
    }

    fn probe(&mut self, worker: WorkerId, _socket: &str, _path: &str) {
        panic!("{worker} is asked whether it is ready, but workers report that here")
    }

    fn tell(&mut self, worker: WorkerId, _over: Option<ConnId>, message: &ToWorker) {
        let other = |(id, its): (&WorkerId, &Proc)| *id != worker && its.stage == Stage::Running && its.leads;
        let led = self.processes.iter().any(other);
        let Some(process) = self.processes.get_mut(&worker) else {
            panic!("{worker} is told something, but never was")
        };
        match message {
            ToWorker::Leader { leads, term } => {
                assert!(!leads || !led, "{worker} is told to lead while another one does");
                process.leads |= leads;
                process.leadership = Some((*leads, *term));
            }
            ToWorker::Shutdown => {
                let named = self.links.values().any(|named| *named == worker);
                assert!(!named, "{worker} is told to shut down while a link names it");
                process.leaving = true;
            }
            ToWorker::AppRequest { id, .. } => process.requests.push(id.clone()),
            ToWorker::Resume { .. }
            | ToWorker::SetName { .. }
            | ToWorker::Detach { .. }
            | ToWorker::AppMessage { .. }
            | ToWorker::Slot { .. }
            | ToWorker::Count { .. }
            | ToWorker::NodeHandleAck => {}
            ToWorker::Ping { seq } => process.pings = Some(*seq),
        }
    }

    fn reply(&mut self, to: &RequestRef, reply: &Reply) {
        let Some((made, finals)) = self.asked.get_mut(to) else {
            panic!("a reply to {to:?}, which nobody asked")
        };
        assert!(*finals < *made, "a reply to {to:?} after its final one");
        *finals += u32::from(reply.done);
    }

    fn load_config(&mut self) -> Result<Config, Vec<Problem>> {
        self.fails().map_err(|failure| vec![Problem::general(failure.0)])?;
        Ok(configuration(&mut self.input))
    }

    fn reopen_logs(&mut self) -> Result<(), Failure> {
        self.fails()
    }

    async fn serve_dev(&mut self, _address: Option<DevAddress>, _links: &[String]) -> Result<(), Failure> {
        self.fails()
    }

    fn show_page(&mut self, page: Option<&Page>) {
        if let Some(page) = page {
            let html = html(page, self.now, true);
            assert_eq!(
                html.matches("<script").count(),
                1,
                "words from outside are in the page as they came: {html}"
            );
        }
    }

    fn serve_metrics(&mut self, _address: Option<&MetricsAddress>) -> Result<(), Failure> {
        self.fails()
    }

    fn notify(&mut self, notice: &Notice) {
        let may_follow = match notice {
            Notice::Ready => matches!(self.phase, None | Some(Notice::Reloading { .. })),
            Notice::Reloading { .. } => self.phase == Some(Notice::Ready),
            Notice::Stopping => self.phase != Some(Notice::Stopping),
            Notice::Status(_) | Notice::Extend(_) | Notice::Alive => return,
        };
        assert!(may_follow, "{notice:?} after {:?}", self.phase);
        self.phase = Some(notice.clone());
    }

    fn preflight(&mut self, _handoff: &Handoff, _limit: Duration) {
        let result = self.fails().map(|()| format!("99.0.{}", self.upgrades));
        self.soon.push_back(Event::Preflighted { result });
    }

    async fn freeze(&mut self) {
        assert!(!std::mem::replace(&mut self.frozen, true), "it is frozen already");
        self.soon.push_back(Event::Frozen);
    }

    async fn thaw(&mut self) {
        assert!(std::mem::take(&mut self.frozen), "it is not frozen");
    }

    async fn hand_off(&mut self, handoff: &Handoff) -> Result<(), Failure> {
        assert!(self.frozen, "facts still come");
        self.fails()?;
        let text = serde_json::to_string(handoff).map_err(|error| Failure(error.to_string()))?;
        let read: Handoff = serde_json::from_str(&text).map_err(|error| Failure(error.to_string()))?;
        assert_eq!(read, *handoff);
        self.handed = Some(read);
        Ok(())
    }

    async fn next(&mut self, deadline: Option<Time>) -> Option<Event> {
        if let Some(event) = self.happens() {
            let moment = u64::from(self.input.byte());
            self.now = self.now + Duration::from_micros(moment * moment);
            return Some(event);
        }
        let early = Duration::from_nanos(u64::from(!self.is_calm() && self.input.rarely(16)));
        if let Some(deadline) = deadline {
            self.now = self.now.max(Time::from_nanos(deadline.as_nanos() - early.as_nanos() as u64));
        }
        None
    }
}
