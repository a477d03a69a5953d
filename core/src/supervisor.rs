//! The state machine: what runs, what ought to run, and what to do about the difference.
//!
//! This file is the mediator: it hands every event to the part that it concerns, and what follows from that to the next
//! part. Then it *settles*: a fixed round of passes brings what is closer to what ought to be, whatever the event was.
//!
//! | room | holds |
//! | --- | --- |
//! | `worker` | one worker and its states, and the table of all |
//! | `slot` | one slot and its link, and the table of all |
//! | `listener` | the sockets that the daemon keeps for slots |
//! | `requests` | who waits for an answer |
//! | `sink` | whether there is a process that takes workers' output, and what it has said |
//! | `leadership` | who leads the workers, and who may still |
//! | `ledger` | the entries of the history |
//! | `hooks` | the command of `options.onEvent` |
//! | `watchers` | who is told what happens, as it happens |
//! | `counters` | what is counted for good |
//! | `effects` | the queue of orders, and which of them must be on disk before which |
//! | `pool` | all of these together, and what is done to them |
//! | `operation` | what is in progress, and for whom |
//! | `lifecycle` | what happens to a worker, and what follows from that for others |
//! | `losses`, `upkeep` | what others have removed, of links and sockets and of the daemon's own |
//! | `record` | what the next daemon has to know, and what this one makes of it |
//! | `commands`, `relay`, `status`, `numbers`, `metrics_server`, `announce` | what people, apps and service managers hear |
//! | `invariants` | what must hold between any two events |
//!
//! A room uses those above it and none below. `timer`, `backoff`, `pace`, `generation` and `goal` are used by all.

mod announce;
mod backoff;
mod commands;
mod counters;
mod daemon;
mod dev_server;
mod effects;
mod generation;
mod goal;
mod hooks;
mod invariants;
mod last_call;
mod leadership;
mod ledger;
mod lifecycle;
mod listener;
mod losses;
mod metrics_server;
mod numbers;
mod operation;
mod pace;
mod pool;
mod record;
mod relay;
mod report;
mod requests;
mod sink;
mod slot;
mod status;
mod timer;
mod upkeep;
mod watchers;
mod worker;

use std::collections::BTreeSet;

use crate::action::Action;
use crate::config::Config;
use crate::event::{Caller, Event, ExitStatus, Failure};
use crate::id::{ConnId, Peer, SlotIndex, WorkerId};
use crate::metrics::Metrics;
use crate::state::Leftovers;
use crate::survey::{Own, Survey};
use crate::time::Time;
use crate::wire::{Claim, FromWorker, Status};

pub use crate::handoff::Handoff;
pub use daemon::{Daemon, Terminal};
pub use invariants::Violation;
pub use status::Pending;
pub use timer::Timer;

use announce::Announcements;
use dev_server::DevServer;
use goal::Life;
use metrics_server::MetricsServer;
use operation::{Operations, Step, advance, begin, deploy, expiry, locate, migrate, quit, replace, upgrade};
use pool::look::Look;
use pool::{
    Pool, boot, counting, health, last_lines, leadership as leaders, limits, links, neighbours, output,
    remains, retire, sockets, surplus, suspension, vacancies,
};
use record::state_file::StateFile;
use record::{adopt, handoff, reunion};
use upkeep::Upkeep;

/// Decides. Feed it with [`handle_event`](Self::handle_event) and [`handle_timeout`](Self::handle_timeout), then carry
/// out [`poll_action`](Self::poll_action) until it returns `None`, then wait for an event or
/// [`poll_timeout`](Self::poll_timeout), whichever comes first. [`Driver`](crate::driver::Driver) does just that.
#[derive(Debug, Clone)]
pub struct Supervisor {
    pool: Pool,
    operations: Operations,
    state_file: StateFile,
    dev_server: DevServer,
    metrics_server: MetricsServer,
    upkeep: Upkeep,
    announcements: Option<Announcements>,
}

