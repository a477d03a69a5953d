//! The state machine: what runs, what ought to run, and what to do about the difference.
//!
//! Current state is the table of workers and the slots they own; desired state is how many of each
//! there ought to be. After every fact, `slots` starts, promotes and replaces whatever that difference calls for; it
//! needs to know nothing about why a worker is missing. What a person asks for — a restart, another number of workers —
//! is one operation at a time, beside it: new workers boot while everything else goes on, and take over in one go.
//!
//! | file | holds |
//! | --- | --- |
//! | `worker` | one worker and its states |
//! | `lifecycle` | from a worker's order to its end |
//! | `readiness` | whether a worker that does not report is ready |
//! | `listeners` | sockets that slots keep while workers come and go |
//! | `retire` | taking a worker out of service without losing a request |
//! | `slots` | links and their owners; filling what is vacant |
//! | `backoff` | trying again what keeps failing |
//! | `operation` | what is in progress, and for whom |
//! | `rollout` | replacing or adding workers as a set |
//! | `commands` | requests and signals |
//! | `reload` | a new configuration |
//! | `upgrade`, `handoff` | a new version of the daemon, and what it has to know |
//! | `relay` | messages and requests between clients and workers |
//! | `persist`, `adopt`, `heritage` | what the next daemon has to know, and what this one makes of it |
//! | `claims` | processes that say on the control socket that they are workers |
//! | `status` | what people see |
//! | `announce` | what the service manager is told |
//! | `check` | the invariants |

mod adopt;
mod announce;
mod backoff;
mod check;
mod claims;
mod commands;
mod handoff;
mod heritage;
mod lifecycle;
mod listeners;
mod operation;
mod persist;
mod readiness;
mod relay;
mod reload;
mod retire;
mod rollout;
mod slots;
mod status;
mod upgrade;
mod worker;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::config::{Config, DevAddress, SocketPattern};
use crate::event::{Event, Failure};
use crate::id::{BootId, Ids, RequestRef, SlotIndex, WorkerId};
use crate::notice::Manager;
use crate::state::State;
use crate::time::Time;
use crate::wire::ToWorker;

pub use check::Violation;
pub use handoff::Handoff;
pub use status::Pending;

use announce::Announcements;
use backoff::Backoff;
use listeners::Listener;
use operation::{Operation, Queued};
use relay::Relays;
use slots::Slot;
use worker::Worker;

/// Who the daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its version, semantic.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Its life.
    pub boot: BootId,
    /// Who started it, if that is a manager that wants to be told how it goes.
    pub manager: Option<Manager>,
}

/// Decides. Feed it with [`handle_event`](Self::handle_event) and [`handle_timeout`](Self::handle_timeout), then carry
/// out [`poll_action`](Self::poll_action) until it returns `None`, then wait for an event or
/// [`poll_timeout`](Self::poll_timeout), whichever comes first. [`Driver`](crate::driver::Driver) does just that.
#[derive(Debug, Clone)]
pub struct Supervisor {
    daemon: Daemon,
    config: Config,
    ids: Ids,
    started: Time,
    /// The time of the fact being handled.
    now: Time,
    desired: Desired,
    life: Life,
    workers: BTreeMap<WorkerId, Worker>,
    slots: BTreeMap<SlotIndex, Slot>,
    /// Sockets of ours, by their file names.
    listeners: BTreeMap<String, Listener>,
    standby_backoff: Backoff,
    operation: Option<Operation>,
    queue: VecDeque<Queued>,
    /// A SIGHUP came while an operation was in progress.
    reload_wanted: bool,
    /// So did a SIGUSR2.
    upgrade_wanted: bool,
    relays: Relays,
    /// The last order given to the dev server.
    dev_server: Option<(DevAddress, Vec<String>)>,
    /// The last content ordered for the state file.
    persisted: Option<State>,
    /// Workers have been told to resume, and the state file does not say so yet.
    resumed: bool,
    /// Failures to write the state file.
    persist_backoff: Backoff,
    /// What `socketFile` was under earlier daemons, and under this one before a reload.
    former_patterns: Vec<SocketPattern>,
    /// Workers were adopted without a state file.
    guessing: bool,
    /// What became of an operation that an earlier daemon had begun.
    note: Option<String>,
    /// What the service manager knows, if there is one.
    announcements: Option<Announcements>,
    /// Requests that have not had their final reply.
    open: BTreeSet<RequestRef>,
    actions: VecDeque<Action>,
}

