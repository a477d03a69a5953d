//! What is left of an operation once its new workers serve: old workers that finish what they have begun, and people who
//! wait for their end. The next operation may begin meanwhile.

use std::collections::BTreeSet;

use crate::handoff::{RequesterRecord, RetirementRecord};
use crate::id::WorkerId;
use crate::supervisor::pool::{Pool, retire};
use crate::supervisor::requests::Requests;
use crate::supervisor::worker::{State, Worker};

use super::kind::Kind;
use super::requester::{Requester, audience, done};

/// Old workers that leave, and who waits for that.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Retirement {
    /// What it is left of, in the middle of a sentence.
    pub what: String,
    pub requesters: Vec<Requester>,
    /// Whose process is not gone yet.
    pub leaving: BTreeSet<WorkerId>,
}

/// The new workers of an operation serve; `leaving` finish beside whatever comes next, as do those of earlier operations, which
/// are waited for already.
pub(super) fn begin(
    pool: &mut Pool,
    retirements: &mut Vec<Retirement>,
    kind: Kind,
    requesters: Vec<Requester>,
    mut leaving: BTreeSet<WorkerId>,
) {
    leaving.retain(|id| !retirements.iter().any(|earlier| earlier.leaving.contains(id)));
    let (until_swap, requesters): (Vec<_>, Vec<_>) =
        requesters.into_iter().partition(|requester| requester.until_swap);
    until_swap.into_iter().for_each(|requester| done(pool, requester));
    let what = kind.words();
    match leaving.len() {
        0 => return complete(pool, what, requesters),
        1 => tracing::info!("{what}: the new workers serve, 1 old worker finishes"),
        count => tracing::info!("{what}: the new workers serve, {count} old workers finish"),
    }
    let retirement = Retirement { what: what.to_owned(), requesters, leaving };
    retirement.tell_progress(&mut pool.requests);
    retirements.push(retirement);
}

impl Retirement {
    /// From now on, those who wait and want to be told are told what becomes of the old workers.
    pub fn tell_progress(&self, requests: &mut Requests) {
        let audience = audience(&self.requesters);
        for worker in self.leaving.iter().filter(|_| !audience.is_empty()) {
            requests.watch(*worker, &audience);
        }
    }
}

/// Goes on with all retirements. `gone`: workers whose process is gone since this was called last.
pub(super) fn advance(pool: &mut Pool, retirements: &mut Vec<Retirement>, gone: &[WorkerId]) {
    for retirement in &mut *retirements {
        for id in gone {
            retirement.leaving.remove(id);
        }
    }
    let over = |retirement: &mut Retirement| retirement.leaving.is_empty() || defect!(CompleteBeforeOldGone);
    for Retirement { what, requesters, .. } in retirements.extract_if(.., over) {
        complete(pool, &what, requesters);
    }
    hasten_oldest(pool, retirements.iter().map(|retirement| &retirement.leaving));
}

/// Hastens the oldest sets of old workers, as far as there are more than may finish (`options.retiring`). `sets`: the oldest first.
pub(super) fn hasten_oldest<'a>(
    pool: &mut Pool,
    sets: impl ExactSizeIterator<Item = &'a BTreeSet<WorkerId>>,
) {
    let most = usize::try_from(pool.config.options.retiring.get()).unwrap_or(usize::MAX);
    let oldest = sets.len().saturating_sub(most);
    for id in sets.take(oldest).flatten() {
        hasten(pool, *id);
    }
}

fn complete(pool: &mut Pool, what: &str, requesters: Vec<Requester>) {
    tracing::info!("{what} is complete");
    requesters.into_iter().for_each(|requester| done(pool, requester));
}

/// Sends its stop signal to a worker that has been told to shut down: too many operations, or batches, wait for their old workers.
/// What waits in an accept queue is still answered first.
fn hasten(pool: &mut Pool, id: WorkerId) {
    let told =
        |worker: &Worker| matches!(worker.state(), State::ShuttingDown { .. }) && worker.channel().is_open();
    if pool.workers.get(id).is_some_and(told) {
        let most = pool.config.options.retiring;
        let why = format!("is one of the oldest of more than {most} sets that finish (options.retiring)");
        retire::hasten(pool, id, &why);
    }
}

/// The daemon leaves all workers to the one that follows. What was asked for has happened; the old workers finish.
pub(super) fn leave(pool: &mut Pool, retirements: &mut Vec<Retirement>) {
    let requesters = retirements.drain(..).flat_map(|retirement| retirement.requesters);
    requesters.for_each(|requester| done(pool, requester));
}

impl From<&Retirement> for RetirementRecord {
    fn from(retirement: &Retirement) -> Self {
        let Retirement { what, requesters, leaving } = retirement;
        Self {
            what: what.clone(),
            askers: requesters.iter().map(RequesterRecord::from).collect(),
            leaving: leaving.clone(),
        }
    }
}

impl From<RetirementRecord> for Retirement {
    fn from(record: RetirementRecord) -> Self {
        let RetirementRecord { what, askers, leaving } = record;
        let requesters = askers.into_iter().map(Requester::from).collect();
        Self { what, requesters, leaving }
    }
}
