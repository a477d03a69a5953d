//! The invariants, checked at every simulated step.

use std::fmt;

use crate::id::{SlotIndex, WorkerId};
use crate::wire::WorkerState;

use super::goal::{Evidence, Life};
use super::operation::Operations;
use super::pool::{Pool, neighbours, sockets};
use super::slot::LinkChange;
use super::worker::{Exposure, State, Worker};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number in the crate's documentation.
    pub invariant: u8,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.what)
    }
}

/// Checks the invariants that can be seen from inside, between any two events.
///
/// # Errors
///
/// The first one that does not hold.
pub(super) fn check(pool: &Pool, operations: &Operations) -> Result<(), Violation> {
    check_links(pool, operations)?;
    check_owners(pool)?;
    check_population(pool, operations)?;
    check_suspension(pool, operations)?;
    check_requests(pool, operations)?;
    check_history(pool, operations)?;
    check_counters(pool)?;
    check_drains(pool)
}

/// 1: a published link names the socket of a worker that was ready and is not known to be gone, or one that the daemon
/// itself keeps open.
fn check_links(pool: &Pool, operations: &Operations) -> Result<(), Violation> {
    // The links of a daemon that has quit without its workers are the next daemon's.
    if matches!(pool.life, Life::Quit { .. }) {
        return Ok(());
    }
    for (index, slot) in pool.slots.iter() {
        if let (Some(id), false) = (slot.owner().or(slot.neighbour()), slot.is_changing()) {
            let serves = |worker: &Worker| worker.ready_at().is_some() && worker.process().is_some();
            // Whoever takes over the link of another slot may accept from the socket that this link names, too.
            let accepting = |socket: &str| pool.workers.accepting_from(socket).any(|(_, its)| serves(its));
            let alive = pool.workers.get(id).is_some_and(serves)
                || slot.linked_to().is_some_and(|socket| accepting(socket));
            // The daemon's own socket keeps what comes. A link that could not be removed is tried again.
            let tries = [slot.removal_failures(), slot.swap_failures()];
            let retried = tries.iter().any(|tries| tries.retry_at().is_some());
            let kept = || sockets::keeps_requests(pool, index) || neighbours::keeps_requests(pool, index);
            // The link of another slot that named the same socket may be swapped already: this one follows when all are.
            let follows = operations.is_swapping() && slot.neighbour().is_some();
            ensure(alive || retried || kept() || follows, 1, || {
                format!("slot {index} names {}, which is not online", id.short())
            })?;
        }
        if let Some(LinkChange::To { worker: id, .. }) = slot.change() {
            let ready = pool.workers.get(*id).is_none_or(|worker| worker.ready_at().is_some());
            ensure(ready, 1, || format!("slot {index} is to name {}, which never was online", id.short()))?;
        }
    }
    Ok(())
}

/// 2 and 3: no worker is retired while a link names it, and a worker owns at most one slot.
fn check_owners(pool: &Pool) -> Result<(), Violation> {
    let owners = pool.slots.iter().filter_map(|(index, slot)| Some((slot.owner()?, index)));
    let mut owners: Vec<(WorkerId, SlotIndex)> = owners.collect();
    owners.sort_unstable();
    for ((id, index), (other, at)) in owners.iter().zip(owners.iter().skip(1)) {
        ensure(id != other, 3, || format!("{} owns the slots {index} and {at}", id.short()))?;
    }
    for (index, slot) in pool.slots.iter() {
        let Some(id) = slot.owner().or(slot.neighbour()) else { continue };
        let told = pool.workers.get(id).is_some_and(|worker| {
            matches!(
                worker.state(),
                State::Draining(_) | State::ShuttingDown { .. } | State::Terminating { .. }
            )
        });
        ensure(!told || slot.is_changing(), 2, || {
            format!("{} is retired but the link of slot {index} still names it", id.short())
        })?;
    }
    Ok(())
}

