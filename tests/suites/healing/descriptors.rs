//! The limit of open descriptors: the daemon's own is as high as it may be, workers keep the one it was started with.

use nodesockd_tests::{App, cli};

/// The soft limit of a process, as the kernel tells it.
fn limit(pid: u32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().to_owned()
}

/// With a soft limit of 64 there is no room for 30 workers: not even for their channels and processes.
#[test]
fn a_low_soft_limit_does_not_keep_many_workers_from_starting() {
    let wrapper = ["prlimit", "--nofile=64:4096"];
    let app = App::new().workers(30).python("raw.py");
    let daemon = app.launch().through(&wrapper).start();
    assert_eq!(limit(daemon.pid()), "4096");
    let worker = daemon.settled().slot(0).process().pid;
    assert_eq!(limit(worker), "64", "workers get what the daemon was started with");
    let restart = app.cli(&["restart"]);
    assert_eq!(restart.code, 0, "{restart}");
}

#[test]
fn check_says_when_the_hard_limit_is_too_low() {
    let app = App::new().workers(300);
    app.save();
    let check = |limit: &str| {
        let command = cli::command(app.folder(), &["check"]);
        cli::spawn(&mut cli::through(&["prlimit", limit], &command, app.folder())).finish()
    };
    let enough = check("--nofile=1024:20000");
    assert_eq!(enough.code, 0, "{enough}");
    assert!(enough.stdout.contains("open descriptors"), "{enough}");
    let low = check("--nofile=1024:1024");
    assert_eq!(low.code, 3, "{low}");
    assert!(low.stdout.contains("LimitNOFILE="), "{low}");
}
