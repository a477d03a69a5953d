//! The control group that the daemon and its workers live in: how much memory it may have, and whom the kernel has killed in
//! it for want of memory (cgroups(7)).

use std::path::{Path, PathBuf};

use rustix::param::page_size;
use rustix::process::Pid;

use crate::processes::descendants::with_descendants;

/// Where all controllers are.
const SYSTEM: &str = "/sys/fs/cgroup";

/// Where the memory controller is below that: of version 2, of version 2 beside version 1, of version 1.
const MOUNTS: [(&str, &str); 3] = [("", ""), ("", "unified"), ("memory", "memory")];

/// A control group with a memory controller, or the whole machine.
#[derive(Debug)]
pub(crate) struct Cgroup {
    /// Its folder and those above it, up to the root.
    folders: Vec<PathBuf>,
    /// Kills for want of memory that were there before, or are accounted for.
    known: u64,
}

impl Cgroup {
    /// The one of this process.
    pub fn own() -> Self {
        let lines = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut cgroup = Self { folders: folders(&lines, Path::new(SYSTEM)), known: 0 };
        cgroup.known = cgroup.kills();
        cgroup
    }

    /// Whether one more process was killed for want of memory than is accounted for; then it is accounted for.
    pub fn has_lost_one(&mut self) -> bool {
        let lost = self.kills() > self.known;
        self.known += u64::from(lost);
        lost
    }

    /// Bytes that its processes may have together, if that is less than the machine has.
    pub fn limit(&self) -> Option<u64> {
        let of = |folder: &PathBuf| {
            let files = ["memory.max", "memory.limit_in_bytes"].map(|file| folder.join(file));
            files.iter().find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok())
        };
        let least = self.folders.iter().filter_map(of).min()?;
        machine().is_none_or(|machine| least < machine).then_some(least)
    }

    /// Bytes that its processes may have together, at most all that the machine has.
    pub fn room(&self) -> Option<u64> {
        self.limit().or_else(machine)
    }

    /// Processes in it, or on the whole machine, that were killed for want of memory.
    fn kills(&self) -> u64 {
        let own = self.folders.first();
        let files = own
            .into_iter()
            .flat_map(|own| ["memory.events", "memory.oom_control"].map(|file| own.join(file)));
        let texts = files.chain([PathBuf::from("/proc/vmstat")]);
        texts.filter_map(|file| entry(&std::fs::read_to_string(file).ok()?, "oom_kill")).next().unwrap_or(0)
    }
}

/// The folders of the group that these lines of `/proc/PID/cgroup` name, its own first; none if no controller of memory is below `system`.
fn folders(lines: &str, system: &Path) -> Vec<PathBuf> {
    let found = MOUNTS.iter().find_map(|(controller, mount)| {
        let path = lines.lines().find_map(|line| path_of(line, controller))?;
        let mount = system.join(mount);
        // In a container, what is mounted may begin with the container's own group, and the path still be that of the host.
        let own = [mount.join(path), mount.clone()].into_iter().find(|folder| controls_memory(folder))?;
        let above = own.ancestors().take_while(|folder| folder.starts_with(&mount));
        Some(above.map(Path::to_owned).collect())
    });
    found.unwrap_or_default()
}

fn controls_memory(folder: &Path) -> bool {
    ["memory.events", "memory.oom_control"].iter().any(|file| folder.join(file).exists())
}

/// A line of `/proc/PID/cgroup`, `ID:CONTROLLERS:/PATH`: the path from the mount point, if the controller is named.
fn path_of<'a>(line: &'a str, controller: &str) -> Option<&'a str> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    controllers.split(',').any(|named| named == controller).then(|| path.trim_start_matches('/'))
}

/// `NAME VALUE`, one a line.
fn entry(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Bytes of memory that the machine has.
fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
}

/// Bytes that a process and its descendants have in memory; `None` if it is gone.
pub(crate) fn resident(process: Pid) -> Option<u64> {
    resident_of(&with_descendants(process))
}

/// Bytes that processes have in memory together; `None` if the first one is gone.
pub(crate) fn resident_of(family: &[Pid]) -> Option<u64> {
    let page = u64::try_from(page_size()).ok()?;
    let pages: Vec<Option<u64>> = family.iter().copied().map(pages).collect();
    pages.first().copied().flatten()?;
    Some(pages.into_iter().flatten().sum::<u64>() * page)
}

fn pages(process: Pid) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/statm", process.as_raw_nonzero())).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_that_of_the_controller() {
        assert_eq!(
            path_of("4:memory:/system.slice/shop.service", "memory"),
            Some("system.slice/shop.service")
        );
        assert_eq!(path_of("9:cpu,cpuacct:/x", "memory"), None);
        assert_eq!(path_of("0::/system.slice/a:b", ""), Some("system.slice/a:b"));
    }

    #[test]
    fn group_of_a_container_is_found_where_its_path_is_that_of_the_host() {
        let system = tempfile::tempdir().unwrap();
        let memory = system.path().join("memory");
        let lines = "4:memory:/docker/4711\n0::/\n";
        assert!(folders(lines, system.path()).is_empty());
        std::fs::create_dir_all(memory.join("docker/4711")).unwrap();
        std::fs::write(memory.join("memory.oom_control"), "").unwrap();
        assert_eq!(folders(lines, system.path()), std::slice::from_ref(&memory));
        let own = memory.join("docker/4711");
        std::fs::write(own.join("memory.oom_control"), "").unwrap();
        assert_eq!(folders(lines, system.path()), [own, memory.join("docker"), memory]);
    }

    #[test]
    fn kills_are_read_by_their_whole_name() {
        assert_eq!(entry("oom 7\noom_kill 3\noom_group_kill 1\n", "oom_kill"), Some(3));
        assert_eq!(entry("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "oom_kill"), Some(2));
    }

    #[test]
    fn memory_of_a_process_counts_what_it_has_started() {
        let own = rustix::process::getpid();
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        assert!(resident(own) > resident(Pid::from_child(&child)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
