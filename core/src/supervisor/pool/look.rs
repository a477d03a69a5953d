//! What the passes have to look at.
//!
//! After every event the passes of the supervisor bring what is closer to what ought to be. They would find the same
//! work if they looked at every slot and every worker each time; [`Look`] spares them what cannot have changed since
//! they looked last. Whoever changes a table notes there what the change may concern. A change of what ought to be
//! concerns everything.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Config;
use crate::id::SlotIndex;
use crate::supervisor::goal::{Desired, Life};

use super::Pool;

/// What ought to be, when the passes looked last.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Settled {
    goal: Option<(Desired, Life, bool, Arc<Config>)>,
    /// Something about the standbys has changed since.
    standbys: bool,
}

impl Settled {
    /// Standbys may be missing, or too many, for a reason that is not in the workers themselves.
    pub fn touch_standbys(&mut self) {
        self.standbys = true;
    }
}

/// What is to be looked at.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Look {
    /// Slots that have changed, or whose workers have, or whose waiting is over.
    pub slots: BTreeSet<SlotIndex>,
    /// Sockets of the daemon that may not be needed any more.
    pub listeners: BTreeSet<String>,
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
        pool.settled.standbys |= pool.standby_failures.retry_at().is_some_and(|at| at <= now);
        look.renew(pool, swapping);
        look
    }

    /// Begins again with all that was touched up to now.
    pub fn renew(&mut self, pool: &mut Pool, swapping: bool) {
        notice(pool, swapping);
        self.slots.extend(pool.slots.take_touched());
        self.listeners.extend(pool.listeners.take_touched());
        self.standbys |= std::mem::take(&mut pool.settled.standbys);
        self.add_listeners_of_slots(pool);
    }

    /// Adds what was touched since, and leaves that to the next round as well.
    pub fn extend(&mut self, pool: &mut Pool, swapping: bool) {
        notice(pool, swapping);
        self.slots.extend(pool.slots.touched().iter().copied());
        self.standbys |= pool.settled.standbys;
        let listeners = pool.listeners.take_touched();
        pool.listeners.touch(listeners.iter().cloned());
        self.listeners.extend(listeners);
        self.add_listeners_of_slots(pool);
    }

    fn add_listeners_of_slots(&mut self, pool: &Pool) {
        if !pool.listeners.is_empty() {
            let names = self.slots.iter().flat_map(|slot| pool.listeners.of(*slot));
            self.listeners.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
}

/// Notes for slots, standbys and sockets what changes of workers and of the goal mean to them.
fn notice(pool: &mut Pool, swapping: bool) {
    let touched = pool.workers.touched();
    let slots = std::mem::take(&mut touched.slots);
    let listeners = std::mem::take(&mut touched.listeners);
    let standbys = std::mem::take(&mut touched.standbys);
    let standbys_health = std::mem::take(&mut touched.standbys_health);
    pool.slots.touch(slots);
    // A standby that holds a socket of an earlier daemon may be in the way, depending on who uses that socket.
    let in_the_way = pool.listeners.any_foreign() && !pool.slots.touched().is_empty();
    pool.settled.standbys |= standbys || in_the_way;
    if !listeners.is_empty() {
        pool.settled.standbys = true;
        pool.listeners.touch(listeners);
    }
    if standbys_health {
        let unwell = pool.slots.unwell().clone();
        pool.slots.touch(unwell);
    }
    let same = pool.settled.goal.as_ref().is_some_and(|(desired, life, swapped, config)| {
        *desired == pool.desired
            && *life == pool.life
            && *swapped == swapping
            && Arc::ptr_eq(config, &pool.config)
    });
    if !same {
        pool.settled.goal = Some((pool.desired, pool.life, swapping, Arc::clone(&pool.config)));
        pool.settled.standbys = true;
        pool.slots.touch_all(pool.desired.slots);
        pool.listeners.touch_all();
    }
}
