//! One worker: what it is for, and how far it has got in its life.
//!
//! ```text
//! Spawning ─→ Booting ─→ Ready ─→ Draining ─→ ShuttingDown ─→ Terminating ─→ Killed ─→ Exited ─→ Reaped ─→ (forgotten)
//! ```
//!
//! A worker may skip states but never goes back. Its process exits when it likes: every state with a process leads to
//! `Exited`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Output, Ready};
use crate::id::{ConnId, Process, SlotIndex};
use crate::time::Time;
use crate::wire::WorkerState;

use super::backoff::Backoff;
use super::readiness::Watch;

/// How long after its channel was lost a worker must still be alive for that to matter.
const LOST_CHANNEL: Duration = Duration::from_millis(100);

/// A worker in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Worker {
    /// What it is for.
    pub seat: Seat,
    /// It belongs to the rollout in progress, and to nothing else until that is committed.
    pub in_rollout: bool,
    pub state: State,
    /// When its [`WorkerState`] last changed.
    pub since: Time,
    /// When it was ordered.
    pub ordered: Time,
    /// How long it may take from its process's start until it reports ready.
    pub online_timeout: Duration,
    /// When it reported ready for the first time.
    pub ready: Option<Time>,
    /// It was started suspended.
    pub started_suspended: bool,
    /// How it shows that it is ready.
    pub ready_by: Ready,
    /// What it is asked for, if that is by HTTP.
    pub ready_path: String,
    /// It talks to us: it is one that reports, or has reported.
    pub speaks: bool,
    /// The file name of the socket it accepts from. A standby that inherited sockets has none until it is promoted.
    pub socket: Option<String>,
    /// The sockets of ours that it inherited, in the order of their descriptors; none if it binds its own.
    pub listeners: Vec<String>,
    /// A link named it once, so that connections may wait in its accept queue.
    pub served: bool,
    /// It may be told to shut down: its accept queue was empty, could not be waited for any longer, or is its
    /// successor's, too.
    pub drained: bool,
    pub channel: Channel,
    /// Where its standard error goes.
    pub stderr: Output,
}

/// The way to tell a worker something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Channel {
    /// Its own.
    Open,
    /// A connection to the control socket, by which it reported to a daemon that is not its first.
    Socket(ConnId),
    /// It outlived its daemon and is about to report to this one, if it can.
    Expected { until: Time },
    /// It was closed. A process that dies closes its channel a moment before its exit is known, so this alone says
    /// nothing about why.
    Lost { at: Time },
    /// It was closed, and the process lives on.
    Closed,
}

/// What a worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Seat {
    /// It serves this slot, or will.
    Slot(SlotIndex),
    /// It is a spare.
    Standby,
    /// It is on its way out; `from` is the slot it had.
    Retired { from: Option<SlotIndex> },
}

/// How far a worker has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Its process has been ordered.
    Spawning { deadline: Time },
    /// Its process has been ordered, and is not wanted any more.
    Unwanted,
    /// It is not ready yet.
    Booting { process: Process, deadline: Time, watch: Option<Watch> },
    /// It reported online.
    Ready { process: Process, suspended: bool, broken: bool },
    /// No link names it; its accept queue is being emptied.
    Draining(Drain),
    /// It was told to shut down.
    ShuttingDown { process: Process, deadline: Time },
    /// It got SIGTERM.
    Terminating { process: Process, deadline: Time },
    /// Its process group got SIGKILL.
    Killed { process: Process },
    /// Its process exited and is being reaped.
    Exited,
    /// Its process is gone; its socket file is being removed, or will be tried again.
    Reaped { removal: Backoff },
}

/// The accept queue of a retiring worker is watched until it has been empty for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drain {
    pub process: Process,
    /// It is not waited for longer than this.
    pub deadline: Time,
    /// The next look at the queue; none while one is under way, or where looking is of no use.
    pub look: Option<Time>,
    /// Since when every look has found it empty.
    pub empty_since: Option<Time>,
    /// Since when the kernel has not told.
    pub blind_since: Option<Time>,
    /// What the last look found.
    pub waiting: u32,
}

impl Channel {
    /// Something can be told by it now.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Socket(_))
    }
}

impl Worker {
    /// The process, as long as it has not been reaped.
    pub fn process(&self) -> Option<Process> {
        match &self.state {
            State::Booting { process, .. }
            | State::Ready { process, .. }
            | State::Draining(Drain { process, .. })
            | State::ShuttingDown { process, .. }
            | State::Terminating { process, .. }
            | State::Killed { process } => Some(*process),
            State::Spawning { .. } | State::Unwanted | State::Exited | State::Reaped { .. } => None,
        }
    }

