//! Starting and promoting workers for what is vacant.
//!
//! Why a worker is missing does not matter here: the difference between what ought to be and what is says it all. What a
//! slot needs is a pure decision ([`need`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::history::What;
use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::slot::table::Service;
use crate::supervisor::worker::health::Answer;
use crate::supervisor::worker::{Place, Role, Worker};
use crate::time::Time;

use super::{Pool, boot, health, links, neighbours, sockets};

/// A worker that boots for a slot, as at the daemon's own start, is given this long before a standby takes the slot:
/// the two usually come up together, and one of them would have booted in vain.
const OWN_WORKER_FIRST: Duration = Duration::from_secs(1);

/// So many failures in a row are a loop.
const CRASH_LOOP: u32 = 5;

/// What a slot needs that ought to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Need {
    /// Its link is being changed.
    Wait,
    /// Its owner serves. `rename`: the link has a former name.
    Nothing { rename: Option<WorkerId> },
    /// This worker can take it over.
    Takeover(WorkerId),
    /// These standbys have to give a sign of life first; or others have been asked already.
    Sign { standbys: Vec<WorkerId>, rename: Option<WorkerId> },
    /// A link could not be swapped, and is tried again later.
    LaterTakeover,
    /// Nobody can take it over. `start`: a worker has to be started for it.
    Worker { start: bool, rename: Option<WorkerId> },
}

/// Starts and promotes what is missing in `slots`.
pub(in crate::supervisor) fn fill(pool: &mut Pool, slots: &BTreeSet<SlotIndex>, slots_ahead: u32) {
    let wanted = SlotIndex(pool.desired.slots);
    for index in slots.range(..wanted) {
        fill_slot(pool, *index, slots_ahead);
    }
}

fn fill_slot(pool: &mut Pool, index: SlotIndex, slots_ahead: u32) {
    let need = need(pool, index);
    if matches!(need, Need::Worker { .. }) && !pool.is_served_by_its_own(index) {
        // Before a process is started, which takes longer.
        neighbours::lend(pool, index);
    }
    let config = Arc::clone(&pool.config);
    let rename = match need {
        // It is in the table from now on, even if nothing can be done for it yet.
        Need::Wait | Need::LaterTakeover => return pool.slots.change(index, |_| ()),
        Need::Sign { standbys, rename } => {
            pool.slots.change(index, |_| ());
            health::ask(pool, &standbys);
            rename
        }
        Need::Takeover(successor) => {
            delay_next_standby(pool, index, successor);
            return links::publish(pool, index, successor, &config);
        }
        Need::Nothing { rename } => {
            pool.slots.change(index, |slot| slot.worker_tried());
            rename
        }
        Need::Worker { start: false, rename } => {
            pool.slots.change(index, |_| ());
            rename
        }
        Need::Worker { start: true, rename } => {
            pool.slots.change(index, |slot| slot.worker_tried());
            let role = Role::Holding(Place::Slot(index));
            let suspended = !pool.is_active() && !defect!(ReplacementNotSuspended);
            let generation = pool.generation.clone();
            boot::spawn(pool, role, suspended, &config, &generation, slots_ahead);
            rename
        }
    };
    if let Some(owner) = rename {
        links::publish(pool, index, owner, &config);
    }
}

/// A standby that takes over from a worker that failed may have booted since. Its own successor waits as long as one for the slot
/// would have to: without that, an app that crashes at once would be started as fast as the machine can.
fn delay_next_standby(pool: &mut Pool, index: SlotIndex, successor: WorkerId) {
    let slot = pool.slots.get(index).filter(|_| pool.workers.known(successor).is_standby());
    if let Some(slot) = slot {
        pool.standby_failures.waits_for(slot.worker_failures());
    }
}

