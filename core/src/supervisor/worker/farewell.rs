//! How a worker is taken out of service.

use crate::id::Process;

/// What has to be known of a worker's surroundings before it can be retired.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervisor) struct Surroundings {
    /// What waits in its queue is another worker's by now; nothing is lost when this one stops accepting.
    pub shared: bool,
    /// A link is about to name it.
    pub named: bool,
}

/// How a worker is taken out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::supervisor) enum Farewell {
    /// It is on its way out already.
    #[default]
    UnderWay,
    /// Its spawn was cancelled.
    Cancelled,
    /// It has not been started: it is forgotten.
    Forgotten,
    /// Its accept queue has to be emptied first.
    Drain(Process),
    /// Nothing can wait in its queue, or what waits is another's: it may be told at once.
    Drained(Process),
    /// No link has ever named it: it may be told at once.
    ShutDown(Process),
    /// It is ended by its stop signal, soon followed by SIGKILL: it never served, or it hangs and hears nothing else.
    Terminate(Process),
    /// It hears nothing but its stop signal, and has the time of a shutdown to finish.
    TerminateGently(Process),
}
