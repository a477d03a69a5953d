//! The service manager that started the daemon: what it wants to be told, and where (`sd_notify(3)`).
//!
//! The libraries for this wait for as long as the manager does not read. A daemon must not: it decides on one thread.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdUnixDatagram};
use std::time::Duration;

use nodesockd_core::notice::{Manager, Notice};
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// A manager that has not taken a notice by then misses it. Longer than its main loop stalls on a starved machine.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// Sends a notice, and gives up on a manager that does not take it.
pub(crate) async fn notify(notice: &Notice) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return };
    let sent = timeout(PATIENCE, send(&name, notice)).await.unwrap_or_else(|late| Err(late.into()));
    if let Err(error) = sent {
        tracing::warn!("the service manager at {} was not told {notice:?}: {error}", name.display());
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
