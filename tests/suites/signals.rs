//! Every signal to the daemon that docs/04-setup.md lists.

use nix::sys::signal::Signal;
use nodesockd_tests::{App, http};

#[test]
fn sigterm_and_sigint_quit_gracefully() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let app = App::new().workers(2).standby(1);
        let mut daemon = app.start();
        let workers = daemon.descendants();
        assert_eq!(workers.len(), 3);
        let socket = app.run().join(format!("app.{}.sock", daemon.status().slot(0).id));
        let slow = http::ask(&app.link(0), "/slow").unwrap();
        assert_eq!(http::get(&app.link(0), "/").status, 200, "so the slow request has been accepted as well");

        daemon.signal(signal);
        daemon.until("the other workers are gone", |status| status.workers.len() == 1);
        assert_eq!(http::get(&socket, "/finish").status, 200, "a worker that is being retired still answers");
        assert_eq!(slow.answer().unwrap().status, 200, "what was begun is finished");
        assert_eq!(daemon.ended().code(), Some(0));
        assert!(workers.iter().all(|worker| !worker.is_alive()));
        assert_eq!(app.sockets(), [""; 0]);
    }
}

#[test]
fn daemon_that_has_to_quit_in_time_cuts_what_takes_longer() {
    let app = App::new().set("options.quitTimeout", 6000).set("options.shutdownTimeout", 600_000);
    let mut daemon = app.start();
    let workers = daemon.descendants();
    let slow = http::ask(&app.link(0), "/slow").unwrap();
    assert_eq!(http::get(&app.link(0), "/").status, 200, "so the slow request has been accepted as well");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(slow.answer().is_err(), "nobody has finished it");
    assert!(workers.iter().all(|worker| !worker.is_alive()));
    assert!(daemon.log().contains("(options.quitTimeout), sending SIGTERM"), "{}", daemon.log());
    assert_eq!(app.sockets(), [""; 0]);
}

#[test]
fn second_sigint_kills_workers() {
    let app = App::new().script("stubborn.js");
    let mut daemon = app.start();
    let left = daemon.descendants();
    assert_eq!(left.len(), 2, "the worker and its child");
    daemon.signal(Signal::SIGINT);
    daemon.until("it is quitting", |status| status.operation.is_some());
    assert!(left.iter().all(|process| process.is_alive()));
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(left.iter().all(|process| !process.is_alive()));
    assert_eq!(app.sockets(), [""; 0]);
}

#[test]
fn sighup_reloads() {
    let mut app = App::new().env("GREETING", "hello");
    let daemon = app.start();
    app.change("env.GREETING", "good morning");
    app.save();
    daemon.signal(Signal::SIGHUP);
    let greeting =
        || http::try_get(&app.link(0), "/").is_ok_and(|page| page.json()["greeting"] == "good morning");
    daemon.until_so("the new configuration is in force", greeting);
    let before = daemon.settled();

    app.write("nodesockd.toml", "script = 7\n");
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("the configuration in force stays");
    assert_eq!(daemon.status(), before);
}

#[test]
fn sigusr1_reopens_log_files() {
    let app = App::new().set("options.stdout", "worker.log");
    let daemon = app.start();
    assert_eq!(http::get(&app.link(0), "/say").status, 200);
    daemon.until_so("the worker has spoken", || app.read("worker.log").contains("to stdout"));

    std::fs::rename(app.path("worker.log"), app.path("worker.log.1")).unwrap();
    let before = app.read("worker.log.1");
    daemon.signal(Signal::SIGUSR1);
    daemon.until_so("there is a new file", || app.path("worker.log").exists());
    assert_eq!(app.cli(&["restart"]).code, 0);
    assert_eq!(http::get(&app.link(0), "/say").status, 200);
    daemon.until_so("the new worker writes to the new file", || app.read("worker.log").contains("to stdout"));
    assert_eq!(app.read("worker.log.1"), before);
}

#[test]
fn sigusr2_and_other_signals_end_nothing() {
    let app = App::new();
    let daemon = app.start();
    let before = daemon.status();
    for signal in [Signal::SIGUSR2, Signal::SIGCHLD, Signal::SIGPIPE, Signal::SIGWINCH, Signal::SIGCONT] {
        daemon.signal(signal);
    }
    daemon.until_logged("which is not newer");
    assert_eq!(daemon.status(), before);
}

#[test]
fn signal_storm_changes_nothing() {
    let app = App::new().workers(2).standby(1);
    let mut daemon = app.start();
    let restarting =
        nodesockd_tests::cli::spawn(&mut nodesockd_tests::cli::command(app.folder(), &["restart"]));
    let storm = [
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGCHLD,
        Signal::SIGPIPE,
        Signal::SIGWINCH,
    ];
    for signal in storm.iter().cycle().take(3_000) {
        daemon.signal(*signal);
    }
    let restarted = restarting.finish();
    // A reload may have come first.
    assert!([0, 5].contains(&restarted.code), "{restarted}");
    let status = daemon.settled();
    assert_eq!(status.workers.len(), 3);
    assert_eq!(http::get(&app.link(1), "/").status, 200);
    assert_eq!(daemon.quit(), Some(0));
    assert_eq!(app.sockets(), [""; 0]);
}

#[test]
fn workers_have_default_signal_dispositions() {
    let app = App::new().python("raw.py");
    // HUP by `nohup`; others as a careless service script would.
    let careless = ["env", "--ignore-signal=INT,TERM,CHLD,USR1", "--block-signal=TERM,USR2", "nohup"];
    let mut daemon = app.launch().through(&careless).start();
    let worker = daemon.status().slot(0).process();
    // Signals 1 to 31: the next two belong to the C library.
    let mask = |key: &str| u64::from_str_radix(&worker.status(key), 16).unwrap() & 0x7fff_ffff;
    let by_python = 1 << (Signal::SIGPIPE as u32 - 1) | 1 << (Signal::SIGXFSZ as u32 - 1);
    assert_eq!(mask("SigIgn") & !by_python, 0, "{}", worker.status("SigIgn"));
    assert_eq!(mask("SigBlk"), 0, "{}", worker.status("SigBlk"));
    assert_eq!(daemon.quit(), Some(0), "and the daemon hears them");
}
