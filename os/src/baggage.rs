//! What a backend holds, as the next program of the same process gets it: descriptors by their numbers, and what was said
//! by or to somebody and is on its way.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nodesockd_core::frame::Rest;
use nodesockd_core::id::{ConnId, Process, WorkerId};
use serde::{Deserialize, Serialize};

/// All of it. Fields may be added with a default.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Baggage {
    pub lock: Number,
    pub control: Number,
    /// Connections that were made to the control socket.
    pub connections: u64,
    pub workers: Vec<WorkerBaggage>,
    pub clients: Vec<ClientBaggage>,
    /// Sockets that workers inherit, by their file names.
    pub listeners: BTreeMap<String, Number>,
    pub logs: BTreeMap<PathBuf, Number>,
    pub dev_server: Option<DevServerBaggage>,
}

/// A worker's process that has not been collected.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerBaggage {
    pub id: WorkerId,
    pub process: Process,
    /// It is a child of this process.
    pub child: bool,
    /// Its channel, if that is open.
    pub channel: Option<Talk>,
    /// Its `NOTIFY_SOCKET`, if it has one.
    pub notices: Option<Number>,
}

/// A connection to the control socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClientBaggage {
    pub conn: ConnId,
    pub pid: Option<u32>,
    /// It is a worker's.
    pub survivor: bool,
    pub talk: Talk,
}

/// A conversation between two bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Talk {
    pub stream: Number,
    /// What was read of a line that is not complete.
    pub unread: Rest,
    /// What has not been written yet.
    pub unwritten: Vec<u8>,
}

/// A running dev server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DevServerBaggage {
    pub asked: u16,
    pub sockets: Vec<Number>,
    pub links: Vec<PathBuf>,
}

/// The number of a descriptor that the next program gets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Number(RawFd);

impl Number {
    /// The descriptor. The number is used up by that: it is in the baggage once, and the baggage is unpacked once.
    #[expect(unsafe_code, reason = "a program can tell the next one of the same process only numbers")]
    pub fn open(self) -> OwnedFd {
        // SAFETY: the program before this one kept it open for this one alone, and put each number down once; that this is
        // so is what the name of the file and its checksum stand for.
        unsafe { OwnedFd::from_raw_fd(self.0) }
    }
}

/// The descriptors that are to stay open.
#[derive(Debug, Default)]
pub(crate) struct Porter<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Porter<'a> {
    /// Takes one more.
    pub fn take(&mut self, descriptor: &'a impl AsFd) -> Number {
        let descriptor = descriptor.as_fd();
        self.0.push(descriptor);
        Number(descriptor.as_raw_fd())
    }

    pub fn descriptors(&self) -> &[BorrowedFd<'a>] {
        &self.0
    }
}
