//! How fast workers may boot on a machine that is slow, or for an app whose start is heavy.
//!
//! A worker that was not ready in time although it used the CPU, or waited for one, would not be ready in time the next
//! time either, if nothing changed: the daemon would start and kill workers for ever. So each such failure halves how many
//! workers boot at a time, down to one, and doubles the time that the next ones have. A worker that boots quickly takes one
//! such step back.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::event::CpuTime;

/// Time-outs grow up to 2⁶ times what is configured.
const MOST: u32 = 6;

/// How fast workers may boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// How often it was slowed down, less how often it was sped up again.
    strain: u32,
}

impl Pace {
    /// How many workers may boot at a time where `configured` may on a machine that keeps up.
    pub fn boots(self, configured: NonZeroU32) -> usize {
        let boots = configured.get().checked_shr(self.strain).unwrap_or(0).max(1);
        usize::try_from(boots).unwrap_or(usize::MAX)
    }

    /// The time that a worker has to be ready, where that is `configured`.
    pub fn online_timeout(self, configured: Duration) -> Duration {
        configured.saturating_mul(1 << self.strain)
    }

    /// A worker that had `given` to be ready was not, and wanted to work for most of that. Those that were started before
    /// the pace changed last say nothing new.
    pub fn was_too_fast(&mut self, given: Duration, configured: Duration) {
        if given >= self.online_timeout(configured) && !defect!(PaceStays) {
            self.strain = (self.strain + 1).min(MOST);
        }
    }

    /// A worker was ready after `took`.
    pub fn kept_up(&mut self, took: Duration, configured: Duration) {
        if took <= configured / 2 {
            self.strain = self.strain.saturating_sub(1);
        }
    }

    /// In a hand-off.
    pub fn strain(self) -> u32 {
        self.strain
    }

    /// From a hand-off.
    pub fn of(strain: u32) -> Self {
        Self { strain: strain.min(MOST) }
    }
}

/// Whether a worker that had `given` to be ready wanted to work for most of that.
pub(super) fn is_busy(cpu: CpuTime, given: Duration) -> bool {
    !given.is_zero() && cpu.used.saturating_add(cpu.waited) >= given / 2
}

/// What a worker did that was not ready in time, and what to do about that.
pub(super) fn describe(cpu: CpuTime, given: Duration) -> String {
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    let used = format!("it used {} of CPU in {}", seconds(cpu.used), seconds(given));
    if !is_busy(cpu, given) {
        return format!("{used}: it waits for something");
    }
    let waited = if cpu.waited > cpu.used {
        format!(" and waited {} for a CPU", seconds(cpu.waited))
    } else {
        String::new()
    };
    format!(
        "{used}{waited}: the machine is slow or the start is heavy; raise options.onlineTimeout or lower options.boots"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn pace_slows_down_to_one_boot_at_a_time_and_recovers() {
        let eight = NonZeroU32::MIN.saturating_add(7);
        let mut pace = Pace::default();
        let mut boots = Vec::new();
        for _ in 0..5 {
            boots.push((pace.boots(eight), pace.online_timeout(TEN).as_secs()));
            pace.was_too_fast(pace.online_timeout(TEN), TEN);
        }
        assert_eq!(boots, [(8, 10), (4, 20), (2, 40), (1, 80), (1, 160)]);
        pace.was_too_fast(TEN, TEN);
        assert_eq!(pace.strain(), 5, "a worker of an earlier pace says nothing");
        pace.kept_up(TEN, TEN);
        assert_eq!(pace.strain(), 5, "it was no quick boot");
        (0..5).for_each(|_| pace.kept_up(TEN / 2, TEN));
        assert_eq!(pace, Pace::default());
        assert_eq!(Pace::of(99).strain(), MOST);
    }

    #[test]
    fn message_tells_who_worked_from_who_waited() {
        let cpu = |used, waited| CpuTime {
            used: Duration::from_millis(used),
            waited: Duration::from_millis(waited),
        };
        assert_eq!(describe(cpu(100, 0), TEN), "it used 0.1 s of CPU in 10.0 s: it waits for something");
        let busy = describe(cpu(9600, 100), TEN);
        assert!(busy.starts_with("it used 9.6 s of CPU in 10.0 s: the machine is slow"), "{busy}");
        let torn = describe(cpu(4900, 4900), TEN);
        assert!(torn.starts_with("it used 4.9 s of CPU in 10.0 s: the machine is slow"), "{torn}");
        let starved = describe(cpu(900, 8900), TEN);
        assert!(
            starved.starts_with("it used 0.9 s of CPU in 10.0 s and waited 8.9 s for a CPU:"),
            "{starved}"
        );
    }
}
