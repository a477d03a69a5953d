//! Processes that say on the control socket that they are workers.
//!
//! A worker that outlived its daemon reports there, and so does one whose own process is a wrapper, such as `npm start`, which
//! keeps the channel to itself. A worker that this daemon knows is recognised by its process, or by descending from it. A worker
//! that this daemon does not know was started by a daemon that left no state file, as 2.x does; it is adopted if the kernel
//! confirms what it says. Nobody is believed without the kernel's word.

use std::sync::Arc;

use crate::action::Action;
use crate::event::Caller;
use crate::id::{ConnId, WorkerId};
use crate::metrics::Traffic;
use crate::state::{RecordedStage, Survivor, WorkerRecord};
use crate::supervisor::goal::{Evidence, Suspension};
use crate::supervisor::operation::Operations;
use crate::supervisor::pool::{Pool, links, retire};
use crate::supervisor::slot::Slot;
use crate::supervisor::worker::{Channel, State, Worker};
use crate::wire::{Claim, FromWorker, ToWorker};

use super::adopt::{Fate, adopt_worker};
use super::links::socket_owner;

/// Who speaks on a connection: the worker that reported over it before, or the worker that it claims to be, if the kernel
/// confirms that. A worker that is confirmed and not known yet is adopted.
pub(in crate::supervisor) fn identify(
    pool: &mut Pool,
    conn: ConnId,
    caller: Option<Caller>,
    claim: Option<Claim>,
    message: &FromWorker,
) -> Option<WorkerId> {
    if let Some(id) = pool.workers.connected(conn) {
        return Some(id);
    }
    let Some(claim) = claim else {
        tracing::warn!("a process that is none of our workers speaks as one");
        return None;
    };
    let id = claim.worker;
    if let Err(reason) = confirm(pool, &claim, caller.as_ref(), message) {
        refuse(pool, conn, id, caller.as_ref(), message, reason);
        return None;
    }
    match caller {
        Some(caller) if pool.workers.get(id).is_none() => adopt_caller(pool, id, caller),
        Some(Caller { process, .. }) => pool.workers.change(id, |worker| worker.speaks_by(process)),
        None => {}
    }
    Some(id)
}

/// Whether the kernel confirms a claim; if not, why.
fn confirm(
    pool: &Pool,
    claim: &Claim,
    caller: Option<&Caller>,
    message: &FromWorker,
) -> Result<(), &'static str> {
    let caller = caller.ok_or("its process is not visible from here")?;
    if let Some(worker) = pool.workers.get(claim.worker) {
        return confirm_known(worker, claim, caller);
    }
    if pool.workers.has_forgotten(claim.worker) {
        return Err("that worker has ended since");
    }
    let socket = caller.socket.as_deref().and_then(|socket| socket_owner(pool, socket));
    if !matches!(message, FromWorker::Online { .. }) {
        Err("it has not reported online")
    } else if !caller.own_user {
        Err("it runs as another user than the daemon")
    } else if claim.pid != Some(caller.process.pid) {
        Err("it says another pid than the kernel")
    } else if !caller.leads {
        Err("it leads no process group, so it is no worker but a child of one")
    } else if caller.worker != Some(claim.worker) {
        Err("its environment names another worker (NODESOCKD_WORKER_ID)")
    } else if socket != Some(claim.worker) {
        Err("its environment names another socket (NODESOCKD_SOCKET_PATH)")
    } else {
        Ok(())
    }
}

/// Whether the kernel confirms that a process speaks for a worker that is known: it is the worker's own; or that is a wrapper
/// (`npm start`), which has started it, and nobody else has spoken for the worker: unless it is who has spoken over the channel.
fn confirm_known(worker: &Worker, claim: &Claim, caller: &Caller) -> Result<(), &'static str> {
    let related = worker.process().is_some_and(|own| caller.family.contains(&own));
    if worker.is_spoken_for_by(caller.process) || defect!(ClaimBelieved) {
        Ok(())
    } else if !related {
        Err("the worker is another process, which has not started this one")
    } else if defect!(DescendantBelieved) {
        Ok(())
    } else if !worker.is_unheard() && worker.said_pid() != Some(caller.process.pid) {
        Err("the worker has reported by another process already")
    } else if !caller.own_user {
        Err("it runs as another user than the daemon")
    } else if caller.worker != Some(claim.worker) {
        Err("its environment names another worker (NODESOCKD_WORKER_ID)")
    } else {
        Ok(())
    }
}

/// A worker that nobody knows is told to go, as 2.x does. A worker that is known may be behind a wrapper (`npm start`), whose
/// process is the one that is known; that worker serves on.
fn refuse(
    pool: &mut Pool,
    conn: ConnId,
    worker: WorkerId,
    caller: Option<&Caller>,
    message: &FromWorker,
    reason: &str,
) {
    let pid = caller.map(|caller| caller.process.pid);
    tracing::warn!(worker = %worker.short(), pid, "a process speaks as a worker and is not believed: {reason}");
    let who = pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
    let why = format!("{who} reported in its name and is not believed: {reason}");
    if pool.workers.get(worker).is_some() {
        pool.workers.change(worker, |worker| worker.disbelieve(why));
    }
    if matches!(message, FromWorker::Online { .. }) && pool.workers.get(worker).is_none() {
        let message = ToWorker::Shutdown;
        pool.effects.order(Action::Tell { worker, over: Some(conn), message });
    }
}

