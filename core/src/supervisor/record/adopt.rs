//! Taking over the workers of an earlier daemon, which died or gave them up.
//!
//! What it meant to do is in its state file, what it did is in the links: where the two differ, the links are right. A
//! rollout in which no link names a new worker that is alive is undone; one that had begun to swap links is finished.
//! Workers have lost their channel with their daemon. Those with our library report on the control socket within a second
//! (`reunion`); others serve as before, but cannot be told anything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::action::Action;
use crate::config::{Companion, Config, Ready};
use crate::history::{Cause, Outcome, What};
use crate::id::{Process, SlotIndex};
use crate::state::{
    DeployRecord, Leftovers, MigrationStage, RecordedStage, RolloutRecord, State, Survivor, WorkerRecord,
};
use crate::supervisor::counters::Death;
use crate::supervisor::generation::Generation;
use crate::supervisor::goal::{Desired, Evidence, Suspension};
use crate::supervisor::leadership::Leadership;
use crate::supervisor::ledger::Ledger;
use crate::supervisor::operation::command::Errand;
use crate::supervisor::operation::{DECIDE, Operations, batch, release_link};
use crate::supervisor::pool::{Pool, counting, health, leadership, links, retire};
use crate::supervisor::worker::counts::Counts;
use crate::supervisor::worker::{Adopted, Channel, Exposure, Place, Protocol, Role, Start, Worker};

use super::links::{adopt_links, adopt_listeners};

/// How long a worker may take to report to the new daemon before it counts as out of reach. Our library tries again
/// every second at most.
const REUNION: Duration = Duration::from_secs(10);

/// What an interrupted rollout means for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing: it stays what it was.
    Stays,
    /// It belonged to a rollout that is undone.
    Undone,
    /// It is replaced by a rollout that is finished.
    Replaced,
}

/// Takes over what an earlier daemon left.
pub(in crate::supervisor) fn adopt(pool: &mut Pool, operations: &mut Operations, left: &Leftovers) {
    if !defect!(AdoptionForgetsListeners) {
        adopt_listeners(pool, left);
    }
    let (links, finishes) = adopt_links(pool, left);
    adopt_desired(pool, operations, left, finishes);
    let rollout = left.state.as_ref().and_then(|state| state.rollout.as_ref());
    let at_once = left.state.as_ref().is_some_and(|state| state.batches.is_none());
    let replaces = finishes && rollout.is_some_and(|rollout| rollout.replaces);
    // Those whose turn has not come are replaced by the batches that follow.
    let batch = slots_of_batch(left);
    let its_turn = |slot: Option<SlotIndex>| at_once || slot.is_some_and(|slot| batch.contains(&slot));
    let swapped = |state: &State| state.deploy.as_ref().is_some_and(|deploy| deploy.swapped);
    let watched = at_once && left.state.as_ref().is_some_and(swapped);
    for survivor in &left.survivors {
        let record = left.record(survivor.id);
        let owned = links.iter().find(|link| link.owner == Some(survivor.id)).map(|link| link.slot);
        let fate = match record.map(|record| record.new) {
            Some(true) if !finishes => Fate::Undone,
            Some(true) => Fate::Stays,
            Some(false) | None if replaces && its_turn(owned) => Fate::Replaced,
            Some(false) if watched && is_of_another_generation(pool, record) => Fate::Replaced,
            Some(false) | None => Fate::Stays,
        };
        adopt_worker(pool, *survivor, record, owned, fate);
    }
    if let Some(State { batches: Some(batches), deploy, .. }) = &left.state {
        batch::go_on(pool, operations, batches, deploy.as_ref());
    }
    match &left.state {
        _ if defect!(AdoptionForgetsLeader) => {}
        Some(state) => {
            let named = |id| links.iter().any(|link| link.owner == Some(id));
            pool.leadership = Leadership::adopted(&state.leadership, named);
        }
        None => leadership::suspect_all(pool),
    }
    adopt_history(pool, operations, left);
    adopt_hook(pool, left);
    adopt_counters(pool, left);
}

