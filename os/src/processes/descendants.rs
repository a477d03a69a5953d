//! What a process has started.

use rustix::process::Pid;

/// Those that a process has started and that have not ended (`proc(5)`, `/proc/PID/task/TID/children`).
pub(crate) fn children_of(pid: Pid) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let threads = threads.into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|pids| {
            pids.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()
        })
        .filter_map(Pid::from_raw)
        .collect()
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
