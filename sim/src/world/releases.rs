//! Releases of the app: folders behind the symlink by which the working directory is reached.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nodesockd_core::event::Failure;
use nodesockd_core::release::{Release, ReleaseLink};

use super::World;
use crate::faults::Call;

/// Where releases lie, each in a folder named by its number.
const RELEASES: &str = "/srv/releases";

/// Which releases there are, and which of them workers may run.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    /// The one that the symlink names.
    current: usize,
    /// Folders that somebody has removed.
    pruned: BTreeSet<usize>,
    /// Those that were current when somebody asked for new workers, or may have been.
    asked_for: BTreeSet<usize>,
    /// The one that the daemon is deploying.
    deploying: Option<usize>,
    /// SIGHUP may mean new workers at any later time.
    signalled: bool,
}

/// The release of a number.
pub(crate) fn release(number: usize) -> Release {
    Release { dir: folder(number), script_dir: None, env: Vec::new() }
}

pub(crate) fn folder(number: usize) -> PathBuf {
    Path::new(RELEASES).join(number.to_string())
}

/// Which release a working directory is of; `None` if it is the symlink.
pub(crate) fn number_of(dir: &Path) -> Option<usize> {
    dir.strip_prefix(RELEASES).ok()?.to_str()?.parse().ok()
}

impl Releases {
    /// The one that the symlink names.
    pub fn current(&self) -> usize {
        self.current
    }

    /// Somebody asks for new workers, by a signal that may be obeyed later.
    pub fn signalled(&mut self) {
        self.signalled = true;
        self.ask();
    }

    /// Somebody asks for a deploy of this release, or of what the symlink names.
    pub fn deploys(&mut self, release: Option<usize>) {
        self.deploying = Some(release.unwrap_or(self.current));
    }

    /// That deploy has ended. If it did not succeed, nobody wants its release any more.
    pub fn deployed(&mut self, stays: bool) {
        let release = self.deploying.take().filter(|_| stays);
        self.asked_for.extend(release);
    }

    /// Somebody asks for a deploy of this one, or of what the symlink names, while another is in progress, as far as its client knows.
    pub fn deploys_beside(&mut self, release: Option<usize>) {
        self.asked_for.insert(release.unwrap_or(self.current));
    }

    /// Somebody asks for new workers.
    pub fn ask(&mut self) {
        self.asked_for.insert(self.current);
    }
}

impl World {
    /// The symlink names another release from now on.
    pub(super) fn deploy(&mut self, number: usize) {
        self.trace.line(self.agenda.now(), "operator", format_args!("deploy release {number}"));
        self.oracle.unfinished = None;
        self.oracle.deploy.iter_mut().for_each(|deploy| deploy.moved = true);
        self.releases.current = number.min(self.scenario.releases.len().saturating_sub(1));
        self.releases.pruned.remove(&self.releases.current);
        if self.releases.signalled || self.clients.has_open_operation() {
            self.releases.ask();
        }
    }

    /// Somebody removes all releases but the one that the symlink names.
    pub(super) fn prune(&mut self) {
        let (count, current) = (self.scenario.releases.len(), self.releases.current);
        let pruned: BTreeSet<usize> = (0..count).filter(|number| *number != current).collect();
        if !pruned.is_empty() {
            self.tally.count("releases pruned");
            self.trace.line(self.agenda.now(), "fault", "all releases but the current one are removed");
            self.releases.pruned = pruned;
            // Workers whose release is gone run what there is.
            self.releases.signalled();
        }
    }

    pub(super) fn locate_release(&mut self) -> Result<Release, Failure> {
        Ok(release(self.releases.current))
    }

    pub(super) fn find_release_link(&mut self, folder: &Path) -> Result<ReleaseLink, Failure> {
        self.call(Call::FindReleaseLink)?;
        let number = number_of(folder).filter(|number| !self.releases.pruned.contains(number));
        let Some(number) = number else { return Err(Failure(format!("{}: ENOENT", folder.display()))) };
        let current = self.releases.current;
        self.oracle.deploy.iter_mut().for_each(|deploy| deploy.before = current);
        let (before, after) = (self::folder(current), self::folder(number));
        Ok(ReleaseLink { path: "/srv/app".into(), before, after })
    }

    pub(super) fn switch_release_link(&mut self, from: &Path, to: &Path) -> Result<(), Failure> {
        let called = self.call(Call::SwitchReleaseLink);
        self.log_file(format_args!("switch the release to {}", to.display()), &called);
        let there = number_of(to).filter(|number| !self.releases.pruned.contains(number));
        if called.is_err() || there.is_none() {
            self.oracle.deploy.iter_mut().for_each(|deploy| deploy.moved = true);
            self.oracle.unfinished = None;
        }
        called?;
        let Some(number) = there else { return Err(Failure(format!("{}: ENOENT", to.display()))) };
        if ![Some(number), number_of(from)].contains(&Some(self.releases.current)) {
            return Err(Failure("somebody else has switched it".into()));
        }
        self.releases.current = number;
        // A restart that waits, or a reload by a signal, may find this one; what else was asked for, the one of before.
        let back = self.releases.deploying.is_some() && self.releases.deploying == number_of(from);
        let found = self.clients.has_waiting_operation() || back && self.clients.has_open_operation();
        if self.releases.signalled || found {
            self.releases.ask();
        }
        Ok(())
    }

    pub(super) fn has_release(&mut self, release: &Release) -> bool {
        number_of(&release.dir).is_none_or(|number| !self.releases.pruned.contains(&number))
    }

    /// Which release a worker runs that is started in `dir`.
    pub(super) fn release_in(&mut self, dir: &Path) -> Result<usize, Failure> {
        let number = number_of(dir).unwrap_or(self.releases.current);
        if self.releases.pruned.contains(&number) {
            return Err(Failure(format!("cannot change to the working directory {}: ENOENT", dir.display())));
        }
        if !self.releases.asked_for.contains(&number) && self.releases.deploying != Some(number) {
            self.violated(format_args!(
                "a worker is started that runs release {number}, which nobody has asked for"
            ));
        }
        Ok(number)
    }
}
