//! What the passes have to look at.
//!
//! After every event the passes of the supervisor bring what is closer to what ought to be. They would find the same
//! work if they looked at every slot and every worker each time; [`Look`] spares them what cannot have changed since
//! they looked last. Whoever changes a table notes there what the change may concern. A change of what ought to be
//! concerns everything.

use std::collections::BTreeSet;

use crate::id::SlotIndex;
use crate::supervisor::worker::table::Places;

use super::Pool;

/// What is to be looked at.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Look {
    /// Slots that have changed, or whose workers have, or whose waiting is over.
    pub slots: BTreeSet<SlotIndex>,
    /// Sockets of the daemon that have changed, or whose workers have.
    listeners: BTreeSet<String>,
    /// Standbys may be missing, or too many.
    pub standbys: bool,
}

impl Look {
    /// Adds what has changed since the last look. `swapping`: links of a rollout are being swapped.
    ///
    /// What is found now is looked at by this round of passes; what the passes themselves change is looked at by the next
    /// round as well.
    pub fn begin(pool: &mut Pool, swapping: bool) -> Self {
        let mut look = Self::default();
        let now = pool.now();
        let filling = pool.is_serving();
        pool.slots.touch_due(now, filling);
        pool.listeners.touch_due(now);
        if pool.standby_failures.retry_at().is_some_and(|at| at <= now) {
            pool.settled.touch_standbys();
        }
        look.renew(pool, swapping);
        look
    }

    /// Begins again with all that was touched up to now.
    pub fn renew(&mut self, pool: &mut Pool, swapping: bool) {
        notice(pool, swapping);
        self.slots.append(&mut pool.slots.take_touched());
        self.listeners.append(&mut pool.listeners.take_touched());
        self.standbys |= pool.settled.take_standbys();
    }

    /// Adds what was touched since, and leaves that to the next round as well.
    pub fn extend(&mut self, pool: &mut Pool, swapping: bool) {
        notice(pool, swapping);
        self.slots.extend(pool.slots.touched().iter().copied());
        self.standbys |= pool.settled.standbys_touched();
        self.listeners.extend(pool.listeners.touched().iter().cloned());
    }

    /// Sockets of the daemon that may not be needed any more.
    pub fn listeners(&self, pool: &Pool) -> BTreeSet<String> {
        let of_slots = self.slots.iter().flat_map(|slot| pool.listeners.of(*slot));
        self.listeners.iter().cloned().chain(of_slots.map(|(name, _)| name.to_owned())).collect()
    }
}

/// Notes for slots, standbys and sockets what changes of workers and of the goal mean to them.
fn notice(pool: &mut Pool, swapping: bool) {
    let places = pool.workers.touched().take_places();
    notice_workers(pool, places);
    // A standby that holds a socket of an earlier daemon may be in the way, depending on who uses that socket.
    if pool.listeners.any_foreign() && !pool.slots.touched().is_empty() {
        pool.settled.touch_standbys();
    }
    if pool.settled.aim(&pool.desired, pool.life, swapping, &pool.config) {
        pool.settled.touch_standbys();
        pool.slots.touch_all(pool.links());
        pool.listeners.touch_all();
    }
}

/// Notes what changes of workers mean to these places.
fn notice_workers(pool: &mut Pool, places: Places) {
    let Places { slots, standbys, standbys_health, listeners } = places;
    pool.slots.touch(slots);
    // A link of another slot may name such a socket, and lead to a worker that accepts from it, or does not any more.
    listeners.iter().for_each(|socket| pool.slots.touch_naming(socket));
    if standbys || !listeners.is_empty() {
        pool.settled.touch_standbys();
    }
    pool.listeners.touch(listeners);
    if standbys_health {
        let unwell = pool.slots.unwell().clone();
        pool.slots.touch(unwell);
    }
}
