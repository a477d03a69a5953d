//! Who holds a lock, as far as others can see.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nodesockd_core::config::Companion;

use super::own;

/// All locks of this machine, as far as they can be seen from here (`proc(5)`).
const TABLE: &str = "/proc/locks";

/// Bytes of a lock file that are read: a pid and a path.
const READ: u64 = 8 << 10;

/// A daemon that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Its control socket, if the lock file says.
    pub ipc_file: Option<PathBuf>,
}

/// The daemon that holds the lock of the control socket `ipc_file`, whether it listens there or not.
#[must_use]
pub fn lock_holder(ipc_file: &Path) -> Option<Holder> {
    holder(&Companion::Lock.path(ipc_file))
}

/// Who holds the lock file at `path`. Nobody's lock is touched: to try it would keep a daemon out that starts right now.
pub(crate) fn holder(path: &Path) -> Option<Holder> {
    let named = read(path)?;
    let locks = std::fs::read_to_string(TABLE).ok()?;
    locks.lines().any(|line| writes(line, named.pid)).then_some(named)
}

/// Whom a lock file names; that says nothing about whether he is alive.
pub(crate) fn read(path: &Path) -> Option<Holder> {
    let file = OpenOptions::new().read(true).custom_flags(own::no_follow()).open(path).ok()?;
    let mut text = String::new();
    file.take(READ).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    Some(Holder { pid, ipc_file: lines.next().filter(|line| !line.is_empty()).map(PathBuf::from) })
}

/// What a lock file says.
pub(crate) fn words(ipc_file: &Path) -> String {
    format!("{}\n{}\n", std::process::id(), ipc_file.display())
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fe:00:10731522 0 EOF`; one who waits for a lock has an arrow before the kind.
fn writes(line: &str, pid: u32) -> bool {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    matches!(fields.as_slice(), [_, "FLOCK", _, "WRITE", its, ..] if its.parse() == Ok(pid))
}

/// The processes that share a lock (`LOCK_SH`) on the file of this device and inode, but for this one.
pub(crate) fn sharers(device: u64, inode: u64) -> Vec<u32> {
    let table = std::fs::read_to_string(TABLE).unwrap_or_default();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    let sharer = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields.as_slice() {
            [_, "FLOCK", _, "READ", pid, its, ..] if *its == file => pid.parse().ok(),
            _ => None,
        }
    };
    table.lines().filter_map(sharer).filter(|pid| *pid != std::process::id()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_that_is_held_has_a_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        assert_eq!(holder(&path), None);
        std::fs::write(&path, words(Path::new("/run/a.ipc"))).unwrap();
        let us = Holder { pid: std::process::id(), ipc_file: Some("/run/a.ipc".into()) };
        assert_eq!(read(&path), Some(us));
        assert!(writes("1: FLOCK  ADVISORY  WRITE 4711 fe:00:10731522 0 EOF", 4711));
        assert!(!writes("1: FLOCK  ADVISORY  READ 4711 fe:00:10731522 0 EOF", 4711));
        assert!(!writes("8: -> FLOCK  ADVISORY  WRITE 4711 fe:00:10250127 0 EOF", 4711));
        std::fs::write(&path, "4294967295\n").unwrap();
        assert_eq!(holder(&path), None, "there is no such process");
        std::fs::write(&path, "4711").unwrap();
        assert_eq!(read(&path), Some(Holder { pid: 4711, ipc_file: None }), "written by an earlier version");
    }
}
