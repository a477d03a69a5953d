//! The worker pool: workers, slots and sockets together, and what is done to them whoever asks for it.
//!
//! [`Pool`] only holds the tables. What is done is in functions, one room each, and a room uses only those above it:
//!
//! | room | does |
//! | --- | --- |
//! | `output` | the sink that takes workers' output, and what it is told |
//! | `last_lines` | answers about workers that failed, with what these wrote last; the last failure of all |
//! | `sockets` | which of the daemon's listening sockets is whose, and who needs it |
//! | `retire` | takes a worker out of service without losing a request |
//! | `checks` | sends workers that serve a GET for `health.path` |
//! | `health` | asks ready workers for signs of life |
//! | `counting` | tells workers to count, and counts what becomes of them |
//! | `boot` | starts a worker and sees that it gets ready |
//! | `leadership` | tells workers who leads, and which slot they serve |
//! | `links` | swaps and removes links |
//! | `limits` | replaces workers that are too old or have too much memory |
//! | `remains` | cleans up after a worker whose process has ended |
//! | `neighbours` | has links without a worker of their own name another slot's |
//! | `vacancies` | starts and promotes workers for what is vacant |
//! | `surplus` | retires workers and removes links that have no place |

pub(super) mod boot;
pub(super) mod checks;
pub(super) mod counting;
pub(super) mod health;
mod last_failure;
pub(super) mod last_lines;
pub(super) mod leadership;
pub(super) mod limits;
pub(super) mod links;
pub(super) mod look;
pub(super) mod neighbours;
pub(super) mod output;
mod over_limit;
pub(super) mod remains;
pub(super) mod retire;
pub(super) mod settled;
pub(super) mod sockets;
pub(super) mod surplus;
pub(super) mod suspension;
mod suspension_watch;
pub(super) mod vacancies;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::action::Action;
use crate::config::{Config, SocketPattern};
use crate::history::{Outcome, What};
use crate::id::{Ids, Peer, RequestRef, SlotIndex, WorkerId};
use crate::occurrence::{Occurrence, Repair, WorkerNews};
use crate::release::Release;
use crate::time::Time;
use crate::wire::{Progress, Stage, ToWorker};

use super::backoff::Backoff;
use super::counters::Counters;
use super::daemon::Daemon;
use super::effects::Effects;
use super::generation::Generation;
use super::goal::{Desired, Evidence, Life};
use super::hooks::Hooks;
use super::last_call::LastCall;
use super::leadership::Leadership;
use super::ledger::Ledger;
use super::listener::Listeners;
use super::pace::Pace;
use super::requests::Requests;
use super::sink::Sink;
use super::slot::table::Slots;
use super::watchers::Watchers;
use super::worker::Worker;
use super::worker::table::Workers;
use last_failure::LastFailure;
use over_limit::OverLimit;
use settled::Settled;
use suspension_watch::SuspensionWatch;

/// The tables, and what everybody has to know.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub daemon: Daemon,
    /// When the daemon started.
    pub started: Time,
    pub config: Arc<Config>,
    pub desired: Desired,
    /// The generation in force.
    pub generation: Generation,
    pub life: Life,
    /// By when a daemon that quits has to be gone.
    pub last_call: LastCall,
    pub ids: Ids,
    pub workers: Workers,
    pub slots: Slots,
    pub listeners: Listeners,
    /// Failures of standbys.
    pub standby_failures: Backoff,
    /// How fast workers may boot.
    pub pace: Pace,
    pub requests: Requests,
    /// The process that takes workers' output.
    pub sink: Sink,
    /// The last failure in a slot, if there is somebody to be told.
    pub last_failure: Option<LastFailure>,
    pub effects: Effects,
    /// What `socketFile` was under earlier daemons, and under this one before a reload.
    pub former_patterns: Vec<SocketPattern>,
    /// What tells whether the app is suspended.
    pub evidence: Evidence,
    /// Why the kernel did not tell an accept queue when it was asked last; `None` if it did.
    pub unseen_queues: Option<String>,
    /// What the workers of a deploy have to answer while it is watched.
    pub deploy_check: Option<String>,
    /// Workers that have reached a limit.
    pub over_limit: OverLimit,
    /// What is done about a suspension while it lasts.
    pub suspension_watch: SuspensionWatch,
    pub leadership: Leadership,
    /// The entries of the history.
    pub ledger: Ledger,
    /// Who is told what happens.
    pub watchers: Watchers,
    /// The command that is run for some of that.
    pub hooks: Hooks,
    /// What is counted for good.
    pub counters: Counters,
    /// What the passes have seen to already.
    pub settled: Settled,
}