    /// It is for nothing any more, and on its way out.
    pub fn unseat(&mut self) {
        if !matches!(self.seat, Seat::Retired { .. }) {
            self.seat = Seat::Retired { from: self.slot() };
            self.in_rollout = false;
        }
    }

    /// It can serve a slot: it is ready, does not ask to be replaced, and can be resumed if that is needed.
    pub fn is_healthy(&self) -> bool {
        let State::Ready { broken, suspended, .. } = self.state else { return false };
        let cut_off = matches!(self.channel, Channel::Lost { .. } | Channel::Closed);
        !broken && (!suspended || !self.speaks || !cut_off)
    }

    /// It accepts from `socket`, or will.
    pub fn accepts_from(&self, socket: &str) -> bool {
        self.socket.as_deref() == Some(socket)
    }

    /// It holds `socket` of ours, whether it accepts from it or not.
    pub fn inherited(&self, socket: &str) -> bool {
        self.listeners.iter().any(|inherited| inherited == socket)
    }

    /// The descriptor of the socket it accepts from, if it inherited that (`sd_listen_fds(3)`: the first one is 3).
    pub fn serving_fd(&self) -> Option<u32> {
        let index = self.listeners.iter().position(|socket| self.accepts_from(socket))?;
        u32::try_from(index).ok()?.checked_add(3)
    }

    /// It is ready, broken or not: requests sent to it are answered.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    /// It is ready and suspended.
    pub fn is_suspended(&self) -> bool {
        matches!(self.state, State::Ready { suspended: true, .. })
    }

    /// It will be ready, or fail.
    pub fn is_coming(&self) -> bool {
        matches!(self.state, State::Spawning { .. } | State::Booting { .. })
    }

    /// Its process is gone, or never was.
    pub fn is_gone(&self) -> bool {
        matches!(self.state, State::Reaped { .. })
    }

    /// It may be told things.
    pub fn is_reachable(&self) -> bool {
        self.channel.is_open() && self.process().is_some()
    }

    /// The slot it is for, or was.
    pub fn slot(&self) -> Option<SlotIndex> {
        match self.seat {
            Seat::Slot(slot) => Some(slot),
            Seat::Standby => None,
            Seat::Retired { from } => from,
        }
    }

    /// The next thing that happens to it by itself, and when.
    pub fn deadline(&self) -> Option<(Time, super::Timer)> {
        use super::Timer;
        match &self.state {
            State::Spawning { deadline } => Some((*deadline, Timer::Spawn)),
            State::Booting { deadline, watch, .. } => match watch.as_ref().and_then(|watch| watch.look) {
                Some(look) if look < *deadline => Some((look, Timer::Ready)),
                Some(_) | None => Some((*deadline, Timer::Online)),
            },
            State::Draining(drain) => match drain.look {
                Some(look) if look < drain.deadline => Some((look, Timer::Look)),
                Some(_) | None => Some((drain.deadline, Timer::Drain)),
            },
            State::ShuttingDown { deadline, .. } => Some((*deadline, Timer::Shutdown)),
            State::Terminating { deadline, .. } => Some((*deadline, Timer::Kill)),
            State::Reaped { removal } => removal.retry_at.map(|at| (at, Timer::Removal)),
            State::Ready { .. } => match self.channel {
                // One that never talks to us misses nothing.
                _ if !self.speaks => None,
                Channel::Lost { at } => Some((at + LOST_CHANNEL, Timer::Channel)),
                Channel::Expected { until } => Some((until, Timer::Channel)),
                Channel::Open | Channel::Socket(_) | Channel::Closed => None,
            },
            State::Unwanted | State::Killed { .. } | State::Exited => None,
        }
    }

    /// Its state on the wire.
    pub fn wire_state(&self) -> WorkerState {
        match &self.state {
            State::Spawning { .. } | State::Booting { .. } => WorkerState::Running,
            State::Ready { broken: true, .. } => WorkerState::Broken,
            State::Ready { suspended: true, .. } => WorkerState::Suspended,
            State::Ready { .. } => WorkerState::Online,
            State::Unwanted
            | State::Draining(_)
            | State::ShuttingDown { .. }
            | State::Terminating { .. }
            | State::Killed { .. } => WorkerState::Terminating,
            State::Exited | State::Reaped { .. } => WorkerState::Dead,
        }
    }
}
