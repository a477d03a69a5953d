//! Writing the state file, so that the next daemon knows what this one was about.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::action::Action;
use crate::config::{SocketPattern, StopSignal};
use crate::event::Failure;
use crate::id::WorkerId;
use crate::release::Release;
use crate::state::{
    Changes, CountersRecord, DeployRecord, Entry, LeadershipRecord, RecordedStage, RolloutRecord, State,
    SuspensionRecord, VERSION, WorkerRecord,
};
use crate::supervisor::backoff::Backoff;
use crate::supervisor::counters::Counters;
use crate::supervisor::goal::{Evidence, Life};
use crate::supervisor::operation::Operations;
use crate::supervisor::pool::Pool;
use crate::supervisor::timer::Timer;
use crate::supervisor::worker::{self, Worker};
use crate::time::Time;

/// The file is replaced once this many more workers have been written to it than twice as many as there are. So it is
/// bounded, and replacing it costs little for each event.
const SPARE: usize = 64;

/// What the state file says, as far as it was ordered.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct StateFile {
    /// All but the workers; `None` while there is no file.
    header: Option<State>,
    workers: BTreeMap<WorkerId, WorkerRecord>,
    counters: Counters,
    /// How many changes have been added to the file since it was replaced.
    added: usize,
    /// Somebody has removed it.
    lost: bool,
    /// Failures to write it.
    failures: Backoff,
    /// How many writes were ordered and are not done.
    ordered: u32,
}

impl StateFile {
    /// Brings the file up to date: the order that does that, if anything has changed. A daemon that has quit leaves no
    /// file, unless it leaves its workers as well.
    ///
    /// `touched`: the workers that may have changed since.
    pub fn update(
        &mut self,
        pool: &Pool,
        operations: &Operations,
        touched: BTreeSet<WorkerId>,
    ) -> Option<Action> {
        let again = self.failures.retry_at().is_some_and(|at| at <= pool.now());
        let quit = matches!(pool.life, Life::Quit { detached } if !detached || defect!(DetachRemovesState));
        if quit {
            let removed = self.header.take().is_some();
            return (removed || again).then(|| self.order(None));
        }
        let changes = self.changes(pool, operations, touched);
        if !again && !self.lost && changes.is_empty() {
            return None;
        }
        let broken = self.header.is_none() || self.failures.failures() > 0 || self.lost;
        if let Some(header) = &changes.daemon {
            self.header = Some(header.clone());
        }
        self.added += 1 + changes.workers.len() + changes.gone.len();
        if !broken && self.added <= 2 * self.workers.len() + SPARE {
            return Some(self.order(Some(Entry::Changes(Box::new(changes)))));
        }
        self.added = 0;
        self.lost = false;
        let workers = self.workers.values().cloned().collect();
        let counters = CountersRecord::from(&self.counters);
        let whole = self.header.clone().map(|header| Box::new(State { workers, counters, ..header }));
        Some(self.order(whole.map(Entry::Whole)))
    }

    /// What has changed since the file was written; takes it for written.
    fn changes(&mut self, pool: &Pool, operations: &Operations, touched: BTreeSet<WorkerId>) -> Changes {
        let mut changes = Changes::default();
        for id in touched {
            let known = pool.workers.get(id);
            let standing = known.and_then(|worker| Some((worker, Standing::of(pool, id, worker)?)));
            let Some((worker, standing)) = standing else {
                changes.gone.extend(self.workers.remove(&id).map(|record| record.id));
                continue;
            };
            if !self.workers.get(&id).is_some_and(|record| says(record, worker, standing)) {
                let record = record(id, worker, standing);
                self.workers.insert(id, record.clone());
                changes.workers.push(record);
            }
        }
        let same = self.header.as_ref().is_some_and(|header| says_header(header, pool, operations));
        changes.daemon = (!same).then(|| header(pool, operations));
        let urgent = !changes.is_empty() || pool.counters.is_urgent(&self.counters);
        if urgent && self.counters != pool.counters && !defect!(StateForgetsCounters) {
            self.counters.clone_from(&pool.counters);
            changes.counters = Some(CountersRecord::from(&pool.counters));
        }
        changes
    }

    fn order(&mut self, entry: Option<Entry>) -> Action {
        self.failures.tried();
        self.ordered += 1;
        Action::Persist { entry }
    }

    /// Somebody has removed the file: it is written as a whole.
    pub fn is_lost(&mut self) {
        self.lost = true;
    }

