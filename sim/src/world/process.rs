//! Workers' processes: the table of them, and what there is to know of one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::config::{Ready, StopSignal};
use nodesockd_core::id::{ConnId, Process, WorkerId};

use super::WorkerStep;
use super::counts::Counting;
use super::leadership::Leading;
use super::oracle::known::Known;
use crate::ledger::RequestNo;
use crate::scenario::{Behaviour, Hang};

/// A worker of this history, numbered in the order of spawning; people read it as `w1`, `w2`, ….
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Worker(pub u32);

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0 + 1)
    }
}

/// A worker whose accept queue cannot be seen goes on accepting for so long.
const BLIND: Duration = Duration::from_millis(500);

/// One process, from spawn until it is reaped and beyond.
#[derive(Debug)]
pub(crate) struct Proc {
    pub id: WorkerId,
    pub process: Process,
    pub plan: Plan,
    pub state: State,
    /// It was killed and does nothing any more, but its sockets are still open.
    pub dying: bool,
    /// It is stopped by SIGSTOP; what it would have done is done when it goes on.
    pub stopped: bool,
    /// Its event loop will not turn again.
    pub hangs: bool,
    /// Since when, and until when it was last.
    pub stands_still: Option<Standstill>,
    pub deferred: VecDeque<WorkerStep>,
    pub sockets: Sockets,
    pub traffic: Traffic,
    pub channel: Channel,
    /// When the last message that was sent to it arrives.
    pub heard_until: Time,
    /// It was started suspended and has not been told to resume.
    pub suspended: bool,
    /// It holds requests until it is resumed; not so if it takes no notice of being started suspended.
    pub holds: bool,
    /// It is fit to answer: the daemon may ask.
    pub healthy: bool,
    /// It has reported online.
    pub reported: bool,
    /// When it has reported to this daemon, which is not its first.
    pub reunites: Option<Time>,
    /// It has reported broken.
    pub broken: bool,
    pub leading: Leading,
    pub counting: Counting,
    /// It is no child of the daemon there is: init collects it when it ends.
    pub adopted: bool,
    /// Who serves, if its own process is a wrapper.
    pub server: Option<Server>,
    /// Children of its own that live: escaped from its group or not.
    pub children: Vec<bool>,
    pub known: Known,
}

/// A time in which a worker's event loop did not turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standstill {
    pub since: Time,
    /// None: until now.
    pub until: Option<Time>,
    pub how: Hang,
}

/// How a worker goes if nobody interferes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How it shows that it is ready.
    pub ready: Ready,
    /// The signal on which its program finishes what it has begun.
    pub finishes_on: StopSignal,
    pub behaviours: Vec<Behaviour>,
    /// By the state file it was started for no slot.
    pub standby: bool,
    /// The number of the release that it runs.
    pub release: usize,
    /// From accepting a request until its answer.
    pub service: Duration,
    pub spawned: Time,
    pub boots_at: Time,
}

/// How far a worker has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Booting,
    Running,
    /// It accepts no more, and goes when it has answered.
    ShuttingDown,
    Ended {
        at: Time,
        /// Its death was none of the daemon's doing.
        by_itself: bool,
    },
}

/// Who serves behind a wrapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Alive,
    /// The daemon sent it SIGTERM and waits for its end.
    Told,
    /// It has ended; the wrapper lives.
    Gone,
}

/// The sockets of a worker, by their file names.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Its own, if it binds one.
    pub own: Option<String>,
    /// The daemon's that it inherited, and those of them that it still holds.
    pub given: Vec<String>,
    pub inherits: Vec<String>,
    /// Those of them that it accepts from: the one that it was told, or all if it hears nothing.
    pub accepts: BTreeSet<String>,
}

