//! Who of a worker's processes serves.
//!
//! A worker's own process may be a wrapper: `npm start`, `sh -c`, a script that does something before and after. Whoever has the worker's
//! socket open is found through the kernel: the socket's inode number stands in `/proc/PID/fd` of all who have it open (`proc(5)`).

use std::collections::{BTreeMap, BTreeSet};

use nodesockd_core::config::StopSignal;
use nodesockd_core::id::{Process, WorkerId};
use rustix::process::{Pid, Signal};

use crate::files::queue::sockets_of;
use crate::processes::children::{self, Stat, about};
use crate::processes::descendants::children_of;
use crate::processes::pidfd::Pidfd;
use crate::processes::survivors::{self, pids, worker_of};

/// What processes are looked at for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// The inode number of the socket.
    inode: u64,
    signal: Signal,
}

impl Wanted {
    fn member(self, pid: Pid, parent: Option<usize>) -> Member {
        Member { pid, parent, holds: holds(pid, self.inode), handles: handles(pid, self.signal) }
    }
}

/// A process of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    pid: Pid,
    /// Its place among the members, if a member has started it.
    parent: Option<usize>,
    /// It has the socket open.
    holds: bool,
    /// It has a handler for the signal.
    handles: bool,
}

/// Who got the signal.
pub(crate) enum Told {
    /// Processes that the worker's own has started.
    Servers(Vec<(Process, Pidfd)>),
    /// Nobody yet. `own`: the worker's own process is the one to get it; otherwise nobody has the socket open.
    Nobody { own: bool },
}

/// The signal, as the kernel knows it.
pub(crate) const fn number(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
        StopSignal::Winch => Signal::WINCH,
    }
}

/// Sends `signal` to those of the worker's processes that accept from the socket with this inode number, unless the worker's own process is
/// the one to get it.
pub(crate) fn terminate(worker: WorkerId, own: Process, inode: u64, signal: Signal) -> Told {
    let Some(leader) = pid_of(own) else { return Told::Nobody { own: true } };
    let wanted = Wanted { inode, signal };
    let first = wanted.member(leader, None);
    // What most workers are: one process that serves and knows what to do.
    if first.holds && first.handles {
        return Told::Nobody { own: true };
    }
    let mut members = descendants(first, wanted);
    if members.iter().all(|member| !member.holds) {
        members.extend(strays(worker, leader, &members, wanted));
    }
    let chosen = chosen(&members);
    if chosen.contains(&leader) {
        return Told::Nobody { own: true };
    }
    let told: Vec<(Process, Pidfd)> = chosen.into_iter().filter_map(|pid| tell(pid, wanted)).collect();
    if told.is_empty() { Told::Nobody { own: false } } else { Told::Servers(told) }
}

/// Sends the signal to a process, if that still has the socket open.
fn tell(pid: Pid, wanted: Wanted) -> Option<(Process, Pidfd)> {
    let process =
        Process { pid: pid.as_raw_nonzero().get().cast_unsigned(), started: children::started(pid)? };
    // From now on the pid cannot become another's; it may have been another's just before.
    let (_, pidfd) = survivors::open(process).ok()?;
    if !holds(pid, wanted.inode) {
        return None;
    }
    pidfd.signal(wanted.signal);
    Some((process, pidfd))
}

/// Who is to be told: of those that have the socket open, the ones that handle SIGTERM, if any does; not those that one of them
/// has started.
fn chosen(members: &[Member]) -> Vec<Pid> {
    let handled = members.iter().any(|member| member.holds && member.handles);
    let serves = |member: &Member| member.holds && (member.handles || !handled);
    let mut below = vec![false; members.len()];
    let mut chosen = Vec::new();
    // Parents stand before those that they have started.
    for (place, member) in members.iter().enumerate() {
        let under = member.parent.is_some_and(|parent| below[parent] || serves(&members[parent]));
        below[place] = under;
        if serves(member) && !under {
            chosen.push(member.pid);
        }
    }
    chosen
}

/// The process, and those that descend from it, parents first.
fn descendants(first: Member, wanted: Wanted) -> Vec<Member> {
    let mut members = vec![first];
    let mut place = 0;
    while place < members.len() {
        for pid in children_of(members[place].pid) {
            members.push(wanted.member(pid, Some(place)));
        }
        place += 1;
    }
    members
}

