//! The daemon's own files, and its folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use nodesockd_tests::{App, http};

#[test]
fn the_control_socket_comes_back_and_connections_go_on() {
    let app = App::new();
    let daemon = app.start();
    let mut before = daemon.connect();
    for _ in 0..5 {
        let begun = Instant::now();
        fs::remove_file(app.ipc()).unwrap();
        daemon.until_so("the control socket is there", || daemon.try_status().is_some());
        println!("control socket removed: back after {:?}", begun.elapsed());
        assert_eq!(app.cli(&["status"]).code, 0);
    }
    assert!(before.status().is_some(), "a connection that was made before goes on");
    let mode = fs::metadata(app.ipc()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(app.cli(&["terminate"]).code, 0);
    assert!(!app.ipc().exists(), "the last of them is removed at the end");
}

#[test]
fn the_socket_of_metrics_comes_back_wherever_it_is() {
    for folder in ["run", "elsewhere"] {
        let app = App::new();
        let _ = fs::create_dir(app.path(folder));
        let socket = app.path(folder).join("metrics.sock");
        let app = app.set("metrics", socket.display().to_string());
        let daemon = app.start();
        let answers = || http::try_get(&socket, "/metrics").is_ok_and(|answer| answer.status == 200);
        daemon.until_so("metrics are served", answers);
        for _ in 0..3 {
            let begun = Instant::now();
            fs::remove_file(&socket).unwrap();
            daemon.until_so("metrics are served again", answers);
            println!("socket of metrics removed: back after {:?}", begun.elapsed());
        }
        daemon.until_logged("the metrics socket is there again");
        assert_eq!(app.cli(&["terminate"]).code, 0);
        assert!(!socket.exists(), "the last of them is removed at the end");
    }
}

#[test]
fn the_lock_comes_back_and_keeps_others_away() {
    let app = App::new();
    let daemon = app.start();
    let lock = app.run().join("nodesockd.ipc.lock");
    fs::remove_file(&lock).unwrap();
    daemon.until_so("the lock is there", || lock.exists());
    let second = app.cli(&["daemon"]);
    assert_eq!(second.code, 1, "{second}");
    assert!(second.stderr.contains(&format!("process {}", daemon.pid())), "{second}");
}

#[test]
fn the_state_file_is_written_again() {
    let app = App::new().workers(2);
    let mut daemon = app.start();
    let before = daemon.settled().pids();
    let state = app.run().join("nodesockd.ipc.state");
    for _ in 0..3 {
        fs::remove_file(&state).unwrap();
        daemon.until_so("the state file is there", || state.exists());
    }
    daemon.die();
    assert_eq!(daemon.follow(app.launch()).pids(), before, "the next daemon knows the workers");
}

#[test]
fn a_folder_that_is_moved_away_is_made_again_with_all_that_was_in_it() {
    let app = App::new().workers(2).standby(1);
    fs::set_permissions(app.run(), PermissionsExt::from_mode(0o2750)).unwrap();
    let daemon = app.start();
    let before = daemon.settled().pids();
    let begun = Instant::now();
    fs::rename(app.run(), app.path("away")).unwrap();
    daemon
        .until_so("both slots are served", || (0..2).all(|slot| http::try_get(&app.link(slot), "/").is_ok()));
    println!("tmpDir moved away: both slots served again after {:?}", begun.elapsed());
    let after = daemon.settled();
    assert!(after.pids().iter().all(|pid| !before.contains(pid)), "no old worker could be reached");
    assert_eq!(fs::metadata(app.run()).unwrap().permissions().mode() & 0o7777, 0o2750);
    assert_eq!(app.cli(&["terminate"]).code, 0);
}

#[test]
fn a_folder_that_somebody_removes_and_makes_again_is_used() {
    let app = App::new().workers(2);
    let daemon = app.start();
    // The daemon puts back what is missing at once, so that a folder may not be empty when it is to be removed.
    while app.run().exists() && fs::remove_dir_all(app.run()).is_err() {}
    let _ = fs::create_dir(app.run());
    daemon
        .until_so("both slots are served", || (0..2).all(|slot| http::try_get(&app.link(slot), "/").is_ok()));
    daemon.settled();
    assert_eq!(app.cli(&["restart"]).code, 0);
    assert_eq!(app.cli(&["terminate"]).code, 0);
}
