//! Giving memory back to the kernel.
//!
//! While workers are replaced there are twice as many. What the C library has taken from the kernel for those that are gone lies between
//! what belongs to others, so it stays with the process until somebody asks for it (`malloc_trim(3)`).

use std::time::Duration;

/// What has come or gone of so many workers is worth looking for.
const MANY: u32 = 32;

/// A daemon that has heard nothing for so long is not about to need the memory.
const REST: Duration = Duration::from_millis(100);

/// How much may have become free since memory was given back.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    /// How many workers have come or gone.
    changes: u32,
}

impl Heap {
    /// A worker has come, or has gone.
    pub(crate) fn has_changed(&mut self) {
        self.changes = self.changes.saturating_add(1);
    }

    /// After how much rest memory is given back, if it is worth that.
    pub(crate) fn gives_back_in(&self) -> Option<Duration> {
        (self.changes >= MANY).then_some(REST)
    }

    /// Gives back what is free.
    pub(crate) fn give_back(&mut self) {
        self.changes = 0;
        trim();
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "no library wraps this function of the C library")]
fn trim() {
    // SAFETY: it takes a number, and locks what it changes.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Other C libraries do without.
#[cfg(not(target_env = "gnu"))]
fn trim() {}
