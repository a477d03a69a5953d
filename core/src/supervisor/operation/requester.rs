//! Who waits for an operation, and how they are answered.

use crate::handoff::RequesterRecord;
use crate::id::RequestRef;
use crate::supervisor::pool::{Pool, last_lines};
use crate::wire::{Body, Reply, StartOptions};

/// Somebody who waits for an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Requester {
    pub to: RequestRef,
    /// The requester wants to be told how the operation proceeds.
    pub progress: bool,
    /// The requester waits until the new workers serve, and not until the old ones are gone.
    pub until_swap: bool,
    /// The daemon's version when it was asked, if it has upgraded itself since.
    pub upgraded_from: Option<String>,
}

impl Requester {
    pub fn new(to: RequestRef, options: &StartOptions) -> Self {
        Self { to, progress: options.progress, until_swap: options.until_swap, upgraded_from: None }
    }
}

/// Those of `requesters` who want to be told how the operation proceeds.
pub(super) fn audience(requesters: &[Requester]) -> Vec<RequestRef> {
    let progress = requesters.iter().filter(|requester| requester.progress);
    progress.map(|requester| requester.to.clone()).collect()
}

/// Answers that what was asked for is done.
pub(in crate::supervisor) fn done(pool: &mut Pool, requester: Requester) {
    let Requester { to, upgraded_from, .. } = requester;
    let body = Body::Daemon { pid: pool.daemon.pid, upgrading: false, upgraded_from };
    pool.requests.reply(&mut pool.effects, &to, Reply::done(Some(body)));
}

/// Answers all of `requesters`.
pub(super) fn reply_to_all(pool: &mut Pool, requesters: Vec<Requester>, reply: &Reply) {
    for requester in requesters {
        last_lines::reply(pool, &requester.to, reply.clone());
    }
}

impl From<&Requester> for RequesterRecord {
    fn from(requester: &Requester) -> Self {
        let Requester { to, progress, until_swap, upgraded_from } = requester.clone();
        Self { to, progress, until_swap, upgraded_from }
    }
}

impl From<RequesterRecord> for Requester {
    fn from(record: RequesterRecord) -> Self {
        let RequesterRecord { to, progress, until_swap, upgraded_from } = record;
        Self { to, progress, until_swap, upgraded_from }
    }
}
