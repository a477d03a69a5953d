//! How a deploy with a migration ends that has failed after its workers had taken over, and a suspension that cannot be ended.

use crate::history::Outcome;
use crate::supervisor::pool::Pool;
use crate::wire::{Body, FailedWorker, Reply};

use super::deployment::Migration;
use super::{DECIDE, Operations, Requester, reply_to_all};

/// The old release serves again. `errors`: what went wrong on the way.
pub(super) fn went_back(
    pool: &mut Pool,
    operations: &mut Operations,
    requesters: Vec<Requester>,
    errors: Vec<String>,
) {
    let reason = reason(operations);
    tracing::warn!("a deploy was rolled back: {reason}; generation {} serves", pool.generation.number);
    let first = format!("rolled back: {reason}; the old release serves again");
    let failed = failed(operations);
    let errors = std::iter::once(first).chain(errors).collect();
    fail(pool, operations, requesters, (Outcome::RolledBack, errors), failed);
}

/// The deploy could neither be finished nor undone. If the app is suspended, it waits for a person.
pub(super) fn stuck(pool: &mut Pool, operations: &mut Operations, requesters: Vec<Requester>, why: &str) {
    let reason = reason(operations);
    let state =
        if pool.desired.is_suspended() { "the app stays suspended" } else { "the new release serves on" };
    let words = format!("a deploy could not go back: {reason}; {why}; {state}");
    tracing::warn!("{words}");
    let words = if pool.desired.is_suspended() { format!("{words}; {DECIDE}") } else { words };
    if pool.desired.is_suspended() && !defect!(StuckDeploySilent) {
        operations.waiting = Some(words.clone());
    }
    let failed = failed(operations);
    fail(pool, operations, requesters, (Outcome::NotRolledBack, vec![words]), failed);
}

/// Nothing can be undone: the new release serves on. `failed`: the worker that is the reason.
pub(super) fn goes_on(
    pool: &mut Pool,
    operations: &mut Operations,
    requesters: Vec<Requester>,
    reason: &str,
    failed: Option<FailedWorker>,
) {
    let words = format!(
        "the deploy failed, and cannot go back because the old workers are gone: {reason}; the new release serves on"
    );
    tracing::warn!("{words}");
    fail(pool, operations, requesters, (Outcome::NotRolledBack, vec![words]), failed);
}

fn reason(operations: &Operations) -> String {
    operations.migration().and_then(Migration::back).map(|back| back.reason.clone()).unwrap_or_default()
}

/// The worker that is the reason why the deploy goes back, if it is one.
fn failed(operations: &Operations) -> Option<FailedWorker> {
    operations.migration().and_then(Migration::back)?.failed.clone()
}

fn fail(
    pool: &mut Pool,
    operations: &mut Operations,
    requesters: Vec<Requester>,
    (outcome, errors): (Outcome, Vec<String>),
    failed: Option<FailedWorker>,
) {
    operations.deployment = None;
    pool.ended(outcome, Some(&errors.join("; ")));
    let reply = Reply::failed(outcome.code(), errors);
    let reply = Reply { body: failed.map(|failed| Body::Failed(vec![failed])), ..reply };
    operations.last_deploy = Some(reply.clone());
    reply_to_all(pool, requesters, &reply);
}

/// The old release cannot be started: the suspension goes on, until a person ends it.
pub(super) fn stays_suspended(pool: &mut Pool, operations: &mut Operations, errors: &[String]) {
    if let Some(suspension) = &mut pool.desired.suspension {
        (suspension.expiry, suspension.ends) = (None, None);
    }
    let words = format!(
        "the suspension was to end (--for), and the old release cannot be started: {}; the app stays suspended; {DECIDE}",
        errors.join("; ")
    );
    tracing::warn!("{words}");
    pool.ended(Outcome::NotRolledBack, Some(&words));
    operations.waiting = Some(words);
}
