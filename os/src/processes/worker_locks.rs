//! Which workers are alive, by locks that they hold themselves.
//!
//! `<ipcFile>.workers` has a line for each worker, its id. The line is locked (`F_OFD_SETLK`, `fcntl_locking(2)`) by an open
//! file that only the worker has, and whoever it passes that on to; the lock ends with the last of them. So a locked
//! line says that somebody of that worker is alive, whatever has become of pids, environments and the state file. A line that
//! is not locked says nothing: a worker may close what it does not know.
//!
//! The file is never removed: locks on one without a name would be out of sight.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nodesockd_core::config::Companion;
use nodesockd_core::event::Failure;
use nodesockd_core::id::WorkerId;
use rustix::process::Pid;

use crate::error::failure;
use crate::files::own;
use crate::processes::children::about;

/// The variable with the number of the descriptor by which a worker holds its lock.
pub(crate) const VARIABLE: &str = "NODESOCKD_LOCK_FD";

/// A UUID and a line feed.
const LINE: u64 = 37;

/// More lines than there can be workers of one daemon and of those before it.
const MOST: u64 = 1 << 16;

/// How many lines that were given back are tried before a new one.
const RETRIES: usize = 2;

#[derive(Debug)]
pub(crate) struct WorkerLocks {
    path: PathBuf,
    /// The lines of workers that this program has started.
    lines: BTreeMap<WorkerId, u64>,
    /// Lines that were given back. Whom a worker has started may hold one still.
    returned: VecDeque<u64>,
    /// This line and those after it were not tried yet.
    next: u64,
}

impl WorkerLocks {
    /// The file named after the control socket.
    pub(crate) fn beside(ipc_file: &Path) -> Self {
        Self {
            path: Companion::Workers.path(ipc_file),
            lines: BTreeMap::new(),
            returned: VecDeque::new(),
            next: 0,
        }
    }

    /// Locks a line for `worker`. The line stays locked as long as anybody has the returned descriptor open.
    pub(crate) fn acquire(&mut self, worker: WorkerId) -> Result<OwnedFd, Failure> {
        self.lock_line(worker).map_err(|error| failure("write", &self.path, error))
    }

    /// Gives the worker's line back. It is free when nobody has the descriptor open any more.
    pub(crate) fn release(&mut self, worker: WorkerId) {
        self.returned.extend(self.lines.remove(&worker));
    }

    fn lock_line(&mut self, worker: WorkerId) -> io::Result<OwnedFd> {
        let file = self.open(OpenOptions::new().create(true).mode(0o600))?;
        let line = self.free_line(&file)?;
        self.lines.insert(worker, line);
        file.write_all_at(format!("{worker}\n").as_bytes(), line * LINE)?;
        Ok(file.into())
    }

    /// Locks a line that nobody else has locked.
    fn free_line(&mut self, file: &File) -> io::Result<u64> {
        for _ in 0..self.returned.len().min(RETRIES) {
            let Some(line) = self.returned.pop_front() else { break };
            if lock(file, line)? {
                return Ok(line);
            }
            self.returned.push_back(line);
        }
        while self.next < MOST {
            self.next += 1;
            if lock(file, self.next - 1)? {
                return Ok(self.next - 1);
            }
        }
        Err(io::Error::other("no line is free"))
    }

    /// The workers of whom somebody is alive.
    pub(crate) fn held(&self) -> BTreeSet<WorkerId> {
        let Ok(file) = self.open(&mut OpenOptions::new()) else { return BTreeSet::new() };
        let lines = 0..file.metadata().map_or(0, |file| file.len() / LINE).min(MOST);
        lines.filter(|line| is_locked(&file, *line)).filter_map(|line| worker_on(&file, line)).collect()
    }

