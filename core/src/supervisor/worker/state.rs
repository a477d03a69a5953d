//! How far a worker has got.

use crate::id::Process;
use crate::supervisor::backoff::Backoff;
use crate::time::Time;
use crate::wire::WorkerState;

use super::drain::Drain;
use super::watch::Watch;

/// How far a worker has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) enum State {
    /// It waits for its turn to boot: as many boot as may at a time.
    Waiting,
    /// Its process has been ordered.
    Spawning { deadline: Time },
    /// Spawn in flight but cancelled: kill on arrival.
    Unwanted,
    /// It is not ready yet. `late`: its time is over, and the kernel is being asked what it did with that.
    Booting { process: Process, deadline: Time, watch: Option<Watch>, late: bool },
    /// It is ready. `broken`: it asks to be replaced, or has to be.
    Ready { process: Process, suspended: bool, broken: bool },
    /// No link names it; its accept queue is being emptied.
    Draining(Drain),
    /// It was told to shut down.
    ShuttingDown { process: Process, deadline: Time },
    /// It got its stop signal.
    Terminating { process: Process, deadline: Time },
    /// Its end has begun and is waited for: its process group got SIGKILL, or it dies by itself.
    Killed { process: Process },
    /// Its process exited and is being reaped.
    Exited,
    /// Its process is gone; its socket file is being removed, or will be tried again.
    Reaped { removal: Backoff },
}

/// How far a worker of an earlier daemon has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Adopted {
    Booting,
    Ready { broken: bool },
    ShuttingDown { deadline: Time },
}

impl State {
    /// The process, as long as it has not been reaped.
    pub fn process(&self) -> Option<Process> {
        match self {
            Self::Booting { process, .. }
            | Self::Ready { process, .. }
            | Self::ShuttingDown { process, .. }
            | Self::Terminating { process, .. }
            | Self::Killed { process } => Some(*process),
            Self::Draining(drain) => Some(drain.process()),
            Self::Waiting | Self::Spawning { .. } | Self::Unwanted | Self::Exited | Self::Reaped { .. } => {
                None
            }
        }
    }

    /// The state as it is on the wire.
    pub fn on_the_wire(&self) -> WorkerState {
        match self {
            Self::Waiting => WorkerState::Waiting,
            Self::Spawning { .. } | Self::Booting { .. } => WorkerState::Running,
            Self::Ready { broken: true, .. } => WorkerState::Broken,
            Self::Ready { suspended: true, .. } => WorkerState::Suspended,
            Self::Ready { .. } => WorkerState::Online,
            Self::Unwanted
            | Self::Draining(_)
            | Self::ShuttingDown { .. }
            | Self::Terminating { .. }
            | Self::Killed { .. } => WorkerState::Terminating,
            Self::Exited | Self::Reaped { .. } => WorkerState::Dead,
        }
    }
}
