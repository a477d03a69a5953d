//! What is in force: the configuration, what ought to be, and the generation.

use std::sync::Arc;

use crate::supervisor::pool::{Pool, counting, health, limits};
use crate::supervisor::worker::Worker;
use crate::wire::ToWorker;

use super::batches::Former;

/// Puts these in force. Returns those that were.
pub(super) fn put(pool: &mut Pool, new: Former) -> Former {
    let Former { generation, desired, config } = new;
    let former = Former {
        generation: std::mem::replace(&mut pool.generation, generation),
        desired: std::mem::replace(&mut pool.desired, desired),
        config: std::mem::replace(&mut pool.config, config),
    };
    let before = &former.config;
    if Arc::ptr_eq(before, &pool.config) {
        return former;
    }
    if before.health != pool.config.health || before.dev_server != pool.config.dev_server {
        health::begin_all(pool);
    }
    if before.metrics != pool.config.metrics {
        counting::tell_all(pool);
    }
    pool.remember_names(&before.socket_file);
    if pool.config.limits != before.limits {
        limits::watch_all(pool);
    }
    former
}

/// Tells all workers the name of the app.
pub(super) fn tell_name(pool: &mut Pool) {
    for worker in pool.workers.ids() {
        if pool.workers.get(worker).is_some_and(Worker::is_reachable) {
            let name = pool.config.name.clone();
            pool.tell(worker, ToWorker::SetName { name });
        }
    }
}
