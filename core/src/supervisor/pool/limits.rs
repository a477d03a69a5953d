//! Workers that are well and have come to a limit: they are replaced as if they had asked for it, one at a time.

use std::time::Duration;

use crate::action::Action;
use crate::event::{Failure, Memory};
use crate::history::What;
use crate::id::WorkerId;
use crate::supervisor::worker::limits::Looks;
use crate::supervisor::worker::{Place, Role, Worker};

use super::{Pool, retire};

/// How often the memory of a worker is measured, where that has a limit.
const MEASURED_EVERY: Duration = Duration::from_secs(10);

/// Watches a worker that is ready.
pub(in crate::supervisor) fn watch(pool: &mut Pool, id: WorkerId) {
    let (now, limits) = (pool.now(), pool.config.limits.clone());
    // Not all at the same moment.
    let first = MEASURED_EVERY / 1000 * id.lot(1000);
    let memory = limits.memory.map(|_| now + first);
    if let Some(ready) = pool.workers.known(id).ready_at() {
        let age = limits.age.map(|age| ready + younger(age.0, id));
        pool.workers.change(id, |worker| worker.set_looks(Looks { age, memory }));
    }
}

/// Watches all workers, by the configuration in force.
pub(in crate::supervisor) fn watch_all(pool: &mut Pool) {
    pool.workers.ids().into_iter().for_each(|id| watch(pool, id));
}

/// An age less up to a tenth: workers that started together do not go together.
fn younger(age: Duration, id: WorkerId) -> Duration {
    age - age / 10_000 * id.lot(1000)
}

/// A worker is too old.
pub(in crate::supervisor) fn outlived(pool: &mut Pool, id: WorkerId) {
    pool.workers.change(id, |worker| worker.set_looks(Looks { age: None, ..worker.looks() }));
    if let Some(age) = pool.config.limits.age {
        let hours = age.0.as_secs() / 3600;
        let age = if hours > 0 { format!("{hours} h") } else { format!("{} s", age.0.as_secs()) };
        pool.over_limit.waiting.insert(id, format!("it has reached the age of {age} (limits.age)"));
    }
}

/// It is time to measure the memory of a worker.
pub(in crate::supervisor) fn measure(pool: &mut Pool, id: WorkerId) {
    pool.workers.change(id, |worker| worker.set_looks(Looks { memory: None, ..worker.looks() }));
    if let Some(process) = pool.workers.get(id).and_then(Worker::process) {
        pool.effects.order(Action::MeasureMemory { worker: id, process });
    }
}

/// The memory of a worker was measured.
pub(in crate::supervisor) fn measured(pool: &mut Pool, id: WorkerId, result: Result<Memory, Failure>) {
    let limit = pool.config.limits.memory;
    let next = limit.map(|_| pool.now() + MEASURED_EVERY);
    pool.workers.change(id, |worker| worker.set_looks(Looks { memory: next, ..worker.looks() }));
    if let (Some(limit), Ok(Memory { resident, room })) = (limit, result)
        && resident > limit.bytes(room)
        && !defect!(LimitIgnored)
    {
        let (has, may) = (resident >> 20, limit.bytes(room) >> 20);
        let reason = format!("it has {has} MiB of memory and may have {may} MiB (limits.memory)");
        pool.over_limit.waiting.insert(id, reason);
    }
}

/// Begins to replace the next worker, if nothing else is in progress (`calm`), every slot is served well, and the one before
/// is gone. Who waits may have lost its place since, or have it again.
pub(in crate::supervisor) fn replace_next(pool: &mut Pool, calm: bool) {
    let busy =
        pool.over_limit.leaving.and_then(|id| pool.workers.get(id)).is_some_and(|worker| !worker.is_gone());
    let well = calm && pool.is_serving() && !pool.desired.is_suspended() && pool.slots.unwell().is_empty();
    if !busy
        && well
        && let Some((id, reason)) = pool.over_limit.waiting.pop_first()
    {
        replace(pool, id, &reason);
    }
}

fn replace(pool: &mut Pool, id: WorkerId, reason: &str) {
    let place = match pool.workers.get(id).filter(|worker| worker.is_healthy()).map(Worker::role) {
        Some(Role::Holding(place)) => place,
        Some(Role::Joining(_) | Role::Kept(_) | Role::Retired { .. }) | None => return,
    };
    tracing::info!(worker = %id.short(), "worker is replaced: {reason}");
    pool.note(id, What::Limit, reason);
    pool.over_limit.leaving = Some(id);
    let now = pool.now();
    match place {
        Place::Standby => retire::retire(pool, id),
        Place::Slot(slot) => {
            pool.slots.change(slot, |slot| slot.worker_worn(now, reason));
            pool.workers.change(id, |worker| worker.becomes_broken(now));
        }
    }
}
