//! Whose links and sockets those in a folder are.
//!
//! Daemons may share a folder, if the names of their links and sockets differ. So each locks a file that is named after its
//! `socketFile`. Who deletes that file lets nobody in: each daemon also holds a shared lock (`flock(2)`) on the folder itself,
//! and one that holds the folder without a file that says what for might use any name in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nodesockd_core::config::SocketPattern;
use nodesockd_core::event::Failure;
use rustix::fs::{FlockOperation, flock};

use crate::error::{OpenError, failure};
use crate::files::holder::{self, Holder, sharers};
use crate::files::lock::{Lock, Refused};
use crate::handoff::fds::{FdCollector, FdNumber};

/// A daemon whose file was deleted makes it again: it is given this long to do so.
const LOOKS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(50);

/// What this daemon has claimed.
#[derive(Debug)]
pub(crate) struct Claims {
    folder: PathBuf,
    ipc_file: PathBuf,
    /// Locked files, by the pattern.
    names: BTreeMap<String, Lock>,
    /// The folder, with a shared lock.
    shared: Option<File>,
}

impl Claims {
    /// Claims the names of `pattern` in `folder`.
    ///
    /// # Errors
    ///
    /// They are another daemon's, or may be.
    pub(crate) fn take(folder: &Path, ipc_file: &Path, pattern: &SocketPattern) -> Result<Self, OpenError> {
        let (folder, ipc_file) = (folder.to_owned(), ipc_file.to_owned());
        let mut claims = Self { folder, ipc_file, names: BTreeMap::new(), shared: None };
        claims.claim(pattern)?;
        claims.admit()?;
        Ok(claims)
    }

    /// What an earlier program of this process had claimed, and the names of `pattern`.
    pub(crate) fn take_over(
        folder: &Path,
        ipc_file: &Path,
        pattern: &SocketPattern,
        names: impl Iterator<Item = (String, OwnedFd)>,
    ) -> Result<Self, OpenError> {
        let lock = |(pattern, file): (String, OwnedFd)| {
            let path = file_of(folder, &pattern);
            (pattern, Lock::from_handoff(path, file))
        };
        let (folder, ipc_file, names) = (folder.to_owned(), ipc_file.to_owned(), names.map(lock).collect());
        let mut claims = Self { folder, ipc_file, names, shared: None };
        claims.claim(pattern)?;
        let shared = claims.share();
        shared
            .map_err(|error| OpenError::TmpDir { path: claims.folder.clone(), reason: error.to_string() })?;
        Ok(claims)
    }

    /// What the next program gets.
    pub(crate) fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> BTreeMap<String, FdNumber> {
        self.names.iter().map(|(pattern, lock)| (pattern.clone(), fds.add(lock))).collect()
    }

    /// Claims the names of one more pattern.
    pub(crate) fn claim(&mut self, pattern: &SocketPattern) -> Result<(), OpenError> {
        let pattern = pattern.to_string();
        if self.names.contains_key(&pattern) {
            return Ok(());
        }
        let file = file_of(&self.folder, &pattern);
        let lock = Lock::acquire(&file, &self.ipc_file).map_err(|refused| match refused {
            Refused::Held(holder) => {
                OpenError::Claimed { folder: self.folder.clone(), pattern: pattern.clone(), holder }
            }
            Refused::Unusable(reason) => OpenError::Lock { file, reason },
        })?;
        self.names.insert(pattern, lock);
        Ok(())
    }

    /// Shares the folder with the daemons that say what they use in it.
    ///
    /// # Errors
    ///
    /// One of them does not say so.
    fn admit(&mut self) -> Result<(), OpenError> {
        let path = self.folder.clone();
        let cannot =
            |error: std::io::Error| OpenError::TmpDir { path: path.clone(), reason: error.to_string() };
        let found = std::fs::metadata(&self.folder).map_err(cannot)?;
        let mut unknown = self.unknown_holder(&found);
        for _ in 0..LOOKS {
            if unknown.is_none() {
                break;
            }
            sleep(BETWEEN);
            unknown = self.unknown_holder(&found);
        }
        match unknown {
            Some(pid) => Err(OpenError::Unclaimed { folder: self.folder.clone(), pid }),
            None => self.share().map_err(cannot),
        }
    }

    fn share(&mut self) -> std::io::Result<()> {
        let folder = File::open(&self.folder)?;
        // Some file systems know no locks; the files do without.
        let _ = flock(&folder, FlockOperation::NonBlockingLockShared);
        self.shared = Some(folder);
        Ok(())
    }

    /// A process that holds the folder, and no file says what for.
    fn unknown_holder(&self, folder: &std::fs::Metadata) -> Option<u32> {
        let said: Vec<u32> = claimants(&self.folder).into_iter().map(|holder| holder.pid).collect();
        sharers(folder.dev(), folder.ino()).into_iter().find(|pid| !said.contains(pid))
    }

    /// The first file that somebody has removed or replaced.
    pub(crate) fn lost(&self) -> Option<PathBuf> {
        self.names.values().find(|lock| lock.is_lost()).map(|lock| lock.path().to_owned())
    }

    /// Makes again what somebody has removed, also in another folder of that path.
    pub(crate) fn restore(&mut self) -> Result<(), Failure> {
        let lost: Vec<String> = self
            .names
            .iter()
            .filter(|(_, lock)| lock.is_lost())
            .map(|(pattern, _)| pattern.clone())
            .collect();
        for pattern in lost {
            let lock = Lock::acquire(&file_of(&self.folder, &pattern), &self.ipc_file);
            let lock = lock.map_err(|refused| Failure(refused.to_string()))?;
            self.names.insert(pattern, lock);
        }
        self.share().map_err(|error| failure("open the folder", &self.folder, error))
    }

    /// Gives all of it back.
    pub(crate) fn release(&mut self) {
        self.shared = None;
        for lock in self.names.values() {
            lock.release();
        }
    }
}

/// The daemons that say what they use in the folder.
fn claimants(folder: &Path) -> Vec<Holder> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(ENDING))
    });
    named.filter_map(|entry| holder::holder(&entry.path())).collect()
}

const ENDING: &str = ".lock";

/// `.app.{worker}.sock.lock`: no link and no socket can have this name.
fn file_of(folder: &Path, pattern: &str) -> PathBuf {
    folder.join(format!(".{pattern}{ENDING}"))
}
