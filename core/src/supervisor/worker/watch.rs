//! Readiness of workers that do not report it: while one boots, the daemon looks whether it listens, or answers a
//! request.

use std::time::Duration;

use crate::config::Ready;
use crate::event::{Failure, Queue};
use crate::handoff::WatchRecord;
use crate::time::Time;

/// How soon after a worker's start the first look is taken: a small program listens within a millisecond, and others wait for its
/// place among those that boot.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// The pause between looks doubles each time up to this, and is shorter again when the worker's time runs out.
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// What a booting worker is looked at for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Watch {
    /// The next look; none while one is under way.
    look: Option<Time>,
    /// From that look to the next.
    pause: Duration,
    /// By when the worker must be ready.
    deadline: Time,
    /// The worker listens; whether it answers is not known yet.
    listens: bool,
    /// What the last look found, to follow "it was not online".
    found: String,
}

/// What a look says about the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Sight {
    /// It is not ready yet, and is looked at again.
    NotYet,
    /// It listens; next it has to answer a request.
    Listens,
    /// It is ready.
    Ready,
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

    pub fn next_look(&self) -> Option<Time> {
        self.look
    }

    /// What the last look found.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// The worker listens; whether it answers is not known yet.
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// A look is under way.
    pub fn looks(&mut self) {
        self.look = None;
    }

    /// A look that was under way came to nothing: another one is taken at `now`.
    pub fn look_again_at(&mut self, now: Time) {
        self.look.get_or_insert(now);
    }

    /// The file of the worker's socket has come into being: whoever binds a socket listens on it next. Returns whether to look
    /// at once; if that is too early, the next look comes soon.
    pub fn is_bound(&mut self) -> bool {
        self.pause = FIRST_LOOK / 2;
        self.look.is_some() && !self.listens
    }

    /// The kernel was asked whether somebody listens on the worker's socket.
    pub fn measured(&mut self, now: Time, ready_by: Ready, queue: &Queue) -> Sight {
        match queue {
            Queue::Length(_) | Queue::Full(_) if ready_by == Ready::Http => {
                self.listens = true;
                Sight::Listens
            }
            Queue::Length(_) | Queue::Full(_) => Sight::Ready,
            Queue::Closed => self.not_yet(now, "nobody listens on its socket".into()),
            Queue::Unknown(reason) => {
                self.not_yet(now, format!("it cannot be seen whether it listens: {reason}"))
            }
        }
    }

    /// The worker was sent a GET for `path`.
    pub fn probed(&mut self, now: Time, path: &str, result: Result<u16, Failure>) -> Sight {
        self.pause = LAST_PAUSE;
        match result {
            Ok(200..=299) => Sight::Ready,
            Ok(status) => {
                self.not_yet(now, format!("it answered GET {path} with {status} (options.readyPath)"))
            }
            Err(failure) => self.not_yet(now, format!("GET {path} failed: {failure}")),
        }
    }

    fn not_yet(&mut self, now: Time, found: String) -> Sight {
        self.found = found;
        self.pause = LAST_PAUSE.min(self.pause * 2);
        let left = self.deadline.since(now);
        self.look = Some(now + self.pause.min(left / 2).max(FIRST_LOOK));
        Sight::NotYet
    }
}

impl From<&Watch> for WatchRecord {
    fn from(watch: &Watch) -> Self {
        let Watch { look, pause, deadline, listens, found } = watch;
        Self { look: *look, pause: *pause, deadline: *deadline, listens: *listens, found: found.clone() }
    }
}

impl From<WatchRecord> for Watch {
    fn from(record: WatchRecord) -> Self {
        let WatchRecord { look, pause, deadline, listens, found } = record;
        Self { look, pause, deadline, listens, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn over(ready_by: Ready, deadline_ms: u64) -> Watch {
        Watch::over(ready_by, at(0), at(deadline_ms)).unwrap()
    }

    /// How long the watch waits for its next look, in ms, after a look that found nobody.
    fn pause(watch: &mut Watch, now: Time) -> u64 {
        watch.looks();
        assert_eq!(watch.measured(now, Ready::Listen, &Queue::Closed), Sight::NotYet);
        u64::try_from(watch.next_look().unwrap().since(now).as_millis()).unwrap()
    }

    #[test]
    fn looks_come_less_and_less_often_and_again_more_often_before_the_time_is_over() {
        let mut watch = over(Ready::Listen, 1000);
        assert_eq!(watch.next_look(), Some(at(1)));
        let pauses = [1, 3, 7, 15, 31, 63, 127, 227].map(|ms| pause(&mut watch, at(ms)));
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 100, 100]);
        assert_eq!(pause(&mut watch, at(900)), 50);
        assert_eq!(pause(&mut watch, at(999)), 1);
    }

    #[test]
    fn who_binds_a_socket_is_looked_at_at_once_and_soon_after_that() {
        let mut watch = over(Ready::Listen, 10_000);
        for ms in [1, 3, 7, 15, 31] {
            pause(&mut watch, at(ms));
        }
        assert!(watch.is_bound());
        assert_eq!(pause(&mut watch, at(40)), 1);
        watch.looks();
        assert!(!watch.is_bound(), "a look is under way");
        let mut watch = over(Ready::Http, 10_000);
        assert_eq!(watch.measured(at(1), Ready::Http, &Queue::Length(0)), Sight::Listens);
        assert!(!watch.is_bound(), "it listens already");
    }

    #[test]
    fn look_that_came_to_nothing_does_not_put_off_the_next() {
        let mut watch = over(Ready::Listen, 1000);
        watch.look_again_at(at(0));
        assert_eq!(watch.next_look(), Some(at(1)));
        watch.looks();
        watch.look_again_at(at(5));
        assert_eq!(watch.next_look(), Some(at(5)));
    }

    #[test]
    fn worker_that_answers_is_asked_again_until_it_is_well() {
        let mut watch = over(Ready::Http, 10_000);
        for (result, ready) in [
            (Err(Failure("refused".into())), false),
            (Ok(199), false),
            (Ok(300), false),
            (Ok(299), true),
            (Ok(200), true),
        ] {
            let sight = watch.probed(at(100), "/fit", result);
            assert_eq!(sight == Sight::Ready, ready);
        }
        assert_eq!(watch.next_look(), Some(at(200)));
        assert_eq!(watch.found(), "it answered GET /fit with 300 (options.readyPath)");
    }
}
