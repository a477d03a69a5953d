//! The world around the supervisor: one clock, one agenda of things to come, and all that they happen to.

mod agenda;
mod backend;
pub mod bench;
mod calls;
mod clients;
mod commands;
mod counts;
mod daemon_death;
mod files;
mod health;
mod history;
mod hooks;
mod leadership;
mod manager;
mod memory;
mod network;
mod oracle;
mod page;
mod process;
mod processes;
pub(crate) mod releases;
mod sink;
mod sockets;
mod survey;
mod upgrade;
mod worker_actions;
mod wrappers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use nodesockd_core::config::{DevAddress, PatternError};
use nodesockd_core::event::{Event, Failure};
use nodesockd_core::page::Page;
use nodesockd_core::state::State;
use nodesockd_core::{Time, config::Config};

pub(crate) use files::Entry;
pub(crate) use process::Worker;
pub(crate) use upgrade::version;
pub(crate) use worker_actions::WorkerStep;

use self::agenda::{Agenda, Happening, Lane};
use self::clients::Clients;
use self::commands::Commands;
use self::counts::Told;
use self::daemon_death::Deaths;
use self::files::Files;
use self::history::HistoryFile;
use self::hooks::Hooks;
use self::leadership::Watched;
use self::manager::Manager;
use self::network::Nginx;
use self::oracle::Oracle;
use self::process::Processes;
use self::releases::Releases;
use self::sink::Sink;
use self::sockets::Listener;
use self::survey::Removals;
use self::upgrade::Upgrades;
use crate::faults::{Call, CallFault, ExternalFaultKind, FaultPlan, Tally, Trouble};
use crate::ledger::{Cause, Ledger};
use crate::scenario::{Act, Scenario, Settings};
use crate::trace::Trace;

/// The daemon's process id; its workers' are small and soon used again.
pub(crate) const DAEMON_PID: u32 = 4711;

/// Everything but the supervisor.
#[derive(Debug)]
pub(crate) struct World {
    agenda: Agenda,
    /// [`Backend::next`](nodesockd_core::backend::Backend::next) gives up then, whatever the supervisor waits for.
    pub horizon: Time,
    scenario: Scenario,
    faults: FaultPlan,
    calls: BTreeMap<Call, u32>,
    pub tally: Tally,
    /// Situations that came about.
    pub marks: Tally,
    /// The configuration file as it is now; `None` when it is ruined.
    file: Option<Settings>,
    pub(crate) releases: Releases,

