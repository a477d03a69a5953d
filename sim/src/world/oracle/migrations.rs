//! What a migration promises: nobody is active while it runs, no worker of its release is before it has succeeded, and a deploy that can
//! neither be finished nor undone says so.

use std::collections::BTreeMap;

use nodesockd_core::Time;
use nodesockd_core::event::ExitStatus;
use nodesockd_core::id::RequestRef;
use nodesockd_core::wire::{Code, DeployOptions, Reply, Request, Status};

use crate::scenario::{Errand, Purpose};
use crate::world::process::Proc;
use crate::world::{Worker, World};

/// What is known of migrations.
#[derive(Debug, Default)]
pub(crate) struct Migrations {
    /// A migration failed then, and nobody has asked for anything since: who was started before does not begin.
    failed: Option<Time>,
    /// Deploys that may begin or end a suspension, and how often each was asked for: until they are answered, or the history says how
    /// they have ended.
    lifting: BTreeMap<RequestRef, u32>,
    /// A deploy waits for a person: the app is suspended, and `status` says why.
    waits: bool,
}

/// The app waits for a person, by what a deploy says of its end.
pub(super) fn stays_suspended(words: &str) -> bool {
    words.contains("the app stays suspended")
}

impl World {
    /// A migration, or what undoes it, begins.
    pub(crate) fn check_migration_begins(&mut self, release: usize) {
        if self.commands.running().is_some() && !self.deaths.forgot {
            self.violated("a command of a deploy begins while another one runs");
        }
        let active = |process: &Proc| process.alive() && !process.suspended;
        let found = self.processes.iter().find(|(_, process)| active(process)).map(|(worker, _)| worker);
        if let Some(worker) = found {
            self.violated(format_args!("a migration of release {release} begins while {worker} is active"));
        }
    }

    /// A migration, or what undoes it, has ended.
    pub(crate) fn migration_ended(&mut self, errand: Errand, status: ExitStatus) {
        if errand.purpose == Purpose::Migrate && status != ExitStatus::Code(0) {
            self.oracle.migrations.failed = Some(self.agenda.now());
        }
    }

    /// A worker is started active, or told to begin.
    pub(crate) fn check_may_begin(&mut self, worker: Worker) {
        // Its successor knows nothing of it.
        if self.deaths.forgot {
            return;
        }
        if self.commands.running().is_some() {
            self.violated(format_args!("{worker} is to be active while a migration runs"));
        }
        let spawned = self.processes.get(worker).map(|process| process.plan.spawned);
        if spawned.zip(self.oracle.migrations.failed).is_some_and(|(spawned, failed)| spawned < failed) {
            self.violated(format_args!("{worker} is to be active although its migration has failed"));
        }
    }

    /// Somebody asks for something: what was left to a person may be decided by that.
    pub(crate) fn person_decides(&mut self, request: &Request) {
        let decides = match request {
            Request::Start(_)
            | Request::Restart { .. }
            | Request::Deploy(_)
            | Request::Resume
            | Request::Stop
            | Request::Terminate
            | Request::Reload
            | Request::SetWorkers { .. }
            | Request::SetStandby { .. } => true,
            Request::Status
            | Request::Metrics
            | Request::Config
            | Request::AttachDeploy { .. }
            | Request::WatchEvents
            | Request::SendMessage { .. }
            | Request::SendRequest { .. } => false,
        };
        if decides {
            (self.oracle.migrations.failed, self.oracle.migrations.waits) = (None, false);
        }
    }

    /// Somebody asks for a deploy: one with a migration suspends the app, and one in a suspended app ends that.
    pub(crate) fn migration_asked(&mut self, from: &RequestRef, options: &DeployOptions) {
        // One that has ended and left the app suspended may not be answered yet.
        let unanswered = self.oracle.migrations.lifting.values().any(|asked| *asked > 0);
        if options.migration.is_some() || self.oracle.suspended || unanswered {
            self.oracle.lifting += 1;
            *self.oracle.migrations.lifting.entry(from.clone()).or_default() += 1;
        }
    }

