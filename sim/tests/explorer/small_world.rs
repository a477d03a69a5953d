//! A supervisor in the smallest world in which it can do all it is for.

use std::collections::BTreeMap;

use nodesockd_core::action::{SpawnOrder, WorkerSignal};
use nodesockd_core::event::{Caller, DaemonSignal, Event, ExitStatus, Failure, Queue};
use nodesockd_core::id::{BootId, ConnId, Peer, Process, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::state::{FoundLink, Leftovers, State, Survivor};
use nodesockd_core::supervisor::{Daemon, Terminal};
use nodesockd_core::wire::{Claim, FromWorker, Request, StartOptions, ToWorker};
use nodesockd_core::{Action, Supervisor, Time, config::Config};
use nodesockd_sim::Settings;

/// More actions or events than these in a row: the supervisor runs in a circle.
const CIRCLE: u32 = 300;

/// One thing that can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// All workers are to be replaced.
    Restart {
        /// By suspended ones.
        suspended: bool,
    },
    Resume,
    Stop,
    Start,
    Terminate,
    /// The n-th process reports ready: on its channel, or to the daemon that is not its first.
    Online(usize),
    /// The n-th process exits.
    Exit(usize),
    /// The n-th process asks to be replaced.
    Broken(usize),
    /// Nothing happens until the next deadline.
    Time,
    /// The next link cannot be swapped.
    SwapFails,
    /// The daemon dies when it has carried out so many more actions, and another one follows.
    Die(u32),
}

/// What may still go wrong, and what may still be asked.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Requests, or SIGTERM.
    pub asks: u32,
    /// Workers that exit unasked.
    pub exits: u32,
    /// Workers that ask to be replaced.
    pub breaks: u32,
    /// Links that cannot be swapped.
    pub swaps: u32,
    /// Deaths of the daemon.
    pub deaths: u32,
}

/// The supervisor, and all there is beside it.
#[derive(Debug, Clone)]
pub struct SmallWorld {
    supervisor: Supervisor,
    now: Time,
    processes: Vec<Proc>,
    /// The sockets that links name.
    links: BTreeMap<String, String>,
    state: Option<State>,
    /// Final replies to requests.
    finals: BTreeMap<RequestRef, u32>,
    allowance: Allowance,
    swap_fails: bool,
    /// The daemon dies when it has carried out so many more actions.
    dies_after: Option<u32>,
    /// Suspended restarts that were asked for.
    suspending: Vec<RequestRef>,
    /// The last one that was asked for is done, and nothing was asked for since.
    suspended: bool,
    /// How many daemons there were before this one.
    lives: u32,
    quit: bool,
}

#[derive(Debug, Clone)]
struct Proc {
    id: WorkerId,
    process: Process,
    online: bool,
    suspended: bool,
    /// It was told to go.
    leaving: bool,
    exited: bool,
    /// Its daemon died, and it has not reported to the next one.
    orphan: bool,
    /// The connection by which it did.
    conn: Option<ConnId>,
}

impl Proc {
    fn alive(&self) -> bool {
        !self.exited
    }
}

fn config() -> Config {
    let settings = Settings { workers: 2, ..Settings::default() };
    settings.config().unwrap_or_else(|error| panic!("{error}"))
}

fn daemon(lives: u32) -> Daemon {
    Daemon {
        version: "3.0.0".into(),
        pid: 1,
        boot: BootId(u128::from(lives)),
        manager: None,
        release: None,
        stderr: Terminal::Yes,
    }
}

impl SmallWorld {
    /// The first two workers are online.
    pub fn begin(allowance: Allowance) -> Self {
        let mut world = Self {
            supervisor: Supervisor::new(config(), daemon(0), Time::ZERO),
            now: Time::ZERO,
            processes: Vec::new(),
            links: BTreeMap::new(),
            state: None,
            finals: BTreeMap::new(),
            allowance,
            swap_fails: false,
            dies_after: None,
            suspending: Vec::new(),
            suspended: false,
            lives: 0,
            quit: false,
        };
        let begun = world
            .obey()
            .and_then(|()| world.play(Move::Online(0)))
            .and_then(|()| world.play(Move::Online(1)));
        begun.unwrap_or_else(|wrong| panic!("{wrong}, in the beginning"));
        world
    }

