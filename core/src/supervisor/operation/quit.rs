//! Workers that have not finished when a daemon has to quit.

use crate::id::WorkerId;
use crate::supervisor::last_call::LastCall;
use crate::supervisor::pool::{Pool, retire};
use crate::supervisor::worker::{State, Worker};

use super::{Operations, running};

/// Does what is due.
pub(in crate::supervisor) fn hasten(pool: &mut Pool, operations: &mut Operations) {
    let now = pool.now();
    match pool.last_call {
        LastCall::Terminate { at, end } if at <= now => {
            pool.last_call = LastCall::Kill { at: end };
            for id in alive(pool, |state| !matches!(state, State::Terminating { .. } | State::Killed { .. }))
            {
                let why = "has not finished, and the daemon has to quit soon (options.quitTimeout)";
                retire::hasten(pool, id, why);
            }
        }
        LastCall::Kill { at } if at <= now => {
            pool.last_call = LastCall::Unlimited;
            for id in alive(pool, |state| !matches!(state, State::Killed { .. })) {
                retire::kill(pool, id);
            }
            running::kill(pool, operations);
        }
        LastCall::Unlimited | LastCall::Terminate { .. } | LastCall::Kill { .. } => {}
    }
}

/// Workers with a process that are `in_state`.
fn alive(pool: &Pool, in_state: impl Fn(&State) -> bool) -> Vec<WorkerId> {
    let alive = |worker: &Worker| worker.process().is_some() && in_state(worker.state());
    pool.workers.iter().filter_map(|(id, worker)| alive(worker).then_some(id)).collect()
}
