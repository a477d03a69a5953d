//! `events`, and the command of `options.onEvent`: what real processes send, held against the chapter that describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Connection, Daemon, cli, program};
use serde_json::Value;

use super::releases::laid_out;

/// A connection that is told what happens.
struct Watch(Connection);

impl Watch {
    fn of(daemon: &Daemon) -> Self {
        let mut connection = daemon.connect();
        connection.ask("watch-events", &Value::Null).unwrap();
        let first = connection.receive().unwrap();
        assert!(first["data"]["watching"]["seq"].is_u64(), "{first}");
        Self(connection)
    }

    /// All that is told up to an event of this name, and that is the last of them.
    fn until(&mut self, what: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let event = self.0.receive().unwrap()["data"]["event"].clone();
            events.push(event);
            if events.last().unwrap()["what"] == what {
                return events;
            }
        }
    }
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["what"].as_str().unwrap()).collect()
}

/// The fields that the chapter has for each event: those that are always there, and the others.
fn schema() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let text = std::fs::read_to_string(program::root().join("docs/12-watching.md")).unwrap();
    let history =
        ["number", "outcome", "durationMs", "by?", "signal?", "generation?", "release?", "held?", "reason?"];
    let words =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut schema = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 4) {
        let cells: Vec<&str> = row.split('|').collect();
        let mut fields = words(cells[3]);
        if cells[3].contains("those of [the history]") {
            fields = history.map(str::to_owned).to_vec();
        }
        let names = ["v", "seq", "time", "what"].map(str::to_owned);
        let always = fields.iter().filter(|field| !field.ends_with('?')).cloned();
        let always: BTreeSet<String> = always.chain(names).filter(|field| !is_value(field)).collect();
        let others: BTreeSet<String> =
            fields.iter().filter_map(|field| field.strip_suffix('?')).map(str::to_owned).collect();
        for what in words(cells[1]) {
            schema.insert(what, (always.clone(), BTreeSet::clone(&others)));
        }
    }
    schema
}

/// In the row of `repaired` the values of `thing` are named as well.
fn is_value(word: &str) -> bool {
    ["link", "folder", "lock", "control-socket", "metrics-socket"].contains(&word)
}

/// Each event has the fields that the chapter says, and no others.
fn conform(events: &[Value]) {
    let schema = schema();
    for event in events {
        let what = event["what"].as_str().unwrap();
        assert!(schema.contains_key(what), "docs/12-watching.md has no `{what}`");
        let (always, others) = &schema[what];
        let found: BTreeSet<String> = event.as_object().unwrap().keys().cloned().collect();
        let missing: Vec<_> = always.difference(&found).collect();
        let unknown: Vec<_> =
            found.iter().filter(|key| !always.contains(*key) && !others.contains(*key)).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "missing {missing:?}, unknown {unknown:?} in {event}"
        );
    }
}

/// The command writes what it gets to `alarms`, a line each.
const ALARM: &str =
    "#!/bin/sh\nset -eu\nline=$(cat)\nprintf '%s\\n' \"$line\" >> alarms\necho \"said $NODESOCKD_EVENT\"\n";

fn alarmed(app: App) -> App {
    app.write("alarm", ALARM);
    std::fs::set_permissions(app.path("alarm"), PermissionsExt::from_mode(0o755)).unwrap();
    let alarm = app.path("alarm").display().to_string();
    app.set("options.onEvent", vec![alarm])
}

