//! What processes use of the machine, for whoever looks at them from outside.

use std::path::Path;
use std::time::Duration;

use nodesockd_core::event::Queue;
use rustix::process::Pid;

use crate::files::queue::Queues;
use crate::processes::cgroup::resident_of;
use crate::processes::children::Stat;
use crate::processes::cpu_time;
use crate::processes::descendants::with_descendants;

/// What a process uses, with all that it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since each of them started; what has ended is not counted any more.
    pub cpu: Duration,
    /// Bytes in memory; pages that they share are counted for each.
    pub resident: u64,
}

/// What a process uses (`proc_pid_stat(5)`, `proc_pid_statm(5)`); `None` if it is gone, or not to be seen from here.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let leader = Pid::from_raw(i32::try_from(pid).ok()?)?;
    of_all(with_descendants(leader))
}

/// As [`usage`], without what the process has started; of its children that have ended, their CPU time.
pub(crate) fn usage_alone(pid: u32) -> Option<Usage> {
    of_all(vec![Pid::from_raw(i32::try_from(pid).ok()?)?])
}

fn of_all(family: Vec<Pid>) -> Option<Usage> {
    let resident = resident_of(&family)?;
    let ticks = family.into_iter().filter_map(Stat::of).map(|stat| stat.cpu_ticks);
    Some(Usage { cpu: cpu_time::of_ticks(ticks.fold(0, u64::saturating_add)), resident })
}

/// Accept queues of sockets, as the kernel tells them.
#[derive(Debug)]
pub struct AcceptQueues(Queues);

impl Default for AcceptQueues {
    fn default() -> Self {
        Self(Queues::new())
    }
}

impl AcceptQueues {
    /// How many connections wait at the socket that `link` leads to; `None` if nobody listens there, or the kernel does not tell.
    pub fn length(&mut self, link: &Path) -> Option<u32> {
        let socket = link.canonicalize().ok()?;
        match self.0.measure(&socket.to_string_lossy(), &socket, None) {
            Queue::Length(length) | Queue::Full(length) => Some(length),
            Queue::Closed | Queue::Unknown(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something_and_a_dead_one_nothing() {
        let own = usage(std::process::id()).unwrap();
        assert!(own.resident > 0);
        assert!(usage(std::process::id()).unwrap().cpu >= own.cpu);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(usage(child.id()), None);
    }

    #[test]
    fn connections_that_wait_are_counted_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, link) = (folder.path().join("a.sock"), folder.path().join("0.sock"));
        std::os::unix::fs::symlink("a.sock", &link).unwrap();
        let mut queues = AcceptQueues::default();
        assert_eq!(queues.length(&link), None);
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(queues.length(&link), Some(0));
        let _waits = std::os::unix::net::UnixStream::connect(&link).unwrap();
        assert_eq!(queues.length(&link), Some(1));
    }
}
