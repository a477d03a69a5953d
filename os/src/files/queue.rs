//! Accept queues of workers' sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nodesockd_core::event::Queue;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::files::diag::{Diag, FileId, Listener, SocketId};
use crate::files::queue_lengths::QueueLengths;

/// All unix sockets of this network namespace (`proc(5)`). It is there as well where `/proc/net` is hidden (`ProcSubset=pid` of
/// systemd).
pub(crate) const TABLE: &str = "/proc/self/net/unix";

/// Asks the kernel: by `UNIX_DIAG` where that works, else from the table of all unix sockets.
#[derive(Debug)]
pub(crate) struct Queues {
    diag: Option<Diag>,
    /// Sockets by their names, from when they were first seen: the file may be gone, or another's, when the queue
    /// is looked at for the last time.
    seen: BTreeMap<String, SocketId>,
    /// All that listened when the kernel was asked about all sockets for the last time, by the paths that they were bound to.
    /// One answer serves for many workers that begin to listen at the same time.
    listed: BTreeMap<OsString, SocketId>,
    lengths: QueueLengths,
}

impl Queues {
    /// Those that listen now are known by their names from now on, even if their files are gone: workers of an earlier daemon.
    pub(crate) fn new() -> Self {
        let asked = Diag::open().and_then(|mut diag| diag.listeners().map(|listeners| (diag, listeners)));
        let asked = asked.inspect_err(|error| {
            tracing::warn!("no UNIX_DIAG here ({error}); accept queues are read from {TABLE}");
        });
        let (diag, listeners) = asked.ok().unzip();
        Self {
            diag,
            seen: BTreeMap::new(),
            listed: by_name(listeners.unwrap_or_default()).collect(),
            lengths: QueueLengths::default(),
        }
    }

    /// Remembers the socket that listens on `path`, even if its file is gone.
    pub(crate) fn observe(&mut self, name: &str, path: &Path) {
        if let Some(diag) = &mut self.diag
            && !self.seen.contains_key(name)
            && let Ok(Some((id, _))) = find(diag, &mut self.listed, path)
        {
            self.seen.insert(name.to_owned(), id);
        }
    }

    /// What is told of a queue from now on comes from after this: links have changed, by which clients come, or nothing is asked
    /// for a while.
    pub(crate) fn ask_anew(&mut self) {
        self.lengths.forget();
    }

    /// Forgets a socket that is gone for good.
    pub(crate) fn forget(&mut self, name: &str) {
        self.seen.remove(name);
    }

    /// The accept queue of the socket that listens on `path`, or did when it was first seen. Nobody listens on a path that has
    /// no file, unless a socket was known by that name before. `holder`: the process that probably listens.
    pub(crate) fn measure(&mut self, name: &str, path: &Path, holder: Option<u32>) -> Queue {
        let Some(diag) = &mut self.diag else { return from_table(path) };
        if let Some(id) = self.seen.get(name) {
            return measured(self.lengths.of(diag, *id));
        }
        if !self.listed.contains_key(path.as_os_str()) && is_absent(path) {
            return Queue::Closed;
        }
        let found = match holder.and_then(|pid| held_by(diag, pid, path)) {
            Some(found) => Ok(Some(found)),
            None => find(diag, &mut self.listed, path),
        };
        if let Ok(Some((id, _))) = &found {
            self.seen.insert(name.to_owned(), *id);
        }
        measured(found.map(|found| found.map_or(Queue::Closed, |(_, queue)| queue)))
    }

    /// The first connections that wait in that queue, each by the inode number of its client's socket; 0 if the client has gone.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub(crate) fn list(&mut self, name: &str, path: &Path) -> io::Result<Vec<u64>> {
        let Some(diag) = &mut self.diag else { return Err(Errno::OPNOTSUPP.into()) };
        let id = match self.seen.get(name) {
            Some(id) => Some(*id),
            None => find(diag, &mut self.listed, path)?.map(|(id, _)| id),
        };
        id.map_or(Ok(Vec::new()), |id| diag.waiting(id))
    }

    /// The inode number of the socket that listens on `path`, or did when it was first seen: by that it is known in
    /// `/proc/PID/fd`.
    pub(crate) fn inode(&mut self, name: &str, path: &Path) -> Option<u64> {
        let Some(diag) = &mut self.diag else { return inode_in_table(path) };
        let id = match self.seen.get(name) {
            Some(id) => Some(*id),
            None => find(diag, &mut self.listed, path).ok().flatten().map(|(id, _)| id),
        };
        id.map(SocketId::inode)
    }

    /// The files that somebody listens on, as far as the kernel tells.
    pub(crate) fn listening_files(&mut self) -> BTreeSet<FileId> {
        let listeners = self.diag.as_mut().and_then(|diag| diag.listeners().ok()).unwrap_or_default();
        listeners.into_iter().filter_map(|listener| listener.file).collect()
    }
}

