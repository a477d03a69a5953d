//! The way back of an operation that replaces workers in batches: the former generation is in force again, and workers of
//! it are started, batch by batch.

use crate::history::Outcome;
use crate::supervisor::pool::{Pool, retire};
use crate::supervisor::worker::Worker;
use crate::wire::{BatchStatus, Body, Code, DeployNews, DeployStep, Reply};

use super::batches::{self, Batches, Undoing};
use super::requester::audience;
use super::rollout::Rollout;
use super::{Kind, Operations, Phase, Progress, Requester, in_force, news, release_link, reply_to_all};

/// A batch has failed after others had taken over.
pub(super) fn batch_failed(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    mut batches: Batches,
    why: Undoing,
) -> Progress {
    if defect!(EarlierBatchesStay) {
        batches.back.get_or_insert(why);
        return answer(pool, operations, kind, requesters, &batches, Vec::new());
    }
    if batches.back.is_some() {
        return give_up(pool, operations, kind, requesters, &batches, why.errors);
    }
    begin(pool, operations, kind, requesters, batches, why);
    Progress::GoesOn
}

/// Goes back to what was in force before the first batch.
pub(super) fn begin(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    batches: Batches,
    undoing: Undoing,
) {
    let reason = undoing.errors.join("; ");
    let Batches { size, number, of, former, stragglers, .. } = batches;
    tracing::warn!("{} failed in batch {number} of {of}, which is rolled back: {reason}", kind.words());
    let status = BatchStatus { number: 0, of: 0, back: true };
    news::part(pool, &requesters, &Body::Batch(status));
    if kind == Kind::Deploy {
        news::tell(pool, &requesters, &DeployNews::new(DeployStep::RollingBack).because(&reason));
    }
    let before = in_force::put(pool, former.clone());
    if before.config.name != pool.config.name {
        in_force::tell_name(pool);
    }
    release_link::go_back(pool, operations);
    let attempts = former.config.options.max_start_attempts.get();
    let batches = Batches { back: Some(undoing), stragglers, ..Batches::new(size, attempts, former) };
    go_on(pool, operations, kind, requesters, batches);
}

/// Brings what is in force to those places that others have yet.
pub(super) fn go_on(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    batches: Batches,
) {
    let (workers, failed) = Default::default();
    let rollout = Rollout {
        workers,
        suspended: false,
        replaces: true,
        desired: pool.desired.clone(),
        config: pool.config.clone(),
        generation: pool.generation.clone(),
        failed,
        batches: Some(Box::new(batches)),
    };
    between(pool, operations, kind, requesters, rollout);
}

/// Waits for those who leave, and begins the next batch then. The workers of this batch have their places for good, and are none of a
/// rollout that may have to be undone.
pub(super) fn between(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    mut rollout: Rollout,
) {
    rollout.workers.clear();
    let stragglers = rollout.batches.iter().flat_map(|batches| &batches.stragglers);
    let known: Vec<_> =
        operations.retirements.iter().map(|retirement| &retirement.leaving).chain(stragglers).collect();
    let leaving = batches::leaving(pool, |id| known.iter().any(|known| known.contains(&id)));
    let audience = audience(&requesters);
    for worker in leaving.workers.iter().filter(|_| !audience.is_empty()) {
        pool.requests.watch(*worker, &audience);
    }
    operations.enter(pool, kind, requesters, Phase::Between(rollout, leaving));
}

/// Workers of the former generation cannot be started either: those that serve are called broken, so that they are replaced
/// as soon as that is possible.
fn give_up(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    batches: &Batches,
    errors: Vec<String>,
) -> Progress {
    let now = pool.now();
    for (id, slot) in batches::outdated(pool, &pool.generation.clone()) {
        if slot.is_some() && pool.workers.get(id).is_some_and(Worker::is_ready) {
            pool.workers.change(id, |worker| worker.becomes_broken(now));
        } else {
            retire::retire(pool, id);
        }
    }
    answer(pool, operations, kind, requesters, batches, errors)
}

/// The way back has ended. `errors`: why it has not come to its end.
pub(super) fn answer(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    batches: &Batches,
    errors: Vec<String>,
) -> Progress {
    let Undoing { errors: reasons, failed } = batches.back.clone().unwrap_or_default();
    let what = kind.words();
    let (code, number) = (Code::RolledBack, pool.generation.number);
    let mut words = vec![format!("rolled back: {}", reasons.join("; "))];
    let code = if errors.is_empty() {
        tracing::warn!("{what} was {}; the workers of generation {number} serve", words[0]);
        code
    } else {
        words.extend(errors.into_iter().map(|error| {
            format!(
                "but not every worker of generation {number} could be started, which is tried again: {error}"
            )
        }));
        tracing::warn!("{what} was {}", words.join("; "));
        Code::NotRolledBack
    };
    let outcome = if code == Code::RolledBack { Outcome::RolledBack } else { Outcome::NotRolledBack };
    pool.ended(outcome, Some(&words.join("; ")));
    let mut reply = Reply::failed(Some(code), words);
    reply.body = (!failed.is_empty()).then_some(Body::Failed(failed));
    operations.deployment = None;
    if kind == Kind::Deploy {
        operations.last_deploy = Some(reply.clone());
    }
    reply_to_all(pool, requesters, &reply);
    Progress::Ended
}
