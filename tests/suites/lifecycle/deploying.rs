//! `deploy`: releases that the daemon switches to, watches, and goes back from.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use nodesockd_tests::cli::{self, Running};
use nodesockd_tests::{App, Daemon, app, http};

use super::releases::{current, expected, released, running};

/// The folder of a release.
fn folder(app: &App, number: u32) -> String {
    app.path(&format!("releases/{number}")).display().to_string()
}

/// A deploy of release 2 that is watched for so long.
fn deploying(app: &App, watch: &str) -> Running {
    let args = ["deploy", "--release", "releases/2", "--watch", watch, "--json"];
    cli::spawn(&mut cli::command(app.folder(), &args))
}

/// A deploy of release 2 that is watched now.
fn watched(app: &App, daemon: &Daemon, watch: &str) -> Running {
    let running = deploying(app, watch);
    daemon.until("the old worker is kept", |status| status.workers.iter().any(|worker| worker.kept));
    running
}

fn start(app: &App) -> Daemon {
    app.launch().within(&app.path("current")).start()
}

/// The script of release 2 is this fixture.
fn spoil(app: &App, fixture: &str) {
    let script = app::fixture(fixture);
    std::fs::copy(script, app.path("releases/2/app.js")).unwrap();
}

#[test]
fn a_deploy_switches_the_symlink_and_keeps_the_old_worker_until_it_is_confirmed() {
    let app = released();
    let daemon = start(&app);
    let old = daemon.status().slot(0).process();
    let deployed = app.cli(&["deploy", "--release", "releases/2", "--watch", "1s"]);
    assert_eq!((deployed.code, deployed.stdout.as_str()), (0, ""), "{deployed}");
    for text in ["names releases/2 now", "watched for 1", "have done well", "draining", "Deployed in"] {
        assert!(deployed.stderr.contains(text), "no `{text}` in\n{deployed}");
    }
    assert!(!old.is_alive());
    assert_eq!((running(&app), current(&app)), (expected(&app, 2), "releases/2".into()));
}

#[test]
fn a_worker_that_dies_while_it_is_watched_brings_the_old_one_back() {
    let app = released();
    let daemon = start(&app);
    let old = daemon.status().slot(0).process();
    let deploy = watched(&app, &daemon, "1h");
    assert_eq!(running(&app), expected(&app, 2));
    assert!(app.cli(&["status"]).stdout.contains("kept"));
    let page = http::get(&app.link(0), "/").json();
    daemon.status().workers.iter().find(|worker| !worker.kept).unwrap().process().signal(Signal::SIGKILL);

    let ended = deploy.finish();
    assert_eq!(ended.code, 7, "{ended}");
    let lines: Vec<serde_json::Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<_> = lines.iter().filter_map(|line| line["deploy"]["step"].as_str()).collect();
    assert_eq!(steps, ["switched", "watching", "rolling-back"]);
    assert_eq!(lines.last().unwrap()["result"], "rolled-back");
    assert!(ended.stderr.contains("it was killed by SIGKILL"), "{ended}");
    assert_eq!((running(&app), current(&app)), (expected(&app, 1), "releases/1".into()));
    let again = http::get(&app.link(0), "/").json();
    assert_eq!(again["pid"], old.pid, "the old process, and not {}", page["pid"]);
    daemon.until("only the old one is left", |status| status.is_settled() && status.workers.len() == 1);
}

#[test]
fn workers_that_fail_the_check_of_a_deploy_bring_the_old_ones_back() {
    let app = released();
    let daemon = start(&app);
    let old = daemon.status().slot(0).process();
    let deploy = |path: &str, watch: &str| {
        app.cli(&["deploy", "--release", "releases/2", "--health", path, "--watch", watch])
    };
    let failed = deploy("/nowhere", "1h");
    assert_eq!(failed.code, 7, "{failed}");
    assert!(failed.stderr.contains("GET /nowhere") && failed.stderr.contains("404"), "{failed}");
    assert_eq!((running(&app), current(&app)), (expected(&app, 1), "releases/1".into()));
    assert_eq!(http::get(&app.link(0), "/").json()["pid"], old.pid);
    let done = deploy("/", "1s");
    assert_eq!(done.code, 0, "{done}");
    assert_eq!((running(&app), current(&app)), (expected(&app, 2), "releases/2".into()));
}

#[test]
fn a_release_that_does_not_start_changes_nothing() {
    let app = released();
    let daemon = start(&app);
    let before = daemon.status();
    spoil(&app, "fails.js");
    let failed = app.cli(&["deploy", "--release", &folder(&app, 2)]);
    assert_eq!(failed.code, 6, "{failed}");
    assert_eq!((running(&app), current(&app)), (expected(&app, 1), "releases/1".into()));
    let after = daemon.until("the new worker is gone", |status| status.workers.len() == 1);
    assert_eq!(after.workers, before.workers);
    let attached = app.cli(&["deploy", "--attach"]);
    assert_eq!(attached.code, 6, "{attached}");
}

#[test]
fn a_client_that_is_killed_changes_nothing() {
    let app = released();
    let daemon = start(&app);
    watched(&app, &daemon, "2s").kill();
    let attached = app.cli(&["deploy", "--attach"]);
    assert_eq!(attached.code, 0, "{attached}");
    assert_eq!((running(&app), current(&app)), (expected(&app, 2), "releases/2".into()));
}

#[test]
fn a_daemon_that_follows_finishes_a_deploy_whose_workers_serve() {
    let app = released();
    let mut daemon = start(&app);
    let old = daemon.status().slot(0).process();
    let deploy = watched(&app, &daemon, "1h");
    daemon.die();
    assert_ne!(deploy.finish().code, 0);
    daemon.follow(app.launch().within(&app.path("current")));
    daemon.until("the old worker has gone", |status| status.is_settled() && !old.is_alive());
    assert_eq!((running(&app), current(&app)), (expected(&app, 2), "releases/2".into()));
}

#[test]
fn a_daemon_that_follows_undoes_a_deploy_whose_workers_do_not_serve_yet() {
    let app = released();
    let mut daemon = start(&app);
    let old = daemon.status().slot(0).process();
    spoil(&app, "gated.js");
    let deploy = deploying(&app, "1h");
    daemon.until("the new worker boots", |status| status.workers.len() == 2);
    assert_eq!(current(&app), PathBuf::from("releases/2"));
    daemon.die();
    assert_ne!(deploy.finish().code, 0);
    let status = daemon.follow(app.launch().within(&app.path("current")));
    assert!(status.note.is_some_and(|note| note.contains("it was undone")));
    daemon.until("the old worker is alone", |status| status.is_settled() && status.workers.len() == 1);
    assert_eq!((running(&app), current(&app)), (expected(&app, 1), "releases/1".into()));
    assert!(old.is_alive());
}

#[test]
fn where_no_symlink_leads_there_is_none_to_switch() {
    let app = App::new();
    let daemon = app.start();
    std::fs::create_dir(app.path("other")).unwrap();
    let refused = app.cli(&["deploy", "--release", "other"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("no symlink leads to the working directory"), "{refused}");
    assert_eq!(daemon.status().workers.len(), 1);

    // In place, it is a restart that knows its way back.
    let deployed = app.cli(&["deploy", "--watch", "1s"]);
    assert_eq!(deployed.code, 0, "{deployed}");
}
