//! What happens to a worker between its order and its end, and what follows from that for others.
//!
//! Rooms that know one thing each do the work: `boot`, `retire`, `remains` for the worker itself, `vacancies` and `replace`
//! for whoever counts its failures.

use std::time::Duration;

use crate::config::Ready;
use crate::event::{CpuTime, Dying, ExitStatus, Failure, Queue};
use crate::history::What;
use crate::id::{Process, WorkerId};
use crate::text::escape;
use crate::wire::{FromWorker, ToWorker};

use super::counters::Death;
use super::operation::{Operations, begin, deploy, replace};
use super::pool::{
    Pool, boot, checks, counting, health, last_lines, leadership, limits, neighbours, remains, retire,
    suspension, vacancies,
};
use super::timer::Timer;
use super::worker::{Channel, Role, State, Worker};

/// A worker's own words are cut to this many characters.
const REASON: usize = 500;

/// A worker's process exists, or could not be created.
pub(super) fn spawned(
    pool: &mut Pool,
    operations: &mut Operations,
    id: WorkerId,
    result: Result<Process, Failure>,
) {
    match boot::spawned(pool, id, result) {
        boot::Spawned::Booting => {}
        boot::Spawned::Late { failure } => {
            failed(pool, operations, id, &failure);
            retire::end_at_once(pool, id);
        }
        boot::Spawned::NoProcess { failure } => {
            if let Some(failure) = failure {
                failed(pool, operations, id, &failure);
            }
            let now = pool.now();
            pool.workers.change(id, |worker| worker.not_spawned(now));
            remains::reaped(pool, id);
        }
    }
}

/// A worker sent a message.
pub(super) fn received(pool: &mut Pool, operations: &mut Operations, id: WorkerId, message: FromWorker) {
    match message {
        FromWorker::Online { pid, suspended, heartbeat, leads, counts } => {
            let now = pool.now();
            pool.workers.change(id, |worker| {
                worker.reports(now, heartbeat, leads.is_some());
                worker.says_pid(pid);
                worker.counts_mut().reports(counts);
            });
            counting::tell(pool, id);
            leadership::reported(pool, id, leads);
            // Where readiness is shown by other means, that is what counts. But a worker that holds requests back until it
            // is resumed could not show it.
            let reports = |worker: &Worker| worker.start().ready_by == Ready::Report;
            if suspended || pool.workers.get(id).is_some_and(reports) {
                online(pool, operations, id, suspended);
            }
            health::begin(pool, id);
        }
        FromWorker::Pong { seq, inspected, held } => {
            health::answered(pool, id, seq, inspected);
            suspension::holds(pool, id, held);
        }
        FromWorker::Counted { traffic, level } => counting::said(pool, id, &traffic, level),
        FromWorker::Leader { leads, term } => leadership::answered(pool, id, leads, term),
        FromWorker::Broken { reason } => {
            let reason = reason.as_deref().unwrap_or("it gave no reason");
            broken(pool, operations, id, &format!("it is broken: {}", escape(reason, REASON)));
        }
        FromWorker::Reply { request, answers, data, errors, done } => {
            let answer = answers.then_some((data, errors));
            pool.requests.answered(&mut pool.effects, id, &request, answer, done);
        }
        FromWorker::NodeHandle => pool.tell(id, ToWorker::NodeHandleAck),
    }
}

/// A worker answered a GET, or did not: it boots, or it is checked while it serves.
pub(super) fn probed(
    pool: &mut Pool,
    operations: &mut Operations,
    id: WorkerId,
    result: Result<u16, Failure>,
) {
    if pool.workers.get(id).is_some_and(Worker::is_ready) {
        if let Some(reason) = checks::answered(pool, id, &result) {
            pool.note(id, What::Unhealthy, &reason);
            broken(pool, operations, id, &reason);
        }
    } else if boot::probed(pool, id, result) {
        shown_ready(pool, operations, id);
    }
}

