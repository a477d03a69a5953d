//! Workers that have too much memory, or get none.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Load, Upstream, app, http};

/// The app of a fixture that does something more at its start.
fn app_that(fixture: &str, does: &str) -> App {
    let app = App::new();
    let script = fs::read_to_string(app::fixture(fixture)).unwrap();
    app.write("app.js", &script.replacen("'use strict';", &format!("'use strict';\n{does}"), 1));
    app
}

#[test]
fn worker_with_too_much_memory_is_replaced_and_nothing_is_lost() {
    let leaks = "process.on('SIGUSR2', () => (globalThis.leak = Buffer.alloc(400 << 20, 1)));";
    let app = app_that("echo.js", leaks).set("limits.memory", "300M");
    let daemon = app.start();
    let nginx = Upstream::of(&app, 1).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    let before = daemon.status();
    before.slot(0).process().signal(Signal::SIGUSR2);
    let after = daemon.until("it is replaced", |status| {
        status.is_settled() && status.workers.len() == 1 && status.slot(0).id != before.slot(0).id
    });
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());
    assert!(after.failures[0].reason.contains("(limits.memory)"), "{after:#?}");
}

/// A control group with so many MiB of memory for the test alone; `None` where we may not make one.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(mebibytes: u64) -> Option<Self> {
        let lines = fs::read_to_string("/proc/self/cgroup").ok()?;
        let controller = |name: &str| {
            lines.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let named = parts.next()?.split(',').any(|its| its == name);
                parts.next().filter(|_| named).map(|path| path.trim_start_matches('/').to_owned())
            })
        };
        let name = format!("nsd-{}-{mebibytes}", std::process::id());
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
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn kernel_takes_the_new_worker_before_the_one_that_serves_and_restart_names_memory() {
    let Some(cgroup) = Cgroup::new(300) else {
        return eprintln!("skipped: no control group can be made here");
    };
    let app = app_that(
        "web.js",
        "globalThis.ballast = Array.from({ length: 150 }, () => Buffer.alloc(1 << 20, 1));",
    );
    let join = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", cgroup.0.display());
    let daemon = app.launch().through(&["sh", "-c", &join, "sh"]).start();
    let before = daemon.status().slot(0).clone();
    let restarted = app.cli(&["restart"]);
    assert_eq!(restarted.code, 6, "{restarted}{}", daemon.log());
    assert!(restarted.stderr.contains("out of memory: its limit is 300 MiB"), "{restarted}");
    assert_eq!(daemon.settled().slot(0), &before, "{}", daemon.log());
    assert_eq!(http::get(&app.link(0), "/").status, 200);
    drop(daemon);
}
