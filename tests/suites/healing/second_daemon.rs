//! Whose names are whose: a second daemon that would use the first one's links is refused, whatever was deleted.

use std::fs;

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Daemon, Load, Output, Upstream, cli, wait};

/// Runs a second daemon, which is to be refused: it names the first one's process.
fn refused(app: &App, daemon: &Daemon, args: &[&str]) -> Output {
    let args: Vec<&str> = ["daemon"].iter().chain(args).copied().collect();
    let output = app.cli(&args);
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stderr.contains(&format!("process {}", daemon.pid())), "{output}");
    assert!(!output.stderr.contains("another container"), "{output}");
    output
}

/// Removes what is there, or will be again in a moment.
fn remove(app: &App, names: &[&str]) {
    for name in names {
        let path = app.run().join(name);
        wait::until("the daemon has made its file again", || path.exists());
        fs::remove_file(path).unwrap();
    }
}

const LOCK: &str = "nodesockd.ipc.lock";
const NAMES: &str = ".app.{worker}.sock.lock";

#[test]
fn a_second_daemon_is_refused_although_lock_and_socket_were_deleted() {
    let app = App::new().workers(2).script("echo.js");
    let daemon = app.start();
    let nginx = Upstream::of(&app, 2).start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    let before = daemon.settled().pids();
    for names in [&[LOCK, "nodesockd.ipc"][..], &[LOCK, NAMES, "nodesockd.ipc"]] {
        remove(&app, names);
        refused(&app, &daemon, &[]);
    }
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}", daemon.log());
    assert_eq!(daemon.settled().pids(), before);
}

/// One that is stopped makes nothing again.
#[test]
fn a_stopped_daemon_keeps_its_names_without_any_file() {
    let app = App::new();
    let daemon = app.start();
    daemon.signal(Signal::SIGSTOP);
    remove(&app, &[LOCK, NAMES, "nodesockd.ipc"]);
    let output = refused(&app, &daemon, &[]);
    assert!(output.stderr.contains("tmpDir"), "{output}");
    daemon.signal(Signal::SIGCONT);
    daemon.settled();
}

#[test]
fn a_daemon_with_another_control_socket_cannot_have_the_links_of_the_first() {
    let app = App::new();
    let daemon = app.start();
    let toml = app.read("nodesockd.toml");
    app.write("second.toml", &format!("ipcFile = \"second.ipc\"\n{toml}"));
    let output = refused(&app, &daemon, &["--config", "second.toml"]);
    assert!(output.stderr.contains("nodesockd.ipc") && output.stderr.contains("socketFile"), "{output}");
    daemon.settled();
    assert!(app.link(0).exists());
}

#[test]
fn daemons_with_names_of_their_own_share_a_folder() {
    let app = App::new();
    let daemon = app.start();
    let toml = app.read("nodesockd.toml");
    let names = "ipcFile = \"second.ipc\"\nsocketFile = \"second.{worker}.sock\"\n";
    app.write("second.toml", &format!("{names}{toml}"));
    let second = cli::spawn(&mut cli::command(app.folder(), &["daemon", "--config", "second.toml"]));
    daemon.until_so("the second daemon serves", || app.run().join("second.0.sock").exists());
    // A reload that would take the first one's names is refused as well.
    app.write("second.toml", &format!("ipcFile = \"second.ipc\"\n{toml}"));
    let reload = app.cli(&["reload", "--ipc", app.run().join("second.ipc").to_str().unwrap()]);
    assert_eq!(reload.code, 3, "{reload}");
    assert!(reload.stderr.contains(&format!("process {}", daemon.pid())), "{reload}");
    let ended = app.cli(&["terminate", "--ipc", app.run().join("second.ipc").to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(second.finish().code, 0);
    assert!(app.link(0).exists());
    daemon.settled();
}

#[test]
fn a_client_that_finds_no_socket_names_the_process_that_holds_the_lock() {
    let app = App::new();
    let daemon = app.start();
    daemon.signal(Signal::SIGSTOP);
    fs::remove_file(app.ipc()).unwrap();
    for command in ["status", "terminate"] {
        let output = app.cli(&[command]);
        assert_eq!(output.code, 4, "{output}");
        assert!(output.stderr.contains(&format!("process {}", daemon.pid())), "{output}");
        assert!(!output.stderr.contains("start its service"), "{output}");
    }
    daemon.signal(Signal::SIGCONT);
    daemon.until_so("the control socket is there", || app.cli(&["status"]).code == 0);
}

#[test]
fn names_are_free_when_their_daemon_has_ended() {
    let app = App::new();
    let mut daemon = app.start();
    assert_eq!(app.cli(&["restart", "--upgrade"]).code, 0);
    daemon.die();
    daemon.follow(app.launch());
    assert_eq!(daemon.quit(), Some(0));
    daemon.follow(app.launch());
}
