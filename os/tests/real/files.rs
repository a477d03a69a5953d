//! Links and sockets in `tmpDir`, and the queues behind them.

use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};

use nodesockd_core::backend::Backend as _;
use nodesockd_core::config::Symlinks::{Absolute, Relative};
use nodesockd_core::event::Queue;

use crate::harness::{Harness, dead_socket, pattern};

#[tokio::test]
async fn link_is_swapped_and_withdrawn() {
    let mut harness = Harness::new();
    let link = harness.path("app.0.sock");
    harness.backend.publish("app.0.sock", "a", Relative).unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some("a"));
    symlink("stale", harness.path(".app.0.sock.new")).unwrap();
    harness.backend.publish("app.0.sock", "b", Absolute).unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), harness.path("b"));
    assert!(!harness.path(".app.0.sock.new").is_symlink());
    harness.backend.withdraw("app.0.sock").unwrap();
    harness.backend.withdraw("app.0.sock").unwrap();
    assert!(!link.is_symlink());
}

/// Somebody connects through the link all the time while it is swapped 2000 times, and is never turned away.
#[tokio::test]
async fn link_exists_at_every_moment_of_a_swap() {
    let mut harness = Harness::new();
    let serve = |name: &str| {
        let listener = UnixListener::bind(harness.path(name)).unwrap();
        std::thread::spawn(move || {
            while listener.accept().is_ok_and(|(peer, _)| peer.set_nonblocking(true).is_ok()) {}
        })
    };
    let _listeners = [serve("a"), serve("b")];
    harness.backend.publish("app.0.sock", "a", Relative).unwrap();
    let link = harness.path("app.0.sock");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut connected = 0u64;
            while !done.load(Ordering::Relaxed) || connected == 0 {
                UnixStream::connect(&link).map(drop).unwrap();
                connected += 1;
            }
        });
        for round in 0..2000 {
            let socket = if round % 2 == 0 { "b" } else { "a" };
            harness.backend.publish("app.0.sock", socket, Relative).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        client.join().unwrap();
    });
}

#[tokio::test]
async fn foreign_files_are_never_replaced_or_removed() {
    let mut harness = Harness::new();
    let file = harness.path("app.0.sock");
    std::fs::write(&file, "precious").unwrap();
    for failure in [
        harness.backend.publish("app.0.sock", "a", Relative).unwrap_err(),
        harness.backend.withdraw("app.0.sock").unwrap_err(),
    ] {
        assert_eq!(failure.0, format!("`{}` is in the way: it is no symlink; remove it", file.display()));
    }
    symlink("app.0.sock", harness.path("s")).unwrap();
    for name in ["app.0.sock", "s"] {
        let failure = harness.backend.remove(name).unwrap_err().0;
        assert!(failure.ends_with("is in the way: it is no socket; remove it"), "{failure}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert!(!harness.path(".app.0.sock.new").is_symlink());
    harness.backend.remove("never-there").unwrap();
}

#[tokio::test]
async fn replaced_tmp_dir_is_reopened() {
    let mut harness = Harness::with(|config| {
        config.tmp_dir.push("tmp");
        config.socket_dir.push("tmp");
        std::fs::create_dir(&config.tmp_dir).unwrap();
    });
    let tmp = harness.path("tmp");
    std::fs::remove_dir_all(&tmp).unwrap();
    let failure = harness.backend.publish("app.0.sock", "a", Relative).unwrap_err().0;
    assert!(failure.starts_with("cannot use the folder `") && failure.contains("No such file"), "{failure}");
    std::fs::create_dir(&tmp).unwrap();
    harness.backend.publish("app.0.sock", "a", Relative).unwrap();
    assert!(tmp.join("app.0.sock").is_symlink());
}

/// A crash left links and sockets; beside them are things that live, and things that are none of ours.
#[tokio::test]
async fn sweep_removes_only_dead_files_of_ours() {
    let mut harness = Harness::new();
    let (dead, living, regular) = (harness.worker(), harness.worker(), harness.worker());
    let socket = |worker| pattern().socket(worker);
    for name in [&socket(dead), "app.x.sock", "app.5.sock"] {
        dead_socket(&harness.path(name));
    }
    std::fs::write(harness.path(&socket(regular)), "").unwrap();
    let listener = UnixListener::bind(harness.path(&socket(living))).unwrap();
    symlink(socket(dead), harness.path("app.0.sock")).unwrap();
    symlink(socket(living), harness.path("app.1.sock")).unwrap();
    symlink("nowhere", harness.path("app.2.sock")).unwrap();
    symlink(socket(living), harness.path(".app.3.sock.new")).unwrap();
    symlink("nowhere", harness.path("other.0.sock")).unwrap();
    assert_eq!(harness.backend.sweep(&pattern()), Ok(4));
    for gone in [&socket(dead), "app.0.sock", "app.2.sock", ".app.3.sock.new"] {
        assert!(!harness.path(gone).is_symlink() && !harness.path(gone).exists(), "{gone}");
    }
    for kept in [&socket(living), &socket(regular), "app.1.sock", "app.5.sock", "app.x.sock", "nodesockd.ipc"]
    {
        assert!(harness.path(kept).exists(), "{kept}");
    }
    assert!(harness.path("other.0.sock").is_symlink());
    assert_eq!(harness.backend.sweep(&pattern()), Ok(0));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the sweep connected to a living worker");
}

#[tokio::test]
async fn queue_length_counts_waiting_connections() {
    let mut harness = Harness::new();
    let worker = harness.worker();
    let socket = pattern().socket(worker);
    assert_eq!(harness.backend.measure_queue(worker, &socket), Queue::Closed);
    let listener = UnixListener::bind(harness.path(&socket)).unwrap();
    harness.backend.publish("app.0.sock", &socket, Relative).unwrap();
    assert_eq!(harness.backend.measure_queue(worker, &socket), Queue::Length(0));
    let clients: Vec<_> = (0..3).map(|_| UnixStream::connect(harness.path("app.0.sock")).unwrap()).collect();
    let accepted = listener.accept().unwrap();
    assert_eq!(harness.backend.measure_queue(worker, &socket), Queue::Length(2));

    // The file goes, and another takes its name: it is the first socket that was asked about.
    std::fs::remove_file(harness.path(&socket)).unwrap();
    assert_eq!(harness.backend.measure_queue(worker, &socket), Queue::Length(2));
    let other = UnixListener::bind(harness.path(&socket)).unwrap();
    assert_eq!(harness.backend.measure_queue(worker, &socket), Queue::Length(2));
    drop(listener);
    // A process that another test is just starting has it open, too, for a moment.
    while harness.backend.measure_queue(worker, &socket) != Queue::Closed {
        tokio::task::yield_now().await;
    }
    harness.backend.remove(&socket).unwrap();
    drop((other, accepted, clients));
}
