//! What a deploy in progress is about.

use std::time::Duration;

use crate::release::{Release, ReleaseLink};
use crate::state::MigrationStage;
use crate::supervisor::generation::Generation;
use crate::wire::FailedWorker;

use super::command::Errand;

/// A deploy, from its request until its end.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Deployment {
    /// For how long the new workers are watched, and the old ones kept.
    pub watch: Duration,
    /// The symlink that it has switched, or is about to.
    pub link: Option<ReleaseLink>,
    /// The new workers have taken over.
    pub swapped: bool,
    /// Whether links can name the old workers again.
    pub old: OldWorkers,
    /// What the new workers have to answer while they are watched.
    pub health: Option<String>,
    /// What has to run while nobody is active.
    pub migration: Option<Migration>,
}

/// What becomes of the old workers while the new ones are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum OldWorkers {
    /// They are kept without a link.
    Kept,
    /// They are gone: they were suspended, or there was a migration.
    Gone,
}

/// The migration of a deploy.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Migration {
    pub command: String,
    /// What undoes it.
    pub revert: Option<String>,
    /// How long each of these may take.
    pub limit: Option<Duration>,
    pub course: Course,
    /// The generation that was in force before the deploy, and the one that the deploy has brought up: known when its workers have
    /// taken over.
    pub generations: Option<(Generation, Generation)>,
}

/// How far it has got.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) enum Course {
    /// It has not begun: new workers boot, or old ones finish.
    Ahead,
    /// The command runs.
    Runs,
    /// It has succeeded.
    Done,
    /// The deploy goes back.
    Back(Back),
}

/// Why a deploy goes back, and how far it has got.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) struct Back {
    pub reason: String,
    /// The worker that has failed, if that is why.
    pub failed: Option<FailedWorker>,
    /// The migration is being undone.
    pub reverting: bool,
}

/// A command that is to run now.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct Task {
    pub command: String,
    /// Where it runs.
    pub release: Option<Release>,
    pub limit: Option<Duration>,
}

impl Deployment {
    /// The new workers have taken over. Returns what becomes of the old ones.
    pub fn taken_over(&mut self, former: &Generation, new: &Generation) -> OldWorkers {
        self.swapped = true;
        if let Some(migration) = &mut self.migration {
            migration.generations.get_or_insert_with(|| (former.clone(), new.clone()));
        }
        self.old
    }
}

impl Migration {
    /// Its command begins, or what undoes it.
    pub fn begins(&mut self, errand: Errand) -> Task {
        let command = match errand {
            Errand::Migrate => {
                self.course = Course::Runs;
                self.command.clone()
            }
            Errand::Revert => {
                if let Course::Back(back) = &mut self.course {
                    back.reverting = true;
                }
                self.revert.clone().unwrap_or_default()
            }
        };
        // What undoes a migration is part of the release that brought it.
        let release = self.generations.as_ref().and_then(|(_, new)| new.release.clone());
        Task { command, release, limit: self.limit }
    }

    /// It has succeeded, and nothing undoes it.
    pub fn is_final(&self) -> bool {
        self.course == Course::Done && self.revert.is_none()
    }

    /// Why the deploy goes back, if it does.
    pub fn back(&self) -> Option<&Back> {
        match &self.course {
            Course::Back(back) => Some(back),
            Course::Ahead | Course::Runs | Course::Done => None,
        }
    }

    /// What a daemon has to know that follows this one.
    pub fn stage(&self) -> MigrationStage {
        match &self.course {
            Course::Ahead => MigrationStage::Ahead,
            Course::Runs => MigrationStage::Runs,
            Course::Done => MigrationStage::Done,
            Course::Back(Back { reverting: true, .. }) => MigrationStage::Reverts,
            Course::Back(_) => MigrationStage::Back,
        }
    }
}