    /// The history says that a deploy with a migration has failed after its workers had taken over. Its answer may wait for a worker's
    /// last lines, and later operations decide about the app meanwhile.
    pub(super) fn migration_noted(&mut self, to: &RequestRef, stays: bool) {
        let asked = self.oracle.migrations.lifting.remove(to).unwrap_or_default();
        self.oracle.lifting = self.oracle.lifting.saturating_sub(asked);
        self.migration_failed(stays);
    }

    /// A deploy has failed after its workers had taken over. `stays`: the app waits for a person; else a release serves.
    fn migration_failed(&mut self, stays: bool) {
        self.oracle.suspended = stays;
        self.oracle.migrations.waits = stays && !self.oracle.in_doubt();
        if !stays {
            self.oracle.expire(self.agenda.busy_since(), None);
        }
    }

    /// A deploy with a migration is answered. `done`: it has not failed.
    pub(crate) fn migration_answered(&mut self, to: &RequestRef, options: &DeployOptions, reply: &Reply) {
        let stays = stays_suspended(&reply.errors.join("; "));
        let asked = self.oracle.migrations.lifting.get_mut(to).filter(|asked| **asked > 0);
        let lifts = asked.is_some();
        if let Some(asked) = asked {
            *asked -= 1;
            self.oracle.lifting = self.oracle.lifting.saturating_sub(1);
        }
        match reply.code {
            None if !reply.errors.is_empty() => {}
            None if options.migration.is_some() => {
                self.marks.count("a migration is done");
                self.oracle.suspended = false;
            }
            // Out of a suspension that was left to a person.
            None => self.oracle.suspended = false,
            Some(Code::NotRolledBack) => {
                let mark = if stays {
                    "a deploy waits for a person"
                } else {
                    "a deploy fails that cannot be undone"
                };
                self.marks.count(mark);
                if lifts {
                    self.migration_failed(stays);
                }
            }
            Some(Code::RolledBack) if options.migration.is_some() => {
                self.marks.count("a migration is undone");
                if lifts {
                    self.migration_failed(false);
                }
            }
            Some(
                Code::Usage
                | Code::InvalidConfig
                | Code::Busy
                | Code::StartFailed
                | Code::RolledBack
                | Code::TimeOut
                | Code::NotPermitted,
            ) => {}
        }
        if !self.oracle.suspended {
            self.oracle.expire(self.agenda.busy_since(), None);
        }
    }

    /// The daemon dies. If that is during a migration, the next one leaves the decision to a person.
    pub(crate) fn migration_interrupted(&mut self) {
        if self.commands.running().is_some() {
            self.oracle.migrations.waits = !self.deaths.stale && !self.oracle.quitting && self.oracle.wanted;
        }
        self.oracle.migrations.waits &= !self.deaths.stale;
        self.oracle.migrations.failed = None;
        self.oracle.migrations.lifting.clear();
        self.commands.lose_daemon();
        self.hooks.lose_daemon(self.state.as_ref().and_then(|state| state.hook));
    }

    /// What `status` does not say.
    pub(crate) fn unsaid(&self, status: &Status) -> Option<String> {
        let waits = self.oracle.migrations.waits && !self.deaths.forgot;
        let says = status.note.as_deref().is_some_and(stays_suspended);
        let lost = self.deaths.forgot || self.deaths.stale;
        // Whoever has asked for another one may have hung up before the answer.
        let another = status.suspension.as_ref().is_some_and(|it| it.since >= self.oracle.expiry_promised);
        let over = self.oracle.expires.is_some_and(|at| at < self.agenda.now()) && !another && !lost;
        if over && status.suspended && !says {
            return Some("the app is suspended for longer than was asked for".into());
        }
        match (waits, status.suspended, says) {
            (false, _, _) | (true, true, true) => None,
            (true, false, _) => {
                Some("the app is active, although a person has to decide about a migration".into())
            }
            (true, true, false) => {
                Some("`status` does not say that a person has to decide about a migration".into())
            }
        }
    }
}
