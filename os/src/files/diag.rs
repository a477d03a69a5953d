//! `UNIX_DIAG`: asking the kernel about listening unix sockets over netlink (`sock_diag(7)`).
//!
//! Needs no privilege, and sees the sockets of this network namespace, with or without a file. Messages are built and
//! read field by field in the machine's byte order, as the kernel's `linux/unix_diag.h` lays them out.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nodesockd_core::event::Queue;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const AF_UNIX: u8 = 1;
/// `TCP_LISTEN`, which unix sockets use, too.
const TCP_LISTEN: u8 = 10;
const LISTENING: u32 = 1 << TCP_LISTEN;
/// `INET_DIAG_NOCOOKIE`: whichever socket has the inode number.
const NO_COOKIE: [u32; 2] = [u32::MAX; 2];
const UDIAG_SHOW_NAME: u32 = 0x1;
const UDIAG_SHOW_VFS: u32 = 0x2;
const UDIAG_SHOW_ICONS: u32 = 0x8;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
/// What is asked about listening sockets.
const LISTENER: u32 = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_RQLEN;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
const UNIX_DIAG_ICONS: u16 = 3;
const UNIX_DIAG_RQLEN: u16 = 4;
/// So many of the connections that wait are listed.
pub(crate) const FIRST: usize = 16;
const HEADER: usize = 16;
/// The kernel sends at most 32 KiB at once.
const BUFFER: usize = 64 << 10;
/// One socket takes some hundred bytes, as its name has at most 108; if what waits is not asked for.
const BUFFER_FOR_ONE: usize = 1 << 10;

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Diag {
    socket: OwnedFd,
    sequence: u32,
}

/// A socket for as long as it lives; the kernel never uses the cookie again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SocketId {
    inode: u32,
    cookie: [u32; 2],
}

impl SocketId {
    /// Its number in `/proc/PID/fd`.
    pub(crate) fn inode(self) -> u64 {
        self.inode.into()
    }
}

/// The file a socket was bound to, as the kernel counts: the low bits of the inode number, and the device as
/// `major << 20 | minor`, which is not how `stat(2)` writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId {
    inode: u32,
    device: u32,
}

impl FileId {
    /// From what `stat(2)` says.
    #[expect(clippy::cast_possible_truncation, reason = "the kernel cuts the inode number in the same way")]
    pub(crate) fn new(device: u64, inode: u64) -> Self {
        let device = rustix::fs::major(device) << 20 | rustix::fs::minor(device);
        Self { inode: inode as u32, device }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: SocketId,
    pub(crate) file: Option<FileId>,
    /// The path as it was given to `bind(2)`, if it has one.
    pub(crate) path: Option<PathBuf>,
    /// Connections waiting to be accepted.
    pub(crate) queue: u32,
    /// With more than so many, the kernel refuses further ones (`sk_max_ack_backlog`).
    backlog: u32,
    /// The first of them, if these were asked for: the inode numbers of the clients' sockets.
    waiting: Vec<u64>,
}

impl Diag {
    /// # Errors
    ///
    /// This system has no netlink, or forbids it (seccomp).
    pub(crate) fn open() -> io::Result<Self> {
        let protocol = Some(netlink::SOCK_DIAG);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, protocol)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// All listening sockets.
    ///
    /// # Errors
    ///
    /// ENOENT: the kernel has no `unix_diag`.
    pub(crate) fn listeners(&mut self) -> io::Result<Vec<Listener>> {
        self.ask(None, LISTENER)
    }

    /// The socket that has this inode number, if it listens.
    pub(crate) fn listener(&mut self, inode: u32) -> io::Result<Option<Listener>> {
        self.about(SocketId { inode, cookie: NO_COOKIE }, LISTENER)
    }

    /// The accept queue of a socket.
    pub(crate) fn queue(&mut self, id: SocketId) -> io::Result<Queue> {
        self.about(id, LISTENER).map(|found| found.map_or(Queue::Closed, |listener| listener.accept_queue()))
    }

    /// The accept queues of all listening sockets.
    pub(crate) fn queues(&mut self) -> io::Result<HashMap<SocketId, Queue>> {
        let listeners = self.ask(None, UDIAG_SHOW_RQLEN)?;
        Ok(listeners.iter().map(|listener| (listener.id, listener.accept_queue())).collect())
    }

    /// The first connections that wait in the accept queue of a socket, by the inode numbers of the clients' sockets; 0: the
    /// client has gone. Nothing, when the socket is closed.
    pub(crate) fn waiting(&mut self, id: SocketId) -> io::Result<Vec<u64>> {
        let found = match self.about(id, UDIAG_SHOW_ICONS) {
            // A long queue does not fit into the answer about one socket, on some kernels.
            Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => {
                self.ask(None, UDIAG_SHOW_ICONS)?.into_iter().find(|listener| listener.id == id)
            }
            found => found?,
        };
        Ok(found.map(|listener| listener.waiting).unwrap_or_default())
    }