/// What ought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Desired {
    /// Workers run; not so between `stop` and `start`.
    running: bool,
    /// How many slots are served.
    slots: u32,
    /// How many spare workers there are.
    standby: u32,
    /// The app is suspended: workers in slots wait for `resume`, and so do those that replace them.
    suspended: bool,
}

/// How far the daemon has got in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    /// It quits as soon as nothing runs any more.
    Quitting {
        /// SIGINT asked for it; the next one kills.
        interrupted: bool,
    },
    /// It has.
    Quit {
        /// Its workers run on, for the next daemon.
        detached: bool,
    },
}

/// Why there is a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A process must exist by then (`spawnTimeout`).
    Spawn,
    /// A worker must be ready by then (`onlineTimeout`).
    Online,
    /// A worker that does not report is looked at: it may be ready.
    Ready,
    /// The accept queue of a draining worker is looked at again.
    Look,
    /// A draining worker is not waited for any longer (`drainTimeout`).
    Drain,
    /// A worker that was told to shut down gets SIGTERM (`shutdownTimeout`).
    Shutdown,
    /// A worker that got SIGTERM gets SIGKILL.
    Kill,
    /// A worker that has lost its channel is still alive: it cannot be told anything any more.
    Channel,
    /// A socket file could not be removed and is tried again.
    Removal,
    /// A worker is started again after a failure.
    Restart,
    /// A standby takes a slot whose own worker takes long to boot.
    Promotion,
    /// A link that could not be changed is tried again.
    Link,
    /// The state file could not be written and is tried again.
    Persist,
    /// The service manager has to be asked for more time.
    Extend,
    /// The service manager has to hear that the daemon is not stuck.
    Watchdog,
}

impl Supervisor {
    /// A supervisor with nothing to adopt; it sweeps `tmpDir` and starts the configured workers at once.
    #[must_use]
    pub fn new(config: Config, daemon: Daemon, now: Time) -> Self {
        let mut supervisor = Self::idle(config, daemon, now);
        supervisor.begin();
        supervisor
    }

    /// A supervisor that has not done anything yet.
    fn idle(config: Config, daemon: Daemon, now: Time) -> Self {
        Self {
            ids: Ids::new(daemon.boot),
            announcements: daemon.manager.map(|manager| Announcements::to(manager, now)),
            daemon,
            desired: Desired {
                running: true,
                slots: config.workers.get(),
                standby: config.standby,
                suspended: false,
            },
            config,
            started: now,
            now,
            life: Life::Serving,
            workers: BTreeMap::new(),
            slots: BTreeMap::new(),
            listeners: BTreeMap::new(),
            standby_backoff: Backoff::default(),
            operation: None,
            queue: VecDeque::new(),
            reload_wanted: false,
            upgrade_wanted: false,
            relays: Relays::default(),
            dev_server: None,
            persisted: None,
            resumed: false,
            persist_backoff: Backoff::default(),
            former_patterns: Vec::new(),
            guessing: false,
            note: None,
            open: BTreeSet::new(),
            actions: VecDeque::new(),
        }
    }

    fn begin(&mut self) {
        self.act(Action::Sweep { pattern: self.config.socket_file.clone() });
        self.settle();
        self.persist(0);
    }

