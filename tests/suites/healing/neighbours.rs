//! Links without a worker of their own, behind a real nginx.

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Load, Upstream};

#[test]
fn neighbour_serves_behind_the_link_of_a_worker_that_was_killed() {
    let app = App::new().script("echo.js").workers(2);
    let daemon = app.start();
    // As a proxy that does not try another server.
    let nginx = Upstream::of(&app, 1).start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    // Whoever is started now never gets ready.
    app.deploy("hangs.js");
    let (first, second) = (daemon.status().slot(0).process(), daemon.status().slot(1).id.clone());
    first.signal(Signal::SIGKILL);
    daemon.until("the neighbour serves both slots", |status| {
        status.vacant.iter().any(|slot| slot.served_by.as_ref() == Some(&second))
    });
    let served = std::time::Instant::now();
    load.flows();
    app.deploy("echo.js");
    // The one that hangs goes, and the link comes home.
    daemon.status().workers.iter().filter(|worker| worker.state == "running").for_each(|worker| {
        worker.process().signal(Signal::SIGKILL);
    });
    daemon.until("slot 0 has a worker of its own", |status| status.is_settled() && status.vacant.is_empty());
    load.flows();
    let ledger = load.finish();
    let late: Vec<_> = ledger.failures.iter().filter(|failure| failure.sent > served).collect();
    assert!(late.is_empty(), "{ledger}");
    println!("lost when the worker was killed: {}", ledger.failures.len());
}

#[test]
fn daemon_s_sockets_lose_no_request_that_the_dead_worker_had_not_begun() {
    let clients = 4;
    let app = App::new().script("echo.js").workers(2).set("options.listen", "daemon");
    let daemon = app.start();
    let nginx = Upstream::of(&app, 1).start();
    let load = Load::start(&nginx.front(), clients);
    for _ in 0..3 {
        load.flows();
        let before = daemon.status().slot(0).clone();
        before.process().signal(Signal::SIGKILL);
        daemon.until("slot 0 has another worker", |status| {
            status.is_settled() && status.vacant.is_empty() && status.slot(0).id != before.id
        });
    }
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.len() <= 3 * clients, "each client has one request under way: {ledger}");
}

#[test]
fn workers_come_and_go_within_the_links_that_nginx_lists() {
    let app = App::new().script("echo.js").workers(2).set("slots", 4);
    let daemon = app.start();
    let nginx = Upstream::of(&app, 4).start();
    let load = Load::start(&nginx.front(), 4);
    for count in ["4", "1", "3", "2"] {
        load.flows();
        let changed = app.cli(&["set-workers", count]);
        assert_eq!(changed.code, 0, "{changed}");
        let links = (0..4).filter(|slot| std::os::unix::net::UnixStream::connect(app.link(*slot)).is_ok());
        assert_eq!(links.count(), 4, "every link leads to somebody with {count} workers");
    }
    load.flows();
    assert_eq!(app.cli(&["restart"]).code, 0);
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}");
    let refused = app.cli(&["set-workers", "5"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("raise `slots`"), "{refused}");
    assert_eq!(daemon.status().spare.len(), 2);
}