/// A worker has shown that it is ready, without saying anything about suspension: it is taken to do what it was started
/// to do.
pub(super) fn shown_ready(pool: &mut Pool, operations: &mut Operations, id: WorkerId) {
    let suspended = pool.workers.get(id).is_some_and(|worker| worker.start().suspended);
    online(pool, operations, id, suspended);
}

fn online(pool: &mut Pool, operations: &mut Operations, id: WorkerId, suspended: bool) {
    let joining = pool.workers.get(id).is_some_and(Worker::is_joining);
    // A worker that knows nothing of suspension does no harm, unless a migration is being prepared, or goes on.
    let migration = operations.starting().is_some_and(|rollout| rollout.suspended);
    let strict = pool.desired.is_suspended() && !joining || migration;
    match boot::online(pool, id, suspended, strict) {
        boot::Online::Accepted => limits::watch(pool, id),
        boot::Online::Refused(reason) => fail_and_retire(pool, operations, id, reason),
    }
    health::begin(pool, id);
}

/// The worker of a slot is active, while others or the state file say that the app is suspended: one that is suspended takes its place.
pub(super) fn active_in_suspended_app(pool: &mut Pool, operations: &mut Operations, id: WorkerId) {
    let reason = "it is active, and the app is suspended by all else that is known of the earlier daemon";
    broken(pool, operations, id, reason);
}

/// A worker asks to be replaced, or has to be.
fn broken(pool: &mut Pool, operations: &mut Operations, id: WorkerId, reason: &str) {
    let worker = pool.workers.known(id);
    // A link that is being swapped to a new worker is swapped back before the worker goes.
    let slot = worker.slot().and_then(|slot| pool.slots.get(slot));
    let named = slot.is_some_and(|slot| slot.is_taken_by(id));
    let replaced_first =
        (!worker.is_joining() || named) && !worker.is_standby() && !defect!(BrokenRetiredAtOnce);
    match worker.state() {
        State::Ready { broken: false, .. } if replaced_first => {
            failed(pool, operations, id, reason);
            let now = pool.now();
            pool.workers.change(id, |worker| worker.becomes_broken(now));
        }
        State::Booting { .. } | State::Ready { broken: false, .. } => {
            fail_and_retire(pool, operations, id, reason);
        }
        State::Waiting
        | State::Spawning { .. }
        | State::Unwanted
        | State::Ready { .. }
        | State::Draining(_)
        | State::ShuttingDown { .. }
        | State::Terminating { .. }
        | State::Killed { .. }
        | State::Exited
        | State::Reaped { .. } => {}
    }
}

/// The file of a worker's socket is gone: whoever is connected is served, and nobody else can connect. One that has not
/// finished booting may be about to bind the socket again, or was started with one that the daemon did not know to be gone; it is
/// looked at once it is ready.
pub(super) fn socket_lost(pool: &mut Pool, operations: &mut Operations, id: WorkerId, path: &str) {
    match pool.workers.known(id).state() {
        State::Spawning { .. } | State::Booting { .. } => pool.workers.change(id, Worker::loses_socket),
        State::Ready { .. } => {
            pool.workers.change(id, Worker::loses_socket);
            neighbours::lost(pool, id);
            let reason = format!(
                "its socket `{path}` is gone, removed by somebody or closed by the app: nobody can connect"
            );
            broken(pool, operations, id, &reason);
        }
        State::Waiting
        | State::Unwanted
        | State::Draining(_)
        | State::ShuttingDown { .. }
        | State::Terminating { .. }
        | State::Killed { .. }
        | State::Exited
        | State::Reaped { .. } => {}
    }
}

