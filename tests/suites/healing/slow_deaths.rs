//! Workers that take long to die.

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Upstream, http};

/// An app that holds so many MiB.
fn heavy_app(megabytes: u32) -> App {
    let app = App::new().standby(1);
    let web = std::fs::read_to_string(nodesockd_tests::app::fixture("web.js")).unwrap();
    let ballast = format!(
        "globalThis.ballast = Array.from({{ length: {megabytes} }}, () => Buffer.alloc(1 << 20, 1));"
    );
    app.write("app.js", &web.replacen("'use strict';", &format!("'use strict';\n{ballast}"), 1));
    app
}

/// The kernel announces core dumps to everybody since 6.6, and to nobody in a container.
fn core_dumps_are_announced() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let outermost = [("pid", "pid:[4026531836]"), ("user", "user:[4026531837]")];
    let in_namespace = |(kind, name): (&str, &str)| {
        std::fs::read_link(format!("/proc/self/ns/{kind}")).is_ok_and(|link| link.to_str() == Some(name))
    };
    version >= (6, 6) && outermost.into_iter().all(in_namespace)
}

#[test]
fn worker_that_dumps_core_loses_its_link_while_it_does() {
    if !core_dumps_are_announced() {
        return eprintln!("skipped: this kernel does not announce core dumps here");
    }
    // A core dump goes to the working directory, which is the app's own folder, or to whoever collects them.
    let app = heavy_app(300);
    let with_cores = ["sh", "-c", "ulimit -c unlimited && exec \"$@\"", "sh"];
    let daemon = app.launch().through(&with_cores).start();
    let nginx = Upstream::of(&app, 1).start();
    let before = daemon.status();
    let (worker, standby) = (before.slot(0).process(), before.standbys()[0].id.clone());
    worker.signal(Signal::SIGSEGV);
    daemon.until_logged("worker failed: it has crashed and dumps core");
    daemon.until("the standby serves", |status| {
        status.workers.iter().any(|worker| worker.idx == Some(0) && worker.id == standby)
    });
    let page = http::get(&nginx.front(), "/").body;
    assert!(page.contains(standby.as_str()), "{page}");
    let after = daemon.until("the dead worker is gone", |status| {
        status.is_settled() && !status.pids().contains(&worker.pid)
    });
    assert_eq!(after.failures[0].count, 1, "{after:#?}");
    assert_eq!(after.failures[0].reason, "it was killed by SIGSEGV");
}

#[test]
fn worker_that_gives_gigabytes_back_is_replaced_once() {
    let app = heavy_app(300);
    let daemon = app.start();
    let before = daemon.status();
    let (worker, standby) = (before.slot(0).process(), before.standbys()[0].id.clone());
    worker.signal(Signal::SIGKILL);
    let after = daemon.until("everything is back", |status| {
        status.is_settled() && status.slot(0).id == standby && !status.pids().contains(&worker.pid)
    });
    assert_eq!(after.failures[0].count, 1, "{after:#?}");
    assert_eq!(after.failures[0].reason, "it was killed by SIGKILL");
}