/// The slots that new workers of an interrupted rollout were started for.
fn slots_of_batch(left: &Leftovers) -> BTreeSet<SlotIndex> {
    let records = left.survivors.iter().filter_map(|survivor| left.record(survivor.id));
    records.filter(|record| record.new).filter_map(|record| record.slot).collect()
}

/// The command of `options.onEvent` that an earlier daemon has started: nothing else is run before it has ended.
fn adopt_hook(pool: &mut Pool, left: &Leftovers) {
    let process = left.state.as_ref().and_then(|state| state.hook).filter(|_| !defect!(HookForgotten));
    if let Some(process) = process {
        pool.hooks.goes_on(process, pool.effects.now());
        pool.effects.order(Action::WatchHook { process });
    }
}

/// What earlier daemons have counted. Whoever has died since is counted now.
fn adopt_counters(pool: &mut Pool, left: &Leftovers) {
    if let Some(state) = &left.state {
        take_counters(pool, state, &left.survivors);
    }
    counting::begin(pool);
}

fn take_counters(pool: &mut Pool, state: &State, survivors: &[Survivor]) {
    pool.counters = state.counters.clone().into();
    let survives = |id| survivors.iter().any(|survivor| survivor.id == id);
    let known = |id| state.worker(id).is_some_and(|record| record.process.is_some());
    for record in state.workers.iter().filter(|record| !survives(record.id)) {
        if record.process.is_some() {
            pool.counters.died(Death::Unseen);
        }
        pool.counters.keep(&record.traffic);
    }
    // The daemon has died before it could note their processes.
    for _ in survivors.iter().filter(|survivor| !known(survivor.id)) {
        pool.counters.started();
    }
}

/// What an earlier daemon had begun for the history, and this daemon's own start.
fn adopt_history(pool: &mut Pool, operations: &Operations, left: &Leftovers) {
    let record = left.state.as_ref().map(|state| state.history.clone()).unwrap_or_default();
    pool.ledger = Ledger::adopted(record, &left.history);
    // Batches go on.
    let current = operations.current().map(|operation| operation.kind.what());
    if pool.ledger.underway().is_some_and(|begun| Some(begun) != current) {
        let words = operations.waits_for_person().or_else(|| operations.note());
        let words = words.unwrap_or("the daemon died before it was complete").to_owned();
        pool.ended(Outcome::Interrupted, Some(&words));
    }
    if let Some(what) = current {
        pool.ledger.begin(pool.effects.now(), what, Cause { by: None, signal: None });
    }
    let (version, workers) = (&pool.daemon.version, left.survivors.len());
    let words = match workers {
        0 => format!("version {version}"),
        1 => format!("version {version}; it took over 1 worker of an earlier daemon"),
        _ => format!("version {version}; it took over {workers} workers of an earlier daemon"),
    };
    pool.note_at(None, What::DaemonStart, &words);
}

/// What ought to be, according to the state file. `finishes`: a rollout that was in progress is to be finished.
fn adopt_desired(pool: &mut Pool, operations: &mut Operations, left: &Leftovers, finishes: bool) {
    match &left.state {
        Some(state) => desire(pool, operations, state, left.command, finishes),
        None if left.survivors.is_empty() => {}
        None => {
            pool.evidence = Evidence::Awaited;
            let survivors = left.survivors.len();
            tracing::warn!("adopting {survivors} workers without a state file, by the links alone");
        }
    }
}

fn desire(
    pool: &mut Pool,
    operations: &mut Operations,
    state: &State,
    command: Option<Process>,
    finishes: bool,
) {
    pool.desired = Desired {
        running: state.running,
        slots: state.slots,
        standby: state.standby,
        suspension: Suspension::recorded(state.suspended, state.suspension.clone(), pool.now())
            .filter(|_| !defect!(AdoptionForgetsSuspension)),
    };
    if state.guessing {
        pool.evidence = Evidence::Awaited;
    }
    if state.generation > 0 {
        pool.generation = Generation { number: state.generation, release: state.release.clone() };
    }
    if let Some(rollout) = &state.rollout {
        adopt_rollout(pool, operations, rollout, finishes);
    }
    if let Some(deploy) = &state.deploy {
        adopt_deploy(pool, operations, deploy, state.rollout.is_some(), finishes);
        if !defect!(MigrationForgotten) {
            adopt_migration(pool, operations, deploy, command);
        }
    }
}

