//! `history`: what was done, and what went wrong, for whoever asks later.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sys::signal::Signal;
use nodesockd_tests::cli::{self, Output};
use nodesockd_tests::{App, Daemon, http, program};
use serde_json::Value;

use super::releases::released;

fn entries(app: &App) -> Vec<Value> {
    let output = app.cli(&["history", "--json"]);
    assert_eq!(output.code, 0, "{output}");
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the last entry says under each of these keys.
fn last(app: &App, keys: &[&str]) -> Vec<Value> {
    let entry = entries(app).pop().unwrap();
    keys.iter().map(|key| entry[key].clone()).collect()
}

fn whats(app: &App) -> Vec<String> {
    entries(app).iter().map(|entry| entry["what"].as_str().unwrap().to_owned()).collect()
}

fn within_current(app: &App) -> Daemon {
    app.launch().within(&app.path("current")).start()
}

fn worked(output: &Output) {
    assert_eq!(output.code, 0, "{output}");
}

#[test]
fn operations_are_there_with_who_asked_for_them_and_how_they_ended() {
    let app = App::new();
    let mut daemon = app.start();
    worked(&app.cli(&["restart"]));
    let entry = entries(&app).pop().unwrap();
    assert_eq!((&entry["what"], &entry["outcome"]), (&"restart".into(), &"done".into()), "{entry}");
    assert_eq!(entry["by"]["uid"], nix::unistd::getuid().as_raw());
    assert!(entry["by"]["command"].as_str().unwrap().ends_with("nodesockd restart"), "{entry}");
    assert_eq!(entry["generation"], 2);
    assert!(
        entry["release"].as_str().unwrap().ends_with(app.folder().file_name().unwrap().to_str().unwrap())
    );

    app.write("app.js", "process.exit(3);\n");
    assert_eq!(app.cli(&["restart"]).code, 6);
    let failed = last(&app, &["what", "outcome", "reason"]);
    assert_eq!(failed[..2], [Value::from("restart"), "failed".into()]);
    assert!(failed[2].as_str().unwrap().contains("it exited with status 3"), "{failed:?}");

    daemon.signal(Signal::SIGTERM);
    daemon.ended();
    assert_eq!(last(&app, &["what", "signal", "outcome"]), ["terminate", "SIGTERM", "done"].map(Value::from));
    assert_eq!(whats(&app), ["daemon-start", "restart", "restart", "terminate"]);
    let mode = std::fs::metadata(app.path("run/nodesockd.ipc.history")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn people_read_it_without_a_daemon_and_from_a_removed_folder() {
    let app = App::new();
    app.save();
    let nothing = app.cli(&["history"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (0, ""), "{nothing}");
    assert!(nothing.stderr.contains("Nothing is recorded yet in "), "{nothing}");

    let mut daemon = app.start();
    worked(&app.cli(&["restart"]));
    daemon.quit();
    let shown = app.cli(&["history", "-n", "2"]);
    worked(&shown);
    let heads: Vec<&str> = shown.stdout.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(
        heads.len() == 2 && heads[0].contains("  restart       done") && heads[1].contains("  terminate")
    );
    assert!(shown.stdout.lines().all(|line| line.chars().count() <= 80), "{shown}");
    // A long path to the program wraps: the words count, not the lines.
    let words = shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("nodesockd restart`"), "{shown}");

    let removed = app.path("removed");
    std::fs::create_dir(&removed).unwrap();
    let script = "cd removed; rmdir ../removed; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(program::nodesockd()).arg("history");
    command.arg("--config").arg(app.path("nodesockd.toml"));
    cli::in_folder(&mut command, app.folder());
    let shown = cli::spawn(&mut command).finish();
    assert!(shown.code == 0 && shown.stdout.contains("  terminate"), "{shown}");
}

#[test]
fn since_leaves_out_what_was_before() {
    let app = App::new();
    app.save();
    let mut old = app.cli(&["history", "--since", "1h"]);
    worked(&old);
    let line = |time: &str, number: u32| {
        format!(r#"{{"v":1,"time":"{time}","number":{number},"what":"hang","slot":0,"reason":"slow"}}"#)
            + "\n"
    };
    let text = format!("{}{}", line("2026-03-01T22:00:00.000Z", 1), line("2026-03-02T04:00:00.000Z", 2));
    app.write("run/nodesockd.ipc.history", &text);
    old = app.cli(&["history", "--since", "2026-03-02T02:00+02:00"]);
    assert!(old.stdout.contains("2026-03-02 04:00:00") && !old.stdout.contains("22:00:00"), "{old}");
    let none = app.cli(&["history", "--since", "2026-03-03"]);
    assert!(none.stderr.contains("there are 2 earlier entries"), "{none}");
    assert_eq!(app.cli(&["history", "--since", "yesterday"]).code, 2);
}

#[test]
fn a_torn_line_costs_nothing_but_itself() {
    let app = App::new();
    let daemon = app.start();
    let file = app.path("run/nodesockd.ipc.history");
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"v\":1,\"numb").unwrap();
    worked(&app.cli(&["restart"]));
    let shown = app.cli(&["history", "--json"]);
    assert_eq!(shown.stdout.lines().count(), 2, "{shown}");
    assert!(shown.stderr.contains("1 lines of"), "{shown}");
    // Whoever moves it away, as logrotate does, gets another one.
    std::fs::rename(&file, app.path("run/old")).unwrap();
    worked(&app.cli(&["restart"]));
    assert_eq!(whats(&app), ["restart"]);
    assert!(daemon.status().is_settled());
}

#[test]
fn it_can_be_read_while_it_is_written() {
    let app = App::new();
    let daemon = app.start();
    let mut reload = daemon.connect();
    for round in 1..=60 {
        assert_eq!(reload.request("reload", &Value::Null).errors, Vec::<String>::new());
        if round % 10 == 0 {
            let shown = app.cli(&["history", "--json", "-n", "1000"]);
            assert!(shown.code == 0 && shown.stderr.is_empty(), "{shown}");
            assert!(shown.stdout.lines().count() >= round, "{shown}");
        }
    }
}

#[test]
fn a_deploy_that_was_rolled_back_is_known_to_the_next_daemon() {
    let app = released();
    std::fs::copy(nodesockd_tests::app::fixture("fails.js"), app.path("releases/2/app.js")).unwrap();
    let mut daemon = within_current(&app);
    let deployed = app.cli(&["deploy", "--release", "releases/2"]);
    assert_eq!(deployed.code, 6, "{deployed}");
    daemon.die();
    daemon.follow(app.launch().within(&app.path("current")));
    let attached = app.cli(&["deploy", "--attach"]);
    assert_eq!(attached.code, 6, "{attached}");
    assert!(attached.stderr.contains("for slot 0: it exited"), "{attached}");
}

#[test]
fn what_waited_for_a_resume_is_counted() {
    let app = App::new();
    let daemon = app.start();
    worked(&app.cli(&["restart", "--suspended"]));
    let waiting: Vec<_> = (0..3).map(|_| http::ask(&app.link(0), "/").unwrap()).collect();
    daemon.until_so("they are held", || held(&app) == Some(3));
    worked(&app.cli(&["resume"]));
    assert!(waiting.into_iter().all(|request| request.answer().is_ok()));
    assert_eq!(last(&app, &["what", "held"]), [Value::from("resume"), 3.into()]);
}

/// How many requests wait, by the kernel's account or the worker's own.
fn held(app: &App) -> Option<u64> {
    app.cli(&["status", "--json"]).json()["suspension"]["waiting"].as_u64()
}
