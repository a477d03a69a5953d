//! Taking a worker out of service without losing a request.
//!
//! By the time a worker is retired, no link names it. Its accept queue is emptied first (`worker::drain`); only then is
//! the worker told to shut down, and only if it does not exit in time it gets its stop signal, and SIGKILL after that.

use std::time::Duration;

use crate::action::{Action, WorkerSignal};
use crate::config::{KILL_AFTER, StopSignal};
use crate::event::Queue;
use crate::id::{Process, WorkerId};
use crate::supervisor::worker::drain::{BLIND, Drain, Verdict};
use crate::supervisor::worker::{Channel, Farewell, State, Surroundings, Worker};
use crate::time::Time;
use crate::wire::{Stage, ToWorker};

use super::{Pool, sockets};

/// Takes a worker out of service; its own slot's link may not name it any more. Links of other slots that do are led
/// elsewhere first.
pub(in crate::supervisor) fn retire(pool: &mut Pool, id: WorkerId) {
    // The former owner of a slot may be gone before its link is.
    if pool.workers.get(id).is_none() {
        return;
    }
    if pool.slots.has_guests(id) && !defect!(RetiredWithGuests) {
        let guests: Vec<_> = pool.slots.guests(id).collect();
        pool.slots.touch(guests);
        return pool.workers.change(id, Worker::unseat);
    }
    let worker = pool.workers.known(id);
    let around = Surroundings {
        shared: sockets::is_shared(pool, id, worker),
        named: worker
            .slot()
            .and_then(|slot| pool.slots.get(slot))
            .is_some_and(|slot| slot.is_going_to_name(id)),
    };
    let now = pool.now();
    match pool.workers.change(id, |worker| worker.retire(now, around)) {
        Farewell::Drain(process) => drain(pool, id, process),
        Farewell::Drained(process) => drained(pool, id, process),
        Farewell::ShutDown(process) => shut_down(pool, id, process),
        Farewell::Terminate(process) => {
            sockets::left_waiting(pool, id);
            terminate(pool, id, process);
        }
        Farewell::TerminateGently(process) => terminate_gently(pool, id, process),
        Farewell::Forgotten => pool.workers.remove(id),
        Farewell::Cancelled | Farewell::UnderWay => {}
    }
}

/// A link of another slot does not name the worker any more, or could not be led to it.
pub(in crate::supervisor) fn left_by_guest(pool: &mut Pool, id: WorkerId) {
    let waits = |worker: &Worker| worker.is_retired() && worker.is_ready();
    if !pool.slots.has_guests(id) && pool.workers.get(id).is_some_and(waits) {
        retire(pool, id);
    }
}

fn drain(pool: &mut Pool, id: WorkerId, process: Process) {
    let now = pool.now();
    let deadline = now + pool.config.options.drain_timeout;
    pool.workers.change(id, |worker| worker.drains(now, Drain::new(process, deadline)));
    pool.progress(id, Stage::Draining, None);
    measure(pool, id);
}

/// Asks the kernel for the accept queue of a worker, or whether it listens at all.
pub(in crate::supervisor) fn measure(pool: &mut Pool, id: WorkerId) {
    let socket = pool.workers.get(id).and_then(Worker::socket).map(ToString::to_string);
    if let Some(socket) = socket {
        pool.effects.order(Action::MeasureQueue { worker: id, socket });
    }
}

/// It is time to look at the accept queue of a draining worker again.
pub(in crate::supervisor) fn look(pool: &mut Pool, id: WorkerId) {
    let draining = pool.workers.change(id, |worker| worker.drain_mut().map(Drain::looks).is_some());
    if draining {
        measure(pool, id);
    }
}

/// The kernel told the accept queue of a draining worker.
pub(in crate::supervisor) fn queue_measured(pool: &mut Pool, id: WorkerId, queue: &Queue) {
    let now = pool.now();
    pool.unseen_queues = match queue {
        Queue::Unknown(reason) => Some(reason.clone()),
        Queue::Length(_) | Queue::Full(_) | Queue::Closed => None,
    };
    let measured =
        |worker: &mut Worker| worker.drain_mut().map(|drain| (drain.process(), drain.measured(now, queue)));
    match pool.workers.change(id, measured) {
        Some((process, Verdict::Drained)) if *queue == Queue::Closed && is_mute_and_adopted(pool, id) => {
            pool.workers.change(id, Worker::drained);
            terminate_again(pool, id, process);
        }
        Some((process, Verdict::Drained)) => drained(pool, id, process),
        Some((_, Verdict::WaitBlindly)) => {
            if let Queue::Unknown(reason) = queue {
                let limit = BLIND.as_millis();
                tracing::warn!(worker = %id.short(), "cannot see the accept queue, leaving it {limit} ms: {reason}");
                let warning = format!(
                    "the kernel does not tell its accept queue ({reason}), so it has {limit} ms to accept what waits; \
                     what it has not accepted by then is lost"
                );
                pool.progress(id, Stage::Draining, Some(&warning));
            }
        }
        Some((_, Verdict::Wait)) | None => {}
    }
}