    /// Everything that can happen now.
    pub fn moves(&self) -> Vec<Move> {
        if self.quit {
            return Vec::new();
        }
        let mut moves = Vec::new();
        let Allowance { asks, exits, breaks, swaps, deaths } = self.allowance;
        if asks > 0 {
            let restarts = [false, true].map(|suspended| Move::Restart { suspended });
            moves.extend(restarts.into_iter().chain([
                Move::Resume,
                Move::Stop,
                Move::Start,
                Move::Terminate,
            ]));
        }
        for (nth, process) in self.processes.iter().enumerate().filter(|(_, process)| process.alive()) {
            if process.orphan || !process.online {
                moves.push(Move::Online(nth));
            }
            if exits > 0 || process.leaving {
                moves.push(Move::Exit(nth));
            }
            if breaks > 0 && process.online && !process.orphan {
                moves.push(Move::Broken(nth));
            }
        }
        if self.supervisor.poll_timeout().is_some() {
            moves.push(Move::Time);
        }
        if swaps > 0 {
            moves.push(Move::SwapFails);
        }
        if deaths > 0 {
            moves.extend((0..4).map(Move::Die));
        }
        moves
    }

    /// Lets one thing happen, and the supervisor do what follows from that.
    pub fn play(&mut self, next: Move) -> Result<(), String> {
        match next {
            Move::Restart { suspended } => {
                let options = StartOptions { suspended, wait: true, ..StartOptions::default() };
                self.ask(Request::Restart { options, version: None })
            }
            Move::Resume => self.ask(Request::Resume),
            Move::Stop => self.ask(Request::Stop),
            Move::Start => self.ask(Request::Start(StartOptions::default())),
            Move::Terminate => {
                self.allowance.asks = 0;
                self.hear(Event::Signalled { signal: DaemonSignal::Terminate })
            }
            Move::Online(nth) => self.reports(nth),
            Move::Exit(nth) => self.exits(nth),
            Move::Broken(nth) => {
                self.allowance.breaks -= 1;
                self.says(nth, FromWorker::Broken { reason: None })
            }
            Move::Time => {
                let Some((deadline, _)) = self.supervisor.poll_timeout() else { return Ok(()) };
                self.now = self.now.max(deadline);
                self.supervisor.handle_timeout(self.now);
                self.obey()
            }
            Move::SwapFails => {
                self.allowance.swaps -= 1;
                self.swap_fails = true;
                Ok(())
            }
            Move::Die(actions) => {
                self.allowance.deaths -= 1;
                self.dies_after = Some(actions);
                self.obey()
            }
        }
    }

    /// Nothing goes wrong any more, and everybody does what they are told to: it comes to rest, as was asked for.
    pub fn rest(mut self) -> Result<(), String> {
        (self.swap_fails, self.dies_after) = (false, None);
        for _ in 0..CIRCLE {
            let alive = || self.processes.iter().enumerate().filter(|(_, process)| process.alive());
            let leaving = alive().find(|(_, process)| process.leaving).map(|(nth, _)| Move::Exit(nth));
            let silent = |process: &Proc| process.orphan || !process.online;
            let silent = alive().find(|(_, process)| silent(process)).map(|(nth, _)| Move::Online(nth));
            let pending = self.supervisor.pending();
            let next = leaving.or(silent).unwrap_or(Move::Time);
            if self.quit || next == Move::Time && pending.is_none() {
                return self.check_rest();
            }
            if next == Move::Time && self.supervisor.poll_timeout().is_none() {
                return Err(format!("it waits for nothing: {pending:?}"));
            }
            self.play(next)?;
        }
        Err(format!("it does not come to rest: {:?}", self.supervisor.pending()))
    }

