//! Starting operations, and ending them before they are done.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::action::Action;
use crate::config::{Config, KILL_AFTER, MAX_WORKERS, Problem};
use crate::expiry::Expiry;
use crate::handoff::Fixed;
use crate::history::{Cause, Outcome};
use crate::id::{RequestRef, SlotIndex, WorkerId};
use crate::supervisor::goal::{Desired, Life, Suspension};
use crate::supervisor::last_call::LastCall;
use crate::supervisor::pool::{Pool, retire, surplus};
use crate::supervisor::worker::{Place, Worker};
use crate::wire::{Code, Reply, StartOptions};

use super::plan::{self, Plan, all_places};
use super::{
    Kind, Operation, Operations, Phase, Progress, Queued, Requester, done, in_force, locate, release_link,
    replace, reply_to_all, running, upgrade, watch,
};

/// More waiting restarts than this make no sense: each of them replaces the same workers.
const QUEUE: usize = 16;

/// Starts what has been waiting for the end of the last operation.
pub(in crate::supervisor) fn next(pool: &mut Pool, operations: &mut Operations) {
    if pool.life != Life::Serving || !operations.is_idle() {
        return;
    }
    if defect!(QueuedRestartLost) {
        operations.queue.clear();
    }
    if let Some(Queued { to, options, version }) = operations.queue.pop_front() {
        restart(pool, operations, to, options, version);
    } else if std::mem::take(&mut operations.reload_wanted) {
        reload(pool, operations, None);
    } else if std::mem::take(&mut operations.upgrade_wanted) {
        upgrade::upgrade(pool, operations, None);
    }
}

/// Starts workers, if they do not run.
pub(in crate::supervisor) fn start(
    pool: &mut Pool,
    operations: &mut Operations,
    to: RequestRef,
    options: &StartOptions,
) {
    if pool.desired.running {
        done(pool, Requester::new(to, options));
    } else if !refuse_while_busy(pool, operations, &to) {
        replace_all(pool, operations, Kind::Start, vec![Requester::new(to, options)], options);
    }
}

/// Replaces all workers. Somebody who names a version wants the daemon to be no older than that, and what its
/// configuration says now.
pub(in crate::supervisor) fn restart(
    pool: &mut Pool,
    operations: &mut Operations,
    to: RequestRef,
    options: StartOptions,
    version: Option<String>,
) {
    if !operations.is_idle() && options.wait && operations.queue.len() < QUEUE {
        return operations.queue.push_back(Queued { to, options, version });
    }
    if !defect!(SecondRestartAccepted) && refuse_while_busy(pool, operations, &to) {
        return;
    }
    if let Some(words) = refusal(pool, options.batch, options.suspended.then_some("--suspended")) {
        let reply = Reply::failed(Some(Code::Usage), vec![words]);
        pool.requests.reply(&mut pool.effects, &to, reply);
        // It may have waited, and others may still.
        return next(pool, operations);
    }
    let requester = Requester::new(to, &options);
    match version {
        Some(version) if upgrade::is_older_than(pool, &version) => {
            upgrade::upgrade(pool, operations, Some((requester, options)));
        }
        Some(_) => load(pool, operations, Kind::Restart, vec![requester], Some(options)),
        None => replace_all(pool, operations, Kind::Restart, vec![requester], &options),
    }
}

fn replace_all(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    options: &StartOptions,
) {
    let suspension = suspension(pool, &requesters, options.suspended, options.expiry);
    let plan = Plan {
        attempts: options.max_attempts.unwrap_or(pool.config.options.max_start_attempts).get(),
        batch: batch(pool, options.batch, options.suspended, &pool.config),
        ..plan::replace_all(pool, suspension)
    };
    locate::begin(pool, operations, kind, requesters, plan);
}

/// Why workers cannot be replaced in batches where `together`, an option of the command line, asks for all of them at once.
/// `asked`: the size of a batch that somebody asks for.
pub(super) fn refusal(pool: &Pool, asked: Option<u32>, together: Option<&str>) -> Option<String> {
    let option = together.filter(|_| pool.desired.running)?;
    let (size, whose) = match asked {
        Some(size) => (size, "--batch"),
        None => (pool.config.options.batch, "options.batch"),
    };
    (size > 0 && !pool.desired.is_suspended()).then(|| {
        format!(
            "{option} does not go with batches ({whose} is {size}): when it is done no worker of the old code may be active, so that all workers are replaced at once; `--batch 0` does that this once, if there is memory for {} workers",
            2 * (u64::from(pool.desired.slots) + u64::from(pool.desired.standby))
        )
    })
}

