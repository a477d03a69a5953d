//! `restart`

use nodesockd_tests::cli::{self, Running};
use nodesockd_tests::{App, Daemon, Process, http};
use serde_json::json;

fn processes(daemon: &Daemon) -> Vec<Process> {
    daemon.status().workers.iter().map(|worker| worker.process()).collect()
}

/// An app whose next workers do not come online before there is a file `go`.
fn gated() -> (App, Daemon) {
    let app = App::new().script("gated.js");
    app.write("go", "");
    let daemon = app.start();
    std::fs::remove_file(app.path("go")).unwrap();
    (app, daemon)
}

/// A restart that has begun.
fn begin(app: &App, daemon: &Daemon, args: &[&str]) -> Running {
    let running = cli::spawn(&mut cli::command(app.folder(), args));
    daemon.until("a restart is in progress", |status| status.operation.is_some());
    running
}

#[test]
fn restart_replaces_all_workers_and_the_standby() {
    let app = App::new().workers(2).standby(1);
    let daemon = app.start();
    let old = processes(&daemon);

    let restarted = app.cli(&["restart"]);
    assert_eq!((restarted.code, restarted.stdout.as_str()), (0, ""), "{restarted}");
    for stage in ["starting", "online", "serving", "standby", "draining", "gone"] {
        assert!(restarted.stderr.contains(stage), "no `{stage}` in\n{restarted}");
    }
    assert!(old.iter().all(|process| !process.is_alive()), "restart returns when the old workers are gone");
    let status = daemon.status();
    assert!(status.is_settled(), "{status:#?}");
    assert_eq!(status.workers.len(), 3);
    for slot in 0..2 {
        assert_eq!(http::get(&app.link(slot), "/").json()["pid"], status.slot(slot).process().pid);
    }
}

#[test]
fn after_a_suspended_restart_no_unsuspended_worker_is_alive() {
    for spelling in ["-s", "--suspended", "--suspend"] {
        let app = App::new().workers(2).standby(1);
        let daemon = app.start();
        let old = processes(&daemon);
        let restarted = app.cli(&["restart", spelling]);
        assert_eq!(restarted.code, 0, "{restarted}");
        assert!(old.iter().all(|process| !process.is_alive()));
        let status = daemon.status();
        assert!(status.suspended && status.workers.iter().all(|worker| worker.state == "suspended"));

        let waiting: Vec<_> = (0..2).map(|slot| http::ask(&app.link(slot), "/").unwrap()).collect();
        assert_eq!(app.cli(&["resume"]).code, 0);
        for waiting in waiting {
            assert_eq!(waiting.answer().unwrap().json()["wasSuspended"], true);
        }
    }
}

#[test]
fn a_restart_that_fails_changes_nothing_and_says_why() {
    let app = App::new().workers(2).standby(1).set("options.stderr", "worker.log");
    let daemon = app.start();
    let before = daemon.status();
    app.deploy("fails.js");

    let failed = app.cli(&["restart"]);
    assert_eq!(failed.code, 6, "{failed}");
    for text in ["exit", "3", "the migration is missing", "giving up", "worker.log"] {
        assert!(failed.stderr.contains(text), "no `{text}` in\n{failed}");
    }
    let after = daemon.until("the new workers are gone", |status| status.workers.len() == 3);
    assert_eq!(after.workers, before.workers);
    assert_eq!(http::get(&app.link(1), "/").json()["pid"], before.slot(1).process().pid);

    app.deploy("web.js");
    assert_eq!(app.cli(&["restart"]).code, 0);
}

#[test]
fn a_worker_that_never_reports_fails_the_restart_by_time_out() {
    let mut app = App::new();
    let daemon = app.start();
    let before = daemon.status();
    app.change("options.onlineTimeout", 300);
    app.save();
    assert_eq!(app.cli(&["reload"]).code, 0);
    app.deploy("hangs.js");
    let failed = app.cli(&["restart"]);
    assert_eq!(failed.code, 6, "{failed}");
    assert!(failed.stderr.contains("300 ms"), "{failed}");
    let after = daemon.until("the new worker is gone", |status| status.workers.len() == 1);
    assert_eq!(after.workers, before.workers);
}

#[test]
fn a_start_is_tried_as_often_as_asked() {
    let app = App::new().script("flaky.js");
    app.write("attempts", "...");
    let daemon = app.start();
    let old = processes(&daemon);

    app.write("attempts", "");
    let failed = app.cli(&["restart", "-m", "2"]);
    assert_eq!(failed.code, 6, "{failed}");
    assert_eq!(app.read("attempts"), "..");
    assert!(old[0].is_alive());

    app.write("attempts", "");
    let restarted = app.cli(&["restart", "-m", "3"]);
    assert_eq!(restarted.code, 0, "{restarted}");
    assert_eq!(app.read("attempts"), "...");
    assert!(!old[0].is_alive());
}

