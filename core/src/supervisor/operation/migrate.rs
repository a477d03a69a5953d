//! The migration of a deploy: a command that runs while nobody is active.
//!
//! ```text
//! new workers take over, suspended ─→ the old ones are gone ─→ the migration runs ─(done)─→ resume ─→ watch ─→ done
//!                                                                   │                          └(a worker fails)┐
//!                                                                (fails)                                        │ workers of the old
//!                                                                   │                                           │ release take over,
//!                                                                   ↓                                           │ suspended
//!                                                        the revert runs, if there is one ←─────────────────────┘
//!                                                                   │
//!                                                                   └─→ workers of the old release serve
//! ```
//!
//! Where a step of the way back fails, the app stays suspended and waits for a person: nobody else can tell what the data is like.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::event::{ExitStatus, Failure};
use crate::history::Outcome;
use crate::id::{Process, WorkerId};
use crate::supervisor::pool::{Pool, last_lines};
use crate::supervisor::worker::order::command_order;
use crate::supervisor::worker::{Role, Worker};
use crate::text::escape;
use crate::wire::{DeployNews, DeployStep, FailedWorker, Reply};

use super::command::{Command, Errand};
use super::confirmations::Confirmations;
use super::deployment::{Back, Course, Migration, Task};
use super::failure::describe_in_place;
use super::news::{tell, tell_all};
use super::replace::roll_out;
use super::watch::Watch;
use super::{
    Kind, Operation, Operations, Phase, Progress, Requester, answer, begin, done, plan, release_link, resume,
    running,
};

/// A line of a command is cut to this many characters.
const LINE: usize = 1000;

/// The new workers have taken over, suspended, and nobody else is alive.
pub(super) fn nobody_is_active(pool: &mut Pool, operations: &mut Operations, requesters: Vec<Requester>) {
    let errand = if operations.goes_back() { Errand::Revert } else { Errand::Migrate };
    run(pool, operations, requesters, errand);
}

/// Runs the migration, or what undoes it.
fn run(pool: &mut Pool, operations: &mut Operations, requesters: Vec<Requester>, errand: Errand) {
    if defect!(MigratesActive) {
        resume::lift(pool);
    }
    let Task { command, release, limit } = operations.begin_task(errand);
    let order = command_order(&command, &pool.config, release.as_ref());
    tracing::info!(
        "a deploy: {} begins in {}: {}",
        errand.words(),
        order.cwd.display(),
        escape(&command, LINE)
    );
    let news = DeployNews::new(errand.step()).of(&order.cwd).by(&escape(&command, LINE));
    operations.command = Some(Command::ordered(errand, limit));
    tell(pool, &requesters, &news);
    operations.enter(pool, Kind::Deploy, requesters, Phase::Migrating);
    pool.effects.order(Action::RunCommand(Box::new(order)));
}

/// What somebody has to know who begins to follow the deploy while its command runs.
pub(super) fn news(operations: &Operations) -> Option<DeployNews> {
    let (command, migration) = (operations.command.as_ref()?, operations.migration()?);
    let words = match command.errand() {
        Errand::Migrate => Some(&migration.command),
        Errand::Revert => migration.revert.as_ref(),
    };
    Some(DeployNews::new(command.errand().step()).by(&escape(words?, LINE)))
}

/// The command runs, or could not be started.
pub(in crate::supervisor) fn started(
    pool: &mut Pool,
    operations: &mut Operations,
    result: Result<Process, Failure>,
) -> Progress {
    let now = pool.now();
    let ordered = operations.command.as_mut().filter(|command| command.process().is_none());
    match (ordered, result) {
        (None, _) => Progress::GoesOn,
        (Some(command), Ok(process)) => {
            let errand = command.errand();
            tracing::info!(pid = process.pid, "a deploy: {} runs", errand.words());
            if let Some(signal) = command.started(process, now) {
                running::send(pool, errand, (process, signal));
            }
            Progress::GoesOn
        }
        (Some(command), Err(failure)) => {
            let errand = command.errand();
            over(pool, operations, errand, Some(failure.0))
        }
    }
}

/// The command wrote something.
pub(in crate::supervisor) fn wrote(
    pool: &mut Pool,
    operations: &Operations,
    process: Process,
    lines: Vec<String>,
) {
    if let Some(errand) = operations.running(process).map(Command::errand) {
        for line in lines {
            let line = escape(&line, LINE);
            tracing::info!(pid = process.pid, "{}: {line}", errand.label());
            tell_all(pool, operations, &DeployNews::new(DeployStep::Output).line(line));
        }
    }
}

/// The command has ended.
pub(in crate::supervisor) fn ended(
    pool: &mut Pool,
    operations: &mut Operations,
    process: Process,
    status: ExitStatus,
) -> Progress {
    match operations.running(process) {
        None => Progress::GoesOn,
        Some(command) => {
            let errand = command.errand();
            tracing::info!(pid = process.pid, "a deploy: {} has ended: it {status}", errand.words());
            let failure = command.failure(status).filter(|_| !defect!(MigrationFailureIgnored));
            over(pool, operations, errand, failure)
        }
    }
}

/// The command is over; `failure`: why it did not do what it was for.
fn over(pool: &mut Pool, operations: &mut Operations, errand: Errand, failure: Option<String>) -> Progress {
    operations.command = None;
    match operations.take_if(&mut pool.requests, |phase| *phase == Phase::Migrating) {
        Some(Operation { requesters, .. }) => go_on(pool, operations, requesters, errand, failure),
        None => Progress::Ended,
    }
}