/// A worker's process ended. Returns the process, which has to be reaped.
pub(super) fn exited(
    pool: &mut Pool,
    operations: &mut Operations,
    id: WorkerId,
    status: ExitStatus,
) -> Option<Process> {
    let accounted = pool.workers.get(id).is_some_and(Worker::is_broken);
    let died_in = pool.workers.get(id).and_then(Worker::died_in);
    let death = pool.workers.get(id).map(|worker| Death::of(worker, status));
    neighbours::lost(pool, id);
    let process = remains::exited(pool, id, status)?;
    if let Some(death) = death {
        counting::died(pool, id, death);
    }
    let reason = format!("it {status}");
    if let Some(place) = died_in {
        vacancies::explain_failure(pool, place, &reason);
        last_lines::explain(pool, id, &reason);
    }
    if !accounted {
        failed(pool, operations, id, &reason);
    }
    Some(process)
}

/// A worker's process has begun to end. Whoever replaces it does so now; its exit comes later, and is not counted again.
pub(super) fn dying(pool: &mut Pool, operations: &mut Operations, id: WorkerId, cause: Dying) {
    let worker = pool.workers.known(id);
    let (accounted, killed) = (worker.is_broken(), matches!(worker.state(), State::Killed { .. }));
    if let Some(process) = worker.process().filter(|_| !killed && !defect!(SlowDeathWaitedFor)) {
        let reason = format!("it {cause}");
        if !accounted {
            failed(pool, operations, id, &reason);
        }
        remains::leaves_its_queue(pool, id);
        let now = pool.now();
        pool.workers.change(id, |worker| worker.dies(now, process));
        neighbours::lost(pool, id);
        pool.worker_is_gone(id, &reason);
    }
}

/// The kernel told the accept queue of a worker that drains, or whether a booting one listens.
pub(super) fn queue_measured(pool: &mut Pool, operations: &mut Operations, id: WorkerId, queue: &Queue) {
    if matches!(pool.workers.get(id).map(Worker::state), Some(State::Draining(_))) {
        retire::queue_measured(pool, id, queue);
    } else if boot::queue_measured(pool, id, queue) {
        shown_ready(pool, operations, id);
    }
}

/// The kernel told what a worker did that was not ready in time.
pub(super) fn cpu_measured(
    pool: &mut Pool,
    operations: &mut Operations,
    id: WorkerId,
    result: Result<CpuTime, Failure>,
) {
    if let Some(reason) = boot::cpu_measured(pool, id, result) {
        fail_and_retire(pool, operations, id, &reason);
    }
}

/// A worker's own channel is closed.
pub(super) fn channel_closed(pool: &mut Pool, id: WorkerId) {
    if pool.workers.get(id).is_some_and(|worker| worker.channel() == Channel::Open) {
        channel_lost(pool, id);
    }
}

/// Nothing can be sent to the worker any more, and its open requests fail.
pub(super) fn channel_lost(pool: &mut Pool, id: WorkerId) {
    let now = pool.now();
    pool.workers.change(id, |worker| worker.set_channel(Channel::Lost { at: now }));
    pool.worker_is_gone(id, "its channel is closed");
}

/// A worker lives on without a channel. What is active serves as before; what is suspended could never be resumed.
fn out_of_reach(pool: &mut Pool, operations: &mut Operations, id: WorkerId) {
    pool.workers.change(id, |worker| worker.set_channel(Channel::Closed));
    if pool.workers.get(id).is_some_and(Worker::is_suspended) && !defect!(OutOfReachStays) {
        let reason = "it is broken: it has no channel to the daemon, so that it cannot be resumed";
        return broken(pool, operations, id, reason);
    }
    if pool.leadership.is_in_doubt(id) {
        let reason = "it is broken: it has no channel to the daemon, and nobody else can lead before it is known that it does not";
        return broken(pool, operations, id, reason);
    }
    tracing::warn!(
        worker = %id.short(),
        "worker has no channel to the daemon: no message reaches it, and a signal will be its end"
    );
}

/// Whether the worker may have reported to a daemon that has other things to do.
fn reads_first(pool: &mut Pool, id: WorkerId) -> bool {
    let (before, now) = (pool.effects.before(), pool.now());
    pool.workers.change(id, |worker| worker.is_read_first(before, now))
}

