//! The operation in progress, how far it has got, and what waits for its end.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::handoff::{QueuedRecord, RequesterRecord, RestartRecord, RetirementRecord};
use crate::history::Cause;
use crate::id::{Peer, Process, RequestRef, WorkerId};
use crate::release::ReleaseLink;
use crate::state::{BatchesRecord, DeployRecord};
use crate::supervisor::generation::Generation;
use crate::supervisor::pool::Pool;
use crate::supervisor::requests::{Audience, Requests};
use crate::supervisor::timer::Timer;
use crate::time::Time;
use crate::wire::{BatchStatus, Reply, StartOptions};

use super::batches::{Batches, Leaving};
use super::command::{Command, Errand};
use super::confirmations::Confirmations;
use super::deployment::{Course, Deployment, Migration, OldWorkers, Task};
use super::kind::Kind;
use super::plan::Plan;
use super::requester::{Requester, audience};
use super::retirement::Retirement;
use super::rollout::{Rollout, Swap};
use super::watch::{Rollback, Watch};

/// The operation in progress, and what waits for its end.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Operations {
    pub(super) current: Option<Operation>,
    pub(super) queue: VecDeque<Queued>,
    /// What is left of operations whose new workers serve, oldest first.
    pub(super) retirements: Vec<Retirement>,
    /// A SIGHUP came while an operation was in progress.
    pub(super) reload_wanted: bool,
    /// So did a SIGUSR2.
    pub(super) upgrade_wanted: bool,
    /// What the deploy in progress is about.
    pub(super) deployment: Option<Deployment>,
    /// The command of a deploy that runs, in progress or not: nothing begins beside it.
    pub(super) command: Option<Command>,
    /// Why the app is suspended until a person decides: a deploy could neither be finished nor undone.
    pub(super) waiting: Option<String>,
    /// The symlink of a deploy that was given up is being switched back.
    pub(super) restoring: Option<ReleaseLink>,
    /// How the last deploy ended.
    pub(super) last_deploy: Option<Reply>,
    /// What became of an operation that an earlier daemon had begun.
    note: Option<String>,
}

/// What a person can do where only a person can decide.
pub(in crate::supervisor) const DECIDE: &str = "when you know what the data is like, `nodesockd resume` goes on with the workers that there are, and `nodesockd deploy --release DIR` replaces them by those of another release";

/// An operation in progress.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Operation {
    pub kind: Kind,
    pub requesters: Vec<Requester>,
    pub phase: Phase,
}

/// How far it has got.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) enum Phase {
    /// The configuration is being read; a restart then replaces all workers, a reload what needs it.
    Loading { options: Option<StartOptions> },
    /// The release that the new workers run is being found.
    Locating(Box<Plan>),
    /// The daemon is about to be replaced; its successor then restarts workers, or nobody wants that.
    Upgrading { step: Step, options: Option<StartOptions> },
    /// New workers boot.
    Starting(Rollout),
    /// All new workers are ready; links are being swapped.
    Swapping(Rollout, Swap),
    /// A link could not be swapped; those that were are being swapped back.
    Reverting(Rollout, Swap),
    /// The workers of one batch have taken over, or given up, and the next batch waits for those who leave.
    Between(Rollout, Leaving),
    /// The new workers of a deploy serve, and are watched; the old ones are kept.
    Watching(Watch),
    /// A new worker failed; links are being swapped back to the old ones.
    RollingBack(Rollback),
    /// Nobody is active, and the command of a deploy runs.
    Migrating,
    /// Workers were told to resume, and have to confirm that.
    Resuming(Confirmations),
    /// Nothing else may begin until these workers are gone: all of them, or all that are active in a suspended app.
    Retiring { leaving: BTreeSet<WorkerId> },
}

/// How far an upgrade has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Step {
    /// The installed program has to be tried.
    Wanted,
    /// The installed program is being tried.
    Checking,
    /// Events that have come are still dealt with; no more come.
    Pausing,
    /// All have been dealt with.
    Paused,
    /// The hand-off has been ordered.
    HandingOff,
}

