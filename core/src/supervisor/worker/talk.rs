//! How a worker can be talked to, and who speaks for it.

use std::time::Duration;

use crate::config::Ready;
use crate::id::{ConnId, Process};
use crate::supervisor::timer::Timer;
use crate::time::Time;

/// How long a worker must outlive the loss of its channel for that to matter: a process that dies closes its channel a
/// moment before its exit is known.
const LOST_CHANNEL: Duration = Duration::from_millis(100);

/// The ways between the daemon and a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Talk {
    pub protocol: Protocol,
    pub channel: Channel,
    /// The process that speaks for it, if that is not its own: one that its own, a wrapper, has started.
    pub speaker: Option<Process>,
    /// The process id that it has said over its channel, if that is not its own: a wrapper has handed the channel on.
    pub said_pid: Option<u32>,
    /// Why a process was not believed to be this worker, while it has not reported itself.
    pub disbelieved: Option<String>,
    /// It understands what it is told about its slot, and about who leads.
    pub can_lead: bool,
}

/// Whether a worker talks to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Protocol {
    /// It reports, and obeys `resume` and `shutdown`.
    Speaks,
    /// It knows nothing of the daemon: a signal is all that it hears. A worker that reports nevertheless speaks.
    Mute,
}

impl Protocol {
    /// What a worker is taken to do that shows its readiness like this.
    pub fn of(ready_by: Ready) -> Self {
        if ready_by == Ready::Report { Self::Speaks } else { Self::Mute }
    }
}

/// The way to tell a worker something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Channel {
    /// Its own.
    Open,
    /// A connection to the control socket, by which it reported to a daemon that is not its first.
    Socket(ConnId),
    /// It outlived its daemon and is about to report to this one, if it can.
    Expected { until: Time },
    /// The channel was closed; that alone says nothing about why.
    Lost { at: Time },
    /// The channel was closed, and the process lives on.
    Closed,
}

impl Channel {
    /// Something can be told by it now.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Socket(_))
    }
}

impl Talk {
    /// That with a worker from which nothing has been heard yet.
    pub fn new(protocol: Protocol, channel: Channel) -> Self {
        Self { protocol, channel, speaker: None, said_pid: None, disbelieved: None, can_lead: false }
    }

    pub fn speaks(&self) -> bool {
        self.protocol == Protocol::Speaks
    }

    /// The worker speaks, and nothing reaches it.
    pub fn is_cut_off(&self) -> bool {
        self.speaks() && matches!(self.channel, Channel::Lost { .. } | Channel::Closed)
    }

    /// The connection to the control socket by which the worker reported, if that is how it is told things.
    pub fn connection(&self) -> Option<ConnId> {
        if let Channel::Socket(conn) = self.channel { Some(conn) } else { None }
    }

    /// By when a channel has to be there, where that matters.
    pub fn deadline(&self) -> Option<(Time, Timer)> {
        match self.channel {
            // A mute worker misses nothing.
            _ if !self.speaks() => None,
            Channel::Lost { at } => Some((at + LOST_CHANNEL, Timer::Channel)),
            Channel::Expected { until } => Some((until, Timer::Channel)),
            Channel::Open | Channel::Socket(_) | Channel::Closed => None,
        }
    }

    /// Nobody has spoken yet for a worker that boots and shows its readiness like this.
    pub fn is_unheard(&self, ready_by: Ready) -> bool {
        // One that has to show its readiness otherwise speaks only if it has reported.
        let reported = ready_by != Ready::Report && self.speaks();
        // It may have told an earlier daemon.
        let expected = matches!(self.channel, Channel::Expected { .. } | Channel::Socket(_));
        self.speaker.is_none() && !reported && !expected
    }

    /// The worker reported: it speaks, whatever it was started as.
    pub fn reports(&mut self, can_lead: bool) {
        self.protocol = Protocol::Speaks;
        self.can_lead = can_lead;
    }

    /// The process id that the worker says, or has said to an earlier daemon. Who uses its channel was given that by its `own` process.
    pub fn says_pid(&mut self, pid: Option<u32>, own: Option<Process>) {
        if !matches!(self.channel, Channel::Socket(_)) {
            self.said_pid = pid.filter(|pid| own.is_some_and(|own| own.pid != *pid));
        }
    }

    /// From now on `process` speaks for the worker, whose process is `own`.
    pub fn by(&mut self, process: Process, own: Option<Process>) {
        self.speaker = (own != Some(process)).then_some(process);
        self.disbelieved = None;
    }
}
