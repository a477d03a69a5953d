//! `deploy --migrate`: a command runs while nobody is active, and the old release comes back if that fails.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use nodesockd_tests::cli::{self, Running};
use nodesockd_tests::process::{self, Process};
use nodesockd_tests::{App, Daemon, Load, Status, Upstream, http, until};

use super::releases::{current, expected, laid_out, running};

const CLIENTS: usize = 4;

fn app() -> App {
    laid_out(App::new().set("options.listen", "daemon").env("GREETING", "hello"))
}

/// An app that gives every request its number back, and says which release it is.
fn echo() -> App {
    let app = App::new().script("echo.js").set("options.listen", "daemon").env("RELEASE", "{release}");
    laid_out(app)
}

/// The folder of the release that serves.
fn serves(answer: &http::Answer) -> PathBuf {
    answer.json()["release"].as_str().unwrap().into()
}

fn start(app: &App) -> Daemon {
    app.launch().within(&app.path("current")).start()
}

/// A shell command that writes `name` and waits for the file `go`.
fn gate(app: &App, name: &str) -> String {
    let (begun, go) = (app.path(name), app.path("go"));
    format!(
        "echo {name} begins; echo $$ > '{0}'; until [ -e '{1}' ]; do sleep 0.02; done",
        begun.display(),
        go.display()
    )
}

/// A deploy of release 2 with more arguments, in the background.
fn deploying(app: &App, args: &[&str]) -> Running {
    let all: Vec<&str> = ["deploy", "--release", "releases/2"].iter().chain(args).copied().collect();
    cli::spawn(&mut cli::command(app.folder(), &all))
}

/// The process that has written its number to a file.
fn command(app: &App, name: &str) -> Process {
    let read = || std::fs::read_to_string(app.path(name)).ok()?.trim().parse().ok();
    let mut pid = None;
    until("the command runs", || {
        pid = read();
        pid.is_some()
    });
    Process::of(pid.unwrap()).unwrap()
}

fn go(app: &App) {
    app.write("go", "");
}

#[test]
fn a_migration_runs_in_the_new_release_and_is_shown_line_by_line() {
    let app = app();
    let daemon = start(&app);
    let migrate = "echo one; echo two >&2; pwd; echo \"$GREETING\"; printf 'last\\033[2J'";
    let deployed = app.cli(&["deploy", "--release", "releases/2", "--migrate", migrate]);
    assert_eq!((deployed.code, deployed.stdout.as_str()), (0, ""), "{deployed}");
    let folder = app.path("releases/2").display().to_string();
    for text in
        ["The migration runs: echo one", "  one\n", "  two\n", folder.as_str(), "  hello\n", "  last\\x1b[2J"]
    {
        assert!(deployed.stderr.contains(text), "no `{text}` in\n{deployed}");
    }
    assert_eq!((running(&app), current(&app)), (expected(&app, 2), "releases/2".into()));
    assert!(daemon.log().contains("migration: two"), "{}", daemon.log());
    assert!(!daemon.status().suspended);
}

#[test]
fn a_migration_begins_when_the_old_worker_is_gone_and_nobody_is_active_meanwhile() {
    let app = app();
    let daemon = start(&app);
    let old = daemon.status().slot(0).process();
    let deploy = deploying(&app, &["--json", "--migrate", &gate(&app, "migration")]);
    let migration = command(&app, "migration");
    assert!(!old.is_alive());
    let status = daemon.status();
    assert!(
        status.suspended && status.workers.iter().all(|worker| worker.state == "suspended"),
        "{status:#?}"
    );
    let note = status.note.unwrap();
    assert!(note.contains(&format!("its migration runs as process {}", migration.pid)), "{note}");
    let held = http::ask(&app.link(0), "/").unwrap();
    let busy = app.cli(&["resume"]);
    assert_eq!(busy.code, 5, "{busy}");
    go(&app);
    let ended = deploy.finish();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(held.answer().unwrap().json()["script"], expected(&app, 2)[0]);
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let steps: Vec<String> =
        lines.filter_map(|line| Some(line["deploy"]["step"].as_str()?.to_owned())).collect();
    assert_eq!(steps, ["switched", "migrating", "output", "migrated"], "{ended}");
}

