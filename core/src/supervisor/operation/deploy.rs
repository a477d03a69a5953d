//! Deploys: the release is switched, new workers take over, and they are watched before the old ones go.
//!
//! ```text
//! Locating ─→ Starting ─→ Swapping ─→ Watching ─(all is well)─→ the old workers retire
//!    │            │           │           └─(a new worker fails)─→ RollingBack ─→ the new workers retire
//!    └────────────┴───────────┴─→ the symlink is switched back, and nothing has changed
//! ```
//!
//! Up to the swap a deploy is a restart. Its way back needs no worker to be started: the old ones are alive, and links that
//! name them again are all it takes. A deploy with a migration is another matter: see `migrate`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::action::Action;
use crate::config::Listen;
use crate::event::Failure;
use crate::history::Outcome;
use crate::id::{RequestRef, WorkerId};
use crate::release::{Release, ReleaseLink};
use crate::supervisor::pool::{Pool, last_lines};
use crate::supervisor::requests::Audience;
use crate::supervisor::worker::Worker;
use crate::wire::{Body, Code, DeployNews, DeployOptions, DeployStep, MigrationOptions, Reply, StartOptions};

use super::batches::Undoing;
use super::begin::{batch, refusal as batch_refusal, refuse_while_busy, suspension};
use super::deployment::{Course, Deployment, Migration, OldWorkers};
use super::failure::describe_in_place;
use super::news::{tell, tell_all};
use super::plan::{self, Plan};
use super::requester::audience;
use super::watch::{Rollback, Watch, concerns, let_go, roll_back};
use super::{
    Kind, Operation, Operations, Phase, Progress, Requester, go_back, locate, migrate, release_link,
    reply_to_all, retirement,
};

/// Replaces all workers by those of another release, or of what the working directory names now.
pub(in crate::supervisor) fn begin(
    pool: &mut Pool,
    operations: &mut Operations,
    to: RequestRef,
    options: DeployOptions,
) {
    if refuse_while_busy(pool, operations, &to) {
        return;
    }
    let running = pool.desired.running;
    let suspended = pool.desired.is_suspended();
    let refusal = match (running, suspended, operations.waiting.is_some(), options.migration.is_some()) {
        (false, ..) => {
            Some("the app is stopped; `nodesockd start` starts it, with what the working directory names")
        }
        (true, true, true, true) => Some(
            "the app is suspended since an earlier migration; `nodesockd resume`, or `nodesockd deploy` without --migrate, ends that",
        ),
        (true, true, false, _) => {
            Some("the app is suspended; `nodesockd resume` or `nodesockd restart` ends that")
        }
        (true, true, true, false) | (true, false, ..) => None,
    };
    let shared = options.health.is_some() && pool.config.options.listen == Listen::Daemon;
    let refusal = refusal.or(shared.then_some(
        "workers cannot be checked by --health where options.listen is `daemon`: any of those that share a socket may answer",
    ));
    let migrates = options.migration.is_some().then_some("--migrate");
    let refusal = refusal.map(str::to_owned).or_else(|| batch_refusal(pool, options.batch, migrates));
    if let Some(words) = refusal {
        let reply = Reply::failed(Some(Code::Usage), vec![words]);
        return pool.requests.reply(&mut pool.effects, &to, reply);
    }
    let DeployOptions { release, watch, health, migration, max_attempts, progress, batch: asked } = options;
    let suspends = migration.is_some();
    let requesters = vec![Requester::new(to, &StartOptions { progress, ..StartOptions::default() })];
    let suspension = suspension(pool, &requesters, suspends, None);
    let old = if suspended || suspends { OldWorkers::Gone } else { OldWorkers::Kept };
    let plan = Plan {
        attempts: max_attempts.unwrap_or(pool.config.options.max_start_attempts).get(),
        batch: batch(pool, asked, suspends, &pool.config),
        ..plan::replace_all(pool, suspension)
    };
    let migration = migration.map(|MigrationOptions { command, revert, limit }| Migration {
        command,
        revert,
        limit,
        course: Course::Ahead,
        generations: None,
    });
    operations.deployment = Some(Deployment { watch, link: None, swapped: false, old, health, migration });
    match release {
        None => locate::begin(pool, operations, Kind::Deploy, requesters, plan),
        Some(folder) => {
            let named = Release::named_by(&plan.config);
            operations.enter(pool, Kind::Deploy, requesters, Phase::Locating(Box::new(plan)));
            pool.ledger.concerns(folder.to_string_lossy().into_owned());
            pool.effects.order(Action::FindReleaseLink { named, folder });
        }
    }
}

