//! `NOTIFY_SOCKET`: how a worker without our library says that it is ready (`sd_notify(3)`).
//!
//! Each worker has a socket of its own, in the abstract namespace (unix(7)): it leaves no file behind, whoever dies. Such
//! a socket has no permissions, so who sends is looked at.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdUnixDatagram};
use std::sync::Arc;

use nodesockd_core::Event;
use nodesockd_core::id::WorkerId;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, UCred, recvmsg, sockopt};
use rustix::process::{Pid, geteuid};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;

use crate::handoff::fds::FdNumber;
use crate::handoff::pause::PauseToken;
use crate::peers::session::Fact;
use crate::processes::children::Stat;

/// A notice may have many lines; ours is one of them.
const LONGEST: usize = 4096;

/// The socket of a worker.
pub(crate) fn open(worker: WorkerId) -> io::Result<UnixDatagram> {
    let socket = StdUnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name(worker))?)?;
    socket.set_nonblocking(true)?;
    sockopt::set_socket_passcred(&socket, true)?;
    UnixDatagram::from_std(socket)
}

/// The socket of a worker, from an earlier program of this process.
pub(crate) fn from_handoff(socket: FdNumber) -> io::Result<Arc<UnixDatagram>> {
    UnixDatagram::from_std(socket.open().into()).map(Arc::new)
}

/// What to call it in `NOTIFY_SOCKET`.
pub(crate) fn address(worker: WorkerId) -> String {
    format!("@{}", name(worker))
}

fn name(worker: WorkerId) -> String {
    format!("nodesockd/{worker}/notify")
}

/// Hears the worker whose process group is `group`. What it says later is taken in, so that it is never kept waiting.
pub(crate) async fn serve(
    worker: WorkerId,
    group: Pid,
    socket: Arc<UnixDatagram>,
    facts: mpsc::Sender<Fact>,
    mut token: PauseToken,
) {
    let mut strangers = 0_u64;
    loop {
        let received = tokio::select! {
            biased;
            () = token.requested() => return,
            received = socket.async_io(Interest::READABLE, || receive(&socket)) => received,
        };
        let Ok((notice, sender)) = received else { return };
        if !notice.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            continue;
        }
        if sender.is_some_and(|sender| belongs(sender, group)) {
            let _ = facts.send(Fact::Event(Event::Notified { worker })).await;
        } else {
            strangers += 1;
            // Any user of the machine can say so, as often as they like: the 1st, 2nd, 4th, 8th … time is told.
            if strangers.is_power_of_two() {
                tracing::warn!(
                    "somebody else says that worker {} is ready ({strangers} times so far), which is ignored",
                    worker.short()
                );
            }
        }
    }
}

fn receive(socket: &UnixDatagram) -> io::Result<(Vec<u8>, Option<UCred>)> {
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let buffers = &mut [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(socket, buffers, &mut control, RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC)?;
    let sender = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => Some(sender),
        RecvAncillaryMessage::ScmRights(_) | _ => None,
    });
    bytes.truncate(received.bytes);
    Ok((bytes, sender))
}

/// It runs as we do and is of the worker's process group, as far as that can be told: a helper that was started only to
/// notify may be gone by now.
fn belongs(sender: UCred, group: Pid) -> bool {
    sender.uid == geteuid() && Stat::of(sender.pid).is_none_or(|stat| stat.group == Some(group))
}
