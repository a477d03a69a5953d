//! One clock for all: what is to come, in order, and the facts that the daemon can have.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use nodesockd_core::event::Event;
use nodesockd_core::id::{ConnId, WorkerId};
use nodesockd_core::{Time, wire::Request};

use super::{Worker, WorkerStep};
use crate::ledger::RequestNo;

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
    Worker(Worker, WorkerStep),
    /// A stopped worker goes on.
    Continue(Worker),
    /// The n-th user makes a request.
    User(u32),
    /// A connection that had been looked up reaches its worker.
    Connect(RequestNo, Worker),
    /// The same for a socket of the daemon's own.
    ConnectToOurs(RequestNo, Box<str>),
    /// nginx closes an idle connection.
    IdleOut(u64),
    /// The n-th fault from outside of the fault plan.
    ExternalFault(usize),
    /// The n-th command of a deploy writes something.
    CommandWrites(usize),
    /// The n-th command of a deploy ends.
    CommandEnds(usize),
    /// The nth command for an event ends.
    HookEnds(usize),
    /// Somebody asks the daemon's successor what its predecessor was asked.
    AskAgain(Box<Request>),
}

/// Whoever brings facts: facts from one source keep their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Worker(WorkerId),
    Client(ConnId),
    /// The command of a deploy.
    Command,
    /// The process that takes workers' output.
    Sink,
    /// The command for events.
    Hook,
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

/// The clock, the agenda and the dice.
#[derive(Debug)]
pub(super) struct Agenda {
    now: Time,
    due: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    /// Facts the daemon can have, in order.
    facts: VecDeque<Event>,
    /// When the last fact from a source was, or will be, delivered.
    lanes: BTreeMap<Lane, Time>,
    dice: fastrand::Rng,
    /// When the daemon took in the last fact it had waited for.
    busy_since: Time,
    happened: u64,
}

impl Agenda {
    /// Nothing is to come; `jitter` draws all that nobody decides.
    pub fn new(jitter: u64) -> Self {
        Self {
            now: Time::ZERO,
            due: BinaryHeap::new(),
            sequence: 0,
            facts: VecDeque::new(),
            lanes: BTreeMap::new(),
            dice: fastrand::Rng::with_seed(jitter),
            busy_since: Time::ZERO,
            happened: 0,
        }
    }

    pub fn now(&self) -> Time {
        self.now
    }

    /// When the supervisor took in the last fact it had waited for. What it does until it waits again, it decided then
    /// or later.
    pub fn busy_since(&self) -> Time {
        self.busy_since
    }

    /// The daemon has something to do again.
    pub fn wakes(&mut self) {
        self.busy_since = self.now;
    }

    /// How many things have happened.
    pub fn happened(&self) -> u64 {
        self.happened
    }

    /// A number that no other caller gets while nothing happens.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn dice(&mut self) -> &mut fastrand::Rng {
        &mut self.dice
    }

    /// Up to so many microseconds.
    pub fn draw_us(&mut self, at_most: u64) -> Duration {
        Duration::from_nanos(self.dice.u64(0..=at_most * 1000))
    }

    pub fn schedule(&mut self, at: Time, what: Happening) {
        self.sequence += 1;
        self.due.push(Reverse(Due { at, sequence: self.sequence, what }));
    }

    /// The daemon can have the fact in a moment, or later by `delay`; not before what comes by the same lane.
    pub fn deliver(&mut self, lane: Option<Lane>, delay: Duration, event: Event) {
        let mut at = self.now + delay + self.draw_us(200);
        if let Some(lane) = lane {
            let last = self.lanes.entry(lane).or_insert(at);
            at = at.max(*last);
            *last = at;
        }
        self.schedule(at, Happening::Deliver(Box::new(event)));
    }

    /// The next thing that happens until then; the clock has gone on to it.
    pub fn next(&mut self, until: Time) -> Option<Happening> {
        self.due.peek().filter(|Reverse(due)| due.at <= until)?;
        let Reverse(Due { at, what, .. }) = self.due.pop()?;
        self.now = self.now.max(at);
        self.happened += 1;
        Some(what)
    }

    /// Nothing more happens until then.
    pub fn pass(&mut self, until: Time) {
        self.now = self.now.max(until);
    }

    /// The daemon can have a fact from now on. Equal signals that are pending are one: false if this one is lost in that.
    pub fn arrives(&mut self, event: Event) -> bool {
        let coalesces = matches!(event, Event::Signalled { .. }) && self.facts.contains(&event);
        if !coalesces {
            self.facts.push_back(event);
        }
        !coalesces
    }

    /// The next fact that the daemon can have.
    pub fn take_fact(&mut self) -> Option<Event> {
        self.facts.pop_front()
    }

    pub fn has_facts(&self) -> bool {
        !self.facts.is_empty()
    }

    /// Facts of this kind are lost, on their way or arrived.
    pub fn lose_facts(&mut self, lost: impl Fn(&Event) -> bool) {
        self.facts.retain(|event| !lost(event));
        self.due.retain(|due| !matches!(&due.0.what, Happening::Deliver(event) if lost(event)));
    }

    /// The daemon is gone: facts are nobody's, and their sources begin anew.
    pub fn lose_daemon(&mut self) {
        self.lose_facts(|_| true);
        self.lanes.clear();
    }
}
