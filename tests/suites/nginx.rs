//! nginx in front, requests all the time, and every one of them accounted for.
//!
//! Where nothing may fail, nginx is told to try no other server (`proxy_next_upstream off`): it would hide what is lost.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

use std::time::Instant;

use nix::sys::signal::Signal;
use nodesockd_tests::load::{Ledger, Method};
use nodesockd_tests::nginx::{KEEPALIVE_TIMEOUT, Nginx};
use nodesockd_tests::{App, Daemon, Load, Status, Upstream, app, cli, http, until};
use serde_json::{Value, json};

/// As many as keep two cores busy and leave something for new workers to boot with.
const CLIENTS: usize = 8;

/// An app that echoes numbers, and is told how long nginx keeps connections.
fn echo() -> App {
    let milliseconds = (KEEPALIVE_TIMEOUT * 1000).to_string();
    App::new().script("echo.js").env("UPSTREAM_KEEP_ALIVE", &milliseconds)
}

/// The same on a framework.
fn on(framework: &str) -> App {
    echo().workers(2).package(framework).env("INTEGRATION", framework)
}

/// Runs a command that has to succeed.
fn run(app: &App, args: &[&str]) {
    let output = app.cli(args);
    assert_eq!(output.code, 0, "{args:?}: {output}");
}

/// Asks a worker something over the daemon.
fn ask(app: &App, request: &str, workers: &str) -> Value {
    let data = json!({ "request": request, "workers": workers });
    let mut reply = app.connect().request("send-app-req", &data);
    assert!(reply.errors.is_empty(), "{reply:?}");
    reply.parts[0]["data"].take()
}

fn assert_lossless(ledger: &Ledger, nginx: &Nginx, daemon: &Daemon) {
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());
}

/// Everything that an operator does on a working day, and one worker that breaks. Nothing may be lost.
fn a_working_day(mut app: App, upstream: impl FnOnce(Upstream) -> Upstream) {
    let daemon = app.start();
    let nginx = upstream(Upstream::of(&app, 2)).next("off").start();
    let load = Load::start(&nginx.front(), CLIENTS);
    let mut seen: Vec<String> = Vec::new();
    let mut see = |status: &Status| {
        load.flows();
        let fresh: Vec<String> = (0..2).map(|slot| status.slot(slot).id.clone()).collect();
        assert!(fresh.iter().all(|id| !seen.contains(id)), "{fresh:?} are not all new: {seen:?}");
        seen.extend(fresh);
    };
    see(&daemon.status());

    for _ in 0..5 {
        run(&app, &["restart"]);
        see(&daemon.settled());
    }

    run(&app, &["restart", "--suspended"]);
    // From here on nobody answers: at most what was on its way back may still arrive.
    let answered = load.answered();
    let suspended = daemon.status();
    assert!(suspended.workers.iter().all(|worker| worker.state == "suspended"), "{suspended:#?}");
    let waiting = http::ask(&nginx.front(), "/4711").unwrap();
    assert!(load.answered() <= answered + CLIENTS as u64, "requests were answered while suspended");
    run(&app, &["resume"]);
    assert_eq!(waiting.answer().unwrap().json()["number"], "4711");
    see(&daemon.settled());

    let before = daemon.status();
    ask(&app, "break", "0");
    daemon.until("the broken worker is replaced", |status| {
        status.is_settled() && status.slot(0).id != before.slot(0).id
    });
    load.flows();

    app.change("env.RELEASE", "two");
    app.save();
    run(&app, &["reload"]);
    let status = daemon.until("the new configuration is in force", |status| {
        status.is_settled() && status.workers.iter().all(|worker| worker.id != before.slot(1).id)
    });
    see(&status);
    for slot in 0..2 {
        assert_eq!(http::get(&app.link(slot), "/1").json()["release"], "two");
    }

    let ledger = load.finish();
    assert_lossless(&ledger, &nginx, &daemon);
    assert!(seen.iter().all(|id| ledger.answered.contains_key(id)), "{seen:#?}: {:#?}", ledger.answered);
}