impl Supervisor {
    /// A supervisor with nothing to adopt; it sweeps `tmpDir` and starts the configured workers at once.
    #[must_use]
    pub fn new(config: Config, daemon: Daemon, now: Time) -> Self {
        let mut supervisor = Self::idle(config, daemon, now);
        supervisor.begin();
        supervisor
    }

    /// A supervisor that takes over what an earlier daemon left: every worker that is alive keeps its process, its slot
    /// and its suspension, and what was stopped stays stopped. Starts what is missing. Where nothing is left this is
    /// [`new`](Self::new).
    #[must_use]
    pub fn adopt(config: Config, daemon: Daemon, left: Leftovers, now: Time) -> Self {
        let mut supervisor = Self::idle(config, daemon, now);
        adopt::adopt(&mut supervisor.pool, &mut supervisor.operations, &left);
        limits::watch_all(&mut supervisor.pool);
        supervisor.begin();
        supervisor
    }

    /// A supervisor that goes on where another one has handed off, in the same process, with another program. The
    /// restart that the upgrade was for begins.
    #[must_use]
    pub fn take_over(config: Config, daemon: Daemon, left: Handoff, now: Time) -> Self {
        let mut supervisor = Self::idle(config, daemon, now);
        let Self { pool, operations, announcements, .. } = &mut supervisor;
        let (dev_server, metrics_server) = handoff::take_over(pool, operations, announcements, left);
        supervisor.dev_server = DevServer::told(dev_server);
        supervisor.metrics_server = MetricsServer::told(metrics_server);
        limits::watch_all(&mut supervisor.pool);
        supervisor.settle();
        supervisor.record();
        supervisor
    }

    /// A supervisor that has not done anything yet.
    fn idle(config: Config, daemon: Daemon, now: Time) -> Self {
        let announcements = daemon.manager.map(|manager| Announcements::to(manager, now));
        Self {
            pool: Pool::new(config, daemon, now),
            operations: Operations::default(),
            state_file: StateFile::default(),
            dev_server: DevServer::default(),
            metrics_server: MetricsServer::default(),
            upkeep: Upkeep::default(),
            announcements,
        }
    }

    fn begin(&mut self) {
        let pattern = self.pool.config.socket_file.clone();
        self.pool.effects.order(Action::Sweep { pattern });
        self.settle();
        self.record();
    }

    /// Takes in an event. Every event is welcome in every state; one about a worker or request that is not known any more
    /// changes nothing.
    pub fn handle_event(&mut self, now: Time, event: Event) {
        self.pool.effects.begin(now);
        let known = |id: WorkerId| self.pool.workers.get(id).is_some();
        if event.worker().is_none_or(known) {
            self.dispatch(event);
        }
        self.settle();
        self.record();
    }

    /// Takes in that time has passed; early calls do no harm.
    pub fn handle_timeout(&mut self, now: Time) {
        self.pool.effects.begin(now);
        for (id, timer) in self.pool.workers.due(now) {
            if self.pool.workers.get(id).is_some() {
                lifecycle::due(&mut self.pool, &mut self.operations, id, timer);
            }
        }
        self.settle();
        self.record();
    }

    /// The next order. `None`: wait for an event or for [`poll_timeout`](Self::poll_timeout).
    pub fn poll_action(&mut self) -> Option<Action> {
        // Nothing else has changed since the last event was recorded.
        if self.pool.effects.is_empty() && self.pool.effects.any_told() {
            let told = self.pool.effects.take_told();
            let update = self.state_file.update(&self.pool, &self.operations, told);
            update.into_iter().for_each(|order| self.pool.effects.order(order));
        }
        self.pool.effects.next().or_else(|| self.order_to_hand_off())
    }