impl Pool {
    /// A pool in which nothing has happened yet.
    pub fn new(config: Config, daemon: Daemon, now: Time) -> Self {
        Self {
            ids: Ids::new(daemon.boot),
            generation: Generation { number: 1, release: daemon.release.clone() },
            daemon,
            started: now,
            desired: Desired {
                running: true,
                slots: config.workers.get(),
                standby: config.standby,
                suspension: None,
            },
            config: Arc::new(config),
            life: Life::Serving,
            last_call: LastCall::default(),
            workers: Workers::default(),
            slots: Slots::default(),
            listeners: Listeners::default(),
            standby_failures: Backoff::default(),
            pace: Pace::default(),
            requests: Requests::default(),
            sink: Sink::default(),
            last_failure: None,
            effects: Effects::new(now),
            former_patterns: Vec::new(),
            evidence: Evidence::Record,
            unseen_queues: None,
            deploy_check: None,
            over_limit: OverLimit::default(),
            suspension_watch: SuspensionWatch::default(),
            leadership: Leadership::default(),
            ledger: Ledger::default(),
            watchers: Watchers::default(),
            hooks: Hooks::default(),
            counters: Counters::default(),
            settled: Settled::default(),
        }
    }

    pub fn now(&self) -> Time {
        self.effects.now()
    }

    /// Workers ought to run.
    pub fn is_serving(&self) -> bool {
        self.desired.running && self.life == Life::Serving
    }

    /// The slot is one of those that ought to be served.
    pub fn is_wanted(&self, slot: SlotIndex) -> bool {
        self.is_serving() && slot.0 < self.desired.slots
    }

    /// How many links there ought to be: `slots`, or one a worker.
    pub fn links(&self) -> u32 {
        // `set-workers` may want more workers than the configuration, or fewer.
        self.config.slots.map_or(0, NonZeroU32::get).max(self.desired.slots)
    }

    /// The slot is one of those whose link ought to lead to somebody, of the slot or not.
    pub fn is_linked(&self, slot: SlotIndex) -> bool {
        self.is_serving() && slot.0 < self.links()
    }

    /// The worker that owns `slot`, if its process still runs for all we know.
    pub fn owner(&self, slot: SlotIndex) -> Option<(WorkerId, &Worker)> {
        let id = self.slots.get(slot)?.owner()?;
        let worker = self.workers.get(id)?;
        worker.process().map(|_| (id, worker))
    }

    /// The slot's own worker serves it. One that is dying does not, nor does one whose socket was removed.
    pub fn is_served_by_its_own(&self, slot: SlotIndex) -> bool {
        self.owner(slot).is_some_and(|(_, owner)| owner.can_serve())
    }

    /// The slot's own worker is healthy.
    pub fn is_well(&self, slot: SlotIndex) -> bool {
        self.owner(slot).is_some_and(|(_, owner)| owner.is_healthy())
    }

    /// Suspended workers that own a slot.
    pub fn suspended_owners(&self) -> Vec<WorkerId> {
        self.owners_that(Worker::is_suspended)
    }

    /// Workers of this app may be active, as far as is known.
    pub fn is_active(&self) -> bool {
        !self.desired.is_suspended() && self.evidence != Evidence::Awaited
    }

    /// Workers that own a slot, and are ready and not suspended.
    pub fn active_owners(&self) -> Vec<WorkerId> {
        self.owners_that(|worker| worker.is_ready() && !worker.is_suspended())
    }

    /// Workers that own a slot, and are suspended or have not confirmed that they are not any more.
    pub fn unresumed_owners(&self) -> Vec<WorkerId> {
        self.owners_that(Worker::is_unresumed)
    }

    fn owners_that(&self, are: impl Fn(&Worker) -> bool) -> Vec<WorkerId> {
        let chosen = |id: &WorkerId| self.workers.get(*id).is_some_and(&are);
        self.slots.iter().filter_map(|(_, slot)| slot.owner()).filter(chosen).collect()
    }

    /// How long this worker may give no sign of life; `None` if that is not watched.
    pub fn hang_timeout(&self, worker: &Worker) -> Option<Duration> {
        self.config.hang_timeout(worker.health().has_heartbeat())
    }

    /// Whether a link names the worker, or named it last.
    pub fn owns_its_slot(&self, id: WorkerId) -> bool {
        let slot = self.workers.get(id).and_then(Worker::slot);
        slot.and_then(|slot| self.slots.get(slot)).is_some_and(|slot| slot.owner() == Some(id))
    }