/// An earlier daemon may have sent the worker its stop signal, which that one does not tell.
fn is_mute_and_adopted(pool: &Pool, id: WorkerId) -> bool {
    pool.workers.get(id).is_some_and(|worker| !worker.speaks() && !worker.channel().is_open())
}

/// The accept queue has not become empty in time.
pub(in crate::supervisor) fn drain_timed_out(pool: &mut Pool, id: WorkerId) {
    let limit = pool.config.options.drain_timeout.as_millis();
    if let State::Draining(drain) = pool.workers.known(id).state() {
        let (process, waiting) = (drain.process(), drain.waiting());
        if waiting > 0 {
            tracing::warn!(
                worker = %id.short(),
                "{waiting} connections still wait to be accepted after {limit} ms (options.drainTimeout); they will be reset"
            );
        }
        sockets::left_waiting(pool, id);
        drained(pool, id, process);
    }
}

/// The worker has been waited for long enough.
fn drained(pool: &mut Pool, id: WorkerId, process: Process) {
    pool.workers.change(id, Worker::drained);
    shut_down(pool, id, process);
}

/// Tells a worker to finish and exit.
fn shut_down(pool: &mut Pool, id: WorkerId, process: Process) {
    let worker = pool.workers.known(id);
    if !worker.speaks() {
        return terminate_gently(pool, id, process);
    }
    if worker.ready_at().is_none() && matches!(worker.channel(), Channel::Lost { .. }) {
        // It has never been ready, and can be told nothing.
        return terminate(pool, id, process);
    }
    // A worker that has not reported to this daemon yet is told when it does. One that cannot be told has its time as
    // well: it may be about to answer.
    let told = worker.channel().is_open() && !defect!(ShutdownNotTold);
    begin_shutdown(pool, id, process, told);
}

/// The worker has time to finish from now on. `told`: it is told so.
fn begin_shutdown(pool: &mut Pool, id: WorkerId, process: Process, told: bool) {
    let deadline = shutdown_deadline(pool, pool.workers.known(id).channel());
    if told {
        pool.tell(id, ToWorker::Shutdown);
    }
    let now = pool.now();
    pool.workers.change(id, |worker| worker.shuts_down(now, process, deadline));
}

/// A worker that is to go has reported. It may never have heard of that from an earlier daemon: its time begins now. If all who
/// were to answer what waits in its socket have died since, nobody else empties the queue.
pub(in crate::supervisor) fn shut_down_again(
    pool: &mut Pool,
    id: WorkerId,
    process: Process,
    suspended: bool,
) {
    let worker = pool.workers.known(id);
    let accepts = worker.serving_fd().is_some() && !suspended;
    if accepts && !sockets::is_shared(pool, id, worker) {
        return drain(pool, id, process);
    }
    begin_shutdown(pool, id, process, !defect!(ReunionForgetsShutdown));
}

/// Sends its stop signal to a worker that hears nothing else and to which an earlier daemon may have sent it. Whoever does not
/// accept is left alone: it may be answering its last requests. If it has not heard of the signal, it does when this time is over.
pub(in crate::supervisor) fn terminate_again(pool: &mut Pool, id: WorkerId, process: Process) {
    send_stop_signal(pool, id, process, true);
    let now = pool.now();
    let deadline = now + pool.config.options.shutdown_timeout;
    pool.workers.change(id, |worker| worker.shuts_down(now, process, deadline));
}

/// Sends its stop signal to a worker that hears nothing else, and gives it the time that others have after `shutdown`.
fn terminate_gently(pool: &mut Pool, id: WorkerId, process: Process) {
    send_stop_signal(pool, id, process, false);
    let now = pool.now();
    let grace = if defect!(NoGraceForMute) { Duration::ZERO } else { KILL_AFTER };
    let deadline = now + pool.config.options.shutdown_timeout + grace;
    pool.workers.change(id, |worker| worker.terminates(now, process, deadline));
}

/// Sends its stop signal to those of a worker's processes that serve.
fn send_stop_signal(pool: &mut Pool, id: WorkerId, process: Process, again: bool) {
    let worker = pool.workers.known(id);
    let socket = worker.socket().map(ToString::to_string);
    let signal = stop_signal(pool, worker);
    pool.effects.order(match defect!(SigtermToWrapper) {
        false => Action::Terminate { worker: id, process, socket, signal, again },
        true => Action::Signal { worker: id, process, signal: WorkerSignal::Terminate },
    });
}

/// What a worker's program finishes on: the configuration may be for another program by now.
fn stop_signal(pool: &Pool, worker: &Worker) -> StopSignal {
    if defect!(StopSignalOfOthers) { pool.config.options.stop_signal } else { worker.start().stop_signal }
}

