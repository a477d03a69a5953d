//! `start`, `stop`, `resume`, `terminate`

use nodesockd_tests::{App, http};

#[test]
fn start_has_no_effect_when_running() {
    let app = App::new();
    let daemon = app.start();
    let before = daemon.status();
    let started = app.cli(&["start"]);
    assert_eq!(started.code, 0, "{started}");
    assert_eq!(daemon.status(), before);
}

#[test]
fn stop_ends_the_workers_and_start_brings_them_back() {
    let app = App::new().workers(2).standby(1);
    let daemon = app.start();
    let old: Vec<_> = daemon.status().workers.iter().map(|worker| worker.process()).collect();

    let stopped = app.cli(&["stop"]);
    assert_eq!(stopped.code, 0, "{stopped}");
    assert!(old.iter().all(|process| !process.is_alive()), "stop returns when the workers are gone");
    assert_eq!(daemon.status().workers, []);
    assert_eq!(app.sockets(), ["nodesockd.ipc"]);
    let again = app.cli(&["stop"]);
    assert_eq!(again.code, 0, "already so is done\n{again}");
    let shown = app.cli(&["status"]);
    assert_eq!(shown.code, 0, "{shown}");

    let started = app.cli(&["start"]);
    assert_eq!(started.code, 0, "{started}");
    let status = daemon.status();
    assert!(status.is_settled(), "start returns when the workers serve: {status:#?}");
    assert_eq!(status.workers.len(), 3);
    assert_eq!(http::get(&app.link(1), "/").json()["pid"], status.slot(1).process().pid);
}

#[test]
fn workers_started_suspended_hold_requests_until_resume() {
    let app = App::new().workers(2).standby(1);
    let daemon = app.start();
    assert_eq!(app.cli(&["stop"]).code, 0);
    let started = app.cli(&["start", "-s"]);
    assert_eq!(started.code, 0, "{started}");
    let status = daemon.status();
    assert!(status.suspended);
    assert!(status.workers.iter().all(|worker| worker.state == "suspended"), "{status:#?}");

    let waiting = http::ask(&app.link(0), "/").unwrap();
    let resumed = app.cli(&["resume"]);
    assert_eq!(resumed.code, 0, "{resumed}");
    let answer = waiting.answer().unwrap().json();
    assert_eq!((&answer["wasSuspended"], &answer["suspended"]), (&true.into(), &false.into()));
    let status = daemon.status();
    assert!(!status.suspended);
    assert_eq!(status.slot(0).state, "online");
    assert_eq!(status.slot(1).state, "online");
    assert_eq!(status.standbys()[0].state, "suspended", "standbys stay suspended");
    assert_eq!(app.cli(&["resume"]).code, 0, "already so is done");
}

#[test]
fn workers_that_do_not_start_make_start_fail() {
    let app = App::new().set("options.stderr", "worker.log");
    let daemon = app.start();
    assert_eq!(app.cli(&["stop"]).code, 0);
    app.deploy("fails.js");
    let failed = app.cli(&["start"]);
    assert_eq!(failed.code, 6, "{failed}");
    assert!(failed.stderr.contains("the migration is missing"), "{failed}");
    assert_eq!(daemon.status().operation, None);
}

#[test]
fn terminate_returns_when_the_daemon_is_gone() {
    let app = App::new().workers(2);
    let mut daemon = app.start();
    let (process, workers) = (daemon.process(), daemon.descendants());
    assert_eq!(workers.len(), 2);
    let terminated = app.cli(&["terminate"]);
    assert_eq!(terminated.code, 0, "{terminated}");
    assert!(!process.is_alive());
    assert!(workers.iter().all(|worker| !worker.is_alive()));
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(app.sockets().is_empty(), "{:?}", app.sockets());
}
