//! What needs a process to itself, because all threads share it: the umask, limits, and signals.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where it fails"
)]

#[expect(dead_code, reason = "these tests need the least of it")]
#[path = "real/harness.rs"]
mod harness;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use harness::{Harness, config, open};
use nodesockd_core::Event;
use nodesockd_core::backend::Backend as _;
use nodesockd_core::event::DaemonSignal;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit, umask};

/// One after the other: they are about the same process.
#[tokio::test]
async fn umask_signals_and_descriptor_limit() {
    control_socket_is_private_under_any_umask();
    daemon_signals_are_reported().await;
    clients_wait_when_descriptors_run_out().await;
}

/// In a folder whose group the files get, too.
fn control_socket_is_private_under_any_umask() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o2750)).unwrap();
    for mask in [0, 0o022, 0o777] {
        let before = umask(Mode::from_raw_mode(mask));
        let backend = open(config(folder.path())).unwrap();
        umask(before);
        let found = std::fs::symlink_metadata(folder.path().join("nodesockd.ipc")).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, 0o600, "umask {mask:o}");
        drop(backend);
        std::fs::remove_file(folder.path().join("nodesockd.ipc.lock")).unwrap();
    }
}

async fn daemon_signals_are_reported() {
    let mut harness = Harness::new();
    for (signal, meaning) in [
        (Signal::USR1, DaemonSignal::User1),
        (Signal::HUP, DaemonSignal::Hangup),
        (Signal::TERM, DaemonSignal::Terminate),
    ] {
        kill_process(getpid(), signal).unwrap();
        harness.until(|event| (*event == Event::Signalled { signal: meaning }).then_some(())).await;
    }
}

/// Without descriptors left, clients wait and workers cannot be started; with some again, all is well.
async fn clients_wait_when_descriptors_run_out() {
    let mut harness = Harness::new();
    let client = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    let order = harness.order(&["true"]);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum: limit.maximum }).unwrap();

    connect(&client, &SocketAddrUnix::new(harness.path("nodesockd.ipc")).unwrap()).unwrap();
    let mut client = std::os::unix::net::UnixStream::from(client);
    client.write_all(b"{\"type\":\"status\",\"id\":\"1\"}\n").unwrap();
    let failure = harness.backend.spawn(&order).unwrap_err().0;
    assert_eq!(failure, "cannot make a worker's channel: Too many open files (os error 24)");
    // One round of the runtime, in which the connection cannot be accepted.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;

    setrlimit(Resource::Nofile, limit).unwrap();
    harness.until(|event| matches!(event, Event::Requested { .. }).then_some(())).await;
    let process = harness.backend.spawn(&order).unwrap();
    harness.exit(order.worker).await;
    harness.backend.reap(order.worker, process).await;
}
