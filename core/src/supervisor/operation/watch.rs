//! The watch over the new workers of a deploy: the old ones are kept without a link, so that the links can name them again.

use std::collections::BTreeSet;

use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::generation::Generation;
use crate::supervisor::pool::{Pool, retire};
use crate::supervisor::worker::Worker;
use crate::time::Time;
use crate::wire::FailedWorker;

use super::batches::Batches;
use super::failure::describe_in_place;

/// The new workers serve and are watched.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Watch {
    /// The new workers, of the last batch if there were several.
    pub(super) new: BTreeSet<WorkerId>,
    /// The old ones that could serve.
    pub(super) kept: BTreeSet<WorkerId>,
    /// The generation of the old ones.
    pub(super) former: Generation,
    /// When the deploy is a success.
    pub(super) until: Time,
    /// Where workers were replaced in batches, how that was done: nobody is kept for the places of earlier batches.
    pub(super) batches: Option<Box<Batches>>,
}

/// The deploy has failed if this worker fails: it is of the new generation, whether it was there when the watch began or has been
/// started since.
pub(super) fn concerns(pool: &Pool, id: WorkerId) -> bool {
    pool.workers.get(id).is_some_and(|worker| worker.start().generation == pool.generation.number)
}

/// A new worker has failed: the links name the old ones again.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Rollback {
    /// Slots whose link is to name an old worker, and does not yet.
    pub(super) pending: BTreeSet<SlotIndex>,
    /// Who has failed, and why.
    pub(super) failed: FailedWorker,
    /// Links that could not be swapped at once.
    pub(super) errors: Vec<String>,
    /// How workers were replaced in batches: earlier ones are rolled back after that.
    pub(super) batches: Option<Box<Batches>>,
}

impl Rollback {
    /// Why, in words.
    pub(super) fn reason(&self) -> String {
        describe_in_place(&self.failed)
    }
}

/// Keeps a worker whose place others have taken. Returns whether it could serve again.
pub(super) fn set_aside(pool: &mut Pool, id: WorkerId) -> bool {
    if defect!(OldWorkersNotKept) || !pool.workers.get(id).is_some_and(Worker::is_healthy) {
        return false;
    }
    pool.workers.change(id, |worker| {
        worker.is_set_aside();
        worker.is_kept()
    })
}

/// The old workers are not needed any more.
pub(super) fn let_go(pool: &mut Pool, watch: &Watch) {
    for id in &watch.kept {
        retire::retire(pool, *id);
    }
}

/// Puts the former generation in force again. Its workers have their places back, and the new ones have to be replaced: what
/// is left is what is always done for such workers. Returns the slots whose link is to name an old worker.
pub(super) fn roll_back(pool: &mut Pool, watch: &Watch) -> BTreeSet<SlotIndex> {
    pool.generation = watch.former.clone();
    let now = pool.now();
    let mut ready = BTreeSet::new();
    for id in &watch.kept {
        if let Some(worker) = pool.workers.get(*id) {
            ready.extend(worker.slot().filter(|_| worker.is_healthy()));
            pool.workers.change(*id, Worker::comes_back);
        }
    }
    let mut pending = BTreeSet::new();
    for id in &watch.new {
        let Some(worker) = pool.workers.get(*id) else { continue };
        let owns = pool.owns_its_slot(*id);
        pending.extend(worker.slot().filter(|slot| owns && ready.contains(slot)));
        if owns && worker.is_ready() {
            pool.workers.change(*id, |worker| worker.becomes_broken(now));
        } else if worker.process().is_some() {
            retire::retire(pool, *id);
        }
    }
    pending
}
