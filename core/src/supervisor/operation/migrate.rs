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
use super::deployment::{Back, Course, Migration};
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
    let Some(migration) = operations.migration_mut() else { return };
    let (command, step) = match errand {
        Errand::Migrate => {
            migration.course = Course::Runs;
            (migration.command.clone(), DeployStep::Migrating)
        }
        Errand::Revert => {
            if let Course::Back(back) = &mut migration.course {
                back.reverting = true;
            }
            (migration.revert.clone().unwrap_or_default(), DeployStep::Reverting)
        }
    };
    // What undoes a migration is part of the release that brought it.
    let release = migration.generations.as_ref().and_then(|(_, new)| new.release.clone());
    let order = command_order(&command, &pool.config, release.as_ref());
    tracing::info!(
        "a deploy: {} begins in {}: {}",
        errand.words(),
        order.cwd.display(),
        escape(&command, LINE)
    );
    let news = DeployNews::new(step).of(&order.cwd).by(&escape(&command, LINE));
    operations.command = Some(Command::ordered(errand, migration.limit));
    tell(pool, &requesters, &news);
    operations.enter(pool, Kind::Deploy, requesters, Phase::Migrating);
    pool.effects.order(Action::RunCommand(Box::new(order)));
}

/// What somebody has to know who begins to follow the deploy while its command runs.
pub(super) fn news(operations: &Operations) -> Option<DeployNews> {
    let (command, migration) = (operations.command.as_ref()?, operations.migration()?);
    let (step, words) = match command.errand() {
        Errand::Migrate => (DeployStep::Migrating, Some(&migration.command)),
        Errand::Revert => (DeployStep::Reverting, migration.revert.as_ref()),
    };
    Some(DeployNews::new(step).by(&escape(words?, LINE)))
}

/// The command runs, or could not be started.
pub(in crate::supervisor) fn started(
    pool: &mut Pool,
    operations: &mut Operations,
    result: Result<Process, Failure>,
) -> Progress {
    let now = pool.now();
    let Some(command) = operations.command.as_mut().filter(|command| command.process().is_none()) else {
        return Progress::GoesOn;
    };
    match result {
        Ok(process) => {
            tracing::info!(pid = process.pid, "a deploy: {} runs", command.errand().words());
            let signal = command.started(process, now).map(|signal| (process, signal));
            running::send(pool, operations, signal);
            Progress::GoesOn
        }
        Err(failure) => over(pool, operations, Some(failure.0)),
    }
}

/// The command wrote something.
pub(in crate::supervisor) fn wrote(
    pool: &mut Pool,
    operations: &Operations,
    process: Process,
    lines: Vec<String>,
) {
    let Some(command) = operations.command.as_ref().filter(|command| command.process() == Some(process))
    else {
        return;
    };
    for line in lines {
        let line = escape(&line, LINE);
        tracing::info!(pid = process.pid, "{}: {line}", command.errand().label());
        tell_all(pool, operations, &DeployNews::new(DeployStep::Output).line(line));
    }
}

/// The command has ended.
pub(in crate::supervisor) fn ended(
    pool: &mut Pool,
    operations: &mut Operations,
    process: Process,
    status: ExitStatus,
) -> Progress {
    let Some(command) = operations.command.as_ref().filter(|command| command.process() == Some(process))
    else {
        return Progress::GoesOn;
    };
    tracing::info!(pid = process.pid, "a deploy: {} has ended: it {status}", command.errand().words());
    let failure = command.failure(status).filter(|_| !defect!(MigrationFailureIgnored));
    over(pool, operations, failure)
}

/// The command is over; `failure`: why it did not do what it was for.
fn over(pool: &mut Pool, operations: &mut Operations, failure: Option<String>) -> Progress {
    let Some(command) = operations.command.take() else { return Progress::GoesOn };
    let awaited = operations.current().is_some_and(|operation| operation.phase == Phase::Migrating);
    if !awaited {
        return if operations.is_idle() { Progress::Ended } else { Progress::GoesOn };
    }
    let Some(Operation { requesters, .. }) = operations.take(&mut pool.requests) else {
        return Progress::GoesOn;
    };
    match (command.errand(), failure) {
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

/// The deploy has failed while workers of the new release are suspended, or serve.
fn go_back(
    pool: &mut Pool,
    operations: &mut Operations,
    requesters: Vec<Requester>,
    reason: String,
    failed: Option<FailedWorker>,
) -> Progress {
    let suspended = pool.desired.is_suspended();
    let Some(migration) = operations.migration_mut() else { return Progress::Ended };
    let done = migration.course == Course::Done;
    let reverts = migration.revert.is_some();
    if done && !reverts {
        answer::goes_on(pool, operations, requesters, &reason, failed);
        return Progress::Ended;
    }
    migration.course = Course::Back(Back { reason: reason.clone(), failed, reverting: false });
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
    tracing::info!("a deploy: its workers are watched for {} ms", time.as_millis());
    let holds = |(id, worker): (WorkerId, &Worker)| matches!(worker.role(), Role::Holding(_)).then_some(id);
    let new: BTreeSet<WorkerId> = pool.workers.iter().filter_map(holds).collect();
    let (kept, former, until) = (BTreeSet::new(), pool.generation.clone(), pool.now() + time);
    let watch = Watch { new, kept, former, until, earlier: None };
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
    if operations.migration().is_some() {
        return go_back(pool, operations, requesters, reason, Some(failed));
    }
    answer::goes_on(pool, operations, requesters, &reason, Some(failed));
    Progress::Ended
}
