//! What the daemon knows of a worker, and what it has done to it.

use std::collections::BTreeSet;

use nodesockd_core::Time;
use nodesockd_core::config::Ready;

use crate::world::Worker;

/// The facts that the daemon has taken in and the orders that it has carried out, for one worker.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The daemon has learned that it is online.
    pub online: bool,
    /// What shows that it is ready, for a daemon that has adopted it; `None`: what it was started with.
    pub shows: Option<Ready>,
    /// The daemon has learned that it was not ready in time.
    pub late: bool,
    /// The daemon, which is not its first, has learned by which connection it speaks.
    pub reunited: bool,
    /// When the daemon learned that its end has begun.
    pub dying: Option<Time>,
    /// When the daemon learned last that its event loop turned.
    pub heard: Option<Time>,
    /// When the daemon saw last that it was not stopped.
    pub seen: Option<Time>,
    /// The daemon has learned that it has more memory than it may.
    pub large: bool,
    /// The daemon has learned that it ended.
    pub exited: bool,
    pub reaped: bool,
    /// A link has named it.
    pub published: bool,
    /// When its link was swapped away or withdrawn.
    pub unlinked: Option<Time>,
    /// Since when the daemon watches its accept queue, as it does for those that are to go.
    pub draining: Option<Time>,
    /// Those who accepted from its socket as well when that began.
    pub beside: BTreeSet<Worker>,
    /// Since when the kernel could not be asked about its accept queue.
    pub blind_since: Option<Time>,
    /// Its accept queue was empty when the daemon looked at it last, because the worker is to go.
    pub seen_empty: bool,
    /// When the daemon decided last to tell it to resume.
    pub told_resume: Option<Time>,
    /// The inherited socket from which it was told to accept.
    pub told_socket: Option<String>,
    /// Another one was told to accept from that socket since: this one may go at any time.
    pub succeeded: bool,
    /// The history says that the daemon replaces it: it has come to a limit, or an operation has failed that brought it up.
    pub unwanted: bool,
    /// When the daemon decided to tell it to shut down: orders wait for those before them.
    pub told_shutdown: Option<Time>,
    /// When the daemon decided to send it SIGTERM.
    pub terminated: Option<Time>,
    /// An earlier daemon has told it to go, and could not write that down.
    pub told_unrecorded: bool,
}

impl Known {
    /// The daemon decides to tell it to shut down.
    pub fn shuts_down(&mut self, decided: Time) {
        self.told_shutdown.get_or_insert(decided);
        self.told_unrecorded = false;
    }

    /// The daemon decides to send it SIGTERM.
    pub fn terminates(&mut self, decided: Time) {
        self.terminated.get_or_insert(decided);
        self.told_unrecorded = false;
    }

    /// The daemon has decided to tell it to go, in words or by SIGTERM.
    pub fn told_to_go(&self) -> bool {
        self.told_shutdown.is_some() || self.terminated.is_some()
    }

    /// The daemon has decided that, or an earlier one that could write it down.
    pub fn is_known_to_go(&self) -> bool {
        self.told_to_go() && !self.told_unrecorded
    }

    /// The daemon has learned that it ended, or has begun to.
    pub fn is_known_to_end(&self) -> bool {
        self.exited || self.dying.is_some()
    }

    /// When it lost its link, or began to leave: its accept queue is emptied before it is told anything.
    pub fn left_at(&self) -> Option<Time> {
        self.unlinked.into_iter().chain(self.draining).chain(self.told_shutdown).chain(self.terminated).min()
    }

    /// When its drain began, at the earliest: it may have no link of which the daemon knows, or one that cannot be withdrawn.
    pub fn drained_since(&self) -> Option<Time> {
        self.draining.into_iter().chain(self.unlinked).min()
    }
}
