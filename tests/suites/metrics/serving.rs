//! Who asks, by which way, and what if nobody can.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use nodesockd_tests::http::{self, Port};
use nodesockd_tests::prometheus::Numbers;
use nodesockd_tests::{App, until};

use super::measured;

#[test]
fn a_command_and_a_unix_socket_tell_the_same() {
    let app = App::new().workers(2).standby(1).set("metrics", "metrics.sock");
    let daemon = app.start();
    assert_eq!(http::get(&app.link(0), "/").status, 200);
    let socket = app.run().join("metrics.sock");
    let answer = || http::get(&socket, "/metrics");
    let seen = || Numbers::parse(&answer().body).unwrap();
    until("the request is counted", || seen().sum("nodesockd_requests_total", &[("class", "2xx")]) >= 1.0);
    let printed = app.cli(&["metrics"]);
    assert_eq!(printed.code, 0, "{printed}");
    let printed = Numbers::parse(&printed.stdout).unwrap();
    for numbers in [printed, seen()] {
        assert_eq!(numbers.sum("nodesockd_workers", &[("state", "online")]), 2.0);
        assert_eq!(numbers.sum("nodesockd_workers", &[("state", "suspended")]), 1.0);
        assert_eq!(numbers.sum("nodesockd_worker_starts_total", &[]), 3.0);
        assert!(numbers.sum("nodesockd_worker_resident_memory_bytes", &[]) > 1e6);
        assert!(numbers.sum("nodesockd_worker_open_fds", &[]) > 1.0);
        assert!(numbers.sum("nodesockd_worker_heap_used_bytes", &[("slot", "1")]) > 0.0);
        assert!(numbers.sum("process_resident_memory_bytes", &[]) > 1e6);
        assert_eq!(numbers.sum("nodesockd_slot_accept_queue", &[]), 0.0);
    }
    let json = app.cli(&["metrics", "--json"]).json();
    assert_eq!((&json["started"], &json["wanted"]), (&3.into(), &2.into()));
    assert_eq!(http::get(&socket, "/").status, 404);
    drop(daemon);
}

#[test]
fn a_reload_has_running_workers_count_and_stop_counting() {
    let port = Port::claim();
    let mut app = App::new();
    let daemon = app.start();
    let worker = daemon.status().slot(0).id.clone();
    assert_eq!(http::get(&app.link(0), "/").status, 200);
    app = measured(app, &port);
    app.save();
    assert_eq!(app.cli(&["reload"]).code, 0);
    until("metrics are served", || Numbers::scraped(port.number).is_ok());
    let requests = || Numbers::scraped(port.number).unwrap().sum("nodesockd_requests_total", &[]);
    until("requests are counted from then on", || {
        assert_eq!(http::get(&app.link(0), "/").status, 200);
        requests() > 0.0
    });
    app = app.unset("metrics");
    app.save();
    assert_eq!(app.cli(&["reload"]).code, 0);
    daemon.until_so("nobody listens any more", || Numbers::scraped(port.number).is_err());
    assert_eq!(daemon.status().slot(0).id, worker, "no worker had to be replaced");
}

#[test]
fn a_port_in_use_is_said_and_taken_when_it_is_free() {
    let port = Port::claim();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number)).unwrap();
    let app = measured(App::new(), &port);
    let daemon = app.start();
    daemon.until_logged("metrics are not served, everything else goes on");
    assert_eq!(http::get(&app.link(0), "/").status, 200);
    drop(other);
    daemon.until_logged("metrics are served at");
    assert!(Numbers::scraped(port.number).is_ok());
}

#[test]
fn silent_clients_hold_nobody() {
    let port = Port::claim();
    let app = measured(App::new(), &port);
    let daemon = app.start();
    let silent: Vec<TcpStream> =
        (0..40).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)).unwrap()).collect();
    assert_eq!(app.cli(&["status"]).code, 0);
    let open = daemon.process().descriptors().len();
    assert!(open < 40, "{open} descriptors are open: all who are silent are served at once");
    assert_eq!(app.cli(&["restart"]).code, 0);
    drop(silent);
    until("a scrape is answered", || Numbers::scraped(port.number).is_ok());
}

#[test]
fn what_was_told_does_not_fall_whoever_dies() {
    let port = Port::claim();
    let app = measured(App::new().workers(2), &port);
    let mut daemon = app.start();
    for slot in 0..2 {
        for _ in 0..5 {
            assert_eq!(http::get(&app.link(slot), "/").status, 200);
        }
    }
    let scraped = || Numbers::scraped(port.number).unwrap();
    until("requests are counted", || scraped().sum("nodesockd_requests_total", &[]) == 10.0);
    let before = scraped();
    let dies = daemon.status().slot(0).process();
    daemon.die();
    dies.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.take_place(app.launch());
    until("metrics are served", || Numbers::scraped(port.number).is_ok());
    let fallen = scraped().fallen_since(&before);
    assert!(fallen.is_empty(), "{fallen:#?}");
    daemon.settled();
    let after = scraped();
    assert_eq!(after.sum("nodesockd_requests_total", &[]), 10.0);
    assert_eq!(after.sum("nodesockd_worker_deaths_total", &[("reason", "unseen")]), 1.0);
    assert_eq!(after.sum("nodesockd_worker_starts_total", &[]), 3.0);
}