/// How many new workers there may be beside the full set; `None`: workers are replaced all at once, as they are where the app is
/// suspended, or the names or kinds of sockets change.
pub(super) fn batch(pool: &Pool, asked: Option<u32>, suspends: bool, config: &Config) -> Option<NonZeroU32> {
    let size = NonZeroU32::new(asked.unwrap_or(config.options.batch))?;
    let sockets_differ =
        pool.config.socket_file != config.socket_file || pool.config.options.listen != config.options.listen;
    let alone = suspends || pool.desired.is_suspended() || !pool.desired.running || sockets_differ;
    (!alone).then_some(size)
}

/// The suspension that somebody asks for now, if it is one. `expiry`: how it ends if nobody ends it.
pub(super) fn suspension(
    pool: &Pool,
    requesters: &[Requester],
    suspended: bool,
    expiry: Option<Expiry>,
) -> Option<Suspension> {
    let by = requesters.first().and_then(|requester| pool.requests.asker(&requester.to)).cloned();
    let former = match &pool.desired.suspension {
        Some(earlier) => earlier.former.clone(),
        None => pool.generation.release.clone(),
    };
    suspended.then(|| Suspension { since: pool.now(), by, former, expiry, ends: None })
}

/// Changes the number of slots that are served.
pub(in crate::supervisor) fn set_workers(
    pool: &mut Pool,
    operations: &mut Operations,
    to: RequestRef,
    count: u32,
) {
    let desired = Desired { slots: count, ..pool.desired.clone() };
    scale(pool, operations, Kind::SetWorkers, to, desired);
}

/// Changes the number of standbys.
pub(in crate::supervisor) fn set_standby(
    pool: &mut Pool,
    operations: &mut Operations,
    to: RequestRef,
    count: u32,
) {
    let desired = Desired { standby: count, ..pool.desired.clone() };
    scale(pool, operations, Kind::SetStandby, to, desired);
}

fn scale(pool: &mut Pool, operations: &mut Operations, kind: Kind, to: RequestRef, desired: Desired) {
    let most = desired.slots.max(desired.standby);
    if most > MAX_WORKERS {
        let words = format!("{most} is too many: the most is {MAX_WORKERS}");
        let reply = Reply::failed(Some(Code::Usage), vec![words]);
        return pool.requests.reply(&mut pool.effects, &to, reply);
    }
    if let Some(slots) = pool.config.slots.filter(|slots| desired.slots > slots.get().max(pool.desired.slots))
    {
        let words = format!(
            "{} workers are more than there are links for nginx ({slots}, key `slots`); raise `slots`, add the links to nginx, and reload both",
            desired.slots
        );
        let reply = Reply::failed(Some(Code::Usage), vec![words]);
        return pool.requests.reply(&mut pool.effects, &to, reply);
    }
    if refuse_while_busy(pool, operations, &to) {
        return;
    }
    let requesters = vec![Requester::new(to, &StartOptions::default())];
    let plan = Plan {
        places: if desired.running { added_places(&pool.desired, &desired) } else { Vec::new() },
        suspended: desired.is_suspended(),
        attempts: pool.config.options.max_start_attempts.get(),
        replaces: false,
        batch: None,
        desired,
        config: Arc::clone(&pool.config),
    };
    locate::begin(pool, operations, kind, requesters, plan);
}

/// The places that there are in `after` and were not in `before`.
fn added_places(before: &Desired, after: &Desired) -> Vec<Place> {
    let slots = (before.slots..after.slots).map(|slot| Place::Slot(SlotIndex(slot)));
    slots.chain((before.standby..after.standby).map(|_| Place::Standby)).collect()
}

/// Answers that another operation is in progress, if one is.
pub(in crate::supervisor) fn refuse_while_busy(
    pool: &mut Pool,
    operations: &Operations,
    to: &RequestRef,
) -> bool {
    let busy = operations.words();
    if let Some(words) = busy {
        let words = format!("{words} is in progress; try again when it is complete");
        pool.requests.reply(&mut pool.effects, to, Reply::failed(Some(Code::Busy), vec![words]));
    }
    busy.is_some()
}

