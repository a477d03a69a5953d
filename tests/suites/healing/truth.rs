//! `status`, `doctor` and `check` tell what is the case.

use nix::sys::signal::Signal;
use nodesockd_tests::{App, app, cli};

/// An app whose standbys throw: they are started suspended, and it cannot do without its database.
fn app_without_standbys() -> App {
    let app = App::new();
    let web = std::fs::read_to_string(app::fixture("web.js")).unwrap();
    let throws = "if (process.env.NODESOCKD_SUSPENDED) throw new Error('the database is asleep');";
    app.write("app.js", &web.replacen("'use strict';", &format!("'use strict';\n{throws}"), 1));
    app
}

#[test]
fn standby_that_keeps_failing_has_a_row_and_a_finding() {
    let app = app_without_standbys().standby(1);
    let daemon = app.launch().spawn();
    let failing = daemon.until("standbys have failed a few times", |status| {
        status.failing_standby.as_ref().is_some_and(|standby| standby.failures >= 2)
            && status.vacant.is_empty()
    });
    let standby = failing.failing_standby.unwrap();
    assert_eq!((standby.missing, standby.reason.as_str()), (1, "it exited with status 1"));
    let shown = app.cli(&["status"]);
    let row = shown.stdout.lines().find(|line| line.starts_with("standby") && line.contains("failing"));
    assert!(row.is_some_and(|row| row.contains("times in a row")), "{shown}");
    let found = app.cli(&["doctor"]);
    assert!(found.stdout.contains("standbys keep failing"), "{found}");
    let checked = app.cli(&["status", "--check"]);
    assert_eq!(checked.code, 1, "{checked}");
    assert!(checked.stderr.contains("a standby is missing: it exited with status 1"), "{checked}");
}

#[test]
fn failures_are_counted_as_long_as_the_slot_lives() {
    let app = App::new();
    let daemon = app.start();
    let mut counted = 0;
    for _ in 0..2 {
        let before = daemon.status().slot(0).clone();
        before.process().signal(Signal::SIGKILL);
        let after = daemon.until("there is another worker, and it is known how the first ended", |status| {
            let reason = status.failures.first().map(|slot| slot.reason.as_str());
            status.is_settled()
                && status.slot(0).id != before.id
                && reason == Some("it was killed by SIGKILL")
        });
        assert_eq!((after.failures.len(), after.failures[0].idx), (1, 0), "{after:#?}");
        assert!(after.failures[0].count > counted, "{after:#?}");
        counted = after.failures[0].count;
    }
    let shown = app.cli(&["status"]);
    assert!(shown.stdout.contains("workers had to be replaced, the last one"), "{shown}");
    assert_eq!(app.cli(&["restart"]).code, 0);
    assert!(daemon.settled().failures[0].count >= counted, "a restart forgets nothing");
}

#[test]
fn status_check_fails_while_the_app_is_suspended() {
    let app = App::new();
    let _daemon = app.start();
    let well = app.cli(&["status", "--check"]);
    assert_eq!((well.code, well.stderr.as_str()), (0, ""), "{well}");
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let suspended = app.cli(&["status", "--check", "--json"]);
    assert_eq!(suspended.code, 1, "{suspended}");
    assert!(suspended.stderr.contains("the app has been suspended for"), "{suspended}");
    assert!(suspended.stdout.starts_with('{'), "{suspended}");
    assert_eq!(app.cli(&["resume"]).code, 0);
    assert_eq!(app.cli(&["status", "--check"]).code, 0);
}

#[test]
fn doctor_follows_the_links_as_nginx_does() {
    let app = App::new().workers(2);
    let daemon = app.start();
    let well = app.cli(&["doctor"]);
    assert!(well.stdout.contains("somebody accepts behind every link"), "{well}");
    let worker = daemon.status().slot(1).process();
    worker.freeze();
    let found = app.cli(&["doctor"]);
    worker.signal(Signal::SIGCONT);
    assert!(found.stdout.contains("app.1.sock has not answered within"), "{found}");
    assert!(!found.stdout.contains("app.0.sock has not answered"), "{found}");
}

#[test]
fn check_names_the_call_that_a_sandbox_denies() {
    let app = App::new();
    app.save();
    let check = cli::command(app.folder(), &["check"]);
    let output = cli::through(&app::python("without_pidfd.py"), &check, app.folder()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("pidfd_open(2)") && text.contains("seccomp"), "{text}");
}
