//! Service managers, monitoring and scripts that start the daemon and look at it.

use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sys::signal::Signal;
use nodesockd_tests::http::{self, Port, ask_port};
use nodesockd_tests::{App, cli};

/// Pids of processes whose title is exactly this.
fn titled(title: &str) -> Vec<u32> {
    let output = Command::new("pgrep").args(["-f", "-x", title]).output().unwrap();
    let pids = String::from_utf8(output.stdout).unwrap();
    pids.lines().map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn monitoring_finds_the_daemon_by_its_title() {
    // A name that is nobody else's, and longer than the command line.
    let name =
        format!("shop-{}-with-a-name-that-is-longer-than-any-command-line-of-ours", std::process::id());
    let mut app = App::new().set("name", name.as_str());
    let mut daemon = app.start();
    assert_eq!(titled(&format!("{name} daemon")), [daemon.pid()]);
    assert_eq!(daemon.process().status("Name"), "nodesockd", "`pgrep nodesockd` finds it, too");

    let renamed = format!("{name}-2");
    app.change("name", renamed.as_str());
    app.save();
    assert_eq!(app.cli(&["reload"]).code, 0);
    assert_eq!(titled(&format!("{renamed} daemon")), [daemon.pid()]);
    assert_eq!(titled(&format!("{name} daemon")), [0; 0]);
    assert_eq!(daemon.quit(), Some(0));
}

/// An address of this machine that is not of the loopback interface, if it has one. Nothing is sent.
fn outside_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn the_dev_server_is_reached_from_outside_if_it_is_given_an_address() {
    let port = Port::claim();
    let everywhere = format!("0.0.0.0:{}", port.number);
    let app = App::new().set("devServer", everywhere.as_str());
    let daemon = app.start();
    daemon.until_logged(&format!("dev server: http://{everywhere}"));
    let pid = ask_port(port.number, "/").unwrap().answer().unwrap().json()["pid"].clone();
    assert_eq!(pid, daemon.status().slot(0).process().pid);
    if let Some(address) = outside_address() {
        TcpStream::connect((address, port.number)).unwrap();
    }
    drop(daemon);

    let here = i64::from(port.number);
    let app = App::new().set("devServer", here);
    let _daemon = app.start();
    ask_port(port.number, "/").unwrap();
    if let Some(address) = outside_address() {
        assert!(TcpStream::connect((address, port.number)).is_err(), "a port alone is for this machine only");
    }
}

#[test]
fn the_command_line_gives_the_dev_server_an_address() {
    let port = Port::claim();
    let app = App::new();
    let address = format!("127.0.0.1:{}", port.number);
    let daemon = app.launch().arg(&format!("--devServer={address}")).start();
    daemon.until_logged(&format!("dev server: http://{address}"));
    ask_port(port.number, "/").unwrap();
    drop(daemon);
    app.save();
    let output = app.cli(&["daemon", "-d", "example.org:80"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("an address and a port such as 0.0.0.0:8000"), "{output}");
}

#[test]
fn an_address_that_no_interface_has_is_said_and_the_app_runs() {
    let port = Port::claim();
    let app = App::new().set("devServer", format!("192.0.2.1:{}", port.number).as_str());
    let daemon = app.start();
    daemon.until_logged("set `devServer` to an address of this machine, or to 0.0.0.0");
    assert_eq!(http::get(&app.link(0), "/").status, 200);
}

#[test]
fn an_app_that_cannot_start_does_not_end_the_daemon() {
    let app = App::new().script("fails.js");
    let mut daemon = app.launch().spawn();
    daemon.until("the start has failed", |status| status.vacant.iter().any(|slot| slot.failures > 0));
    assert!(!daemon.has_ended());
    assert_eq!(daemon.quit(), Some(0));
}

#[test]
fn a_daemon_that_is_asked_to_go_exits_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let app = App::new();
        let mut daemon = app.start();
        daemon.signal(signal);
        assert_eq!(daemon.ended().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_folder_in_which_others_can_write_is_refused_and_check_says_so() {
    let app = App::new();
    app.save();
    std::fs::set_permissions(app.run(), PermissionsExt::from_mode(0o777)).unwrap();
    let output = app.cli(&["daemon"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stderr.contains("others may create and rename files in it"), "{output}");
    let output = app.cli(&["check"]);
    assert_eq!(output.code, 3, "{output}");
    assert!(output.stdout.contains("✗ `tmpDir`"), "{output}");
}

#[test]
fn files_that_are_none_of_ours_are_not_overwritten_and_check_says_so() {
    let app = App::new();
    app.save();
    std::fs::write(app.link(0), "precious").unwrap();
    let output = app.cli(&["check"]);
    assert_eq!(output.code, 3, "{output}");
    assert!(output.stdout.contains("app.0.sock is in the way"), "{output}");
    let daemon = app.launch().spawn();
    daemon.until_logged("is in the way: it is no symlink; remove it");
    assert_eq!(std::fs::read_to_string(app.link(0)).unwrap(), "precious");
    drop(daemon);

    for left in [app.link(0), app.ipc()] {
        std::fs::remove_file(left).unwrap();
    }
    std::fs::write(app.ipc(), "precious").unwrap();
    let output = app.cli(&["check"]);
    assert_eq!(output.code, 3, "{output}");
    assert!(output.stdout.contains("nodesockd.ipc is in the way"), "{output}");
    assert_eq!(app.cli(&["daemon"]).code, 1);
    assert_eq!(std::fs::read_to_string(app.ipc()).unwrap(), "precious");
}

#[test]
fn workers_get_a_few_variables_more_and_a_group_of_their_own() {
    let app = App::new();
    let daemon = app.launch().env("TZ", "Asia/Tokyo").env("SECRET", "1").start();
    let worker = daemon.status().slot(0).process();
    let environment = worker.environment();
    assert!(environment.contains(&"TZ=Asia/Tokyo".to_owned()), "{environment:?}");
    assert!(!environment.iter().any(|variable| variable.starts_with("SECRET=")), "{environment:?}");
    assert_eq!(worker.group(), worker.pid);
}

#[test]
fn links_hold_the_name_of_the_socket_alone() {
    let app = App::new();
    let daemon = app.start();
    let id = daemon.status().slot(0).id.clone();
    assert_eq!(std::fs::read_link(app.link(0)).unwrap().to_str(), Some(format!("app.{id}.sock").as_str()));
}

#[test]
fn three_files_are_kept_beside_the_control_socket() {
    let app = App::new();
    let _daemon = app.start();
    for ending in ["lock", "state", "workers"] {
        assert!(app.path(&format!("run/nodesockd.ipc.{ending}")).is_file(), "{ending}");
    }
    assert_eq!(app.leftovers(), [""; 0]);
}

#[test]
fn a_time_out_is_given_in_minutes() {
    let app = App::new();
    let _daemon = app.start();
    let output = cli::run(app.folder(), &["restart", "--timeout", "5m"]);
    assert_eq!(output.code, 0, "{output}");
}