/// A migration that an earlier daemon had begun, and all that led to it or back: how far that has come, only a person can tell. The
/// app stays as it is, and says so.
fn adopt_migration(
    pool: &mut Pool,
    operations: &mut Operations,
    deploy: &DeployRecord,
    found: Option<Process>,
) {
    let DeployRecord { migration, command, waiting, .. } = deploy.clone();
    // One that was started when that could not be written down any more.
    let runs = matches!(migration, Some(MigrationStage::Runs | MigrationStage::Reverts));
    let command = command.or(found.filter(|_| runs));
    let (errand, where_it_was) = match migration {
        Some(MigrationStage::Ahead) => (Errand::Migrate, Some("before its migration began")),
        Some(MigrationStage::Runs) => (Errand::Migrate, Some("while its migration ran")),
        Some(MigrationStage::Done) => (Errand::Migrate, Some("after its migration")),
        Some(MigrationStage::Reverts) => (Errand::Revert, Some("while its migration was being undone")),
        Some(MigrationStage::Back) => (Errand::Revert, Some("on its way back to the old release")),
        None => (Errand::Migrate, None),
    };
    let words = where_it_was.map(|place| {
        let output = state_of_output(&pool.config, command.is_some());
        format!("a deploy was interrupted {place} by the end of an earlier daemon, and the app stays suspended{output}; {DECIDE}")
    });
    let waits = waiting.or(words).filter(|_| pool.desired.running && pool.desired.is_suspended());
    if let Some(process) = command {
        pool.effects.order(Action::WatchCommand { process });
    }
    operations.go_on_waiting(waits, command.map(|process| (errand, process)));
}

fn state_of_output(config: &Config, ran: bool) -> String {
    let file = Companion::Migration.path(&config.ipc_file);
    if ran { format!("; what the command wrote is in {}", file.display()) } else { String::new() }
}

/// Whether a worker is known not to be of the generation in force.
fn is_of_another_generation(pool: &Pool, record: Option<&WorkerRecord>) -> bool {
    record.is_some_and(|record| record.generation > 0 && record.generation != pool.generation.number)
}

/// Undoes what an interrupted deploy has done to the symlink of the release, unless its workers had taken over. `in_rollout`: its
/// rollout was in progress.
fn adopt_deploy(
    pool: &mut Pool,
    operations: &mut Operations,
    deploy: &DeployRecord,
    in_rollout: bool,
    finishes: bool,
) {
    let DeployRecord { link, swapped, undone, migration, waiting, .. } = deploy.clone();
    let stays = (swapped || finishes) && !undone;
    let waits = migration.is_some() && pool.desired.is_suspended();
    if !in_rollout && waiting.is_none() && !waits {
        let ending = if stays { "its workers stay" } else { "it was undone" };
        let note = format!("a deploy was interrupted by the end of an earlier daemon; {ending}");
        tracing::warn!("{note}");
        operations.set_note(Some(note));
    }
    if let Some(link) = link.filter(|_| !stays) {
        release_link::restore(pool, operations, link);
    }
}

/// Goes on with a rollout that was in progress, or undoes it.
fn adopt_rollout(pool: &mut Pool, operations: &mut Operations, rollout: &RolloutRecord, finishes: bool) {
    let ending = if finishes {
        pool.desired = Desired {
            running: true,
            slots: rollout.slots,
            standby: rollout.standby,
            suspension: Suspension::recorded(rollout.suspended, rollout.suspension.clone(), pool.now()),
        };
        if rollout.generation > 0 {
            pool.generation = Generation { number: rollout.generation, release: rollout.release.clone() };
        }
        "it is being finished"
    } else {
        "it was undone"
    };
    let note = format!("{} was interrupted by the end of an earlier daemon; {ending}", rollout.what);
    tracing::warn!("{note}");
    operations.set_note(Some(note));
}

