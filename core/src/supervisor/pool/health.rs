//! Watching ready workers: asking them for signs of life, or what waits in the accept queues of those that cannot be asked,
//! and looking at what those do that give no sign.

use crate::action::Action;
use crate::event::{Failure, Vitals};
use crate::id::WorkerId;
use crate::supervisor::worker::Worker;
use crate::supervisor::worker::health::Answer;
use crate::supervisor::worker::silence::Todo;
use crate::wire::ToWorker;

use super::{Pool, checks};

/// A worker is ready: it is watched from now on, as far as the configuration says. One without a heartbeat is not watched while
/// it is suspended: what waits in its queue then is meant to.
pub(in crate::supervisor) fn begin(pool: &mut Pool, id: WorkerId) {
    checks::begin(pool, id);
    let now = pool.now();
    let worker = pool.workers.known(id);
    let limit = pool.hang_timeout(worker);
    let heartbeat = worker.health().has_heartbeat();
    let watchable = if heartbeat { worker.is_reachable() } else { !worker.is_suspended() };
    if worker.is_ready() && watchable {
        pool.workers.change(id, |worker| worker.health_mut().watch(now, limit));
    }
}

/// What the configuration says about that may have changed, or another program was in charge before.
pub(in crate::supervisor) fn begin_all(pool: &mut Pool) {
    let now = pool.now();
    for id in pool.workers.ids() {
        let limit = pool.workers.get(id).and_then(|worker| pool.hang_timeout(worker));
        pool.workers.change(id, |worker| worker.health_mut().limit_changes(now, limit));
        begin(pool, id);
    }
}

/// A worker is told to resume: it is asked to confirm that, if it can be asked.
pub(super) fn ask_for_confirmation(pool: &mut Pool, id: WorkerId) {
    let worker = pool.workers.known(id);
    if worker.is_reachable() {
        let (now, limit) = (pool.now(), pool.hang_timeout(worker));
        let question = pool.workers.change(id, |worker| worker.health_mut().is_resumed(now, limit));
        act(pool, id, question.map_or(Todo::Nothing, Todo::Ask));
    }
}

/// Another program was in charge before. Who has not confirmed to that one that it was resumed is asked again.
pub(in crate::supervisor) fn ask_for_confirmations(pool: &mut Pool) {
    for id in pool.workers.ids() {
        if pool.workers.known(id).health().owes_confirmation() {
            ask_for_confirmation(pool, id);
        }
    }
}

/// It is time to ask a worker, or to look at one that is silent. Returns the reason if it hangs.
pub(in crate::supervisor) fn due(pool: &mut Pool, id: WorkerId) -> Option<String> {
    let now = pool.now();
    let limit = pool.hang_timeout(pool.workers.get(id)?);
    let todo = pool.workers.change(id, |worker| worker.health_mut().due(now, limit));
    let reason = act(pool, id, todo)?;
    pool.workers.change(id, |worker| worker.health_mut().hangs(&reason));
    Some(reason)
}

/// A worker answered.
pub(in crate::supervisor) fn answered(pool: &mut Pool, id: WorkerId, seq: u64, inspected: bool) {
    let now = pool.now();
    let worker = pool.workers.known(id);
    let limit = pool.hang_timeout(worker);
    let answers = |worker: &mut Worker| worker.health_mut().answers(now, seq, inspected, limit);
    if worker.is_ready() && pool.workers.change(id, answers) {
        tracing::info!(worker = %id.short(), "worker answers again; it is being replaced all the same");
    }
}

/// The kernel told what waits in the accept queue of a worker that cannot be asked.
pub(in crate::supervisor) fn listed(pool: &mut Pool, id: WorkerId, result: Result<Vec<u64>, Failure>) {
    let now = pool.now();
    let limit = pool.config.hang_timeout(false);
    if let Err(failure) = &result {
        tracing::debug!(worker = %id.short(), "cannot see the accept queue: {}", failure.0);
    }
    pool.workers.change(id, |worker| worker.health_mut().listed(now, result.ok(), limit));
}

/// The kernel told what a worker's process does.
pub(in crate::supervisor) fn examined(pool: &mut Pool, id: WorkerId, result: Result<Vitals, Failure>) {
    let now = pool.now();
    pool.workers.change(id, |worker| worker.health_mut().examined(now, result.ok()));
}

/// Asks standbys that are needed for a sign of life.
pub(in crate::supervisor) fn ask(pool: &mut Pool, standbys: &[WorkerId]) {
    let now = pool.now();
    for id in standbys {
        let limit = pool.workers.get(*id).and_then(|worker| pool.hang_timeout(worker));
        let todo = pool.workers.change(*id, |worker| worker.is_needed(now, limit));
        act(pool, *id, todo);
    }
}

/// A standby that is needed has not answered in time.
pub(in crate::supervisor) fn misses(pool: &mut Pool, id: WorkerId) {
    let now = pool.now();
    pool.workers.change(id, |worker| worker.health_mut().misses(now));
    if pool.workers.get(id).is_some_and(|worker| worker.health().answer(now) == Answer::Missing) {
        tracing::warn!(worker = %id.short(), "standby gives no sign of life and is not promoted");
    }
}

fn act(pool: &mut Pool, id: WorkerId, todo: Todo) -> Option<String> {
    match todo {
        Todo::Nothing => None,
        Todo::Ask(seq) => {
            pool.tell(id, ToWorker::Ping { seq });
            None
        }
        Todo::List => {
            list(pool, id);
            None
        }
        Todo::Look => {
            let worker = pool.workers.get(id)?;
            let (process, queue) = (worker.process()?, worker.health().is_watched_by_queue());
            pool.effects.order(Action::Examine { worker: id, process });
            if queue {
                list(pool, id);
            }
            None
        }
        Todo::Replace(reason) => Some(reason),
    }
}

/// Asks the kernel what waits in a worker's accept queue.
fn list(pool: &mut Pool, id: WorkerId) {
    match pool.workers.get(id).and_then(Worker::socket).map(ToString::to_string) {
        Some(socket) => pool.effects.order(Action::ListQueue { worker: id, socket }),
        None => listed(pool, id, Ok(Vec::new())),
    }
}