    /// The workers whose lines a process keeps locked: it is one of them, or has been started by one.
    pub(crate) fn held_by(&self, pid: Pid) -> Vec<WorkerId> {
        let Ok(file) = self.open(&mut OpenOptions::new()) else { return Vec::new() };
        let Ok(ours) = file.metadata() else { return Vec::new() };
        let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
        let open = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let open = open.filter(|entry| {
            let names = std::fs::metadata(entry.path());
            names.is_ok_and(|theirs| (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()))
        });
        let locks = open.filter_map(|entry| {
            let about = about(pid, &format!("fdinfo/{}", entry.file_name().to_str()?)).ok()?;
            lock_of(&String::from_utf8_lossy(&about))
        });
        locks.filter_map(|line| worker_on(&file, line)).collect()
    }

    fn open(&self, options: &mut OpenOptions) -> io::Result<File> {
        options.read(true).write(true).custom_flags(own::no_follow()).open(&self.path)
    }
}

fn lock_on(line: u64) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: (line * LINE).cast_signed(),
        l_len: LINE.cast_signed(),
        l_pid: 0,
    }
}

/// Locks a line, unless another open file has it locked.
fn lock(file: &File, line: u64) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock_on(line))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_locked(file: &File, line: u64) -> bool {
    let mut lock = lock_on(line);
    let asked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock));
    asked.is_ok() && lock.l_type != libc::F_UNLCK as libc::c_short
}

fn worker_on(file: &File, line: u64) -> Option<WorkerId> {
    let mut id = [0; LINE as usize - 1];
    file.read_exact_at(&mut id, line * LINE).ok()?;
    WorkerId::parse(std::str::from_utf8(&id).ok()?)
}

/// The line that is locked by way of a descriptor, by its `/proc/PID/fdinfo/N` (`proc(5)`):
/// `lock: 1: OFDLCK ADVISORY WRITE -1 fe:00:4711 37 73`, the last two being the first and the last byte.
fn lock_of(fdinfo: &str) -> Option<u64> {
    let lock = fdinfo.lines().find(|line| line.starts_with("lock:") && line.contains("OFDLCK"))?;
    let first: u64 = lock.split_ascii_whitespace().rev().nth(1)?.parse().ok()?;
    Some(first / LINE)
}

#[cfg(test)]
mod tests {
    use nodesockd_core::id::Ids;

    use super::*;

    #[test]
    fn lock_is_held_until_last_descriptor_closes() {
        let folder = tempfile::tempdir().unwrap();
        let mut locks = WorkerLocks::beside(&folder.path().join("nodesockd.ipc"));
        assert_eq!(locks.held(), BTreeSet::new());
        let mut ids = Ids::new(crate::random_boot_id());
        let [first, second, third] = std::array::from_fn(|_| ids.worker());
        let (one, two) = (locks.acquire(first).unwrap(), locks.acquire(second).unwrap());
        let another = one.try_clone().unwrap();
        drop(one);
        assert_eq!(locks.held(), BTreeSet::from([first, second]));
        let us = rustix::process::getpid();
        assert_eq!(BTreeSet::from_iter(locks.held_by(us)), locks.held());
        drop(another);
        assert_eq!(locks.held(), BTreeSet::from([second]));

        // The line that was given back is the next one's, once it is free.
        locks.release(first);
        let _three = locks.acquire(third).unwrap();
        assert_eq!(locks.held(), BTreeSet::from([second, third]));
        assert_eq!(std::fs::metadata(locks.path).unwrap().len(), 2 * LINE);
        drop(two);
    }

    #[test]
    fn file_of_another_format_holds_no_worker() {
        let folder = tempfile::tempdir().unwrap();
        let mut locks = WorkerLocks::beside(&folder.path().join("nodesockd.ipc"));
        std::fs::write(
            &locks.path,
            "no worker's id, but as long as two of them, and nobody's: 0123456789 0123",
        )
        .unwrap();
        assert_eq!(locks.held(), BTreeSet::new());
        let file = locks.open(&mut OpenOptions::new()).unwrap();
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock_on(0))).unwrap();
        assert_eq!(locks.held(), BTreeSet::new());
        std::fs::remove_file(&locks.path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &locks.path).unwrap();
        assert!(
            locks.acquire(Ids::new(crate::random_boot_id()).worker()).is_err(),
            "a symlink is not followed"
        );
        assert_eq!(lock_of("pos:\t0\nflags:\t02100002\n"), None);
    }
}
