//! A time in which a worker has given no sign of life: when it is looked at, and what is said about it in the end.

use std::time::Duration;

use crate::event::Vitals;
use crate::time::Time;

/// From the last look at a silent worker to the verdict: what it has said is read in that time.
pub(super) const LAST_WORD: Duration = Duration::from_millis(250);
/// The daemon comes so much too late that it may not have read in time what is in the channels.
pub(super) const BUSY: Duration = Duration::from_millis(50);
/// A daemon that comes so much too late was starved or stopped itself, and workers may have been, too.
pub(super) const LATE: Duration = Duration::from_millis(500);

/// What has to be done about a worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::supervisor) enum Todo {
    #[default]
    Nothing,
    /// It is asked this question.
    Ask(u64),
    /// What waits in its accept queue is asked for.
    List,
    /// Its process is looked at.
    Look,
    /// It hangs, for this reason.
    Replace(String),
}

/// A time without a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silence {
    since: Time,
    /// When the worker was asked, or looked at for the first time.
    asked: Time,
    /// How long it may last.
    limit: Duration,
    /// What has waited in its accept queue since then, if that is what it is watched by: see [`is_untouched`].
    line: Option<Vec<u64>>,
    step: Step,
    /// When the next step is due.
    due: Time,
    /// What the process was found doing, and when.
    before: Option<(Time, Vitals)>,
    after: Option<(Time, Vitals)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Asked,
    Doubted,
    Judged,
}

impl Silence {
    /// It has not answered since `since`, and is asked now.
    pub fn begin(now: Time, since: Time, limit: Duration) -> Self {
        Self::of(now, since, now, limit)
    }

    /// From the question on it has two thirds of its time at least, however late that came.
    fn of(now: Time, since: Time, asked: Time, limit: Duration) -> Self {
        let since = since + asked.since(since).saturating_sub(limit / 3);
        let left = (since + limit).since(now);
        let (line, step, due) = (None, Step::Asked, now + left / 2);
        Self { since, asked, limit, line, step, due, before: None, after: None }
    }

    /// These connections wait in its accept queue.
    pub fn queue(now: Time, limit: Duration, line: Vec<u64>) -> Self {
        Self { line: Some(line), ..Self::begin(now, now, limit) }
    }

    pub fn due(&self) -> Time {
        self.due
    }

    /// Whether the accept queue is what it is watched by, and nothing was taken from it by the time when these waited.
    pub fn is_confirmed_by(&self, waiting: &[u64]) -> bool {
        self.line.as_ref().is_some_and(|line| is_untouched(line, waiting))
    }

    /// Its deadline has passed. `inspected`: a debugger may stop it at any time.
    pub fn goes_on(&mut self, now: Time, inspected: bool) -> Todo {
        let late = now.since(self.due);
        if late > LATE || inspected {
            self.starts_over(now);
            Todo::Nothing
        } else if late > BUSY && self.step == Step::Asked {
            // What held the daemon up may have held up the question.
            let line = self.line.take();
            *self = Self { line, ..Self::begin(now, self.since, self.limit) };
            Todo::Nothing
        } else if late > BUSY && self.step == Step::Judged {
            self.due = now + LAST_WORD;
            Todo::Nothing
        } else {
            self.next(now)
        }
    }

    /// It may last so long from now on.
    pub fn may_last(&mut self, now: Time, limit: Duration) {
        if limit != self.limit {
            let line = self.line.take();
            *self = Self { line, ..Self::of(now, self.since, self.asked, limit) };
        }
    }

    /// The worker gets its time again.
    fn starts_over(&mut self, now: Time) {
        let line = self.line.take();
        *self = Self { line, ..Self::begin(now, now, self.limit) };
    }

    /// The next step is due.
    fn next(&mut self, now: Time) -> Todo {
        match self.step {
            Step::Asked => {
                self.step = Step::Doubted;
                self.due = (self.since + self.limit).max(now);
                Todo::Look
            }
            Step::Doubted => {
                self.step = Step::Judged;
                self.due = now + LAST_WORD;
                Todo::Look
            }
            Step::Judged if self.after.as_ref().is_some_and(|(_, vitals)| vitals.traced) => {
                self.starts_over(now);
                Todo::Nothing
            }
            Step::Judged => Todo::Replace(self.words(now)),
        }
    }

    /// Its process was looked at.
    pub fn examined(&mut self, now: Time, vitals: Option<Vitals>) {
        let found = vitals.map(|vitals| (now, vitals));
        match self.step {
            Step::Asked => {}
            Step::Doubted => self.before = found,
            Step::Judged => self.after = found,
        }
    }

