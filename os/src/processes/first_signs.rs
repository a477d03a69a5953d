//! The first signs that a process is going to end, long before it is gone.
//!
//! A process that holds gigabytes takes seconds to end: the kernel gives back its memory first, and writes a core dump
//! before that. All that time its sockets are open and nobody accepts from them. Two things tell of it at once, neither of
//! which needs a privilege:
//!
//! - All threads of a process that ends are gone within a millisecond but the one that takes the memory back, and each
//!   thread has a pidfd (kernel 6.9). A process with a single thread gives no sign.
//! - The kernel announces core dumps ([`core_dumps`](super::core_dumps)).

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nodesockd_core::Event;
use nodesockd_core::event::Dying;
use nodesockd_core::id::WorkerId;
use rustix::process::{Pid, PidfdFlags};
use tokio::sync::mpsc;

use crate::peers::session::{Fact, tell};
use crate::processes::children::about;
use crate::processes::moment::Moment;
use crate::processes::pidfd::Pidfd;

/// `PIDFD_THREAD` of `linux/pidfd.h`, which is `O_EXCL`: a thread instead of a process.
const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(rustix::fs::OFlags::EXCL.bits());

/// A process that is gone by then is reported as gone, with its status, and not as going.
const PATIENCE: Duration = Duration::from_millis(50);

/// Between the end of a thread and what it says about the process, where both are under way.
const SECOND_LOOK: Duration = Duration::from_millis(5);

/// How many links the folder of a process with a single thread has: `.`, `..`, and that thread.
const LINKS_OF_ONE: u64 = 3;

/// Flags of a task in `linux/sched.h`: it is exiting, writes a core dump, was killed by a signal.
const GOING: u32 = 0x4 | 0x200 | 0x400;

/// SIGKILL in a set of signals (`proc(5)`, `SigPnd`). A process that ends sends it to each of its own threads.
const KILL: u64 = 1 << (9 - 1);

/// Threads of a process, by whose end that of the process is seen.
///
/// Two of them: the kernel takes the memory back in the thread that is the last to let go of it, which may be either.
#[derive(Debug)]
pub(crate) struct Threads {
    process: Pid,
    threads: Vec<Pidfd>,
}

impl Threads {
    /// The oldest threads beside the first; `None` if there is none, or the kernel has no pidfds of threads.
    pub fn of(process: Pid) -> Option<Self> {
        let folder = format!("/proc/{}/task", process.as_raw_nonzero());
        // The kernel counts threads as links. Most processes that are asked about have only begun.
        if std::fs::metadata(&folder).ok()?.nlink() == LINKS_OF_ONE {
            return None;
        }
        let entries = std::fs::read_dir(folder).ok()?;
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let others: BTreeSet<i32> =
            numbers.filter(|number| *number != process.as_raw_nonzero().get()).collect();
        let open = |number: i32| Pidfd::of(Pid::from_raw(number)?, THREAD).ok();
        let threads: Vec<Pidfd> = others.into_iter().filter_map(open).take(2).collect();
        (!threads.is_empty()).then_some(Self { process, threads })
    }

    /// Waits until the process begins to end; returns `false` if nothing is left that would tell.
    pub async fn process_goes(self) -> bool {
        let mut watched = self;
        loop {
            watched.one_gone().await;
            if is_going(watched.process) {
                return true;
            }
            // The thread may be gone a moment before the first one shows that it goes.
            tokio::time::sleep(SECOND_LOOK).await;
            if is_going(watched.process) {
                return true;
            }
            // Only the thread has ended.
            match Self::of(watched.process) {
                Some(others) => watched = others,
                None => return false,
            }
        }
    }

    async fn one_gone(&self) {
        match self.threads.as_slice() {
            [] => {}
            [only] => only.gone().await,
            [one, another, ..] => tokio::select! {
                () = one.gone() => {}
                () = another.gone() => {}
            },
        }
    }
}

/// Reports that a worker is dying, unless it is gone soon.
pub(crate) async fn report(
    worker: WorkerId,
    cause: Dying,
    noticed: Arc<OnceLock<Moment>>,
    facts: mpsc::Sender<Fact>,
) {
    tokio::time::sleep(PATIENCE).await;
    if noticed.get().is_none() {
        tell(&facts, || Fact::Event(Event::Dying { worker, cause })).await;
    }
}

/// Whether a process that exists has begun to end.
fn is_going(process: Pid) -> bool {
    let read = |file| about(process, file).map(|text| String::from_utf8_lossy(&text).into_owned());
    let (Ok(stat), Ok(status)) = (read("stat"), read("status")) else { return false };
    flags(&stat).is_some_and(|flags| flags & GOING != 0)
        || pending(&status).is_some_and(|signals| signals & KILL != 0)
}

/// Field 9 of `/proc/PID/stat`. The second field may hold anything, even parentheses.
fn flags(stat: &str) -> Option<u32> {
    stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(6)?.parse().ok()
}

fn pending(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigPnd:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn first_signs_are_read_from_proc() {
        let stat = "4711 (x) y) S 1 4700 4600 0 -1 4194564 1 2 3";
        assert_eq!(flags(stat), Some(4_194_564));
        assert_eq!(pending("Name:\tx\nSigPnd:\t0000000000000100\nShdPnd:\t0\n"), Some(KILL));
    }

    #[test]
    fn process_that_lives_gives_no_sign() {
        assert!(!is_going(rustix::process::getpid()));
    }

    #[tokio::test]
    async fn process_that_is_killed_gives_a_sign() {
        let script = "import threading, time\n\
                      threading.Thread(target=time.sleep, args=(600,)).start()\n\
                      print('ready', flush=True)";
        let mut child = Command::new("python3").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        // The kernel may be older than pidfds of threads.
        let threads = Threads::of(Pid::from_child(&child));
        child.kill().unwrap();
        if let Some(threads) = threads {
            assert!(threads.process_goes().await);
        }
        child.wait().unwrap();
    }
}
