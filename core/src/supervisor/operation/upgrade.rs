//! Replacing the daemon by a newer version of itself, under running workers.
//!
//! ```text
//!                                ┌─→ Pausing ─→ Paused ─→ HandingOff ─→ (the new program, in the same process)   options.upgrade = "exec"
//! Wanted ─→ Checking ─(fits)─────┤
//!              │                 └─→ workers are told to detach ─→ (the daemon quits; its manager starts the new one)     "respawn"
//!              └─(does not)─→ refused, and nothing has changed
//! ```
//!
//! The installed program is tried first: it has to start, be newer than this one, and accept the configuration and all
//! that it would be handed. Then everything that brings events is paused, so that what has come is dealt with and what
//! comes later waits in the kernel for the new program.

use std::time::Duration;

use crate::action::Action;
use crate::config::Upgrade;
use crate::event::Failure;
use crate::history::Outcome;
use crate::id::RequestRef;
use crate::supervisor::goal::Life;
use crate::supervisor::pool::Pool;
use crate::supervisor::worker::Worker;
use crate::text::escape;
use crate::wire::{Body, Code, Reply, StartOptions, ToWorker};

use super::{Kind, Operation, Operations, Phase, Progress, Requester, Step, reply_to_all, retirement};

/// How long the installed program may take to say what it is. One that hangs must not keep its caller for ever.
pub(in crate::supervisor) const TRIAL: Duration = Duration::from_secs(10);

/// A version is shown up to this many characters.
const SHOWN: usize = 40;

/// Upgrades, and restarts workers after that if somebody asked for it.
pub(super) fn upgrade(
    pool: &mut Pool,
    operations: &mut Operations,
    restart: Option<(Requester, StartOptions)>,
) {
    let (requesters, options) =
        restart.map_or_else(Default::default, |(requester, options)| (vec![requester], Some(options)));
    tracing::info!("an upgrade begins: the installed program is tried");
    let phase = Phase::Upgrading { step: Step::Wanted, options };
    let by_signal = requesters.is_empty();
    operations.enter(pool, Kind::Upgrade, requesters, phase);
    if by_signal {
        pool.ledger.signalled("SIGUSR2");
    }
}

/// How far the upgrade in progress has got, if there is one.
pub(in crate::supervisor) fn step(operations: &Operations) -> Option<Step> {
    let phase = operations.current.as_ref().map(|operation| &operation.phase);
    if let Some(Phase::Upgrading { step, .. }) = phase { Some(*step) } else { None }
}

/// The upgrade in progress has got as far as this.
pub(in crate::supervisor) fn enter_step(operations: &mut Operations, next: Step) {
    if let Some(Operation { phase: Phase::Upgrading { step, .. }, .. }) = &mut operations.current {
        *step = next;
    }
}

/// The installed program was tried: its version, or why it will not do.
pub(in crate::supervisor) fn preflighted(
    pool: &mut Pool,
    operations: &mut Operations,
    result: Result<String, Failure>,
) -> Progress {
    if step(operations) != Some(Step::Checking) {
        return Progress::GoesOn;
    }
    match result {
        Err(failure) => refuse(pool, operations, &failure.0),
        Ok(version) if !is_older_than(pool, &version) => {
            let version = escape(&version, SHOWN);
            refuse(pool, operations, &format!("the installed program is {version}, which is not newer"))
        }
        Ok(_) if pool.config.options.upgrade == Upgrade::Respawn => {
            detach(pool, operations);
            Progress::GoesOn
        }
        Ok(version) => {
            tracing::info!("handing off to version {}", escape(&version, SHOWN));
            let skips = defect!(HandoffWithoutFreeze);
            enter_step(operations, if skips { Step::Paused } else { Step::Pausing });
            if !skips {
                pool.effects.order(Action::Freeze);
            }
            Progress::GoesOn
        }
    }
}

/// Every event that had come has been dealt with.
pub(in crate::supervisor) fn paused(operations: &mut Operations) {
    if step(operations) == Some(Step::Pausing) {
        enter_step(operations, Step::Paused);
    }
}

/// The new program did not come.
pub(in crate::supervisor) fn not_handed_off(
    pool: &mut Pool,
    operations: &mut Operations,
    failure: &Failure,
) -> Progress {
    if step(operations) != Some(Step::HandingOff) {
        return Progress::GoesOn;
    }
    if !defect!(StaysFrozen) {
        pool.effects.order(Action::Thaw);
    }
    refuse(pool, operations, &failure.0)
}

/// An upgrade is ended by something else.
pub(super) fn call_off(pool: &mut Pool, step: Step) {
    match step {
        Step::Wanted | Step::Checking => {}
        Step::Pausing | Step::Paused | Step::HandingOff => pool.effects.order(Action::Thaw),
    }
}

/// Whether this daemon is older than `version`.
pub(super) fn is_older_than(pool: &Pool, version: &str) -> bool {
    let ours = semver::Version::parse(&pool.daemon.version);
    matches!((ours, semver::Version::parse(version)), (Ok(ours), Ok(theirs)) if ours < theirs)
}

fn refuse(pool: &mut Pool, operations: &mut Operations, reason: &str) -> Progress {
    if let Some(operation) = operations.take(&mut pool.requests) {
        let words = format!("the daemon stays at version {}: {reason}", pool.daemon.version);
        tracing::warn!("{words}");
        pool.ended(Outcome::Failed, Some(&words));
        reply_to_all(pool, operation.requesters, &Reply::failed(None, vec![words]));
    }
    Progress::Ended
}

/// Leaves the workers to the daemon that comes next. The caller announces that and quits.
fn detach(pool: &mut Pool, operations: &mut Operations) {
    tracing::info!("quitting without the workers; the next daemon adopts them");
    let operation = operations.take(&mut pool.requests);
    pool.ended(Outcome::Done, Some("the workers were left to the daemon that follows"));
    for Requester { to, .. } in operation.into_iter().flat_map(|operation| operation.requesters) {
        let body = Body::Daemon { pid: pool.daemon.pid, upgrading: true, upgraded_from: None };
        pool.requests.reply(&mut pool.effects, &to, Reply::done(Some(body)));
    }
    retirement::leave(pool, &mut operations.retirements);
    pool.end_watching();
    let others: Vec<RequestRef> = pool.requests.all_open().cloned().collect();
    for to in others {
        let words = "the daemon is being replaced by a newer one; ask that";
        let reply = Reply::failed(Some(Code::Busy), vec![words.into()]);
        pool.requests.reply(&mut pool.effects, &to, reply);
    }
    let ipc_path = pool.config.ipc_file.to_string_lossy().into_owned();
    for worker in pool.workers.ids() {
        if pool.workers.get(worker).is_some_and(Worker::is_reachable) {
            let detach = ToWorker::Detach { ipc_path: ipc_path.clone() };
            pool.tell(worker, if defect!(DetachShutsDown) { ToWorker::Shutdown } else { detach });
        }
    }
    pool.life = Life::Quit { detached: true };
}
