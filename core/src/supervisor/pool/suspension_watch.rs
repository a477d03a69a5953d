//! What is done about a suspension while it lasts, and what is known of those who wait for its end.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Queue;
use crate::id::WorkerId;
use crate::supervisor::timer::Timer;
use crate::time::Time;

/// How often the accept queues of suspended workers are looked at.
const COUNTED_EVERY: Duration = Duration::from_secs(5);

/// The watch over a suspension.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct SuspensionWatch {
    /// Since when the app is suspended, if it is.
    since: Option<Time>,
    /// When what waits is counted next.
    count_at: Option<Time>,
    /// When the suspension is said next; `None`: never (`options.suspendWarning`).
    say_at: Option<Time>,
    /// What waits for each suspended worker that serves a slot.
    waiting: BTreeMap<WorkerId, Waiting>,
    /// The suspension has ended, and nobody has asked yet what had waited.
    ended: bool,
}

/// What waits for a suspended worker.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waiting {
    /// Connections in its accept queue.
    pub queued: u32,
    /// No more fit into that.
    pub full: bool,
    /// Requests that it has accepted and holds.
    pub held: u32,
}

impl Waiting {
    /// The kernel told the accept queue. Returns whether it was full before.
    pub(super) fn counted(&mut self, queue: &Queue) -> bool {
        self.queued = match queue {
            Queue::Length(length) | Queue::Full(length) => *length,
            Queue::Closed | Queue::Unknown(_) => 0,
        };
        std::mem::replace(&mut self.full, matches!(queue, Queue::Full(_)))
    }
}

impl SuspensionWatch {
    /// Goes on with the watch over the suspension that began at `since`, or begins it. It is said every so often (`warning`).
    pub(super) fn goes_on(&mut self, since: Time, warning: Duration, now: Time) {
        if self.since != Some(since) {
            let left = warning.saturating_sub(now.since(since));
            let say_at = (!warning.is_zero()).then(|| now + left);
            let waiting = BTreeMap::new();
            *self = Self { since: Some(since), count_at: Some(now), say_at, waiting, ended: false };
        }
    }

    /// The app is not suspended, or not any more.
    pub(super) fn is_over(&mut self) {
        self.ended |= self.since.is_some();
        (self.since, self.count_at, self.say_at) = (None, None, None);
    }

    /// How many requests waited when the suspension ended, if one has ended since this was asked last. `suspended`: the app is.
    pub fn take_held(&mut self, suspended: bool) -> Option<u32> {
        if !suspended {
            self.is_over();
        }
        let held = self.ended.then(|| self.total());
        if self.ended {
            self.ended = false;
            self.waiting.clear();
        }
        held
    }

    /// Whoever may have wanted to know what had waited does not any more.
    pub fn forget_held(&mut self) {
        self.take_held(true);
    }

    /// These are about to be counted for the last time.
    pub(super) fn expects(&mut self, workers: &[WorkerId]) {
        for id in workers {
            self.waiting.entry(*id).or_default();
        }
    }

    /// What waited for a worker when the suspension ended, if that is still to be told.
    pub(super) fn released_mut(&mut self, id: WorkerId) -> Option<&mut Waiting> {
        self.waiting.get_mut(&id).filter(|_| self.ended)
    }

    /// Whether it is time to say the suspension; then that comes again after `warning`.
    pub(super) fn has_to_be_said(&mut self, warning: Duration, now: Time) -> bool {
        let due = self.say_at.is_some_and(|at| at <= now);
        if due {
            self.say_at = Some(now + warning);
        }
        due
    }

    /// Whether it is time to count what waits; then that comes again.
    pub(super) fn has_to_be_counted(&mut self, now: Time) -> bool {
        let due = self.count_at.is_some_and(|at| at <= now);
        if due {
            self.count_at = Some(now + COUNTED_EVERY);
        }
        due
    }

    /// From now on only these wait.
    pub(super) fn retain(&mut self, workers: &[WorkerId]) {
        self.waiting.retain(|id, _| workers.contains(id));
    }

    /// What waits for a suspended worker that serves a slot; `None` if the app is not suspended.
    pub(super) fn waiting_mut(&mut self, id: WorkerId) -> Option<&mut Waiting> {
        self.since.is_some().then(|| self.waiting.entry(id).or_default())
    }

    /// How many connections and requests wait, as far as that is known.
    pub(super) fn total(&self) -> u32 {
        let sum =
            |sum: u32, waiting: &Waiting| sum.saturating_add(waiting.queued).saturating_add(waiting.held);
        self.waiting.values().fold(0, sum)
    }

    /// Workers whose accept queue is full.
    pub(super) fn full(&self) -> impl Iterator<Item = WorkerId> {
        self.waiting.iter().filter(|(_, waiting)| waiting.full).map(|(id, _)| *id)
    }

    /// When something is done next.
    pub fn next_deadline(&self) -> Option<(Time, Timer)> {
        [self.count_at, self.say_at].into_iter().flatten().min().map(|at| (at, Timer::Suspension))
    }
}
