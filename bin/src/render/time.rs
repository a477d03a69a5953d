//! Spans of time, as people say them.

use std::time::Duration;

/// `duration` in its largest unit, and the next one where the first is small: `40 ms`, `0.4 s`, `12 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 if duration.subsec_millis() < 100 => format!("{} ms", duration.subsec_millis().max(1)),
        0..10 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// How long before `now` the moment `then` was (both in milliseconds since the epoch): `now` below a second, also when
/// the clock was set back in between.
#[must_use]
pub fn ago(then: u64, now: u64) -> String {
    match now.saturating_sub(then) {
        0..1000 => "now".into(),
        millis @ 1000..10_000 => format!("{} s", millis / 1000),
        millis => span(Duration::from_millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_use_fitting_units() {
        let said: Vec<String> = [0, 40, 430, 9_999, 59_999, 60_000, 3_599_999, 7_500_000, 273_600_000]
            .map(|millis| span(Duration::from_millis(millis)))
            .into();
        assert_eq!(
            said,
            ["1 ms", "40 ms", "0.4 s", "9.9 s", "59 s", "1 min", "59 min", "2 h 5 min", "3 d 4 h"]
        );
    }

    #[test]
    fn ago_survives_clock_set_back() {
        assert_eq!((ago(5000, 0).as_str(), ago(0, 5000).as_str()), ("now", "5 s"));
    }
}
