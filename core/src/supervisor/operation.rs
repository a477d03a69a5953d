//! What a person asked for and is in progress: one thing at a time.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::id::{Peer, RequestRef, WorkerId};
use crate::wire::{Body, Code, Progress, Reply, Stage, StartOptions};

use super::rollout::{Rollout, Swap};
use super::upgrade::Step;
use super::{Life, Supervisor};

/// An operation in progress.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operation {
    pub kind: Kind,
    pub askers: Vec<Asker>,
    pub phase: Phase,
}

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Start,
    Restart,
    SetWorkers,
    SetStandby,
    Reload,
    Upgrade,
    Stop,
    Quit,
}

impl Kind {
    /// In the middle of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Start => "a start",
            Self::Restart => "a restart",
            Self::SetWorkers => "a change of the number of workers",
            Self::SetStandby => "a change of the number of standbys",
            Self::Reload => "a reload",
            Self::Upgrade => "an upgrade",
            Self::Stop => "a stop",
            Self::Quit => "the daemon's own end",
        }
    }
}

/// How far it has got.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    /// The configuration is being read; a restart then replaces all workers, a reload what needs it.
    Loading { options: Option<StartOptions> },
    /// The daemon is about to be replaced; its successor then restarts workers, or nobody wants that.
    Upgrading { step: Step, options: Option<StartOptions> },
    /// New workers boot.
    Starting(Rollout),
    /// All new workers are ready; links are being swapped.
    Swapping(Rollout, Swap),
    /// A link could not be swapped; those that were are being swapped back.
    Reverting(Rollout, Swap),
    /// The new workers serve; those that are no longer needed have to go.
    Retiring { leaving: BTreeSet<WorkerId> },
}

/// Somebody who waits for the operation's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asker {
    pub to: RequestRef,
    pub progress: bool,
    /// The daemon's version when it was asked, if it has upgraded itself since.
    pub upgraded_from: Option<String>,
}

/// A restart that waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queued {
    pub to: RequestRef,
    pub options: StartOptions,
    pub version: Option<String>,
}

impl Supervisor {
    /// Takes the operation in progress from phase to phase, as far as it goes now.
    pub(super) fn advance_operation(&mut self) {
        while let Some(operation) = self.operation.take() {
            let Operation { kind, askers, phase } = operation;
            match phase {
                Phase::Starting(rollout) if self.can_swap(&rollout) => {
                    let swap = self.swap(&rollout);
                    self.operation = Some(Operation { kind, askers, phase: Phase::Swapping(rollout, swap) });
                }
                Phase::Swapping(rollout, swap) if swap.pending.is_empty() && swap.failure.is_none() => {
                    // In the next phase already, so that progress finds those who asked.
                    let phase = Phase::Retiring { leaving: BTreeSet::new() };
                    self.operation = Some(Operation { kind, askers, phase });
                    self.commit(rollout);
                }
                Phase::Swapping(rollout, swap) if swap.pending.is_empty() => {
                    let swap = self.swap_back(&rollout, swap);
                    self.operation = Some(Operation { kind, askers, phase: Phase::Reverting(rollout, swap) });
                }
                Phase::Reverting(rollout, swap) if swap.pending.is_empty() => {
                    self.abandon(kind, askers, rollout, swap.failure);
                    self.next_operation();
                }
                Phase::Retiring { leaving }
                    if !leaving.iter().any(|id| self.is_leaving(*id)) || defect!(CompleteBeforeOldGone) =>
                {
                    tracing::info!("{} is complete", kind.words());
                    askers.into_iter().for_each(|asker| self.done(asker));
                    self.next_operation();
                }
                waiting @ (Phase::Loading { .. }
                | Phase::Upgrading { .. }
                | Phase::Starting(_)
                | Phase::Swapping(..)
                | Phase::Reverting(..)
                | Phase::Retiring { .. }) => {
                    self.operation = Some(Operation { kind, askers, phase: waiting });
                    return;
                }
            }
        }
    }

