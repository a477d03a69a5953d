//! Emptying the accept queue of a retiring worker.
//!
//! No link names the worker any more. But a client may have looked the link up just before, and connections may wait in
//! the queue: closing the socket would reset them. So the kernel is asked for the queue's length until the queue has been
//! empty for [`QUIET`].

use std::time::Duration;

use crate::event::Queue;
use crate::handoff::DrainRecord;
use crate::id::Process;
use crate::time::Time;

use crate::supervisor::timer::Timer;

/// How long the accept queue must have been empty. Covers a client that has read the old link and is about to connect:
/// microseconds normally, some scheduling quanta on a starved machine.
const QUIET: Duration = Duration::from_millis(50);
/// How long after a look that found connections waiting the next look is taken.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a worker goes on accepting where the kernel does not tell queue lengths.
pub(in crate::supervisor) const BLIND: Duration = Duration::from_millis(500);

/// A queue that is being emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Drain {
    process: Process,
    /// The queue is not waited for longer than this.
    deadline: Time,
    /// The next look at the queue; none while one is under way.
    look: Option<Time>,
    /// Since when every look has found it empty.
    empty_since: Option<Time>,
    /// Since when the kernel has not told.
    blind_since: Option<Time>,
    /// What the last look found.
    waiting: u32,
}

/// What a look at the queue says about the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Verdict {
    /// The queue is looked at again.
    Wait,
    /// As `Wait`; and this is the first look that the kernel refused.
    WaitBlindly,
    /// Nothing waits, as far as one can know.
    Drained,
}

impl Drain {
    pub fn new(process: Process, deadline: Time) -> Self {
        Self { process, deadline, look: None, empty_since: None, blind_since: None, waiting: 0 }
    }

    pub fn process(&self) -> Process {
        self.process
    }

    /// When the queue is looked at next, or is not waited for any longer.
    pub fn deadline(&self) -> (Time, Timer) {
        match self.look {
            Some(look) if look < self.deadline => (look, Timer::Look),
            Some(_) | None => (self.deadline, Timer::Drain),
        }
    }

    /// A look at the queue is under way.
    pub fn looks(&mut self) {
        self.look = None;
    }

    /// How many connections the last look found waiting.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// The kernel answered.
    pub fn measured(&mut self, now: Time, queue: &Queue) -> Verdict {
        match queue {
            Queue::Length(0) => {
                let since = *self.empty_since.get_or_insert(now);
                self.blind_since = None;
                self.waiting = 0;
                self.look = Some(since + QUIET);
                let quiet = now.since(since) >= QUIET || defect!(DrainEndsAtFirstEmptyQueue);
                if quiet { Verdict::Drained } else { Verdict::Wait }
            }
            Queue::Length(waiting) | Queue::Full(waiting) => {
                self.empty_since = None;
                self.blind_since = None;
                self.waiting = *waiting;
                self.look = Some(now + LOOK_AGAIN);
                Verdict::Wait
            }
            Queue::Closed => Verdict::Drained,
            Queue::Unknown(_) => {
                let first = self.blind_since.is_none();
                let since = *self.blind_since.get_or_insert(now);
                self.empty_since = None;
                self.look = Some(now + LOOK_AGAIN);
                match now.since(since) >= BLIND || defect!(UnknownQueueCountsAsEmpty) {
                    true => Verdict::Drained,
                    false if first => Verdict::WaitBlindly,
                    false => Verdict::Wait,
                }
            }
        }
    }
}

impl From<&Drain> for DrainRecord {
    fn from(drain: &Drain) -> Self {
        let Drain { process, deadline, look, empty_since, blind_since, waiting } = *drain;
        Self { process, deadline, look, empty_since, blind_since, waiting }
    }
}

impl From<DrainRecord> for Drain {
    fn from(record: DrainRecord) -> Self {
        let DrainRecord { process, deadline, look, empty_since, blind_since, waiting } = record;
        Self { process, deadline, look, empty_since, blind_since, waiting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn drain() -> Drain {
        Drain::new(Process { pid: 2, started: 1 }, at(5000))
    }

    #[test]
    fn queue_must_stay_empty_for_a_while() {
        let mut drain = drain();
        assert_eq!(drain.measured(at(0), &Queue::Length(0)), Verdict::Wait);
        assert_eq!(drain.deadline(), (at(50), Timer::Look));
        assert_eq!(drain.measured(at(49), &Queue::Length(2)), Verdict::Wait);
        assert_eq!((drain.waiting(), drain.deadline()), (2, (at(59), Timer::Look)));
        assert_eq!(drain.measured(at(59), &Queue::Length(0)), Verdict::Wait);
        assert_eq!(drain.measured(at(109), &Queue::Length(0)), Verdict::Drained);
    }

    #[test]
    fn closed_socket_needs_no_waiting() {
        assert_eq!(drain().measured(at(0), &Queue::Closed), Verdict::Drained);
    }

    #[test]
    fn unknown_queue_is_given_a_fixed_time() {
        let unknown = Queue::Unknown("no UNIX_DIAG".into());
        let mut drain = drain();
        assert_eq!(drain.measured(at(0), &unknown), Verdict::WaitBlindly);
        assert_eq!(drain.measured(at(10), &unknown), Verdict::Wait);
        assert_eq!(drain.measured(at(500), &unknown), Verdict::Drained);
    }
}