    fn check_rest(&self) -> Result<(), String> {
        let open = self.finals.iter().find(|(_, finals)| **finals == 0);
        let alive = self.processes.iter().filter(|process| process.alive());
        let (count, status) = (alive.clone().count(), self.supervisor.status());
        let unlike = alive.clone().find(|process| process.suspended != status.suspended);
        let served = status.workers.iter().filter(|row| row.slot.is_some()).count();
        if let Some((request, _)) = open {
            Err(format!("no final reply to {request:?}"))
        } else if self.quit && (count, self.links.len()) != (0, 0) {
            Err(format!("{count} processes and {:?} are left behind", self.links))
        } else if self.quit {
            Ok(())
        } else if (count, self.links.len()) != (served, served) || !matches!(served, 0 | 2) {
            Err(format!("{count} processes, {:?}, {served} slots served", self.links))
        } else if let Some(unlike) = unlike {
            Err(format!("{unlike:?} is in another mood than its app"))
        } else {
            Ok(())
        }
    }

    fn ask(&mut self, request: Request) -> Result<(), String> {
        self.allowance.asks -= 1;
        // Whatever is asked for may end the suspension.
        self.suspended = false;
        let id = format!("r{}", self.allowance.asks);
        let from = RequestRef { peer: Peer::Client(ConnId(0)), id };
        self.finals.insert(from.clone(), 0);
        if matches!(&request, Request::Restart { options, .. } if options.suspended) {
            self.suspending.push(from.clone());
        }
        self.hear(Event::Requested { from, asker: None, request })
    }

    fn reports(&mut self, nth: usize) -> Result<(), String> {
        let Some(process) = self.processes.get_mut(nth) else { return Ok(()) };
        process.online = true;
        let suspended = process.suspended;
        if std::mem::take(&mut process.orphan) {
            process.conn = Some(ConnId(1 + nth as u64));
        }
        self.says(nth, FromWorker::online(suspended))
    }

    fn says(&mut self, nth: usize, message: FromWorker) -> Result<(), String> {
        let Some(process) = self.processes.get(nth) else { return Ok(()) };
        let worker = process.id;
        match process.conn {
            None => self.hear(Event::Received { worker, message }),
            Some(conn) => {
                let claims = Some(Claim { worker, pid: Some(process.process.pid) });
                let caller = Some(Caller {
                    process: process.process,
                    own_user: true,
                    leads: true,
                    family: Vec::new(),
                    worker: Some(worker),
                    socket: None,
                    link: None,
                });
                self.hear(Event::Claimed { conn, caller, claims, message })
            }
        }
    }

    fn exits(&mut self, nth: usize) -> Result<(), String> {
        let Some(process) = self.processes.get_mut(nth) else { return Ok(()) };
        process.exited = true;
        if !process.leaving {
            self.allowance.exits -= 1;
        }
        let (worker, status) = (process.id, ExitStatus::Code(i32::from(!process.leaving)));
        self.hear(Event::Exited { worker, status })
    }

    fn hear(&mut self, event: Event) -> Result<(), String> {
        self.supervisor.handle_event(self.now, event);
        self.obey()
    }

    /// Carries out what the supervisor orders, until it waits.
    fn obey(&mut self) -> Result<(), String> {
        for _ in 0..CIRCLE {
            self.supervisor.check().map_err(|violation| violation.to_string())?;
            if self.dies_after == Some(0) {
                self.die();
                continue;
            }
            let Some(action) = self.supervisor.poll_action() else { return self.check_quiet() };
            self.dies_after = self.dies_after.map(|actions| actions - 1);
            if let Some(event) = self.perform(action)? {
                self.supervisor.handle_event(self.now, event);
            }
        }
        Err("orders without end".into())
    }

