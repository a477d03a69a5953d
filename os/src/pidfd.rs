//! A child by its pidfd: a name that the kernel never gives to another process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nodesockd_core::event::ExitStatus;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A child of ours, exited or not. Clones name the same.
#[derive(Debug, Clone)]
pub(crate) struct Pidfd(Arc<AsyncFd<OwnedFd>>);

impl Pidfd {
    /// The child `pid`, which nobody can have collected yet.
    #[expect(unsafe_code, reason = "registering a descriptor asks for a promise that it stays open")]
    pub(crate) fn open(pid: Pid) -> io::Result<Self> {
        let fd = pidfd_open(pid, PidfdFlags::empty())?;
        // SAFETY: an `OwnedFd` names one open descriptor until it is dropped, and this one is moved into the `AsyncFd`.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self(Arc::new(fd)))
    }

    /// Waits for its exit, without collecting it.
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

    /// Collects its exit, after which its pid is free. Does nothing while it lives.
    pub(crate) fn collect(&self) {
        let _ = self.wait(WaitIdOptions::empty());
    }

    /// Sends a signal. That it is gone is no error.
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