/// The deploy that has waited for the command goes on.
fn go_on(
    pool: &mut Pool,
    operations: &mut Operations,
    requesters: Vec<Requester>,
    errand: Errand,
    failure: Option<String>,
) -> Progress {
    match (errand, failure) {
        (Errand::Migrate, None) => {
            if let Some(migration) = operations.migration_mut() {
                migration.course = Course::Done;
            }
            tell(pool, &requesters, &DeployNews::new(DeployStep::Migrated));
            resume_all(pool, operations, requesters);
            Progress::GoesOn
        }
        (Errand::Migrate, Some(failure)) => {
            go_back(pool, operations, requesters, format!("its migration failed: {failure}"), None)
        }
        (Errand::Revert, None) => come_back(pool, operations, requesters),
        (Errand::Revert, Some(failure)) => {
            answer::stuck(
                pool,
                operations,
                requesters,
                &format!("the revert of its migration failed: {failure}"),
            );
            Progress::Ended
        }
    }
}

/// The deploy has failed while workers of the new release are suspended, or serve. Where nothing can be undone, these stay.
fn go_back(
    pool: &mut Pool,
    operations: &mut Operations,
    requesters: Vec<Requester>,
    reason: String,
    failed: Option<FailedWorker>,
) -> Progress {
    let suspended = pool.desired.is_suspended();
    if operations.migration().is_none_or(Migration::is_final) {
        answer::goes_on(pool, operations, requesters, &reason, failed);
        return Progress::Ended;
    }
    let reverts = operations.migration().is_some_and(|migration| migration.revert.is_some());
    if let Some(migration) = operations.migration_mut() {
        migration.course = Course::Back(Back { reason: reason.clone(), failed, reverting: false });
    }
    tell(pool, &requesters, &DeployNews::new(DeployStep::RollingBack).because(&reason));
    if suspended && reverts {
        run(pool, operations, requesters, Errand::Revert);
        return Progress::GoesOn;
    }
    if !suspended {
        return_to_old(pool, operations, requesters, true);
        return Progress::GoesOn;
    }
    come_back(pool, operations, requesters)
}

/// The data is what it was, as far as that can be had: the old release serves again.
fn come_back(pool: &mut Pool, operations: &mut Operations, requesters: Vec<Requester>) -> Progress {
    if let Some(Migration { course: Course::Back(back), .. }) = operations.migration_mut() {
        back.reverting = false;
    }
    release_link::go_back(pool, operations);
    let new = operations
        .migration()
        .and_then(|migration| migration.generations.as_ref())
        .map(|(_, new)| new.number);
    if new == Some(pool.generation.number) {
        return_to_old(pool, operations, requesters, false);
    } else {
        // Its workers have taken over before the migration was undone, and wait.
        resume_all(pool, operations, requesters);
    }
    Progress::GoesOn
}

/// Starts workers of the release that was in force before the deploy.
fn return_to_old(pool: &mut Pool, operations: &mut Operations, requesters: Vec<Requester>, suspended: bool) {
    let former = operations.migration().and_then(|migration| migration.generations.as_ref());
    let release = former.and_then(|(former, _)| former.release.clone());
    let suspension = begin::suspension(pool, &requesters, suspended, None);
    let plan = plan::replace_all(pool, suspension);
    let generation = pool.next_generation(release);
    roll_out(pool, operations, Kind::Deploy, requesters, plan, generation);
}

/// Whoever is suspended begins, and has to confirm that.
fn resume_all(pool: &mut Pool, operations: &mut Operations, requesters: Vec<Requester>) {
    let confirmations = resume::lift(pool);
    operations.enter(pool, Kind::Deploy, requesters, Phase::Resuming(confirmations));
}

/// All workers that were resumed have confirmed that, or will not.
pub(super) fn resumed(
    pool: &mut Pool,
    operations: &mut Operations,
    requesters: Vec<Requester>,
    end: &Confirmations,
) -> Progress {
    let complaints = resume::complaints(pool, end);
    if operations.goes_back() {
        let errors = complaints.into_iter().map(|(_, words)| words).collect();
        answer::went_back(pool, operations, requesters, errors);
        return Progress::Ended;
    }
    if let Some((id, words)) = complaints.into_iter().next() {
        let failed = last_lines::failed_worker(pool, id, &words);
        return go_back(pool, operations, requesters, words, Some(failed));
    }
    let Some(time) = operations.watch_time() else {
        operations.deployment = None;
        operations.last_deploy = Some(Reply::done(None));
        pool.ended(Outcome::Done, None);
        tracing::info!("a deploy is complete");
        requesters.into_iter().for_each(|requester| done(pool, requester));
        return Progress::Ended;
    };
    let holds = |(id, worker): (WorkerId, &Worker)| matches!(worker.role(), Role::Holding(_)).then_some(id);
    let new: BTreeSet<WorkerId> = pool.workers.iter().filter_map(holds).collect();
    let broken = |id: &WorkerId| pool.workers.get(*id).is_some_and(Worker::is_broken);
    if let Some(id) = new.iter().copied().find(broken) {
        // Its failure was heard of before the watch, and is not told again.
        return watch_failed(pool, operations, requesters, id, "it asked to be replaced");
    }
    tracing::info!("a deploy: its workers are watched for {} ms", time.as_millis());
    let (kept, former, until) = (BTreeSet::new(), pool.generation.clone(), pool.now() + time);
    let watch = Watch { new, kept, former, until, batches: None };
    operations.enter(pool, Kind::Deploy, requesters, Phase::Watching(watch));
    Progress::GoesOn
}

/// A worker has failed while a deploy is watched whose old workers are gone.
pub(super) fn watch_failed(
    pool: &mut Pool,
    operations: &mut Operations,
    requesters: Vec<Requester>,
    id: WorkerId,
    reason: &str,
) -> Progress {
    let failed = last_lines::failed_worker(pool, id, reason);
    let reason = describe_in_place(&failed);
    go_back(pool, operations, requesters, reason, Some(failed))
}
