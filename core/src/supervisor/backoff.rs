//! Back-off: how long to wait before trying again what keeps failing.

use std::time::Duration;

use crate::handoff::BackoffRecord;
use crate::time::Time;

/// The first failure in a row is retried at once; the second waits this long, every further one twice as long as the
/// one before.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// What worked for this long before it failed starts a new row.
const STABLE: Duration = Duration::from_secs(60);

/// A row of failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
    retry_at: Option<Time>,
    reason: Option<String>,
}

impl Backoff {
    /// A try failed at `now`, after what was tried had worked for `worked`.
    pub fn failed(&mut self, now: Time, worked: Duration, reason: &str) {
        if worked >= STABLE {
            self.failures = 0;
        }
        let delay = match self.failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST.saturating_mul(1 << doublings.min(20)).min(LONGEST),
        };
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + delay);
        self.reason = Some(reason.to_owned());
    }

    /// The last try has turned out to have failed for this reason.
    pub fn explain(&mut self, reason: &str) {
        if self.reason.is_some() {
            self.reason = Some(reason.to_owned());
        }
    }

    /// Whether a try is allowed at `now`.
    pub fn permits(&self, now: Time) -> bool {
        defect!(NoBackoff) || self.retry_at.is_none_or(|at| at <= now)
    }

    /// The next try waits at least as long as that of `other`.
    pub fn waits_for(&mut self, other: &Self) {
        if other.retry_at > self.retry_at {
            *self = other.clone();
        }
    }

    /// A try is under way, or there is nothing to try any more.
    pub fn tried(&mut self) {
        self.retry_at = None;
    }

    /// A try succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// How many tries have failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When the next try is allowed; `None` if nothing waits for that.
    pub fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    /// Why the last try failed.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl From<&Backoff> for BackoffRecord {
    fn from(backoff: &Backoff) -> Self {
        let Backoff { failures, retry_at, reason } = backoff;
        Self { failures: *failures, retry_at: *retry_at, reason: reason.clone() }
    }
}

impl From<BackoffRecord> for Backoff {
    fn from(record: BackoffRecord) -> Self {
        let BackoffRecord { failures, retry_at, reason } = record;
        Self { failures, retry_at, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_start_anew_after_a_stable_time() {
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            backoff.failed(Time::ZERO, Duration::ZERO, "exited");
            waits.push(backoff.retry_at.unwrap().since(Time::ZERO).as_millis());
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        backoff.failed(Time::ZERO, STABLE, "exited");
        assert_eq!(backoff.retry_at, Some(Time::ZERO));
        backoff.failed(Time::ZERO, Duration::ZERO, "exited");
        backoff.succeeded();
        assert_eq!(backoff, Backoff::default());
    }

    #[test]
    fn the_later_of_two_waits_holds() {
        let mut waits = [1, 3, 2].map(|failures| {
            let mut backoff = Backoff::default();
            (0..failures).for_each(|_| backoff.failed(Time::ZERO, Duration::ZERO, "exited"));
            backoff
        });
        let later = waits[1].clone();
        waits.iter_mut().for_each(|backoff| backoff.waits_for(&later));
        assert!(waits.iter().all(|backoff| *backoff == later));
        waits[0].waits_for(&Backoff::default());
        assert_eq!(waits[0], later);
        // Of two that wait equally long, each keeps its own reason.
        let mut other = Backoff::default();
        (0..3).for_each(|_| other.failed(Time::ZERO, Duration::ZERO, "it hangs"));
        waits[0].waits_for(&other);
        assert_eq!(waits[0].reason(), Some("exited"));
    }

    #[test]
    fn the_next_program_waits_as_long() {
        let mut backoff = Backoff::default();
        (0..3).for_each(|_| backoff.failed(Time::ZERO, Duration::ZERO, "exited"));
        assert_eq!(Backoff::from(BackoffRecord::from(&backoff)), backoff);
    }

    #[test]
    fn a_failure_that_is_known_better_later_has_the_later_reason() {
        let mut backoff = Backoff::default();
        backoff.explain("nothing has failed");
        assert_eq!(backoff.reason(), None);
        backoff.failed(Time::ZERO, Duration::ZERO, "it exited");
        backoff.explain("it exited: no memory");
        assert_eq!(backoff.reason(), Some("it exited: no memory"));
    }
}
