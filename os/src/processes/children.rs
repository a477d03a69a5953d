//! The children of this process: workers, and the orphans that workers leave.
//!
//! The daemon is a subreaper (`PR_SET_CHILD_SUBREAPER`, prctl(2)): when a worker dies, what it had started becomes the
//! daemon's child. So "our own children" is a complete and small set to look for leftovers in.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, IsTerminal, stdin};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, waitid as waitid_of_any};
use nodesockd_core::id::WorkerId;
use nodesockd_core::text::escape;
use rustix::buffer::spare_capacity;
use rustix::io::{read, retry_on_intr};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process_group, waitid};
use tokio::time::{Instant, timeout_at};

use crate::processes::moment::Moment;
use crate::processes::pidfd::Pidfd;

/// The variable by which a worker's descendants are recognised.
pub(crate) const WORKER_ID: &str = "NODESOCKD_WORKER_ID";

/// The variable by which a process says that it is to outlive the worker that has started it. It must have left the worker's
/// process group.
pub(crate) const DETACHED: &str = "NODESOCKD_DETACHED";

/// How long killed leftovers may take to go. Only one that hangs in the kernel needs it.
const LEFTOVER_DEATH_LIMIT: Duration = Duration::from_secs(2);

/// Pids of the unreaped workers of this process, which are collected by nobody but [`Backend`](crate::Backend)'s `reap`.
///
/// Belongs to the process as the children do. It is held while a worker is started, so that no worker is taken for an
/// orphan, and no descriptor that is inheritable for a moment gets into another worker.
pub(crate) fn workers() -> MutexGuard<'static, HashSet<Pid>> {
    static WORKERS: LazyLock<Mutex<HashSet<Pid>>> = LazyLock::new(Mutex::default);
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Collects orphans that have exited. To be called at SIGCHLD, and after a worker was collected.
///
/// The kernel names one child that has exited, and the same one until that is collected. A worker hides the orphans behind
/// it until it is reaped, which is ordered as soon as its exit is known. A child in our own process group would hide them for
/// ever if nobody waits for it, as for one that was there before this process became the daemon: a script has started it.
pub(crate) fn collect_orphans() {
    let workers = workers();
    while let Some(pid) = exited_child() {
        if workers.contains(&pid) {
            return;
        }
        if is_in_own_group(pid) {
            for orphan in orphans(&workers).iter().filter(|orphan| orphan.exited) {
                collect(orphan.pid);
            }
            return;
        }
        collect(pid);
    }
}

/// A child that has exited and was not collected.
fn exited_child() -> Option<Pid> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let pid = waitid_of_any(Id::All, flags).ok()?.pid()?;
    Pid::from_raw(pid.as_raw())
}

