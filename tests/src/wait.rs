//! Waiting for conditions.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a test waits for something that ought to happen. Far more than any of it takes, on any machine.
pub const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at a condition that nothing announces.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until `condition` holds.
///
/// # Panics
///
/// After [`WAIT_LIMIT`], with `what`.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    found(what, || condition().then_some(()), String::new);
}

/// Waits until `look` finds something, and returns it.
///
/// # Panics
///
/// After [`WAIT_LIMIT`], with `what` and whatever `explain` has to say.
pub fn found<T>(what: &str, mut look: impl FnMut() -> Option<T>, explain: impl Fn() -> String) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < WAIT_LIMIT, "waited in vain until {what}\n{}", explain());
        sleep(PAUSE);
    }
}
