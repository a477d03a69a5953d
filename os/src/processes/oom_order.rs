//! Whom the kernel kills first when memory runs out: workers that boot, or wait, before those that serve
//! (`/proc/PID/oom_score_adj`, proc(5)).
//!
//! Everybody may raise the number of an own process, and lower it to what it was. A failure changes nothing but that order.

use std::sync::OnceLock;

use rustix::process::Pid;

use crate::processes::descendants::with_descendants;

/// As if the process had all the memory there is: with less, one that has only begun to grow would be spared, and one that
/// serves killed for it.
const FIRST: i32 = 1000;

/// A worker that does not serve yet.
pub(crate) fn expose(worker: Pid) {
    set(worker, FIRST);
}

/// A worker that serves, and what it has started.
pub(crate) fn protect(worker: Pid) {
    with_descendants(worker).into_iter().for_each(|process| set(process, own()));
}

/// The number that the daemon was started with.
fn own() -> i32 {
    static OWN: OnceLock<i32> = OnceLock::new();
    *OWN.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    })
}

fn set(process: Pid, number: i32) {
    let path = format!("/proc/{}/oom_score_adj", process.as_raw_nonzero());
    if let Err(error) = std::fs::write(path, number.to_string()) {
        tracing::debug!(
            "the kernel may kill process {process:?} for want of memory in another order: {error}"
        );
    }
}