/// The symlink that has to be switched was found, or there is none.
pub(in crate::supervisor) fn link_found(
    pool: &mut Pool,
    operations: &mut Operations,
    result: Result<ReleaseLink, Failure>,
) -> Progress {
    let phase = operations.current.as_ref().map(|operation| &operation.phase);
    let locating = matches!(phase, Some(Phase::Locating(_)));
    match (operations.deployment.as_mut().filter(|_| locating), result) {
        (None, _) => {}
        (Some(_), Err(failure)) => return refuse(pool, operations, failure.0),
        (Some(_), Ok(link)) if link.before == link.after => locate::look_up(pool, operations),
        (Some(deployment), Ok(link)) => {
            let ReleaseLink { path, before: from, after: to } = link.clone();
            deployment.link = Some(link);
            pool.effects.order(Action::SwitchReleaseLink { path, from, to });
        }
    }
    Progress::GoesOn
}

/// A symlink was switched, or switched back, or could not be.
pub(in crate::supervisor) fn link_switched(
    pool: &mut Pool,
    operations: &mut Operations,
    to: &Path,
    result: Result<(), Failure>,
) -> Progress {
    if let Some(link) = operations.restoring.take_if(|link| link.before == to) {
        if let Err(failure) = result {
            let note = format!("{} still names {}: {failure}", link.path.display(), link.after.display());
            tracing::warn!("a deploy was undone, but {note}");
            operations.set_note(Some(format!("a deploy was undone, but {note}")));
        }
        return Progress::GoesOn;
    }
    let ours = |deployment: &&mut Deployment| deployment.link.as_ref().is_some_and(|link| link.after == to);
    match (operations.deployment.as_mut().filter(ours), result) {
        (None, _) => Progress::GoesOn,
        (Some(deployment), Err(failure)) => {
            deployment.link = None;
            refuse(pool, operations, failure.0)
        }
        (Some(deployment), Ok(())) => {
            if let Some(link) = &deployment.link {
                tracing::info!("{} names {} now", link.path.display(), to.display());
            }
            tell_all(pool, operations, &DeployNews::new(DeployStep::Switched).of(to));
            locate::look_up(pool, operations);
            Progress::GoesOn
        }
    }
}

/// Answers that the deploy in progress cannot begin.
fn refuse(pool: &mut Pool, operations: &mut Operations, words: String) -> Progress {
    operations.deployment = None;
    if let Some(Operation { requesters, .. }) = operations.take(&mut pool.requests) {
        tracing::warn!("a deploy was refused: {words}");
        pool.ended(Outcome::Refused, Some(&words));
        let reply = Reply::failed(Some(Code::Usage), vec![words]);
        operations.last_deploy = Some(reply.clone());
        reply_to_all(pool, requesters, &reply);
    }
    Progress::Ended
}

/// Tells those who want to know that the watch has begun.
pub(super) fn tell_watch(pool: &mut Pool, operations: &Operations) {
    if let Some(news) = watch_news(pool, operations) {
        tell_all(pool, operations, &news);
    }
}

fn watch_news(pool: &Pool, operations: &Operations) -> Option<DeployNews> {
    let until = operations.watched_until()?;
    let release = pool.generation.release.as_ref().map(|release| release.dir.clone()).unwrap_or_default();
    let news = DeployNews::new(DeployStep::Watching).of(&release).for_time(until.since(pool.now()));
    Some(DeployNews { alone: !operations.keeps_old_workers(), ..news })
}

/// The new workers have been watched long enough: the old ones retire.
pub(super) fn confirm(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    watch: &Watch,
) {
    tell(pool, &requesters, &DeployNews::new(DeployStep::Confirmed));
    pool.requests.tell_progress_to(Audience::OfAllWorkers(audience(&requesters)));
    let_go(pool, watch);
    pool.requests.tell_progress_to(Audience::Nobody);
    let leaves = |(id, worker): (WorkerId, &Worker)| (worker.is_retired() && !worker.is_gone()).then_some(id);
    let leaving: BTreeSet<WorkerId> = pool.workers.iter().filter_map(leaves).collect();
    operations.deployment = None;
    operations.last_deploy = Some(Reply::done(None));
    pool.ended(Outcome::Done, None);
    retirement::begin(pool, &mut operations.retirements, kind, requesters, leaving);
}

