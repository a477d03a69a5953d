//! Telling those who follow a deploy how it goes on.

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
    for to in audience(requesters) {
        pool.requests.reply(&mut pool.effects, &to, Reply::part(Body::Deploy(news.clone())));
    }
}
