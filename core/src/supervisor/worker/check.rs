//! Whether a worker that serves is fit to: every `health.interval` it is sent a GET for `health.path`, which it has to answer
//! in time.
//!
//! There is one question at a time. One that is not answered counts as another failure each time the next would be due.

use std::time::Duration;

use crate::config::Health;
use crate::event::Failure;
use crate::time::Time;

/// A daemon that comes so much too late was starved or stopped itself, and the worker may have been, too.
const LATE: Duration = Duration::from_millis(500);

/// The checks of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Check {
    step: Step,
    /// In a row.
    failures: u32,
    /// A deploy watches it, and it has not shown yet that it is fit.
    unproven: bool,
    /// Why it has to be replaced.
    reason: Option<String>,
    /// What has it checked: a key of the configuration, or an option.
    origin: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is asked then.
    Rests { ask: Time },
    /// What it was asked before, for another path, is to be answered first, and says nothing. It is not waited for longer than until `ask`.
    Earlier { ask: Time },
    /// It was asked, and has until `due`.
    Asked { sent: Time, due: Time },
    /// It has not answered in time, which is counted again at `due`.
    Overdue { due: Time },
    /// It has failed too often.
    Failed,
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::supervisor) enum Todo {
    #[default]
    Nothing,
    Ask,
    Replace(String),
}

impl Check {
    /// The first question comes after one interval.
    pub fn begin(now: Time, health: &Health) -> Self {
        let step = Step::Rests { ask: now + health.interval };
        Self { step, failures: 0, unproven: false, reason: None, origin: "health.path" }
    }

    /// A deploy watches the worker: the first question comes at once.
    pub fn begin_for_deploy(now: Time) -> Self {
        let step = Step::Rests { ask: now };
        Self { step, failures: 0, unproven: true, reason: None, origin: "--health" }
    }

    pub fn deadline(&self) -> Option<Time> {
        match self.step {
            Step::Rests { ask } | Step::Earlier { ask } => Some(ask),
            Step::Asked { due, .. } | Step::Overdue { due } => Some(due),
            Step::Failed => None,
        }
    }

    /// By when an answer is to come, if one is.
    pub fn answer_due(&self) -> Option<Time> {
        match self.step {
            Step::Asked { due, .. } | Step::Overdue { due } => Some(due),
            Step::Rests { .. } | Step::Earlier { .. } | Step::Failed => None,
        }
    }

    /// Before it is asked, what it was asked earlier is to be answered, by `due`.
    pub fn follows(&mut self, due: Time) {
        self.step = Step::Earlier { ask: due };
    }

    /// It has not shown yet that it is fit, or has not answered what it was asked before `until`. Of what is asked later nobody
    /// has to wait for the answer.
    pub fn owes(&self, until: Time) -> bool {
        self.unproven || matches!(self.step, Step::Asked { sent, .. } if sent < until)
    }

    /// Why it has to be replaced, if it has to be.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Its deadline has passed.
    pub fn due(&mut self, now: Time, health: &Health) -> Todo {
        let late = self.deadline().is_some_and(|at| now.since(at) > LATE);
        match self.step {
            Step::Rests { ask } | Step::Earlier { ask } if ask <= now => {
                self.step = Step::Asked { sent: now, due: now + health.timeout };
                Todo::Ask
            }
            Step::Asked { sent, due } if due <= now => {
                if late {
                    self.step = Step::Asked { sent, due: now + health.timeout };
                    return Todo::Nothing;
                }
                self.step = Step::Overdue { due: (sent + health.interval).max(now + health.timeout) };
                self.failed(health, &format!("it was not answered within {} ms", health.timeout.as_millis()))
            }
            Step::Overdue { due } if due <= now => {
                self.step = Step::Overdue { due: now + health.interval };
                self.failed(health, "it is still not answered")
            }
            Step::Rests { .. }
            | Step::Earlier { .. }
            | Step::Asked { .. }
            | Step::Overdue { .. }
            | Step::Failed => Todo::Nothing,
        }
    }

