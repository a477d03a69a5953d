//! What operators were promised, and what they asked for since: the yardstick for all that the daemon does.

pub(crate) mod conduct;
mod deploys;
pub(crate) mod known;
mod links;
mod loss_cause;
mod migrations;
mod quiescence;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::config::{Config, Named, SocketPattern};
use nodesockd_core::event::{DaemonSignal, Event};
use nodesockd_core::id::SlotIndex;
use nodesockd_core::state::SuspensionRecord;
use nodesockd_core::wire::{FromWorker, Request};

use deploys::Deploy;
use migrations::Migrations;

use crate::world::files::{Entry, Files};
use crate::world::process::Processes;
use crate::world::sockets::Listener;
use crate::world::{Worker, World};

/// What was promised.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// All `socketFile`s that were in force, the latest last.
    pub patterns: Vec<SocketPattern>,
    /// The shortest time-outs that were in force.
    pub drain: Duration,
    pub shutdown: Duration,
    /// The shortest time without a sign of life after which a worker counted as hung; `None`: it never did.
    pub hang_timeout: Option<Duration>,
    /// How many operations may retire workers at a time without haste, at least.
    pub retiring: usize,
    /// Workers are meant to run: no stop was asked for since the last start succeeded.
    pub wanted: bool,
    pub stops_open: u32,
    /// How many slots there may be, and since which request: what was asked for since all was quiet may have come about,
    /// or not.
    pub counts: BTreeMap<u32, u64>,
    /// The most workers and standbys that were ever asked for.
    pub most: u32,
    pub most_standby: u32,
    /// The largest batch in which workers are replaced by any configuration.
    pub batch: u32,
    /// Workers may be replaced all at once: by some configuration, or because somebody asked for it.
    pub at_once: bool,
    /// The most attempts that a start may take.
    pub attempts: u32,
    /// The most workers that may boot at a time.
    pub boots: u32,
    /// The fewest links that there ought to be by any configuration, and the most.
    pub fewest_links: u32,
    pub most_links: u32,
    /// Since when the link of a slot names a dead worker although others could serve behind it.
    pub astray: BTreeMap<SlotIndex, Time>,
    /// When workers were ordered lately; when starts ended, or reloads began, that let others begin; and when sockets could
    /// not be opened, without which standbys are of no use.
    pub orders: VecDeque<Time>,
    pub starts: VecDeque<Time>,
    pub unopened: VecDeque<Time>,
    /// When an operation has ended last, by the history. Its old workers, and those of earlier ones, finish beside the next one.
    pub operation_ended: Option<Time>,
    /// The app is suspended, unless one of so many open requests ends that.
    pub suspended: bool,
    pub lifting: u32,
    /// A `start` is done which overlapped with another operation: what is answered later may have ended before that.
    pub may_be_started: bool,
    /// When the suspension may end by itself, which counts among `lifting`.
    pub expires: Option<Time>,
    /// A daemon has told a worker to resume, and died before it could write that down. The next one learns of it when the
    /// worker reports.
    pub may_be_resumed: bool,
    /// When that was decided, at the earliest: a suspension that began since is another one.
    pub expiry_promised: Time,
    pub interrupts: u32,
    /// The daemon was asked to quit; its successor knows nothing of that.
    pub quitting: bool,
    pub slots: BTreeMap<SlotIndex, Slot>,
    /// Files whose removal failed by an injected error the last time it was tried.
    pub stuck: BTreeSet<String>,
    pub sweep_failed: bool,
    /// Links that could not be swapped the last time that was tried: whom they name may have to go.
    pub unswapped: BTreeSet<String>,
    /// Slots that an earlier daemon had given up when it died: it was told to stop, and nobody has served them since.
    pub given_up: BTreeSet<SlotIndex>,
    /// The deploy in progress, as far as its client knows.
    pub deploy: Option<Deploy>,
    /// Migrations of deploys.
    pub migrations: Migrations,
    /// The release of a deploy during which the daemon died, and nothing was asked for since.
    pub unfinished: Option<usize>,
    /// Links and sockets that somebody else removed, and that the daemon has not made again.
    pub spoiled: BTreeSet<String>,
}