    /// What it did instead of giving a sign of life.
    fn words(&self, now: Time) -> String {
        let limit = self.limit.as_millis();
        let missing = match self.line {
            None => "its event loop has not answered",
            Some(_) => "requests wait, and nothing was taken from its accept queue",
        };
        let found = match (&self.before, &self.after) {
            (_, Some((_, Vitals { state: 'T' | 't', .. }))) => "it is stopped (SIGSTOP)".to_owned(),
            (Some((then, before)), Some((at, after))) => {
                let (time, used) = (at.since(*then), after.cpu.saturating_sub(before.cpu));
                // One that wants to run and gets no CPU does not sleep.
                let runs = before.state == 'R' && after.state == 'R';
                let loops = runs || used >= time / 2;
                let what = if loops { "it loops" } else { "it sleeps" };
                let place = after.waits_in.as_ref().filter(|_| !loops);
                let place = place.map_or_else(String::new, |place| format!(" in `{place}`"));
                let (used, time) = (seconds(used), seconds(time));
                format!("{what}{place}: state {}, {used} s of CPU in the last {time} s", after.state)
            }
            (_, None) | (None, _) => "the kernel does not tell what it does".to_owned(),
        };
        let silent = seconds(now.since(self.since));
        format!("it hangs: {missing} for {silent} s (health.hangTimeout = {limit}); {found}")
    }
}

/// Whether nothing was taken from a queue that was `before` by the time when it was `after`. Connections are taken in their
/// order, and new ones come behind. A client that has gone is 0 from then on, and stays in the queue.
fn is_untouched(before: &[u64], after: &[u64]) -> bool {
    !before.is_empty()
        && after.len() >= before.len()
        && before.iter().zip(after).all(|(was, is)| was == is || *is == 0)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_is_untouched_as_long_as_its_first_connections_are_the_same() {
        assert!(is_untouched(&[7], &[7]));
        assert!(is_untouched(&[7, 8], &[7, 8, 9]));
        assert!(is_untouched(&[7, 8], &[0, 8, 9]), "a client that has given up waits for nothing, but waits");
        assert!(!is_untouched(&[7, 8, 9], &[8, 9, 10]));
        assert!(!is_untouched(&[7, 8], &[7]));
        assert!(!is_untouched(&[0, 8], &[8, 9]));
        assert!(!is_untouched(&[], &[7]));
    }

    const LIMIT: Duration = Duration::from_secs(10);
    const MILLISECOND: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    /// Looked at twice: the verdict is due.
    fn judged() -> Silence {
        let mut silence = Silence::begin(at(0), at(0), LIMIT);
        assert_eq!(silence.goes_on(at(5_000), false), Todo::Look);
        assert_eq!(silence.goes_on(at(10_000), false), Todo::Look);
        assert_eq!(silence.due(), at(10_250));
        silence
    }

    #[test]
    fn queue_is_still_watched_when_its_time_changes_or_begins_anew() {
        let mut silence = Silence::queue(at(0), LIMIT, vec![7, 8]);
        silence.may_last(at(1_000), 2 * LIMIT);
        assert!(silence.is_confirmed_by(&[7, 8]) && !silence.is_confirmed_by(&[8, 9]));
        for inspected in [true, false] {
            let late = silence.due() + BUSY + MILLISECOND;
            assert_eq!(silence.goes_on(late, inspected), Todo::Nothing);
            assert!(silence.is_confirmed_by(&[7, 8]) && !silence.is_confirmed_by(&[8, 9]));
        }
    }

    #[test]
    fn worker_gets_its_time_again_when_it_is_inspected_or_the_daemon_comes_late() {
        let due = at(5_000);
        let two_thirds = LIMIT - LIMIT / 3;
        for (now, inspected, begins_anew) in [
            (due, false, None),
            (due + BUSY, false, None),
            (due + BUSY + MILLISECOND, false, Some(two_thirds)),
            (due + LATE, false, Some(two_thirds)),
            (due + LATE + MILLISECOND, false, Some(LIMIT)),
            (due, true, Some(LIMIT)),
        ] {
            let mut silence = Silence::begin(at(0), at(0), LIMIT);
            let todo = if begins_anew.is_some() { Todo::Nothing } else { Todo::Look };
            assert_eq!(silence.goes_on(now, inspected), todo);
            assert_eq!(silence.due(), begins_anew.map_or(at(10_000), |time| now + time / 2));
        }
    }

    #[test]
    fn busy_daemon_reads_what_is_in_the_channel_before_its_verdict() {
        let now = at(10_250) + BUSY;
        assert!(matches!(judged().goes_on(now, false), Todo::Replace(_)));
        let mut silence = judged();
        assert_eq!(silence.goes_on(now + MILLISECOND, false), Todo::Nothing);
        let due = silence.due();
        assert_eq!(due, now + MILLISECOND + LAST_WORD);
        assert!(matches!(silence.goes_on(due, false), Todo::Replace(_)));
    }

    #[test]
    fn worker_in_a_debugger_gets_its_time_again() {
        let mut silence = judged();
        let vitals = Vitals { state: 't', cpu: Duration::ZERO, waits_in: None, traced: true };
        silence.examined(at(10_000), Some(vitals));
        assert_eq!(silence.goes_on(at(10_250), false), Todo::Nothing);
        assert_eq!(silence.due(), at(10_250) + LIMIT / 2);
    }
}
