//! What sink and daemon say to each other: one message a packet (`SOCK_SEQPACKET`, unix(7)), some with a descriptor
//! (`SCM_RIGHTS`). Messages that are not known are skipped, so that a daemon and the sink of an older one understand each other.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nodesockd_core::action::{Destination, Stream};
use nodesockd_core::config::Log;
use nodesockd_core::id::{SlotIndex, WorkerId};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// More bytes than a message has.
const LONGEST: usize = 64 << 10;

/// A stream of a worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Pipe {
    pub worker: WorkerId,
    pub stream: Stream,
    pub to: Destination,
}

/// What the daemon says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ToSink {
    /// With its standard error: from now on, what is for there goes to this one.
    Stderr,
    /// With the reading end: what comes from there is the sink's to read.
    Take(Pipe),
    /// What did the worker write last?
    LastLines { worker: WorkerId },
    /// What is for the log goes there from now on.
    Log(Log),
    /// The worker serves this slot from now on.
    Label { worker: WorkerId, slot: SlotIndex },
    /// With a program: become that one, and say when it is ready.
    Become,
    /// Pass on what has come, and say so.
    Finish,
}

/// What the sink says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum FromSink {
    /// With a copy of the reading end: it reads this one.
    Reads(Pipe),
    /// The version of its program. Sinks that do not say this are older.
    Version(String),
    /// The log cannot be written as it is to be; without words, it can again.
    Log { trouble: Option<String> },
    /// All that it read when the daemon came has been said.
    Ready,
    /// What the worker wrote last.
    LastLines { worker: WorkerId, lines: Vec<String> },
    /// Nobody can write to it any more, and all that came is passed on.
    Ended(Pipe),
    /// What had come is passed on.
    Finished,
}

/// A message as it is sent.
#[derive(Debug)]
pub(super) struct Packet {
    text: Vec<u8>,
    fd: Option<OwnedFd>,
}

impl Packet {
    pub fn new(message: &impl Serialize, fd: Option<OwnedFd>) -> io::Result<Self> {
        Ok(Self { text: serde_json::to_vec(message)?, fd })
    }

    /// Sends it. Never waits.
    pub fn send(&self, socket: impl AsFd) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<BorrowedFd<'_>> = self.fd.iter().map(AsFd::as_fd).collect();
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(socket, &[IoSlice::new(&self.text)], &mut control, flags)?;
        Ok(())
    }
}

/// What was received.
#[derive(Debug)]
pub(super) enum Received<T> {
    Message(T, Option<OwnedFd>),
    /// Something that is not known.
    Unknown,
    /// The other side has closed the connection.
    Closed,
}

/// Receives a message. Never waits.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Received<T>> {
    let mut buffer = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags)?;
    let mut fd = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            fd = fds.last().or(fd);
        }
    }
    if received.bytes == 0 {
        return Ok(Received::Closed);
    }
    let message = serde_json::from_slice(&buffer[..received.bytes]);
    Ok(message.map_or(Received::Unknown, |message| Received::Message(message, fd)))
}
