//! The built-in front server.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use nodesockd_tests::http::{Port, ask_port};
use nodesockd_tests::{App, Daemon};

/// Asks the dev server, as soon as it listens, and waits for the answer.
fn pid(port: u16) -> u64 {
    ask_port(port, "/").unwrap().answer().unwrap().json()["pid"].as_u64().unwrap()
}

fn listening(daemon: &Daemon, port: u16) {
    daemon.until_so("the dev server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

#[test]
fn dev_server_spreads_connections_over_slots() {
    let port = Port::claim();
    let app = App::new().workers(2).set("devServer", i64::from(port.number));
    let daemon = app.start();
    let status = daemon.status();
    let answered: BTreeSet<u64> = (0..8).map(|_| pid(port.number)).collect();
    let expected = status.pids().into_iter().map(u64::from).collect();
    assert_eq!(answered, expected);
}

#[test]
fn command_line_wins_over_configuration() {
    let (configured, wanted) = (Port::claim(), Port::claim());
    let app = App::new().set("devServer", i64::from(configured.number));
    let daemon = app.launch().arg("--dev-server").arg(&wanted.number.to_string()).start();
    assert_eq!(pid(wanted.number), u64::from(daemon.status().slot(0).process().pid));
    assert!(std::net::TcpStream::connect(("127.0.0.1", configured.number)).is_err());
    drop(daemon);

    let _daemon = app.launch().arg("--no-dev-server").start();
    assert!(std::net::TcpStream::connect(("127.0.0.1", configured.number)).is_err());
}

#[test]
fn dev_server_holds_connections_until_a_worker_is_online() {
    let port = Port::claim();
    let app = App::new().script("gated.js").set("devServer", i64::from(port.number));
    let daemon = app.launch().spawn();
    listening(&daemon, port.number);
    let waiting: Vec<_> = (0..5).map(|_| ask_port(port.number, "/").unwrap()).collect();
    app.write("go", "");
    for waiting in waiting {
        assert_eq!(waiting.answer().unwrap().status, 200);
    }
}

#[test]
fn crash_fails_no_later_connection() {
    let port = Port::claim();
    let app = App::new().set("devServer", i64::from(port.number));
    let daemon = app.start();
    let before = daemon.status().slot(0).process();
    before.signal(Signal::SIGKILL);
    daemon.until("its death is noticed", |status| !status.pids().contains(&before.pid));
    let after = pid(port.number);
    assert_ne!(after, u64::from(before.pid));
    assert_eq!(after, u64::from(daemon.settled().slot(0).process().pid));
}

#[test]
fn reload_turns_dev_server_on_and_off() {
    let port = Port::claim();
    let mut app = App::new();
    let daemon = app.start();
    let before = daemon.status();
    app.change("devServer", i64::from(port.number));
    app.save();
    assert_eq!(app.cli(&["reload"]).code, 0);
    listening(&daemon, port.number);
    assert_eq!(pid(port.number), u64::from(before.slot(0).process().pid));
    app.change("devServer", false);
    app.save();
    assert_eq!(app.cli(&["reload"]).code, 0);
    daemon.until_so("it is closed", || std::net::TcpStream::connect(("127.0.0.1", port.number)).is_err());
    assert_eq!(daemon.status().workers, before.workers);
}

#[test]
fn app_runs_although_dev_port_is_taken() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let app = App::new().set("devServer", i64::from(port));
    let daemon = app.start();
    daemon.until_logged(&format!("port {port}"));
    assert_eq!(nodesockd_tests::http::get(&app.link(0), "/").status, 200);
}