/// Kills what the exited, unreaped process `leader` of `worker` left behind: its process group, and orphans that carry
/// the worker's id in their environment. Returns when all of it is gone and collected, or has not gone in time.
///
/// `exited` is when the exit was noticed, if it was.
pub(crate) async fn kill_left_behind(worker: WorkerId, leader: Pid, exited: Option<Moment>) {
    let deadline = Instant::now() + LEFTOVER_DEATH_LIMIT;
    // Those that take too long are collected when they have gone; the others are killed all the same.
    let mut given_up = HashSet::new();
    let nothing = exited.is_some_and(|exited| has_left_nothing(worker, leader, exited));
    let mut left = if nothing { None } else { left_behind(worker, leader, &given_up) };
    if left.is_some() {
        name_left_behind(worker, leader);
    }
    // The unreaped leader keeps its pid, and so the group's, from being another's.
    let _ = kill_process_group(leader, Signal::KILL);
    // One at a time: each death can make orphans of processes that were out of sight before.
    while let Some(orphan) = left {
        if orphan.exited {
            if !collect(orphan.pid) {
                given_up.insert(orphan.pid);
            }
            left = left_behind(worker, leader, &given_up);
            continue;
        }
        let gone = match Pidfd::open(orphan.pid) {
            Ok(process) => {
                process.signal(Signal::KILL);
                let exited = timeout_at(deadline, process.exited()).await;
                process.collect();
                exited.map_err(|_| "it does not die".to_owned())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = gone {
            let pid = orphan.pid;
            tracing::warn!(
                "process {pid}, left behind by worker {}, cannot be killed: {reason}",
                worker.short()
            );
            given_up.insert(pid);
        }
        left = left_behind(worker, leader, &given_up);
    }
}

/// Says in the log which processes of an exited worker are about to be killed, as the last look found them.
fn name_left_behind(worker: WorkerId, leader: Pid) {
    let mark = mark_of(worker);
    let look = last_look();
    let orphans = look.iter().flat_map(|look| &look.orphans);
    let left = orphans.filter(|orphan| !orphan.exited && orphan.is_of(leader, &mark));
    say_killed(worker, left.map(|orphan| orphan.pid));
}

/// Says in the log which processes are killed because the worker that has started them has ended.
pub(crate) fn say_killed(worker: WorkerId, pids: impl Iterator<Item = Pid>) {
    let names: Vec<String> = pids.map(named).collect();
    if !names.is_empty() {
        tracing::info!(
            worker = %worker.short(),
            "killing what the worker has started and left behind: {} (to be spared, a process needs a process group of its own, and \
             {DETACHED} in its environment)",
            names.join(", ")
        );
    }
}

/// A process's pid and what it is called.
fn named(pid: Pid) -> String {
    let name = about(pid, "comm").unwrap_or_default();
    format!("process {pid} `{}`", escape(String::from_utf8_lossy(&name).trim_end(), 20))
}

/// When the kernel started the process: clock ticks since boot, field 22 of `/proc/PID/stat` (`proc(5)`).
pub(crate) fn started(pid: Pid) -> Option<u64> {
    Stat::of(pid)?.started
}

/// Collects a child that has exited. Returns whether that is done: one that is traced is for its tracer first (`ptrace(2)`).
fn collect(pid: Pid) -> bool {
    let collected = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    collected.is_ok_and(|status| status.is_some())
}

/// A look at all children.
#[derive(Debug)]
struct Look {
    began: Moment,
    orphans: Vec<Orphan>,
}

/// The last look at all children.
fn last_look() -> MutexGuard<'static, Option<Look>> {
    static LAST: Mutex<Option<Look>> = Mutex::new(None);
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the last look at all children was after the exit and found nothing of the worker. What is left of a worker is an orphan
/// as soon as the worker has exited, or descends from one.
fn has_left_nothing(worker: WorkerId, leader: Pid, exited: Moment) -> bool {
    let mark = mark_of(worker);
    last_look().as_ref().is_some_and(|look| {
        look.began > exited && !look.orphans.iter().any(|orphan| orphan.is_of(leader, &mark))
    })
}

fn left_behind(worker: WorkerId, leader: Pid, given_up: &HashSet<Pid>) -> Option<Orphan> {
    let mark = mark_of(worker);
    let began = Moment::now();
    let orphans = orphans(&workers());
    let left = orphans.iter().find(|orphan| !given_up.contains(&orphan.pid) && orphan.is_of(leader, &mark));
    let left = left.copied();
    *last_look() = Some(Look { began, orphans });
    left
}

/// What the environment of a worker's descendants holds.
fn mark_of(worker: WorkerId) -> String {
    format!("{WORKER_ID}={worker}")
}

/// A child that is no worker.
#[derive(Debug, Clone, Copy)]
struct Orphan {
    pid: Pid,
    group: Option<Pid>,
    exited: bool,
}

impl Orphan {
    /// Whether it was left by the worker that led this group, or carries the worker's mark.
    fn is_of(&self, leader: Pid, mark: &str) -> bool {
        self.group == Some(leader) || carries(self.pid, mark)
    }
}

/// Children in our own process group were not left by a worker: those have groups of their own. Whoever started such
/// a child in this process will wait for it. (Our group may have no number here: `nsenter(1)` puts processes into a pid
/// namespace whose group is outside of it.)
fn orphans(workers: &HashSet<Pid>) -> Vec<Orphan> {
    let own = own_group();
    pids()
        .filter(|pid| !workers.contains(pid))
        .filter_map(|pid| Stat::of(pid).map(|stat| Orphan { pid, group: stat.group, exited: stat.exited }))
        .filter(|orphan| orphan.group != own)
        .collect()
}

fn is_in_own_group(pid: Pid) -> bool {
    Stat::of(pid).is_none_or(|stat| stat.group == own_group())
}

fn own_group() -> Option<Pid> {
    Stat::of(getpid())?.group
}

/// Begins a session, and with it a group, if the group of this process has no number here. That is so in a PID namespace that was made
/// around process 1 alone: what is brought into it from outside has no number for its group either, and its orphans would be taken for
/// commands of ours. On a terminal the group stays, so that the terminal's signals arrive.
pub(crate) fn have_own_group() {
    if own_group().is_none() && !stdin().is_terminal() {
        // Refused to the leader of a group, whose group has a number.
        let _ = rustix::process::setsid();
    }
}

/// Pids of all children, exited ones included.
fn pids() -> impl Iterator<Item = Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|pids| pids.split_ascii_whitespace().filter_map(pid).collect::<Vec<_>>())
}

