//! A suspension that nobody has ended in time is ended, as whoever asked for it has said (`restart --suspended --for`).

use crate::expiry::{Ending, Expiry};
use crate::release::Release;
use crate::supervisor::goal::Suspension;
use crate::supervisor::pool::Pool;
use crate::supervisor::timer::Timer;
use crate::time::Time;

use super::replace::roll_out;
use super::{Kind, Operations, Phase, plan, resume};

/// Has the time begin, as soon as nothing is in progress.
pub(in crate::supervisor) fn begin(pool: &mut Pool, operations: &Operations) {
    let now = pool.now();
    if !waits(pool, operations) || defect!(SuspensionNeverExpires) {
        return;
    }
    if let Some(Suspension { expiry: Some(expiry), ends: ends @ None, .. }) = &mut pool.desired.suspension {
        *ends = Some(now + expiry.after);
    }
}

/// When the suspension ends by itself; `None` while something is in progress that may end it.
pub(in crate::supervisor) fn next_deadline(pool: &Pool, operations: &Operations) -> Option<(Time, Timer)> {
    let suspension = pool.desired.suspension.as_ref().filter(|_| waits(pool, operations))?;
    suspension.ends.map(|at| (at, Timer::Suspension))
}

/// Ends the suspension, if it has lasted as long as it may.
pub(in crate::supervisor) fn expire(pool: &mut Pool, operations: &mut Operations) {
    let due = next_deadline(pool, operations).is_some_and(|(at, _)| at <= pool.now());
    if due && let Some(Suspension { former, expiry: Some(expiry), .. }) = pool.desired.suspension.clone() {
        end(pool, operations, former, expiry);
    }
}

fn end(pool: &mut Pool, operations: &mut Operations, former: Option<Release>, expiry: Expiry) {
    let lasted = expiry.after.as_secs_f64();
    tracing::warn!("nobody has ended the suspension within {lasted} s (--for): {} now", expiry.then);
    match expiry.then {
        Ending::Resume => {
            let confirmations = resume::lift(pool);
            operations.enter(pool, Kind::Resume, Vec::new(), Phase::Resuming(confirmations));
        }
        Ending::Rollback => {
            let plan = plan::replace_all(pool, None);
            let generation = pool.next_generation(former);
            roll_out(pool, operations, Kind::Rollback, Vec::new(), plan, generation);
        }
    }
}

/// Nothing is in progress that may end the suspension.
fn waits(pool: &Pool, operations: &Operations) -> bool {
    pool.is_serving() && operations.is_idle()
}