#[test]
fn one_operation_at_a_time() {
    let (app, daemon) = gated();
    let first = begin(&app, &daemon, &["restart"]);
    for command in [&["restart"][..], &["reload"], &["set-workers", "2"], &["set-standby", "1"], &["resume"]]
    {
        let second = app.cli(command);
        assert_eq!(second.code, 5, "{command:?}\n{second}");
        assert!(second.stderr.contains("restart is in progress"), "{second}");
    }
    assert_eq!(app.cli(&["status"]).code, 0, "looking is allowed");
    app.write("go", "");
    let first = first.finish();
    assert_eq!(first.code, 0, "{first}");
}

#[test]
fn a_restart_begins_although_an_old_worker_has_a_request_to_finish() {
    let app = App::new();
    let daemon = app.start();
    let serving = || daemon.status().slot(0).id.clone();
    let first_worker = serving();
    let slow = http::ask(&app.link(0), "/slow").unwrap();
    let first = cli::spawn(&mut cli::command(app.folder(), &["restart"]));
    daemon.until("a new worker serves", |status| status.slot(0).id != first_worker);

    let second_worker = serving();
    let second = app.cli(&["restart", "--no-wait"]);
    assert_eq!(second.code, 0, "{second}");
    assert_ne!(serving(), second_worker, "the fix serves");
    assert!(
        daemon.status().workers.iter().any(|worker| worker.id == first_worker),
        "the request is not cut off"
    );

    assert_eq!(app.cli(&["send-msg", "-w", &first_worker, "finish"]).code, 0);
    assert_eq!(slow.answer().unwrap().status, 200);
    let first = first.finish();
    assert_eq!(first.code, 0, "{first}");
    assert!(daemon.status().workers.iter().all(|worker| worker.id != first_worker));
}

#[test]
fn a_restart_that_waits_for_its_turn_ends_with_its_client() {
    let (app, daemon) = gated();
    let first = begin(&app, &daemon, &["restart"]);
    let waiting = app.cli(&["restart", "--wait", "--timeout", "1s"]);
    assert_eq!(waiting.code, 8, "{waiting}");
    assert!(waiting.stderr.contains("will not run"), "{waiting}");
    app.write("go", "");
    assert_eq!(first.finish().code, 0);
    let serving = daemon.status().slot(0).id.clone();
    daemon.until("nothing follows", |status| status.is_settled() && status.operation.is_none());
    assert_eq!(daemon.status().slot(0).id, serving);
}

#[test]
fn a_restart_with_wait_queues() {
    let (app, daemon) = gated();
    let first = begin(&app, &daemon, &["restart"]);
    let mut waiting = app.connect();
    let id = waiting.ask("restart-workers", &json!({ "wait": true })).unwrap();
    // Requests of one connection are taken in turn: when the second is answered, the first is in the queue.
    assert!(waiting.status().unwrap().operation.is_some());
    let third = cli::spawn(&mut cli::command(app.folder(), &["restart", "--wait"]));
    app.write("go", "");
    for output in [first.finish(), third.finish()] {
        assert_eq!(output.code, 0, "{output}");
    }
    assert_eq!(waiting.answer(&id).unwrap().errors, [""; 0]);
    assert_eq!(daemon.log().matches("worker started").count(), 4, "{}", daemon.log());
}

#[test]
fn stop_pre_empts_a_restart() {
    let (app, daemon) = gated();
    let restart = begin(&app, &daemon, &["restart"]);
    assert_eq!(app.cli(&["stop"]).code, 0);
    let restart = restart.finish();
    assert_eq!(restart.code, 5, "{restart}");
    assert!(restart.stderr.contains("stop"), "{restart}");
    assert_eq!(daemon.status().workers, []);
}

#[test]
fn terminate_pre_empts_a_restart() {
    let (app, mut daemon) = gated();
    let restart = begin(&app, &daemon, &["restart"]);
    assert_eq!(app.cli(&["terminate"]).code, 0);
    let restart = restart.finish();
    assert_eq!(restart.code, 5, "{restart}");
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn a_client_that_goes_away_does_not_cancel_what_it_started() {
    let (app, daemon) = gated();
    let old = processes(&daemon);
    begin(&app, &daemon, &["restart"]).kill();
    app.write("go", "");
    daemon.until_so("the old worker is gone", || !old[0].is_alive());
    assert!(daemon.settled().slot(0).process().is_alive());
}

#[test]
fn a_time_out_ends_the_command_and_not_the_restart() {
    let (app, daemon) = gated();
    let old = processes(&daemon);
    let timed_out = app.cli(&["restart", "--timeout", "200ms"]);
    assert_eq!(timed_out.code, 8, "{timed_out}");
    assert!(old[0].is_alive());
    app.write("go", "");
    daemon.until_so("the old worker is gone", || !old[0].is_alive());
    daemon.settled();
}