/// A worker failed that had its place for good. If that is one of a deploy that is watched, the links go back.
pub(in crate::supervisor) fn worker_failed(
    pool: &mut Pool,
    operations: &mut Operations,
    id: WorkerId,
    reason: &str,
) -> Progress {
    let watched = operations.watch_time().is_some();
    let alone = !operations.keeps_old_workers();
    match operations.current.as_mut().map(|operation| &mut operation.phase) {
        // It had its place, and begins after a migration.
        Some(Phase::Resuming(_)) if watched => {}
        Some(Phase::Watching(_)) if concerns(pool, id) && !defect!(NewWorkersNotWatched) => {}
        Some(Phase::RollingBack(rollback)) => {
            // The new workers have no place any more by now, or are called broken. Nobody is left for the link of this one's
            // slot; another worker is started.
            if let Some(slot) = pool.workers.get(id).and_then(Worker::slot) {
                rollback.pending.remove(&slot);
            }
            return Progress::GoesOn;
        }
        Some(
            Phase::Loading { .. }
            | Phase::Locating(_)
            | Phase::Upgrading { .. }
            | Phase::Starting(_)
            | Phase::Swapping(..)
            | Phase::Reverting(..)
            | Phase::Between(..)
            | Phase::Watching(_)
            | Phase::Migrating
            | Phase::Resuming(_)
            | Phase::Retiring { .. },
        )
        | None => return Progress::GoesOn,
    }
    if alone {
        let taken = operations.take(&mut pool.requests);
        let requesters = taken.map(|operation| operation.requesters).unwrap_or_default();
        return migrate::watch_failed(pool, operations, requesters, id, reason);
    }
    if let Some(Operation { kind, requesters, phase: Phase::Watching(watch) }) =
        operations.take(&mut pool.requests)
    {
        tracing::warn!("{} is rolled back: worker {}: {reason}", kind.words(), id.short());
        let failed = last_lines::failed_worker(pool, id, reason);
        let pending = roll_back(pool, &watch);
        let Watch { batches, .. } = watch;
        let rollback = Rollback { pending, failed, errors: Vec::new(), batches };
        operations.enter(pool, kind, requesters, Phase::RollingBack(rollback));
        tell_all(pool, operations, &DeployNews::new(DeployStep::RollingBack).because(reason));
    }
    Progress::GoesOn
}

/// The links name the old workers again. Workers of earlier batches have to be replaced yet.
pub(super) fn rolled_back(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    rollback: Rollback,
) -> Progress {
    if let Some(batches) = rollback.batches {
        let reason = describe_in_place(&rollback.failed);
        let undoing = Undoing { errors: vec![reason], failed: vec![rollback.failed] };
        go_back::begin(pool, operations, kind, requesters, *batches, undoing);
        return Progress::GoesOn;
    }
    release_link::undo(pool, operations);
    let Rollback { failed, errors, .. } = rollback;
    let words = format!("rolled back: {}", describe_in_place(&failed));
    tracing::warn!("a deploy was {words}; the workers of generation {} serve", pool.generation.number);
    let errors: Vec<String> = std::iter::once(words).chain(errors).collect();
    pool.ended(Outcome::RolledBack, Some(&errors.join("; ")));
    let mut reply = Reply::failed(Some(Code::RolledBack), errors);
    reply.body = Some(Body::Failed(vec![failed]));
    operations.last_deploy = Some(reply.clone());
    reply_to_all(pool, requesters, &reply);
    Progress::Ended
}

/// Somebody wants to follow the deploy in progress, or to know how the last one ended.
pub(in crate::supervisor) fn attach(
    pool: &mut Pool,
    operations: &mut Operations,
    to: RequestRef,
    progress: bool,
) {
    if !operations.is(Kind::Deploy) {
        let none = "no deploy is in progress, and the history knows of none that has ended";
        let waits = operations.standing().map(|words| Reply::failed(Some(Code::NotRolledBack), vec![words]));
        let reply = waits.or_else(|| operations.last_deploy.clone()).or_else(|| pool.ledger.last_deploy());
        let reply = reply.unwrap_or_else(|| Reply::failed(Some(Code::Usage), vec![none.into()]));
        return last_lines::reply(pool, &to, reply);
    }
    let news = watch_news(pool, operations).or_else(|| migrate::news(operations));
    if let Some(news) = news.filter(|_| progress) {
        pool.requests.reply(&mut pool.effects, &to, Reply::part(Body::Deploy(news)));
    }
    if let Some(Operation { kind, mut requesters, phase }) = operations.take(&mut pool.requests) {
        requesters.push(Requester::new(to, &StartOptions { progress, ..StartOptions::default() }));
        operations.enter(pool, kind, requesters, phase);
    }
}