    /// The file was written, or not; then that is tried again, after a while or at the next change. Returns whether the file
    /// says all that it was ordered to say.
    pub fn written(&mut self, now: Time, result: Result<(), Failure>) -> bool {
        let failing = self.failures.failures() > 0;
        self.ordered = self.ordered.saturating_sub(1);
        let complete = self.ordered == 0 && result.is_ok();
        match &result {
            Ok(()) => self.failures.succeeded(),
            Err(failure) => self.failures.failed(now, Duration::ZERO, &failure.0),
        }
        match result {
            Err(failure) if !failing => {
                tracing::warn!(
                    "cannot write the state file; a daemon that follows this one will know less: {failure}"
                );
            }
            Ok(()) if failing => tracing::info!("the state file is written again"),
            Ok(()) | Err(_) => {}
        }
        complete
    }

    /// When a write that failed is tried again.
    pub fn next_deadline(&self) -> Option<(Time, Timer)> {
        self.failures.retry_at().map(|at| (at, Timer::Persist))
    }
}

/// Every `socketFile` by which a link or a socket may be named.
pub(in crate::supervisor) fn socket_files(pool: &Pool, operations: &Operations) -> Vec<String> {
    sorted_socket_files(pool, operations).into_iter().map(str::to_owned).collect()
}

