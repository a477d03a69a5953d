//! The files that workers' output goes to.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nodesockd_core::config::Output;
use nodesockd_core::event::Failure;
use rustix::fs::OFlags;
use rustix::fs::{fcntl_getfl, fcntl_setfl};

use crate::error::failure;
use crate::handoff::fds::{FdCollector, FdNumber};

/// Open log files, by path. Each is opened once, and its description shared by the workers that write to it.
#[derive(Debug)]
pub(crate) struct Logs {
    /// In `tmpDir` others may have put a symlink; elsewhere a symlink is the owner's wish.
    distrusted: PathBuf,
    open: BTreeMap<PathBuf, File>,
}

impl Logs {
    /// No files yet.
    pub(crate) fn new(tmp_dir: &Path) -> Self {
        Self { distrusted: tmp_dir.to_owned(), open: BTreeMap::new() }
    }

    /// Files that an earlier program of this process has opened.
    pub(crate) fn take_over(&mut self, files: impl Iterator<Item = (PathBuf, OwnedFd)>) {
        self.open.extend(files.map(|(path, file)| (path, file.into())));
    }

    /// What the next program gets.
    pub(crate) fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> BTreeMap<PathBuf, FdNumber> {
        self.open.iter().map(|(path, file)| (path.clone(), fds.add(file))).collect()
    }

    /// What a worker gets as its standard output or error.
    pub(crate) fn stdio(&mut self, output: &Output) -> Result<Stdio, Failure> {
        let path = match output {
            Output::Inherit => return Ok(Stdio::inherit()),
            Output::Discard => return Ok(Stdio::null()),
            Output::File(path) => path,
        };
        let file = match self.open.get(path) {
            Some(file) => file.try_clone(),
            None => self.append_to(path).and_then(|file| {
                let copy = file.try_clone();
                self.open.insert(path.clone(), file);
                copy
            }),
        };
        file.map(Stdio::from).map_err(|error| failure("open the log file", path, error))
    }

    /// Opens all files again, under the same names. On failure the old ones stay in use.
    pub(crate) fn reopen(&mut self) -> Result<(), Failure> {
        let mut open = BTreeMap::new();
        for path in self.open.keys() {
            let file = self.append_to(path).map_err(|error| failure("open the log file", path, error))?;
            open.insert(path.clone(), file);
        }
        self.open = open;
        Ok(())
    }

    fn append_to(&self, path: &Path) -> io::Result<File> {
        // Not blocking, lest a FIFO without a reader hold up the daemon: it is refused instead.
        let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        flags.set(OFlags::NOFOLLOW, path.starts_with(&self.distrusted));
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
        Ok(file)
    }
}
