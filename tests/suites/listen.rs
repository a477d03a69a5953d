//! Sockets that the daemon holds, and workers that know nothing of it, with real processes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nodesockd_tests::http::{self, Answer};
use nodesockd_tests::{App, Connections, Daemon, Load, Upstream, Visitors, until};

/// An app whose sockets the daemon holds.
fn held() -> App {
    App::new().set("options.listen", "daemon")
}

/// Sends so many requests to a slot, and returns when all of them wait.
fn send(app: &App, count: usize) -> Vec<http::Pending<std::os::unix::net::UnixStream>> {
    (0..count).map(|_| http::ask(&app.link(0), "/").unwrap()).collect()
}

fn pid_of(answer: &Answer) -> u32 {
    u32::try_from(answer.json()["pid"].as_u64().unwrap()).unwrap()
}

fn serving(daemon: &Daemon) -> u32 {
    daemon.settled().slot(0).process().pid
}

#[test]
fn rollback_out_of_suspension_loses_no_held_request() {
    let app = held();
    let daemon = app.start();
    for _ in 0..20 {
        assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
        let suspended = serving(&daemon);
        let waiting = send(&app, 64);
        assert_eq!(app.cli(&["restart"]).code, 0);
        let next = serving(&daemon);
        assert_ne!(suspended, next);
        for request in waiting {
            let answer = request.answer().unwrap();
            assert_eq!((answer.status, pid_of(&answer)), (200, next));
        }
    }
}

#[test]
fn queued_requests_survive_the_only_worker() {
    let app = held();
    let daemon = app.start();
    for _ in 0..5 {
        let process = daemon.settled().slot(0).process();
        // It accepts nothing more, but connections still come in.
        process.freeze();
        let waiting = send(&app, 200);
        process.signal(Signal::SIGKILL);
        for request in waiting {
            let answer = request.answer().unwrap();
            assert_eq!(answer.status, 200);
            assert_ne!(pid_of(&answer), process.pid);
        }
    }
}

#[test]
fn kill_under_load_loses_accepted_connections_only() {
    const CLIENTS: usize = 16;
    let app = held().script("echo.js");
    let daemon = app.start();
    let nginx = Upstream::of(&app, 1).next("off").start();
    for _ in 0..5 {
        let load = Load::start(&nginx.front(), CLIENTS);
        load.flows();
        let worker = daemon.settled().slot(0).process();
        // At any moment of its work, which only now can be looked at.
        worker.freeze();
        let mut found = Connections::default();
        until("every client's request is at the socket", || {
            found = Connections::to(&app.link(0));
            found.all() >= CLIENTS
        });
        worker.signal(Signal::SIGKILL);
        load.flows();
        let ledger = load.finish();
        let story = format!("{found:?}: {ledger}{}{}", nginx.log(), daemon.log());
        assert!(ledger.failures.len() <= found.accepted, "{story}");
        assert_eq!(ledger.answered.len(), 2, "the next one answers the rest: {story}");
    }
}

#[test]
fn restarts_under_load_lose_nothing() {
    let app = held().workers(2);
    let daemon = app.start();
    let links = [app.link(0), app.link(1)];
    let visitors = Visitors::start(8, move |user| {
        assert_eq!(http::get(&links[user as usize % 2], "/").status, 200);
    });
    for _ in 0..8 {
        visitors.come();
        assert_eq!(app.cli(&["restart"]).code, 0);
    }
    visitors.come();
    visitors.leave();
    drop(daemon);
}

#[test]
fn standby_takes_over_the_socket_of_any_slot() {
    let app = held().workers(2).standby(1);
    let daemon = app.start();
    let before = daemon.status();
    let spare = before.standbys()[0].process().pid;
    let victim = before.slot(1).process();
    victim.signal(Signal::SIGKILL);
    assert_eq!(pid_of(&http::get(&app.link(1), "/")), spare);
    let after = daemon.settled();
    assert_eq!(after.slot(1).process().pid, spare);

    assert_eq!(app.cli(&["set-workers", "3"]).code, 0);
    let status = daemon.settled();
    let spare = status.standbys()[0].process().pid;
    status.slot(2).process().signal(Signal::SIGKILL);
    assert_eq!(
        pid_of(&http::get(&app.link(2), "/")),
        spare,
        "the spare was replaced by one that has this socket, too"
    );
}

#[test]
fn workers_keep_sockets_of_a_dead_daemon() {
    let app = held().workers(2).standby(1);
    let mut daemon = app.start();
    let before = daemon.status();
    daemon.die();
    let after = daemon.follow(app.launch());
    assert_eq!(after.pids(), before.pids());

    // A spare has the socket as well: it answers what waits.
    let victim = after.slot(1).process();
    victim.freeze();
    let waiting: Vec<_> = (0..50).map(|_| http::ask(&app.link(1), "/").unwrap()).collect();
    victim.signal(Signal::SIGKILL);
    let spare = before.standbys()[0].process().pid;
    for request in waiting {
        assert_eq!(pid_of(&request.answer().unwrap()), spare);
    }

    assert_eq!(app.cli(&["restart"]).code, 0);
    daemon.settled();
    let links: Vec<_> = (0..2).map(|slot| app.link(slot)).collect();
    assert!(links.iter().all(|link| http::get(link, "/").status == 200));
    daemon.until_so("nothing is left of the earlier sockets", || app.sockets().len() == 5);
}

