//! Workers that have too much memory, or get none.

use std::fs;

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Cgroup, Load, Upstream, app, http};

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

#[test]
fn kernel_takes_the_new_worker_before_the_one_that_serves_and_restart_names_memory() {
    let Some(cgroup) = Cgroup::new(300) else {
        return eprintln!("skipped: no control group can be made here");
    };
    let app = app_that(
        "web.js",
        "globalThis.ballast = Array.from({ length: 150 }, () => Buffer.alloc(1 << 20, 1));",
    );
    let join = format!("echo $$ > {} && exec \"$@\"", cgroup.members().display());
    let daemon = app.launch().through(&["sh", "-c", &join, "sh"]).start();
    let before = daemon.status().slot(0).clone();
    let restarted = app.cli(&["restart"]);
    assert_eq!(restarted.code, 6, "{restarted}{}", daemon.log());
    assert!(restarted.stderr.contains("out of memory: its limit is 300 MiB"), "{restarted}");
    assert_eq!(daemon.settled().slot(0), &before, "{}", daemon.log());
    assert_eq!(http::get(&app.link(0), "/").status, 200);
    drop(daemon);
}