/// The stop signal was sent; `servers` got it instead of the worker's own process.
pub(in crate::supervisor) fn terminated(pool: &Pool, id: WorkerId, servers: &[Process]) {
    let worker = pool.workers.known(id);
    if let Some(own) = worker.process().filter(|_| !servers.is_empty()) {
        let signal = stop_signal(pool, worker).name();
        let pids: Vec<u32> = servers.iter().map(|server| server.pid).collect();
        tracing::info!(
            worker = %id.short(),
            ?pids,
            "{signal} went to who accepts from the worker's socket; process {}, which started it, has time until that has ended",
            own.pid
        );
    }
}

/// Those that got the stop signal instead of the worker's own process have ended. One that lives on after that, as `node --watch`
/// does, is told as well: by SIGTERM, because the stop signal is for who serves.
pub(in crate::supervisor) fn servers_ended(pool: &mut Pool, id: WorkerId) {
    let state = pool.workers.get(id).map(Worker::state);
    if let Some(State::Terminating { process, .. } | State::ShuttingDown { process, .. }) = state {
        let (process, signal) = (*process, WorkerSignal::Terminate);
        pool.effects.order(Action::Signal { worker: id, process, signal });
    }
}

/// Ends a worker that was started too late. One that accepts without being told to may have taken requests.
pub(in crate::supervisor) fn end_at_once(pool: &mut Pool, id: WorkerId) {
    if pool.workers.get(id).is_some_and(Worker::accepts_unasked) { retire(pool, id) } else { kill(pool, id) }
}

/// When a worker that ought to shut down gets its stop signal: not before it can have been told.
pub(in crate::supervisor) fn shutdown_deadline(pool: &Pool, channel: Channel) -> Time {
    let deadline = pool.now() + pool.config.options.shutdown_timeout;
    if let Channel::Expected { until } = channel { deadline.max(until) } else { deadline }
}

/// A worker that ought to shut down has not, within its time.
pub(in crate::supervisor) fn shutdown_timed_out(pool: &mut Pool, id: WorkerId) {
    let limit = pool.config.options.shutdown_timeout.as_millis();
    let worker = pool.workers.known(id);
    let State::ShuttingDown { process, .. } = *worker.state() else { return };
    let (pid, speaks, signal) = (process.pid, worker.speaks(), stop_signal(pool, worker).name());
    tracing::warn!(worker = %id.short(), pid, "worker did not exit within {limit} ms (options.shutdownTimeout), sending {signal}");
    if !speaks {
        return terminate_gently(pool, id, process);
    }
    cuts(pool, id, &format!("it did not exit within {limit} ms (options.shutdownTimeout) and gets {signal}"));
    terminate(pool, id, process);
}

/// Tells who waits for the worker that it had its time, and may have requests that it will not answer.
fn cuts(pool: &mut Pool, id: WorkerId, why: &str) {
    pool.progress(id, Stage::Draining, Some(&format!("{why}; what it has not answered by its end is lost")));
}

/// Sends its stop signal to a worker that would have had more time.
pub(in crate::supervisor) fn hasten(pool: &mut Pool, id: WorkerId, why: &str) {
    let worker = pool.workers.known(id);
    if let Some(process) = worker.process() {
        let signal = stop_signal(pool, worker).name();
        tracing::warn!(worker = %id.short(), "worker {why}, sending {signal}");
        terminate(pool, id, process);
    }
}

/// Sends its stop signal to a worker that has had its time.
fn terminate(pool: &mut Pool, id: WorkerId, process: Process) {
    let now = pool.now();
    if defect!(KillInPlaceOfSigterm) {
        pool.effects.order(Action::Signal { worker: id, process, signal: WorkerSignal::KillGroup });
    } else {
        send_stop_signal(pool, id, process, false);
    }
    let grace = if defect!(KillAtOnce) { Duration::ZERO } else { KILL_AFTER };
    pool.workers.change(id, |worker| worker.terminates(now, process, now + grace));
}

/// Sends SIGKILL to the whole group of a worker, if there is one.
pub(in crate::supervisor) fn kill(pool: &mut Pool, id: WorkerId) {
    let worker = pool.workers.known(id);
    let Some(process) = worker.process() else { return };
    if matches!(worker.state(), State::Terminating { .. }) {
        let signal = stop_signal(pool, worker).name();
        tracing::warn!(worker = %id.short(), pid = process.pid, "worker ignored {signal}, sending SIGKILL to its process group");
        cuts(pool, id, &format!("it did not end by {signal} and is killed"));
    }
    let now = pool.now();
    pool.effects.order(Action::Signal { worker: id, process, signal: WorkerSignal::KillGroup });
    pool.workers.change(id, |worker| worker.killed(now, process));
}
