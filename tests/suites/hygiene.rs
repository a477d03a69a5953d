//! Nothing is left behind, nobody else gets in, and a daemon with nothing to do does nothing.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use nix::unistd::Group;
use nodesockd_tests::{App, Daemon, cli, program, wait};
use serde_json::Value;

/// What could pile up: the daemon's descriptors and children, processes, and files.
#[derive(Debug, PartialEq, Eq)]
struct Footprint {
    descriptors: usize,
    children: usize,
    processes: usize,
    files: usize,
}

fn footprint(app: &App, daemon: &Daemon) -> Footprint {
    let process = daemon.process();
    Footprint {
        descriptors: process.descriptors().len(),
        children: process.children().len(),
        processes: daemon.descendants().len(),
        files: std::fs::read_dir(app.run()).unwrap().count(),
    }
}

#[test]
fn two_hundred_restarts_leave_no_trace() {
    let app = App::new().python("raw.py").standby(1).set("options.stdout", "worker.log");
    let mut daemon = app.start();
    let mut client = app.connect();
    let before = footprint(&app, &daemon);
    let memory = daemon.process().resident();
    for _ in 0..200 {
        let reply = client.request("restart-workers", &Value::Null);
        assert_eq!(reply.errors, [""; 0]);
    }
    daemon.settled();
    daemon.until_so("everything is as before", || footprint(&app, &daemon) == before);
    let growth = daemon.process().resident().saturating_sub(memory);
    assert!(growth < 4096, "{growth} KiB more than before");
    assert_eq!(daemon.quit(), Some(0));
    assert_eq!(app.sockets(), [""; 0]);
}

#[test]
fn daemon_quitting_during_restart_leaves_no_files() {
    let app = App::new().workers(2).standby(1).script("gated.js");
    app.write("go", "");
    let mut daemon = app.start();
    std::fs::remove_file(app.path("go")).unwrap();
    let restart = cli::spawn(&mut cli::command(app.folder(), &["restart"]));
    daemon.until("new workers boot", |status| status.workers.len() == 6);
    assert_eq!(daemon.quit(), Some(0));
    assert_eq!(restart.finish().code, 5);
    assert_eq!(app.sockets(), [""; 0]);
    assert_eq!(daemon.descendants(), []);
}

#[test]
fn other_users_cannot_connect_under_any_umask() {
    let app = App::new();
    std::fs::set_permissions(app.run(), PermissionsExt::from_mode(0o2775)).unwrap();
    let careless = ["sh", "-c", "umask 0; exec \"$@\"", "sh"];
    let daemon = app.launch().through(&careless).start();
    assert_eq!(mode(&app), 0o600);
    let socket = std::fs::read_link(app.link(0)).unwrap();
    assert!(socket.is_relative(), "{}", socket.display());
    let worker = std::fs::metadata(app.link(0)).unwrap();
    assert_eq!(worker.mode() & 0o777, 0o770, "nginx reaches a worker's socket through its group");
    assert_eq!(daemon.status().slot(0).process().status("Umask"), "0007");
}

#[test]
fn ipc_group_may_command_the_daemon() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let group = Group::from_name("daemon").unwrap().expect("a group that every Linux has");
    let app = App::new().set("options.ipcGroup", "daemon");
    let mut daemon = app.start();
    let socket = std::fs::metadata(app.ipc()).unwrap();
    assert_eq!((mode(&app), socket.gid()), (0o660, group.gid.as_raw()));

    // The target folder may be out of reach for others.
    program::copy_to(&app.path("nodesockd"));
    let ask = |groups: &str, command: &str| {
        let mut asking = Command::new("setpriv");
        asking.args(["--reuid=65534", "--regid=65534", groups, "--"]).arg(app.path("nodesockd")).arg(command);
        cli::in_folder(&mut asking, app.folder());
        cli::spawn(&mut asking).finish()
    };
    assert_eq!(ask("--clear-groups", "status").code, 9);
    let member = format!("--groups={}", group.gid);
    assert_eq!(ask(&member, "status").code, 0);
    let ended = ask(&member, "terminate");
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(daemon.ended().code(), Some(0));
}

fn mode(app: &App) -> u32 {
    std::fs::metadata(app.ipc()).unwrap().mode() & 0o7777
}

#[test]
fn idle_daemon_makes_no_system_call() {
    let app = App::new().workers(2).standby(1).set("health.hangTimeout", 0);
    let daemon = app.start();
    daemon.until_so("it has noticed that we hung up", || daemon.process().sleeps());
    // Two seconds are what is measured here, not what is waited for.
    let mut tracer = Command::new("timeout");
    tracer.args(["--signal=INT", "2", "strace", "-f", "-o"]).arg(app.path("trace"));
    tracer.args(["-p", &daemon.pid().to_string()]).stdin(Stdio::null());
    let traced = match tracer.output() {
        Ok(traced) => traced,
        Err(error) => return println!("skipped: strace cannot be run: {error}"),
    };
    let said = String::from_utf8_lossy(&traced.stderr).into_owned();
    if !said.contains("attached") {
        return println!("skipped: this process may not be traced, or there is no strace: {said}");
    }
    // The calls that its threads sleep in were begun before: the one that decides, and the one that writes the log.
    let trace = app.read("trace");
    let calls: Vec<&str> = trace
        .lines()
        .filter(|line| !line.contains("detached") && !line.contains("resuming interrupted"))
        .collect();
    let sleeps = |in_what: &str| calls.iter().filter(|call| call.contains(in_what)).count();
    let (decides, writes) = (sleeps("epoll_wait"), sleeps("FUTEX_WAIT"));
    assert!(decides <= 1 && writes <= 1 && decides + writes == calls.len(), "{trace}");
}

#[test]
fn second_daemon_refuses_and_names_the_first() {
    let app = App::new();
    let daemon = app.start();
    let before = daemon.status();
    let second = app.cli(&["daemon"]);
    assert_eq!(second.code, 1, "{second}");
    assert!(second.stderr.contains(&daemon.pid().to_string()), "{second}");
    assert_eq!(daemon.status(), before);
}

#[test]
fn leftovers_of_a_killed_daemon_are_swept() {
    let app = App::new().workers(2).standby(1);
    let daemon = app.start();
    let left = app.sockets();
    drop(daemon);
    assert_eq!(app.sockets(), left, "it had no chance to clean up");
    std::os::unix::fs::symlink("app.0.sock", app.run().join("precious")).unwrap();

    let again = app.start();
    let mut expected: Vec<String> =
        again.status().workers.iter().map(|worker| format!("app.{}.sock", worker.id)).collect();
    expected.extend(["app.0.sock", "app.1.sock", "nodesockd.ipc", "precious"].map(str::to_owned));
    expected.sort();
    let show = || format!("{:#?}\n{}", app.sockets(), again.log());
    let settled = || (app.sockets() == expected).then_some(());
    wait::found("what is there is in use, or not ours", settled, show);
}
