//! What to do when a connection cannot be accepted, or is not to be any more.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

/// How long to leave connections waiting when we are out of descriptors or memory.
const RESPITE: Duration = Duration::from_millis(500);

/// Looks after one listening socket.
#[derive(Debug, Default)]
pub(crate) struct Acceptor {
    exhausted: bool,
}

impl Acceptor {
    /// To be called after every `accept(2)`. Returns at once, except when the process or the machine is out of
    /// descriptors or memory: the connection then stays in the queue and the socket readable, and trying again at
    /// once would spin.
    pub(crate) async fn check<T>(&mut self, accepted: io::Result<T>) -> Option<T> {
        let error = match accepted {
            Ok(connection) => {
                self.exhausted = false;
                return Some(connection);
            }
            Err(error) => error,
        };
        let lasting = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        if error.raw_os_error().is_some_and(|code| lasting.iter().any(|errno| errno.raw_os_error() == code)) {
            if !std::mem::replace(&mut self.exhausted, true) {
                tracing::error!(
                    "connections have to wait: {error}; raise the limit (`ulimit -n`, `LimitNOFILE=`)"
                );
            }
            tokio::time::sleep(RESPITE).await;
        }
        None
    }
}

/// Stops listening at once, so that another socket can have the port (`shutdown(2)`): a task that is told to end lets go of its
/// socket later.
pub(crate) fn stop_listening(socket: impl AsFd) {
    // It is as good as done where the socket does not listen.
    let _ = shutdown(socket, Shutdown::Read);
}
