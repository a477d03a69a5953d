//! The clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use nodesockd_core::Time;
use rustix::time::{ClockId, clock_gettime};

/// Now, on `CLOCK_MONOTONIC`, which stands still while the machine sleeps: time-outs should, too.
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Time::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// `time` on the wall clock as it is set now, in milliseconds since the epoch. `time` may lie in the future.
pub(crate) fn wall_ms(time: Time) -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = now();
    let wall = (wall + time.since(now)).saturating_sub(now.since(time));
    u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn wall_time_keeps_intervals() {
        let now = now();
        let (early, late) = (
            wall_ms(Time::from_nanos(now.as_nanos() - 60_000_000_000)),
            wall_ms(now + Duration::from_secs(60)),
        );
        assert!((119_000..=121_000).contains(&(late - early)), "{early} {late}");
        assert!(self::now() >= now);
    }
}
