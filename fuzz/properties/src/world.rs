//! A world in which bytes choose what happens and what fails, but in which only happens what can: a process exits once
//! and after it was started, each order has its own completion, a client that hung up says nothing more.

mod calls;
mod configuration;
mod proc;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;

use nodesockd_core::Time;
use nodesockd_core::config::Config;
use nodesockd_core::event::{DaemonSignal, Event, ExitStatus, Failure, Queue};
use nodesockd_core::id::{ConnId, Peer, RequestRef, WorkerId};
use nodesockd_core::notice::Notice;
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::wire::{FromWorker, Request};

use crate::input::Input;
use crate::lines::options;

use configuration::{configuration, few};
use proc::{Proc, Stage};

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
