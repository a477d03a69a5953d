//! Parts of 2.x with parts of 3.0.

use std::os::unix::fs::symlink;
use std::process::Command;

use nix::sys::signal::Signal;
use nodesockd_tests::process::Process;
use nodesockd_tests::{App, Load, Upstream, app, cli, http, program, wait};
use serde_json::{Value, json};

use super::host::{Host, rows};

/// An app with the worker library of 2.x, for our daemon.
fn app_with_2x_library() -> App {
    let app = App::new().workers(2).script("app-for-2.js");
    let library = app.path("node_modules/nodesockd");
    std::fs::remove_file(&library).unwrap();
    symlink(app::fixture("nodesockd-2"), &library).unwrap();
    app
}

fn run(app: &App, args: &[&str]) -> String {
    let output = app.cli(args);
    assert_eq!(output.code, 0, "{args:?}: {output}");
    output.stdout
}

#[test]
fn workers_with_the_2x_library_run_under_our_daemon() {
    let app = app_with_2x_library().set("standby", 1);
    let daemon = app.start();
    let nginx = Upstream::of(&app, 2).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    run(&app, &["restart"]);
    daemon.settled();
    load.flows();

    // Suspended, they hold requests until they are resumed.
    run(&app, &["restart", "--suspended"]);
    let waiting = http::ask(&nginx.front(), "/4711").unwrap();
    assert!(daemon.status().workers.iter().all(|worker| worker.state == "suspended"));
    run(&app, &["resume"]);
    assert_eq!(waiting.answer().unwrap().json()["number"], "4711");
    load.flows();

    run(&app, &["send-msg", "note", "7"]);
    let noted = run(&app, &["send-req", "messages", "--json"]);
    let noted: Vec<Value> = noted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(noted.len(), 2, "{noted:?}");
    assert!(noted.iter().all(|answer| answer["data"] == json!([["note", 7]])), "{noted:?}");
    let unknown = app.cli(&["send-req", "unknown"]);
    assert!(unknown.stderr.contains("Unhandled application request: unknown"), "{unknown}");

    // One that says that it is broken is replaced.
    let before = daemon.status();
    run(&app, &["send-msg", "-w", "0", "break"]);
    daemon.until("the broken worker is replaced", |status| {
        status.is_settled() && status.slot(0).id != before.slot(0).id
    });
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());

    // New code that turns out wrong: the suspended workers are replaced by those of the old code.
    run(&app, &["restart", "--suspended"]);
    run(&app, &["restart"]);
    assert!(daemon.settled().workers.iter().all(|worker| worker.standby || worker.state == "online"));
    run(&app, &["terminate"]);
    assert_eq!(app.inhabitants().count(), 0, "{}", daemon.log());
}

#[test]
fn workers_with_the_2x_library_serve_on_when_our_daemon_dies() {
    let app = app_with_2x_library().set("options.shutdownTimeout", 1000);
    let mut daemon = app.start();
    let nginx = Upstream::of(&app, 2).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    let before = daemon.status();
    daemon.die();
    load.flows();
    let after = daemon.follow(app.launch());
    assert_eq!(after.pids(), before.pids());
    // They do not report again: SIGTERM ends them.
    run(&app, &["restart"]);
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());
    run(&app, &["terminate"]);
    assert_eq!(app.inhabitants().count(), 0, "{}", daemon.log());
}

/// Runs the script with a client library against whichever daemon there is.
fn script(app: &App, library: &str) -> Value {
    let mut command = Command::new("node");
    command.arg(app::fixture("client-for-2.js")).arg(library).arg(app.ipc());
    cli::in_folder(&mut command, app.folder());
    let output = cli::spawn(&mut command).finish();
    assert_eq!(output.code, 0, "{output}");
    output.json()
}

fn said(version: &str, pid: u32) -> Value {
    json!({
        "states": ["suspended", "online", "online", "online"],
        "counts": [3, 2, 0],
        "version": version,
        "config": ["config", "files"],
        "wrong": "refused",
        "pid": pid,
    })
}

