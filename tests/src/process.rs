//! Processes, as `/proc` shows them.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot.
    pub started: u64,
}

impl Process {
    /// The process that has this pid now; `None` if there is none, or only what is left of it for its parent to collect.
    /// As long as one thread has not ended, what the process had open still is.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = stat(pid)?;
        let threads: u32 = stat[17].parse().expect("proc(5): num_threads");
        (stat[0] != "Z" || threads > 1)
            .then(|| Self { pid, started: stat[19].parse().expect("proc(5): starttime") })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Whether its main thread waits for something to happen.
    #[must_use]
    pub fn sleeps(self) -> bool {
        self.is_alive() && stat(self.pid).is_some_and(|stat| stat[0] == "S")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it is gone.
    pub fn signal(self, signal: Signal) {
        assert!(self.is_alive(), "{self:?} is gone");
        kill(Pid::from_raw(self.pid.try_into().expect("a pid")), signal).expect("a process of ours");
    }

    /// Stops it as it is; returns when nothing of it runs any more. SIGCONT or SIGKILL is what comes next.
    pub fn freeze(self) {
        self.signal(Signal::SIGSTOP);
        wait::until("all threads have stopped", || {
            threads(self.pid).all(|thread| stat(thread).is_none_or(|stat| stat[0] == "T"))
        });
    }

    /// Its children, and zombies among them.
    #[must_use]
    pub fn children(self) -> Vec<u32> {
        let parent = self.pid.to_string();
        pids().filter(|pid| stat(*pid).is_some_and(|stat| stat[1] == parent)).collect()
    }

    /// Its process group.
    #[must_use]
    pub fn group(self) -> u32 {
        stat(self.pid).and_then(|stat| stat[2].parse().ok()).expect("it runs")
    }

    /// The words it was started with.
    #[must_use]
    pub fn words(self) -> Vec<String> {
        split(std::fs::read(self.file("cmdline")).unwrap_or_default())
    }

    /// The environment it was started with, `NAME=value` each.
    #[must_use]
    pub fn environment(self) -> Vec<String> {
        split(std::fs::read(self.file("environ")).unwrap_or_default())
    }

    /// Its open descriptors: number and what it names.
    #[must_use]
    pub fn descriptors(self) -> Vec<(u32, String)> {
        let Ok(entries) = std::fs::read_dir(self.file("fd")) else { return Vec::new() };
        let mut open: Vec<(u32, String)> = entries
            .flatten()
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.parse().ok()?;
                let target = std::fs::read_link(entry.path()).ok()?;
                Some((number, target.to_string_lossy().into_owned()))
            })
            .collect();
        open.sort_unstable();
        open
    }

    /// Its working directory.
    #[must_use]
    pub fn folder(self) -> PathBuf {
        std::fs::read_link(self.file("cwd")).expect("it runs")
    }

    /// A line of `/proc/PID/status`, for instance `Umask` or `SigIgn`.
    #[must_use]
    pub fn status(self, key: &str) -> String {
        let text = std::fs::read_to_string(self.file("status")).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
    }

    /// The memory it holds, in KiB.
    #[must_use]
    pub fn resident(self) -> u64 {
        let text = self.status("VmRSS");
        text.trim_end_matches(" kB").parse().expect("proc(5): kB")
    }

    /// The CPU time that it has used, all its threads together.
    #[must_use]
    pub fn cpu(self) -> Duration {
        let ticks = |field: &String| field.parse().unwrap_or(0);
        let used: u64 = stat(self.pid).iter().flat_map(|stat| stat[11..=12].iter().map(ticks)).sum();
        // A tick of proc(5) is a hundredth of a second on all machines that we know of.
        Duration::from_millis(10 * used)
    }

    /// How often its threads have waited for something that happened then.
    #[must_use]
    pub fn wake_ups(self) -> u64 {
        let of = |thread: u32| {
            let text = std::fs::read_to_string(format!("/proc/{}/task/{thread}/status", self.pid)).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        };
        threads(self.pid).filter_map(of).sum()
    }

    fn file(self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid)
    }
}

/// All processes that run now.
pub fn all() -> impl Iterator<Item = Process> {
    pids().filter_map(Process::of)
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").expect("a system with /proc");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// `/proc` shows a thread by its own number, too, if it is asked for.
fn threads(pid: u32) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of `/proc/PID/stat` from the third on: state, parent, group … the number of
/// threads is the 18th of them, the start time the 20th. The second,
/// the name, may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn split(bytes: Vec<u8>) -> Vec<String> {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split_terminator('\0').map(str::to_owned).collect()
}
