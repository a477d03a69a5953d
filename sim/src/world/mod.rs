//! The world around the supervisor: one clock, one agenda of things to come, and all that they happen to.

pub mod bench;
mod blame;
mod calls;
mod check;
mod clients;
mod death;
mod deeds;
mod files;
mod links;
mod listeners;
mod manager;
mod nginx;
mod process;
mod promises;
mod rest;
mod upgrade;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt;
use std::time::Duration;

use nodesockd_core::config::PatternError;
use nodesockd_core::event::{Event, Failure};
use nodesockd_core::id::{ConnId, WorkerId};
use nodesockd_core::state::State;
use nodesockd_core::wire::Request;
use nodesockd_core::{Time, config::Config};

pub(crate) use deeds::Doing;
pub(crate) use files::Entry;
pub(crate) use process::Worker;
pub(crate) use upgrade::version;

use self::clients::Clients;
use self::death::Deaths;
use self::files::Files;
use self::listeners::Listener;
use self::manager::Manager;
use self::nginx::Nginx;
use self::process::Processes;
use self::promises::Promises;
use self::upgrade::Upgrades;
use crate::faults::{Call, CallFault, FaultPlan, Harm, Tally, Trouble};
use crate::ledger::{Cause, Ledger, RequestNo};
use crate::scenario::{Act, Scenario, Settings};
use crate::trace::Trace;

/// The daemon's process id; its workers' are small and soon used again.
pub(crate) const DAEMON_PID: u32 = 4711;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The daemon can learn of this.
    Deliver(Box<Event>),
    /// The n-th step of the script.
    Script(usize),
    /// A client closes its connection.
    HangUp(ConnId),
    /// A worker does something, unless it is stopped: then it does so later.
    Worker(Worker, Doing),
    /// A stopped worker goes on.
    Continue(Worker),
    /// The n-th user makes a request.
    User(u32),
    /// A connection that had been looked up reaches its worker.
    Connect(RequestNo, Worker),
    /// The same for a socket of the daemon's own.
    ConnectToOurs(RequestNo, String),
    /// nginx closes an idle connection.
    IdleOut(u64),
    /// The n-th blow of the fault plan.
    Blow(usize),
    /// Somebody asks the daemon's successor what its predecessor was asked.
    AskAgain(Box<Request>),
}

/// Something on the agenda, ordered by time, then by when it was put there.
#[derive(Debug)]
struct Due {
    at: Time,
    sequence: u64,
    what: Happening,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

/// Everything but the supervisor.
#[derive(Debug)]
pub(crate) struct World {
    now: Time,
    agenda: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    /// Facts the daemon can have, in order.
    ready: VecDeque<Event>,
    /// When the last fact from a source was, or will be, delivered: facts from one source keep their order.
    lanes: BTreeMap<Lane, Time>,
    dice: fastrand::Rng,
    /// [`Backend::next`](nodesockd_core::backend::Backend::next) gives up then, whatever the supervisor waits for.
    pub horizon: Time,
    /// When the supervisor took in the last fact it had waited for. What it does until it waits again, it decided then
    /// or later.
    pub busy_since: Time,
    /// How many things have happened.
    pub happened: u64,

    scenario: Scenario,
    faults: FaultPlan,
    calls: BTreeMap<Call, u32>,
    pub tally: Tally,
    /// Situations that came about.
    pub marks: Tally,
    /// The configuration file as it is now; `None` when it is ruined.
    file: Option<Settings>,
    release: usize,

