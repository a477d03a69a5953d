//! Workers whose own process is a wrapper: `npm start`, a shell. Behind a real nginx, under load.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

use std::os::unix::fs::PermissionsExt;

use nodesockd_tests::{App, Daemon, Load, Process, Upstream, app, http};

const CLIENTS: usize = 8;

/// The ways in which an app is started by something that does not serve itself.
const WRAPPERS: [&[&str]; 2] = [&["npm", "start"], &["sh", "-c", "node app.js; true"]];

/// An app that is started by `words`.
fn wrapped(fixture: &str, words: &[&str]) -> App {
    let app = App::new().script(fixture).without("script").set("command", words.to_vec()).workers(2);
    app.write("package.json", r#"{ "name": "wrapped", "scripts": { "start": "node app.js" } }"#);
    app
}

fn restart(app: &App) {
    let output = app.cli(&["restart"]);
    assert_eq!(output.code, 0, "{output}");
}

/// Restarts the app under load a few times, and loses nothing.
fn restarts_lose_nothing(app: &App, daemon: &Daemon, times: usize) {
    let nginx = Upstream::of(app, 2).next("off").start();
    let load = Load::start(&nginx.front(), CLIENTS);
    for _ in 0..times {
        load.flows();
        restart(app);
    }
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());
}

#[test]
fn sigterm_reaches_the_app_behind_a_wrapper() {
    for words in WRAPPERS {
        let app = wrapped("plain.js", words).set("options.ready", "http");
        let daemon = app.start();
        restarts_lose_nothing(&app, &daemon, 3);
        assert_eq!(app.read("terminated").lines().count(), 6, "{words:?}: {}", daemon.log());
        let own: Vec<u32> = daemon.status().workers.iter().map(|worker| worker.process().pid).collect();
        daemon.until_so("nothing of the old workers is left", || {
            let groups = |process: &Process| own.contains(&process.group());
            daemon.descendants().iter().all(groups)
        });
    }
}

#[test]
fn daemon_stops_with_the_app_behind_a_wrapper() {
    let app = wrapped("plain.js", WRAPPERS[1]).set("options.ready", "listen");
    let mut daemon = app.start();
    assert_eq!(daemon.quit(), Some(0), "{}", daemon.log());
    assert_eq!(app.read("terminated").lines().count(), 2, "{}", daemon.log());
    assert_eq!(daemon.descendants().len(), 0);
}

#[test]
fn inherited_socket_does_not_make_the_shell_a_server() {
    let [python, script] = app::python("inherited.py");
    let line = format!("{python} {script}; true");
    let app = wrapped("web.js", &["sh", "-c", &line])
        .set("options.listen", "daemon")
        .set("options.ready", "notify");
    let daemon = app.start();
    restarts_lose_nothing(&app, &daemon, 3);
    assert_eq!(app.read("terminated").lines().count(), 6, "{}", daemon.log());
}

#[test]
fn library_app_behind_npm_serves_and_obeys() {
    serves_and_obeys(&wrapped("echo.js", WRAPPERS[0]));
}

#[test]
fn library_app_behind_a_shim_of_node_serves_and_obeys() {
    for listen in ["worker", "daemon"] {
        let app = App::new().script("echo.js").workers(2).set("node", "./shim").set("options.listen", listen);
        app.write("shim", "#!/bin/sh\nnode \"$@\"\nexit $?\n");
        std::fs::set_permissions(app.path("shim"), std::fs::Permissions::from_mode(0o755)).unwrap();
        serves_and_obeys(&app);
    }
}

/// It loses nothing in restarts, waits while it is suspended, and speaks to the next daemon.
fn serves_and_obeys(app: &App) {
    let mut daemon = app.start();
    restarts_lose_nothing(app, &daemon, 2);
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let waiting = http::ask(&app.link(0), "/4711").unwrap();
    assert_eq!(app.cli(&["resume"]).code, 0);
    assert_eq!(waiting.answer().unwrap().json()["number"], "4711");

    // The next daemon knows who speaks for it.
    let before = daemon.settled();
    daemon.die();
    let after = daemon.follow(app.launch());
    let ids = |status: &nodesockd_tests::Status| -> Vec<String> {
        status.workers.iter().map(|worker| worker.id.clone()).collect()
    };
    assert_eq!(ids(&before), ids(&after));
    restarts_lose_nothing(app, &daemon, 1);
    assert!(!daemon.log().contains("not believed"), "{}", daemon.log());
}

#[test]
fn status_says_who_was_not_believed() {
    // It has left the worker's process group, its parent has ended, and it does not have the worker's channel.
    let words = ["sh", "-c", "(env -u NODE_CHANNEL_FD setsid node app.js &); exec sleep 600"];
    let app = wrapped("echo.js", &words).set("options.onlineTimeout", 3000).workers(1);
    let daemon = app.launch().spawn();
    let status = daemon.until("the worker has failed", |status| {
        status
            .vacant
            .iter()
            .any(|slot| slot.reason.as_deref().is_some_and(|reason| reason.contains("believed")))
    });
    let reason = status.vacant[0].reason.clone().unwrap();
    assert!(reason.contains("reported in its name and is not believed"), "{reason}");
}

#[test]
fn killed_jobs_are_named_and_detached_ones_are_spared() {
    let line = "setsid sleep 1001 & NODESOCKD_DETACHED=1 setsid sleep 1002 & exec node app.js";
    let app = wrapped("plain.js", &["sh", "-c", line]).set("options.ready", "http").workers(1);
    let daemon = app.start();
    let sleeping = |seconds: &str| {
        let words = ["sleep", seconds].map(str::to_owned);
        daemon.descendants().into_iter().filter(|process| process.words() == words).collect::<Vec<_>>()
    };
    let before = daemon.settled();
    daemon.until_so("both jobs run", || sleeping("1001").len() == 1 && sleeping("1002").len() == 1);
    let (job, detached) = (sleeping("1001")[0], sleeping("1002")[0]);
    restart(&app);
    daemon.until("the old worker is gone", |status| {
        status.is_settled() && status.workers.iter().all(|worker| worker.id != before.slot(0).id)
    });
    assert!(!job.is_alive() && detached.is_alive(), "{}", daemon.log());
    let named = format!("started and left behind: process {} `sleep`", job.pid);
    assert!(daemon.log().contains(&named), "{}", daemon.log());

    // The next daemon leaves it alone as well.
    let mut daemon = daemon;
    daemon.die();
    daemon.follow(app.launch());
    restart(&app);
    assert!(detached.is_alive(), "{}", daemon.log());
}