/// Reads the configuration again, for somebody or because of a signal.
pub(in crate::supervisor) fn reload(pool: &mut Pool, operations: &mut Operations, to: Option<RequestRef>) {
    let by_signal = to.is_none();
    let requester = |to| Requester::new(to, &StartOptions::default());
    load(pool, operations, Kind::Reload, to.map(requester).into_iter().collect(), None);
    if by_signal {
        pool.ledger.signalled("SIGHUP");
    }
}

fn load(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    options: Option<StartOptions>,
) {
    operations.enter(pool, kind, requesters, Phase::Loading { options });
    pool.effects.order(Action::LoadConfig);
}

/// The daemon got SIGHUP.
pub(in crate::supervisor) fn reload_signalled(pool: &mut Pool, operations: &mut Operations) {
    if !operations.is_idle() {
        operations.reload_wanted = true;
    } else if pool.life == Life::Serving {
        reload(pool, operations, None);
    }
}

/// The daemon got SIGUSR2.
pub(in crate::supervisor) fn upgrade_signalled(pool: &mut Pool, operations: &mut Operations) {
    if !operations.is_idle() {
        operations.upgrade_wanted = true;
    } else if pool.life == Life::Serving {
        upgrade::upgrade(pool, operations, None);
    }
}

/// The configuration was read, or what is wrong with it.
pub(in crate::supervisor) fn config_loaded(
    pool: &mut Pool,
    operations: &mut Operations,
    result: Result<Box<Config>, Vec<Problem>>,
) {
    let loading = |phase: &Phase| matches!(phase, Phase::Loading { .. });
    if let Some(Operation { kind, requesters, phase: Phase::Loading { options } }) =
        operations.take_if(&mut pool.requests, loading)
    {
        loaded(pool, operations, kind, requesters, options, result);
    }
}

