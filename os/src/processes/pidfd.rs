//! A process by its pidfd: a name that the kernel never gives to another process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nodesockd_core::event::ExitStatus;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::unix::AsyncFd;

use crate::readable::register;

/// A process, ended or not. Clones name the same process.
#[derive(Debug, Clone)]
pub(crate) struct Pidfd(Arc<AsyncFd<OwnedFd>>);

impl Pidfd {
    /// The process `pid`. A child that nobody has collected is found for certain; another process may be gone.
    pub(crate) fn open(pid: Pid) -> io::Result<Self> {
        Self::of(pid, PidfdFlags::empty())
    }

    /// The same for what these flags say, for instance one thread of it.
    pub(crate) fn of(pid: Pid, flags: PidfdFlags) -> io::Result<Self> {
        Ok(Self(Arc::new(register(pidfd_open(pid, flags)?)?)))
    }

    /// Waits for the exit of a child, without collecting it. [`ExitStatus::Unknown`] is all that is known of another process.
    pub(crate) async fn exited(&self) -> ExitStatus {
        loop {
            let Ok(mut ready) = self.0.readable().await else { return ExitStatus::Unknown };
            match self.wait(WaitIdOptions::NOWAIT) {
                Ok(Some(status)) => return status,
                Ok(None) => ready.clear_ready(),
                Err(_) => return ExitStatus::Unknown,
            }
        }
    }

    /// Waits for the end of what it names.
    pub(crate) async fn gone(&self) {
        // An error would mean that the runtime is ending, and this process with it.
        let _ = self.0.readable().await;
    }

    /// Collects the exit of a child, after which its pid is free. Does nothing while it lives.
    pub(crate) fn collect(&self) {
        let _ = self.wait(WaitIdOptions::empty());
    }

    /// Sends a signal. That the process is gone is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(self.0.get_ref(), signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!("cannot send {signal:?}: {error}");
        }
    }

    fn wait(&self, options: WaitIdOptions) -> rustix::io::Result<Option<ExitStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | options;
        let status = waitid(WaitId::PidFd(self.0.get_ref().as_fd()), options)?;
        Ok(status.map(|status| match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => ExitStatus::Code(code),
            (None, Some(signal)) => ExitStatus::Signal(signal),
            (None, None) => ExitStatus::Unknown,
        }))
    }
}

/// A process that may be another's child, watched for its end.
#[derive(Debug)]
pub struct Watched(Pidfd);

impl Watched {
    /// Watches the process `pid`; `None` if it is gone already, or cannot be watched. Needs a tokio runtime.
    #[must_use]
    pub fn new(pid: u32) -> Option<Self> {
        Pidfd::open(Pid::from_raw(pid.cast_signed())?).ok().map(Self)
    }

    /// Returns when the process has ended.
    pub async fn gone(self) {
        self.0.gone().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn watched_notices_the_end_of_a_process() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let watched = Watched::new(child.id()).unwrap();
        child.kill().unwrap();
        watched.gone().await;
        child.wait().unwrap();
        assert!(Watched::new(child.id()).is_none());
    }
}