fn sorted_socket_files<'a>(pool: &'a Pool, operations: &'a Operations) -> Vec<&'a str> {
    let rollout = operations.rollout().map(|(_, rollout)| &rollout.config.socket_file);
    let all = pool.former_patterns.iter().chain([&pool.config.socket_file]).chain(rollout);
    let mut names: Vec<&str> = all.map(SocketPattern::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// All but the workers.
fn header(pool: &Pool, operations: &Operations) -> State {
    let suspension = suspension_record(pool);
    State {
        version: VERSION,
        boot_id: None,
        running: pool.desired.running,
        slots: pool.desired.slots,
        standby: pool.desired.standby,
        suspended: suspension.is_some(),
        suspension,
        socket_dir: pool.config.separate_socket_dir(),
        socket_files: socket_files(pool, operations),
        workers: Vec::new(),
        guessing: pool.evidence == Evidence::Awaited,
        generation: pool.generation.number,
        release: release_in_force(pool).cloned(),
        deploy: deploy_record(operations),
        rollout: rollout_record(operations),
        batches: operations.batches_record(),
        leadership: leadership_record(pool),
        history: pool.ledger.record(),
        hook: pool.hooks.process(),
        counters: CountersRecord::default(),
    }
}

/// Whether the header says all that there is to know: most events change nothing of that, and nothing is copied for them.
fn says_header(header: &State, pool: &Pool, operations: &Operations) -> bool {
    let State {
        version: _,
        boot_id: _,
        running,
        slots,
        standby,
        suspended: _,
        suspension,
        socket_dir,
        socket_files,
        workers: _,
        guessing,
        generation,
        release,
        deploy,
        rollout,
        batches,
        leadership,
        history,
        hook,
        counters: _,
    } = header;
    let desired = &pool.desired;
    (*running, *slots, *standby) == (desired.running, desired.slots, desired.standby)
        && (*generation, *hook) == (pool.generation.number, pool.hooks.process())
        && *guessing == (pool.evidence == Evidence::Awaited)
        && release.as_ref() == release_in_force(pool)
        && *leadership == leadership_record(pool)
        && pool.ledger.is_said_by(history)
        && *suspension == suspension_record(pool)
        && *socket_dir == pool.config.separate_socket_dir()
        && *socket_files == sorted_socket_files(pool, operations)
        && *rollout == rollout_record(operations)
        && *batches == operations.batches_record()
        && *deploy == deploy_record(operations)
}

fn suspension_record(pool: &Pool) -> Option<SuspensionRecord> {
    pool.desired.suspension.as_ref().filter(|_| !defect!(StateForgetsSuspension)).map(Into::into)
}

fn release_in_force(pool: &Pool) -> Option<&Release> {
    pool.generation.release.as_ref().filter(|_| !defect!(StateForgetsRelease))
}

fn deploy_record(operations: &Operations) -> Option<DeployRecord> {
    operations.deploy_record().filter(|_| !defect!(StateForgetsDeploy))
}

fn rollout_record(operations: &Operations) -> Option<RolloutRecord> {
    operations.rollout().map(|(kind, rollout)| RolloutRecord {
        what: kind.words().to_owned(),
        replaces: rollout.replaces,
        slots: rollout.desired.slots,
        standby: rollout.desired.standby,
        suspended: rollout.desired.is_suspended(),
        suspension: rollout.desired.suspension.as_ref().map(Into::into),
        generation: rollout.generation.number,
        release: rollout.generation.release.clone(),
    })
}

fn leadership_record(pool: &Pool) -> LeadershipRecord {
    if defect!(StateForgetsLeader) { LeadershipRecord::default() } else { pool.leadership.record() }
}

/// How a worker stands that is alive, or is about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    stage: RecordedStage,
    /// It is suspended, and its stage does not say so.
    suspended: bool,
}

impl Standing {
    fn of(pool: &Pool, id: WorkerId, worker: &Worker) -> Option<Self> {
        // Suspended until it has been told: nobody may take one for active that waits for ever.
        let suspended = worker.is_suspended() || worker.is_ready() && pool.effects.is_untold(id);
        let stage = stage(worker, suspended)?;
        Some(Self { stage, suspended: suspended && stage != RecordedStage::Suspended })
    }
}

/// How far a worker has got that is alive, or is about to be.
fn stage(worker: &Worker, suspended: bool) -> Option<RecordedStage> {
    let stage = match worker.state() {
        worker::State::Spawning { .. } | worker::State::Booting { .. } if worker.start().suspended => {
            RecordedStage::BootingSuspended
        }
        worker::State::Spawning { .. } | worker::State::Booting { .. } => RecordedStage::Booting,
        // It goes as soon as no link of another slot names it.
        worker::State::Ready { .. } if worker.is_retired() => RecordedStage::Draining,
        worker::State::Ready { broken: true, .. } => RecordedStage::Broken,
        worker::State::Ready { .. } if suspended => RecordedStage::Suspended,
        worker::State::Ready { .. } => RecordedStage::Online,
        // Nobody is led to one that may not be ready; what waits in a socket of the daemon's is anybody's.
        worker::State::Draining(_) if worker.inherits() && worker.ready_at().is_none() => {
            RecordedStage::Leaving
        }
        worker::State::Draining(_) => RecordedStage::Draining,
        worker::State::Unwanted
        | worker::State::ShuttingDown { .. }
        | worker::State::Terminating { .. }
        | worker::State::Killed { .. } => RecordedStage::Leaving,
        worker::State::Waiting | worker::State::Exited | worker::State::Reaped { .. } => return None,
    };
    Some(stage)
}

/// What there is to know about such a worker.
fn record(id: WorkerId, worker: &Worker, Standing { stage, suspended }: Standing) -> WorkerRecord {
    WorkerRecord {
        id,
        process: worker.process(),
        speaker: worker.speaker(),
        said_pid: worker.said_pid(),
        slot: worker.slot(),
        stage,
        suspended,
        socket: worker.socket().map(ToString::to_string),
        listeners: worker.listeners().to_vec(),
        mute: !worker.speaks(),
        stop_signal: stop_signal(worker),
        new: worker.is_joining(),
        generation: worker.start().generation,
        traffic: worker.counts().told().clone(),
    }
}

fn stop_signal(worker: &Worker) -> StopSignal {
    if defect!(StateForgetsStopSignal) { StopSignal::Term } else { worker.start().stop_signal }
}

/// Whether the record says all that there is to know: most events change nothing of that, and nothing is copied for them.
fn says(record: &WorkerRecord, worker: &Worker, now: Standing) -> bool {
    let WorkerRecord {
        id: _,
        process,
        speaker,
        said_pid,
        slot,
        stage,
        suspended,
        socket,
        listeners,
        mute,
        stop_signal: signal,
        new,
        generation,
        traffic,
    } = record;
    let place = (*process, *slot) == (worker.process(), worker.slot());
    let stands = (Standing { stage: *stage, suspended: *suspended }) == now;
    let speaks = (*speaker, *said_pid) == (worker.speaker(), worker.said_pid());
    let sockets = socket.as_deref() == worker.socket().map(|its| &**its) && listeners == worker.listeners();
    let start =
        (*mute, *new, *generation) == (!worker.speaks(), worker.is_joining(), worker.start().generation);
    place
        && stands
        && speaks
        && sockets
        && start
        && *signal == stop_signal(worker)
        && traffic == worker.counts().told()
}
