//! Waiting for conditions.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// In seconds.
static LIMIT: AtomicU64 = AtomicU64::new(60);

/// How long a test waits for something that ought to happen: a minute, far more than any of it takes.
#[must_use]
pub fn limit() -> Duration {
    Duration::from_secs(LIMIT.load(Relaxed))
}

/// Has this whole program wait so long from now on. On a machine that a bench starves, things take longer than in any test.
pub fn set_limit(limit: Duration) {
    LIMIT.store(limit.as_secs(), Relaxed);
}

/// Between two looks at a condition that nothing announces.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until `condition` holds.
///
/// # Panics
///
/// After [`limit`], with `what`.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    found(what, || condition().then_some(()), String::new);
}

/// Waits until `look` finds something, and returns it.
///
/// # Panics
///
/// After [`limit`], with `what` and whatever `explain` has to say.
pub fn found<T>(what: &str, mut look: impl FnMut() -> Option<T>, explain: impl Fn() -> String) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit(), "waited in vain until {what}\n{}", explain());
        sleep(PAUSE);
    }
}
