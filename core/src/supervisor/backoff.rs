//! Back-off: how long to wait before trying again what keeps failing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// The first failure in a row is free; the second costs this much, every further one twice as much as the one before.
const FIRST: Duration = Duration::from_millis(100);
/// Never wait longer than this.
const LONGEST: Duration = Duration::from_secs(30);
/// What worked for this long before it failed starts a new row.
pub(super) const STABLE: Duration = Duration::from_secs(60);

/// A row of failures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Backoff {
    pub failures: u32,
    pub retry_at: Option<Time>,
    pub reason: Option<String>,
}

impl Backoff {
    /// It failed at `now`, after having worked for `worked`.
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

    /// Whether it may be tried at `now`.
    pub fn permits(&self, now: Time) -> bool {
        defect!(NoBackoff) || self.retry_at.is_none_or(|at| at <= now)
    }

    /// It is being tried, or there is no need to any more.
    pub fn tried(&mut self) {
        self.retry_at = None;
    }

    /// It worked.
    pub fn succeeded(&mut self) {
        *self = Self::default();
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
            backoff.failed(Time::ZERO, Duration::ZERO, "it fell over");
            waits.push(backoff.retry_at.unwrap().since(Time::ZERO).as_millis());
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        backoff.failed(Time::ZERO, STABLE, "it fell over");
        assert_eq!(backoff.retry_at, Some(Time::ZERO));
        backoff.failed(Time::ZERO, Duration::ZERO, "it fell over");
        backoff.succeeded();
        assert_eq!(backoff, Backoff::default());
    }
}