/// The connections of a worker, and what it does with them.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// It listens on its own socket, and these connections wait.
    pub queue: Option<VecDeque<RequestNo>>,
    /// It is about to look at what waits.
    pub accepting: bool,
    /// Requests it works on.
    pub serving: BTreeSet<RequestNo>,
    /// Requests it holds until it is resumed.
    pub held: BTreeSet<RequestNo>,
    /// nginx's idle connections to it.
    pub idle: BTreeSet<u64>,
    /// How many requests it has begun.
    pub begun: u32,
    /// Questions of the daemon's that wait for an answer.
    pub probes: u32,
    /// How often a deploy has asked it whether it is fit.
    pub checks: u32,
}

impl Traffic {
    /// Somebody waits for it.
    pub fn is_busy(&self) -> bool {
        !self.serving.is_empty() || !self.held.is_empty() || !self.idle.is_empty()
    }
}

/// How a worker and the daemon reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// By the channel that it was started with.
    Open,
    /// Its daemon has died. What that had told it, it still hears; it may have a connection to the next one.
    Orphaned(Option<ConnId>),
    Closed,
}

impl Proc {
    pub fn alive(&self) -> bool {
        !matches!(self.state, State::Ended { .. })
    }

    /// Its death was none of the daemon's doing.
    pub fn died_by_itself(&self) -> bool {
        matches!(self.state, State::Ended { by_itself: true, .. })
    }

    pub fn ended_at(&self) -> Option<Time> {
        if let State::Ended { at, .. } = self.state { Some(at) } else { None }
    }

    pub fn is_shutting_down(&self) -> bool {
        self.state == State::ShuttingDown
    }

    pub fn has_own_channel(&self) -> bool {
        self.channel == Channel::Open
    }

    /// Its daemon has died, and it did not close its channel.
    pub fn is_orphaned(&self) -> bool {
        matches!(self.channel, Channel::Orphaned(_))
    }

    /// It has outlived its daemon, and has not reported to the next one, as far as that knows.
    pub fn awaits_reunion(&self) -> bool {
        self.is_orphaned() && !self.known.reunited
    }

    /// Its connection to the control socket of a daemon that is not its first.
    pub fn conn(&self) -> Option<ConnId> {
        if let Channel::Orphaned(conn) = self.channel { conn } else { None }
    }

    pub fn retiring(&self) -> bool {
        self.known.draining.is_some() || self.known.told_to_go() || self.known.unlinked.is_some()
    }

    /// It talks to the daemon, and hears it.
    pub fn speaks(&self) -> bool {
        self.plan.ready == Ready::Report
    }

    /// It accepts although it was started suspended and has not been told to resume.
    pub fn ignores_suspension(&self) -> bool {
        self.speaks() && self.suspended && !self.sockets.accepts.is_empty()
    }

    /// It has inherited this socket.
    pub fn inherits(&self, socket: &str) -> bool {
        self.sockets.inherits.iter().any(|inherited| inherited == socket)
    }

    /// It has inherited this socket, and accepts from no other.
    pub fn may_accept(&self, socket: &str) -> bool {
        self.inherits(socket) && (self.is_free_for(socket) || !self.speaks())
    }

    /// It has inherited this socket, was ready, and has not been told to go, as far as the daemon knows.
    pub fn tends(&self, socket: &str) -> bool {
        self.may_accept(socket) && self.known.online && !self.known.exited && !self.known.is_known_to_go()
    }

    /// It was told to accept from no other socket than this.
    pub fn is_free_for(&self, socket: &str) -> bool {
        self.known.told_socket.as_deref().is_none_or(|told| told == socket)
    }

    /// It accepts from this socket, and was told no other.
    pub fn serves_from(&self, socket: &str) -> bool {
        self.sockets.accepts.contains(socket) && self.is_free_for(socket)
    }

    /// The inherited socket that a descriptor is, by default the first.
    pub fn socket_at(&self, fd: Option<u32>) -> Option<&String> {
        self.sockets.given.get(fd.and_then(|fd| fd.checked_sub(3)).unwrap_or_default() as usize)
    }

    /// Who served behind this wrapper was told to go by an earlier daemon, which could not write that down, and has gone. The next
    /// daemon takes the wrapper for a worker that serves from this socket, and cannot see that nobody does.
    pub fn stands_in(&self, socket: &str) -> bool {
        let gone = self.server == Some(Server::Gone) && self.known.told_unrecorded;
        self.alive() && gone && self.sockets.given.iter().any(|its| its == socket)
    }

