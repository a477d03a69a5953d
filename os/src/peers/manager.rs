//! The service manager that started the daemon: what it wants to be told, and where (`sd_notify(3)`).
//!
//! The libraries for this block for as long as the manager does not read. A daemon must not: it decides on one thread.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdUnixDatagram};
use std::time::Duration;

use nodesockd_core::notice::{Manager, Notice};
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::peers::session::LAST_WORDS;

/// So many notices wait for a manager that does not read.
const WAITING: usize = 64;

/// The manager, if it listens: `NOTIFY_SOCKET` names a socket, in the file system or (with `@`) in the abstract
/// namespace. `WATCHDOG_USEC` is heeded if `WATCHDOG_PID` means this process, or nobody in particular.
#[must_use]
pub fn service_manager() -> Option<Manager> {
    env::var_os("NOTIFY_SOCKET")?;
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let ours =
        env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
    let limit = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && ours);
    Some(Manager { watchdog: limit.map(Duration::from_micros) })
}

/// The way to the manager. It may take its time to read; nobody here waits for that.
#[derive(Debug)]
pub(crate) struct Line {
    notices: mpsc::Sender<Notice>,
    task: JoinHandle<()>,
}

impl Line {
    /// None if no manager listens.
    pub(crate) fn open() -> Option<Self> {
        let name = env::var_os("NOTIFY_SOCKET")?;
        let (notices, waiting) = mpsc::channel(WAITING);
        Some(Self { notices, task: tokio::spawn(deliver(name, waiting)) })
    }

    /// Sends a notice after those that wait. One more that says that the daemon is alive would say nothing new.
    pub(crate) fn notify(&self, notice: &Notice) {
        let waiting = self.notices.capacity() < WAITING;
        if !(waiting && *notice == Notice::Alive) && self.notices.try_send(notice.clone()).is_err() {
            tracing::debug!("the service manager does not read, and is not told {notice:?}");
        }
    }

    /// Delivers what waits, to a manager that reads it soon.
    pub(crate) async fn close(self) {
        drop(self.notices);
        let _ = timeout(LAST_WORDS, self.task).await;
    }
}

async fn deliver(name: OsString, mut notices: mpsc::Receiver<Notice>) {
    let mut complained = false;
    while let Some(notice) = notices.recv().await {
        if let Err(error) = send(&name, &notice).await
            && !std::mem::replace(&mut complained, true)
        {
            tracing::warn!("the service manager at {} cannot be told {notice:?}: {error}", name.display());
        }
    }
}

async fn send(name: &OsStr, notice: &Notice) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    // A socket for each: the manager may have been restarted since.
    let socket = StdUnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    UnixDatagram::from_std(socket)?.send(notice.to_string().as_bytes()).await.map(drop)
}
