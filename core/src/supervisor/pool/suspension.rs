//! While the app is suspended: what waits for its end is counted, and it is said again and again, so that nobody forgets it.

use std::time::Duration;

use crate::action::Action;
use crate::event::Queue;
use crate::id::WorkerId;
use crate::occurrence::{LongSuspension, Occurrence};
use crate::supervisor::goal::Suspension;
use crate::supervisor::worker::Worker;
use crate::wire::SuspensionStatus;

use super::Pool;
use super::suspension_watch::Waiting;

/// Begins, goes on with or ends the watch over a suspension. `in_progress`: what may end it by itself, in words.
pub(in crate::supervisor) fn follow(pool: &mut Pool, in_progress: Option<&str>) {
    let (now, warning) = (pool.now(), pool.config.options.suspend_warning);
    let Some(suspension) = pool.desired.suspension.as_ref().filter(|_| pool.is_serving()) else {
        pool.suspension_watch.is_over();
        return;
    };
    pool.suspension_watch.goes_on(suspension.since, warning, now);
    if pool.suspension_watch.has_to_be_said(warning, now) {
        say(pool, suspension, in_progress);
        let Suspension { since, by, .. } = suspension.clone();
        let waiting = pool.suspension_watch.total();
        pool.occurs(Occurrence::SuspensionForgotten(LongSuspension { at: now, since, by, waiting }));
    }
    if pool.suspension_watch.has_to_be_counted(now) {
        count(pool);
    }
}

fn say(pool: &Pool, suspension: &Suspension, in_progress: Option<&str>) {
    let Suspension { since, by, expiry, ends, .. } = suspension;
    let minutes = |time: Duration| time.as_secs_f64() / 60.0;
    let lasted = minutes(pool.now().since(*since));
    let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let waiting = pool.suspension_watch.total();
    let way_out = match (in_progress, expiry, ends) {
        (Some(words), ..) => format!("{words} is in progress"),
        (None, Some(expiry), Some(at)) => {
            format!("if nobody ends that, {} in {:.1} min", expiry.then, minutes(at.since(pool.now())))
        }
        (None, ..) => {
            "`nodesockd resume` lets them through, `nodesockd restart` replaces the suspended workers".into()
        }
    };
    tracing::warn!(
        "the app has been suspended for {lasted:.1} min{by}, and {waiting} requests wait: {way_out}"
    );
}

/// The suspension is about to end: what waits is counted once more, for the history.
pub(in crate::supervisor) fn count_last(pool: &mut Pool) {
    let owners = pool.suspended_owners();
    pool.suspension_watch.expects(&owners);
    count(pool);
}

/// Asks the kernel how much waits for each suspended worker that serves a slot.
fn count(pool: &mut Pool) {
    let owners = pool.suspended_owners();
    pool.suspension_watch.retain(&owners);
    for worker in owners {
        let socket = pool.workers.get(worker).and_then(Worker::socket).map(ToString::to_string);
        if let Some(socket) = socket {
            pool.effects.order(Action::CountWaiting { worker, socket });
        }
    }
}

/// The kernel told how many connections wait in the accept queue of a suspended worker.
pub(in crate::supervisor) fn counted(pool: &mut Pool, id: WorkerId, queue: &Queue) {
    let was_full = waiting(pool, id).map(|waiting| waiting.counted(queue));
    if let (Some(false), Queue::Full(length)) = (was_full, queue) {
        tracing::warn!(
            worker = %id.short(),
            "{length} connections wait for the suspended worker, and no more fit into its accept queue: nginx answers \
             further requests with 502; `nodesockd resume` lets them through, a higher net.core.somaxconn makes room"
        );
    }
}

/// A suspended worker said how many requests it holds; one that was resumed, how many it held.
pub(in crate::supervisor) fn holds(pool: &mut Pool, id: WorkerId, held: u32) {
    let lasts = pool.desired.is_suspended();
    if let Some(waiting) = waiting(pool, id) {
        waiting.held = if lasts { held } else { held.max(waiting.held) };
    }
}

/// What waits for the worker, if it is suspended and serves a slot; or what waited when the suspension ended.
fn waiting(pool: &mut Pool, id: WorkerId) -> Option<&mut Waiting> {
    if !pool.desired.is_suspended() {
        return pool.suspension_watch.released_mut(id);
    }
    let suspended = pool.workers.get(id).is_some_and(Worker::is_suspended) && pool.owns_its_slot(id);
    suspended.then(|| pool.suspension_watch.waiting_mut(id)).flatten()
}

/// What `status` says of the suspension.
pub(in crate::supervisor) fn status(pool: &Pool) -> Option<SuspensionStatus> {
    let Suspension { since, by, expiry, ends, .. } = pool.desired.suspension.clone()?;
    let slots = pool.suspension_watch.full().filter_map(|id| pool.workers.get(id)?.slot());
    Some(SuspensionStatus {
        since,
        by,
        waiting: pool.suspension_watch.total(),
        full: slots.collect(),
        ends: ends.zip(expiry.map(|expiry| expiry.then)),
    })
}
