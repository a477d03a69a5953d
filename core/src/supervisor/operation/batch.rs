//! From one batch to the next.
//!
//! ```text
//! Starting ─→ Swapping ─→ Between ─(the old workers of the batch are gone)─→ Starting ─→ … ─→ Swapping ─→ the operation ends
//!    │            │          │                                                  │
//!    └────────────┴──────────┴──(a new worker fails)────────────────────────────┴─→ the former generation is in force again,
//!                                                                                    and the same begins with its workers
//! ```
//!
//! Before the first batch has taken over, a failure changes nothing. A batch waits until the old workers of the one before are
//! gone, so that there are never more than the full set, one batch, and those who take longer than they are waited for (`batches::PATIENCE`).

use crate::id::WorkerId;
use crate::state::{BatchesRecord, DeployRecord};
use crate::supervisor::generation::Generation;
use crate::supervisor::goal::Desired;
use crate::supervisor::pool::Pool;

use super::batches::{self, Batches, Former, Leaving, Undoing};
use super::deployment::{Deployment, OldWorkers};
use super::rollout::Rollout;
use super::{Kind, Operations, Progress, Requester, go_back, replace, retirement};

/// Those who leave are gone, or are not waited for any longer: the next batch begins, if there is one.
pub(super) fn next(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    mut rollout: Rollout,
    leaving: Leaving,
) -> Progress {
    let turn = rollout.batches.as_mut().map(|batches| {
        note_stragglers(pool, batches, leaving);
        batches::turn(pool, &rollout.desired, &rollout.generation, batches.size)
    });
    match turn {
        Some(turn) if !turn.places.is_empty() => {
            replace::begin_batch(pool, operations, kind, requesters, rollout, turn);
            Progress::GoesOn
        }
        Some(_) | None => replace::commit(pool, operations, kind, requesters, rollout),
    }
}

/// Those who take longer finish beside the next batches, as long as they are not of too many batches.
fn note_stragglers(pool: &mut Pool, batches: &mut Batches, leaving: Leaving) {
    if !leaving.workers.is_empty() {
        tracing::warn!(
            "{} old workers of a batch have not finished in time; the next batch begins beside them",
            leaving.workers.len()
        );
        batches.stragglers.push(leaving.workers);
    }
    let gone = |id: &WorkerId| pool.workers.get(*id).is_none_or(|worker| worker.is_gone());
    for set in &mut batches.stragglers {
        set.retain(|id| !gone(id));
    }
    batches.stragglers.retain(|set| !set.is_empty());
    retirement::hasten_oldest(pool, batches.stragglers.iter());
}

/// Goes on where an earlier daemon has died, if the first batch had taken over.
pub(in crate::supervisor) fn go_on(
    pool: &mut Pool,
    operations: &mut Operations,
    record: &BatchesRecord,
    deploy: Option<&DeployRecord>,
) {
    let BatchesRecord { what, size, former, former_release, slots, standby, back } = record.clone();
    if back.is_none() && pool.generation.number == former || !pool.is_serving() {
        return;
    }
    let kind = Kind::replacing(&what);
    let former = Former {
        generation: Generation { number: former, release: former_release },
        desired: Desired { slots, standby, ..pool.desired.clone() },
        config: pool.config.clone(),
    };
    let ending = if back.is_some() { "is rolled back" } else { "goes on" };
    let note = format!(
        "{what} was interrupted by the end of an earlier daemon in the middle of its batches; it {ending}"
    );
    tracing::warn!("{note}");
    operations.set_note(Some(note));
    if kind == Kind::Deploy {
        let link = deploy.filter(|_| back.is_none()).and_then(|DeployRecord { link, .. }| link.clone());
        operations.deployment = Some(Deployment {
            watch: std::time::Duration::ZERO,
            link,
            swapped: true,
            old: OldWorkers::Gone,
            health: None,
            migration: None,
        });
    }
    let attempts = pool.config.options.max_start_attempts.get();
    let back = back.map(|reason| Undoing { errors: vec![reason], failed: Vec::new() });
    let batches = Batches { back, ..Batches::new(size, attempts, former) };
    go_back::go_on(pool, operations, kind, Vec::new(), batches);
}
