//! The contract, seen from outside: what operators and users were promised, held against what happens.
//!
//! None of it asks the supervisor what it thinks; it only knows what the daemon could know, and what it did.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::action::WorkerSignal;
use nodesockd_core::config::{Config, Named, SocketPattern};
use nodesockd_core::event::{DaemonSignal, Event};
use nodesockd_core::id::{Process, SlotIndex, WorkerId};
use nodesockd_core::wire::{FromWorker, Request, ToWorker};

use super::files::{Entry, Files};
use super::listeners::Listener;
use super::process::Processes;
use super::{Worker, World};
use crate::scenario::Behaviour;

/// From SIGTERM to SIGKILL (spec section 2).
const KILL_DELAY: Duration = Duration::from_secs(5);

/// Within so long no more workers are ordered than starts and first retries call for.
const STORM: Duration = Duration::from_millis(50);

/// What was promised.
#[derive(Debug)]
pub(crate) struct Promises {
    /// All `socketFile`s that were in force, the latest last.
    patterns: Vec<SocketPattern>,
    /// The shortest time-outs that were in force.
    pub drain: Duration,
    pub shutdown: Duration,
    /// Workers are meant to run: no stop was asked for since the last start succeeded.
    pub wanted: bool,
    stops_open: u32,
    /// How many slots there may be: what was asked for since all was quiet may have come about, or not.
    counts: BTreeSet<u32>,
    /// The most workers and standbys that were ever asked for.
    most: u32,
    most_standby: u32,
    /// The most attempts that a start may take.
    attempts: u32,
    /// When workers were ordered lately, and when starts ended.
    orders: VecDeque<Time>,
    ends: VecDeque<Time>,
    /// The app is suspended, unless one of so many open requests ends that.
    pub suspended: bool,
    lifting: u32,
    interrupts: u32,
    /// The daemon was asked to quit; its successor knows nothing of that.
    quitting: bool,
    pub slots: BTreeMap<SlotIndex, Slot>,
    /// Files whose removal failed by an injected error the last time it was tried.
    stuck: BTreeSet<String>,
    sweep_failed: bool,
    /// Links and sockets that somebody else removed, and that the daemon has not made again.
    spoiled: BTreeSet<String>,
}

/// What a slot's link names, or named last.
#[derive(Debug)]
pub(super) struct Slot {
    pub link: String,
    pub socket: String,
    /// Whose socket it is, if not the daemon's.
    pub worker: Option<Worker>,
}

impl Promises {
    pub fn new(config: &Config) -> Self {
        Self {
            patterns: vec![config.socket_file.clone()],
            drain: config.options.drain_timeout,
            shutdown: config.options.shutdown_timeout,
            wanted: true,
            stops_open: 0,
            counts: BTreeSet::from([config.workers.get()]),
            most: config.workers.get(),
            most_standby: config.standby,
            attempts: config.options.max_start_attempts.get(),
            orders: VecDeque::new(),
            ends: VecDeque::new(),
            suspended: false,
            lifting: 0,
            interrupts: 0,
            quitting: false,
            slots: BTreeMap::new(),
            stuck: BTreeSet::new(),
            sweep_failed: false,
            spoiled: BTreeSet::new(),
        }
    }

    /// The link that nginx follows to a slot.
    pub fn link(&self, slot: SlotIndex) -> Option<&str> {
        self.slots.get(&slot).map(|slot| slot.link.as_str())
    }

    fn slot_of(&self, link: &str) -> Option<SlotIndex> {
        self.patterns.iter().rev().find_map(|pattern| match pattern.matches(link) {
            Some(Named::Link(slot)) => Some(slot),
            Some(Named::TemporaryLink | Named::Socket(_)) | None => None,
        })
    }

    /// Somebody has removed the link of a slot, or the socket that it names.
    pub fn is_spoiled(&self, slot: SlotIndex) -> bool {
        let Some(slot) = self.slots.get(&slot) else { return false };
        self.spoiled.contains(&slot.link) || self.spoiled.contains(&slot.socket)
    }

    /// There are at least so many slots.
    pub fn floor(&self) -> u32 {
        self.counts.first().copied().unwrap_or_default()
    }