/// Puts a worker of an earlier daemon into the table; `owned` is the slot whose link names its socket.
pub(super) fn adopt_worker(
    pool: &mut Pool,
    survivor: Survivor,
    record: Option<&WorkerRecord>,
    owned: Option<SlotIndex>,
    fate: Fate,
) {
    let Survivor { id, process } = survivor;
    let stage = match (record, owned) {
        (Some(record), _) => record.stage,
        (None, Some(_)) => RecordedStage::Online,
        // It may have served, and connections may wait for it.
        (None, None) => RecordedStage::Draining,
    };
    let leaving = stage == RecordedStage::Leaving && !defect!(LeavingAdoptedAsHolder);
    let role = match (owned, record) {
        (_, Some(record)) if leaving => Role::Retired { from: record.slot },
        (Some(slot), _) => Role::Holding(Place::Slot(slot)),
        (None, Some(WorkerRecord { slot: Some(slot), .. })) => Role::Holding(Place::Slot(*slot)),
        (None, Some(_)) => Role::Holding(Place::Standby),
        (None, None) => Role::Retired { from: None },
    };
    let named = owned.is_some() || pool.slots.has_guests(id);
    let outdated = fate == Fate::Replaced;
    let now = pool.now();
    let options = &pool.config.options;
    // The configuration may say something else by now.
    let speaks = record.map_or(options.ready == Ready::Report, |record| !record.mute);
    let channel = Channel::Expected { until: now + REUNION };
    let adopted = match stage {
        // A link names it, of its own slot or another, so it was ready.
        RecordedStage::Booting | RecordedStage::BootingSuspended if named => {
            Adopted::Ready { broken: outdated }
        }
        RecordedStage::Booting | RecordedStage::BootingSuspended => Adopted::Booting,
        RecordedStage::Online | RecordedStage::Suspended => {
            Adopted::Ready { broken: outdated && owned.is_some() }
        }
        RecordedStage::Broken => Adopted::Ready { broken: true },
        RecordedStage::Draining => Adopted::Ready { broken: false },
        RecordedStage::Leaving => {
            Adopted::ShuttingDown { deadline: retire::shutdown_deadline(pool, channel) }
        }
    };
    let start = Start {
        ordered: now,
        suspended: matches!(stage, RecordedStage::Suspended | RecordedStage::BootingSuspended)
            || record.is_some_and(|record| record.suspended),
        ready_by: if speaks { Ready::Report } else { options.ready },
        ready_path: options.ready_path.clone(),
        online_timeout: options.online_timeout,
        stop_signal: record.map_or(options.stop_signal, |record| record.stop_signal),
        stderr: options.stderr.clone(),
        generation: record.map_or(0, |record| record.generation),
    };
    let protocol = if speaks { Protocol::Speaks } else { Protocol::Mute };
    let socket = match record {
        Some(record) => record.socket.clone(),
        None => Some(pool.config.socket_file.socket(id)),
    };
    let listeners = record.map(|record| record.listeners.clone()).unwrap_or_default();
    let exposure = if leaving {
        Exposure::Drained
    } else if stage.is_booting() && !named {
        Exposure::Unseen
    } else {
        Exposure::Named
    };
    tracing::info!(worker = %id.short(), pid = process.pid, "worker adopted");
    let mut worker = Worker::adopted(
        role,
        adopted,
        process,
        start,
        (protocol, channel),
        (socket.map(Arc::from), listeners),
        exposure,
    );
    if let Some(speaker) = record.and_then(|record| record.speaker) {
        worker.speaks_by(speaker);
    }
    if let Some(record) = record {
        worker.says_pid(record.said_pid);
        *worker.counts_mut() = Counts::remembered(record.traffic.clone());
    }
    pool.workers.insert(id, worker);
    health::begin(pool, id);
    if let Some(slot) = owned.filter(|_| !leaving) {
        pool.slots.change(slot, |slot| slot.set_owner(Some(id)));
        if !speaks && !pool.desired.is_suspended() {
            // The earlier daemon has died between link and resume. This worker will never report.
            links::resume(pool, id);
        }
    }
    if leaving && !speaks {
        retire::terminate_again(pool, id, process);
    }
    let leaves = fate != Fate::Stays || stage == RecordedStage::Draining;
    if owned.is_none() && leaves {
        retire::retire(pool, id);
    }
}
