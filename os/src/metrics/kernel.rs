//! What the kernel knows of workers and of the daemon: asked for when somebody looks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nodesockd_core::id::SlotIndex;
use nodesockd_core::metrics::Metrics;

use crate::machine::usage::{AcceptQueues, Usage, usage};

/// What a process uses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Use {
    /// CPU time, with all that it has started.
    pub cpu: Option<Duration>,
    /// Bytes in memory, with all that it has started.
    pub memory: Option<u64>,
    /// Descriptors that it has open.
    pub descriptors: Option<u64>,
}

/// What is known by now.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    /// Of workers, by the pid.
    pub workers: BTreeMap<u32, Use>,
    pub daemon: Use,
    /// How many connections wait at each slot's link.
    pub queues: BTreeMap<SlotIndex, u32>,
}

/// Looks now. Others get their turn in between: there may be a thousand workers.
pub(crate) async fn look(metrics: &Metrics) -> Kernel {
    let mut kernel = Kernel { daemon: of_daemon(metrics.pid), ..Kernel::default() };
    for worker in &metrics.workers {
        let used = usage(worker.pid);
        kernel.workers.insert(worker.pid, of(worker.pid, used));
        tokio::task::yield_now().await;
    }
    let mut queues = AcceptQueues::default();
    for (slot, link) in &metrics.links {
        if let Some(length) = queues.length(Path::new(link)) {
            kernel.queues.insert(*slot, length);
        }
        tokio::task::yield_now().await;
    }
    kernel
}

fn of(pid: u32, used: Option<Usage>) -> Use {
    Use {
        cpu: used.map(|used| used.cpu),
        memory: used.map(|used| used.resident),
        descriptors: descriptors(pid),
    }
}

/// The daemon alone: its workers are counted by themselves.
fn of_daemon(pid: u32) -> Use {
    let used = crate::machine::usage::usage_alone(pid);
    of(pid, used)
}

/// The entries of `/proc/PID/fd` (`proc_pid_fd(5)`); `None` if it is gone, or another user's.
fn descriptors(pid: u32) -> Option<u64> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    u64::try_from(entries.count()).ok()
}