    /// What was asked for may have come about, or not.
    pub fn in_doubt(&self) -> bool {
        self.lifting > 0 || self.stops_open > 0 || self.quitting
    }

    /// Another daemon is there: nobody waits for the earlier one's replies.
    pub fn adopted(&mut self, wanted: bool, suspended: bool) {
        (self.wanted, self.suspended) = (wanted, suspended);
        (self.lifting, self.stops_open, self.interrupts) = (0, 0, 0);
        self.quitting = false;
    }

    /// What was asked for may come to these numbers, too.
    pub fn may_be(&mut self, slots: &[u32], standby: u32) {
        self.counts.extend(slots);
        self.most = self.most.max(slots.iter().copied().max().unwrap_or_default());
        self.most_standby = self.most_standby.max(standby);
    }

    /// Somebody removed the socket.
    pub fn has_spoiled(&self, socket: &str) -> bool {
        self.spoiled.contains(socket)
    }

    /// It could not be removed.
    pub fn is_stuck(&self, name: &str) -> bool {
        self.stuck.contains(name)
    }

    pub fn kill_allowed(&self) -> bool {
        self.interrupts > 1
    }

    pub fn litter(
        &self,
        files: &Files,
        listeners: &BTreeMap<String, Listener>,
        processes: &Processes,
        leftovers: &[String],
    ) -> BTreeSet<String> {
        let serves = |worker: Option<Worker>| {
            worker.and_then(|worker| processes.get(worker)).is_some_and(super::process::Proc::alive)
        };
        let owned = |name: &str, entry: &Entry| match entry {
            Entry::Plain => true,
            Entry::Socket(worker) => serves(*worker),
            Entry::Ours => listeners.contains_key(name),
            Entry::Link(_) => {
                let target = files.target(name);
                let spoiled = target.is_some_and(|socket| self.spoiled.contains(socket));
                let named = self.slots.values().find(|slot| spoiled && slot.link == name);
                serves(named.and_then(|slot| slot.worker).or(files.follow(name)))
                    || target.is_some_and(|socket| listeners.contains_key(socket))
            }
        };
        files
            .iter()
            .filter(|(name, entry)| !owned(name, entry) && !self.stuck.contains(*name))
            .filter(|(name, _)| !(self.sweep_failed && leftovers.iter().any(|left| left == name)))
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

impl World {
    /// The daemon takes in a fact: from now on it knows.
    pub(super) fn heard(&mut self, event: &Event) {
        match event {
            Event::Received { worker, message: FromWorker::Online { .. } }
            | Event::Notified { worker }
            | Event::Probed { worker, result: Ok(200) } => {
                if let Some(process) = self.processes.named(*worker).and_then(|w| self.processes.get_mut(w)) {
                    process.known_online = true;
                }
            }
            Event::Claimed { claims: Some(worker), message: FromWorker::Online { .. }, .. } => {
                if let Some(process) = self.processes.named(*worker).and_then(|w| self.processes.get_mut(w)) {
                    process.known_online = true;
                }
            }
            Event::Exited { worker, .. } => {
                if let Some(process) = self.processes.named(*worker).and_then(|w| self.processes.get_mut(w)) {
                    process.exit_known = true;
                }
            }
            Event::Requested { from, request } => self.heard_request(&from.clone(), &request.clone()),
            Event::Signalled { signal } => {
                self.may_go();
                if matches!(signal, DaemonSignal::Terminate | DaemonSignal::Interrupt) {
                    self.promises.wanted = false;
                    self.promises.quitting = true;
                    self.promises.stops_open += 1;
                }
                self.promises.interrupts += u32::from(*signal == DaemonSignal::Interrupt);
            }
            Event::Received { .. }
            | Event::Spawned { .. }
            | Event::Probed { .. }
            | Event::Listening { .. }
            | Event::Unlistened { .. }
            | Event::Reaped { .. }
            | Event::ChannelClosed { .. }
            | Event::Published { .. }
            | Event::Withdrawn { .. }
            | Event::QueueMeasured { .. }
            | Event::Removed { .. }
            | Event::Swept { .. }
            | Event::DevServing { .. }
            | Event::Persisted { .. }
            | Event::Claimed { .. }
            | Event::ConfigLoaded { .. }
            | Event::LogsReopened { .. }
            | Event::Disconnected { .. } => {}
        }
    }

    pub(super) fn promise_on_request(&mut self, request: &Request) {
        let promises = &mut self.promises;
        if let Request::Start(options) | Request::Restart { options, .. } = request {
            promises.attempts = promises.attempts.max(options.max_attempts.map_or(0, NonZeroU32::get));
        }
        match request {
            Request::Stop | Request::Terminate => {
                promises.wanted = false;
                promises.quitting |= *request == Request::Terminate;
                promises.stops_open += 1;
                promises.lifting += 1;
            }
            Request::Start(_) | Request::Restart { .. } | Request::Resume => promises.lifting += 1,
            Request::SetWorkers { count } => {
                promises.counts.insert(count.get());
                promises.most = promises.most.max(count.get());
            }
            Request::SetStandby { count } => promises.most_standby = promises.most_standby.max(*count),
            Request::Status
            | Request::Config
            | Request::Reload
            | Request::SendMessage { .. }
            | Request::SendRequest { .. } => {}
        }
    }

    pub(super) fn promise_on_reply(&mut self, request: &Request, done: bool) {
        let now = self.now;
        let promises = &mut self.promises;
        if matches!(request, Request::Start(_) | Request::Restart { .. } | Request::Reload) {
            promises.ends.push_back(now);
        }
        match request {
            Request::Stop | Request::Terminate => {
                promises.stops_open -= 1;
                promises.lifting -= 1;
                if done {
                    promises.suspended = false;
                    promises.wanted = false;
                }
            }
            Request::Start(options) => {
                promises.lifting -= 1;
                if done && !promises.wanted && promises.stops_open == 0 {
                    promises.wanted = true;
                    promises.suspended = options.suspended;
                }
            }
            Request::Restart { options, .. } => {
                promises.lifting -= 1;
                if done {
                    promises.wanted = promises.stops_open == 0;
                    promises.suspended = options.suspended;
                    if options.suspended {
                        self.check_suspended();
                    }
                }
            }
            Request::Resume => {
                promises.lifting -= 1;
                if done {
                    promises.suspended = false;
                }
            }
            Request::SetWorkers { count } if done => promises.counts = BTreeSet::from([count.get()]),
            Request::SetWorkers { .. }
            | Request::Status
            | Request::Config
            | Request::SetStandby { .. }
            | Request::Reload
            | Request::SendMessage { .. }
            | Request::SendRequest { .. } => {}
        }
    }

    /// The configuration was read.
    pub fn promise_on_load(&mut self, config: &Config) {
        let promises = &mut self.promises;
        promises.drain = promises.drain.min(config.options.drain_timeout);
        promises.shutdown = promises.shutdown.min(config.options.shutdown_timeout);
        promises.counts.insert(config.workers.get());
        promises.most = promises.most.max(config.workers.get());
        promises.most_standby = promises.most_standby.max(config.standby);
        if !promises.patterns.contains(&config.socket_file) {
            promises.patterns.push(config.socket_file.clone());
        }
    }

    /// A worker is ordered: whatever is wrong, that does not happen as fast as the machine can.
    pub(super) fn check_ordered(&mut self) {
        let now = self.now;
        let promises = &mut self.promises;
        promises.orders.push_back(now);
        for times in [&mut promises.orders, &mut promises.ends] {
            times.retain(|at| now.since(*at) <= STORM);
        }
        // One set by itself, the free second attempt of each, one more for a standby promoted, and starts that use up their attempts one after the other.
        let starts = 1 + u32::try_from(promises.ends.len()).unwrap_or(u32::MAX);
        let most = (promises.most + promises.most_standby) * (3 + promises.attempts * starts);
        let count = promises.orders.len();
        if count > most as usize {
            let millis = STORM.as_millis();
            self.violated(format_args!(
                "{count} workers are ordered within {millis} ms; at most {most} are due"
            ));
        }
    }

    /// When a suspended restart has been answered, a migration may begin.
    fn check_suspended(&mut self) {
        let active = self.processes.iter().find(|(_, process)| process.alive() && !process.suspended);
        if let Some((worker, _)) = active {
            self.violated(format_args!(
                "a suspended restart is done, but {worker} is alive and not suspended"
            ));
        }
    }

    pub(super) fn check_spawned(&mut self, worker: Worker) {
        let Some(process) = self.processes.get(worker) else { return };
        if !process.suspended && self.promises.suspended && self.promises.lifting == 0 {
            self.violated(format_args!("{worker} is started unsuspended while the app is suspended"));
        }
        let staying =
            self.processes.iter().filter(|(_, process)| process.alive() && !process.retiring()).count();
        let failing =
            self.processes.iter().filter(|(_, process)| process.alive() && process.asks_to_go()).count();
        // One set, its replacement, those that ask to be replaced, and one set whose end is decided but not begun.
        let (slots, standbys) = (self.promises.most as usize, self.promises.most_standby as usize);
        let most = 3 * (slots + standbys) + failing;
        if staying > most {
            self.violated(format_args!(
                "{staying} processes are alive that are not retiring; at most {most} are due"
            ));
        }
    }

    pub(super) fn check_told(&mut self, worker: Worker, message: &ToWorker) {
        match message {
            ToWorker::Resume { .. } if self.promises.suspended && self.promises.lifting == 0 => {
                self.violated(format_args!("{worker} is told to resume while the app is suspended"));
            }
            ToWorker::Resume { .. } if self.is_unnamed(worker) => {
                self.violated(format_args!("{worker} is told to resume before a link names it"));
            }
            ToWorker::Shutdown => self.check_retired(worker, "told to shut down"),
            ToWorker::Resume { .. }
            | ToWorker::SetName { .. }
            | ToWorker::AppMessage { .. }
            | ToWorker::AppRequest { .. }
            | ToWorker::NodeHandleAck => {}
        }
    }

    /// No link has ever named the socket of the worker.
    fn is_unnamed(&self, worker: Worker) -> bool {
        self.processes.get(worker).is_some_and(|process| process.inherits.is_empty() && !process.published)
    }

    /// A worker that served may go only when its link names another and its queue is empty, or has had its time.
    fn check_retired(&mut self, worker: Worker, what: &str) {
        let Some(process) = self.processes.get(worker).filter(|process| process.alive()) else { return };
        if !process.published || self.promises.kill_allowed() || process.told_shutdown.is_some() {
            return;
        }
        if let Some(socket) = process.accepts.clone() {
            return self.check_left(worker, &socket, what);
        }
        let links: Vec<_> = self
            .files
            .iter()
            .filter(|(name, entry)| {
                matches!(entry, Entry::Link(_)) && self.files.follow(name) == Some(worker)
            })
            .map(|(name, _)| name.to_owned())
            .collect();
        let waiting = process.listening.as_ref().map_or(0, VecDeque::len);
        let drained = process.unlinked.is_none_or(|at| self.now.since(at) >= self.promises.drain);
        let fresh = links.iter().find(|link| !self.promises.stuck.contains(*link));
        if let Some(link) = fresh {
            self.violated(format_args!("{worker} is {what} while {link} names it"));
        } else if links.is_empty() && waiting > 0 && !drained && !process.is_unseen(self.now) {
            self.violated(format_args!(
                "{worker} is {what} while {waiting} connections wait in its accept queue"
            ));
        }
    }

    /// Whom a signal reaches, if it may be sent at all.
    pub(super) fn check_signal(
        &mut self,
        id: WorkerId,
        target: Process,
        signal: WorkerSignal,
    ) -> Option<Worker> {
        let Some(worker) = self.processes.named(id) else {
            self.violated(format_args!("{signal:?} to {id}, which was never spawned"));
            return None;
        };
        self.trace.line(self.now, "daemon", format_args!("{} {worker}", verb(signal)));
        let process = self.processes.get(worker)?;
        if process.process != target {
            self.violated(format_args!("{signal:?} to {worker} by the identity of another process"));
            return None;
        }
        if process.reaped {
            self.violated(format_args!("{signal:?} to {worker}, which is reaped: its pid may be another's"));
            return None;
        }
        if !process.alive() {
            return None;
        }
        if process.published && !process.ignores_suspension() && !self.promises.kill_allowed() {
            let since = |at: Option<Time>| at.map(|at| self.now.since(at));
            let shutdown = self.promises.shutdown;
            let delay = if process.speaks() { KILL_DELAY } else { shutdown + KILL_DELAY };
            match signal {
                WorkerSignal::Terminate if !process.reachable() || !process.speaks() => {
                    self.check_retired(worker, "sent SIGTERM")
                }
                WorkerSignal::Terminate if since(process.told_shutdown).is_none_or(|ago| ago < shutdown) => {
                    self.violated(format_args!("SIGTERM to {worker} before shutdownTimeout has passed"));
                }
                WorkerSignal::KillGroup if since(process.termed).is_none_or(|ago| ago < delay) => {
                    let delay = delay.as_millis();
                    self.violated(format_args!("SIGKILL to {worker} less than {delay} ms after SIGTERM"));
                }
                WorkerSignal::Terminate | WorkerSignal::KillGroup => {}
            }
        }
        Some(worker)
    }

    /// A link is swapped.
    pub fn published(&mut self, link: &str, socket: &str) {
        if self.is_ours(socket) {
            return self.published_ours(link, socket);
        }
        let owns = |process: &super::process::Proc| process.socket.as_deref() == Some(socket);
        let named = self.processes.iter().find(|(_, process)| owns(process)).map(|(worker, _)| worker);
        let (Some(worker), Some(slot)) = (named, self.promises.slot_of(link)) else {
            self.violated(format_args!("{link} is to name {socket}, which is no worker's"));
            return;
        };
        self.mark_published(slot, worker, link);
        if let Some(process) = self.processes.get_mut(worker) {
            process.unlinked = None;
            process.published = true;
            let wrong = if !process.known_online {
                Some("has not reported online")
            } else if process.exit_known {
                Some("is known to be gone")
            } else if process.told_shutdown.is_some() || process.termed.is_some() {
                Some("was told to go")
            } else {
                None
            };
            if let Some(wrong) = wrong {
                self.violated(format_args!("{link} is to name {worker}, which {wrong}"));
            }
        }
        self.names(slot, Slot { link: link.to_owned(), socket: socket.to_owned(), worker: Some(worker) });
    }

    /// A link names a socket from now on.
    fn names(&mut self, slot: SlotIndex, new: Slot) {
        self.promises.stuck.remove(&new.link);
        self.promises.spoiled.remove(&new.link);
        let socket = new.socket.clone();
        let before = self.promises.slots.insert(slot, new);
        if let Some(before) = before.filter(|before| before.socket != socket) {
            self.unlinked(&before);
        }
        let others = self.promises.slots.iter().find(|(other, its)| **other != slot && its.socket == socket);
        if let Some((other, _)) = others {
            let other = *other;
            self.violated(format_args!("{socket} serves two slots, {other} and {slot}"));
        }
    }

    /// A link is swapped to a socket of the daemon's own: there has to be somebody who accepts from it, or will.
    fn published_ours(&mut self, link: &str, socket: &str) {
        let Some(slot) = self.promises.slot_of(link) else {
            self.violated(format_args!("{link} is to name {socket}, but is no slot's link"));
            return;
        };
        if !self.is_tended(socket, None) {
            self.violated(format_args!("{link} is to name {socket}, which nobody is there to accept from"));
        }
        if let Some(listener) = self.listeners.get_mut(socket) {
            listener.unlinked = None;
        }
        self.names(slot, Slot { link: link.to_owned(), socket: socket.to_owned(), worker: None });
    }

    /// Somebody but `except` inherited the socket, was ready, and has not been told to go, as far as the daemon knows.
    fn is_tended(&self, socket: &str, except: Option<Worker>) -> bool {
        self.processes.iter().any(|(worker, process)| {
            let told = process.told_shutdown.is_some() || process.termed.is_some();
            Some(worker) != except
                && process.inherits(socket)
                && process.known_online
                && !process.exit_known
                && !told
        })
    }

    /// A worker that accepts from a socket of the daemon's may go when another one accepts from it, or nothing comes any
    /// more and its queue is empty, or has had its time.
    fn check_left(&mut self, worker: Worker, socket: &str, what: &str) {
        let Some(listener) = self.listeners.get(socket) else { return };
        let served = self.processes.get(worker).is_some_and(|process| process.told_resume);
        let links: Vec<&Slot> = self.promises.slots.values().filter(|slot| slot.socket == socket).collect();
        let stuck = links.iter().any(|slot| self.promises.stuck.contains(&slot.link));
        let drained = listener.unlinked.is_none_or(|at| self.now.since(at) >= self.promises.drain);
        let (linked, waiting, unseen) = (!links.is_empty(), listener.queue.len(), listener.unseen);
        if linked && !stuck && served && !self.is_tended(socket, Some(worker)) {
            self.violated(format_args!(
                "{worker} is {what} while a link names its socket, and nobody follows it"
            ));
        } else if !linked && waiting > 0 && !drained && !unseen {
            self.violated(format_args!(
                "{worker} is {what} while {waiting} connections wait in its accept queue"
            ));
        }
    }

    fn mark_published(&mut self, slot: SlotIndex, worker: Worker, link: &str) {
        let Some(process) = self.processes.get(worker) else { return };
        if process.unlinked.is_some() {
            self.marks.count("a link is swapped back");
        }
        let Some(before) = self.promises.slots.get(&slot) else { return };
        if before.link != link {
            self.marks.count("a link gets another name");
        }
        let before = before.worker.and_then(|worker| self.processes.get(worker));
        let ended = before.and_then(|before| before.exit_known.then_some(before.ended_at));
        if ended.is_some_and(|at| process.spawned < at) {
            self.marks.count("a standby takes over");
        }
    }

    /// A link is removed.
    pub fn withdrawn(&mut self, link: &str) {
        self.promises.stuck.remove(link);
        let Some(slot) = self.promises.slot_of(link) else {
            self.violated(format_args!("{link} is withdrawn, but it is no slot's link"));
            return;
        };
        let current = self.promises.slots.get(&slot).filter(|slot| slot.link == link);
        let Some(worker) = current.map(|slot| slot.worker) else { return };
        let named = worker.and_then(|worker| self.processes.get(worker));
        let died = named.is_some_and(|process| process.died_by_itself);
        if self.promises.wanted && slot.0 < self.promises.floor() && !died {
            self.violated(format_args!("{link} is withdrawn although slot {slot} is to be served"));
        }
        let Some(named) = self.promises.slots.remove(&slot) else { return };
        self.unlinked(&named);
        if died && self.promises.wanted {
            self.promises.slots.insert(slot, named);
        }
    }

    /// A removal failed by an injected error.
    pub fn stuck(&mut self, name: &str) {
        self.promises.stuck.insert(name.to_owned());
    }

    pub fn unstuck(&mut self, name: &str) {
        self.promises.stuck.remove(name);
    }

    /// Somebody else removes a file.
    pub fn spoil(&mut self, name: &str) {
        self.promises.spoiled.insert(name.to_owned());
    }

    pub fn sweep_failed(&mut self) {
        self.promises.sweep_failed = true;
        let litter = self.litter();
        self.promises.stuck.extend(litter);
    }

    fn unlinked(&mut self, slot: &Slot) {
        if let Some(worker) = slot.worker {
            self.check_kept(worker, "taken from its link");
        }
        let now = self.now;
        if let Some(listener) = self.listeners.get_mut(&slot.socket) {
            listener.unlinked = Some(now);
        }
        let accepting =
            self.processes.iter().filter(|(_, process)| process.accepts.as_ref() == Some(&slot.socket));
        let left: Vec<Worker> = accepting.map(|(worker, _)| worker).chain(slot.worker).collect();
        for worker in left {
            if let Some(process) = self.processes.get_mut(worker) {
                process.unlinked = Some(now);
            }
        }
    }

    /// The daemon has nothing to do but wait: all exits it knows of are collected.
    pub(super) fn check_idle(&mut self) {
        let zombie = self.processes.iter().find(|(_, process)| process.exit_known && !process.reaped);
        if let Some((worker, _)) = zombie {
            self.violated(format_args!("{worker} has exited, the daemon knows it, and does not reap it"));
        }
    }

    /// Faults are over and the supervisor says that it has settled: what is still not as it should be.
    pub fn unsettled(&self) -> Vec<String> {
        let mut wrong: Vec<String> =
            self.unanswered().into_iter().map(|request| format!("no final reply to {request}")).collect();
        if self.promises.wanted {
            let served = self.served();
            if !self.promises.counts.contains(&served) {
                let counts: Vec<String> = self.promises.counts.iter().map(u32::to_string).collect();
                wrong.push(format!("{served} slots are served, not {}", counts.join(" or ")));
            }
        }
        wrong.extend(self.litter().into_iter().map(|name| format!("nobody owns {name}")));
        wrong.extend(self.imbalance());
        wrong
    }

    /// So many slots, from the first one on, are served.
    fn served(&self) -> u32 {
        let serves = |slot: &u32| {
            let slot = SlotIndex(*slot);
            let link = self.promises.link(slot);
            let spoiled = self.promises.is_spoiled(slot);
            let meant = self.promises.slots.get(&slot).filter(|_| spoiled).map(|slot| slot.socket.as_str());
            let target = link.and_then(|link| self.files.target(link)).or(meant);
            if let Some(socket) = target.filter(|socket| self.is_ours(socket)) {
                return self.is_tended(socket, None);
            }
            let last = || self.promises.slots.get(&slot).filter(|_| spoiled).and_then(|slot| slot.worker);
            let named = link.and_then(|link| self.files.follow(link)).or_else(last);
            let process = named.and_then(|worker| self.processes.get(worker));
            process.is_some_and(|process| process.known_online && process.listening.is_some())
        };
        u32::try_from((0..self.promises.most).take_while(serves).count()).unwrap_or(u32::MAX)
    }

    /// Requests to these may wait for ever.
    pub fn has_mute_workers(&self) -> bool {
        self.processes
            .iter()
            .any(|(_, process)| process.alive() && process.behaviours.contains(&Behaviour::Mute))
    }

    /// Whether workers that serve hold requests until they are resumed.
    pub fn waits_for_resume(&self) -> bool {
        let holds = self.processes.iter().any(|(_, process)| {
            process.alive() && process.holds && process.published && process.unlinked.is_none()
        });
        holds
            || self.promises.slots.values().any(|slot| {
                let waits = self.listeners.get(&slot.socket).is_some_and(|ours| !ours.queue.is_empty());
                let accepts = |process: &super::process::Proc| process.accepts.as_ref() == Some(&slot.socket);
                waits && !self.processes.iter().any(|(_, process)| process.alive() && accepts(process))
            })
    }

    /// All is quiet: no operation is in progress, nor one whose asker has hung up before it was answered.
    pub fn settled(&mut self) {
        self.promises.lifting = 0;
        self.promises.stops_open = 0;
        if self.promises.wanted {
            self.promises.counts = BTreeSet::from([self.served()]);
        }
    }

    /// The daemon has quit: what it left behind.
    pub fn remains(&mut self) -> Vec<String> {
        self.promises.wanted = false;
        let mut wrong = Vec::new();
        for (worker, process) in self.processes.iter() {
            if process.alive() {
                wrong.push(format!("{worker} is still alive"));
            } else if !process.reaped {
                wrong.push(format!("{worker} was never reaped"));
            } else if !process.children.is_empty() {
                wrong.push(format!("a child of {worker} is still alive"));
            }
        }
        wrong.extend(self.litter().into_iter().map(|name| format!("{name} is left in tmpDir")));
        wrong.extend(self.imbalance());
        wrong
    }
}

fn verb(signal: WorkerSignal) -> &'static str {
    match signal {
        WorkerSignal::Terminate => "SIGTERM to",
        WorkerSignal::KillGroup => "SIGKILL to the group of",
    }
}
