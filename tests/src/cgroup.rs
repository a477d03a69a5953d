//! Control groups that limit memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A control group with so many MiB of memory and no swap, for one test alone. Removed when dropped, unless a process is in
/// it.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one; `None` where we may not.
    #[must_use]
    pub fn new(mebibytes: u64) -> Option<Self> {
        let lines = fs::read_to_string("/proc/self/cgroup").ok()?;
        let controller = |name: &str| {
            lines.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let named = parts.next()?.split(',').any(|its| its == name);
                parts.next().filter(|_| named).map(|path| path.trim_start_matches('/').to_owned())
            })
        };
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nsd-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let first = controller("memory").map(|path| PathBuf::from("/sys/fs/cgroup/memory").join(path));
        let folder =
            first.or_else(|| Some(PathBuf::from("/sys/fs/cgroup").join(controller("")?)))?.join(name);
        fs::create_dir(&folder).ok()?;
        let cgroup = Self(folder);
        let limit = (mebibytes << 20).to_string();
        let files = ["memory.max", "memory.limit_in_bytes"];
        let set = files.iter().any(|file| fs::write(cgroup.0.join(file), &limit).is_ok());
        let _ = fs::write(cgroup.0.join("memory.swap.max"), "0");
        let _ = fs::write(cgroup.0.join("memory.swappiness"), "0");
        set.then_some(cgroup)
    }

    /// The memory that is in use, in bytes: what the limit counts.
    #[must_use]
    pub fn used(&self) -> u64 {
        let files = ["memory.current", "memory.usage_in_bytes"];
        let read = |file: &&str| fs::read_to_string(self.0.join(file)).ok()?.trim().parse().ok();
        files.iter().find_map(read).unwrap_or_default()
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Where a process writes its pid to join.
    #[must_use]
    pub fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