    files: Files,
    /// What the state file holds.
    state: Option<State>,
    deaths: Deaths,
    manager: Manager,
    pub upgrades: Upgrades,
    /// The configuration in force.
    in_force: Settings,
    /// Listening sockets that the daemon holds, by their file names; and how many it ever opened.
    listeners: BTreeMap<String, Listener>,
    opened: usize,
    /// Those that were closed, and why somebody might still have come.
    closed: BTreeMap<String, Option<Cause>>,
    processes: Processes,
    nginx: Nginx,
    clients: Clients,
    promises: Promises,
    pub ledger: Ledger,
    pub trace: Trace,
    violation: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Worker(WorkerId),
    Client(ConnId),
}

impl World {
    /// The world at the moment at which the daemon starts; also the configuration it starts with.
    pub fn new(
        scenario: &Scenario,
        faults: &FaultPlan,
        keep_trace: bool,
    ) -> Result<(Self, Config), PatternError> {
        let config = scenario.settings.config()?;
        let mut world = Self {
            now: Time::ZERO,
            agenda: BinaryHeap::new(),
            sequence: 0,
            ready: VecDeque::new(),
            lanes: BTreeMap::new(),
            dice: fastrand::Rng::with_seed(scenario.jitter),
            horizon: Time::ZERO,
            busy_since: Time::ZERO,
            happened: 0,
            file: Some(scenario.settings.clone()),
            release: 0,
            calls: BTreeMap::new(),
            tally: Tally::default(),
            marks: Tally::default(),
            files: Files::left(&scenario.leftovers, &config.socket_file),
            state: None,
            deaths: Deaths::default(),
            manager: Manager::default(),
            upgrades: Upgrades::default(),
            in_force: scenario.settings.clone(),
            listeners: BTreeMap::new(),
            opened: 0,
            closed: BTreeMap::new(),
            processes: Processes::default(),
            nginx: Nginx::default(),
            clients: Clients::default(),
            promises: Promises::new(&config),
            ledger: Ledger::default(),
            trace: Trace::new(keep_trace),
            violation: None,
            scenario: scenario.clone(),
            faults: faults.clone(),
        };
        for (index, step) in scenario.script.iter().enumerate() {
            world.at(ms(step.at_ms), Happening::Script(index));
        }
        for (index, blow) in faults.blows.iter().enumerate() {
            world.at(ms(blow.at_ms), Happening::Blow(index));
        }
        scenario.leftovers.iter().for_each(|_| world.tally.count("leftover"));
        for user in 0..scenario.load.users {
            let pause = world.draw_us(scenario.load.pause_ms * 1000);
            world.after(pause, Happening::User(user));
        }
        Ok((world, config))
    }

    pub fn time(&self) -> Time {
        self.now
    }

    /// What the daemon, or the world, did wrong first.
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// Only the first one is kept: what follows may follow from it.
    pub fn violated(&mut self, what: impl fmt::Display) {
        if self.violation.is_none() {
            self.trace.line(self.now, "VIOLATION", &what);
            self.violation = Some(what.to_string());
        }
    }

    /// Whether script, load and faults have had their time.
    pub fn scenario_over(&self) -> bool {
        self.now >= Time::ZERO + ms(self.scenario.length_ms.max(self.faults.until_ms))
    }

    pub(crate) fn faults_over(&self) -> bool {
        self.now >= Time::ZERO + ms(self.faults.until_ms)
    }

    fn at(&mut self, at: Duration, what: Happening) {
        self.schedule(Time::ZERO + at, what);
    }

    fn after(&mut self, delay: Duration, what: Happening) {
        self.schedule(self.now + delay, what);
    }

    fn schedule(&mut self, at: Time, what: Happening) {
        self.sequence += 1;
        self.agenda.push(Reverse(Due { at, sequence: self.sequence, what }));
    }

    /// The daemon will learn of `event` in a moment, or later by `delay`; not before what it is told by the same source.
    fn deliver(&mut self, lane: Option<Lane>, delay: Duration, event: Event) {
        if self.deaths.down {
            return;
        }
        let mut at = self.now + delay + self.draw_us(200);
        if let Some(lane) = lane {
            let last = self.lanes.entry(lane).or_insert(at);
            at = at.max(*last);
            *last = at;
        }
        self.schedule(at, Happening::Deliver(Box::new(event)));
    }

    /// Up to so many microseconds.
    fn draw_us(&mut self, at_most: u64) -> Duration {
        Duration::from_nanos(self.dice.u64(0..=at_most * 1000))
    }

