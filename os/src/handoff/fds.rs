//! The descriptors that the next program of this process gets, by their numbers, and the bytes of conversations that are
//! not complete.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nodesockd_core::config::{DevAddress, MetricsAddress};
use nodesockd_core::frame::Rest;
use nodesockd_core::id::{ConnId, Process, WorkerId};
use serde::{Deserialize, Serialize};

use crate::sink::Pipe;

/// All that a backend holds. Fields may be added with a default.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HandoffFds {
    pub lock: FdNumber,
    /// Locks on the names of links and sockets, by the pattern of the names.
    #[serde(default)]
    pub claims: BTreeMap<String, FdNumber>,
    pub control: FdNumber,
    /// Connections that were made to the control socket.
    pub connections: u64,
    pub workers: Vec<WorkerFds>,
    pub clients: Vec<ClientFds>,
    /// Sockets that workers inherit, by their file names.
    pub listeners: BTreeMap<String, FdNumber>,
    pub logs: BTreeMap<PathBuf, FdNumber>,
    pub dev_server: Option<DevServerFds>,
    /// Where metrics are served.
    #[serde(default)]
    pub metrics_server: Option<MetricsServerFds>,
    /// Who waits for metrics.
    #[serde(default)]
    pub scrapes: Vec<ScrapeFds>,
    /// Pipes of workers' output that the sink reads.
    #[serde(default)]
    pub pipes: Vec<PipeFds>,
    /// Lines of the log that could not be written.
    #[serde(default)]
    pub lines_missed: u64,
}

/// A worker's process that has not been collected.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerFds {
    pub id: WorkerId,
    pub process: Process,
    /// It is a child of this process.
    pub child: bool,
    /// Its channel, if that is open.
    pub channel: Option<PausedStream>,
    /// Its `NOTIFY_SOCKET`, if it has one.
    pub notices: Option<FdNumber>,
}

/// A connection to the control socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClientFds {
    pub conn: ConnId,
    pub pid: Option<u32>,
    #[serde(default)]
    pub uid: Option<u32>,
    /// It is a worker's.
    pub survivor: bool,
    pub stream: PausedStream,
}

/// A stream, paused between two bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PausedStream {
    pub stream: FdNumber,
    /// What was read of a line that is not complete.
    pub unread: Rest,
    /// What has not been written yet.
    pub unwritten: Vec<u8>,
}

/// The reading end of a pipe.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PipeFds {
    pub pipe: Pipe,
    pub end: FdNumber,
}

/// A running dev server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DevServerFds {
    pub asked: DevAddress,
    pub sockets: Vec<FdNumber>,
    pub links: Vec<PathBuf>,
}

/// A running server of metrics.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetricsServerFds {
    pub address: MetricsAddress,
    pub socket: FdNumber,
}

/// A connection that has not been answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ScrapeFds {
    pub stream: FdNumber,
    /// What has come of the request.
    pub head: Vec<u8>,
}

/// The number of a descriptor that the next program gets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FdNumber(RawFd);

impl FdNumber {
    /// The descriptor. Each number is in the hand-off once, and the hand-off is unpacked once.
    #[expect(unsafe_code, reason = "a program can tell the next one of the same process only numbers")]
    pub fn open(self) -> OwnedFd {
        // SAFETY: the program before this one kept the descriptor open for this one alone, and wrote each number down
        // once. The name and the checksum of the file show that this program wrote it.
        unsafe { OwnedFd::from_raw_fd(self.0) }
    }
}

/// Collects the descriptors that have to stay open.
#[derive(Debug, Default)]
pub(crate) struct FdCollector<'a>(Vec<BorrowedFd<'a>>);

impl<'a> FdCollector<'a> {
    /// Adds a descriptor, and returns its number for the hand-off.
    pub fn add(&mut self, descriptor: &'a impl AsFd) -> FdNumber {
        let descriptor = descriptor.as_fd();
        self.0.push(descriptor);
        FdNumber(descriptor.as_raw_fd())
    }

    pub fn descriptors(&self) -> &[BorrowedFd<'a>] {
        &self.0
    }
}