#[test]
fn working_day_loses_nothing() {
    a_working_day(echo().workers(2), |upstream| upstream);
}

#[test]
fn working_day_loses_nothing_with_upstream_keep_alive() {
    a_working_day(echo().workers(2), |upstream| upstream.keepalive(16));
}

#[test]
fn working_day_loses_nothing_with_an_app_for_2x() {
    a_working_day(echo().workers(2).env("INTEGRATION", "by hand"), |upstream| upstream);
}

#[test]
fn working_day_loses_nothing_with_express() {
    a_working_day(on("express"), |upstream| upstream.keepalive(16));
}

#[test]
fn working_day_loses_nothing_with_koa() {
    a_working_day(on("koa"), |upstream| upstream.keepalive(16));
}

#[test]
fn working_day_loses_nothing_with_fastify() {
    a_working_day(on("fastify"), |upstream| upstream.keepalive(16));
}

#[test]
fn working_day_loses_nothing_with_daemon_held_sockets() {
    a_working_day(echo().workers(2).set("options.listen", "daemon"), |upstream| upstream.keepalive(16));
}

#[test]
fn working_day_loses_nothing_with_standbys() {
    a_working_day(echo().workers(2).standby(1), |upstream| upstream.keepalive(16));
}

#[test]
fn restarts_without_netlink_lose_nothing() {
    let app = echo().workers(2);
    let daemon = app.launch().through(&app::python("without_netlink.py")).start();
    daemon.until_logged("accept queues are read from /proc/self/net/unix");
    let nginx = Upstream::of(&app, 2).next("off").start();
    let load = Load::start(&nginx.front(), CLIENTS);
    for _ in 0..5 {
        load.flows();
        run(&app, &["restart"]);
    }
    load.flows();
    assert_lossless(&load.finish(), &nginx, &daemon);
}

#[test]
fn rollback_hands_held_requests_to_the_old_release() {
    let app = echo().workers(2);
    let daemon = app.start();
    let nginx = Upstream::of(&app, 2).next("error timeout http_503 non_idempotent").start();
    let load = Load::start(&nginx.front(), CLIENTS);
    load.flows();
    run(&app, &["restart", "--suspended"]);
    let waiting = http::ask(&nginx.front(), "/4711").unwrap();
    run(&app, &["restart"]);
    assert_eq!(waiting.answer().unwrap().json()["number"], "4711");
    load.flows();
    assert_lossless(&load.finish(), &nginx, &daemon);
}

#[test]
fn scaling_loses_nothing() {
    let app = echo().workers(2);
    let daemon = app.start();
    // nginx lists all slots that there will ever be, and goes on to the next where a link is missing.
    let nginx = Upstream::of(&app, 4).start();
    let load = Load::start(&nginx.front(), CLIENTS);
    for count in [4, 1, 3, 2] {
        run(&app, &["set-workers", &count.to_string()]);
        let status = daemon.until("the slots are as asked for", |status| {
            status.is_settled() && status.workers.len() == count
        });
        assert_eq!(app.link(3).exists(), count == 4, "{status:#?}");
        load.flows();
    }
    assert_lossless(&load.finish(), &nginx, &daemon);
}

#[test]
fn killed_worker_loses_begun_requests_only() {
    const HELD: usize = 8;
    let app = echo().standby(1);
    let daemon = app.start();
    let before = daemon.settled();
    let nginx = Upstream::of(&app, 1).next("off").start();
    let held: Vec<_> = (0..HELD).map(|_| http::ask(&nginx.front(), "/hold").unwrap()).collect();
    until("the worker has begun all requests", || ask(&app, "held", "0") == HELD);

    before.slot(0).process().signal(Signal::SIGKILL);
    let after = daemon.until("the standby serves", |status| {
        status.workers.iter().any(|worker| worker.idx == Some(0) && worker.id == before.standbys()[0].id)
    });
    let load = Load::start(&nginx.front(), CLIENTS);
    for request in held {
        assert_eq!(request.answer().unwrap().status, 502);
    }
    load.flows();
    daemon.settled();
    let ledger = load.finish();
    assert_lossless(&ledger, &nginx, &daemon);
    assert_eq!(ledger.answered.keys().collect::<Vec<_>>(), [&after.slot(0).id]);
}

