//! Workers whose event loop does not turn: behind a real nginx, with real processes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Daemon, Status, Upstream, http};

/// As short as the configuration allows.
const HANG_TIMEOUT: i64 = 1000;

fn app() -> App {
    App::new().set("health.hangTimeout", HANG_TIMEOUT)
}

/// Waits until slot `slot` is served by another worker than before, and everything is there.
fn replaced(daemon: &Daemon, before: &Status, slot: u32) -> Status {
    let id = &before.slot(slot).id;
    daemon.until(&format!("the worker in slot {slot} is replaced"), |status| {
        status.is_settled() && status.workers.iter().all(|worker| worker.id != *id)
    })
}

#[test]
fn stopped_worker_is_replaced_by_the_standby() {
    let app = app().workers(2).standby(1);
    let daemon = app.start();
    let nginx = Upstream::of(&app, 2).next("off").start();
    let before = daemon.status();
    let spare = before.standbys()[0].id.clone();
    let stopped = before.slot(0).process();
    stopped.freeze();
    let after = replaced(&daemon, &before, 0);
    assert_eq!(after.slot(0).id, spare, "the standby takes over{}", daemon.log());
    assert_eq!(after.slot(1), before.slot(1), "nothing was wrong with the other worker");
    daemon.until_logged("it is stopped (SIGSTOP)");
    assert!(!stopped.is_alive(), "SIGKILL ends what SIGTERM does not");
    for _ in 0..4 {
        assert_eq!(http::get(&nginx.front(), "/").status, 200);
    }
}

#[test]
fn looping_request_ends_with_its_worker() {
    let app = app().workers(2);
    let daemon = app.start();
    let nginx = Upstream::of(&app, 2).start();
    let before = daemon.status();
    // nginx sends it to the other worker when the first one is ended: that one loops as well.
    let looping = http::ask(&nginx.front(), "/loop").unwrap();
    let after = replaced(&daemon, &before, 0);
    let after = if after.slot(1).id == before.slot(1).id { replaced(&daemon, &before, 1) } else { after };
    assert_eq!(looping.answer().unwrap().status, 502);
    daemon.until_logged("it loops: state R");
    for slot in 0..2 {
        let page = http::get(&app.link(slot), "/").json();
        assert_eq!(page["pid"], after.slot(slot).process().pid);
    }
    assert!(!daemon.log().contains("sending SIGKILL"), "SIGTERM ends a loop{}", daemon.log());
}

#[test]
fn hung_standby_is_passed_over_and_replaced() {
    let app = app().standby(1);
    let daemon = app.start();
    for _ in 0..3 {
        let before = daemon
            .until("the standby is there", |status| status.is_settled() && status.standbys().len() == 1);
        let standby = before.standbys()[0].clone();
        standby.process().freeze();
        before.slot(0).process().signal(Signal::SIGKILL);
        let served = daemon.until("slot 0 is served", |status| {
            status.workers.iter().any(|worker| worker.idx == Some(0) && worker.state == "online")
        });
        assert_ne!(served.slot(0).id, standby.id, "a hung standby was promoted{}", daemon.log());
        daemon.until("the hung standby is replaced", |status| {
            status.is_settled() && status.workers.iter().all(|worker| worker.id != standby.id)
        });
        assert_eq!(http::get(&app.link(0), "/").status, 200);
    }
}

#[test]
fn worker_that_a_debugger_may_stop_is_not_judged() {
    let app = app().set("nodeArgs", vec!["--inspect=127.0.0.1:0"]);
    let daemon = app.start();
    // It says so when it is asked for the first time, as it is when it is resumed.
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    assert_eq!(app.cli(&["resume"]).code, 0);
    let before = daemon.settled();
    // Several times as long as a worker may be silent.
    assert_eq!(http::get(&app.link(0), "/block?5000").status, 200);
    assert_eq!(daemon.settled().slot(0), before.slot(0), "{}", daemon.log());
}

#[test]
fn hang_timeout_of_zero_lets_workers_be_silent() {
    let app = app().set("health.hangTimeout", 0);
    let daemon = app.start();
    let before = daemon.status();
    assert_eq!(http::get(&app.link(0), "/block?5000").status, 200);
    assert_eq!(daemon.settled().slot(0), before.slot(0), "{}", daemon.log());
}

#[test]
fn suspended_worker_that_hangs_is_replaced_by_a_suspended_one() {
    let app = app();
    let daemon = app.start();
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let before = daemon.settled();
    before.slot(0).process().freeze();
    let after = replaced(&daemon, &before, 0);
    assert_eq!((after.slot(0).state.as_str(), after.suspended), ("suspended", true));
    assert_eq!(app.cli(&["resume"]).code, 0);
    assert_eq!(http::get(&app.link(0), "/").status, 200);
}

#[test]
fn resume_names_the_worker_that_hangs() {
    let app = App::new().workers(2).set("health.hangTimeout", 30_000);
    let daemon = app.start();
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let suspended = daemon.settled();
    let stopped = suspended.slot(0).process();
    stopped.freeze();
    let resume = app.cli(&["resume"]);
    assert_eq!(resume.code, 8, "{resume}");
    let (hung, other) = (&suspended.slot(0).id[31..], &suspended.slot(1).id[31..]);
    assert!(resume.stderr.contains(hung) && !resume.stderr.contains(other), "{resume}");
    assert!(!daemon.status().suspended, "the app is resumed all the same");
    assert_eq!(http::get(&app.link(1), "/").status, 200);
    stopped.signal(Signal::SIGCONT);
    assert_eq!(http::get(&app.link(0), "/").json()["suspended"], false);
    let resume = app.cli(&["resume"]);
    assert_eq!((resume.code, resume.stderr.as_str()), (0, "Resumed: no worker in a slot is suspended.\n"));
}

