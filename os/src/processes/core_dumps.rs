//! Which processes begin to dump core: the kernel announces that over its connector (`linux/cn_proc.h`).
//!
//! Since kernel 6.6 this needs no privilege and can be confined to one kind of event, so that nothing else wakes the daemon.
//! Earlier kernels take no notice of such a request. Neither does any kernel in a container, whose namespaces are not those of
//! the machine.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use tokio::sync::mpsc;

use crate::handoff::pause::PauseToken;
use crate::peers::session::Fact;
use crate::readable::register;

/// `CN_IDX_PROC` and `CN_VAL_PROC`: who in the kernel is spoken to, and the group that it speaks to.
const PROC: u32 = 1;
const LISTEN: u32 = 1;
const COREDUMP: u32 = 0x4000_0000;
const NLMSG_DONE: u16 = 3;
/// The headers of a message: of netlink, of the connector.
const HEADERS: usize = 16 + 20;

/// Reports core dumps until that is to stop.
pub(crate) fn watch(
    facts: mpsc::Sender<Fact>,
    mut token: PauseToken,
) -> io::Result<impl Future<Output = ()>> {
    let socket = register(subscribe()?)?;
    Ok(async move {
        loop {
            let ready = tokio::select! {
                biased;
                () = token.requested() => return,
                ready = socket.readable() => ready,
            };
            let Ok(mut ready) = ready else { return };
            let mut buffer = [0; 512];
            match recv(socket.get_ref(), &mut buffer, RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    if let Some(pid) = dumping(&buffer[..length]) {
                        let _ = facts.send(Fact::DumpsCore { pid }).await;
                    }
                }
                // Messages were lost.
                Err(rustix::io::Errno::NOBUFS) => {}
                Err(_) => ready.clear_ready(),
            }
        }
    })
}

fn subscribe() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::CONNECTOR))?;
    bind(&socket, &SocketAddrNetlink::new(0, PROC))?;
    send(&socket, &request(), SendFlags::empty())?;
    Ok(socket)
}

/// `struct nlmsghdr`, `struct cn_msg`, `struct proc_input`.
fn request() -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let body = words(&[LISTEN, COREDUMP]);
    let length = u32::try_from(HEADERS + body.len()).unwrap_or(u32::MAX);
    let mut message = words(&[length]);
    message.extend(NLMSG_DONE.to_ne_bytes());
    message.extend(0_u16.to_ne_bytes());
    message.extend(words(&[0, 0, PROC, PROC, 0, 0]));
    message.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_ne_bytes());
    message.extend(0_u16.to_ne_bytes());
    message.extend(body);
    message
}

/// The process that an event (`struct proc_event`: kind, CPU, time, thread, process, …) says is dumping core.
fn dumping(message: &[u8]) -> Option<u32> {
    let event = message.get(HEADERS..)?;
    let word = |at: usize| Some(u32::from_ne_bytes(event.get(at..at + 4)?.try_into().ok()?));
    (word(0)? == COREDUMP).then(|| word(20))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_names_the_process_not_the_thread() {
        let mut message = vec![0; HEADERS];
        for word in [COREDUMP, 0, 0, 0, 4712, 4711, 1, 1] {
            message.extend(word.to_ne_bytes());
        }
        assert_eq!(dumping(&message), Some(4711));
        message[HEADERS] = 1;
        assert_eq!(dumping(&message), None);
        assert_eq!(dumping(&[]), None);
    }

    #[test]
    fn request_is_as_long_as_it_says() {
        assert_eq!(request().len(), 44);
    }
}