/// What a slot needs. A worker that was started for it takes it over before a standby does, and a standby before the
/// worker that it had before, even if that one asks to be replaced.
fn need(pool: &Pool, index: SlotIndex) -> Need {
    let now = pool.now();
    let slot = pool.slots.get(index);
    let may_swap = slot.is_none_or(|slot| slot.swap_failures().permits(now));
    let owner = pool.owner(index);
    // A link that a former `socketFile` named gets the name of today, and one that is gone is made again, as long as there
    // is a worker for it to name.
    let link = slot.filter(|slot| !slot.is_lost()).and_then(|slot| slot.link());
    let named = link == Some(pool.config.socket_file.link(index).as_str());
    let rename = owner.filter(|(_, owner)| !named && may_swap && owner.can_serve()).map(|(id, _)| id);
    if slot.is_some_and(|slot| slot.is_changing()) {
        return Need::Wait;
    }
    if owner.is_some_and(|(_, owner)| owner.is_healthy()) {
        return Need::Nothing { rename };
    }
    match successor(pool, index, owner.map(|(id, _)| id)) {
        Some(Successor::Ready(successor)) if may_swap => Need::Takeover(successor),
        Some(Successor::HasToAnswer(standbys)) if may_swap => Need::Sign { standbys, rename },
        Some(Successor::Ready(_) | Successor::HasToAnswer(_)) => Need::LaterTakeover,
        None => {
            let coming = own_workers(pool, index).any(|(_, worker)| worker.is_coming());
            let permitted = slot.is_none_or(|slot| slot.worker_failures().permits(now));
            Need::Worker { start: (!coming || defect!(SecondWorkerWhileBooting)) && permitted, rename }
        }
    }
}

/// Who can take a slot over.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Successor {
    Ready(WorkerId),
    /// A standby, once it has given a sign of life. Those that have not been asked for one.
    HasToAnswer(Vec<WorkerId>),
}

/// Who can take a slot over now.
fn successor(pool: &Pool, index: SlotIndex, owner: Option<WorkerId>) -> Option<Successor> {
    let not_owner = |(id, _): &(WorkerId, &Worker)| Some(*id) != owner;
    let own = own_workers(pool, index).filter(not_owner).find(|(_, worker)| worker.is_healthy());
    let standby = || {
        let in_time = promotable_at(pool, index).is_none_or(|at| at <= pool.now());
        standby(pool, index, owner).filter(|_| in_time)
    };
    let former = || {
        let mut own = own_workers(pool, index).filter(not_owner);
        own.find(|(_, worker)| worker.can_serve()).filter(|_| owner.is_none())
    };
    let ready = |(id, _): (WorkerId, &Worker)| Successor::Ready(id);
    own.map(ready).or_else(standby).or_else(|| former().map(ready))
}

/// The first standby that has just given a sign of life; else those that have to be asked for one.
fn standby(pool: &Pool, index: SlotIndex, owner: Option<WorkerId>) -> Option<Successor> {
    let mut unasked = Vec::new();
    let mut awaited = false;
    for (id, worker) in pool.workers.holding(Place::Standby) {
        if Some(id) == owner || !may_be_promoted(pool, worker, index) {
            continue;
        }
        match worker.health().answer(pool.now()) {
            Answer::Given => return Some(Successor::Ready(id)),
            Answer::Unasked => unasked.push(id),
            Answer::Awaited => awaited = true,
            Answer::Missing => {}
        }
    }
    (awaited || !unasked.is_empty()).then_some(Successor::HasToAnswer(unasked))
}

fn own_workers(pool: &Pool, index: SlotIndex) -> impl Iterator<Item = (WorkerId, &Worker)> {
    pool.workers.holding(Place::Slot(index))
}

/// A healthy standby that can take the slot, and does not run ahead of a suspended app.
fn may_be_promoted(pool: &Pool, worker: &Worker, slot: SlotIndex) -> bool {
    worker.is_healthy()
        && (worker.is_suspended() || !pool.desired.is_suspended())
        && sockets::can_take(pool, worker, slot)
}

/// When a standby may take the slot from a worker that is still booting for it; `None`: there is no such worker.
fn promotable_at(pool: &Pool, index: SlotIndex) -> Option<Time> {
    let coming = own_workers(pool, index).filter(|(_, worker)| worker.is_coming());
    coming.map(|(_, worker)| worker.start().ordered + OWN_WORKER_FIRST).max()
}