/// A pid. The group of a process that is just being collected is -1, in `do_task_stat()` of Linux's `fs/proc/array.c`.
fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)
}

fn carries(pid: Pid, mark: &str) -> bool {
    let environ = about(pid, "environ").unwrap_or_default();
    !is_detached(&environ) && environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
}

/// Whether an environment says that its process outlives the worker that has started it.
pub(crate) fn is_detached(environ: &[u8]) -> bool {
    let values =
        environ.split(|byte| *byte == 0).filter_map(|variable| variable.strip_prefix(DETACHED.as_bytes()));
    values.filter_map(|rest| rest.strip_prefix(b"=")).any(|value| !value.is_empty())
}

/// Reads a file in the process's folder in `/proc`.
///
/// At once: such a file does not tell its size, so `std::fs::read` would ask for that in vain and begin with 32 bytes, and the
/// kernel begins anew with every read. A daemon that starts reads one for each process of the machine.
pub(crate) fn about(pid: Pid, file: &str) -> io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(8 << 10);
    let file = File::open(format!("/proc/{}/{file}", pid.as_raw_nonzero()))?;
    loop {
        if content.len() == content.capacity() {
            content.reserve(content.len());
        }
        if retry_on_intr(|| read(&file, spare_capacity(&mut content)))? == 0 {
            return Ok(content);
        }
    }
}

/// What we need of `/proc/PID/stat` (`proc(5)`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// As one letter.
    pub(crate) state: char,
    pub(crate) exited: bool,
    pub(crate) parent: Option<Pid>,
    pub(crate) group: Option<Pid>,
    pub(crate) started: Option<u64>,
    /// Of itself and of the children that it has waited for, in user mode and in the kernel.
    pub(crate) cpu_ticks: u64,
}