/// What `path`, followed, is called by the kernel.
pub(crate) fn file_id(path: &Path) -> io::Result<FileId> {
    std::fs::metadata(path).map(|found| FileId::new(found.dev(), found.ino()))
}

/// Whether somebody listens on `path`, found out by connecting, without waiting for a place in the queue.
pub(crate) fn answers(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The socket that listens on `path`, and its accept queue: by the name that it was bound to, else by its file. On some file
/// systems (overlayfs) the kernel and `stat(2)` disagree about inode numbers, and a new file may have the number of one that was
/// removed. Names are worker ids, so they cannot mislead.
fn find(
    diag: &mut Diag,
    listed: &mut BTreeMap<OsString, SocketId>,
    path: &Path,
) -> io::Result<Option<(SocketId, Queue)>> {
    if let Some(id) = listed.get(path.as_os_str())
        && let queue = diag.queue(*id)?
        && queue != Queue::Closed
    {
        return Ok(Some((*id, queue)));
    }
    let file = file_id(path).ok();
    let listeners = diag.listeners()?;
    let by_path = listeners.iter().find(|listener| listener.is_bound_to(path));
    let by_file = || listeners.iter().find(|listener| file.is_some() && listener.file == file);
    let found = by_path.or_else(by_file).map(|listener| (listener.id, listener.accept_queue()));
    let folder = path.parent().map_or(OsStr::new(""), Path::as_os_str).as_bytes();
    *listed = by_name(listeners).filter(|(path, _)| path.as_bytes().starts_with(folder)).collect();
    Ok(found)
}

/// Those that have a name, by it.
fn by_name(listeners: Vec<Listener>) -> impl Iterator<Item = (OsString, SocketId)> {
    listeners.into_iter().filter_map(|listener| Some((listener.path?.into_os_string(), listener.id)))
}

/// The same, if this process listens: then only its own sockets are asked about, however many there are in the system.
fn held_by(diag: &mut Diag, pid: u32, path: &Path) -> Option<(SocketId, Queue)> {
    sockets_of(pid).find_map(|inode| {
        let listener = diag.listener(inode.try_into().ok()?).ok()??;
        listener.is_bound_to(path).then(|| (listener.id, listener.accept_queue()))
    })
}

/// The inode numbers of the sockets that a process has open (`proc_pid_fd(5)`); none, if it is gone, or another user's.
pub(crate) fn sockets_of(pid: u32) -> impl Iterator<Item = u64> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| {
        let name = std::fs::read_link(descriptor.path()).ok()?;
        name.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

/// What is known of a queue.
fn measured(queue: io::Result<Queue>) -> Queue {
    queue.unwrap_or_else(|error| Queue::Unknown(format!("UNIX_DIAG: {error}")))
}

fn is_absent(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn from_table(path: &Path) -> Queue {
    match std::fs::read(TABLE) {
        Ok(table) => match read_table(&String::from_utf8_lossy(&table), path) {
            // The table has the name that the socket was bound to, which need not be this one.
            Queue::Closed if answers(path).unwrap_or(false) => {
                Queue::Unknown(format!("{} listens by another name", path.display()))
            }
            queue @ (Queue::Length(_) | Queue::Full(_) | Queue::Closed | Queue::Unknown(_)) => queue,
        },
        Err(error) => Queue::Unknown(format!("{TABLE}: {error}")),
    }
}

fn inode_in_table(path: &Path) -> Option<u64> {
    let table = std::fs::read(TABLE).ok()?;
    let table = String::from_utf8_lossy(&table);
    let path = path.to_string_lossy();
    let found = table.lines().skip(1).filter_map(Row::read).find(|row| row.listens && row.path == path)?;
    found.inode.parse().ok()
}

/// `Num RefCount Protocol Flags Type St Inode Path` (`proc(5)`). The listening socket has the flag `SO_ACCEPTCON`; a
/// connection that nobody has accepted has the listener's path, state 02 and no inode.
fn read_table(table: &str, path: &Path) -> Queue {
    let path = path.to_string_lossy();
    let mut listening = false;
    let mut waiting = 0;
    for row in table.lines().skip(1).filter_map(Row::read).filter(|row| row.path == path) {
        listening |= row.listens;
        waiting += u32::from(row.waits);
    }
    if listening { Queue::Length(waiting) } else { Queue::Closed }
}

/// A socket with a name.
struct Row<'a> {
    listens: bool,
    /// A connection that nobody has accepted.
    waits: bool,
    inode: &'a str,
    path: &'a str,
}

impl<'a> Row<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.splitn(7, ' ').collect();
        let &[_, _, _, flags, _, state, rest] = fields.as_slice() else { return None };
        let (inode, path) = rest.trim_start().split_once(' ')?;
        Some(Self { listens: flags == "00010000", waits: state == "02" && inode == "0", inode, path })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    use rustix::fs::fstat;

    use super::*;
    use crate::files::diag::FIRST;

    /// Both ways of asking, about the same sockets.
    #[test]
    fn proc_net_unix_agrees_with_unix_diag() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a socket with spaces");
        let mut by_diag = Queues::new();
        assert!(by_diag.diag.is_some());
        let mut by_table = Queues { diag: None, ..Queues::new() };
        let mut both = || [by_diag.measure("a", &path, None), by_table.measure("a", &path, None)];
        assert_eq!(both(), [Queue::Closed, Queue::Closed]);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(both(), [Queue::Length(0), Queue::Length(0)]);
        let inode = by_table.inode("a", &path).unwrap();
        assert_eq!(by_diag.inode("a", &path), Some(inode));
        let fd = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        assert_eq!(fd.to_str(), Some(format!("socket:[{inode}]").as_str()));
        let mut both = || [by_diag.measure("a", &path, None), by_table.measure("a", &path, None)];
        let _clients: Vec<_> = (0..4).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let _accepted = listener.accept().unwrap();
        assert_eq!(both(), [Queue::Length(3), Queue::Length(3)]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(both(), [Queue::Length(3), Queue::Length(3)]);
        drop(listener);
        assert_eq!(both(), [Queue::Closed, Queue::Closed]);
    }

    #[test]
    fn socket_of_an_earlier_daemon_s_worker_is_known_although_its_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let listener = UnixListener::bind(&path).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Queues::new().measure("a", &path, None), Queue::Length(1));
        assert_eq!(Queues::new().measure("a", &path, Some(std::process::id())), Queue::Length(1));
        drop(listener);
        assert_eq!(Queues::new().measure("a", &path, None), Queue::Closed);
    }

    /// A connection that was accepted has the name of its listener.
    #[test]
    fn holder_is_asked_about_its_own_listeners() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        let _other = UnixListener::bind(&other).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let _accepted = listener.accept().unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        let mut diag = Diag::open().unwrap();
        let me = std::process::id();
        let (id, queue) = held_by(&mut diag, me, &path).unwrap();
        assert_eq!((id.inode(), queue), (fstat(&listener).unwrap().st_ino, Queue::Length(1)));
        let found = find(&mut diag, &mut BTreeMap::new(), &path).unwrap();
        assert_eq!(found, Some((id, Queue::Length(1))));
        drop(listener);
        assert_eq!(held_by(&mut diag, me, &path), None);
    }

    #[test]
    fn queue_is_listed_in_the_order_in_which_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut queues = Queues::new();
        assert_eq!(queues.list("a", &path).unwrap(), [] as [u64; 0]);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(queues.list("a", &path).unwrap(), [] as [u64; 0]);
        let mut clients: Vec<_> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let inodes: Vec<u64> = clients.iter().map(|client| fstat(client).unwrap().st_ino).collect();
        assert_eq!(queues.list("a", &path).unwrap(), inodes);
        let _accepted = listener.accept().unwrap();
        assert_eq!(queues.list("a", &path).unwrap(), inodes[1..]);
        // One that has gone waits on.
        clients.remove(1);
        assert_eq!(queues.list("a", &path).unwrap(), [0, inodes[2]]);
        clients.extend((0..30).map(|_| UnixStream::connect(&path).unwrap()));
        let listed = queues.list("a", &path).unwrap();
        assert_eq!((listed.len(), &listed[..2]), (FIRST, &[0, inodes[2]][..]));
    }
}