#[test]
fn sockets_are_closed_and_reopened_with_their_slots() {
    let app = held().workers(2);
    let daemon = app.start();
    assert_eq!(app.sockets().len(), 5, "two links, two sockets, the control socket: {:?}", app.sockets());
    assert_eq!(app.cli(&["set-workers", "1"]).code, 0);
    assert_eq!(app.sockets().len(), 3, "{:?}", app.sockets());
    assert_eq!(app.cli(&["stop"]).code, 0);
    assert_eq!(app.sockets(), ["nodesockd.ipc"]);
    assert_eq!(app.cli(&["start"]).code, 0);
    assert_eq!(http::get(&app.link(0), "/").status, 200);
    drop(daemon);
}

#[test]
fn reload_changes_who_owns_the_sockets() {
    let mut app = App::new();
    let daemon = app.start();
    for mode in ["daemon", "worker", "daemon"] {
        app.change("options.listen", mode);
        app.save();
        assert_eq!(app.cli(&["reload"]).code, 0);
        let pid = serving(&daemon);
        assert_eq!(pid_of(&http::get(&app.link(0), "/")), pid);
        assert_eq!(app.sockets().len(), 3, "{mode}: {:?}", app.sockets());
    }
}

/// How many connections the kernel lets wait at a socket that asks for as many as possible.
fn longest_queue() -> usize {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap()
}

#[test]
fn accept_queue_is_as_long_as_the_kernel_allows() {
    let app = held();
    let daemon = app.start();
    let most = longest_queue();
    let process = daemon.status().slot(0).process();
    process.freeze();
    // Node's own backlog would be 511.
    let waiting = send(&app, most.min(700));
    process.signal(Signal::SIGCONT);
    for request in waiting {
        assert_eq!(request.answer().unwrap().status, 200);
    }
}

#[test]
fn accept_queue_of_a_suspended_worker_that_is_full_is_told() {
    let app = held();
    let daemon = app.start();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let most = longest_queue();
    // The kernel takes one more than the backlog.
    let waiting = send(&app, most + 1);
    daemon.until_logged("and no more fit into its accept queue");
    let told = app.cli(&["status", "--json"]).json()["suspension"].clone();
    assert_eq!((told["waiting"].as_u64(), &told["full"][0]), (Some(most as u64 + 1), &0.into()), "{told}");
    let shown = app.cli(&["status"]);
    assert!(shown.stdout.contains("the accept queue of slot 0 is full"), "{shown}");
    assert_eq!(app.cli(&["resume"]).code, 0);
    for request in waiting {
        assert_eq!(request.answer().unwrap().status, 200);
    }
}

#[test]
fn worker_without_library_inherits_the_socket() {
    let app = held().python("inherits.py").set("options.ready", "notify");
    let daemon = app.start();
    let first = serving(&daemon);
    assert_eq!(http::get(&app.link(0), "/").body, first.to_string());
    assert_eq!(app.cli(&["restart"]).code, 0);
    let second = serving(&daemon);
    assert_ne!(first, second);
    assert_eq!(http::get(&app.link(0), "/").body, second.to_string());

    let process = daemon.status().slot(0).process();
    process.freeze();
    let waiting = send(&app, 50);
    process.signal(Signal::SIGKILL);
    for request in waiting {
        assert_ne!(request.answer().unwrap().body, second.to_string());
    }
}

#[test]
fn workers_without_library_become_ready() {
    for ready in ["listen", "notify", "http"] {
        let app = App::new().python("inherits.py").set("options.ready", ready).env("READY_AFTER", "2");
        let daemon = app.start();
        let first = daemon.status().slot(0).process();
        assert_eq!(app.cli(&["restart"]).code, 0, "{ready}");
        assert!(!first.is_alive());
        let answer = http::get(&app.link(0), "/");
        let expected = if ready == "http" { 200 } else { 503 };
        assert_eq!(answer.status, expected, "{ready}: it is asked until it answers with 2xx, or not at all");
        assert_eq!(answer.body, serving(&daemon).to_string());
        assert_eq!(app.cli(&["stop"]).code, 0);
        assert_eq!(app.sockets(), ["nodesockd.ipc"]);
    }
}

#[test]
fn worker_that_is_never_ready_fails_the_start_with_reason() {
    let seen = [
        ("listen", "nobody listens on its socket"),
        ("notify", "it sent no READY=1 to NOTIFY_SOCKET"),
        ("http", "nobody listens on its socket"),
    ];
    for (ready, words) in seen {
        let app =
            App::new().python("unready.py").set("options.ready", ready).set("options.onlineTimeout", 200);
        let daemon = app.launch().spawn();
        daemon.until_logged(words);
    }
    let app = App::new()
        .python("inherits.py")
        .set("options.ready", "http")
        .set("options.readyPath", "/healthy")
        // Time to listen and to be asked: an answer is what it has to fail with.
        .set("options.onlineTimeout", 10_000)
        .env("READY_AFTER", "1000000");
    let daemon = app.launch().spawn();
    daemon.until_logged("it answered GET /healthy with 503 (options.readyPath)");
}

#[test]
fn failed_exec_names_the_program() {
    let app = held().unset("script").set("command", vec!["./app.js"]).set("options.stderr", "worker.log");
    let daemon = app.launch().spawn();
    daemon.until_so("the log says why", || app.read("worker.log").contains("cannot run `./app.js`"));
    daemon.until_logged("exited with status 127");
}
