//! Telling those who follow a deploy, or batches, how it goes on.

use crate::supervisor::pool::Pool;
use crate::wire::{Body, DeployNews, Reply};

use super::requester::audience;
use super::{Operation, Operations, Requester};

/// Tells those who wait for the deploy in progress, and want to know it, how the deploy goes on.
pub(super) fn tell_all(pool: &mut Pool, operations: &Operations, news: &DeployNews) {
    if let Some(Operation { requesters, .. }) = operations.current() {
        tell(pool, requesters, news);
    }
}

pub(super) fn tell(pool: &mut Pool, requesters: &[Requester], news: &DeployNews) {
    part(pool, requesters, &Body::Deploy(news.clone()));
}

/// Tells those who want to know it how what they wait for goes on.
pub(super) fn part(pool: &mut Pool, requesters: &[Requester], body: &Body) {
    for to in audience(requesters) {
        pool.requests.reply(&mut pool.effects, &to, Reply::part(body.clone()));
    }
}