#[test]
fn resume_names_the_worker_that_a_new_daemon_cannot_reach() {
    let app = App::new();
    let mut daemon = app.start();
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let suspended = daemon.settled();
    let stopped = suspended.slot(0).process();
    daemon.die();
    // Not earlier: the kernel sends SIGHUP to stopped processes whose parent dies.
    stopped.freeze();
    daemon.follow(app.launch());
    let resume = app.cli(&["resume"]);
    assert_eq!(resume.code, 8, "{resume}{}", daemon.log());
    assert!(resume.stderr.contains(&suspended.slot(0).id[31..]), "{resume}");
    assert!(resume.stderr.contains("has not reported to this one"), "{resume}");
    stopped.signal(Signal::SIGCONT);
    daemon.until("the app is served", |status| status.is_settled() && status.slot(0).state == "online");
    assert_eq!(http::get(&app.link(0), "/").json()["suspended"], false);
}

#[test]
fn worker_that_fails_its_checks_is_replaced_without_losing_a_request() {
    let app = App::new().workers(2).standby(1).set("health.path", "/fit").set("health.interval", 200);
    let daemon = app.start();
    let before = daemon.status();
    // Answered with 404, as the page does not exist, once the worker is unfit.
    assert_eq!(http::get(&app.link(0), "/unfit").status, 404);
    let after = daemon.until("slot 0 has another worker", |status| {
        status.vacant.is_empty() && status.slot(0).id != before.slot(0).id
    });
    assert_eq!(after.slot(1), before.slot(1));
    daemon.until_logged("GET /fit failed 3 times in a row (health.path): it was answered with 503");
    daemon.settled();
    assert!(!daemon.log().contains("SIGTERM"), "it is asked to shut down{}", daemon.log());
}

/// An app without our library, whose readiness is that it listens.
fn foreign_app() -> App {
    let app = app().workers(2).without("script").set("options.ready", "listen");
    let source = std::fs::read_to_string(nodesockd_tests::app::fixture("plain.js")).unwrap();
    let loops = "  if (req.url === '/loop') for (;;);\n  let body = '';";
    app.write("foreign.js", &source.replacen("  let body = '';", loops, 1));
    let script = app.path("foreign.js").display().to_string();
    app.set("command", vec!["node".to_owned(), script])
}

#[test]
fn worker_without_the_library_that_is_stopped_is_replaced() {
    let app = foreign_app();
    let daemon = app.start();
    let nginx = Upstream::of(&app, 2).next("off").start();
    let before = daemon.settled();
    let stopped = before.slot(0).process();
    stopped.freeze();
    // Only what waits shows that nothing is taken.
    let waiting = http::ask(&app.link(0), "/1").unwrap();
    replaced(&daemon, &before, 0);
    drop(waiting);
    assert_eq!(daemon.status().slot(1), before.slot(1), "nothing was wrong with the other worker");
    daemon.until_logged("nothing was taken from its accept queue");
    assert!(!stopped.is_alive(), "SIGKILL ends what SIGTERM does not");
    for _ in 0..4 {
        assert_eq!(http::get(&nginx.front(), "/1").status, 200);
    }
}

#[test]
fn worker_without_the_library_that_loops_is_replaced() {
    let app = foreign_app();
    let daemon = app.start();
    let before = daemon.settled();
    let looping = http::ask(&app.link(0), "/loop").unwrap();
    let mut waiting = Vec::new();
    let after = daemon.until("the worker in slot 0 is replaced", |status| {
        // What comes while Node accepts is accepted as well; what comes later waits.
        waiting.extend(http::ask(&app.link(0), "/1"));
        status.is_settled() && status.workers.iter().all(|worker| worker.id != before.slot(0).id)
    });
    assert!(looping.answer().is_err(), "it is lost with its worker");
    daemon.until_logged("it loops: state R");
    assert_eq!(http::get(&app.link(0), "/2").json()["worker"], after.slot(0).id.as_str());
}

/// A server in Python that does one thing at a time.
fn python_app() -> App {
    app().python("inherits.py").set("options.ready", "notify")
}

/// What waits in a socket of the daemon's is answered by the next worker.
#[test]
fn queue_of_a_hung_worker_is_taken_over_where_the_daemon_listens() {
    let app = python_app().set("options.listen", "daemon");
    let daemon = app.start();
    let before = daemon.settled();
    before.slot(0).process().freeze();
    let waiting = http::ask(&app.link(0), "/").unwrap();
    let after = replaced(&daemon, &before, 0);
    let answer = waiting.answer().unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, after.slot(0).process().pid.to_string().as_str())
    );
}

#[test]
fn queue_in_which_something_always_waits_is_no_hang() {
    let app = python_app();
    let daemon = app.start();
    let before = daemon.settled();
    let ask = || http::ask(&app.link(0), "/").unwrap();
    let mut waiting: VecDeque<_> = (0..8).map(|_| ask()).collect();
    let begun = Instant::now();
    // Several times as long as a worker may take nothing.
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(waiting.pop_front().unwrap().answer().unwrap().status, 200);
        waiting.push_back(ask());
    }
    assert_eq!(daemon.settled().slot(0), before.slot(0), "{}", daemon.log());
}
