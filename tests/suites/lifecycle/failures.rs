//! Workers that crash, break, hang or will not go.

use nix::sys::signal::Signal;
use nodesockd_tests::{App, http};

#[test]
fn crashed_worker_is_replaced_alone() {
    let app = App::new().workers(2);
    let daemon = app.start();
    let before = daemon.status();
    before.slot(0).process().signal(Signal::SIGKILL);
    let after = daemon.until("slot 0 has another worker", |status| {
        status.is_settled() && status.slot(0).id != before.slot(0).id
    });
    assert_eq!(after.slot(1), before.slot(1));
    assert_eq!(http::get(&app.link(0), "/").json()["pid"], after.slot(0).process().pid);
    assert_eq!(app.sockets().len(), 5, "the dead worker's socket is gone: {:?}", app.sockets());
}

#[test]
fn standby_takes_over_and_a_new_one_follows() {
    let app = App::new().standby(1);
    let daemon = app.start();
    let before = daemon.status();
    let spare = before.standbys()[0].clone();
    before.slot(0).process().signal(Signal::SIGKILL);
    let after = daemon.until("everything is back", |status| {
        status.is_settled() && status.workers.len() == 2 && status.slot(0).id == spare.id
    });
    assert_eq!(after.slot(0).pid, spare.pid);
    assert_eq!(after.slot(0).state, "online");
    assert_ne!(after.standbys()[0].id, spare.id);
    let page = http::get(&app.link(0), "/").json();
    assert_eq!((&page["wasSuspended"], &page["suspended"]), (&true.into(), &false.into()));

    let log = daemon.log();
    let line = |what: &str| {
        log.lines()
            .position(|line| line.contains(what) && line.contains(&spare.id[31..]))
            .unwrap_or_else(|| panic!("`{what}` of {} is not in\n{log}", spare.id))
    };
    assert!(line("worker serves") < line("worker resumed"), "it was resumed before it served\n{log}");
}

#[test]
fn crash_loop_backs_off_and_shows_in_status() {
    let app = App::new();
    let daemon = app.start();
    app.deploy("fails.js");
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    let status = daemon.until("it has failed a few times", |status| {
        status.vacant.iter().any(|slot| slot.failures >= 3 && slot.retry_ts.is_some())
    });
    let vacant = &status.vacant[0];
    assert_eq!(vacant.idx, 0);
    assert!(vacant.reason.as_deref().is_some_and(|reason| reason.contains('3')), "exit status 3: {vacant:?}");
    let shown = app.cli(&["status"]);
    assert!(shown.stdout.contains("vacant") && shown.stdout.contains("times in a row"), "{shown}");

    app.deploy("web.js");
    let healed = daemon.settled();
    assert_eq!(http::get(&app.link(0), "/").json()["pid"], healed.slot(0).process().pid);
}

#[test]
fn replacements_in_a_suspended_app_are_suspended() {
    for standby in [0, 1] {
        let app = App::new().workers(2).standby(standby);
        let daemon = app.start();
        assert_eq!(app.cli(&["restart", "-s"]).code, 0);
        let before = daemon.status();
        before.slot(0).process().signal(Signal::SIGKILL);
        let after = daemon.until("slot 0 has another worker", |status| {
            status.is_settled()
                && status.workers.len() == before.workers.len()
                && status.slot(0).id != before.slot(0).id
        });
        assert!(after.suspended);
        assert!(after.workers.iter().all(|worker| worker.state == "suspended"), "{after:#?}");

        let waiting = http::ask(&app.link(0), "/").unwrap();
        assert_eq!(app.cli(&["resume"]).code, 0);
        let page = waiting.answer().unwrap().json();
        assert_eq!(
            (&page["wasSuspended"], &page["pid"]),
            (&true.into(), &after.slot(0).process().pid.into())
        );
    }
}

#[test]
fn broken_worker_serves_until_replaced() {
    let app = App::new().workers(2);
    let daemon = app.start();
    let before = daemon.status();
    let (broken, worker) = (before.slot(0).process(), before.slot(0).id.clone());
    app.deploy("gated.js");
    assert_eq!(http::get(&app.link(0), "/break").status, 200);
    daemon.until("its successor boots", |status| {
        status.workers.iter().any(|worker| worker.state == "running") && status.slot(0).state == "broken"
    });
    assert_eq!(http::get(&app.link(0), "/").json()["pid"], broken.pid);
    app.write("go", "");
    let after = daemon.until("it is replaced", |status| status.is_settled() && status.slot(0).id != worker);
    assert!(!broken.is_alive());
    assert_eq!(after.slot(1), before.slot(1));
    assert_eq!(http::get(&app.link(0), "/").json()["pid"], after.slot(0).process().pid);
}

#[test]
fn stubborn_worker_is_terminated_then_killed_with_children() {
    let app = App::new()
        .script("stubborn.js")
        .set("options.shutdownTimeout", 100)
        .set("options.stderr", "worker.log");
    let daemon = app.start();
    let family = daemon.descendants();
    assert_eq!(family.len(), 2, "the worker and its child");
    let stopped = app.cli(&["stop"]);
    assert_eq!(stopped.code, 0, "{stopped}");
    assert!(family.iter().all(|process| !process.is_alive()), "{:?}", daemon.descendants());
    let said = app.read("worker.log");
    // In which order it hears of both, where it does not get to run for 100 ms, nobody can tell.
    assert!(said.contains("shutdown is ignored") && said.contains("SIGTERM is ignored"), "{said}");
    daemon.until_logged("sending SIGKILL");
    let log = daemon.log();
    let order = ["sending SIGTERM", "sending SIGKILL"].map(|words| log.find(words).unwrap());
    assert!(order.is_sorted(), "{log}");
}

#[test]
fn children_of_a_killed_worker_are_killed() {
    let app = App::new().script("stubborn.js");
    let daemon = app.start();
    let family = daemon.descendants();
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    daemon.until_so("all of them are gone", || family.iter().all(|process| !process.is_alive()));
    assert_eq!(daemon.settled().workers.len(), 1);
}

#[test]
fn worker_that_never_reports_online_is_replaced() {
    let mut app = App::new().script("hangs.js").set("options.onlineTimeout", 200);
    let daemon = app.launch().spawn();
    daemon.until_logged("not online within 200 ms");
    let given_up = daemon.until("it has failed", |status| status.vacant.iter().any(|slot| slot.failures > 0));
    assert!(given_up.vacant[0].reason.as_deref().is_some_and(|reason| reason.contains("onlineTimeout")));
    app.deploy("web.js");
    // One more that hangs may be on its way; the one after that is this release.
    app.change("options.onlineTimeout", 50_000);
    app.save();
    daemon.signal(Signal::SIGHUP);
    daemon.settled();
}

#[test]
fn missing_program_is_named() {
    let app = App::new().set("node", "no-such-node");
    let daemon = app.launch().spawn();
    let status = daemon.until("it has failed", |status| status.vacant.iter().any(|slot| slot.failures > 0));
    assert!(
        status.vacant[0].reason.as_deref().is_some_and(|reason| reason.contains("no-such-node")),
        "{status:?}"
    );
}