/// Those of the worker's process group, and those that carry its id, whose parents have ended: they descend from the worker's process no more.
fn strays(worker: WorkerId, leader: Pid, known: &[Member], wanted: Wanted) -> Vec<Member> {
    let known: BTreeSet<i32> = known.iter().map(|member| member.pid.as_raw_nonzero().get()).collect();
    let stats = pids().filter(|pid| !known.contains(&pid.as_raw_nonzero().get()));
    let stats: Vec<(Pid, Stat)> = stats.filter_map(|pid| Some((pid, Stat::of(pid)?))).collect();
    let its = |pid: Pid, stat: &Stat| stat.group == Some(leader) || worker_of(pid) == Some(worker);
    let found: Vec<(Pid, Option<Pid>)> = stats
        .into_iter()
        .filter(|(pid, stat)| holds(*pid, wanted.inode) && its(*pid, stat))
        .map(|(pid, stat)| (pid, stat.parent))
        .collect();
    top_down(&found)
        .into_iter()
        .map(|(pid, parent)| Member {
            pid,
            parent: parent.map(|place| known.len() + place),
            holds: true,
            handles: handles(pid, wanted.signal),
        })
        .collect()
}

/// Processes with the places of their parents among them, parents first.
fn top_down(found: &[(Pid, Option<Pid>)]) -> Vec<(Pid, Option<usize>)> {
    let mut places: BTreeMap<i32, usize> = BTreeMap::new();
    let mut ordered = Vec::new();
    let mut rest: Vec<(Pid, Option<i32>)> = found
        .iter()
        .map(|(pid, parent)| (*pid, parent.map(|parent| parent.as_raw_nonzero().get())))
        .collect();
    while !rest.is_empty() {
        let waiting: BTreeSet<i32> = rest.iter().map(|(pid, _)| pid.as_raw_nonzero().get()).collect();
        let (next, later): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(_, parent)| !parent.is_some_and(|parent| waiting.contains(&parent)));
        // Pids that are used again could make a circle.
        if next.is_empty() {
            break;
        }
        for (pid, parent) in next {
            let parent = parent.and_then(|parent| places.get(&parent).copied());
            places.insert(pid.as_raw_nonzero().get(), ordered.len());
            ordered.push((pid, parent));
        }
        rest = later;
    }
    ordered
}

fn pid_of(process: Process) -> Option<Pid> {
    i32::try_from(process.pid).ok().and_then(Pid::from_raw)
}

/// Whether a process has this socket open.
fn holds(pid: Pid, inode: u64) -> bool {
    sockets_of(pid.as_raw_nonzero().get().cast_unsigned()).any(|open| open == inode)
}

/// Whether a process has a handler for the signal (`SigCgt` in `/proc/PID/status`).
fn handles(pid: Pid, signal: Signal) -> bool {
    let status = about(pid, "status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = 1_u64 << (signal.as_raw() - 1);
    caught.is_some_and(|caught| caught & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(pid: i32, parent: Option<usize>, holds: bool, handles: bool) -> Member {
        Member { pid: Pid::from_raw(pid).unwrap(), parent, holds, handles }
    }

    fn chosen_of(members: &[Member]) -> Vec<i32> {
        chosen(members).into_iter().map(|pid| pid.as_raw_nonzero().get()).collect()
    }

    #[test]
    fn server_behind_a_wrapper_is_chosen() {
        let npm = member(1, None, false, true);
        assert_eq!(chosen_of(&[npm, member(2, Some(0), true, true)]), [2]);
        let shell = member(3, Some(0), false, false);
        assert_eq!(chosen_of(&[npm, shell, member(4, Some(1), true, false)]), [4]);
    }

    #[test]
    fn master_is_chosen_and_not_its_workers() {
        let master = member(2, Some(0), true, true);
        let workers = [member(3, Some(1), true, true), member(4, Some(1), true, true)];
        assert_eq!(chosen_of(&[member(1, None, false, false), master, workers[0], workers[1]]), [2]);
    }

    #[test]
    fn shell_that_inherited_the_socket_is_not_chosen() {
        let shell = member(1, None, true, false);
        assert_eq!(chosen_of(&[shell, member(2, Some(0), true, true)]), [2]);
        // Where nobody has a handler, who is on top ends the others.
        assert_eq!(chosen_of(&[shell, member(2, Some(0), true, false)]), [1]);
    }

    #[test]
    fn parents_come_first() {
        let pid = |number| Pid::from_raw(number).unwrap();
        let found = [(pid(9), Some(pid(7))), (pid(7), Some(pid(1))), (pid(8), Some(pid(9)))];
        let ordered: Vec<_> =
            top_down(&found).iter().map(|(pid, parent)| (pid.as_raw_nonzero().get(), *parent)).collect();
        assert_eq!(ordered, [(7, None), (9, Some(0)), (8, Some(1))]);
    }
}
