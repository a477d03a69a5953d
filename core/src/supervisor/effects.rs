//! The only queue of orders.
//!
//! Orders leave in the order in which they are given, with two exceptions that belong together and are therefore
//! written in one place:
//!
//! - **Write-ahead.** What an event has changed is written to the state file *before* the orders that the event gave are
//!   carried out: [`begin`](Effects::begin) marks where these orders start, [`write_ahead`](Effects::write_ahead) puts
//!   the record there. So the file may promise more than was done, never less.
//! - **`resume` is the reverse.** Nobody may take a worker for active that was never told so. A worker counts as
//!   suspended in the file until its `resume` has left the queue ([`is_untold`](Effects::is_untold)); the file is
//!   brought up to date by the next event, or when the queue is empty ([`take_told`](Effects::take_told)).

use std::collections::{BTreeSet, VecDeque};

use crate::action::Action;
use crate::id::WorkerId;
use crate::time::Time;
use crate::wire::ToWorker;

/// So many orders that wait are nothing special.
const USUAL: usize = 32;

/// Orders that wait to be carried out, and the time of the event being handled.
#[derive(Debug, Clone)]
pub(super) struct Effects {
    now: Time,
    /// The time of the event before.
    before: Time,
    queue: VecDeque<Action>,
    /// Where the orders of the event at hand begin.
    mark: usize,
    /// Workers whose `resume` is in the queue.
    untold: BTreeSet<WorkerId>,
    /// Workers whose `resume` has left the queue since they were recorded.
    told: BTreeSet<WorkerId>,
}

impl Effects {
    pub fn new(now: Time) -> Self {
        Self {
            now,
            before: now,
            queue: VecDeque::new(),
            mark: 0,
            untold: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// An event is about to be handled, at `now`.
    pub fn begin(&mut self, now: Time) {
        (self.before, self.now) = (self.now, now);
        self.mark = self.queue.len();
    }

    /// The time of the event being handled.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The time of the event before: when a deadline had passed by then, the daemon has not waited for facts since that event.
    pub fn before(&self) -> Time {
        self.before
    }

    /// Gives an order.
    pub fn order(&mut self, action: Action) {
        if let Action::Tell { worker, message: ToWorker::Resume { .. }, .. } = &action {
            self.untold.insert(*worker);
        }
        self.queue.push_back(action);
    }

    /// Gives an order that comes before all others of the event being handled.
    pub fn write_ahead(&mut self, action: Action) {
        self.queue.insert(self.mark, action);
    }

    /// Whether the worker's `resume` is still in the queue.
    pub fn is_untold(&self, worker: WorkerId) -> bool {
        self.untold.contains(&worker)
    }

    /// Takes the next order out of the queue.
    pub fn next(&mut self) -> Option<Action> {
        let action = self.queue.pop_front()?;
        if self.queue.is_empty() {
            // Of a thousand workers that start at once there were as many orders.
            self.queue.shrink_to(USUAL);
        }
        if let Action::Tell { worker, message: ToWorker::Resume { .. }, .. } = &action
            && self.untold.remove(worker)
        {
            self.told.insert(*worker);
        }
        Some(action)
    }

    /// Nothing is left to be carried out.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a worker was told to resume since [`take_told`](Self::take_told).
    pub fn any_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// The workers that were told to resume since this was asked last.
    pub fn take_told(&mut self) -> BTreeSet<WorkerId> {
        std::mem::take(&mut self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, Ids};

    #[test]
    fn records_go_before_the_orders_of_their_event_and_after_earlier_ones() {
        let mut effects = Effects::new(Time::ZERO);
        effects.order(Action::ReopenLogs);
        effects.begin(Time::ZERO);
        effects.order(Action::LoadConfig);
        effects.write_ahead(Action::Freeze);
        let order: Vec<Action> = std::iter::from_fn(|| effects.next()).collect();
        assert_eq!(order, [Action::ReopenLogs, Action::Freeze, Action::LoadConfig]);
    }

    #[test]
    fn a_worker_counts_as_told_once_its_resume_has_left_the_queue() {
        let worker = Ids::new(BootId(1)).worker();
        let mut effects = Effects::new(Time::ZERO);
        effects.order(Action::Tell { worker, over: None, message: ToWorker::Resume { fd: None } });
        effects.order(Action::LoadConfig);
        assert!(effects.is_untold(worker));
        assert!(effects.take_told().is_empty());
        effects.next();
        assert!(!effects.is_untold(worker));
        assert_eq!(effects.take_told().len(), 1);
        assert!(effects.take_told().is_empty());
    }
}