    fn is_leaving(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| !worker.is_gone())
    }

    /// Starts what has been waiting for the end of the last operation.
    pub(super) fn next_operation(&mut self) {
        if self.life != Life::Serving {
            return;
        }
        if defect!(QueuedRestartLost) {
            self.queue.clear();
        }
        if let Some(Queued { to, options, version }) = self.queue.pop_front() {
            self.restart(to, options, version);
        } else if std::mem::take(&mut self.reload_wanted) {
            self.reload(None);
        } else if std::mem::take(&mut self.upgrade_wanted) {
            self.upgrade(None);
        }
    }

    /// Ends the operation in progress without having done it, because of `kind`.
    pub(super) fn preempt(&mut self, kind: Kind) {
        let Some(operation) = self.operation.take() else { return };
        match operation.phase {
            Phase::Starting(rollout) | Phase::Swapping(rollout, _) | Phase::Reverting(rollout, _) => {
                self.release(&rollout);
            }
            Phase::Upgrading { step, .. } => self.call_off(step),
            Phase::Loading { .. } | Phase::Retiring { .. } => {}
        }
        let words = format!("{} was ended by {}", operation.kind.words(), kind.words());
        if !defect!(PreemptedNotAnswered) {
            self.reply_to_all(operation.askers, &Reply::failed(Some(Code::Busy), vec![words]));
        }
    }

    /// Links are being swapped, all of them or none.
    pub(super) fn is_swapping(&self) -> bool {
        matches!(&self.operation, Some(Operation { phase: Phase::Swapping(..) | Phase::Reverting(..), .. }))
    }

    /// The set of new workers that has not taken over yet, and what it is for.
    pub(super) fn rollout(&self) -> Option<(Kind, &Rollout)> {
        let operation = self.operation.as_ref()?;
        match &operation.phase {
            Phase::Starting(rollout) | Phase::Swapping(rollout, _) | Phase::Reverting(rollout, _) => {
                Some((operation.kind, rollout))
            }
            Phase::Loading { .. } | Phase::Upgrading { .. } | Phase::Retiring { .. } => None,
        }
    }

    /// Workers are being started suspended, to replace all others.
    pub(super) fn rolls_out_suspended(&self) -> bool {
        let Some(Operation { phase: Phase::Starting(rollout), .. }) = &self.operation else { return false };
        rollout.suspended
    }

    /// How many slots there are, or will be when the operation in progress succeeds.
    pub(super) fn slots_ahead(&self) -> u32 {
        let Some(Operation { phase: Phase::Starting(rollout), .. }) = &self.operation else {
            return self.desired.slots;
        };
        rollout.slots_ahead().max(self.desired.slots)
    }

    /// Tells those who asked for it how far a worker of the operation has got.
    pub(super) fn progress(&mut self, id: WorkerId, stage: Stage, reason: Option<&str>) {
        let Some(operation) = &self.operation else { return };
        let concerns = match &operation.phase {
            Phase::Starting(_) | Phase::Swapping(..) | Phase::Reverting(..) => {
                self.workers.get(&id).is_some_and(|worker| worker.in_rollout)
            }
            Phase::Retiring { .. } => true,
            Phase::Loading { .. } | Phase::Upgrading { .. } => false,
        };
        let Some(worker) = self.workers.get(&id).filter(|_| concerns) else { return };
        let progress = Progress {
            id,
            idx: worker.slot(),
            pid: worker.process().map(|process| process.pid),
            stage,
            reason: reason.map(str::to_owned),
        };
        let askers: Vec<RequestRef> =
            operation.askers.iter().filter(|asker| asker.progress).map(|asker| asker.to.clone()).collect();
        for to in askers {
            self.reply(&to, Reply::part(Body::Progress(progress.clone())));
        }
    }

    pub(super) fn reply_to_all(&mut self, askers: Vec<Asker>, reply: &Reply) {
        for asker in askers {
            self.reply(&asker.to, reply.clone());
        }
    }

    /// Answers a request, unless it has had its final reply or its peer is gone.
    pub(super) fn reply(&mut self, to: &RequestRef, reply: Reply) {
        let open =
            if reply.done && !defect!(AnsweredTwice) { self.open.remove(to) } else { self.open.contains(to) };
        if open {
            self.act(Action::Reply { to: to.clone(), reply });
        }
    }

    /// Forgets everything that `peer` waits for.
    pub(super) fn forget(&mut self, peer: Peer) {
        self.open.retain(|to| to.peer != peer);
        self.queue.retain(|queued| queued.to.peer != peer);
        self.relays.forget(peer);
        if let Some(operation) = &mut self.operation {
            operation.askers.retain(|asker| asker.to.peer != peer);
        }
    }
}