    files: Files,
    removals: Removals,
    /// What the state file holds.
    state: Option<State>,
    history: HistoryFile,
    hooks: Hooks,
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
    commands: Commands,
    sink: Sink,
    /// What the dev server shows instead of passing connections on.
    /// Where the dev server listens, as it was told last, and what it shows.
    dev_server: Option<DevAddress>,
    page: Option<Page>,
    oracle: Oracle,
    pub ledger: Ledger,
    leadership: Watched,
    told: Told,
    pub trace: Trace,
    violation: Option<String>,
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
            agenda: Agenda::new(scenario.jitter),
            horizon: Time::ZERO,
            file: Some(scenario.settings.clone()),
            releases: Releases::default(),
            calls: BTreeMap::new(),
            tally: Tally::default(),
            marks: Tally::default(),
            files: Files::left(&scenario.leftovers, &config.socket_file),
            removals: Removals::default(),
            state: None,
            history: HistoryFile::default(),
            hooks: Hooks::default(),
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
            commands: Commands::default(),
            sink: Sink::default(),
            dev_server: None,
            page: None,
            oracle: Oracle::new(&config),
            ledger: Ledger::default(),
            leadership: Watched::default(),
            told: Told::default(),
            trace: Trace::new(keep_trace),
            violation: None,
            scenario: scenario.clone(),
            faults: faults.clone(),
        };
        for (index, step) in scenario.script.iter().enumerate() {
            world.at(ms(step.at_ms), Happening::Script(index));
        }
        for (index, external_fault) in faults.external.iter().enumerate() {
            world.at(ms(external_fault.at_ms), Happening::ExternalFault(index));
        }
        scenario.leftovers.iter().for_each(|_| world.tally.count("leftover"));
        for user in 0..scenario.load.users {
            let pause = world.draw_us(scenario.load.pause_ms * 1000);
            world.after(pause, Happening::User(user));
        }
        Ok((world, config))
    }

    pub fn time(&self) -> Time {
        self.agenda.now()
    }

    /// What the daemon, or the world, did wrong first.
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// Only the first one is kept: what follows may follow from it.
    pub fn violated(&mut self, what: impl fmt::Display) {
        if self.violation.is_none() {
            self.trace.line(self.agenda.now(), "VIOLATION", &what);
            self.violation = Some(what.to_string());
        }
    }

    /// Whether script, load and faults have had their time.
    pub fn scenario_over(&self) -> bool {
        self.agenda.now() >= Time::ZERO + ms(self.scenario.length_ms.max(self.faults.until_ms))
    }

    pub(crate) fn faults_over(&self) -> bool {
        self.agenda.now() >= Time::ZERO + ms(self.faults.until_ms)
    }

    fn at(&mut self, at: Duration, what: Happening) {
        self.schedule(Time::ZERO + at, what);
    }

    fn after(&mut self, delay: Duration, what: Happening) {
        self.schedule(self.agenda.now() + delay, what);
    }

    fn schedule(&mut self, at: Time, what: Happening) {
        self.agenda.schedule(at, what);
    }

    /// The daemon, if there is one, will learn of `event` in a moment, or later by `delay`; not before what it is told by
    /// the same source.
    fn deliver(&mut self, lane: Option<Lane>, delay: Duration, event: Event) {
        if !self.deaths.down {
            self.agenda.deliver(lane, delay, event);
        }
    }

    /// Up to so many microseconds.
    fn draw_us(&mut self, at_most: u64) -> Duration {
        self.agenda.draw_us(at_most)
    }

    /// How many things have happened.
    pub fn happened(&self) -> u64 {
        self.agenda.happened()
    }

    /// The next fact, when it is there, or nothing at the deadline.
    pub fn next_event(&mut self, deadline: Option<Time>) -> Option<Event> {
        self.check_thawed();
        self.check_idle();
        self.check_healed();
        self.check_alive();
        self.check_page();
        self.watch_leadership();
        let event = self.wait(deadline);
        self.agenda.wakes();
        event
    }

    fn wait(&mut self, deadline: Option<Time>) -> Option<Event> {
        if deadline.is_some_and(|deadline| deadline <= self.agenda.now()) {
            return None;
        }
        let limit = deadline.map_or(self.horizon, |deadline| deadline.min(self.horizon));
        loop {
            if let Some(mut event) = self.agenda.take_fact() {
                self.look_again(&mut event);
                self.heard(&event);
                return Some(event);
            }
            let Some(what) = self.agenda.next(limit) else {
                self.agenda.pass(limit);
                return None;
            };
            self.happens(what);
        }
    }

    /// Time passes while the daemon is busy.
    pub fn elapse(&mut self, duration: Duration) {
        let until = self.agenda.now() + duration;
        while let Some(what) = self.agenda.next(until) {
            self.happens(what);
        }
        self.agenda.pass(until);
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Deliver(event) => {
                if !self.agenda.arrives(*event) {
                    self.tally.count("signal coalesced");
                }
            }
            Happening::Script(index) => self.script(index),
            Happening::HangUp(conn) => self.hang_up(conn),
            Happening::Worker(worker, step) => self.work(worker, step),
            Happening::Continue(worker) => self.go_on(worker),
            Happening::User(user) => self.user(user),
            Happening::Connect(number, worker) => self.arrive(number, worker),
            Happening::ConnectToOurs(number, socket) => self.arrive_at_ours(number, &socket),
            Happening::IdleOut(connection) => self.idle_out(connection),
            Happening::ExternalFault(index) => self.external_fault(index),
            Happening::CommandWrites(nth) => self.command_writes(nth),
            Happening::CommandEnds(nth) => self.command_ends(nth),
            Happening::HookEnds(nth) => self.hook_ends(nth),
            Happening::AskAgain(request) => self.request(0, "restart --upgrade, again", &request),
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
                self.trace.line(self.agenda.now(), "operator", format_args!("signal {signal:?}"));
                self.deliver(None, Duration::ZERO, Event::Signalled { signal: signal.into() });
            }
            Act::Deploy { release } => self.deploy(release),
            Act::Edit(settings) => {
                self.trace.line(self.agenda.now(), "operator", "edit the configuration");
                self.file = Some(*settings);
            }
            Act::EditBadly => {
                self.trace.line(self.agenda.now(), "operator", "ruin the configuration");
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

    fn external_fault(&mut self, index: usize) {
        let Some(external_fault) = self.faults.external.get(index).copied() else { return };
        if self.faults_over() {
            return;
        }
        self.may_go();
        let live = self.processes.live();
        let pick = |nth: u32| live.get(nth as usize % live.len().max(1)).copied();
        match external_fault.what {
            ExternalFaultKind::Kill { nth } => self.kill_nth(nth),
            ExternalFaultKind::KillAll => {
                self.tally.count("all killed");
                live.into_iter().for_each(|worker| self.kill(worker));
            }
            ExternalFaultKind::Stop { nth, for_ms } => {
                if let Some(worker) = pick(nth) {
                    self.tally.count("stopped");
                    self.stop(worker, ms(for_ms));
                }
            }
            ExternalFaultKind::Unlink { nth } => self.unlink(nth),
            ExternalFaultKind::Prune => self.prune(),
            ExternalFaultKind::Redirect { nth } => self.redirect(nth),
            ExternalFaultKind::RemoveOwn { nth } => self.remove_nth_own(nth),
            ExternalFaultKind::RemoveMetricsSocket => self.remove_metrics_socket(),
            ExternalFaultKind::CleanUp => self.clean_up(),
            ExternalFaultKind::SinkDies => self.sink_dies(),
            ExternalFaultKind::SinkHangs => self.sink_hangs(),
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
        self.note_trouble();
        match trouble {
            Trouble::Fails(errno) => Err(Failure(errno.to_string())),
            Trouble::Slow(late) => {
                self.elapse(ms(late));
                self.note_trouble();
                self.removals.postpone(self.agenda.now());
                Ok(())
            }
        }
    }

    /// The names in `tmpDir` of this history's links and sockets that nobody answers for.
    pub fn litter(&self) -> BTreeSet<String> {
        self.oracle.litter(&self.files, &self.listeners, &self.processes, &self.scenario.leftovers)
    }
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