    /// The next deadline, and its reason.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Time, Timer)> {
        let (pool, now) = (&self.pool, self.pool.now());
        let serving = pool.is_serving();
        let standby = pool.standby_failures.retry_at().filter(|at| serving && *at > now);
        let deadlines = [
            pool.workers.next_deadline(),
            pool.slots.next_deadline(now, serving),
            pool.listeners.next_deadline(now),
            standby.map(|at| (at, Timer::Restart)),
            self.state_file.next_deadline(),
            self.operations.next_deadline(now),
            pool.ledger.next_deadline(),
            pool.hooks.next_deadline(),
            self.upkeep.next_deadline(),
            pool.sink.next_deadline(),
            self.metrics_server.next_deadline(),
            pool.suspension_watch.next_deadline(),
            pool.last_call.next_deadline(),
            expiry::next_deadline(pool, &self.operations),
            self.announcements.as_ref().and_then(|announcements| announcements.next_deadline(pool)),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.pool.config
    }

    /// What `status` answers.
    #[must_use]
    pub fn status(&self) -> Status {
        status::status(&self.pool, &self.operations)
    }

    /// What `metrics` answers.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        numbers::metrics(&self.pool)
    }

    /// Why not everything is as it ought to be; `None` if it is.
    #[must_use]
    pub fn pending(&self) -> Option<Pending> {
        status::pending(&self.pool, &self.operations)
    }

    /// Whether the daemon has quit.
    #[must_use]
    pub fn has_quit(&self) -> bool {
        matches!(self.pool.life, Life::Quit { .. })
    }

    /// Whether it has quit and left its workers to the daemon that follows.
    #[must_use]
    pub fn has_detached(&self) -> bool {
        self.pool.life == (Life::Quit { detached: true })
    }

    /// Checks the invariants that can be seen from inside, between any two events.
    ///
    /// # Errors
    ///
    /// The first one that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        invariants::check(&self.pool, &self.operations)
    }

    /// Hands an event to the part that it concerns.
    fn dispatch(&mut self, event: Event) {
        let Self { pool, operations, state_file, upkeep, metrics_server, .. } = self;
        match event {
            Event::Spawned { worker, result } => lifecycle::spawned(pool, operations, worker, result),
            Event::Exited { worker, status } => self.exited(worker, status),
            Event::Dying { worker, cause } => lifecycle::dying(pool, operations, worker, cause),
            Event::Reaped { worker } => remains::reaped(pool, worker),
            Event::Removed { worker, result } => remains::removed(pool, worker, result),
            Event::Terminated { worker, servers } => retire::terminated(pool, worker, &servers),
            Event::ServersEnded { worker } => retire::servers_ended(pool, worker),
            Event::Notified { worker } => lifecycle::shown_ready(pool, operations, worker),
            Event::Probed { worker, result } => lifecycle::probed(pool, operations, worker, result),
            Event::QueueMeasured { worker, queue } => {
                lifecycle::queue_measured(pool, operations, worker, &queue);
            }
            Event::WaitingCounted { worker, queue } => suspension::counted(pool, worker, &queue),
            Event::CpuMeasured { worker, result } => {
                lifecycle::cpu_measured(pool, operations, worker, result);
            }
            Event::MemoryMeasured { worker, result } => limits::measured(pool, worker, result),
            Event::Examined { worker, result } => health::examined(pool, worker, result),
            Event::QueueListed { worker, result } => health::listed(pool, worker, result),
            Event::SinkStarted { result } => output::sink_started(pool, result),
            Event::SinkReady { version } => output::sink_ready(pool, &version),
            Event::LogWritten { result } => sink::log_written(&result),
            Event::SinkEnded { failure } => pool.sink.ended(pool.effects.now(), &failure),
            Event::LastLines { worker, lines } => pool.sink.answered(worker, lines),
            Event::Received { worker, message } => lifecycle::received(pool, operations, worker, message),
            Event::Claimed { conn, caller, claims, message } => {
                self.claimed(conn, caller, claims, message);
            }
            Event::ChannelClosed { worker } => lifecycle::channel_closed(pool, worker),
            Event::Published { slot, worker, result } => self.published(slot, worker, result),
            Event::Withdrawn { slot, link, result } => links::withdrawn(pool, slot, &link, result),
            Event::Listening { slot, socket, result } => sockets::listening(pool, slot, &socket, result),
            Event::Unlistened { socket, result, .. } => sockets::unlistened(pool, &socket, result),
            Event::Persisted { result } => {
                if state_file.written(pool.now(), result) {
                    leaders::recorded(pool);
                }
            }
            Event::HookStarted { result } => pool.hooks.started(pool.effects.now(), result),
            Event::HookWrote { process, lines } => pool.hooks.wrote(process, &lines),
            Event::HookEnded { process, status } => pool.hooks.ended(process, status),
            Event::Recorded { number, result } => pool.ledger.written(pool.effects.now(), number, result),
            Event::ConfigLoaded { result } => begin::config_loaded(pool, operations, result),
            Event::Preflighted { result } => self.preflighted(result),
            Event::Frozen => upgrade::paused(operations),
            Event::NotHandedOff { failure } => {
                let progress = upgrade::not_handed_off(pool, operations, &failure);
                begin::next_if_ended(pool, operations, progress);
            }
            Event::Requested { from, asker, request } => {
                commands::requested(pool, operations, from, asker, request);
            }
            Event::Disconnected { conn } => self.disconnected(conn),
            Event::Signalled { signal } => commands::signalled(pool, operations, signal),
            Event::ReleaseLocated { named } => {
                let progress = locate::located(pool, operations, named);
                begin::next_if_ended(pool, operations, progress);
            }
            Event::ReleaseChecked { stand_in } => locate::checked(pool, stand_in),
            Event::ReleaseLinkFound { result } => {
                let progress = deploy::link_found(pool, operations, result);
                begin::next_if_ended(pool, operations, progress);
            }
            Event::ReleaseLinkSwitched { to, result } => {
                let progress = deploy::link_switched(pool, operations, &to, result);
                begin::next_if_ended(pool, operations, progress);
            }
            Event::CommandStarted { result } => {
                let progress = migrate::started(pool, operations, result);
                begin::next_if_ended(pool, operations, progress);
            }
            Event::CommandWrote { process, lines } => migrate::wrote(pool, operations, process, lines),
            Event::CommandEnded { process, status } => {
                let progress = migrate::ended(pool, operations, process, status);
                begin::next_if_ended(pool, operations, progress);
            }
            Event::Surveyed(survey) => self.surveyed(&survey),
            Event::Unwatched { failure } => upkeep.unwatched(pool.now(), &failure),
            Event::Restored { what, result } => {
                if upkeep.restored(pool.now(), what, result) {
                    pool.repaired(what.thing(), None);
                }
            }
            Event::Swept { result } => report::sweep(result),
            Event::DevServing { result, .. } => report::dev_server(result),
            Event::MetricsServing { address, result } => {
                upkeep.is_done(Own::MetricsSocket);
                metrics_server.serves(pool.effects.now(), address.as_ref(), result);
            }
            Event::LogsReopened { result } => report::logs(result),
        }
    }

    fn exited(&mut self, id: WorkerId, status: ExitStatus) {
        if let Some(process) = lifecycle::exited(&mut self.pool, &mut self.operations, id, status) {
            // Whoever takes over goes first; the dead can wait.
            self.settle();
            remains::reap(&mut self.pool, id, process);
        }
    }

    fn surveyed(&mut self, survey: &Survey) {
        self.upkeep.surveyed(self.pool.now(), survey);
        if survey.lost.contains_key(&Own::State) {
            self.state_file.is_lost();
        }
        losses::surveyed(&mut self.pool, &mut self.operations, survey);
    }

    fn published(&mut self, slot: SlotIndex, id: WorkerId, result: Result<(), Failure>) {
        match links::published(&mut self.pool, slot, id, result) {
            links::Swap::Unknown => {}
            links::Swap::Lent => {
                replace::published(&mut self.operations, slot, None);
            }
            links::Swap::Failed(reason) => {
                replace::published(&mut self.operations, slot, Some(&reason));
            }
            links::Swap::Done { before } => {
                if !replace::published(&mut self.operations, slot, None) {
                    links::took_over(&mut self.pool, slot, id, before);
                }
            }
        }
    }

    /// A connection to the control socket says that it is a worker.
    fn claimed(&mut self, conn: ConnId, caller: Option<Caller>, claims: Option<Claim>, message: FromWorker) {
        if let Some(id) = reunion::identify(&mut self.pool, conn, caller, claims, &message) {
            if let FromWorker::Online { suspended, .. } = message {
                reunion::reunite(&mut self.pool, &self.operations, id, conn, suspended);
            }
            lifecycle::received(&mut self.pool, &mut self.operations, id, message);
        }
    }

    fn disconnected(&mut self, conn: ConnId) {
        self.pool.requests.forget(Peer::Client(conn));
        self.pool.watchers.forget(Peer::Client(conn));
        self.operations.forget(Peer::Client(conn));
        if let Some(id) = self.pool.workers.connected(conn) {
            lifecycle::channel_lost(&mut self.pool, id);
        }
    }

    fn preflighted(&mut self, result: Result<String, Failure>) {
        let had_detached = self.has_detached();
        let progress = upgrade::preflighted(&mut self.pool, &mut self.operations, result);
        begin::next_if_ended(&mut self.pool, &mut self.operations, progress);
        if self.has_detached() && !had_detached {
            last_lines::answer_all(&mut self.pool);
            self.announce();
            self.pool.ledger.order_all(&mut self.pool.effects);
            self.pool.effects.order(Action::Quit);
        }
    }

    /// Tries the installed program, if an upgrade has begun.
    fn try_installed_program(&mut self) {
        let step = upgrade::step(&self.operations);
        if step.is_some() {
            // The next program does not know of answers that are held back.
            last_lines::answer_all(&mut self.pool);
        }
        if step == Some(Step::Wanted) {
            let handoff = Box::new(self.handoff());
            self.pool.effects.order(Action::Preflight { handoff, limit: upgrade::TRIAL });
            upgrade::enter_step(&mut self.operations, Step::Checking);
        }
    }

    /// The order to hand off, once there is nothing else to do.
    fn order_to_hand_off(&mut self) -> Option<Action> {
        let paused = upgrade::step(&self.operations) == Some(Step::Paused);
        paused.then(|| {
            let handoff = Box::new(self.handoff());
            upgrade::enter_step(&mut self.operations, Step::HandingOff);
            Action::HandOff { handoff }
        })
    }

    fn handoff(&self) -> Handoff {
        let announcements = self.announcements.as_ref();
        let servers = (self.dev_server.last(), self.metrics_server.last());
        handoff::hand_off(&self.pool, &self.operations, announcements, servers)
    }

    // After every event.

    /// Brings what is closer to what ought to be, as far as that is possible now.
    fn settle(&mut self) {
        if self.has_quit() {
            return;
        }
        self.pool.tell_beginning();
        self.upkeep.order(&mut self.pool.effects);
        output::order_sink(&mut self.pool);
        self.try_installed_program();
        quit::hasten(&mut self.pool, &mut self.operations);
        for active in reunion::conclude(&mut self.pool, &self.operations) {
            lifecycle::active_in_suspended_app(&mut self.pool, &mut self.operations, active);
        }
        expiry::expire(&mut self.pool, &mut self.operations);
        limits::replace_next(&mut self.pool, self.operations.words().is_none());
        let mut look = Look::begin(&mut self.pool, self.operations.is_swapping());
        self.close_unneeded(&look);
        self.advance();
        look.renew(&mut self.pool, self.operations.is_swapping());
        if !self.operations.is_swapping() {
            self.fill_and_clear(&mut look);
        }
        self.advance();
        let (slots, new) = (self.operations.slots_ahead(&self.pool), self.operations.starting());
        boot::start_waiting(&mut self.pool, new.map(|rollout| (&rollout.config, &rollout.generation)), slots);
        look.extend(&mut self.pool, self.operations.is_swapping());
        self.close_unneeded(&look);
        suspension::follow(&mut self.pool, self.operations.words());
        expiry::begin(&mut self.pool, &self.operations);
        self.dev_server.update(&mut self.pool);
        self.metrics_server.update(&mut self.pool);
        vacancies::note_service(&mut self.pool, &look.slots);
        counting::note_takeovers(&mut self.pool, &look.slots);
        let since = self.pool.desired.suspension.as_ref().map(|suspension| suspension.since);
        self.pool.counters.suspension(self.pool.effects.now(), since);
        leaders::settle(&mut self.pool, &look.slots);
        self.dev_server.show(&mut self.pool, self.operations.is_idle());
        self.announce();
        last_lines::answer(&mut self.pool);
        self.pool.ledger.order(&mut self.pool.effects);
        self.pool.hooks.order(&mut self.pool.effects, &self.pool.config);
        self.quit_when_done();
    }

    /// Starts and promotes what is missing, then retires and removes what has no place.
    fn fill_and_clear(&mut self, look: &mut Look) {
        let ahead = self.operations.slots_ahead(&self.pool);
        neighbours::note_hosts(&mut self.pool, &look.slots);
        if self.pool.is_serving() {
            vacancies::fill(&mut self.pool, &look.slots, ahead);
            look.extend(&mut self.pool, false);
            if look.standbys {
                let joining = self.operations.joining_standbys();
                vacancies::fill_standby(&mut self.pool, ahead, joining);
            }
        }
        look.extend(&mut self.pool, false);
        surplus::retire_surplus(&mut self.pool, &look.slots, look.standbys);
        look.extend(&mut self.pool, false);
        neighbours::note_hosts(&mut self.pool, &look.slots);
        look.extend(&mut self.pool, false);
        surplus::clear_links(&mut self.pool, &look.slots);
        neighbours::spread(&mut self.pool);
    }

    fn close_unneeded(&mut self, look: &Look) {
        if !self.pool.listeners.is_empty() {
            let listeners = look.listeners(&self.pool);
            sockets::close_unneeded(&mut self.pool, &listeners);
        }
    }

    fn advance(&mut self) {
        advance::advance(&mut self.pool, &mut self.operations);
        self.try_installed_program();
    }

    fn announce(&mut self) {
        if let Some(announcements) = &mut self.announcements {
            announcements.announce(&mut self.pool, &self.operations);
        }
    }

    /// Quits when nothing runs and nothing is left, or nothing that could be removed.
    fn quit_when_done(&mut self) {
        let quitting = matches!(self.pool.life, Life::Quitting { .. });
        if quitting
            && (self.operations.is_complete() && remains::nothing_left(&self.pool)
                || defect!(QuitBeforeWorkersGone))
        {
            last_lines::answer_all(&mut self.pool);
            self.pool.life = Life::Quit { detached: false };
            self.pool.ledger.order_all(&mut self.pool.effects);
            self.pool.end_watching();
            self.pool.effects.order(Action::Quit);
        }
    }

    /// Writes down what the event has changed, before the orders that it gave.
    fn record(&mut self) {
        let mut touched: BTreeSet<WorkerId> = std::mem::take(&mut self.pool.workers.touched().workers);
        touched.extend(self.pool.effects.take_told());
        if let Some(order) = self.state_file.update(&self.pool, &self.operations, touched) {
            self.pool.effects.write_ahead(order);
        }
    }
}