fn loaded(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    options: Option<StartOptions>,
    result: Result<Box<Config>, Vec<Problem>>,
) {
    let problems = match result {
        Ok(config) => match Fixed::of(&pool.config).differs_from(&Fixed::of(&config)) {
            None => return apply(pool, operations, kind, requesters, options, Arc::new(*config)),
            Some(problem) => vec![problem],
        },
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    let words = problems.join("; ");
    tracing::warn!("the configuration in force stays: {words}");
    pool.ended(Outcome::Failed, Some(&words));
    reply_to_all(pool, requesters, &Reply::failed(Some(Code::InvalidConfig), problems));
    next(pool, operations);
}

/// Does the least that makes reality match a configuration; with `options`, all workers are replaced.
pub(in crate::supervisor) fn apply(
    pool: &mut Pool,
    operations: &mut Operations,
    kind: Kind,
    requesters: Vec<Requester>,
    options: Option<StartOptions>,
    config: Arc<Config>,
) {
    let restart = options.is_some();
    let replaces = restart || in_force::needs_new_workers(&pool.config, &config);
    let before = pool.desired.clone();
    let desired = Desired {
        running: before.running || restart,
        slots: config.workers.get(),
        standby: config.standby,
        suspension: match &options {
            Some(options) => suspension(pool, &requesters, options.suspended, options.expiry),
            None => before.suspension.clone(),
        },
    };
    let places = if !desired.running {
        Vec::new()
    } else if replaces {
        all_places(desired.slots, desired.standby)
    } else {
        added_places(&before, &desired)
    };
    let batch =
        batch(pool, options.as_ref().and_then(|options| options.batch), desired.is_suspended(), &config);
    let batch = batch.filter(|_| replaces);
    let attempts = options.and_then(|options| options.max_attempts);
    let attempts = attempts.unwrap_or(config.options.max_start_attempts).get();
    let suspended = desired.is_suspended();
    let plan = Plan { places, suspended, attempts, replaces, batch, desired, config };
    locate::begin(pool, operations, kind, requesters, plan);
}

/// Ends all workers; the daemon stays.
pub(in crate::supervisor) fn stop(pool: &mut Pool, operations: &mut Operations, to: RequestRef) {
    let requester = Requester::new(to, &StartOptions::default());
    if operations.is(Kind::Stop) {
        return operations.join(requester);
    }
    preempt(pool, operations, Kind::Stop);
    pool.desired.running = false;
    pool.desired.suspension = None;
    retire_everything(pool, operations, Kind::Stop, vec![requester]);
}

/// Ends the daemon. SIGINT twice (`interrupt`) ends its workers the hard way.
pub(in crate::supervisor) fn quit(
    pool: &mut Pool,
    operations: &mut Operations,
    interrupt: bool,
    cause: Cause,
) {
    match pool.life {
        Life::Serving => {
            tracing::info!("quitting: {} workers have to finish first", pool.workers.len());
            preempt(pool, operations, Kind::Quit);
            for Queued { to, .. } in std::mem::take(&mut operations.queue) {
                refuse_quitting(pool, &to);
            }
            pool.life = Life::Quitting { interrupted: interrupt };
            pool.last_call = LastCall::begin(pool.now(), pool.config.options.quit_timeout, KILL_AFTER);
            retire_everything(pool, operations, Kind::Quit, Vec::new());
            pool.ledger.caused_by(cause);
        }
        Life::Quitting { interrupted: true } if interrupt => {
            tracing::warn!("interrupted again: killing all workers");
            for worker in pool.workers.ids() {
                retire::kill(pool, worker);
            }
            running::kill(pool, operations);
        }
        Life::Quitting { interrupted } => {
            pool.life = Life::Quitting { interrupted: interrupted || interrupt };
        }
        Life::Quit { .. } => {}
    }
}

/// Answers that the daemon does nothing new any more.
pub(in crate::supervisor) fn refuse_quitting(pool: &mut Pool, to: &RequestRef) {
    let reply = Reply::failed(Some(Code::Busy), vec!["the daemon is quitting".into()]);
    pool.requests.reply(&mut pool.effects, to, reply);
}

fn retire_everything(pool: &mut Pool, operations: &mut Operations, kind: Kind, requesters: Vec<Requester>) {
    let alive = |(id, worker): (WorkerId, &Worker)| (!worker.is_gone()).then_some(id);
    let leaving = pool.workers.iter().filter_map(alive).collect();
    operations.enter(pool, kind, requesters, Phase::Retiring { leaving });
    surplus::retire_all_surplus(pool);
}

/// Ends the operation in progress without having done it, because of `kind`.
fn preempt(pool: &mut Pool, operations: &mut Operations, kind: Kind) {
    running::call_off(pool, operations);
    if let Some(operation) = operations.take(&mut pool.requests) {
        end(pool, operations, operation, kind);
    }
}

fn end(pool: &mut Pool, operations: &mut Operations, operation: Operation, by: Kind) {
    match operation.phase {
        Phase::Starting(rollout) | Phase::Swapping(rollout, _) | Phase::Reverting(rollout, _) => {
            replace::release(pool, &rollout);
        }
        Phase::Between(..) => {}
        Phase::Upgrading { step, .. } => upgrade::call_off(pool, step),
        Phase::Watching(watch) => {
            watch::let_go(pool, &watch);
            operations.deployment = None;
        }
        Phase::Loading { .. }
        | Phase::Locating(_)
        | Phase::RollingBack(_)
        | Phase::Migrating
        | Phase::Resuming(_)
        | Phase::Retiring { .. } => {}
    }
    let migrated = operations.keep_migrated();
    release_link::undo(pool, operations);
    let words = format!("{} was ended by {}", operation.kind.words(), by.words());
    let words = migrated.map_or_else(|| words.clone(), |migrated| format!("{words}, {migrated}"));
    pool.ended(Outcome::CalledOff, Some(&words));
    if operation.kind == Kind::Deploy {
        operations.last_deploy = Some(Reply::failed(Some(Code::Busy), vec![words.clone()]));
    }
    if !defect!(PreemptedNotAnswered) {
        reply_to_all(pool, operation.requesters, &Reply::failed(Some(Code::Busy), vec![words]));
    }
}

/// Starts what waits, if the operation in progress has ended.
pub(in crate::supervisor) fn next_if_ended(pool: &mut Pool, operations: &mut Operations, progress: Progress) {
    match progress {
        Progress::Ended => next(pool, operations),
        Progress::GoesOn => {}
    }
}
