//! Sending workers that serve a GET for `health.path`.

use crate::action::Action;
use crate::event::Failure;
use crate::id::WorkerId;
use crate::supervisor::worker::Worker;
use crate::supervisor::worker::check::{Check, Todo};

use super::Pool;

/// A worker is ready: it is checked from now on, if it is active. What answers on a shared socket says nothing about it.
pub(super) fn begin(pool: &mut Pool, id: WorkerId) {
    let now = pool.now();
    let health = &pool.config.health;
    let Some(worker) = pool.workers.get(id) else { return };
    let active = worker.is_ready() && !worker.is_suspended() && !worker.inherits();
    let checked = active && health.path.is_some();
    if checked == worker.check().is_some() {
        return;
    }
    let check = checked.then(|| Check::begin(now, health));
    pool.workers.change(id, |worker| worker.set_check(check));
}

/// It is time to ask a worker, or it has not answered. Returns why it has to be replaced.
pub(in crate::supervisor) fn due(pool: &mut Pool, id: WorkerId) -> Option<String> {
    let (now, config) = (pool.now(), pool.config.clone());
    let health = &config.health;
    let todo = pool.workers.change(id, |worker| worker.check_mut().map(|check| check.due(now, health)));
    act(pool, id, todo?)
}

/// A worker answered, or did not. Returns why it has to be replaced.
pub(in crate::supervisor) fn answered(
    pool: &mut Pool,
    id: WorkerId,
    result: &Result<u16, Failure>,
) -> Option<String> {
    let (now, config) = (pool.now(), pool.config.clone());
    let answered = |check: &mut Check| check.answered(now, result, &config.health);
    let todo = pool.workers.change(id, |worker| worker.check_mut().map(answered));
    act(pool, id, todo?)
}

fn act(pool: &mut Pool, id: WorkerId, todo: Todo) -> Option<String> {
    match todo {
        Todo::Nothing => None,
        Todo::Replace(reason) => Some(reason),
        Todo::Ask => {
            let socket = pool.workers.get(id).and_then(Worker::socket)?.to_string();
            let path = pool.config.health.path.clone()?;
            pool.effects.order(Action::Probe { worker: id, socket, path });
            None
        }
    }
}
