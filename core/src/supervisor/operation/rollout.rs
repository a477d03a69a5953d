//! A set of new workers that boot together and take over together, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::Config;
use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::generation::Generation;
use crate::supervisor::goal::Desired;
use crate::supervisor::pool::Pool;
use crate::supervisor::worker::Place;
use crate::wire::FailedWorker;

use super::batches::Batches;

/// What is being rolled out.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Rollout {
    /// Its workers, in the order in which they were asked for.
    pub(super) workers: Vec<PendingWorker>,
    /// They start suspended.
    pub suspended: bool,
    /// Whether all other workers go when it is committed, or only surplus ones.
    pub replaces: bool,
    /// What ought to be, from then on.
    pub desired: Desired,
    /// The configuration that is in force from then on.
    pub config: Arc<Config>,
    /// The generation that is in force from then on.
    pub generation: Generation,
    /// Workers that could not be started.
    pub(super) failed: Vec<FailedWorker>,
    /// Where its workers are replaced in batches, how far that is. `workers` are those of one batch then.
    pub(super) batches: Option<Box<Batches>>,
}

/// A place and the worker that is to take it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PendingWorker {
    pub place: Place,
    pub worker: WorkerId,
    pub attempts_left: u32,
}

/// What is being swapped.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::supervisor) struct Swap {
    /// Slots whose link is under way.
    pub(super) pending: BTreeSet<SlotIndex>,
    /// Who owned each slot before.
    pub(super) before: BTreeMap<SlotIndex, WorkerId>,
    /// Whom the links of slots without an owner named before.
    pub(super) neighbours: BTreeMap<SlotIndex, WorkerId>,
    /// Why it has to be swapped back.
    pub(super) failure: Option<String>,
}

impl Rollout {
    pub(super) fn slots(&self) -> impl Iterator<Item = (SlotIndex, WorkerId)> + '_ {
        self.workers.iter().filter_map(|pending| match pending.place {
            Place::Slot(slot) => Some((slot, pending.worker)),
            Place::Standby => None,
        })
    }

    /// How many of its workers are to be standbys.
    pub(super) fn standbys(&self) -> usize {
        self.workers.iter().filter(|pending| pending.place == Place::Standby).count()
    }

    /// Its workers, of whatever batch, have taken over, and others have not been replaced yet; or earlier ones are rolled back.
    pub(super) fn has_begun(&self, pool: &Pool) -> bool {
        let began =
            |batches: &Batches| batches.back.is_some() || pool.generation.number == self.generation.number;
        self.batches.as_deref().is_some_and(began)
    }

    /// All workers are ready, and no link is under way for another reason.
    pub fn can_swap(&self, pool: &Pool) -> bool {
        let ready = pool.workers.joining_healthy();
        (ready == self.workers.len() || defect!(SwapBeforeAllOnline) && ready > 0) && pool.slots.is_at_rest()
    }
}

impl Swap {
    /// All links have been swapped, or could not be.
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty()
    }

    /// Why it has to be swapped back.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub fn into_failure(self) -> Option<String> {
        self.failure
    }
}