    /// A socket; `None` when it is closed.
    fn about(&mut self, id: SocketId, show: u32) -> io::Result<Option<Listener>> {
        match self.ask(Some(id), show) {
            Ok(found) => Ok(found.into_iter().next()),
            // ESTALE: the inode number is another socket's by now.
            Err(error) if matches!(error.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ESTALE)) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks about one socket, or all that listen. The kernel answers within `send`, so nothing here waits.
    fn ask(&mut self, about: Option<SocketId>, show: u32) -> io::Result<Vec<Listener>> {
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.socket, &request(self.sequence, about, show), SendFlags::empty())?;
        let mut found = Vec::new();
        let short = about.is_some() && show == LISTENER;
        let mut buffer = vec![0; if short { BUFFER_FOR_ONE } else { BUFFER }];
        loop {
            let (length, _) = recv(&self.socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT)?;
            let mut rest = &buffer[..length];
            while let Some(message) = Message::first(rest) {
                rest = rest.get(aligned(message.length)..).unwrap_or_default();
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => return Err(error(message.payload)),
                    SOCK_DIAG_BY_FAMILY => found.extend(Listener::read(message.payload)),
                    _ => {}
                }
            }
            if about.is_some() {
                return Ok(found);
            }
        }
    }
}

/// `struct nlmsghdr`, then `struct unix_diag_req`.
fn request(sequence: u32, about: Option<SocketId>, show: u32) -> Vec<u8> {
    let flags = if about.is_some() { NLM_F_REQUEST } else { NLM_F_REQUEST | NLM_F_DUMP };
    let SocketId { inode, cookie } = about.unwrap_or(SocketId { inode: 0, cookie: [0; 2] });
    let mut body = vec![AF_UNIX, 0, 0, 0];
    for word in [LISTENING, inode, show, cookie[0], cookie[1]] {
        body.extend(word.to_ne_bytes());
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is 40")]
    let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

struct Message<'a> {
    length: usize,
    kind: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let length = word(bytes, 0)? as usize;
        let payload = bytes.get(HEADER..length)?;
        Some(Self { length, kind: half(bytes, 4)?, sequence: word(bytes, 8)?, payload })
    }
}

impl Listener {
    /// It was bound to this path, by the same text.
    pub(crate) fn is_bound_to(&self, path: &Path) -> bool {
        self.path.as_deref().is_some_and(|bound| bound.as_os_str() == path.as_os_str())
    }

    /// How long its accept queue is, and whether more fits into it.
    pub(crate) fn accept_queue(&self) -> Queue {
        let of_length = if self.queue > self.backlog { Queue::Full } else { Queue::Length };
        of_length(self.queue)
    }

    /// `struct unix_diag_msg`, then attributes.
    fn read(message: &[u8]) -> Option<Self> {
        // The kernel looks at the state only where it is asked about all sockets.
        if message.get(2) != Some(&TCP_LISTEN) {
            return None;
        }
        let id = SocketId { inode: word(message, 4)?, cookie: [word(message, 8)?, word(message, 12)?] };
        let mut listener =
            Self { id, file: None, path: None, queue: 0, backlog: u32::MAX, waiting: Vec::new() };
        let mut rest = message.get(16..)?;
        while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
            let length = usize::from(length);
            let value = rest.get(4..length)?;
            match kind {
                // An abstract name starts with a zero byte; a path may end with one.
                UNIX_DIAG_NAME if value.first() != Some(&0) => {
                    let path = value.split(|byte| *byte == 0).next().unwrap_or_default();
                    listener.path = Some(OsStr::from_bytes(path).into());
                }
                UNIX_DIAG_VFS => {
                    listener.file = Some(FileId { inode: word(value, 0)?, device: word(value, 4)? });
                }
                UNIX_DIAG_ICONS => {
                    let inodes = (0..FIRST).map_while(|nth| word(value, 4 * nth));
                    listener.waiting = inodes.map(u64::from).collect();
                }
                UNIX_DIAG_RQLEN => {
                    listener.queue = word(value, 0)?;
                    listener.backlog = word(value, 4)?;
                }
                _ => {}
            }
            rest = rest.get(aligned(length)..).unwrap_or_default();
        }
        Some(listener)
    }
}

/// `struct nlmsgerr` starts with a negative error number.
fn error(payload: &[u8]) -> io::Error {
    let code = word(payload, 0).unwrap_or(0).cast_signed();
    io::Error::from_raw_os_error(code.wrapping_neg())
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}