    /// A new generation. No worker is left that has its number: one of an operation that failed serves on where its link could not be
    /// taken from it.
    pub fn next_generation(&self, release: Option<Release>) -> Generation {
        let numbers = self.workers.iter().map(|(_, worker)| worker.start().generation);
        Generation::after(numbers.fold(self.generation.number, u32::max), release)
    }

    /// Finds out whether the release in force is still there: a worker that runs it has failed.
    pub fn check_release(&mut self) {
        if let Some(pinned) = self.generation.release.clone() {
            let (named, env_files) = (Release::named_by(&self.config), self.config.env_files.clone());
            self.effects.order(Action::CheckRelease { pinned, named, env_files });
        }
    }

    /// Tells those who watch that an operation has begun, once.
    pub fn tell_beginning(&mut self) {
        if let Some(underway) = self.ledger.tell_beginning() {
            self.occurs(Occurrence::Begun(underway));
        }
    }

    /// A worker that had its place has failed.
    pub fn worker_failed(&mut self, id: WorkerId, reason: &str) {
        let news = self.news(id, Stage::Failed, Some(reason));
        self.occurs(Occurrence::Worker(news));
    }

    /// The operation in progress has ended.
    pub fn ended(&mut self, outcome: Outcome, reason: Option<&str>) {
        self.tell_beginning();
        let held = self.suspension_watch.take_held(self.desired.is_suspended());
        if let Some(entry) = self.ledger.end(self.effects.now(), outcome, held, reason).cloned() {
            self.occurs(Occurrence::Entry(entry));
        }
    }

    /// Something has happened that belongs into the history.
    pub fn note_at(&mut self, slot: Option<SlotIndex>, what: What, reason: &str) {
        if let Some(entry) = self.ledger.note(self.effects.now(), what, slot, reason).cloned() {
            self.occurs(Occurrence::Entry(entry));
        }
    }

    /// Somebody wants to be told what happens.
    pub fn watch_events(&mut self, to: RequestRef) {
        self.watchers.add(&mut self.requests, &mut self.effects, to);
    }

    /// Tells those who watch what has happened.
    pub fn occurs(&mut self, occurrence: Occurrence) {
        let seq = self.watchers.tell(&mut self.requests, &mut self.effects, &occurrence);
        self.hooks.add(&self.config, seq, &occurrence);
    }

    /// Something is there again that somebody had removed.
    pub fn repaired(&mut self, thing: &str, slot: Option<SlotIndex>) {
        self.occurs(Occurrence::Repaired(Repair { at: self.now(), thing: thing.to_owned(), slot }));
    }

    /// Nothing more will happen.
    pub fn end_watching(&mut self) {
        self.watchers.end(&mut self.requests, &mut self.effects);
    }

    /// Something has happened to the worker that belongs into the history.
    pub fn note(&mut self, id: WorkerId, what: What, reason: &str) {
        let slot = self.workers.get(id).and_then(Worker::slot);
        self.note_at(slot, what, &format!("worker {}: {reason}", id.short()));
    }

    /// A worker will not answer any more, because `reason`, and does not wait for answers.
    pub fn worker_is_gone(&mut self, id: WorkerId, reason: &str) {
        self.requests.worker_is_gone(&mut self.effects, id, reason);
        self.watchers.forget(Peer::Worker(id));
    }

    /// Tells a worker something.
    pub fn tell(&mut self, id: WorkerId, message: ToWorker) {
        let over = self.workers.get(id).and_then(Worker::connection);
        self.effects.order(Action::Tell { worker: id, over, message });
    }

    /// Tells those who watch the operation how far a worker has got.
    pub fn progress(&mut self, id: WorkerId, stage: Stage, reason: Option<&str>) {
        let news = self.news(id, stage, reason);
        let new = self.workers.known(id).is_joining();
        let WorkerNews { slot, pid, reason, .. } = news.clone();
        let progress = Progress { id, idx: slot, pid, stage, reason };
        self.requests.progress(&mut self.effects, new, &progress);
        self.occurs(Occurrence::Worker(news));
    }

    fn news(&self, id: WorkerId, stage: Stage, reason: Option<&str>) -> WorkerNews {
        let worker = self.workers.known(id);
        WorkerNews {
            at: self.effects.now(),
            stage,
            worker: id,
            slot: worker.slot(),
            pid: worker.process().map(|process| process.pid),
            generation: Some(worker.start().generation).filter(|generation| *generation > 0),
            reason: reason.map(str::to_owned),
        }
    }

    /// There may be files by names of this `socketFile`.
    pub fn remember_names(&mut self, pattern: &SocketPattern) {
        if *pattern != self.config.socket_file && !self.former_patterns.contains(pattern) {
            self.former_patterns.push(pattern.clone());
        }
    }
}
