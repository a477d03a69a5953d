//! Where workers' output goes: the sink, the log that it writes, and what each line in that is labelled with.

use crate::action::Route;
use crate::config::{Config, Log};
use crate::event::Failure;
use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::goal::Life;
use crate::supervisor::sink::stderr_route;

use super::Pool;

/// Orders the sink, if output goes there.
pub(in crate::supervisor) fn order_sink(pool: &mut Pool) {
    if pool.life != Life::Serving {
        pool.sink.want_no_more();
    } else if let Route::Sink(_) = stderr_route(&pool.config, &pool.daemon) {
        pool.sink.want(&mut pool.effects, pool.config.log.as_ref());
    }
    pool.sink.order(&mut pool.effects);
}

/// A worker is about to be started under `config`. Returns the way of its standard error.
pub(in crate::supervisor) fn expect(pool: &mut Pool, config: &Config) -> Route {
    let stderr = stderr_route(config, &pool.daemon);
    if let Route::Sink(_) = stderr {
        // As long as it is not certain that these settings stay, those in force hold for all workers.
        pool.sink.want(&mut pool.effects, log_in_force(pool.config.log.as_ref(), config));
    }
    stderr
}

fn log_in_force<'a>(log: Option<&'a Log>, config: &'a Config) -> Option<&'a Log> {
    log.or(config.log.as_ref())
}

/// The lines of this worker are of this slot from now on.
pub(in crate::supervisor) fn label(pool: &mut Pool, id: WorkerId, slot: SlotIndex) {
    if !defect!(OutputNotLabelled) {
        pool.sink.label(&mut pool.effects, id, slot);
    }
}

/// The sink was started, or could not be.
pub(in crate::supervisor) fn sink_started(pool: &mut Pool, result: Result<(), Failure>) {
    pool.sink.started(pool.effects.now(), result);
    let labels = pool.workers.iter().filter_map(|(id, worker)| Some((id, worker.slot()?)));
    for (id, slot) in labels.collect::<Vec<_>>() {
        pool.sink.label(&mut pool.effects, id, slot);
    }
}

/// The sink reads all pipes, by a program of this version.
pub(in crate::supervisor) fn sink_ready(pool: &mut Pool, version: &str) {
    let ours = version == pool.daemon.version;
    pool.sink.ready(&mut pool.effects, ours);
}
