//! Replacing the daemon by a newer version of itself, under running workers.
//!
//! ```text
//!                          ┌─→ Freezing ─→ HandingOff ─→ (the new program, in the same process)      options.upgrade = "exec"
//! Checking ─(fits)─────────┤
//!    │                     └─→ workers are told to detach ─→ (the daemon quits; its manager starts the new one)    "respawn"
//!    └─(does not)─→ refused, and nothing has changed
//! ```
//!
//! The installed program is tried first: it has to start, be newer than this one, and be content with the configuration
//! and with all that it would be handed. Then everything that brings facts is frozen, so that what has come is dealt with
//! and what comes later waits in the kernel for the new program.

use std::time::Duration;

use crate::action::Action;
use crate::config::Upgrade;
use crate::event::Failure;
use crate::id::{RequestRef, WorkerId};
use crate::text::escape;
use crate::wire::{Body, Code, Reply, StartOptions, ToWorker};

use super::handoff::Restart;
use super::operation::{Asker, Kind, Operation, Phase};
use super::{Life, Supervisor};

/// How long the installed program may take to say what it is. One that hangs must not keep its caller for ever.
const TRIAL: Duration = Duration::from_secs(10);

/// A version is shown up to this many characters.
const SHOWN: usize = 40;

/// How far an upgrade has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The installed program is being tried.
    Checking,
    /// Facts that have come are still dealt with; no more come.
    Freezing,
    /// All have been dealt with.
    Frozen,
    /// The hand-off has been ordered.
    HandingOff,
}

impl Supervisor {
    /// Upgrades, and restarts workers after that if somebody asked for it.
    pub(super) fn upgrade(&mut self, restart: Option<(Asker, StartOptions)>) {
        let (askers, options) =
            restart.map_or_else(Default::default, |(asker, options)| (vec![asker], Some(options)));
        tracing::info!("an upgrade begins: the installed program is tried");
        let phase = Phase::Upgrading { step: Step::Checking, options };
        self.operation = Some(Operation { kind: Kind::Upgrade, askers, phase });
        let handoff = Box::new(self.handoff());
        self.act(Action::Preflight { handoff, limit: TRIAL });
    }

    /// The installed program was tried: its version, or why it will not do.
    pub(super) fn preflighted(&mut self, result: Result<String, Failure>) {
        if self.upgrade_step() != Some(Step::Checking) {
            return;
        }
        match result {
            Err(failure) => self.refuse_upgrade(&failure.0),
            Ok(version) if !self.is_older_than(&version) => self.refuse_upgrade(&format!(
                "the installed program is {}, which is not newer",
                escape(&version, SHOWN)
            )),
            Ok(_) if self.config.options.upgrade == Upgrade::Respawn => self.detach(),
            Ok(version) => {
                tracing::info!("handing off to version {}", escape(&version, SHOWN));
                let skips = defect!(HandoffWithoutFreeze);
                self.enter_step(if skips { Step::Frozen } else { Step::Freezing });
                if !skips {
                    self.act(Action::Freeze);
                }
            }
        }
    }

    /// Every fact that had come has been dealt with.
    pub(super) fn frozen(&mut self) {
        if self.upgrade_step() == Some(Step::Freezing) {
            self.enter_step(Step::Frozen);
        }
    }

    /// The order to hand off, once there is nothing else to do.
    pub(super) fn order_to_hand_off(&mut self) -> Option<Action> {
        if self.upgrade_step() != Some(Step::Frozen) {
            return None;
        }
        let handoff = Box::new(self.handoff());
        self.enter_step(Step::HandingOff);
        Some(Action::HandOff { handoff })
    }

    /// The new program did not come.
    pub(super) fn not_handed_off(&mut self, failure: &Failure) {
        if self.upgrade_step() == Some(Step::HandingOff) {
            if !defect!(StaysFrozen) {
                self.act(Action::Thaw);
            }
            self.refuse_upgrade(&failure.0);
        }
    }

    /// An upgrade is ended by something else.
    pub(super) fn call_off(&mut self, step: Step) {
        if step != Step::Checking {
            self.act(Action::Thaw);
        }
    }

    /// What is to be restarted after the upgrade in progress, and for whom.
    pub(super) fn restart_behind_upgrade(&self) -> Option<Restart> {
        let operation = self.operation.as_ref()?;
        let Phase::Upgrading { options: Some(options), .. } = &operation.phase else { return None };
        Some(Restart { askers: operation.askers.clone(), options: options.clone() })
    }

    pub(super) fn is_older_than(&self, version: &str) -> bool {
        let ours = semver::Version::parse(&self.daemon.version);
        matches!((ours, semver::Version::parse(version)), (Ok(ours), Ok(theirs)) if ours < theirs)
    }

    fn upgrade_step(&self) -> Option<Step> {
        let Phase::Upgrading { step, .. } = self.operation.as_ref()?.phase else { return None };
        Some(step)
    }

    fn enter_step(&mut self, next: Step) {
        if let Some(Operation { phase: Phase::Upgrading { step, .. }, .. }) = &mut self.operation {
            *step = next;
        }
    }

    fn refuse_upgrade(&mut self, reason: &str) {
        let Some(operation) = self.operation.take() else { return };
        let words = format!("the daemon stays at version {}: {reason}", self.daemon.version);
        tracing::warn!("{words}");
        self.reply_to_all(operation.askers, &Reply::failed(None, vec![words]));
        self.next_operation();
    }

    /// Leaves the workers to the daemon that comes next.
    fn detach(&mut self) {
        tracing::info!("quitting without the workers; the next daemon adopts them");
        let Some(operation) = self.operation.take() else { return };
        for Asker { to, .. } in operation.askers {
            let body = Body::Daemon { pid: self.daemon.pid, upgrading: true, upgraded_from: None };
            self.reply(&to, Reply::done(Some(body)));
        }
        let others: Vec<RequestRef> = self.open.iter().cloned().collect();
        for to in others {
            let words = "the daemon is being replaced by a newer one; ask that";
            self.reply(&to, Reply::failed(Some(Code::Busy), vec![words.into()]));
        }
        let ipc_path = self.config.ipc_file.to_string_lossy().into_owned();
        let workers: Vec<WorkerId> =
            self.workers.iter().filter(|(_, worker)| worker.is_reachable()).map(|(id, _)| *id).collect();
        for worker in workers {
            self.tell(worker, ToWorker::Detach { ipc_path: ipc_path.clone() });
        }
        self.life = Life::Quit { detached: true };
        self.announce();
        self.act(Action::Quit);
    }
}