/// 6: live processes ≤ workers + standby + the replacements in flight.
fn check_population(pool: &Pool, operations: &Operations) -> Result<(), Violation> {
    let (mut count, mut broken, mut exited) = (0, 0, 0);
    let own = |worker: &Worker| !worker.is_joining() && !worker.is_retired() && !worker.is_kept();
    for (_, worker) in pool.workers.iter().filter(|(_, worker)| own(worker)) {
        count += usize::from(!worker.is_gone());
        broken += usize::from(worker.is_ready() && !worker.is_healthy());
        exited += usize::from(*worker.state() == State::Exited);
    }
    // Their links are being removed, or will be tried again.
    let beyond = |index: SlotIndex| index.0 >= pool.desired.slots;
    let unwanted = pool.slots.iter().filter(|(index, slot)| beyond(*index) && slot.owner().is_some()).count();
    let wanted = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let limit =
        wanted(pool.desired.slots).saturating_add(unwanted).saturating_add(wanted(pool.desired.standby));
    // Whoever is to take over stays beside whoever may have to, until the link can be swapped.
    let taking =
        pool.slots.iter().filter(|(_, slot)| slot.is_changing() || slot.swap_failures().retry_at().is_some());
    let replacing = taking.count();
    let fits = count <= limit.saturating_add(broken + exited + replacing);
    ensure(operations.is_swapping() || fits, 6, || {
        format!("{count} workers where at most {limit} are wanted, {broken} of them broken")
    })
}

/// 7: in a suspended app no worker that serves a slot, or is meant to, runs unsuspended.
fn check_suspension(pool: &Pool, operations: &Operations) -> Result<(), Violation> {
    let in_doubt = matches!(pool.evidence, Evidence::Awaited | Evidence::Disputed);
    if !pool.desired.is_suspended() || in_doubt {
        return Ok(());
    }
    for (id, worker) in pool.workers.iter() {
        let active = if let State::Ready { suspended, .. } = worker.state() {
            !suspended && !worker.is_standby()
        } else {
            !worker.start().suspended
        };
        // A worker of a slot that there is no more goes once the link is removed. Whoever asked is answered after that, or
        // asked a daemon that is dead.
        let unwanted = worker.slot().filter(|slot| slot.0 >= pool.desired.slots);
        let answered = operations.is_complete() && operations.note().is_none();
        let linked = |slot| pool.slots.get(slot).is_some_and(|slot| slot.link().is_some());
        let leaving = worker.is_retired() || unwanted.is_some_and(|slot| !answered || linked(slot));
        // It serves because its link could not be swapped back, and goes as soon as that succeeds.
        let stuck = worker.wire_state() == WorkerState::Broken;
        let alive = worker.process().is_some() || worker.is_coming();
        let wrong = active && alive && !worker.is_joining() && !stuck && !leaving;
        ensure(!wrong, 7, || format!("{} is not suspended in a suspended app", id.short()))?;
    }
    Ok(())
}

/// 5: every open request has somebody who will answer it.
fn check_requests(pool: &Pool, operations: &Operations) -> Result<(), Violation> {
    for to in pool.requests.all_open() {
        let awaited = operations.waits(to)
            || pool.requests.waits_for_workers(to)
            || pool.sink.holds(to)
            || pool.watchers.has(to);
        ensure(awaited, 5, || format!("nobody will answer {to:?}"))?;
    }
    Ok(())
}

/// 11: what is in progress, and nothing else, has an entry of the history that was begun.
fn check_history(pool: &Pool, operations: &Operations) -> Result<(), Violation> {
    let current = operations.current().map(|operation| operation.kind.what());
    let begun = pool.ledger.underway();
    ensure(current == begun || matches!(pool.life, Life::Quit { .. }), 11, || {
        format!("{current:?} is in progress, and the history waits for the end of {begun:?}")
    })
}

/// 12: each process of a worker was counted when it came into being, and when it ended.
fn check_counters(pool: &Pool) -> Result<(), Violation> {
    let alive = pool.workers.iter().filter(|(_, worker)| worker.process().is_some()).count();
    let counted = pool.counters.alive();
    ensure(counted.and_then(|counted| usize::try_from(counted).ok()) == Some(alive), 12, || {
        format!("{alive} workers have a process, and {counted:?} do by what was counted")
    })
}

/// 8: no worker that a link named is told to shut down before its accept queue was seen empty, or `drainTimeout`.
fn check_drains(pool: &Pool) -> Result<(), Violation> {
    let told = |worker: &Worker| match worker.state() {
        State::ShuttingDown { .. } => true,
        State::Terminating { .. } => !worker.speaks(),
        State::Waiting
        | State::Spawning { .. }
        | State::Unwanted
        | State::Booting { .. }
        | State::Ready { .. }
        | State::Draining(_)
        | State::Killed { .. }
        | State::Exited
        | State::Reaped { .. } => false,
    };
    for (id, worker) in pool.workers.iter().filter(|(_, worker)| told(worker)) {
        ensure(worker.exposure() != Exposure::Named, 8, || {
            format!("{} was told to shut down without having been drained", id.short())
        })?;
    }
    Ok(())
}

fn ensure(holds: bool, invariant: u8, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}