/// What a slot's link names, or named last.
#[derive(Debug)]
pub(crate) struct Slot {
    pub link: String,
    pub socket: String,
    /// Whose socket it is, if not the daemon's.
    pub worker: Option<Worker>,
}

impl Oracle {
    pub fn new(config: &Config) -> Self {
        Self {
            patterns: vec![config.socket_file.clone()],
            drain: config.options.drain_timeout,
            shutdown: config.options.shutdown_timeout,
            hang_timeout: config.hang_timeout(true),
            retiring: retiring(config),
            wanted: true,
            stops_open: 0,
            counts: BTreeMap::from([(config.workers.get(), 0)]),
            most: config.workers.get(),
            most_standby: config.standby,
            batch: config.options.batch,
            at_once: config.options.batch == 0,
            attempts: config.options.max_start_attempts.get(),
            boots: config.options.boots.get(),
            fewest_links: config.slots.map_or(0, NonZeroU32::get),
            most_links: config.links().get(),
            astray: BTreeMap::new(),
            orders: VecDeque::new(),
            starts: VecDeque::new(),
            unopened: VecDeque::new(),
            operation_ended: None,
            suspended: false,
            lifting: 0,
            may_be_started: false,
            expires: None,
            may_be_resumed: false,
            expiry_promised: Time::ZERO,
            interrupts: 0,
            quitting: false,
            slots: BTreeMap::new(),
            stuck: BTreeSet::new(),
            sweep_failed: false,
            unswapped: BTreeSet::new(),
            given_up: BTreeSet::new(),
            deploy: None,
            migrations: Migrations::default(),
            unfinished: None,
            spoiled: BTreeSet::new(),
        }
    }

    /// The link that nginx follows to a slot.
    pub fn link(&self, slot: SlotIndex) -> Option<&str> {
        self.slots.get(&slot).map(|slot| slot.link.as_str())
    }

    pub fn slot_of(&self, link: &str) -> Option<SlotIndex> {
        self.patterns.iter().rev().find_map(|pattern| match pattern.matches(link) {
            Some(Named::Link(slot)) => Some(slot),
            Some(Named::TemporaryLink | Named::Socket(_)) | None => None,
        })
    }

    /// Somebody has removed the link of a slot, or the socket that it names.
    pub fn is_spoiled(&self, slot: SlotIndex) -> bool {
        self.slots.get(&slot).is_some_and(|slot| self.is_removed(slot))
    }

    pub(crate) fn is_removed(&self, slot: &Slot) -> bool {
        self.spoiled.contains(&slot.link) || self.spoiled.contains(&slot.socket)
    }

    /// There are at least so many slots.
    pub fn floor(&self) -> u32 {
        self.counts.first_key_value().map_or(0, |(count, _)| *count)
    }

    /// What was asked for may have come about, or not.
    pub fn in_doubt(&self) -> bool {
        self.lifting > 0 || self.stops_open > 0 || self.quitting || self.may_be_started
    }

    /// The suspension ends by itself at that time, or it does not.
    pub(crate) fn expire(&mut self, decided: Time, at: Option<Time>) {
        self.lifting -= u32::from(self.expires.is_some());
        self.lifting += u32::from(at.is_some());
        (self.expires, self.expiry_promised) = (at, decided);
    }

    /// Only time ends the suspension, and has not come to that yet. The daemon counts from before its reply, which waits
    /// for the state file.
    pub fn stays_suspended(&self, now: Time) -> bool {
        let early = self.expires.is_some_and(|at| now + Duration::from_secs(8) < at);
        self.suspended && !self.may_be_resumed && self.lifting == u32::from(early)
    }