fn alarms(app: &App) -> Vec<Value> {
    let text = std::fs::read_to_string(app.path("alarms")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The command was run for this; what it got.
fn alarm(app: &App, daemon: &Daemon, what: &str) -> Value {
    let mut found = None;
    daemon.until_so(&format!("the command is run for `{what}`"), || {
        found = alarms(app).into_iter().find(|event| event["what"] == what);
        found.is_some()
    });
    daemon.until_logged(&format!("onEvent: said {what}"));
    let event = found.unwrap();
    conform(std::slice::from_ref(&event));
    event
}

#[test]
fn events_are_those_of_the_chapter() {
    let app = App::new().workers(2).standby(1);
    let daemon = app.start();
    let mut watch = Watch::of(&daemon);
    assert_eq!(app.cli(&["restart"]).code, 0);
    let restart = watch.until("restart");
    conform(&restart);
    assert_eq!(restart[0]["operation"], "restart");
    for what in ["worker-starting", "worker-online", "worker-serving", "worker-standby"] {
        assert!(names(&restart).contains(&what), "no {what}: {:?}", names(&restart));
    }
    let seqs: Vec<u64> = restart.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted() && seqs.last().unwrap() - seqs[0] + 1 == seqs.len() as u64, "{seqs:?}");

    daemon.settled();
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    let failed = watch.until("worker-failed");
    conform(&failed);
    assert_eq!(failed.last().unwrap()["reason"], "it was killed by SIGKILL");

    std::fs::remove_file(app.ipc()).unwrap();
    let repaired = watch.until("repaired");
    assert_eq!(repaired.last().unwrap()["thing"], "control-socket");
    conform(&repaired);
    daemon.signal(Signal::SIGTERM);
    conform(&watch.until("terminate"));
}

#[test]
fn the_command_line_prints_events_until_the_daemon_quits() {
    let app = App::new();
    let mut daemon = app.start();
    let printed = app.path("printed");
    let lines = || std::fs::read_to_string(&printed).unwrap_or_default();
    let mut command = cli::command(app.folder(), &["events", "--json"]);
    let mut events = command.stdout(File::create(&printed).unwrap()).stderr(Stdio::piped()).spawn().unwrap();
    // Only what happens after it has asked is printed.
    daemon.until_so("an event is printed", || {
        assert_eq!(app.cli(&["reload"]).code, 0);
        !lines().is_empty()
    });
    daemon.quit();
    let mut said = String::new();
    events.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((events.wait().unwrap().code(), said.as_str()), (Some(0), "The daemon has quit.\n"));
    let last: Value = serde_json::from_str(lines().lines().last().unwrap()).unwrap();
    assert_eq!(last["what"], "terminate");
}

#[test]
fn a_crash_loop_runs_the_command() {
    let app = alarmed(App::new());
    let daemon = app.start();
    app.write("app.js", "process.exit(3);\n");
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    let event = alarm(&app, &daemon, "crash-loop");
    assert_eq!(event["slot"], 0);
    assert!(event["reason"].as_str().unwrap().contains("it exited with status 3"), "{event}");
}

#[test]
fn a_deploy_that_is_rolled_back_runs_the_command() {
    let app = laid_out(alarmed(App::new()));
    let daemon = app.launch().within(&app.path("current")).start();
    std::fs::copy(nodesockd_tests::app::fixture("fails.js"), app.path("releases/2/app.js")).unwrap();
    assert_eq!(app.cli(&["deploy", "--release", "releases/2"]).code, 6);
    let text = |folder: &str| std::fs::read_to_string(app.path(folder)).unwrap_or_default();
    daemon.until_so("the command is run", || {
        ["alarms", "current/alarms"].iter().any(|file| text(file).contains(r#""outcome":"failed""#))
    });
}

#[test]
fn a_hang_runs_the_command() {
    let app = alarmed(App::new().set("health.hangTimeout", 1500));
    let daemon = app.start();
    daemon.status().slot(0).process().signal(Signal::SIGSTOP);
    let event = alarm(&app, &daemon, "hang");
    assert_eq!(event["slot"], 0);
}

#[test]
fn a_forgotten_suspension_and_a_removed_link_run_the_command() {
    let app = alarmed(App::new().set("options.suspendWarning", 1000));
    let daemon = app.start();
    std::fs::remove_file(app.link(0)).unwrap();
    assert_eq!(alarm(&app, &daemon, "repaired")["thing"], "link");
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let event = alarm(&app, &daemon, "suspension-forgotten");
    assert_eq!(event["waiting"], 0);
    assert!(event["by"]["command"].as_str().unwrap().contains("restart --suspended"), "{event}");
}

#[test]
fn a_command_that_hangs_is_in_nobodys_way() {
    let app = alarmed(App::new());
    app.write("alarm", "#!/bin/sh\necho begun\nsleep 1000\n");
    let mut daemon = app.start();
    std::fs::remove_file(app.link(0)).unwrap();
    daemon.until_logged("onEvent: begun");
    assert_eq!(app.cli(&["restart"]).code, 0);
    // The next daemon knows of it.
    daemon.die();
    daemon.follow(app.launch());
    assert_eq!(app.cli(&["restart"]).code, 0);
    assert_eq!(daemon.quit(), Some(0));
    let sleeps = |words: Vec<String>| words == ["sleep", "1000"];
    for process in app.inhabitants().filter(|process| sleeps(process.words())) {
        process.signal(Signal::SIGKILL);
    }
}