#[test]
fn the_old_release_answers_what_was_held_during_a_migration_that_fails() {
    for revert in [None, Some("echo undone >> ../../undone")] {
        let app = echo();
        let daemon = start(&app);
        let nginx = Upstream::of(&app, 1).next("off").start();
        let load = Load::start(&nginx.front(), CLIENTS);
        load.flows();
        let migrate = format!("{}; exit 3", gate(&app, "migration"));
        let mut args = vec!["--migrate", &migrate];
        args.extend(revert.iter().flat_map(|revert| ["--revert", revert]));
        let deploy = deploying(&app, &args);
        command(&app, "migration");
        let held = http::ask(&nginx.front(), "/4711").unwrap();
        go(&app);
        let ended = deploy.finish();
        assert_eq!(ended.code, 7, "{ended}");
        assert!(
            ended.stderr.contains("rolled back: its migration failed: it exited with status 3"),
            "{ended}"
        );
        assert_eq!(serves(&held.answer().unwrap()), app.path("releases/1"));
        load.flows();
        let ledger = load.finish();
        assert!(ledger.failures.is_empty(), "{:?} of {}", ledger.failures, ledger.sent);
        assert_eq!(current(&app), PathBuf::from("releases/1"));
        assert_eq!(app.path("undone").exists(), revert.is_some());
        daemon.until("only the old release is left", |status| {
            status.is_settled() && !status.suspended && status.workers.len() == 1
        });
    }
}

#[test]
fn where_a_migration_cannot_be_undone_the_app_waits_for_a_person() {
    let app = app();
    let daemon = start(&app);
    let failed = app.cli(&["deploy", "--release", "releases/2", "--migrate", "exit 1", "--revert", "exit 2"]);
    assert_eq!(failed.code, 7, "{failed}");
    assert!(failed.stderr.contains("the app stays suspended"), "{failed}");
    let held = http::ask(&app.link(0), "/").unwrap();
    let status = app.cli(&["status"]);
    assert!(
        status.stdout.contains("the revert of its migration failed: it exited with status 2"),
        "{status}"
    );
    let attached = app.cli(&["deploy", "--attach"]);
    assert_eq!(attached.code, 7, "{attached}");
    assert!(daemon.log().contains("a deploy could not go back"), "{}", daemon.log());

    let back = app.cli(&["deploy", "--release", "releases/1", "--watch", "0"]);
    assert_eq!(back.code, 0, "{back}");
    assert_eq!(held.answer().unwrap().json()["script"], expected(&app, 1)[0]);
    let status = daemon.settled();
    assert_eq!((status.suspended, status.note), (false, None));
}

#[test]
fn a_client_that_is_killed_does_not_stop_a_migration() {
    let app = app();
    let _daemon = start(&app);
    let migrate = format!("{}; echo it goes on", gate(&app, "migration"));
    let deploy = deploying(&app, &["--migrate", &migrate]);
    command(&app, "migration");
    deploy.kill();
    let attached = cli::spawn(&mut cli::command(app.folder(), &["deploy", "--attach"]));
    go(&app);
    let ended = attached.finish();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(running(&app), expected(&app, 2));
}

#[test]
fn a_migration_outlives_its_daemon_and_the_next_one_leaves_the_decision_to_a_person() {
    let app = app();
    let mut daemon = start(&app);
    let migrate = format!("{}; echo it goes on; echo done > ../../done", gate(&app, "migration"));
    let deploy = deploying(&app, &["--migrate", &migrate]);
    let migration = command(&app, "migration");
    let held = http::ask(&app.link(0), "/").unwrap();
    daemon.die();
    assert_ne!(deploy.finish().code, 0);
    daemon.take_place(app.launch().within(&app.path("current")));
    let says = format!("its migration runs as process {}", migration.pid);
    let said = |status: &Status| status.note.as_ref().is_some_and(|note| note.contains(&says));
    let status = daemon.until("the migration is named", said);
    assert!(status.suspended && migration.is_alive());
    let busy = app.cli(&["resume"]);
    assert_eq!(busy.code, 5, "{busy}");
    let attached = app.cli(&["deploy", "--attach"]);
    assert_eq!(attached.code, 7, "{attached}");
    assert!(attached.stderr.contains("while its migration ran"), "{attached}");

    go(&app);
    daemon.until_logged("migration: it goes on");
    until("the migration is complete", || app.path("done").exists());
    daemon.until("the migration has ended", |status| status.operation.is_none());
    let output = std::fs::read_to_string(app.run().join("nodesockd.ipc.migration")).unwrap();
    assert_eq!(output, "migration begins\nit goes on\n");
    assert!(daemon.status().suspended);
    let resumed = app.cli(&["resume"]);
    assert_eq!(resumed.code, 0, "{resumed}");
    assert_eq!(held.answer().unwrap().json()["script"], expected(&app, 2)[0]);
    assert_eq!(daemon.settled().note, None);
}

