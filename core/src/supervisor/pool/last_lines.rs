//! Answers about workers that failed, with what these wrote last.
//!
//! Such an answer is held back until the sink has said what it knows, or has taken too long. Nothing else waits for that: what
//! the answer is about has ended.

use crate::config::Output;
use crate::id::{RequestRef, WorkerId};
use crate::supervisor::sink::Sink;
use crate::supervisor::worker::Worker;
use crate::wire::{Body, FailedWorker, Reply};

use super::Pool;
use super::last_failure::LastFailure;

/// Remembers that a worker has failed, for the page of the dev server.
pub(in crate::supervisor) fn remember(pool: &mut Pool, id: WorkerId, reason: &str) {
    let worker = pool.workers.known(id);
    if pool.config.dev_server.is_some() && worker.slot().is_some() {
        let was_ready = worker.ready_at().is_some();
        pool.last_failure = Some(LastFailure { worker: failed_worker(pool, id, reason), was_ready });
    }
}

/// The failure of the worker has turned out to have this reason.
pub(in crate::supervisor) fn explain(pool: &mut Pool, id: WorkerId, reason: &str) {
    if let Some(last) = pool.last_failure.as_mut().filter(|last| last.worker.id == id) {
        reason.clone_into(&mut last.worker.reason);
    }
}

/// What is said of a worker that has failed, as far as it is known at once. What it wrote last is asked for.
pub(in crate::supervisor) fn failed_worker(pool: &mut Pool, id: WorkerId, reason: &str) -> FailedWorker {
    let worker = pool.workers.get(id);
    let slot = worker.and_then(Worker::slot);
    let stderr = match worker.map(|worker| &worker.start().stderr) {
        Some(Output::File(path)) => Some(path.to_string_lossy().into_owned()),
        Some(Output::Inherit | Output::Discard) => {
            pool.sink.ask(&mut pool.effects, id);
            None
        }
        None => None,
    };
    FailedWorker { id, idx: slot, reason: reason.to_owned(), stderr, lines: Vec::new() }
}

/// Answers a request, now or when it is known what the workers wrote last that it tells of.
pub(in crate::supervisor) fn reply(pool: &mut Pool, to: &RequestRef, mut reply: Reply) {
    if is_complete(&pool.sink, &mut reply) {
        pool.requests.reply(&mut pool.effects, to, reply);
    } else {
        pool.sink.hold(to.clone(), reply);
    }
}

/// Gives the answers for which nothing is missing any more.
pub(in crate::supervisor) fn answer(pool: &mut Pool) {
    for (to, held) in pool.sink.take_held() {
        reply(pool, &to, held);
    }
}

/// Gives all answers that are held back, as they are.
pub(in crate::supervisor) fn answer_all(pool: &mut Pool) {
    for (to, held) in pool.sink.take_held() {
        pool.requests.reply(&mut pool.effects, &to, held);
    }
}

/// Puts the last lines of all workers into a reply that tells of them, unless some are not known yet.
fn is_complete(sink: &Sink, reply: &mut Reply) -> bool {
    match &mut reply.body {
        Some(Body::Failed(workers)) if !defect!(LastLinesForgotten) => fill_in(sink, workers),
        Some(_) | None => true,
    }
}

fn fill_in(sink: &Sink, workers: &mut [FailedWorker]) -> bool {
    let lines: Option<Vec<Vec<String>>> = workers.iter().map(|worker| sink.last_lines(worker.id)).collect();
    let complete = lines.is_some();
    for (worker, lines) in workers.iter_mut().zip(lines.into_iter().flatten()) {
        worker.lines = lines;
    }
    complete
}
