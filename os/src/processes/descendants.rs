//! What a process has started.

use std::fs::DirEntry;
use std::path::Path;

use rustix::process::Pid;

/// Those that a process has started and that have not ended.
pub(crate) fn children_of(pid: Pid) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let threads = threads.into_iter().flatten().flatten();
    threads
        .filter_map(|thread| children_of_thread(&thread))
        .flat_map(|pids| {
            pids.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()
        })
        .filter_map(Pid::from_raw)
        .collect()
}

/// What `/proc/PID/task/TID/children` (`proc(5)`) says, read in the folder `/proc/TID` that each thread has as well.
///
/// The kernel remembers who was looked up below `/proc/PID`. When the process is killed, its threads clear away what is
/// remembered of each of them; whoever collects the process waits for that, and computes meanwhile: up to a tenth of a second
/// if the threads do not get a processor. Nobody waits for what is remembered in the threads' own folders.
fn children_of_thread(thread: &DirEntry) -> Option<String> {
    let name = thread.file_name();
    let own = Path::new("/proc").join(&name).join("task").join(name).join("children");
    let below = || std::fs::read_to_string(thread.path().join("children"));
    std::fs::read_to_string(own).or_else(|_| below()).ok()
}

/// A process and its descendants, itself first.
pub(crate) fn with_descendants(process: Pid) -> Vec<Pid> {
    let mut all = vec![process];
    let mut next = 0;
    while let Some(parent) = all.get(next) {
        // Pids that are used again could make a circle.
        let children: Vec<Pid> =
            children_of(*parent).into_iter().filter(|child| !all.contains(child)).collect();
        all.extend(children);
        next += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_follow_the_process_itself() {
        let own = rustix::process::getpid();
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let all = with_descendants(own);
        assert_eq!(all[0], own);
        assert!(all.contains(&Pid::from_child(&child)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