/// Adopts a worker that the kernel has confirmed: for the slot whose link names its socket; else it is drained and goes.
fn adopt_caller(pool: &mut Pool, id: WorkerId, caller: Caller) {
    let Caller { process, socket, link, .. } = caller;
    pool.effects.order(Action::Watch { worker: id, process });
    let mut owned = None;
    if let Some(link) = link.filter(|link| socket.as_ref() == Some(&link.socket)) {
        // Its link may have been led to a neighbour since the kernel was asked.
        let free = |slot: &Slot| slot.owner().is_none() && slot.neighbour().is_none() && !slot.is_changing();
        if pool.slots.get(link.slot).is_none_or(free) {
            let target = Arc::from(link.socket);
            pool.slots.change(link.slot, |slot| slot.is_found(link.name, target));
            owned = Some(link.slot);
        }
    }
    let record = WorkerRecord {
        id,
        process: Some(process),
        slot: owned,
        // It may have served, and connections may wait for it.
        stage: if owned.is_some() { RecordedStage::Online } else { RecordedStage::Draining },
        suspended: false,
        socket,
        listeners: Vec::new(),
        mute: false,
        stop_signal: pool.config.options.stop_signal,
        speaker: None,
        said_pid: None,
        new: false,
        generation: 0,
        traffic: Traffic::default(),
    };
    pool.counters.started();
    adopt_worker(pool, Survivor { id, process }, Some(&record), owned, Fate::Stays);
}

/// A worker that had lost its channel can be told things again.
pub(in crate::supervisor) fn reunite(
    pool: &mut Pool,
    operations: &Operations,
    id: WorkerId,
    conn: ConnId,
    suspended: bool,
) {
    let now = pool.now();
    let serves = has_taken_over(pool, id);
    // One of the release before, whose link could not be swapped yet, was active all the time.
    let was_suspended = pool.workers.get(id).is_some_and(Worker::is_suspended);
    let state = pool.workers.change(id, |worker| {
        worker.set_channel(Channel::Socket(conn));
        worker.reports_suspended(now, suspended);
        if !suspended {
            worker.health_mut().has_resumed();
        }
        Some(worker.state().clone())
    });
    match state {
        Some(State::Ready { .. }) => {
            // The state file may be missing, or not the latest.
            if serves && suspended && pool.evidence.is_guesswork() {
                pool.desired.suspension = Suspension::recorded(true, None, now);
                // Whoever cannot tell was taken for active.
                pool.evidence = Evidence::Awaited;
            }
            let resumed = was_suspended && !suspended;
            if serves && resumed && pool.desired.is_suspended() {
                if operations.is_complete() {
                    tracing::warn!(worker = %id.short(), "resume was not recorded; treating the app as resumed");
                    pool.desired.suspension = None;
                } else {
                    // What is in progress goes on in a suspended app.
                    pool.evidence = pool.evidence.disputed();
                }
            }
            if serves && (pool.is_active() || defect!(ReunionResumes)) {
                links::resume(pool, id);
            }
        }
        Some(State::ShuttingDown { process, .. }) => retire::shut_down_again(pool, id, process, suspended),
        // It took no notice of its stop signal.
        Some(State::Terminating { .. }) => pool.tell(id, ToWorker::Shutdown),
        Some(
            State::Waiting
            | State::Spawning { .. }
            | State::Unwanted
            | State::Booting { .. }
            | State::Draining(_)
            | State::Killed { .. }
            | State::Exited
            | State::Reaped { .. },
        )
        | None => {}
    }
}

/// Without a state file, only the adopted workers can tell whether the app is suspended: one that is suspended says so for all. When
/// those that serve have reported, or cannot, those begin that took over meanwhile, unless the app is suspended. Returns who is active in
/// a suspended app: also if that is so by the state file, and somebody has disputed it.
pub(in crate::supervisor) fn conclude(pool: &mut Pool, operations: &Operations) -> Vec<WorkerId> {
    let may_tell = |(id, worker): (WorkerId, &Worker)| {
        let expected = matches!(worker.channel(), Channel::Expected { .. });
        expected && worker.speaks() && has_taken_over(pool, id)
    };
    pool.evidence = match pool.evidence {
        Evidence::Record | Evidence::Reports => return Vec::new(),
        // Who serves is not decided before all links are swapped, or back.
        Evidence::Awaited | Evidence::Disputed if operations.is_swapping() => return Vec::new(),
        Evidence::Awaited if pool.workers.iter().any(may_tell) => return Vec::new(),
        Evidence::Awaited => Evidence::Reports,
        Evidence::Disputed => Evidence::Record,
    };
    let suspended = pool.desired.is_suspended();
    let mut others = if suspended { pool.active_owners() } else { pool.suspended_owners() };
    others.retain(|id| has_taken_over(pool, *id));
    if suspended {
        return others;
    }
    others.into_iter().for_each(|id| links::resume(pool, id));
    Vec::new()
}

/// Whether a worker serves its slot, and not only while an operation is in progress that decides what becomes of the worker.
fn has_taken_over(pool: &Pool, id: WorkerId) -> bool {
    pool.owns_its_slot(id) && !pool.workers.known(id).is_joining()
}