    /// A standby that nobody has promoted. One that hears nothing may accept for every slot, and nobody counts on that.
    pub fn is_idle(&self) -> bool {
        self.plan.standby && self.known.told_socket.is_none()
    }

    /// It has said, or shown, that it wants a replacement.
    pub fn asks_to_go(&self) -> bool {
        self.broken || self.channel == Channel::Closed
    }

    /// Another process may get its pid.
    fn pid_is_free(&self) -> bool {
        self.known.reaped || self.adopted && !self.alive()
    }

    /// It was told to go, or asked to.
    pub fn asked_to_go(&self) -> bool {
        self.asks_to_go() || self.retiring() || self.is_shutting_down()
    }

    /// It can be told things.
    pub fn reachable(&self) -> bool {
        self.has_own_channel() || self.conn().is_some()
    }

    /// Its daemon has died. Where it has ended itself, init collects it.
    pub fn lose_daemon(&mut self) {
        (self.reunites, self.known.reunited) = (None, false);
        if self.alive() {
            self.adopted = true;
            if self.channel != Channel::Closed {
                self.channel = Channel::Orphaned(None);
            }
        } else {
            self.known.exited = true;
            self.known.reaped = true;
        }
    }

    /// Its accept queue could not be seen for so long that it is not waited for any longer.
    pub fn is_unseen(&self, now: Time) -> bool {
        self.known.blind_since.is_some_and(|since| now.since(since) >= BLIND)
    }

    pub fn has(&self, behaviour: Behaviour) -> bool {
        self.plan.behaviours.contains(&behaviour)
    }

    /// What it answers to the check of a deploy that it has just got, and how long it takes for that beyond what others take.
    pub fn answers_check(&self) -> (u16, Duration) {
        let asked = self.traffic.checks;
        let behaviours = || self.plan.behaviours.iter();
        let fails = behaviours().any(|its| matches!(its, Behaviour::FailsChecks { after } if asked > *after));
        let late = behaviours().map(|its| {
            if let Behaviour::ChecksLate { by_ms } = its {
                Duration::from_millis(*by_ms)
            } else {
                Duration::ZERO
            }
        });
        (if fails { 503 } else { 200 }, late.sum())
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    table: Vec<Proc>,
    by_id: BTreeMap<WorkerId, Worker>,
}

impl Processes {
    pub fn get(&self, worker: Worker) -> Option<&Proc> {
        self.table.get(worker.0 as usize)
    }

    pub fn get_mut(&mut self, worker: Worker) -> Option<&mut Proc> {
        self.table.get_mut(worker.0 as usize)
    }

    /// Whether a wrapper is there whose server is gone, and is taken for who serves from this socket.
    pub fn has_stand_in(&self, socket: &str) -> bool {
        self.table.iter().any(|process| process.stands_in(socket))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Proc> {
        self.table.iter_mut()
    }

    /// The number that the next one gets.
    pub fn next(&self) -> Worker {
        Worker(u32::try_from(self.table.len()).unwrap_or(u32::MAX))
    }

    pub fn add(&mut self, process: Proc) {
        self.by_id.insert(process.id, self.next());
        self.table.push(process);
    }

    pub fn named(&self, id: WorkerId) -> Option<Worker> {
        self.by_id.get(&id).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Worker, &Proc)> + Clone {
        (0..).map(Worker).zip(&self.table)
    }

    pub fn live(&self) -> Vec<Worker> {
        self.iter().filter(|(_, process)| process.alive()).map(|(worker, _)| worker).collect()
    }

    /// The lowest pid that is free: one that was freed is taken again at once.
    pub fn free_pid(&self) -> u32 {
        let taken: BTreeSet<u32> = self
            .table
            .iter()
            .filter(|process| !process.pid_is_free())
            .map(|process| process.process.pid)
            .collect();
        (5000..).find(|pid| !taken.contains(pid)).unwrap_or(u32::MAX)
    }
}
