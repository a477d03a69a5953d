//! Workers of a 2.x daemon: found when a daemon starts, or reporting later.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use nodesockd_core::Event;
use nodesockd_core::backend::Backend;
use nodesockd_core::event::{Caller, ExitStatus};
use nodesockd_core::id::{SlotIndex, WorkerId};
use nodesockd_core::state::FoundLink;
use nodesockd_core::wire::{Claim, FromWorker};

use crate::harness::{Harness, config};

/// A process that is ended with the test.
struct Left(Child);

impl Drop for Left {
    fn drop(&mut self) {
        let _ = self.0.kill();
        // The backend of another test may have collected it, as one that a worker left.
        let _ = self.0.wait();
    }
}

/// Reports as a detached worker does.
const REPORTS: &str = "
    const socket = require('net').connect(process.argv[1]);
    const data = { id: process.env.NODESOCKD_WORKER_ID, pid: process.pid, suspended: false };
    socket.write(JSON.stringify({ type: 'online', data }) + '\\n');
    socket.resume();";

/// What a 2.x daemon gives a worker.
fn environment(harness: &Harness, worker: WorkerId, socket: &str) -> Vec<(&'static str, String)> {
    vec![
        ("PATH", std::env::var("PATH").unwrap()),
        ("NODESOCKD_WORKER_ID", worker.to_string()),
        ("NODESOCKD_SOCKET_PATH", harness.path(socket).to_str().unwrap().to_owned()),
    ]
}

/// Starts a program that leads a session, as workers of a 2.x daemon do.
fn leader(argv: &[&str], environment: Vec<(&str, String)>) -> Left {
    run(argv[0], Command::new("setsid").args(argv), environment)
}

/// Returns when the process has become `program`, which is the last thing that `setsid` does.
fn run(program: &str, command: &mut Command, environment: Vec<(&str, String)>) -> Left {
    let left = Left(command.env_clear().envs(environment).stdin(Stdio::null()).spawn().unwrap());
    let ready = format!("/proc/{}/cmdline", left.0.id());
    while !std::fs::read_to_string(&ready).unwrap().starts_with(program) {
        std::thread::yield_now();
    }
    left
}

const SLEEP: [&str; 2] = ["sleep", "1000"];

#[tokio::test]
async fn workers_of_a_killed_2x_daemon_are_found_by_their_sockets() {
    let mut harness = Harness::new();
    let [worker, child, stranger, ours] = std::array::from_fn(|_| harness.worker());
    let socket = |worker: WorkerId| format!("app.{worker}.sock");
    let left = leader(&SLEEP, environment(&harness, worker, &socket(worker)));
    // None of these is one: it leads no group, its socket is not its own, or it belongs to another control socket.
    let _child =
        run("sleep", Command::new("sleep").arg("1000"), environment(&harness, child, &socket(child)));
    let _stranger = leader(&SLEEP, environment(&harness, stranger, &socket(worker)));
    let mut variables = environment(&harness, ours, &socket(ours));
    variables.push(("NODESOCKD_IPC_PATH", "/another.ipc".into()));
    let _ours = leader(&SLEEP, variables);

    let found = harness.backend.find_leftovers(&config(harness.folder.path()));
    let found: Vec<_> = found.survivors.iter().map(|found| (found.id, found.process.pid)).collect();
    assert_eq!(found, [(worker, left.0.id())]);
    drop(left);
    assert_eq!(harness.exit(worker).await, ExitStatus::Unknown);
}

#[tokio::test]
async fn folder_may_be_reached_by_another_way() {
    let mut harness = Harness::new();
    let worker = harness.worker();
    let away = tempfile::tempdir().unwrap();
    symlink(harness.folder.path(), away.path().join("current")).unwrap();
    let mut variables = environment(&harness, worker, "");
    let socket = away.path().join(format!("current/app.{worker}.sock"));
    variables.retain(|(name, _)| *name != "NODESOCKD_SOCKET_PATH");
    variables.push(("NODESOCKD_SOCKET_PATH", socket.to_str().unwrap().to_owned()));
    let _left = leader(&SLEEP, variables);
    assert_eq!(harness.backend.find_leftovers(&config(harness.folder.path())).survivors.len(), 1);
}

#[tokio::test]
async fn kernel_says_who_reports() {
    let mut harness = Harness::new();
    let worker = harness.worker();
    let socket = format!("app.{worker}.sock");
    let _listener = UnixListener::bind(harness.path(&socket)).unwrap();
    symlink(format!("./{socket}"), harness.path("app.1.sock")).unwrap();
    let ipc = harness.path("nodesockd.ipc");
    let argv = ["node", "-e", REPORTS, ipc.to_str().unwrap(), "1000"];
    let left = leader(&argv, environment(&harness, worker, &socket));
    let pid = left.0.id();
    let (caller, claims, message) = harness
        .until(|event| match event {
            Event::Claimed { caller, claims, message, .. } => {
                Some((caller.clone().unwrap(), *claims, message.clone()))
            }
            _ => None,
        })
        .await;
    let process = caller.process;
    assert_eq!(
        caller,
        Caller {
            process,
            own_user: true,
            leads: true,
            family: Vec::new(),
            worker: Some(worker),
            link: Some(FoundLink { slot: SlotIndex(1), name: "app.1.sock".into(), socket: socket.clone() }),
            socket: Some(socket),
        }
    );
    assert_eq!(process.pid, pid);
    assert_eq!(claims, Some(Claim { worker, pid: Some(pid) }));
    assert_eq!(
        message,
        FromWorker::Online { pid: Some(pid), suspended: false, heartbeat: false, leads: None, counts: None }
    );

    harness.backend.watch(worker, process);
    drop(left);
    assert_eq!(harness.exit(worker).await, ExitStatus::Unknown);
    // It is gone already.
    let another = harness.worker();
    harness.backend.watch(another, process);
    assert_eq!(harness.exit(another).await, ExitStatus::Unknown);
}
