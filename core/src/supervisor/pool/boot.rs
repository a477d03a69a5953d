//! Starting a worker, and seeing that it gets ready.

use std::sync::Arc;

use crate::action::Action;
use crate::config::{Config, Listen, Ready};
use crate::event::{CpuTime, Failure, Queue};
use crate::id::{Process, WorkerId};
use crate::supervisor::generation::Generation;
use crate::supervisor::pace;
use crate::supervisor::worker::order::spawn_order;
use crate::supervisor::worker::watch::{Sight, Watch};
use crate::supervisor::worker::{Place, Role, Start, State, Worker};
use crate::time::Time;
use crate::wire::Stage;

use super::{Pool, output, retire, sockets};

/// What became of the order to start a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) enum Spawned {
    /// The worker boots, or was not wanted any more and is being ended.
    Booting,
    /// There is no process; the worker has to be given up. `failure`: why, if it was still wanted.
    NoProcess { failure: Option<String> },
    /// The process came too late.
    Late { failure: String },
}

/// What a worker's readiness means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) enum Online {
    /// The worker is ready, or was no longer booting.
    Accepted,
    /// The worker must not run; the reason.
    Refused(&'static str),
}

/// Orders a worker for `role`, which boots when its turn comes. `config`, `generation`: what it is started by; `slots`: how
/// many slots it may have to serve.
pub(in crate::supervisor) fn spawn(
    pool: &mut Pool,
    role: Role,
    suspended: bool,
    config: &Config,
    generation: &Generation,
    slots: u32,
) -> WorkerId {
    let id = pool.ids.worker();
    let first = pool.workers.next_to_boot().is_none();
    pool.workers.insert(id, Worker::ordered(role, start_of(pool, pool.now(), suspended, config, generation)));
    if first && has_room(pool) {
        start(pool, id, config, generation, slots);
    }
    id
}

/// Another worker may boot.
fn has_room(pool: &Pool) -> bool {
    pool.workers.booting() < pool.pace.boots(pool.config.options.boots) || defect!(BootsUnbounded)
}

/// Starts as many as may boot now of the workers that wait for their turn. `new`: what workers of a rollout are started by.
pub(in crate::supervisor) fn start_waiting(
    pool: &mut Pool,
    new: Option<(&Arc<Config>, &Generation)>,
    slots: u32,
) {
    while let Some(id) = pool.workers.next_to_boot().filter(|_| has_room(pool)) {
        let joining = pool.workers.get(id).is_some_and(Worker::is_joining);
        let (config, generation) = new.filter(|_| joining).unwrap_or((&pool.config, &pool.generation));
        let (config, generation) = (Arc::clone(config), generation.clone());
        start(pool, id, &config, &generation, slots);
    }
}

fn start_of(pool: &Pool, ordered: Time, suspended: bool, config: &Config, generation: &Generation) -> Start {
    Start {
        ordered,
        suspended: suspended || config.options.listen == Listen::Daemon,
        ready_by: config.options.ready,
        ready_path: config.options.ready_path.clone(),
        online_timeout: pool.pace.online_timeout(config.options.online_timeout),
        stop_signal: config.options.stop_signal,
        stderr: config.options.stderr.clone(),
        generation: generation.number,
    }
}

/// Starts a worker that has waited for its turn.
fn start(pool: &mut Pool, id: WorkerId, config: &Config, generation: &Generation, slots: u32) {
    let worker = pool.workers.known(id);
    let place = worker.role().place().unwrap_or(Place::Standby);
    let start = start_of(pool, worker.start().ordered, worker.start().suspended, config, generation);
    let listeners = sockets::listeners_for(pool, place, config, slots);
    let socket = match listeners.as_slice() {
        [] => Some(config.socket_file.socket(id)),
        [only] if place != Place::Standby => Some(only.clone()),
        _ => None,
    };
    let now = pool.now();
    let deadline = now + config.options.spawn_timeout;
    let stderr = output::expect(pool, config);
    if let Place::Slot(slot) = place {
        output::label(pool, id, slot);
    }
    let order = pool.workers.change(id, |worker| {
        worker.starts(start, socket.map(Arc::from), listeners, now, deadline);
        Some(spawn_order(id, worker, config, generation.release.as_ref(), stderr))
    });
    if let Some(order) = order {
        pool.effects.order(Action::Spawn(Box::new(order)));
    }
    pool.progress(id, Stage::Starting, None);
}

