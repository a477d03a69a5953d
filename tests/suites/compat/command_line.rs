//! Scripts that call the command.

use nodesockd_tests::{App, Daemon};
use serde_json::json;

use crate::old_daemon;

#[test]
fn errors_go_to_standard_error_with_an_exit_code_of_their_own() {
    let app = App::new();
    app.save();
    let output = app.cli(&["status"]);
    assert_eq!((output.code, output.stdout.as_str()), (4, ""), "{output}");
    let output = app.cli(&["set-workers", "many"]);
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output}");
    std::fs::remove_file(app.path("nodesockd.toml")).unwrap();
    let output = app.cli(&["status"]);
    assert_eq!((output.code, output.stdout.as_str()), (3, ""), "{output}");
}

#[test]
fn options_stand_before_the_command() {
    let app = App::new();
    let daemon = app.start();
    let old = daemon.status().slot(0).process();
    let output = app.cli(&["-i", "run/nodesockd.ipc", "restart", "--suspended"]);
    assert_eq!(output.code, 0, "{output}");
    let status = daemon.status();
    assert!(status.suspended && !old.is_alive(), "{status:?}");
    for before in [["-c", "nodesockd.toml"], ["--config", "nodesockd.toml"], ["--ipc", "run/nodesockd.ipc"]] {
        let output = app.cli(&[before[0], before[1], "--timeout", "5m", "status", "--json"]);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(output.json()["pid"], daemon.pid());
    }
}

#[test]
fn a_socket_wins_over_a_configuration() {
    let app = App::new();
    let _daemon = app.start();
    for options in
        [["-c", "missing.yml", "-i", "run/nodesockd.ipc"], ["-i", "run/nodesockd.ipc", "-c", "missing.yml"]]
    {
        let output = app.cli(&[&options[..], &["status"]].concat());
        assert_eq!(output.code, 0, "{output}");
        let output = app.cli(&[&["status"], &options[..]].concat());
        assert_eq!(output.code, 0, "{output}");
    }
    let output = app.cli(&["-c", "missing.yml", "status"]);
    assert_eq!(output.code, 3, "{output}");
}

#[test]
fn an_option_that_the_command_does_not_have_is_refused_before_it_as_well() {
    let app = App::new();
    app.save();
    for wrong in
        [["-i", "run/nodesockd.ipc", "check"], ["--timeout", "5", "check"], ["-c", "nodesockd.toml", "init"]]
    {
        let output = app.cli(&wrong);
        assert_eq!(output.code, 2, "{output}");
        assert!(output.stderr.contains("is for commands to a daemon"), "{output}");
    }
}

/// Whether workers are suspended after a restart with these arguments.
fn suspended_by(app: &App, daemon: &Daemon, arguments: &[&str]) -> bool {
    let output = app.cli(&[&["restart"], arguments].concat());
    assert_eq!(output.code, 0, "{arguments:?}: {output}");
    daemon.status().suspended
}

#[test]
fn flags_may_have_values_opposites_and_repetitions() {
    let app = App::new();
    let daemon = app.start();
    for yes in [
        &["--suspended=true"][..],
        &["-s", "-s"],
        &["--no-suspended", "--suspend"],
        &["-s", "-m", "2", "-m", "3"],
    ] {
        assert!(suspended_by(&app, &daemon, yes), "{yes:?}");
    }
    for no in
        [&["--suspended=false"][..], &["-s", "--no-suspended"], &["--upgrade=false", "--maxAttempts", "2"]]
    {
        assert!(!suspended_by(&app, &daemon, no), "{no:?}");
    }
}

#[test]
fn a_start_says_what_a_daemon_of_2x_has_done() {
    let worker = |state: &str| json!([{ "id": "3f2a1c9e-5b7d-4e8f-9a0b-1c2d3e4f5a6b", "idx": 0, "pid": 7, "state": state, "stateTs": 1 }]);
    let said = |before: &str, after: &str| {
        let app = App::new();
        app.save();
        let mut workers = if before.is_empty() { json!([]) } else { worker(before) };
        let after = worker(after);
        let daemon = old_daemon::serve(&app, move |request| {
            if request["type"] == "start-workers" {
                workers = after.clone();
                return json!(null);
            }
            old_daemon::status(&workers)
        });
        let output = app.cli(&["start", "-s", "-m", "2"]);
        assert_eq!(output.code, 0, "{output}");
        let requests = daemon.join().unwrap();
        let start = requests.iter().find(|request| request["type"] == "start-workers").unwrap();
        assert_eq!((&start["data"]["suspended"], &start["data"]["maxAttempts"]), (&json!(true), &json!(2)));
        output.stderr
    };
    assert_eq!(
        said("", "suspended"),
        "Started 1 worker.\nThe app is suspended: requests wait until `nodesockd resume`.\n"
    );
    assert_eq!(said("", "online"), "Started 1 worker.\n");
    assert_eq!(said("online", "online"), "The workers are running.\n");
}

