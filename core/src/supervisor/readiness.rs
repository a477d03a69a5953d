//! Readiness of workers that do not report it: whether one listens, or answers a request, is looked at while it boots.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::config::Ready;
use crate::event::{Failure, Queue};
use crate::id::WorkerId;
use crate::time::Time;

use super::Supervisor;
use super::worker::State;

/// How soon after a worker's start the first look is taken.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// Looks come twice as late each time, no later than this, and closer again when its time runs out.
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// A booting worker that is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watch {
    /// The next look; none while one is under way.
    pub look: Option<Time>,
    /// From that look to the next.
    pause: Duration,
    /// By when it must be ready.
    deadline: Time,
    /// It listens; what is left to be seen is whether it answers.
    listens: bool,
    /// What the last look found, to follow "it was not online".
    found: String,
}

impl Watch {
    /// The watch over a worker that has just been started, if it needs one.
    pub fn over(ready_by: Ready, now: Time, deadline: Time) -> Option<Self> {
        let found = match ready_by {
            Ready::Listen | Ready::Http => "nobody listens on its socket",
            Ready::Notify | Ready::Report => return None,
        };
        let look = Some(now + FIRST_LOOK);
        Some(Self { look, pause: FIRST_LOOK, deadline, listens: false, found: found.into() })
    }

    fn look_again(&mut self, now: Time, found: String) {
        self.found = found;
        self.pause = LAST_PAUSE.min(self.pause * 2);
        let left = self.deadline.since(now);
        self.look = Some(now + self.pause.min(left / 2).max(FIRST_LOOK));
    }
}

impl Supervisor {
    /// It is time to look at a booting worker.
    pub(super) fn look_whether_ready(&mut self, id: WorkerId) {
        let Some(watch) = self.watch_over(id) else { return };
        watch.look = None;
        let listens = watch.listens;
        if listens { self.probe(id) } else { self.measure(id) }
    }

    fn probe(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        if let Some(socket) = worker.socket.clone() {
            let path = worker.ready_path.clone();
            self.act(Action::Probe { worker: id, socket, path });
        }
    }

    /// Somebody listens on the socket of a booting worker, or not yet.
    pub(super) fn listening_seen(&mut self, id: WorkerId, queue: &Queue) {
        let now = self.now;
        let by = self.workers.get(&id).map(|worker| worker.ready_by);
        let Some(watch) = self.watch_over(id) else { return };
        match queue {
            Queue::Length(_) if by == Some(Ready::Http) => {
                watch.listens = true;
                self.probe(id);
            }
            Queue::Length(_) => self.shown_ready(id),
            Queue::Closed => watch.look_again(now, "nobody listens on its socket".into()),
            Queue::Unknown(reason) => {
                watch.look_again(now, format!("it cannot be seen whether it listens: {reason}"));
            }
        }
    }

    /// A booting worker was asked for something.
    pub(super) fn probed(&mut self, id: WorkerId, result: Result<u16, Failure>) {
        let now = self.now;
        let path = self.workers.get(&id).map(|worker| worker.ready_path.clone()).unwrap_or_default();
        let Some(watch) = self.watch_over(id) else { return };
        watch.pause = LAST_PAUSE;
        match result {
            Ok(200..=299) => self.shown_ready(id),
            Ok(status) => {
                watch.look_again(now, format!("it answered GET {path} with {status} (options.readyPath)"));
            }
            Err(failure) => watch.look_again(now, format!("GET {path} failed: {failure}")),
        }
    }

    /// A worker has shown that it is ready, without saying anything about suspension: it is taken to do what it was
    /// started to do.
    pub(super) fn shown_ready(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get(&id) {
            self.online(id, worker.started_suspended);
        }
    }

    /// Why a booting worker has had its time.
    pub(super) fn not_online(&self, id: WorkerId) -> String {
        let limit = self.config.options.online_timeout.as_millis();
        let found = self.workers.get(&id).and_then(|worker| match (&worker.state, worker.ready_by) {
            (State::Booting { watch: Some(watch), .. }, _) if watch.look.is_none() => {
                Some(format!("GET {} was not answered", worker.ready_path))
            }
            (State::Booting { watch: Some(watch), .. }, _) => Some(watch.found.clone()),
            (_, Ready::Notify) => Some("it sent no READY=1 to NOTIFY_SOCKET".to_owned()),
            (_, Ready::Report) => {
                Some("it reported nothing; `nodesockd.listen()` does, or see `options.ready`".to_owned())
            }
            (_, Ready::Listen | Ready::Http) => None,
        });
        let found = found.map_or_else(String::new, |found| format!(": {found}"));
        format!("it was not online within {limit} ms (options.onlineTimeout){found}")
    }

    fn watch_over(&mut self, id: WorkerId) -> Option<&mut Watch> {
        if let State::Booting { watch, .. } = &mut self.workers.get_mut(&id)?.state {
            watch.as_mut()
        } else {
            None
        }
    }
}