    fn perform(&mut self, action: Action) -> Result<Option<Event>, String> {
        Ok(match action {
            Action::Spawn(order) => Some(self.spawn(&order)),
            Action::Publish { slot, worker, link, socket, .. } => {
                let fails = std::mem::take(&mut self.swap_fails);
                let result = if fails { Err(Failure("as chosen".into())) } else { Ok(()) };
                if !fails {
                    self.links.insert(link, socket);
                }
                Some(Event::Published { slot, worker, result })
            }
            Action::Withdraw { slot, link } => {
                self.links.remove(&link);
                Some(Event::Withdrawn { slot, link, result: Ok(()) })
            }
            Action::ListQueue { worker, .. } => Some(Event::QueueListed { worker, result: Ok(Vec::new()) }),
            Action::CountWaiting { worker, .. } => {
                Some(Event::WaitingCounted { worker, queue: Queue::Length(0) })
            }
            Action::MeasureQueue { worker, .. } => {
                Some(Event::QueueMeasured { worker, queue: Queue::Length(0) })
            }
            Action::MeasureCpu { worker, .. } => {
                let result = Err(Failure("not told here".into()));
                Some(Event::CpuMeasured { worker, result })
            }
            Action::Examine { worker, .. } => {
                let result = Err(Failure("nobody hangs here".into()));
                Some(Event::Examined { worker, result })
            }
            Action::Tell { worker, message, .. } => {
                self.told(worker, &message)?;
                None
            }
            Action::Terminate { worker, process, .. } => {
                self.signalled(worker, process, WorkerSignal::Terminate)?;
                Some(Event::Terminated { worker, servers: Vec::new() })
            }
            Action::Signal { worker, process, signal } => {
                self.signalled(worker, process, signal)?;
                None
            }
            Action::MarkServing { .. } => None,
            Action::MeasureMemory { .. } => return Err("no memory has a limit".into()),
            Action::Watch { worker, .. } => return Err(format!("{worker} is adopted a second time")),
            Action::Reap { worker, process } => {
                let before = self.processes.len();
                self.processes.retain(|its| (its.id, its.process, its.exited) != (worker, process, true));
                if self.processes.len() == before {
                    return Err(format!("{worker} is collected, which has not exited"));
                }
                Some(Event::Reaped { worker })
            }
            Action::Remove { worker, .. } => Some(Event::Removed { worker, result: Ok(()) }),
            Action::Sweep { .. } => Some(Event::Swept { result: Ok(0) }),
            Action::LocateRelease { named, .. } => Some(Event::ReleaseLocated { named: Ok(named) }),
            Action::CheckRelease { .. } => Some(Event::ReleaseChecked { stand_in: None }),
            Action::FindReleaseLink { .. }
            | Action::SwitchReleaseLink { .. }
            | Action::RunCommand(_)
            | Action::WatchCommand { .. }
            | Action::SignalCommand { .. } => {
                return Err("nobody has asked for a deploy".into());
            }
            Action::StartSink { .. }
            | Action::DirectLog { .. }
            | Action::LabelOutput { .. }
            | Action::UpgradeSink
            | Action::AskLastLines { .. }
            | Action::KillSink => {
                return Err("what workers write goes to a terminal".into());
            }
            Action::RunHook(_) | Action::WatchHook { .. } | Action::KillHook { .. } => {
                return Err("nobody has set options.onEvent".into());
            }
            Action::ShowPage { .. } => return Err("nobody has set devServer".into()),
            Action::Survey | Action::Restore { .. } => {
                return Err("nobody has removed anything".into());
            }
            Action::ServeDev { address, .. } => Some(Event::DevServing { address, result: Ok(()) }),
            Action::ServeMetrics { address } => Some(Event::MetricsServing { address, result: Ok(()) }),
            Action::Persist { entry } => {
                self.state = entry.and_then(|entry| State::after(self.state.take(), entry));
                Some(Event::Persisted { result: Ok(()) })
            }
            Action::Record(entry) => Some(Event::Recorded { number: entry.facts.number, result: Ok(()) }),
            Action::LoadConfig => Some(Event::ConfigLoaded { result: Ok(Box::new(config())) }),
            Action::ReopenLogs => Some(Event::LogsReopened { result: Ok(()) }),
            Action::Preflight { .. } | Action::Freeze | Action::Thaw | Action::HandOff { .. } => {
                return Err("nobody has asked for an upgrade".into());
            }
            Action::Reply { to, reply } => {
                let finals = self.finals.entry(to.clone()).or_default();
                *finals += u32::from(reply.done);
                if *finals > 1 || *finals == 1 && !reply.done {
                    return Err(format!("a reply to {to:?} after its final one"));
                }
                let done = reply.done && reply.errors.is_empty() && self.suspending.contains(&to);
                self.suspended |= done && self.finals.values().all(|finals| *finals == 1);
                None
            }
            Action::Quit => {
                self.quit = true;
                None
            }
            Action::Listen { .. } | Action::Unlisten { .. } | Action::Probe { .. } | Action::Notify(_) => {
                return Err(format!(
                    "workers bind their own sockets, and report; no manager listens: {action:?}"
                ));
            }
        })
    }