/// A worker's process exists, or could not be created.
pub(in crate::supervisor) fn spawned(
    pool: &mut Pool,
    id: WorkerId,
    result: Result<Process, Failure>,
) -> Spawned {
    let worker = pool.workers.known(id);
    let deadline = pool.workers.spawn_deadline(worker);
    if deadline.is_none() && *worker.state() != State::Unwanted {
        return Spawned::Booting;
    }
    let now = pool.now();
    pool.workers.extend_spawning(now + pool.config.options.spawn_timeout);
    let process = match result {
        Ok(process) => process,
        Err(failure) => return Spawned::NoProcess { failure: deadline.map(|_| failure.0) },
    };
    tracing::info!(worker = %id.short(), pid = process.pid, "worker started");
    pool.counters.started();
    pool.workers.change(id, |worker| worker.spawned(now, process));
    match deadline {
        Some(deadline) if now <= deadline => Spawned::Booting,
        Some(_) => Spawned::Late { failure: spawn_timed_out(pool) },
        None if defect!(UnwantedProcessStays) => Spawned::Booting,
        None => {
            retire::end_at_once(pool, id);
            Spawned::Booting
        }
    }
}

/// Why a worker failed whose process was not created in time.
pub(in crate::supervisor) fn spawn_timed_out(pool: &Pool) -> String {
    let limit = pool.config.options.spawn_timeout.as_millis();
    format!("its process was not created within {limit} ms (options.spawnTimeout)")
}

/// The worker is ready. `strict`: no worker may run that was started suspended and is not.
pub(in crate::supervisor) fn online(pool: &mut Pool, id: WorkerId, suspended: bool, strict: bool) -> Online {
    let worker = pool.workers.known(id);
    let State::Booting { process, .. } = *worker.state() else { return Online::Accepted };
    let now = pool.now();
    if worker.start().suspended && !suspended && strict && !defect!(UnsuspendedAccepted) {
        if worker.inherits() {
            // The worker has begun to accept: it may answer what it took.
            pool.workers.change(id, |worker| worker.becomes_ready(now, suspended));
        }
        return Online::Refused(
            "it came up active although it was started suspended; its app must wait for `resume`",
        );
    }
    let took = now.since(worker.since());
    tracing::info!(worker = %id.short(), pid = process.pid, suspended, "worker online after {} ms", took.as_millis());
    pool.pace.kept_up(took, pool.config.options.online_timeout);
    pool.workers.change(id, |worker| {
        worker.note_ready(now);
        worker.becomes_ready(now, suspended);
    });
    if pool.workers.change(id, Worker::takes_lost_socket) {
        pool.effects.order(Action::Survey);
    }
    pool.progress(id, Stage::Online, None);
    Online::Accepted
}

/// It is time to look at a booting worker that does not report.
pub(in crate::supervisor) fn look(pool: &mut Pool, id: WorkerId) {
    let listens = pool.workers.change(id, |worker| {
        let watch = worker.watch_mut()?;
        watch.looks();
        Some(watch.listens())
    });
    match listens {
        Some(true) => probe(pool, id),
        Some(false) => retire::measure(pool, id),
        None => {}
    }
}

/// The file of a worker's socket has come into being: one that boots is looked at, if it does not report.
pub(in crate::supervisor) fn socket_bound(pool: &mut Pool, id: WorkerId) {
    if pool.workers.change(id, |worker| worker.watch_mut().map(Watch::is_bound)) == Some(true) {
        look(pool, id);
    }
}

