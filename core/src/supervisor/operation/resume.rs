//! `resume`: workers are told that they may begin, and confirm it.
//!
//! The app counts as resumed at once: whoever takes over from now on is resumed as well. What is waited for is the word of
//! those who were suspended, so that whoever asked learns of a worker that hangs, or that cannot be reached.

use std::collections::BTreeSet;

use crate::history::Outcome;
use crate::id::{RequestRef, WorkerId};
use crate::supervisor::goal::Evidence;
use crate::supervisor::pool::{Pool, links, suspension};
use crate::supervisor::worker::Worker;
use crate::wire::{Body, Code, Reply, StartOptions};

use super::begin::refuse_while_busy;
use super::confirmations::{CONFIRM, Confirmations};
use super::{Kind, Operations, Phase, Requester};

/// Ends the suspension of all workers in slots.
pub(in crate::supervisor) fn resume(pool: &mut Pool, operations: &mut Operations, to: RequestRef) {
    let requester = Requester::new(to, &StartOptions::default());
    if operations.is(Kind::Resume) {
        return operations.join(requester);
    }
    if refuse_while_busy(pool, operations, &requester.to) {
        return;
    }
    let confirmations = lift(pool);
    operations.enter(pool, Kind::Resume, vec![requester], Phase::Resuming(confirmations));
}

/// Ends the suspension: workers in slots are told. Returns whose word has to be waited for: also that of workers which an
/// earlier `resume` has told in vain.
pub(super) fn lift(pool: &mut Pool) -> Confirmations {
    suspension::count_last(pool);
    pool.desired.suspension = None;
    // It was decided: what a worker reports later does not tell.
    pool.evidence = Evidence::Record;
    let owners = pool.unresumed_owners();
    let suspended = |id: &&WorkerId| pool.workers.get(**id).is_some_and(Worker::is_suspended);
    let untold: Vec<WorkerId> = owners.iter().filter(suspended).copied().collect();
    for owner in untold.into_iter().filter(|_| !defect!(ResumeTellsNobody)) {
        links::resume(pool, owner);
    }
    let unresumed = |id: &WorkerId| pool.workers.get(*id).is_some_and(Worker::is_unresumed);
    let (waiting, told): (BTreeSet<WorkerId>, BTreeSet<WorkerId>) = owners.into_iter().partition(unresumed);
    let silent = |id: &WorkerId| pool.workers.get(*id).is_some_and(Worker::speaks);
    let unconfirmed = told.into_iter().filter(silent).collect();
    Confirmations { waiting, unconfirmed, until: pool.now() + CONFIRM }
}

/// Answers those who asked for it.
pub(in crate::supervisor) fn answer(pool: &mut Pool, requesters: Vec<Requester>, end: &Confirmations) {
    let waiting: Vec<String> = complaints(pool, end).into_iter().map(|(_, words)| words).collect();
    let reply = if waiting.is_empty() || defect!(ResumeNotConfirmed) {
        tracing::info!("the app is resumed");
        pool.ended(Outcome::Done, None);
        let body = Body::Resumed { pid: pool.daemon.pid, unconfirmed: end.unconfirmed.clone() };
        Reply::done(Some(body))
    } else {
        let words = waiting.join("; ");
        tracing::warn!("the app is resumed, but {words}");
        pool.ended(Outcome::Failed, Some(&words));
        Reply::failed(Some(Code::TimeOut), waiting)
    };
    super::reply_to_all(pool, requesters, &reply);
}

/// Workers that have not confirmed, and what is wrong with each of them.
pub(super) fn complaints(pool: &Pool, end: &Confirmations) -> Vec<(WorkerId, String)> {
    end.waiting.iter().filter_map(|id| Some((*id, complaint(pool, *id)?))).collect()
}

/// What is wrong with a worker that has not confirmed.
fn complaint(pool: &Pool, id: WorkerId) -> Option<String> {
    let worker = pool.workers.get(id)?;
    let pid = worker.process().map_or_else(String::new, |process| format!(", pid {}", process.pid));
    let slot = worker.slot().map_or_else(String::new, |slot| format!(" of slot {slot}"));
    let what = if worker.is_suspended() {
        "could not be told to resume: it lost its channel with an earlier daemon and has not reported to this one; it is \
         resumed when it does, and replaced if it does not"
    } else {
        "was told to resume and has not confirmed it: its event loop may hang (health.hangTimeout)"
    };
    let limit = CONFIRM.as_millis();
    Some(format!("worker {}{slot}{pid} {what} (waited {limit} ms)", id.short()))
}
