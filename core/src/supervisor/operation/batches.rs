//! A rollout that is done in batches: how far it is, and whom the next batch replaces.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::id::{SlotIndex, WorkerId};
use crate::supervisor::generation::Generation;
use crate::supervisor::goal::Desired;
use crate::supervisor::pool::Pool;
use crate::supervisor::worker::{Place, Role, Worker};
use crate::time::Time;
use crate::wire::{BatchStatus, FailedWorker};

/// For how long a batch waits for the old workers of the one before to be gone: longer than they may take by the default
/// `options.drainTimeout` and `options.shutdownTimeout`. Those that take longer finish beside the next batches.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How far a rollout is that is done in batches.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Batches {
    /// How many new workers there may be beside the full set.
    pub size: NonZeroU32,
    /// Which batch it is, counted from 1.
    pub number: u32,
    /// How many there are, as far as that could be told when this one began.
    pub of: u32,
    /// How often the start of each worker is tried.
    pub attempts: u32,
    /// What was in force before the first batch.
    pub former: Former,
    /// Why workers of the former generation are being started again, if they are.
    pub back: Option<Undoing>,
    /// Old workers of earlier batches that were not gone in time, a set for each batch, the oldest first.
    pub stragglers: Vec<BTreeSet<WorkerId>>,
}

/// What was in force before an operation.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Former {
    pub generation: Generation,
    pub desired: Desired,
    pub config: Arc<Config>,
}

/// Why earlier batches are rolled back.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::supervisor) struct Undoing {
    pub errors: Vec<String>,
    pub failed: Vec<FailedWorker>,
}

/// What the next batch waits for.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Leaving {
    /// Old workers whose process is not gone.
    pub(super) workers: BTreeSet<WorkerId>,
    /// When they are not waited for any longer.
    pub(super) until: Time,
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Turn {
    /// The places of the next batch.
    pub places: Vec<Place>,
    /// How many batches follow that one.
    pub ahead: u32,
}

impl Former {
    /// What is in force now.
    pub fn of(pool: &Pool) -> Self {
        Self {
            generation: pool.generation.clone(),
            desired: pool.desired.clone(),
            config: Arc::clone(&pool.config),
        }
    }
}

impl Batches {
    /// Before the first batch.
    pub fn new(size: NonZeroU32, attempts: u32, former: Former) -> Self {
        let (number, of, back, stragglers) = Default::default();
        Self { size, number, of, attempts, former, back, stragglers }
    }

    /// Another batch begins.
    pub fn begin(&mut self, turn: &Turn) {
        self.number += 1;
        self.of = self.number + turn.ahead;
    }

    pub fn status(&self) -> BatchStatus {
        BatchStatus { number: self.number, of: self.of, back: self.back.is_some() }
    }
}

/// Whose turn it is to be replaced by workers of `generation`, `size` at a time. What is vacant is not beside the full set.
pub(super) fn turn(pool: &Pool, desired: &Desired, generation: &Generation, size: NonZeroU32) -> Turn {
    let size = usize::try_from(size.get()).unwrap_or(usize::MAX);
    // Where that is in force already, what is vacant is filled without an operation.
    let in_force = pool.generation.number == generation.number && pool.is_serving();
    let mut turn = Turn::default();
    let mut outdated = Vec::new();
    let places = (0..desired.slots).map(|slot| (Place::Slot(SlotIndex(slot)), 1));
    for (place, wanted) in places.chain([(Place::Standby, desired.standby)]) {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let (new, old) = count(pool, place, generation);
        let open = wanted.saturating_sub(new);
        outdated.extend(std::iter::repeat_n(place, open.min(old)));
        let vacant = open.saturating_sub(old);
        turn.places.extend(std::iter::repeat_n(place, if in_force { 0 } else { vacant }));
    }
    let later = outdated.split_off(size.min(outdated.len()));
    turn.places.extend(outdated);
    turn.places.sort();
    turn.ahead = u32::try_from(later.len().div_ceil(size)).unwrap_or(u32::MAX);
    turn
}

/// How many workers of `generation` hold this place, and how many others.
fn count(pool: &Pool, place: Place, generation: &Generation) -> (usize, usize) {
    let alive = pool.workers.holding(place).filter(|(_, worker)| stays(worker));
    let (new, old): (Vec<_>, Vec<_>) = alive.partition(|(_, worker)| is_of(worker, generation));
    (new.len(), old.len())
}

fn stays(worker: &Worker) -> bool {
    worker.process().is_some() || worker.is_coming()
}

fn is_of(worker: &Worker, generation: &Generation) -> bool {
    worker.start().generation == generation.number
}

/// Those whose places the workers of a batch have taken: of the standbys, as many as there are too many now.
pub(super) fn replaced(
    pool: &Pool,
    batch: &BTreeSet<WorkerId>,
    slots: impl IntoIterator<Item = SlotIndex>,
    generation: &Generation,
) -> BTreeSet<WorkerId> {
    let of_slots = slots.into_iter().flat_map(|slot| pool.workers.holding(Place::Slot(slot)));
    let of_slots = of_slots.filter(|(id, _)| !batch.contains(id));
    let standbys = pool.workers.holding(Place::Standby).filter(|(_, worker)| stays(worker));
    let surplus = standbys.clone().count().saturating_sub(pool.desired.standbys());
    let outdated = standbys.filter(|(_, worker)| !is_of(worker, generation)).take(surplus);
    of_slots.chain(outdated).map(|(id, _)| id).collect()
}

/// Workers of another generation that hold a place.
pub(super) fn outdated(pool: &Pool, generation: &Generation) -> Vec<(WorkerId, Option<SlotIndex>)> {
    let outdated = |(id, worker): (WorkerId, &Worker)| {
        let holds = matches!(worker.role(), Role::Holding(_)) && stays(worker) && !is_of(worker, generation);
        holds.then(|| (id, worker.slot()))
    };
    pool.workers.iter().filter_map(outdated).collect()
}

/// Waits for all workers that have been retired, except those of earlier operations or batches.
pub(super) fn leaving(pool: &Pool, known: impl Fn(WorkerId) -> bool) -> Leaving {
    let leaves = |(id, worker): (WorkerId, &Worker)| (worker.is_retired() && !worker.is_gone()).then_some(id);
    let workers = pool.workers.iter().filter_map(leaves).filter(|id| !known(*id)).collect();
    Leaving { workers, until: pool.now() + PATIENCE }
}