/// Starts standbys that are missing, but none beside those that an operation has ordered (`joining`): there may be no memory for
/// both.
pub(in crate::supervisor) fn fill_standby(pool: &mut Pool, slots_ahead: u32, joining: usize) {
    let present = pool
        .workers
        .holding(Place::Standby)
        .filter(|(_, worker)| worker.is_coming() || worker.is_healthy())
        .filter(|(_, worker)| sockets::can_take_any(pool, worker))
        .count();
    // Until the link names it, a standby that is being promoted may have to come back.
    let present = present + pool.slots.promoting() + joining;
    let missing = pool.desired.standbys().saturating_sub(present);
    // A wait goes on while a standby is being promoted: its successor is missing next.
    if pool.standby_failures.permits(pool.now()) {
        pool.standby_failures.tried();
        let (config, generation) = (Arc::clone(&pool.config), pool.generation.clone());
        for _ in 0..missing {
            boot::spawn(pool, Role::Holding(Place::Standby), true, &config, &generation, slots_ahead);
        }
    }
}

/// A worker failed that had `place`, after having worked for `worked`.
pub(in crate::supervisor) fn worker_failed(pool: &mut Pool, place: Place, worked: Duration, reason: &str) {
    let now = pool.now();
    pool.settled.touch_standbys();
    pool.check_release();
    match place {
        _ if defect!(FailuresNotCounted) => {}
        Place::Standby => {
            pool.standby_failures.failed(now, worked, reason);
            note_loop(pool, None, pool.standby_failures.failures(), reason);
        }
        Place::Slot(index) => {
            let failures = pool.slots.change(index, |slot| {
                slot.worker_failed(now, worked, reason);
                slot.worker_failures().failures()
            });
            note_loop(pool, Some(index), failures, reason);
            if pool.workers.holding(Place::Standby).any(|(_, worker)| worker.is_healthy()) {
                // The standby is about to be promoted. Its own successor waits as long as one for the slot would have to:
                // without that, an app that crashes at once would be started as fast as the machine can.
                pool.standby_failures.failed(now, worked, reason);
            }
        }
    }
}

/// So many workers in a row have failed: notes that this is a loop, once.
fn note_loop(pool: &mut Pool, slot: Option<SlotIndex>, failures: u32, reason: &str) {
    if failures == CRASH_LOOP {
        let words = format!("{CRASH_LOOP} workers in a row have failed, the last one: {reason}");
        pool.note_at(slot, What::CrashLoop, &words);
    }
}

/// A failure that was counted last has turned out to have this reason.
pub(in crate::supervisor) fn explain_failure(pool: &mut Pool, place: Place, reason: &str) {
    match place {
        Place::Standby => pool.standby_failures.explain(reason),
        Place::Slot(slot) => pool.slots.change(slot, |slot| slot.explain_failure(reason)),
    }
}

/// Notes how `slots` are served, and when a standby may take them over.
pub(in crate::supervisor) fn note_service(pool: &mut Pool, slots: &BTreeSet<SlotIndex>) {
    for index in slots {
        let service = pool.is_wanted(*index).then(|| match pool.owner(*index) {
            Some((_, owner)) if owner.is_healthy() => Service::Healthy,
            Some((_, owner)) if owner.is_ready() => Service::Broken,
            Some(_) => Service::Owned,
            None => {
                let slot = pool.slots.get(*index);
                let failing = slot.is_some_and(|slot| slot.worker_failures().reason().is_some());
                Service::Vacant { failing }
            }
        });
        pool.slots.set_service(*index, service);
        let vacant = matches!(service, Some(Service::Vacant { .. }));
        // What is due has been looked at, and is again when a standby can be promoted.
        let promotion = promotable_at(pool, *index).filter(|at| vacant && *at > pool.now());
        pool.slots.expect_promotion(*index, promotion);
    }
}