impl Stat {
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&about(pid, "stat").ok()?))
    }

    /// The second field is the process's own choice, in parentheses, and may hold anything, even parentheses.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line[line.rfind(')')? + 1..].split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let ended = matches!(state, 'Z' | 'X');
        let parent = fields.next().and_then(pid);
        let group = fields.next().and_then(pid);
        // Until its last thread has ended, too, a process keeps its sockets, and cannot be collected.
        let cpu = fields.by_ref().skip(8).take(4).filter_map(|ticks| ticks.parse::<u64>().ok());
        let cpu_ticks = cpu.fold(0, u64::saturating_add);
        let threads: Option<u32> = fields.nth(2).and_then(|count| count.parse().ok());
        let exited = ended && threads.is_none_or(|count| count <= 1);
        let started = fields.nth(1).and_then(|ticks| ticks.parse().ok());
        Some(Self { state, exited, parent, group, started, cpu_ticks })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use nix::libc;
    use nodesockd_core::id::Ids;

    use super::*;
    use crate::in_time::in_time;

    /// A process that is ended with the test, unless it was collected before.
    struct Started(Child);

    impl Started {
        fn new(command: &mut Command) -> Self {
            Self(command.stdin(Stdio::null()).spawn().unwrap())
        }

        fn pid(&self) -> Pid {
            Pid::from_child(&self.0)
        }

        async fn has_exited(&self) {
            until(|| Stat::of(self.pid()).is_none_or(|stat| stat.exited)).await;
        }
    }

    impl Drop for Started {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    async fn until(done: impl Fn() -> bool) {
        let looks = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), looks).await.unwrap();
    }

    /// A process that traces `tracee` and does nothing more, as a debugger that waits for its user.
    #[expect(
        unsafe_code,
        reason = "only the process itself can say whom it traces, or by whom it may be traced"
    )]
    fn tracer(tracee: Pid) -> Started {
        let tracee = tracee.as_raw_nonzero().get();
        let mut command = Command::new("sleep");
        command.arg("1000");
        // SAFETY: between fork and exec nothing is called but ptrace(2). What is traced stays so across `execve(2)`.
        unsafe {
            command.pre_exec(move || match libc::ptrace(libc::PTRACE_SEIZE, tracee, 0, 0) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        Started::new(&mut command)
    }

    /// Lets any process trace the one that is to be started; Yama may allow that to its ancestors only.
    #[expect(
        unsafe_code,
        reason = "only the process itself can say whom it traces, or by whom it may be traced"
    )]
    fn traceable(command: &mut Command) -> &mut Command {
        // SAFETY: between fork and exec nothing is called but prctl(2), which fails where there is no Yama.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
                Ok(())
            })
        }
    }

    #[tokio::test]
    async fn orphan_that_only_its_tracer_can_collect_is_given_up() {
        let worker = Ids::new(crate::random_boot_id()).worker();
        let mut leader = Started::new(Command::new("sleep").arg("1000").process_group(0));
        let group = leader.pid();
        workers().insert(group);
        let mut sleep = Command::new("sleep");
        let mut left = Started::new(traceable(sleep.arg("1000").process_group(group.as_raw_nonzero().get())));
        let tracer = tracer(left.pid());
        left.0.kill().unwrap();
        left.has_exited().await;
        leader.0.kill().unwrap();
        in_time(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(kill_left_behind(worker, group, None));
        });
        workers().remove(&group);
        drop(tracer);
    }

    #[tokio::test]
    async fn child_that_nobody_waits_for_hides_no_orphan() {
        // As one that was there before this process became the daemon.
        let inherited = Started::new(&mut Command::new("true"));
        inherited.has_exited().await;
        let orphan = Started::new(Command::new("true").process_group(0));
        until(|| {
            collect_orphans();
            Stat::of(orphan.pid()).is_none()
        })
        .await;
        assert!(Stat::of(inherited.pid()).is_some(), "whoever started it may still ask");
    }

    #[test]
    fn process_that_is_being_collected_has_no_group() {
        let line = "4711 (x) X 0 -1 -1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 0 0 987654 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.group), ('X', None, None));
    }

    #[test]
    fn stat_parser_ignores_parentheses_in_the_name() {
        let line = "4711 (x) Z 1 (y) 9) S 1 4700 4600 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 0 0";
        let stat = Stat {
            state: 'S',
            exited: false,
            parent: Pid::from_raw(1),
            group: Pid::from_raw(4700),
            started: Some(987_654),
            cpu_ticks: 5 + 6 + 7 + 8,
        };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn process_exits_with_its_last_thread() {
        let exited = |state: &str, threads: u32| {
            let line =
                format!("1 (x) {state} 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 987654 0 0");
            Stat::parse(&line).unwrap().exited
        };
        assert_eq!(
            [("R", 1), ("Z", 2), ("Z", 1), ("X", 0)].map(|(state, threads)| exited(state, threads)),
            [false, false, true, true]
        );
    }
}