    /// It answered, or the connection has ended.
    pub fn answered(&mut self, now: Time, result: &Result<u16, Failure>, health: &Health) -> Todo {
        match self.step {
            Step::Asked { sent, .. } => self.step = Step::Rests { ask: (sent + health.interval).max(now) },
            // That has been counted already.
            Step::Overdue { due } => {
                self.step = Step::Rests { ask: due };
                return Todo::Nothing;
            }
            Step::Earlier { .. } => {
                self.step = Step::Rests { ask: now };
                return Todo::Nothing;
            }
            Step::Rests { .. } | Step::Failed => return Todo::Nothing,
        }
        match result {
            Ok(200..=399) => {
                (self.failures, self.unproven) = (0, false);
                Todo::Nothing
            }
            Ok(status) => self.failed(health, &format!("it was answered with {status}")),
            Err(failure) => self.failed(health, &failure.0),
        }
    }

    fn failed(&mut self, health: &Health, what: &str) -> Todo {
        self.failures += 1;
        if self.failures < health.failures.get() {
            return Todo::Nothing;
        }
        let path = health.path.as_deref().unwrap_or("/");
        let times =
            if self.failures == 1 { String::new() } else { format!(" {} times in a row", self.failures) };
        let reason = format!("GET {path} failed{times} ({}): {what}", self.origin);
        self.step = Step::Failed;
        self.reason = Some(reason.clone());
        Todo::Replace(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health { path: Some("/fit".to_owned()), ..Health::default() }
    }

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn answers_in_between_begin_the_count_anew() {
        let mut check = Check::begin(at(0), &health());
        for (nth, status) in (1..).zip([503, 500, 302, 404, 503]) {
            assert_eq!(check.due(at(10_000 * nth), &health()), Todo::Ask);
            assert_eq!(
                check.answered(at(10_000 * nth + 5), &Ok(status), &health()),
                Todo::Nothing,
                "{status}"
            );
        }
        assert_eq!(check.due(at(60_000), &health()), Todo::Ask);
        let Todo::Replace(reason) = check.answered(at(60_005), &Ok(503), &health()) else {
            panic!("no verdict")
        };
        assert_eq!(reason, "GET /fit failed 3 times in a row (health.path): it was answered with 503");
        assert_eq!(check.deadline(), None);
    }

    #[test]
    fn question_without_an_answer_is_counted_each_time() {
        let mut check = Check::begin(at(0), &health());
        let mut step = |ms| {
            assert_eq!(check.deadline(), Some(at(ms)));
            assert_eq!(check.due(at(ms - 1), &health()), Todo::Nothing, "it was put off meanwhile");
            check.due(at(ms), &health())
        };
        assert_eq!(step(10_000), Todo::Ask);
        assert_eq!(step(15_000), Todo::Nothing);
        assert_eq!(step(20_000), Todo::Nothing);
        let reason = "GET /fit failed 3 times in a row (health.path): it is still not answered".to_owned();
        assert_eq!(step(30_000), Todo::Replace(reason));
    }

    #[test]
    fn worker_owes_a_proof_and_the_answers_to_what_was_asked_before() {
        let mut check = Check::begin(at(0), &health());
        check.due(at(10_000), &health());
        assert!(
            check.owes(at(10_001)) && !check.owes(at(10_000)),
            "of what is asked later nobody waits for the answer"
        );
        check.answered(at(10_005), &Ok(200), &health());
        assert!(!check.owes(at(60_000)));
    }

    #[test]
    fn what_the_daemon_hears_of_too_late_is_not_counted() {
        for (late, verdict_at) in [(500, 30_500), (501, 35_501)] {
            let mut check = Check::begin(at(0), &health());
            check.due(at(10_000), &health());
            check.due(at(15_000 + late), &health());
            let mut last = 0;
            for _ in 0..3 {
                let Some(deadline) = check.deadline() else { break };
                check.due(deadline, &health());
                last = deadline.as_nanos() / 1_000_000;
            }
            assert_eq!(
                (check.deadline().is_some(), last),
                (check.reason().is_none(), verdict_at),
                "{late} ms"
            );
        }
    }

    #[test]
    fn late_answer_ends_the_question_and_a_late_daemon_counts_nothing() {
        let mut check = Check::begin(at(0), &health());
        check.due(at(10_000), &health());
        check.due(at(15_000), &health());
        assert_eq!(check.answered(at(16_000), &Ok(200), &health()), Todo::Nothing);
        assert_eq!(check.deadline(), Some(at(20_000)));
        check.due(at(20_000), &health());
        assert_eq!(check.due(at(90_000), &health()), Todo::Nothing);
        assert_eq!(check.deadline(), Some(at(95_000)));
    }
}
