//! A suspension that nobody has ended in time is ended, as whoever asked for it has said (`restart --suspended --for`).

use std::sync::Arc;

use crate::expiry::Ending;
use crate::supervisor::goal::{Desired, Suspension};
use crate::supervisor::pool::Pool;

use super::plan::{Plan, all_places};
use super::replace::roll_out;
use super::{Kind, Operations, Phase, resume};

/// Ends the suspension, if it has lasted as long as it may.
pub(in crate::supervisor) fn expire(pool: &mut Pool, operations: &mut Operations) {
    if !operations.is_idle() || !pool.is_serving() {
        return;
    }
    let now = pool.now();
    let Some(suspension) = pool.desired.suspension.clone().filter(|it| it.ends.is_some_and(|at| at <= now))
    else {
        return;
    };
    let Suspension { former, expiry: Some(expiry), .. } = suspension else { return };
    let lasted = expiry.after.as_secs_f64();
    tracing::warn!("nobody has ended the suspension within {lasted} s (--for): {} now", expiry.then);
    match expiry.then {
        Ending::Resume => {
            let confirmations = resume::lift(pool);
            operations.enter(pool, Kind::Resume, Vec::new(), Phase::Resuming(confirmations));
        }
        Ending::Rollback => {
            let Desired { slots, standby, .. } = pool.desired;
            let plan = Plan {
                places: all_places(slots, standby),
                suspended: false,
                attempts: pool.config.options.max_start_attempts.get(),
                replaces: true,
                batch: None,
                desired: Desired { suspension: None, ..pool.desired.clone() },
                config: Arc::clone(&pool.config),
            };
            let generation = pool.next_generation(former);
            roll_out(pool, operations, Kind::Rollback, Vec::new(), plan, generation);
        }
    }
}
