//! What is in force: the configuration, what ought to be, and the generation.

use std::sync::Arc;

use crate::config::{Config, StopSignal};
use crate::supervisor::pool::{Pool, counting, health, limits};
use crate::supervisor::worker::Worker;
use crate::wire::ToWorker;

use super::batches::Former;

/// Whether running workers differ from those that the new configuration would start.
pub(super) fn needs_new_workers(old: &Config, new: &Config) -> bool {
    old.program != new.program
        || old.env != new.env
        || old.env_files != new.env_files
        || old.socket_file != new.socket_file
        || old.log.is_some() != new.log.is_some()
        || old.options.stdout != new.options.stdout
        || old.options.stderr != new.options.stderr
        || old.options.listen != new.options.listen
        || old.options.ready != new.options.ready
}

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
    if before.options.stop_signal != pool.config.options.stop_signal
        && !needs_new_workers(before, &pool.config)
    {
        correct_stop_signal(pool, before.options.stop_signal);
    }
    pool.remember_names(&before.socket_file);
    if pool.config.limits != before.limits {
        limits::watch_all(pool);
    }
    former
}

/// What was said before of the program that workers run, and that goes on, was wrong. One that is on its way out may have got the
/// signal already.
fn correct_stop_signal(pool: &mut Pool, before: StopSignal) {
    let signal = pool.config.options.stop_signal;
    for id in pool.workers.ids() {
        let concerned = |worker: &Worker| !worker.is_retired() && worker.start().stop_signal == before;
        if pool.workers.get(id).is_some_and(concerned) {
            pool.workers.change(id, |worker| worker.stops_by(signal));
        }
    }
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
