//! Suspensions that somebody has forgotten, and what waits meanwhile.

use nodesockd_tests::{App, http, until};
use serde_json::Value;

/// What `status` says of the suspension, once it is as it ought to be.
fn suspension(app: &App, fits: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    until("the suspension is as it ought to be", || {
        last = app.cli(&["status", "--json"]).json()["suspension"].clone();
        fits(&last)
    });
    last
}

#[test]
fn suspension_that_a_dead_script_has_left_is_told_with_its_owner_again_and_again() {
    let app = App::new().set("options.suspendWarning", 1000);
    let daemon = app.start();
    let restarted = app.cli(&["restart", "--suspended"]);
    assert_eq!(restarted.code, 0, "{restarted}");
    let waits = app.link(0);
    let waiting = std::thread::spawn(move || http::get(&waits, "/").status);

    let owner = "restart --suspended`";
    daemon.until_so("the log has told it twice", || {
        let log = daemon.log();
        let told = |line: &&str| line.contains("the app has been suspended for") && line.contains(owner);
        log.lines().filter(told).count() >= 2
    });
    let told = suspension(&app, |suspension| suspension["waiting"] == 1);
    assert_eq!(told["by"]["uid"], nix::unistd::geteuid().as_raw(), "{told}");
    assert!(told["by"]["command"].as_str().unwrap().ends_with("restart --suspended"), "{told}");
    let shown = app.cli(&["status"]);
    assert!(shown.stdout.contains(owner) && shown.stdout.contains("; 1 request waits"), "{shown}");
    let checked = app.cli(&["status", "--check"]);
    assert_eq!(checked.code, 1, "{checked}");
    assert!(checked.stderr.contains(owner), "{checked}");

    assert_eq!(app.cli(&["resume"]).code, 0);
    assert_eq!(waiting.join().unwrap(), 200);
    assert_eq!(app.cli(&["status", "--json"]).json()["suspension"], Value::Null);
}

#[test]
fn suspension_keeps_its_owner_when_the_daemon_dies() {
    let app = App::new();
    let mut daemon = app.start();
    let restarted = app.cli(&["restart", "--suspended"]);
    assert_eq!(restarted.code, 0, "{restarted}");
    let before = suspension(&app, |suspension| !suspension.is_null());
    daemon.die();
    daemon.follow(app.launch());
    let after = suspension(&app, |suspension| !suspension.is_null());
    assert_eq!(after["by"], before["by"]);
    let (early, late) = (before["sinceTs"].as_u64().unwrap(), after["sinceTs"].as_u64().unwrap());
    assert!(early.abs_diff(late) < 1000, "{early} {late}");
}
