//! Sending workers that serve a GET for `health.path`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::action::Action;
use crate::config::Health;
use crate::event::Failure;
use crate::id::WorkerId;
use crate::supervisor::worker::Worker;
use crate::supervisor::worker::check::{Check, Todo};
use crate::time::Time;

use super::Pool;

/// How often the workers of a deploy are asked while it is watched.
const INTERVAL: Duration = Duration::from_secs(1);

/// What counts for a worker: where a deploy is watched with a check of its own, that does for its workers.
fn health_for(pool: &Pool, worker: &Worker) -> Health {
    let health = pool.config.health.clone();
    match pool.deploy_check.clone().filter(|_| is_watched(pool, worker)) {
        Some(path) => Health { path: Some(path), interval: INTERVAL, failures: NonZeroU32::MIN, ..health },
        None => health,
    }
}

/// The worker is one of a deploy that is watched with a check of its own.
fn is_watched(pool: &Pool, worker: &Worker) -> bool {
    let new = worker.start().generation == pool.generation.number && !worker.is_kept();
    new && pool.deploy_check.is_some()
}

/// From now on the workers of the generation in force have to answer GET `path`, or what the configuration says counts again.
pub(in crate::supervisor) fn watch(pool: &mut Pool, path: Option<String>) {
    if pool.deploy_check == path {
        return;
    }
    pool.deploy_check = path;
    for id in pool.workers.ids() {
        let earlier = pool.workers.known(id).check().and_then(Check::answer_due);
        pool.workers.change(id, |worker| worker.set_check(None));
        begin(pool, id);
        if let Some(due) = earlier.filter(|_| is_watched(pool, pool.workers.known(id))) {
            pool.workers.change(id, |worker| worker.check_mut().map(|check| check.follows(due)));
        }
    }
}

/// Whether a worker has still to answer what a deploy asked it before `until`, or has not shown yet that it is fit. Old workers may
/// be checked for the same path, by the configuration, and owe nothing.
pub(in crate::supervisor) fn owed(pool: &Pool, until: Time) -> bool {
    let owes = |worker: &Worker| worker.check().is_some_and(|check| check.owes(until));
    pool.workers.iter().any(|(_, worker)| is_watched(pool, worker) && owes(worker))
}

/// A worker is ready: it is checked from now on, if it is active. What answers on a shared socket says nothing about it.
pub(super) fn begin(pool: &mut Pool, id: WorkerId) {
    let now = pool.now();
    let worker = pool.workers.known(id);
    let health = health_for(pool, worker);
    let deploy = is_watched(pool, worker);
    let active = worker.is_ready() && !worker.is_suspended() && !worker.inherits();
    let checked = active && health.path.is_some();
    if checked == worker.check().is_some() {
        return;
    }
    let check =
        checked.then(|| if deploy { Check::begin_for_deploy(now) } else { Check::begin(now, &health) });
    pool.workers.change(id, |worker| worker.set_check(check));
}

/// It is time to ask a worker, or it has not answered. Returns why it has to be replaced.
pub(in crate::supervisor) fn due(pool: &mut Pool, id: WorkerId) -> Option<String> {
    let now = pool.now();
    let health = health_for(pool, pool.workers.get(id)?);
    let todo = pool.workers.change(id, |worker| worker.check_mut().map(|check| check.due(now, &health)));
    act(pool, id, todo?)
}

/// A worker answered, or did not. Returns why it has to be replaced.
pub(in crate::supervisor) fn answered(
    pool: &mut Pool,
    id: WorkerId,
    result: &Result<u16, Failure>,
) -> Option<String> {
    let now = pool.now();
    let health = health_for(pool, pool.workers.get(id)?);
    let misread = pool.deploy_check.is_some() && defect!(DeployCheckMisread);
    let result = if misread { &Ok(503) } else { result };
    let answered = |check: &mut Check| check.answered(now, result, &health);
    let todo = pool.workers.change(id, |worker| worker.check_mut().map(answered));
    act(pool, id, todo?)
}

fn act(pool: &mut Pool, id: WorkerId, todo: Todo) -> Option<String> {
    match todo {
        Todo::Nothing => None,
        Todo::Replace(_) if pool.deploy_check.is_some() && defect!(DeployCheckIgnored) => None,
        Todo::Replace(reason) => Some(reason),
        Todo::Ask => {
            let worker = pool.workers.get(id)?;
            let socket = worker.socket()?.to_string();
            let path = health_for(pool, worker).path?;
            pool.effects.order(Action::Probe { worker: id, socket, path });
            None
        }
    }
}