#[test]
fn a_migration_that_takes_too_long_is_ended_with_all_that_it_has_started() {
    let app = app();
    let _daemon = start(&app);
    let migrate = format!("sleep 600 & echo $! > '{}'; wait", app.path("sleeper").display());
    let failed =
        app.cli(&["deploy", "--release", "releases/2", "--migrate", &migrate, "--migrate-timeout", "300ms"]);
    assert_eq!(failed.code, 7, "{failed}");
    assert!(failed.stderr.contains("it took longer than 300 ms (--migrate-timeout)"), "{failed}");
    let sleeper: u32 = app.read("sleeper").trim().parse().unwrap();
    assert!(process::all().all(|process| process.pid != sleeper), "the sleeper is alive");
    assert_eq!(running(&app), expected(&app, 1));
}

#[test]
fn a_stop_ends_a_migration() {
    let app = app();
    let daemon = start(&app);
    let deploy = deploying(&app, &["--migrate", &gate(&app, "migration")]);
    let migration = command(&app, "migration");
    let stopped = app.cli(&["stop"]);
    assert_eq!(stopped.code, 0, "{stopped}");
    assert!(!migration.is_alive());
    let ended = deploy.finish();
    assert_eq!(ended.code, 5, "{ended}");
    assert!(ended.stderr.contains("when its migration had begun"), "{ended}");
    assert!(daemon.status().note.is_some_and(|note| note.contains("when its migration had begun")));
}

#[test]
fn a_daemon_that_quits_ends_the_migration_first_and_leaves_nothing() {
    let app = app();
    let mut daemon = start(&app);
    let deploy = deploying(&app, &["--migrate", &gate(&app, "migration")]);
    let migration = command(&app, "migration");
    assert_eq!(daemon.quit(), Some(0));
    assert!(!migration.is_alive());
    assert_ne!(deploy.finish().code, 0);
    assert_eq!(app.leftovers(), Vec::<String>::new());
}

#[test]
fn a_worker_that_fails_after_a_migration_has_it_undone() {
    let app = echo();
    let daemon = start(&app);
    let nginx = Upstream::of(&app, 1).next("off").start();
    let revert = gate(&app, "revert");
    let deploy = deploying(&app, &["--migrate", "true", "--revert", &revert, "--watch", "1h"]);
    daemon.until_logged("its workers are watched");
    let load = Load::start(&nginx.front(), CLIENTS);
    load.flows();
    let broken = app.cli(&["send-req", "break"]);
    assert_eq!(broken.code, 0, "{broken}");
    command(&app, "revert");
    let status = daemon.status();
    assert!(
        status.suspended && status.workers.iter().all(|worker| worker.state == "suspended"),
        "{status:#?}"
    );
    go(&app);
    let ended = deploy.finish();
    assert_eq!(ended.code, 7, "{ended}");
    assert_eq!(serves(&http::get(&nginx.front(), "/1")), app.path("releases/1"));
    assert_eq!(current(&app), PathBuf::from("releases/1"));
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{:?}", ledger.failures);
}

#[test]
fn a_worker_that_dies_after_a_migration_without_a_revert_fails_the_deploy_and_is_replaced() {
    let app = app();
    let daemon = start(&app);
    let deploy = deploying(&app, &["--migrate", "true", "--watch", "1h"]);
    daemon.until_logged("its workers are watched");
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    let ended = deploy.finish();
    assert_eq!(ended.code, 7, "{ended}");
    assert!(ended.stderr.contains("cannot go back because the old workers are gone"), "{ended}");
    daemon.settled();
    assert_eq!((running(&app), current(&app)), (expected(&app, 2), "releases/2".into()));
}