    /// The next fact, when it is there, or nothing at the deadline.
    pub fn next_event(&mut self, deadline: Option<Time>) -> Option<Event> {
        self.check_thawed();
        self.check_idle();
        self.check_alive();
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            self.busy_since = self.now;
            return None;
        }
        let limit = deadline.map_or(self.horizon, |deadline| deadline.min(self.horizon));
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.heard(&event);
                self.busy_since = self.now;
                return Some(event);
            }
            match self.agenda.peek() {
                Some(Reverse(due)) if due.at <= limit => self.happen_next(),
                Some(_) | None => {
                    self.now = self.now.max(limit);
                    self.busy_since = self.now;
                    return None;
                }
            }
        }
    }

    /// Time passes while the daemon is busy.
    pub fn elapse(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.agenda.peek().is_some_and(|Reverse(due)| due.at <= until) {
            self.happen_next();
        }
        self.now = until;
    }

    fn happen_next(&mut self) {
        let Some(Reverse(Due { at, what, .. })) = self.agenda.pop() else { return };
        self.now = self.now.max(at);
        self.happened += 1;
        match what {
            Happening::Deliver(event) => self.arrives(*event),
            Happening::Script(index) => self.script(index),
            Happening::HangUp(conn) => self.hang_up(conn),
            Happening::Worker(worker, doing) => self.work(worker, doing),
            Happening::Continue(worker) => self.go_on(worker),
            Happening::User(user) => self.user(user),
            Happening::Connect(number, worker) => self.arrive(number, worker),
            Happening::ConnectToOurs(number, socket) => self.arrive_at_ours(number, &socket),
            Happening::IdleOut(connection) => self.idle_out(connection),
            Happening::Blow(index) => self.blow(index),
            Happening::AskAgain(request) => self.request(0, "restart --upgrade, again", &request),
        }
    }

    /// The daemon can have a fact from now on. Equal signals that are pending are one.
    fn arrives(&mut self, event: Event) {
        if matches!(event, Event::Signalled { .. }) && self.ready.contains(&event) {
            self.tally.count("signal coalesced");
        } else {
            self.ready.push_back(event);
        }
    }

    fn script(&mut self, index: usize) {
        if let Some(step) = self.scenario.script.get(index).cloned() {
            self.act(step.act);
        }
    }

    /// An operator does something.
    pub fn act(&mut self, act: Act) {
        match act {
            Act::Ask { client, ask, twice, hang_up_ms } => {
                self.ask(client, &ask, twice, hang_up_ms);
            }
            Act::WorkerAsks { nth, ask } => self.worker_asks(nth, &ask),
            Act::Signal(signal) => {
                self.trace.line(self.now, "operator", format_args!("signal {signal:?}"));
                self.deliver(None, Duration::ZERO, Event::Signalled { signal: signal.into() });
            }
            Act::Deploy { release } => {
                self.trace.line(self.now, "operator", format_args!("deploy release {release}"));
                self.release = release.min(self.scenario.releases.len().saturating_sub(1));
            }
            Act::Edit(settings) => {
                self.trace.line(self.now, "operator", "edit the configuration");
                self.file = Some(*settings);
            }
            Act::EditBadly => {
                self.trace.line(self.now, "operator", "ruin the configuration");
                self.file = None;
            }
        }
    }

    /// The n-th live worker is killed.
    pub fn kill_nth(&mut self, nth: u32) {
        let live = self.processes.live();
        if let Some(worker) = live.get(nth as usize % live.len().max(1)).copied() {
            self.tally.count("killed");
            self.kill(worker);
        }
    }

    fn blow(&mut self, index: usize) {
        let Some(blow) = self.faults.blows.get(index).copied() else { return };
        if self.faults_over() {
            return;
        }
        self.may_go();
        let live = self.processes.live();
        let pick = |nth: u32| live.get(nth as usize % live.len().max(1)).copied();
        match blow.what {
            Harm::Kill { nth } => self.kill_nth(nth),
            Harm::KillAll => {
                self.tally.count("all killed");
                live.into_iter().for_each(|worker| self.kill(worker));
            }
            Harm::Stop { nth, for_ms } => {
                if let Some(worker) = pick(nth) {
                    self.tally.count("stopped");
                    self.stop(worker, ms(for_ms));
                }
            }
            Harm::Unlink { nth } => self.unlink(nth),
        }
    }

    /// A call of the backend begins: it takes its time, and the plan may have an error for it.
    pub fn call(&mut self, call: Call) -> Result<(), Failure> {
        let took = self.draw_us(150);
        self.elapse(took);
        let nth = self.calls.entry(call).or_default();
        let this = *nth;
        *nth += 1;
        if self.faults_over() {
            return Ok(());
        }
        let planned = |fault: &&CallFault| fault.call == call && fault.nth == this;
        let Some(trouble) = self.faults.calls.iter().find(planned).map(|fault| fault.trouble) else {
            return Ok(());
        };
        self.tally.call(call, trouble);
        match trouble {
            Trouble::Fails(errno) => Err(Failure(errno.to_string())),
            Trouble::Slow(late) => {
                self.elapse(ms(late));
                Ok(())
            }
        }
    }

    /// The names in `tmpDir` of this history's links and sockets that nobody answers for.
    pub fn litter(&self) -> BTreeSet<String> {
        self.promises.litter(&self.files, &self.listeners, &self.processes, &self.scenario.leftovers)
    }
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
