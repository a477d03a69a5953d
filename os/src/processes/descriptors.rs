//! How many descriptors a process may have open (`RLIMIT_NOFILE`, `getrlimit(2)`).
//!
//! The daemon needs some for each worker, and raises its own limit as far as it may. Workers get the one that the daemon was
//! started with: programs that use `select(2)` do not expect more.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// What the daemon was started with.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// The most descriptors that this process may have; `None`: any number.
#[must_use]
pub fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Raises the limit of this process as far as it may.
pub(crate) fn raise() {
    let before = BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    // Where that is refused, what there is has to do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
}

/// Puts the limit back, for the program that this process is about to become.
pub(crate) fn put_back() {
    if let Some(before) = BEFORE.get() {
        let _ = setrlimit(Resource::Nofile, *before);
    }
}

/// Gives a process that has just been started the limit that the daemon was started with.
pub(crate) fn give(process: Pid) {
    if let Some(before) = BEFORE.get() {
        let _ = prlimit(Some(process), Resource::Nofile, *before);
    }
}