    fn spawn(&mut self, order: &SpawnOrder) -> Event {
        let suspended =
            order.set.iter().any(|(name, value)| name == "NODESOCKD_SUSPENDED" && value == "true");
        // Pids are few, and used again at once.
        let taken = |pid: &u32| self.processes.iter().any(|process| process.process.pid == *pid);
        let pid = (2..).find(|pid| !taken(pid)).unwrap_or_default();
        let process = Process { pid, started: u64::from(self.lives) };
        self.processes.push(Proc {
            id: order.worker,
            process,
            online: false,
            suspended,
            leaving: false,
            exited: false,
            orphan: false,
            conn: None,
        });
        Event::Spawned { worker: order.worker, result: Ok(process) }
    }

    fn told(&mut self, worker: WorkerId, message: &ToWorker) -> Result<(), String> {
        let named = self.is_named(worker);
        let Some(process) = self.processes.iter_mut().find(|process| process.id == worker) else {
            return Err(format!("{worker} is told something, but is gone"));
        };
        match message {
            ToWorker::Resume { .. } => process.suspended = false,
            ToWorker::Shutdown if named => {
                return Err(format!("{worker} is told to go while a link names it"));
            }
            ToWorker::Shutdown => process.leaving = true,
            ToWorker::SetName { .. }
            | ToWorker::Detach { .. }
            | ToWorker::AppMessage { .. }
            | ToWorker::AppRequest { .. }
            | ToWorker::Ping { .. }
            | ToWorker::Slot { .. }
            | ToWorker::Leader { .. }
            | ToWorker::Count { .. }
            | ToWorker::NodeHandleAck => {}
        }
        Ok(())
    }

    fn signalled(&mut self, worker: WorkerId, target: Process, signal: WorkerSignal) -> Result<(), String> {
        let named = self.is_named(worker);
        let found = self.processes.iter_mut().find(|its| (its.id, its.process) == (worker, target));
        let Some(process) = found else {
            return Err(format!("{signal:?} to {worker}, whose pid is another's"));
        };
        process.leaving = true;
        if named && !process.exited {
            return Err(format!("{signal:?} to {worker} while a link names it"));
        }
        Ok(())
    }

    fn is_named(&self, worker: WorkerId) -> bool {
        self.links.values().any(|socket| socket.contains(&worker.to_string()))
    }

    /// What holds whenever the supervisor waits: links lead to workers that serve, and nobody who is suspended by the
    /// answer of a restart has ceased to be.
    fn check_quiet(&mut self) -> Result<(), String> {
        for (link, socket) in &self.links {
            let named = self.processes.iter().find(|process| socket.contains(&process.id.to_string()));
            if !named.is_some_and(|process| process.alive() && process.online && !process.leaving) {
                return Err(format!("{link} names {named:?}"));
            }
        }
        let active = self.processes.iter().find(|process| process.alive() && !process.suspended);
        match active {
            Some(active) if self.suspended => Err(format!("{active:?} is not suspended")),
            Some(_) | None => Ok(()),
        }
    }

    /// The daemon dies; another one finds what it left.
    fn die(&mut self) {
        self.dies_after = None;
        self.lives += 1;
        self.finals.clear();
        self.processes.retain(Proc::alive);
        for process in &mut self.processes {
            (process.orphan, process.conn) = (true, None);
        }
        let survivors = self.processes.iter().map(|its| Survivor { id: its.id, process: its.process });
        let pattern = config().socket_file;
        let links = (0..2).map(SlotIndex).filter_map(|slot| {
            let name = pattern.link(slot);
            let socket = self.links.get(&name)?.clone();
            Some(FoundLink { slot, name, socket })
        });
        let left = Leftovers {
            state: self.state.clone(),
            survivors: survivors.collect(),
            links: links.collect(),
            command: None,
            history: Vec::new(),
        };
        // Links to nobody are swept.
        self.links.retain(|_, socket| self.processes.iter().any(|its| pattern.socket(its.id) == *socket));
        self.supervisor = Supervisor::adopt(config(), daemon(self.lives), left, self.now);
    }
}