#[test]
fn no_slot_at_all_is_refused_with_what_to_do() {
    let app = App::new();
    let daemon = app.start();
    let output = app.cli(&["set-workers", "0"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("`nodesockd stop` stops all workers"), "{output}");
    assert_eq!(daemon.status().workers.len(), 1);
}

#[test]
fn a_resume_of_stopped_workers_is_no_error() {
    let app = App::new();
    let _daemon = app.start();
    assert_eq!(app.cli(&["stop"]).code, 0);
    let output = app.cli(&["resume"]);
    assert_eq!(output.code, 0, "{output}");
}

#[test]
fn messages_and_requests_to_nobody_are_errors() {
    let app = App::new();
    let _daemon = app.start();
    for command in ["send-msg", "send-req"] {
        let output = app.cli(&[command, "-w", "77", "echo"]);
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output}");
        // An empty variable in a script is no selector: it must not reach everybody.
        let output = app.cli(&[command, "-w", "", "echo"]);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output}");
    }
}

#[test]
fn parts_of_a_selector_that_exclude_are_taken_away_in_any_order() {
    let app = App::new().workers(3);
    let daemon = app.start();
    let pid = |slot: u32| daemon.status().slot(slot).process().pid.to_string();
    for (selector, chosen) in [("0-2,!1", vec![0, 2]), ("!1,0", vec![0]), ("!0,!1", vec![2])] {
        let output = app.cli(&["send-req", "--json", "-w", selector, "echo"]);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(output.stdout.lines().count(), chosen.len(), "{selector}: {output}");
        for slot in chosen {
            assert!(output.stdout.contains(&format!("\"pid\":{}", pid(slot))), "{selector}: {output}");
        }
    }
}

#[test]
fn a_failed_restart_gives_up_all_workers_that_it_has_started() {
    let app = App::new().workers(2);
    let daemon = app.start();
    let old = daemon.status().pids();
    // The first worker fails, the second never becomes ready.
    let script =
        "try { require('fs').mkdirSync('first'); process.exit(3); } catch { setInterval(() => {}, 1e6); }";
    app.write("app.js", script);
    let output = app.cli(&["restart"]);
    assert_eq!(output.code, 6, "{output}");
    assert_eq!(daemon.settled().pids(), old);
    let ended = |how: &str| output.stderr.lines().filter(|line| line.contains(how)).count();
    assert_eq!((ended(" failed: it exited with status 3"), ended(" given up")), (1, 1), "{output}");
}

#[test]
fn a_suspended_restart_does_not_say_that_workers_serve() {
    let app = App::new();
    let _daemon = app.start();
    let output = app.cli(&["restart", "--suspended"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("1 worker waits, suspended"), "{output}");
    assert!(!output.stderr.contains("serv"), "{output}");
}

#[test]
fn commands_reach_the_daemon_although_the_configuration_has_become_invalid() {
    let app = App::new();
    let mut daemon = app.start();
    let good = app.read("nodesockd.toml");
    for (wrong, said) in [("workers = = 2\n", "nodesockd.toml:1:"), ("worker = 2\n", "unknown key `worker`")]
    {
        app.write("nodesockd.toml", &format!("{wrong}{good}"));
        let output = app.cli(&["status", "--json"]);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(output.json()["pid"], daemon.pid());
        assert!(output.stderr.starts_with("warning: the configuration is invalid"), "{output}");
        assert!(output.stderr.contains(said), "{output}");
    }
    // The daemon itself refuses it.
    assert_eq!(app.cli(&["reload"]).code, 3);
    let output = app.cli(&["terminate"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(daemon.ended().code(), Some(0));
    // Without a daemon, the configuration is what is wrong.
    let output = app.cli(&["status"]);
    assert_eq!(output.code, 3, "{output}");
}