    /// Takes in a fact. Every fact is welcome in every state; one about a worker or request that is not known any more
    /// changes nothing.
    pub fn handle_event(&mut self, now: Time, event: Event) {
        self.now = now;
        let mark = self.actions.len();
        match event {
            Event::Spawned { worker, result } => self.spawned(worker, result),
            Event::Exited { worker, status } => {
                let reap = self.exited(worker, status);
                // Whoever takes over goes first; the dead can wait.
                self.settle();
                self.actions.extend(reap.filter(|_| !defect!(NoReap)));
            }
            Event::Reaped { worker } => self.reaped(worker),
            Event::Notified { worker } => self.shown_ready(worker),
            Event::Probed { worker, result } => self.probed(worker, result),
            Event::Received { worker, message } => self.received(worker, message),
            Event::Claimed { conn, caller, claims, message } => {
                self.claimed(conn, caller, claims, message);
            }
            Event::ChannelClosed { worker } => self.channel_closed(worker),
            Event::Published { slot, worker, result } => self.published(slot, worker, result),
            Event::Withdrawn { slot, link, result } => self.withdrawn(slot, &link, result),
            Event::QueueMeasured { worker, queue } => self.queue_measured(worker, &queue),
            Event::Listening { slot, socket, result } => self.listening(slot, &socket, result),
            Event::Unlistened { socket, result, .. } => self.unlistened(&socket, result),
            Event::Removed { worker, result } => self.removed(worker, result),
            Event::Swept { result } => report_sweep(result),
            Event::DevServing { result, .. } => report_dev_server(result),
            Event::Persisted { result } => self.state_persisted(result),
            Event::ConfigLoaded { result } => self.config_loaded(result),
            Event::LogsReopened { result } => report_logs(result),
            Event::Preflighted { result } => self.preflighted(result),
            Event::Frozen => self.frozen(),
            Event::NotHandedOff { failure } => self.not_handed_off(&failure),
            Event::Requested { from, request } => self.requested(from, request),
            Event::Disconnected { conn } => self.disconnected(conn),
            Event::Signalled { signal } => self.signalled(signal),
        }
        self.settle();
        self.persist(mark);
    }

    /// Takes in that time has passed; early calls do no harm.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        let mark = self.actions.len();
        let due: Vec<(WorkerId, Timer)> = self
            .workers
            .iter()
            .filter_map(|(id, worker)| worker.deadline().map(|(at, timer)| (*id, at, timer)))
            .filter(|(_, at, _)| *at <= now)
            .map(|(id, _, timer)| (id, timer))
            .collect();
        for (id, timer) in due {
            self.worker_due(id, timer);
        }
        self.settle();
        self.persist(mark);
    }

    /// The next order. `None`: wait for a fact or for [`poll_timeout`](Self::poll_timeout).
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() && std::mem::take(&mut self.resumed) {
            self.persist(0);
        }
        let action = self.actions.pop_front().or_else(|| self.order_to_hand_off());
        self.resumed |= matches!(action, Some(Action::Tell { message: ToWorker::Resume { .. }, .. }));
        action
    }

    /// The next deadline, and its reason.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Time, Timer)> {
        let workers = self.workers.values().filter_map(Worker::deadline);
        let persist = self.persist_backoff.retry_at.map(|at| (at, Timer::Persist));
        workers.chain(self.vacancy_deadlines()).chain(persist).chain(self.announcement_deadlines()).min()
    }

    /// Brings what is closer to what ought to be, as far as that is possible now.
    fn settle(&mut self) {
        if self.has_quit() {
            return;
        }
        self.close_listeners();
        self.advance_operation();
        self.fill_vacancies();
        self.retire_surplus();
        self.clear_links();
        self.advance_operation();
        self.close_listeners();
        self.serve_dev();
        self.announce();
        self.quit_when_done();
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Points the dev server, where there is one, at the links of the slots there ought to be.
    fn serve_dev(&mut self) {
        let wanted = self.config.dev_server.filter(|_| self.life == Life::Serving).map(|address| {
            let link = |slot| self.config.socket_file.link(SlotIndex(slot));
            (address, (0..self.desired.slots).map(link).collect::<Vec<_>>())
        });
        if wanted == self.dev_server {
            return;
        }
        self.dev_server.clone_from(&wanted);
        let (address, links) = wanted.map_or((None, Vec::new()), |(address, links)| (Some(address), links));
        self.act(Action::ServeDev { address, links });
    }
}

fn report_sweep(result: Result<u32, Failure>) {
    match result {
        Ok(0) => {}
        Ok(count) => tracing::info!("removed {count} stale files that an earlier daemon left in tmpDir"),
        Err(failure) => tracing::warn!("cannot remove stale files from tmpDir: {failure}"),
    }
}

fn report_dev_server(result: Result<(), Failure>) {
    if let Err(failure) = result {
        tracing::warn!("{failure}");
    }
}

fn report_logs(result: Result<(), Failure>) {
    match result {
        Ok(()) => tracing::info!("log files reopened"),
        Err(failure) => tracing::warn!("log files not reopened, the old ones stay in use: {failure}"),
    }
}
