//! Socket files of workers that somebody removes: the worker runs, and nobody can connect to it.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Daemon, Worker, http};

/// An app whose workers bind their sockets, or whose daemon does.
fn apps() -> [App; 2] {
    let app = || App::new().workers(2).standby(1);
    [app(), app().set("options.listen", "daemon")]
}

/// The socket behind a slot's link.
fn socket_of(app: &App, slot: u32) -> PathBuf {
    app.run().join(fs::read_link(app.link(slot)).unwrap())
}

/// Waits until every slot is served by a worker that can be reached.
fn served(app: &App, daemon: &Daemon) {
    daemon.until_so("every slot is served", || {
        (0..2).all(|slot| http::try_get(&app.link(slot), "/").is_ok_and(|answer| answer.status == 200))
    });
}

#[test]
fn a_worker_whose_socket_is_removed_is_replaced() {
    for app in apps() {
        let daemon = app.start();
        let before = daemon.settled().slot(0).process().pid;
        let socket = socket_of(&app, 0);
        fs::remove_file(&socket).unwrap();
        served(&app, &daemon);
        let after = daemon.until("the worker is replaced", |status| {
            status.is_settled() && status.slot(0).pid != Some(before) && status.standbys().len() == 1
        });
        assert_ne!(after.slot(0).pid, Some(before));
        assert!(!socket.exists());
        let restart = app.cli(&["restart"]);
        assert_eq!(restart.code, 0, "{restart}");
        served(&app, &daemon);
    }
}

#[test]
fn a_standby_whose_socket_is_removed_is_not_promoted() {
    let app = App::new().workers(2).standby(1);
    let daemon = app.start();
    let standby = daemon.settled().standbys()[0].clone();
    let socket = app.run().join(format!("app.{}.sock", standby.id));
    fs::remove_file(socket).unwrap();
    daemon.settled().slot(0).process().signal(Signal::SIGKILL);
    served(&app, &daemon);
    let replaced = |workers: &[Worker]| workers.iter().all(|worker| worker.id != standby.id);
    daemon.until("the standby is replaced", |status| {
        status.is_settled() && status.standbys().len() == 1 && replaced(&status.workers)
    });
    served(&app, &daemon);
}

#[test]
fn all_sockets_at_once_are_made_again() {
    for app in apps() {
        let daemon = app.start();
        let before = daemon.settled().pids();
        for entry in fs::read_dir(app.run()).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if name.ends_with(".sock") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        served(&app, &daemon);
        daemon.until("all workers are replaced", |status| {
            status.is_settled() && status.pids().iter().all(|pid| !before.contains(pid))
        });
        served(&app, &daemon);
        assert_eq!(app.cli(&["terminate"]).code, 0);
    }
}