/// A deadline of the worker has passed.
pub(super) fn due(pool: &mut Pool, operations: &mut Operations, id: WorkerId, timer: Timer) {
    match timer {
        Timer::Spawn => {
            let reason = boot::spawn_timed_out(pool);
            fail_and_retire(pool, operations, id, &reason);
        }
        Timer::Online | Timer::Shutdown | Timer::Channel if reads_first(pool, id) => {}
        Timer::Online if defect!(OnlineTimeoutIgnored) => {}
        Timer::Online => boot::late(pool, id),
        Timer::Ready => boot::look(pool, id),
        Timer::Look => retire::look(pool, id),
        Timer::Heartbeat if defect!(HangIgnored) => {}
        Timer::Heartbeat => {
            if let Some(reason) = health::due(pool, id) {
                pool.note(id, What::Hang, &reason);
                broken(pool, operations, id, &reason);
            }
        }
        Timer::Check => {
            if let Some(reason) = checks::due(pool, id) {
                pool.note(id, What::Unhealthy, &reason);
                broken(pool, operations, id, &reason);
            }
        }
        Timer::Sign => health::misses(pool, id),
        Timer::Drain if defect!(DrainTimeoutIgnored) => {}
        Timer::Drain => retire::drain_timed_out(pool, id),
        Timer::Shutdown if defect!(KillInsteadOfTerminate) => retire::kill(pool, id),
        Timer::Shutdown => retire::shutdown_timed_out(pool, id),
        Timer::Kill if defect!(NoSigkill) => {}
        Timer::Kill => retire::kill(pool, id),
        Timer::Channel => out_of_reach(pool, operations, id),
        Timer::Age => limits::outlived(pool, id),
        Timer::Memory => limits::measure(pool, id),
        Timer::Removal => remains::remove_socket(pool, id),
        Timer::Restart
        | Timer::Promotion
        | Timer::Quit
        | Timer::Confirm
        | Timer::Suspension
        | Timer::Link
        | Timer::Spread
        | Timer::Batch
        | Timer::Watch
        | Timer::Command
        | Timer::Persist
        | Timer::Record
        | Timer::Hook
        | Timer::Repair
        | Timer::Survey
        | Timer::Sink
        | Timer::Metrics
        | Timer::Extend
        | Timer::Watchdog => debug_assert!(false, "no deadline of a worker: {timer:?}"),
    }
}

fn fail_and_retire(pool: &mut Pool, operations: &mut Operations, id: WorkerId, reason: &str) {
    failed(pool, operations, id, reason);
    retire::retire(pool, id);
}

/// A worker failed at what it is for; says so to whoever counts failures of that.
fn failed(pool: &mut Pool, operations: &mut Operations, id: WorkerId, reason: &str) {
    let worker = pool.workers.known(id);
    let slot = worker.slot();
    let worked = worker.ready_at().map_or(Duration::ZERO, |ready| pool.now().since(ready));
    match worker.role() {
        Role::Retired { .. } => {}
        Role::Kept(_) => {
            pool.worker_failed(id, reason);
            tracing::warn!(worker = %id.short(), "worker of the former generation failed, which is kept while a deploy is watched: {reason}");
        }
        Role::Joining(_) => {
            tracing::warn!(worker = %id.short(), "new worker failed: {reason}");
            last_lines::remember(pool, id, reason);
            let progress = replace::worker_failed(pool, operations, id, reason);
            begin::next_if_ended(pool, operations, progress);
        }
        Role::Holding(place) => {
            pool.worker_failed(id, reason);
            last_lines::remember(pool, id, reason);
            match slot {
                Some(slot) => {
                    tracing::warn!(worker = %id.short(), slot = slot.0, "worker failed: {reason}");
                }
                None => tracing::warn!(worker = %id.short(), "standby failed: {reason}"),
            }
            vacancies::worker_failed(pool, place, worked, reason);
            let progress = replace::earlier_failed(pool, operations, id, reason);
            begin::next_if_ended(pool, operations, progress);
            let progress = deploy::worker_failed(pool, operations, id, reason);
            begin::next_if_ended(pool, operations, progress);
        }
    }
}