/// A restart that waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Queued {
    pub to: RequestRef,
    pub options: StartOptions,
    pub version: Option<String>,
}

impl Operations {
    /// The operation in progress.
    pub fn current(&self) -> Option<&Operation> {
        self.current.as_ref()
    }

    /// What is in progress, in words.
    pub fn words(&self) -> Option<&'static str> {
        let operation = self.current.as_ref().map(|operation| operation.kind.words());
        operation.or_else(|| self.command.as_ref().map(|_| "the migration of a deploy that was interrupted"))
    }

    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.command.is_none()
    }

    /// Nothing is in progress, and no worker leaves because of something that was.
    pub fn is_complete(&self) -> bool {
        self.is_idle() && self.retirements.is_empty()
    }

    pub fn is(&self, kind: Kind) -> bool {
        self.current.as_ref().is_some_and(|operation| operation.kind == kind)
    }

    /// This operation is in progress now, in this phase. If none was, it begins.
    pub(super) fn enter(&mut self, pool: &mut Pool, kind: Kind, requesters: Vec<Requester>, phase: Phase) {
        let by = requesters.first().and_then(|requester| pool.requests.asker(&requester.to)).cloned();
        if pool.ledger.underway().is_none() {
            pool.suspension_watch.forget_held();
        }
        let now = pool.now();
        pool.ledger.begin(now, kind.what(), Cause { by, signal: None });
        let audience = audience(&requesters);
        pool.requests.tell_progress_to(match &phase {
            Phase::Starting(_) | Phase::Swapping(..) | Phase::Reverting(..) | Phase::Between(..) => {
                Audience::OfNewWorkers(audience)
            }
            Phase::Watching(_) | Phase::RollingBack(_) | Phase::Migrating | Phase::Retiring { .. } => {
                Audience::OfAllWorkers(audience)
            }
            Phase::Loading { .. } | Phase::Locating(_) | Phase::Upgrading { .. } | Phase::Resuming(_) => {
                Audience::Nobody
            }
        });
        self.current = Some(Operation { kind, requesters, phase });
    }

    /// Takes the operation in progress: it is over, or is put back in another phase.
    pub(super) fn take(&mut self, requests: &mut Requests) -> Option<Operation> {
        requests.tell_progress_to(Audience::Nobody);
        self.current.take()
    }

    /// Takes the operation in progress if it is in such a phase.
    pub(super) fn take_if(
        &mut self,
        requests: &mut Requests,
        is_such: impl FnOnce(&Phase) -> bool,
    ) -> Option<Operation> {
        let taken = self.current.as_ref().is_some_and(|operation| is_such(&operation.phase));
        if taken { self.take(requests) } else { None }
    }

    /// The command of a deploy that runs as this process.
    pub(super) fn running(&self, process: Process) -> Option<&Command> {
        self.command.as_ref().filter(|command| command.process() == Some(process))
    }

    /// Somebody else asks for what is in progress.
    pub(super) fn join(&mut self, requester: Requester) {
        if let Some(operation) = &mut self.current {
            operation.requesters.push(requester);
        }
    }

    /// Links are being swapped, all of them or none.
    pub fn is_swapping(&self) -> bool {
        let phase = self.current.as_ref().map(|operation| &operation.phase);
        matches!(phase, Some(Phase::Swapping(..) | Phase::Reverting(..)))
    }

    /// The set of new workers that has not taken over yet, and what it is for.
    pub fn rollout(&self) -> Option<(Kind, &Rollout)> {
        let operation = self.current.as_ref()?;
        match &operation.phase {
            Phase::Starting(rollout) | Phase::Swapping(rollout, _) | Phase::Reverting(rollout, _) => {
                Some((operation.kind, rollout))
            }
            Phase::Loading { .. }
            | Phase::Locating(_)
            | Phase::Upgrading { .. }
            | Phase::Between(..)
            | Phase::Watching(_)
            | Phase::RollingBack(_)
            | Phase::Migrating
            | Phase::Resuming(_)
            | Phase::Retiring { .. } => None,
        }
    }

    /// How far the operation in progress is, if it replaces workers in batches.
    pub(super) fn batches(&self) -> Option<&Batches> {
        match &self.current.as_ref()?.phase {
            Phase::Starting(rollout)
            | Phase::Swapping(rollout, _)
            | Phase::Reverting(rollout, _)
            | Phase::Between(rollout, _) => rollout.batches.as_deref(),
            Phase::RollingBack(rollback) => rollback.batches.as_deref(),
            // Its last batch has taken over.
            Phase::Watching(_)
            | Phase::Loading { .. }
            | Phase::Locating(_)
            | Phase::Upgrading { .. }
            | Phase::Migrating
            | Phase::Resuming(_)
            | Phase::Retiring { .. } => None,
        }
    }

    /// How far it is, for those who ask.
    pub fn batch_status(&self) -> Option<BatchStatus> {
        self.batches().map(Batches::status)
    }

    /// What a daemon has to know that follows this one, about an operation that replaces workers in batches.
    pub fn batches_record(&self) -> Option<BatchesRecord> {
        let operation = self.current.as_ref()?;
        let Batches { size, former, back, .. } = self.batches()?;
        let rolling_back =
            if let Phase::RollingBack(rollback) = &operation.phase { Some(rollback.reason()) } else { None };
        Some(BatchesRecord {
            what: operation.kind.words().to_owned(),
            size: *size,
            former: former.generation.number,
            former_release: former.generation.release.clone(),
            slots: former.desired.slots,
            standby: former.desired.standby,
            back: back.as_ref().map(|back| back.errors.join("; ")).or(rolling_back),
        })
    }

    /// For how long the new workers of the deploy in progress are to be watched from now on, if they are.
    pub(super) fn watch_time(&self) -> Option<Duration> {
        let deployment = self.deployment.as_ref()?;
        (deployment.watch > Duration::ZERO && !self.goes_back()).then_some(deployment.watch)
    }

    /// Until when the new workers of the deploy in progress are watched, if they are now.
    pub(super) fn watched_until(&self) -> Option<Time> {
        let phase = self.current.as_ref().map(|operation| &operation.phase);
        if let Some(Phase::Watching(watch)) = phase { Some(watch.until) } else { None }
    }

    /// What the workers of the deploy in progress have to answer now.
    pub(super) fn watched_path(&self) -> Option<String> {
        self.watched_until().and(self.deployment.as_ref())?.health.clone()
    }

    /// A deploy is in progress, and links can name its old workers again.
    pub(super) fn keeps_old_workers(&self) -> bool {
        self.deployment.as_ref().is_some_and(|deployment| deployment.old == OldWorkers::Kept)
    }

    /// The migration of the deploy in progress.
    pub(super) fn migration(&self) -> Option<&Migration> {
        self.deployment.as_ref()?.migration.as_ref()
    }

    /// The deploy in progress has a migration, and is being undone.
    pub(super) fn goes_back(&self) -> bool {
        self.migration().and_then(Migration::back).is_some()
    }

    pub(super) fn migration_mut(&mut self) -> Option<&mut Migration> {
        self.deployment.as_mut()?.migration.as_mut()
    }

    /// A command of the migration begins.
    pub(super) fn begin_task(&mut self, errand: Errand) -> Task {
        let migration = self.migration_mut();
        debug_assert!(migration.is_some(), "a command of a migration begins, and there is no migration");
        migration.map(|migration| migration.begins(errand)).unwrap_or_default()
    }

    /// The workers of the operation in progress have taken over. Returns what becomes of the old ones if it is a deploy.
    pub(super) fn taken_over(&mut self, former: &Generation, new: &Generation) -> OldWorkers {
        self.deployment.as_mut().map_or(OldWorkers::Gone, |deployment| deployment.taken_over(former, new))
    }

    /// The deploy in progress is ended by something else. If its migration has begun, the release stays that this is about, and
    /// people have to know, even if the daemon that ends now dies on the way.
    pub(super) fn keep_migrated(&mut self) -> Option<String> {
        let deployment = self.deployment.take_if(|deployment| {
            let begun = |migration: &Migration| migration.course != Course::Ahead;
            deployment.migration.as_ref().is_some_and(begun)
        })?;
        let link =
            deployment.link.map(|link| format!("; {} names {}", link.path.display(), link.after.display()));
        let words = format!(
            "when its migration had begun{}: see what that has done before the app is started again",
            link.unwrap_or_default()
        );
        self.note = Some(format!("a deploy was ended {words}"));
        self.waiting =
            Some(format!("a deploy was ended {words}; the app stays suspended until then; {DECIDE}"));
        Some(words)
    }

    /// Goes on where an earlier daemon has died: `waiting` for a person, and beside a command that may run still.
    pub fn go_on_waiting(&mut self, waiting: Option<String>, command: Option<(Errand, Process)>) {
        if let Some(words) = &waiting {
            tracing::warn!("{words}");
        }
        self.waiting = waiting;
        self.command = command.map(|(errand, process)| Command::adopted(errand, process));
    }

    /// Why a person has to decide about a deploy.
    pub fn waits_for_person(&self) -> Option<&str> {
        self.waiting.as_deref()
    }

    /// Nobody waits for a person any more, once the app is not suspended.
    pub(super) fn no_longer_waits(&mut self, pool: &Pool) {
        if !pool.desired.is_suspended() || !pool.desired.running {
            self.waiting = None;
        }
    }

    /// Why a person has to decide about a deploy, or that its migration runs.
    pub fn standing(&self) -> Option<String> {
        let process = self.command.as_ref().and_then(Command::process);
        let runs = self.command.as_ref().zip(process).map(|(command, process)| {
            format!("{} runs as process {}", command.errand().words(), process.pid)
        });
        match (&self.waiting, runs) {
            (Some(words), Some(runs)) => Some(format!("{words}; {runs}")),
            (Some(words), None) => Some(words.clone()),
            (None, Some(runs)) => Some(format!("a deploy is in progress: {runs}")),
            (None, None) => None,
        }
    }

    /// When the operation in progress goes on by itself. A watch that is over by now waits for an answer.
    pub fn next_deadline(&self, now: Time) -> Option<(Time, Timer)> {
        let operation = self.current.as_ref().and_then(|operation| match &operation.phase {
            Phase::Watching(watch) => Some((watch.until, Timer::Watch)).filter(|(until, _)| *until > now),
            Phase::Resuming(confirmations) => Some((confirmations.until, Timer::Confirm)),
            Phase::Between(_, leaving) => Some((leaving.until, Timer::Batch)),
            Phase::Loading { .. }
            | Phase::Locating(_)
            | Phase::Upgrading { .. }
            | Phase::Starting(_)
            | Phase::Swapping(..)
            | Phase::Reverting(..)
            | Phase::RollingBack(_)
            | Phase::Migrating
            | Phase::Retiring { .. } => None,
        });
        let command = self.command.as_ref().and_then(Command::next_deadline);
        command.map(|at| (at, Timer::Command)).into_iter().chain(operation).min()
    }

    /// What a daemon has to know that follows this one, about the deploy in progress.
    pub fn deploy_record(&self) -> Option<DeployRecord> {
        let phase = self.current.as_ref().map(|operation| &operation.phase);
        let swapped = self.deployment.as_ref().is_some_and(|deployment| deployment.swapped);
        let link = self.deployment.as_ref().and_then(|deployment| deployment.link.clone());
        let goes_back = self.batches().is_some_and(|batches| batches.back.is_some());
        let undone = self.restoring.is_some() || goes_back || matches!(phase, Some(Phase::RollingBack(_)));
        let record = DeployRecord {
            link: self.restoring.clone().or(link),
            swapped,
            undone,
            migration: self.migration().map(Migration::stage),
            command: self.command.as_ref().and_then(Command::process),
            waiting: self.waiting.clone(),
        };
        (record != DeployRecord::default() || self.deployment.is_some()).then_some(record)
    }

    /// The set of new workers that boot.
    pub fn starting(&self) -> Option<&Rollout> {
        let phase = self.current.as_ref().map(|operation| &operation.phase);
        if let Some(Phase::Starting(rollout)) = phase { Some(rollout) } else { None }
    }

    /// How many slots there are, or will be when the operation in progress succeeds.
    pub fn slots_ahead(&self, pool: &Pool) -> u32 {
        self.starting().map_or(0, |rollout| rollout.desired.slots).max(pool.desired.slots)
    }

    /// How many standbys the set of new workers has that boots.
    pub fn joining_standbys(&self) -> usize {
        self.starting().map_or(0, Rollout::standbys)
    }

    /// Whether somebody who made this request waits for an operation.
    pub fn waits(&self, to: &RequestRef) -> bool {
        let requesters = self.current.iter().flat_map(|operation| &operation.requesters);
        let of_retirements = self.retirements.iter().flat_map(|retirement| &retirement.requesters);
        requesters
            .chain(of_retirements)
            .map(|requester| &requester.to)
            .chain(self.queue.iter().map(|queued| &queued.to))
            .any(|of| of == to)
    }

    /// Forgets that `peer` waits.
    pub fn forget(&mut self, peer: Peer) {
        self.queue.retain(|queued| queued.to.peer != peer);
        let of_retirements = self.retirements.iter_mut().map(|retirement| &mut retirement.requesters);
        for requesters in self.current.iter_mut().map(|current| &mut current.requesters).chain(of_retirements)
        {
            requesters.retain(|requester| requester.to.peer != peer);
        }
    }

    /// What became of an operation that an earlier daemon had begun.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    pub fn set_note(&mut self, note: Option<String>) {
        self.note = note;
    }

    /// What is to be restarted after the upgrade in progress, and for whom.
    pub fn restart_after_upgrade(&self) -> Option<RestartRecord> {
        let operation = self.current.as_ref()?;
        if let Phase::Upgrading { options: Some(options), .. } = &operation.phase {
            let askers = operation.requesters.iter().map(RequesterRecord::from).collect();
            Some(RestartRecord { askers, options: options.clone() })
        } else {
            None
        }
    }

    /// What is left of operations whose new workers serve.
    pub fn retirements(&self) -> Vec<RetirementRecord> {
        self.retirements.iter().map(RetirementRecord::from).collect()
    }

    /// The restarts that wait, and whether a reload does.
    pub fn waiting(&self) -> (Vec<QueuedRecord>, bool) {
        (self.queue.iter().map(QueuedRecord::from).collect(), self.reload_wanted)
    }

    /// Goes on with what waited in a predecessor, and with what was left of its operations.
    pub fn restore(
        &mut self,
        requests: &mut Requests,
        queue: Vec<QueuedRecord>,
        reload_wanted: bool,
        retirements: Vec<RetirementRecord>,
    ) {
        self.queue = queue.into_iter().map(Queued::from).collect();
        self.reload_wanted = reload_wanted;
        self.retirements = retirements.into_iter().map(Retirement::from).collect();
        self.retirements.iter().for_each(|retirement| retirement.tell_progress(requests));
    }
}

/// Whether the operation in progress goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(in crate::supervisor) enum Progress {
    GoesOn,
    /// The operation has ended; the next one can begin.
    Ended,
}

impl From<&Queued> for QueuedRecord {
    fn from(queued: &Queued) -> Self {
        let Queued { to, options, version } = queued.clone();
        Self { to, options, version }
    }
}

impl From<QueuedRecord> for Queued {
    fn from(record: QueuedRecord) -> Self {
        let QueuedRecord { to, options, version } = record;
        Self { to, options, version }
    }
}
