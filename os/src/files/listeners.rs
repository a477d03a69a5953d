//! Listening sockets that the daemon keeps and workers inherit.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nodesockd_core::event::Failure;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

use crate::error::failure;
use crate::handoff::fds::{FdCollector, FdNumber};

/// Connections that may wait. The kernel makes it `net.core.somaxconn` where that is less (listen(2)).
const BACKLOG: i32 = 4096;

/// Sockets by their file names.
#[derive(Debug, Default)]
pub(crate) struct Listeners(BTreeMap<String, OwnedFd>);

impl Listeners {
    /// Binds a socket to `path`, which must be free, and listens.
    ///
    /// It blocks, as a worker that knows nothing of event loops expects. The flag belongs to the socket rather than to
    /// the descriptor, so one that sets it, as Node does, sets it for the next worker, too.
    pub(crate) fn open(&mut self, name: &str, path: &Path) -> Result<(), Failure> {
        let cannot = |error| failure("listen on", path, error);
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let socket = socket.map_err(cannot)?;
        bind(&socket, &SocketAddrUnix::new(path).map_err(cannot)?).map_err(cannot)?;
        if let Err(error) = listen(&socket, BACKLOG) {
            let _ = std::fs::remove_file(path);
            return Err(cannot(error));
        }
        self.0.insert(name.to_owned(), socket);
        Ok(())
    }

    /// Sockets that an earlier program of this process has opened.
    pub(crate) fn take_over(&mut self, sockets: impl Iterator<Item = (String, OwnedFd)>) {
        self.0.extend(sockets);
    }

    /// What the next program gets.
    pub(crate) fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> BTreeMap<String, FdNumber> {
        self.0.iter().map(|(name, socket)| (name.clone(), fds.add(socket))).collect()
    }

    /// Closes a socket. Its file stays.
    pub(crate) fn close(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The sockets of these names.
    pub(crate) fn get(&self, names: &[String]) -> Result<Vec<BorrowedFd<'_>>, Failure> {
        let open = |name: &String| {
            let socket = self.0.get(name).map(AsFd::as_fd);
            socket.ok_or_else(|| Failure(format!("the listening socket `{name}` is not open")))
        };
        names.iter().map(open).collect()
    }
}
