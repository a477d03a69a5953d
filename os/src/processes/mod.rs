//! Workers' processes: starting them, noticing and collecting their exits, and finding those of an earlier daemon.

pub(crate) mod cgroup;
pub(crate) mod children;
pub(crate) mod command;
pub(crate) mod core_dumps;
pub(crate) mod cpu_time;
pub(crate) mod descendants;
pub(crate) mod descriptors;
pub(crate) mod first_signs;
pub(crate) mod moment;
pub(crate) mod oom_order;
pub(crate) mod pidfd;
pub(crate) mod servers;
pub(crate) mod spawn;
pub(crate) mod survivors;
pub(crate) mod trampoline;
pub(crate) mod vitals;
pub(crate) mod worker_locks;
