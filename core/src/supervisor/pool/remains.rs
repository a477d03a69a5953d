//! What is left of a worker whose process has ended: the process to be reaped, and its socket file.

use std::time::Duration;

use crate::action::{Action, WorkerSignal};
use crate::event::{ExitStatus, Failure};
use crate::id::{Process, WorkerId};
use crate::supervisor::slot::LAST_TRIES;
use crate::supervisor::worker::{State, Worker};
use crate::wire::Stage;

use super::{Pool, sockets};

/// The worker's process ended, by itself or because it was told to. Returns the process, if it was not known to have
/// ended.
pub(in crate::supervisor) fn exited(pool: &mut Pool, id: WorkerId, status: ExitStatus) -> Option<Process> {
    let worker = pool.workers.get(id)?;
    let process = worker.process()?;
    tracing::info!(worker = %id.short(), pid = process.pid, "worker {status}");
    leaves_its_queue(pool, id);
    let now = pool.now();
    pool.workers.change(id, |worker| worker.exited(now));
    pool.worker_is_gone(id, &format!("it {status}"));
    Some(process)
}

/// The worker's process ends, or has ended: a queue that was being emptied is emptied by nobody now.
pub(in crate::supervisor) fn leaves_its_queue(pool: &mut Pool, id: WorkerId) {
    if matches!(pool.workers.known(id).state(), State::Draining(_)) {
        sockets::left_waiting(pool, id);
    }
}

/// Has the process of a worker reaped that has ended.
pub(in crate::supervisor) fn reap(pool: &mut Pool, id: WorkerId, process: Process) {
    if defect!(NoReap) {
        return;
    }
    pool.effects.order(Action::Reap { worker: id, process });
    if defect!(SignalAfterReap) {
        pool.effects.order(Action::Signal { worker: id, process, signal: WorkerSignal::KillGroup });
    }
}

/// The worker's process is gone, or there never was one. If its socket stays, it is forgotten; otherwise that is removed
/// first.
pub(in crate::supervisor) fn reaped(pool: &mut Pool, id: WorkerId) {
    let worker = pool.workers.known(id);
    if *worker.state() != State::Exited {
        return;
    }
    let socket_stays = sockets::outlives(pool, id, worker) || defect!(SocketLeft);
    if worker.is_retired() {
        pool.progress(id, Stage::Gone, None);
    }
    if socket_stays {
        return pool.workers.remove(id);
    }
    let now = pool.now();
    pool.workers.change(id, |worker| worker.reaped(now));
    remove_socket(pool, id);
}

/// Removes the socket file of a dead worker, or tries again.
pub(in crate::supervisor) fn remove_socket(pool: &mut Pool, id: WorkerId) {
    let socket = pool.workers.change(id, |worker| {
        worker.removal_mut()?.tried();
        worker.socket().map(ToString::to_string)
    });
    if let Some(socket) = socket {
        pool.effects.order(Action::Remove { worker: id, socket });
    }
}

/// The socket file of a dead worker was removed, or could not be.
pub(in crate::supervisor) fn removed(pool: &mut Pool, id: WorkerId, result: Result<(), Failure>) {
    match result {
        _ if !pool.workers.known(id).is_gone() => {}
        Ok(()) => pool.workers.remove(id),
        Err(failure) => stays(pool, id, &failure),
    }
}

/// The socket file of a dead worker could not be removed.
fn stays(pool: &mut Pool, id: WorkerId, failure: &Failure) {
    let now = pool.now();
    let failures = pool.workers.change(id, |worker| {
        let removal = worker.removal_mut()?;
        removal.failed(now, Duration::ZERO, &failure.0);
        Some(removal.failures())
    });
    if failures == Some(1) {
        tracing::warn!(worker = %id.short(), "cannot remove the socket of a dead worker, will try again: {failure}");
    }
}

/// Nothing runs and nothing is left, or nothing that could be removed.
pub(in crate::supervisor) fn nothing_left(pool: &Pool) -> bool {
    let given_up = |worker: &Worker| matches!(worker.state(), State::Reaped { removal } if removal.failures() >= LAST_TRIES);
    pool.workers.alive() == 0
        && pool.workers.iter().all(|(_, worker)| given_up(worker))
        && pool.slots.iter().all(|(_, slot)| slot.is_given_up())
        && pool.listeners.all_gone()
}