/// A worker's end, as seen from outside: each moment is a little later than what it tells of.
struct End {
    /// Its last thread had ended, and so what it listened on was closed.
    gone: Instant,
    /// The link named another worker.
    swapped: Instant,
}

/// Kills the worker of slot 0 some times under load. `check` gets the ledger of each time, when what happened, and what to
/// say if something is wrong.
fn kills_under_load(app: &App, upstream: &Upstream, check: impl Fn(&Ledger, &End, &str)) {
    let daemon = app.start();
    let nginx = upstream.start();
    for _ in 0..3 {
        let before = daemon.settled();
        let load = Load::start(&nginx.front(), CLIENTS);
        load.flows();
        let link = std::fs::read_link(app.link(0)).unwrap();
        let process = before.slot(0).process();
        process.signal(Signal::SIGKILL);
        until("the worker is gone", || !process.is_alive());
        let gone = Instant::now();
        until("the link names another worker", || {
            std::fs::read_link(app.link(0)).is_ok_and(|target| target != link)
        });
        let end = End { gone, swapped: Instant::now() };
        load.flows();
        daemon.settled();
        let ledger = load.finish();
        check(&ledger, &end, &format!("{ledger}{}{}", nginx.log(), daemon.log()));
    }
}

#[test]
fn no_request_fails_after_standby_takeover() {
    for keepalive in [false, true] {
        let app = echo().standby(1);
        let upstream = Upstream::of(&app, 1).next("off");
        let upstream = if keepalive { upstream.keepalive(16) } else { upstream };
        kills_under_load(&app, &upstream, |ledger, end, story| {
            assert!(ledger.failures.iter().all(|failure| failure.sent < end.swapped), "{story}");
        });
    }
}

#[test]
fn other_slot_answers_while_worker_is_dead() {
    let app = echo().workers(2);
    // A GET that was begun is tried again, and so is every request that could not even be sent. A process closes what it
    // has one by one when it is killed: as long as it listens, a POST can still be lost in it.
    kills_under_load(&app, &Upstream::of(&app, 2), |ledger, end, story| {
        assert_eq!(ledger.failed(Method::Get).count(), 0, "{story}");
        assert!(ledger.failures.iter().all(|failure| failure.sent < end.gone), "{story}");
    });
}

#[test]
fn stop_answers_begun_requests_and_start_serves_again() {
    let app = echo().workers(2);
    let daemon = app.start();
    let nginx = Upstream::of(&app, 2).next("off").start();
    let load = Load::start(&nginx.front(), CLIENTS);
    load.flows();
    assert_lossless(&load.finish(), &nginx, &daemon);

    let held = http::ask(&nginx.front(), "/hold").unwrap();
    until("a worker has begun the request", || (0..2).any(|slot| ask(&app, "held", &slot.to_string()) == 1));
    let stop = cli::spawn(&mut cli::command(app.folder(), &["stop"]));
    daemon.until("the slots are given up", |status| {
        status.workers.iter().all(|worker| worker.state == "terminating")
    });
    let selector =
        daemon.status().workers.iter().map(|worker| worker.id.clone()).collect::<Vec<_>>().join(",");
    ask(&app, "release", &selector);
    assert_eq!(held.answer().unwrap().json()["number"], "hold");
    assert_eq!(stop.finish().code, 0);
    assert_eq!(http::get(&nginx.front(), "/1").status, 502);

    run(&app, &["start"]);
    let load = Load::start(&nginx.front(), CLIENTS);
    load.flows();
    assert_lossless(&load.finish(), &nginx, &daemon);
}