fn probe(pool: &mut Pool, id: WorkerId) {
    let worker = pool.workers.get(id);
    if let Some((worker, socket)) = worker.and_then(|worker| Some((worker, worker.socket()?.to_string()))) {
        let path = worker.start().ready_path.clone();
        pool.effects.order(Action::Probe { worker: id, socket, path });
    }
}

/// The kernel told whether somebody listens on the socket of a booting worker. Returns whether the worker is ready.
pub(in crate::supervisor) fn queue_measured(pool: &mut Pool, id: WorkerId, queue: &Queue) -> bool {
    let now = pool.now();
    let sight = pool.workers.change(id, |worker| {
        let ready_by = worker.start().ready_by;
        Some(worker.watch_mut()?.measured(now, ready_by, queue))
    });
    if sight == Some(Sight::Listens) {
        probe(pool, id);
    }
    sight == Some(Sight::Ready)
}

/// A booting worker answered a GET, or did not. Returns whether the worker is ready.
pub(in crate::supervisor) fn probed(pool: &mut Pool, id: WorkerId, result: Result<u16, Failure>) -> bool {
    let now = pool.now();
    let sight = pool.workers.change(id, |worker| {
        let path = worker.start().ready_path.clone();
        Some(worker.watch_mut()?.probed(now, &path, result))
    });
    sight == Some(Sight::Ready)
}

/// The time of a booting worker is over: the kernel is asked what it did with it.
pub(in crate::supervisor) fn late(pool: &mut Pool, id: WorkerId) {
    if let Some(process) = pool.workers.change(id, Worker::runs_late) {
        pool.effects.order(Action::MeasureCpu { worker: id, process });
    }
}

/// The kernel told what a worker did that was not ready in time. Returns why it failed, if it is still not ready.
pub(in crate::supervisor) fn cpu_measured(
    pool: &mut Pool,
    id: WorkerId,
    result: Result<CpuTime, Failure>,
) -> Option<String> {
    let worker = pool.workers.known(id);
    if !worker.is_late() {
        return None;
    }
    let given = worker.start().online_timeout;
    let busy = result.as_ref().is_ok_and(|cpu| pace::is_busy(*cpu, given));
    // What is said elsewhere of a worker that only needs longer would lead astray.
    let found = what_was_found(worker).filter(|_| !busy);
    let did = result.ok().map(|cpu| pace::describe(cpu, given));
    if busy {
        pool.pace.was_too_fast(given, pool.config.options.online_timeout);
    }
    let words: Vec<String> = found.into_iter().chain(did).collect();
    let (limit, colon) = (given.as_millis(), if words.is_empty() { "" } else { ": " });
    Some(format!("it was not online within {limit} ms (options.onlineTimeout){colon}{}", words.join("; ")))
}

fn what_was_found(worker: &Worker) -> Option<String> {
    let start = worker.start();
    match (worker.state(), start.ready_by) {
        (State::Booting { watch: Some(watch), .. }, _) => Some(match watch.next_look() {
            None => format!("GET {} was not answered", start.ready_path),
            Some(_) => watch.found().to_owned(),
        }),
        (_, Ready::Notify) => Some("it sent no READY=1 to NOTIFY_SOCKET".to_owned()),
        (_, Ready::Report) if worker.disbelieved().is_some() => worker.disbelieved().map(str::to_owned),
        (_, Ready::Report) => {
            Some("it reported nothing; `nodesockd.listen()` does, or see `options.ready`".to_owned())
        }
        (_, Ready::Listen | Ready::Http) => None,
    }
}

/// A look at a booting worker that was under way when the daemon was replaced came to nothing: another one is taken.
pub(in crate::supervisor) fn look_again(pool: &mut Pool) {
    let now = pool.now();
    for id in pool.workers.ids() {
        pool.workers.change(id, |worker| {
            if let Some(watch) = worker.watch_mut() {
                watch.look_again_at(now);
            }
        });
    }
}
