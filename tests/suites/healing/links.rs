//! Links that somebody removes, or puts something else in the place of.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use nodesockd_tests::{App, Daemon, Load, Upstream, http, until};

/// Waits until every slot is served through its link again, and says how long that took.
fn served_again(app: &App, what: &str) {
    let begun = Instant::now();
    until("every link leads to a worker again", || {
        (0..2).all(|slot| http::try_get(&app.link(slot), "/").is_ok_and(|answer| answer.status == 200))
    });
    println!("{what}: served again after {:?}", begun.elapsed());
}

/// How often the log says this.
fn times(daemon: &Daemon, what: &str) -> usize {
    daemon.log().matches(what).count()
}

#[test]
fn links_that_are_removed_come_back_under_load() {
    let app = App::new().workers(2).script("echo.js");
    let daemon = app.start();
    let nginx = Upstream::of(&app, 2).start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    for _ in 0..5 {
        (0..2).for_each(|slot| fs::remove_file(app.link(slot)).unwrap());
        daemon.until_so("both links are there", || {
            (0..2).all(|slot| app.link(slot).symlink_metadata().is_ok())
        });
        load.flows();
    }
    let before = daemon.settled().pids();
    let _ = load.finish();
    assert_eq!(daemon.settled().pids(), before, "the workers are the same");
    assert_eq!(times(&daemon, "is gone, perhaps by a cleaner"), 10, "each is told once:\n{}", daemon.log());
}

/// What `systemd-tmpfiles --clean` removes from a folder whose files have aged: everything but sockets that somebody listens on.
#[test]
fn everything_that_a_cleaner_removes_comes_back() {
    let app = App::new().workers(2).standby(1);
    let mut daemon = app.start();
    let before = daemon.settled().pids();
    for entry in fs::read_dir(app.run()).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() || kind.is_file() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    served_again(&app, "links, lock, state and workers' file removed");
    for ending in ["lock", "state"] {
        let path = app.run().join(format!("nodesockd.ipc.{ending}"));
        daemon.until_so("the daemon's own files are there", || path.exists());
    }
    assert_eq!(daemon.settled().pids(), before);

    // A daemon that follows knows all of it.
    daemon.die();
    assert_eq!(daemon.follow(app.launch()).pids(), before);
}

#[test]
fn what_somebody_puts_in_the_place_of_a_link_is_replaced() {
    let app = App::new().workers(2);
    let daemon = app.start();
    symlink("nowhere", app.run().join("other")).unwrap();
    fs::rename(app.run().join("other"), app.link(0)).unwrap();
    served_again(&app, "link replaced by another one");
    daemon.until_logged("something else in the place of the link");
    assert_eq!(times(&daemon, "something else in the place of the link"), 1);
}

#[test]
fn links_of_a_stopped_app_stay_away() {
    let app = App::new().workers(2);
    let daemon = app.start();
    assert_eq!(app.cli(&["stop"]).code, 0);
    assert_eq!(app.cli(&["set-workers", "1"]).code, 0);
    assert_eq!(app.sockets(), ["nodesockd.ipc"]);
    assert_eq!(app.cli(&["start"]).code, 0);
    assert!(app.link(1).symlink_metadata().is_err());
    assert!(!daemon.log().contains("is gone, perhaps"), "its own removals are no losses:\n{}", daemon.log());
}
