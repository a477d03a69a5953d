//! What to roll out, before its workers are started.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::config::Config;
use crate::id::SlotIndex;
use crate::supervisor::goal::{Desired, Suspension};
use crate::supervisor::pool::Pool;
use crate::supervisor::worker::Place;

/// What to roll out.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Plan {
    /// Who is started.
    pub places: Vec<Place>,
    pub suspended: bool,
    /// How often the start of each worker is tried.
    pub attempts: u32,
    /// All other workers go.
    pub replaces: bool,
    /// How many new workers there may be beside the full set meanwhile, if not all of them.
    pub batch: Option<NonZeroU32>,
    /// What ought to be, and by which configuration, when it has succeeded.
    pub desired: Desired,
    pub config: Arc<Config>,
}

/// Everybody is replaced at once, by what the configuration in force says. The new workers are suspended if there is a `suspension`.
pub(super) fn replace_all(pool: &Pool, suspension: Option<Suspension>) -> Plan {
    Plan {
        places: all_places(pool.desired.slots, pool.desired.standby),
        suspended: suspension.is_some(),
        attempts: pool.config.options.max_start_attempts.get(),
        replaces: true,
        batch: None,
        desired: Desired { running: true, suspension, ..pool.desired.clone() },
        config: Arc::clone(&pool.config),
    }
}

/// All places of `slots` slots and `standby` standbys.
pub(in crate::supervisor) fn all_places(slots: u32, standby: u32) -> Vec<Place> {
    let slots = (0..slots).map(|slot| Place::Slot(SlotIndex(slot)));
    slots.chain((0..standby).map(|_| Place::Standby)).collect()
}