    /// Another daemon is there: nobody waits for the earlier one's replies. `suspension`: that of the state file, if it has one.
    pub fn adopted(
        &mut self,
        now: Time,
        wanted: bool,
        suspended: bool,
        suspension: Option<&SuspensionRecord>,
    ) {
        (self.wanted, self.suspended) = (wanted, suspended);
        (self.lifting, self.stops_open, self.interrupts) = (0, 0, 0);
        let recorded = suspension.and_then(|suspension| suspension.expiry).map(|_| now);
        // A later command has replaced what was promised, and nobody has heard the answer.
        let replaced = suspension.is_some_and(|suspension| suspension.since >= self.expiry_promised);
        let promised = self.expires.filter(|_| !replaced);
        self.expires = promised.or(recorded).filter(|_| suspended);
        if promised.is_none() {
            self.expiry_promised = now;
        }
        self.lifting += u32::from(self.expires.is_some());
        self.quitting = false;
    }

    /// What was asked for may come to these numbers, too.
    pub fn may_be(&mut self, slots: &[u32], standby: u32) {
        self.counts.extend(slots.iter().map(|count| (*count, u64::MAX)));
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
            worker.and_then(|worker| processes.get(worker)).is_some_and(crate::world::process::Proc::alive)
        };
        let owned = |name: &str, entry: &Entry| match entry {
            Entry::Plain => true,
            Entry::Socket(worker) => serves(*worker),
            Entry::Ours => {
                let given = |process: &crate::world::process::Proc| {
                    process.alive() && process.sockets.given.iter().any(|its| its == name)
                };
                listeners.contains_key(name) || processes.iter().any(|(_, process)| given(process))
            }
            Entry::Link(_) => {
                let target = files.target(name);
                let spoiled = target.is_some_and(|socket| self.spoiled.contains(socket));
                let named = self.slots.values().find(|slot| spoiled && slot.link == name);
                serves(named.and_then(|slot| slot.worker).or(files.follow(name)))
                    || target.is_some_and(|socket| {
                        listeners.contains_key(socket) || processes.has_stand_in(socket)
                    })
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

/// After it is done, it is known whether the app runs, and whether it is suspended. A `start` changes nothing of an app that runs.
fn is_definite(request: &Request) -> bool {
    matches!(request, Request::Stop | Request::Terminate | Request::Restart { .. })
}

fn retiring(config: &Config) -> usize {
    usize::try_from(config.options.retiring.get()).unwrap_or(usize::MAX)
}

impl World {
    /// The daemon takes in a fact: from now on it knows.
    pub(crate) fn heard(&mut self, event: &Event) {
        if let Event::Probed { worker, result } = event {
            self.check_answered(*worker, result);
        }
        if let Event::Received { worker, message: FromWorker::Online { .. } | FromWorker::Pong { .. } } =
            event
        {
            self.heard_of(*worker);
        }
        if let Event::Claimed {
            claims: Some(claim),
            caller: Some(caller),
            message: FromWorker::Online { .. } | FromWorker::Pong { .. },
            ..
        } = event
            && let Some(claimed) = self.processes.named(claim.worker).and_then(|w| self.processes.get(w))
            && claimed.process == caller.process
        {
            self.heard_of(claim.worker);
        }
        match event {
            Event::Received { worker, message: FromWorker::Counted { traffic, .. } } => {
                self.heard_counts(self.processes.named(*worker), traffic);
            }
            Event::Received { worker, message: FromWorker::Online { .. } }
            | Event::Notified { worker }
            | Event::Probed { worker, result: Ok(200) } => {
                if let Some(process) = self.processes.named(*worker).and_then(|w| self.processes.get_mut(w)) {
                    process.known.online = true;
                }
            }
            Event::Claimed { claims: Some(claim), caller, message: FromWorker::Online { .. }, .. } => {
                let claimed = self.processes.named(claim.worker).and_then(|w| self.processes.get_mut(w));
                let speaks = caller.as_ref().map(|caller| caller.process);
                if let Some(process) = claimed.filter(|its| speaks == Some(its.process)) {
                    process.known.online = true;
                    process.known.reunited = true;
                }
            }
            Event::Exited { worker, .. } => {
                if let Some(process) = self.processes.named(*worker).and_then(|w| self.processes.get_mut(w)) {
                    process.known.exited = true;
                }
            }
            Event::Dying { worker, .. } => {
                let now = self.agenda.now();
                if let Some(process) = self.processes.named(*worker).and_then(|w| self.processes.get_mut(w)) {
                    process.known.dying.get_or_insert(now);
                }
            }
            Event::Requested { from, request, .. } => self.heard_request(&from.clone(), &request.clone()),
            Event::Signalled { signal } => {
                self.may_go();
                if *signal == DaemonSignal::Hangup {
                    self.releases.signalled();
                }
                if matches!(signal, DaemonSignal::Terminate | DaemonSignal::Interrupt) {
                    self.oracle.wanted = false;
                    self.oracle.quitting = true;
                    self.oracle.stops_open += 1;
                }
                self.oracle.interrupts += u32::from(*signal == DaemonSignal::Interrupt);
            }
            Event::Received { .. }
            | Event::Spawned { .. }
            | Event::Probed { .. }
            | Event::CpuMeasured { .. }
            | Event::Examined { .. }
            | Event::Listening { .. }
            | Event::Unlistened { .. }
            | Event::Reaped { .. }
            | Event::Terminated { .. }
            | Event::ServersEnded { .. }
            | Event::ChannelClosed { .. }
            | Event::Published { .. }
            | Event::Withdrawn { .. }
            | Event::QueueMeasured { .. }
            | Event::WaitingCounted { .. }
            | Event::QueueListed { .. }
            | Event::MemoryMeasured { .. }
            | Event::Removed { .. }
            | Event::Swept { .. }
            | Event::SinkStarted { .. }
            | Event::SinkReady { .. }
            | Event::LogWritten { .. }
            | Event::SinkEnded { .. }
            | Event::LastLines { .. }
            | Event::ReleaseLocated { .. }
            | Event::ReleaseChecked { .. }
            | Event::ReleaseLinkFound { .. }
            | Event::ReleaseLinkSwitched { .. }
            | Event::CommandStarted { .. }
            | Event::CommandWrote { .. }
            | Event::CommandEnded { .. }
            | Event::Surveyed(_)
            | Event::Unwatched { .. }
            | Event::Restored { .. }
            | Event::DevServing { .. }
            | Event::MetricsServing { .. }
            | Event::Persisted { .. }
            | Event::Recorded { .. }
            | Event::HookStarted { .. }
            | Event::HookWrote { .. }
            | Event::HookEnded { .. }
            | Event::Claimed { .. }
            | Event::ConfigLoaded { .. }
            | Event::LogsReopened { .. }
            | Event::Preflighted { .. }
            | Event::Frozen
            | Event::NotHandedOff { .. }
            | Event::Disconnected { .. } => {}
        }
    }

    /// `number`: requests are numbered in the order in which they were made.
    pub(crate) fn promise_on_request(&mut self, number: u64, request: &Request) {
        self.person_decides(request);
        let oracle = &mut self.oracle;
        if let Request::Start(options) | Request::Restart { options, .. } = request {
            oracle.attempts = oracle.attempts.max(options.max_attempts.map_or(0, NonZeroU32::get));
        }
        // Where nobody serves, nobody has to go before others can start.
        let vacant = oracle.slots.values().all(|slot| slot.worker.is_none());
        oracle.at_once |= match request {
            Request::Restart { options, .. } => options.batch == Some(0) || vacant,
            Request::Deploy(options) => options.batch == Some(0) || vacant,
            Request::Start(_) | Request::SetWorkers { .. } | Request::SetStandby { .. } => true,
            Request::Status
            | Request::Metrics
            | Request::Config
            | Request::WatchEvents
            | Request::AttachDeploy { .. }
            | Request::Resume
            | Request::Stop
            | Request::Reload
            | Request::Terminate
            | Request::SendMessage { .. }
            | Request::SendRequest { .. } => false,
        };
        match request {
            Request::Stop | Request::Terminate => {
                oracle.wanted = false;
                oracle.quitting |= *request == Request::Terminate;
                oracle.stops_open += 1;
                oracle.lifting += 1;
            }
            Request::Start(_) | Request::Restart { .. } | Request::Resume => oracle.lifting += 1,
            Request::SetWorkers { count } => {
                oracle.counts.insert(count.get(), number);
                oracle.most = oracle.most.max(count.get());
            }
            Request::SetStandby { count } => oracle.most_standby = oracle.most_standby.max(*count),
            Request::Status
            | Request::Metrics
            | Request::Config
            | Request::Deploy(_)
            | Request::AttachDeploy { .. }
            | Request::WatchEvents
            | Request::Reload
            | Request::SendMessage { .. }
            | Request::SendRequest { .. } => {}
        }
    }

    pub(crate) fn promise_on_reply(&mut self, number: u64, request: &Request, done: bool) {
        let (now, decided) = (self.agenda.now(), self.agenda.busy_since());
        let oracle = &mut self.oracle;
        oracle.may_be_started &= !(done && is_definite(request));
        if matches!(request, Request::Start(_) | Request::Restart { .. } | Request::Deploy(_)) {
            oracle.starts.push_back(now);
        }
        match request {
            Request::Stop | Request::Terminate => {
                oracle.stops_open -= 1;
                oracle.lifting -= 1;
                if done {
                    oracle.expire(decided, None);
                    oracle.suspended = false;
                    oracle.wanted = false;
                }
            }
            Request::Start(options) => {
                oracle.lifting -= 1;
                if done && !oracle.wanted && oracle.stops_open == 0 {
                    oracle.wanted = true;
                    // What may run already goes on as it is.
                    oracle.suspended = options.suspended && !oracle.may_be_started;
                }
            }
            Request::Restart { options, .. } => {
                oracle.lifting -= 1;
                if done {
                    oracle.wanted = oracle.stops_open == 0 && !oracle.quitting;
                    oracle.suspended = options.suspended;
                    oracle.expire(decided, options.expiry.map(|expiry| now + expiry.after));
                    if options.suspended {
                        self.check_suspended();
                    }
                }
            }
            Request::Resume => {
                oracle.lifting -= 1;
                if done {
                    oracle.expire(decided, None);
                    oracle.suspended = false;
                }
            }
            // An earlier operation may be complete only after a later one.
            Request::SetWorkers { count } if done => {
                oracle.counts.retain(|_, since| *since > number);
                oracle.counts.entry(count.get()).or_insert(number);
            }
            Request::SetWorkers { .. }
            | Request::Status
            | Request::Metrics
            | Request::Config
            | Request::Deploy(_)
            | Request::AttachDeploy { .. }
            | Request::WatchEvents
            | Request::SetStandby { .. }
            | Request::Reload
            | Request::SendMessage { .. }
            | Request::SendRequest { .. } => {}
        }
    }

    /// The configuration was read.
    pub fn promise_on_load(&mut self, config: &Config) {
        self.deaths.pattern = None;
        let heard = self.clients.heard();
        let oracle = &mut self.oracle;
        oracle.drain = oracle.drain.min(config.options.drain_timeout);
        oracle.shutdown = oracle.shutdown.min(config.options.shutdown_timeout);
        oracle.hang_timeout = oracle.hang_timeout.into_iter().chain(config.hang_timeout(true)).min();
        oracle.retiring = oracle.retiring.min(retiring(config));
        oracle.attempts = oracle.attempts.max(config.options.max_start_attempts.get());
        oracle.fewest_links = oracle.fewest_links.min(config.slots.map_or(0, NonZeroU32::get));
        oracle.most_links = oracle.most_links.max(config.links().get());
        oracle.boots = oracle.boots.max(config.options.boots.get());
        oracle.counts.insert(config.workers.get(), heard + 1);
        oracle.most = oracle.most.max(config.workers.get());
        oracle.batch = oracle.batch.max(config.options.batch);
        // Where the names of sockets or who binds them may change, that is not done in batches.
        oracle.at_once = true;
        oracle.most_standby = oracle.most_standby.max(config.standby);
        if !oracle.patterns.contains(&config.socket_file) {
            oracle.patterns.push(config.socket_file.clone());
        }
    }
}
