//! Waiting for the end of a process that is not our child.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process that is being watched.
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Watches the process `pid`; `None` if it is gone already, or cannot be watched. Needs a tokio runtime.
    #[must_use]
    #[expect(unsafe_code, reason = "registering a descriptor asks for a promise that it stays open")]
    pub fn new(pid: u32) -> Option<Self> {
        let fd = pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()?;
        // SAFETY: an `OwnedFd` names one open descriptor until it is dropped, and this one is moved into the `AsyncFd`.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.ok()?;
        Some(Self(fd))
    }

    /// Returns when the process has ended (`pidfd_open(2)`: the descriptor becomes readable).
    pub async fn gone(self) {
        // An error would mean that the runtime is ending, and this process with it.
        let _ = self.0.readable().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_is_noticed() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let watched = Watched::new(child.id()).unwrap();
        child.kill().unwrap();
        watched.gone().await;
        child.wait().unwrap();
        assert!(Watched::new(child.id()).is_none());
    }
}