#[test]
fn scripts_with_the_2x_client_command_our_daemon() {
    let app = App::new().workers(2).script("app-for-2.js");
    let mut daemon = app.start();
    let (version, pid) = (daemon.status().version, daemon.pid());
    let library = app::fixture("nodesockd-2/client.js");
    assert_eq!(script(&app, library.to_str().unwrap()), said(&version, pid));
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn our_commands_reach_a_2x_daemon() {
    let mut host = Host::of_2x();
    let before = host.start_2x();
    let run = |args: &[&str]| host.run(&[args, &["--timeout", "50s"]].concat()).stdout;
    assert!(run(&["status"]).contains("2.0.0"));
    assert!(run(&["config"]).contains("app.js"));
    run(&["restart"]);
    let status = host.status().unwrap();
    assert!(rows(&status).iter().all(|row| before.iter().all(|old| old.pid != row.pid)), "{status:#?}");
    run(&["restart", "--suspended"]);
    assert!(rows(&host.status().unwrap()).iter().all(|row| row.state == "suspended"));
    run(&["resume"]);
    assert!(rows(&host.status().unwrap()).iter().all(|row| row.state == "online"));
    run(&["set-workers", "3"]);
    assert_eq!(rows(&host.status().unwrap()).len(), 3);
    run(&["set-workers", "2"]);
    run(&["set-standby", "0"]);
    run(&["reload"]);
    run(&["send-msg", "note", "7"]);
    assert_eq!(run(&["send-req", "messages", "--json"]).lines().count(), 2);
    run(&["stop"]);
    assert_eq!(rows(&host.status().unwrap()).len(), 0);
    run(&["start"]);
    assert_eq!(rows(&host.status().unwrap()).len(), 2);
    let daemon = host.pid();
    run(&["terminate"]);
    assert!(Process::of(daemon).is_none());
    assert_eq!(host.app.inhabitants().count(), 0);
}

#[test]
fn our_client_library_commands_a_2x_daemon() {
    let mut host = Host::of_2x();
    let before = host.start_2x();
    let pid = host.pid();
    let script = "
        const { NodesockdClient } = require(process.argv[1]);
        (async () => {
          const client = new NodesockdClient('run/nodesockd.ipc');
          await client.run();
          const states = async () => (await client.getStatus()).workers.map(({ state }) => state).join();
          await client.restartWorkers({ suspended: true });
          console.log(await states());
          await client.resumeWorkers();
          console.log(await states());
          await client.sendAppMessage('note', 7);
          console.log((await client.sendAppRequest('messages')).map(({ data }) => JSON.stringify(data)).join());
          await client.terminateDaemon();
          client.terminate();
        })();";
    let mut command = Command::new("node");
    command.args(["-e", script]).arg(program::root().join("node/lib/client.js"));
    cli::in_folder(&mut command, host.app.folder());
    let output = cli::spawn(&mut command).finish();
    let notes = r#"[["note",7]],[["note",7]]"#;
    assert_eq!(
        output.stdout.lines().collect::<Vec<_>>(),
        ["suspended,suspended", "online,online", notes],
        "{output}"
    );
    assert!(before.iter().all(|row| Process::of(row.pid).is_none()));
    wait::until("the daemon is gone", || Process::of(pid).is_none());
}

#[test]
fn process_that_claims_to_be_a_worker_is_told_to_go_and_nothing_else() {
    let app = App::new().workers(1);
    let daemon = app.start();
    let before = daemon.status();
    let connection = app.connect();
    let claims = json!({
        "type": "online",
        "data": { "id": before.slot(0).id, "pid": before.slot(0).pid, "suspended": false },
    });
    connection.send(format!("{claims}\n").as_bytes()).unwrap();
    daemon.until_logged("a process speaks as a worker and is not believed: the worker is another process");

    // Nobody has this id: as under 2.x, it is told to shut down.
    let mut connection = app.connect();
    let claims = json!({
        "type": "online",
        "data": { "id": "b0f4c9f6-8b1d-4c1a-9d69-7a3c5d1e2f00", "pid": std::process::id(), "suspended": false },
    });
    connection.send(format!("{claims}\n").as_bytes()).unwrap();
    assert_eq!(connection.receive().unwrap()["type"], "shutdown");
    assert_eq!(daemon.status().workers, before.workers);
    daemon.process().signal(Signal::SIGTERM);
}
