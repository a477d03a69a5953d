//! `restart --suspended --for TIME --then …`: nobody comes back, and the app does not stay suspended for ever.

use nodesockd_tests::{App, Daemon, Load, Upstream, http, until};

use super::releases::{laid_out, switch};

/// An app that gives every request its number back, says which release it is, and has release 2 in place.
fn app() -> (App, Daemon) {
    let app = App::new().script("echo.js").set("options.listen", "daemon").env("RELEASE", "{release}");
    let app = laid_out(app);
    let daemon = app.launch().within(&app.path("current")).start();
    switch(&app, 2);
    (app, daemon)
}

/// Suspends the app under load, and leaves it alone: which release answers what was held.
fn left_alone(app: &App, then: &str) -> String {
    let nginx = Upstream::of(app, 1).next("off").start();
    let load = Load::start(&nginx.front(), 2);
    load.flows();
    let suspended = app.cli(&["restart", "--suspended", "--for", "300ms", "--then", then]);
    assert_eq!(suspended.code, 0, "{suspended}");
    let held = http::ask(&nginx.front(), "/4711").unwrap();
    let answer = held.answer().unwrap().json()["release"].as_str().unwrap().to_owned();
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{:?} of {}", ledger.failures, ledger.sent);
    answer
}

#[test]
fn a_suspension_that_nobody_ends_is_resumed_and_no_request_is_lost() {
    let (app, daemon) = app();
    assert_eq!(left_alone(&app, "resume"), app.path("releases/2").display().to_string());
    assert!(!daemon.status().suspended);
    assert!(
        daemon.log().contains("nobody has ended the suspension within 0.3 s (--for)"),
        "{}",
        daemon.log()
    );
}

#[test]
fn a_suspension_that_nobody_ends_gives_way_to_the_old_release_and_no_request_is_lost() {
    let (app, daemon) = app();
    assert_eq!(left_alone(&app, "rollback"), app.path("releases/1").display().to_string());
    assert!(!daemon.status().suspended);
    let named = std::fs::read_link(app.path("current")).unwrap();
    assert_eq!(named, std::path::PathBuf::from("releases/2"), "the symlink is not the daemon's here");
}

#[test]
fn the_daemon_that_follows_a_dead_one_ends_the_suspension_too() {
    let (app, mut daemon) = app();
    let suspended = app.cli(&["restart", "--suspended", "--for", "2s", "--then", "rollback"]);
    assert_eq!(suspended.code, 0, "{suspended}");
    let shown = app.cli(&["status"]);
    assert!(shown.stdout.contains("if nobody ends that, the old release is started again in"), "{shown}");
    daemon.die();
    daemon.follow(app.launch().within(&app.path("current")));
    until("the app is active", || !daemon.status().suspended);
    let release = http::get(&app.link(0), "/1").json()["release"].as_str().unwrap().to_owned();
    assert_eq!(release, app.path("releases/1").display().to_string());
}

#[test]
fn a_way_back_that_does_not_exist_is_refused_at_once() {
    let app = App::new();
    let _daemon = app.start();
    let refused = app.cli(&["restart", "--suspended", "--for", "1m", "--then", "rollback"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("has nothing to go back to"), "{refused}");
    for half in [&["--for", "1m"][..], &["--then", "resume"], &["--for", "1m", "--then", "resume"]] {
        let args: Vec<&str> = ["restart"].iter().chain(half).copied().collect();
        assert_eq!(app.cli(&args).code, 2, "{half:?}");
    }
}
