//! Releases that come and go behind a `current` symlink.

use nix::sys::signal::Signal;
use nodesockd_tests::program::{self, NEWER};
use nodesockd_tests::{App, Daemon, http};

use super::releases::{expected, laid_out, released, running, switch};

#[test]
fn workers_run_the_new_release_after_the_switch() {
    let app = released();
    // Started inside the release, by the name that stays.
    let daemon = app.launch().within(&app.path("current")).start();
    assert_eq!(running(&app), expected(&app, 1));

    switch(&app, 2);
    assert_eq!(running(&app), expected(&app, 1), "nothing happens by itself");
    let restarted = app.cli(&["restart"]);
    assert_eq!(restarted.code, 0, "{restarted}");
    assert_eq!(running(&app), expected(&app, 2));

    // The old release may be removed; a crash brings back the one that serves.
    std::fs::remove_dir_all(app.path("releases/1")).unwrap();
    let before = daemon.status().slot(0).id.clone();
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    daemon.until("there is another worker", |status| status.is_settled() && status.slot(0).id != before);
    assert_eq!(running(&app), expected(&app, 2));
}

/// Kills the worker in slot 0, and waits for the one that replaces it.
fn crash(daemon: &Daemon) {
    let before = daemon.status().slot(0).id.clone();
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    daemon.until("another worker serves", |status| status.is_settled() && status.slot(0).id != before);
}

#[test]
fn a_crash_after_the_switch_does_not_start_the_new_release() {
    let app = released();
    let mut daemon = app.launch().within(&app.path("current")).start();
    switch(&app, 2);
    crash(&daemon);
    assert_eq!(running(&app), expected(&app, 1), "a migration may have to run first");

    // Nor does a daemon that follows one that was killed.
    daemon.die();
    daemon.follow(app.launch().within(&app.path("current")));
    crash(&daemon);
    assert_eq!(running(&app), expected(&app, 1));

    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let status = app.cli(&["status"]);
    let second = format!("generation 2 runs {}", app.path("releases/2").display());
    assert!(status.stdout.contains(&second), "{status}");
    assert_eq!(app.cli(&["resume"]).code, 0);
    assert_eq!(running(&app), expected(&app, 2));
}

#[test]
fn a_release_that_was_removed_is_replaced_by_the_current_one() {
    let app = released();
    let daemon = app.launch().within(&app.path("current")).start();
    switch(&app, 2);
    std::fs::remove_dir_all(app.path("releases/1")).unwrap();
    crash(&daemon);
    assert_eq!(running(&app), expected(&app, 2));
    daemon.until_logged("releases/1; workers that are started for it run");
}

#[test]
fn variables_in_a_file_belong_to_the_generation() {
    let app = laid_out(App::new().env("GREETING", "of the table").set("envFile", ".env"));
    let write = |number: u32, text: &str| {
        std::fs::write(app.path(&format!("releases/{number}/.env")), text).unwrap();
    };
    let greeting = || http::get(&app.link(0), "/").json()["greeting"].as_str().unwrap().to_owned();
    write(1, "# of the file\nGREETING=\"one $HOME\"\n");
    write(2, "GREETING=two");
    let mut daemon = app.launch().within(&app.path("current")).start();
    assert_eq!(greeting(), "one $HOME");

    write(1, "GREETING=changed");
    crash(&daemon);
    assert_eq!(greeting(), "one $HOME");
    daemon.die();
    daemon.follow(app.launch().within(&app.path("current")));
    crash(&daemon);
    assert_eq!(greeting(), "one $HOME", "after the death of the daemon as well");

    assert_eq!(app.cli(&["restart"]).code, 0);
    assert_eq!(greeting(), "changed");
    write(1, "GREETING");
    let failed = app.cli(&["restart"]);
    assert_eq!(failed.code, 6, "{failed}");
    assert!(failed.stderr.contains(".env: line 1 has no `=`: GREETING"), "{failed}");
    assert_eq!(greeting(), "changed", "what serves goes on");

    switch(&app, 2);
    assert_eq!(app.cli(&["restart"]).code, 0);
    assert_eq!(greeting(), "two");
    let secret = app.cli(&["config"]);
    assert!(!secret.stdout.contains("two"), "{secret}");
}

#[test]
fn upgraded_daemon_runs_the_new_release_after_the_switch() {
    let app = released();
    let program = app.path("nodesockd");
    program::install(program::nodesockd(), &program);
    let daemon = app.launch().from(&program).within(&app.path("current")).start();

    // The folder that the daemon was put into is not there any more.
    switch(&app, 2);
    std::fs::remove_dir_all(app.path("releases/1")).unwrap();
    program::install(program::newer(), &program);
    daemon.signal(Signal::SIGUSR2);
    daemon.until("it is the newer version", |status| status.version == NEWER);
    let restarted = app.cli(&["restart"]);
    assert_eq!(restarted.code, 0, "{restarted}");
    assert_eq!(running(&app), expected(&app, 2));
}

#[test]
fn migration_never_runs_beside_active_old_workers() {
    let app = App::new().workers(2).standby(1);
    let daemon = app.start();
    let old = daemon.descendants();
    assert_eq!(app.cli(&["restart", "-s"]).code, 0);
    assert!(old.iter().all(|process| !process.is_alive()));
    assert!(
        daemon.status().workers.iter().all(|worker| worker.state == "suspended"),
        "the migration may begin"
    );
    let waiting: Vec<_> = (0..8).map(|turn| http::ask(&app.link(turn % 2), "/").unwrap()).collect();
    assert_eq!(app.cli(&["resume"]).code, 0);
    for waiting in waiting {
        assert_eq!(waiting.answer().unwrap().json()["wasSuspended"], true);
    }
}

#[test]
fn rollback_replaces_suspended_workers() {
    let app = App::new().workers(2);
    let daemon = app.start();
    assert_eq!(app.cli(&["restart", "-s"]).code, 0);
    let suspended = daemon.status();
    let back = app.cli(&["restart"]);
    assert_eq!(back.code, 0, "{back}");
    let status = daemon.status();
    assert!(!status.suspended && status.workers.iter().all(|worker| worker.state == "online"), "{status:#?}");
    assert!(suspended.pids().iter().all(|pid| !status.pids().contains(pid)));
    assert_eq!(http::get(&app.link(0), "/").json()["wasSuspended"], false);
}
