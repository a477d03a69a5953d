//! The daemon is started again by a loop in a shell, as by any supervisor that does not touch the workers.

use std::time::Duration;

use nodesockd_tests::process::Process;
use nodesockd_tests::{program, wait};

use super::host::{Host, Row};

/// None of these workers runs any more.
fn gone(host: &Host, workers: &[Row]) {
    for worker in workers {
        let gone = || Process::of(worker.pid).is_none().then_some(());
        wait::found("the workers of 2.x are gone", gone, || host.log());
    }
}

#[test]
fn workers_of_a_2x_daemon_that_was_killed_are_adopted() {
    let mut host = Host::configured("options:\n  shutdownTimeout: 1000\n");
    let before = host.supervise();
    let (nginx, load) = host.load();
    host.install_3();
    let daemon = Process::of(host.pid()).unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    let adopted = host.settled();
    let mut expected: Vec<u32> = before.iter().map(|row| row.pid).collect();
    expected.sort_unstable();
    assert_eq!(adopted.pids(), expected, "{}", host.log());
    for row in &before {
        assert_eq!(adopted.slot(row.idx.unwrap().try_into().unwrap()).pid, Some(row.pid));
    }
    load.flows();

    // They cannot be told anything: after the drain, they have the time of `shutdownTimeout` to answer, then SIGTERM ends them.
    host.run(&["restart"]);
    gone(&host, &before);
    host.none_lost(&nginx, load);
    host.nobody_is_left_over();
}

#[test]
fn adopted_worker_that_dies_is_replaced() {
    let mut host = Host::of_2x();
    let before = host.supervise();
    host.install_3();
    Process::of(host.pid()).unwrap().signal(nix::sys::signal::Signal::SIGKILL);
    host.settled();
    Process::of(before[0].pid).unwrap().signal(nix::sys::signal::Signal::SIGKILL);
    host.until("the worker is replaced", |status| {
        let rows = super::host::rows(status);
        (rows.len() == 2 && rows.iter().all(|row| row.state == "online" && row.pid != before[0].pid))
            .then_some(())
    });
    host.nobody_is_left_over();
}

#[test]
fn terminate_ends_a_2x_daemon() {
    let mut host = Host::of_2x();
    let before = host.start_2x();
    let daemon = host.pid();
    host.install_3();
    // The limit is for a daemon that hangs; without that it takes a moment.
    let output = host.run(&["terminate", "--timeout", "50s"]);
    assert!(output.stderr.contains("Terminated"), "{output}");
    assert!(Process::of(daemon).is_none(), "the daemon still runs");
    gone(&host, &before);
}

#[test]
fn restart_upgrade_says_that_no_daemon_has_come() {
    let mut host = Host::of_2x();
    let before = host.start_2x();
    let daemon = host.pid();
    host.install_3();
    let output = host.app.cli(&["restart", "--upgrade", "--timeout", "5s"]);
    assert_eq!(output.code, 8, "{output}");
    wait::until("the 2.x daemon has left", || Process::of(daemon).is_none());
    // Its workers serve on, and report as soon as somebody starts a daemon.
    assert!(before.iter().all(|row| Process::of(row.pid).is_some()));
    let daemon = nodesockd_tests::daemon::Launch::new(host.app.folder(), &host.app.ipc()).spawn();
    let adopted = host.settled();
    assert_eq!(adopted.pids().len(), before.len());
    assert!(before.iter().all(|row| adopted.pids().contains(&row.pid)), "{adopted:#?}");
    host.run(&["restart"]);
    gone(&host, &before);
    assert_eq!(host.settled().version, version());
    host.run(&["terminate"]);
    drop(daemon);
}

fn version() -> String {
    let output = std::process::Command::new(program::nodesockd()).arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().trim_start_matches("nodesockd ").to_owned()
}

/// As many change-overs as `NODESOCKD_CHANGEOVERS` says, for the figures in `bench/README.md`.
#[test]
fn restart_upgrade_under_a_plain_loop_loses_no_request() {
    let count = super::count();
    let (mut sent, mut slowest) = (0, Duration::ZERO);
    for _ in 0..count {
        let mut host = Host::of_2x();
        let before = host.supervise();
        let (nginx, load) = host.load();
        host.install_3();
        let output = host.run(&["restart", "--upgrade"]);
        assert!(output.stderr.contains("The daemon leaves its workers to its successor."), "{output}");
        let after = host.settled();
        assert!(after.pids().iter().all(|pid| before.iter().all(|row| row.pid != *pid)), "{after:#?}");
        gone(&host, &before);
        let ledger = host.none_lost(&nginx, load);
        host.nobody_is_left_over();

        // The workers of 2.x served until the new ones did, and were told to go: they have no handler for SIGTERM.
        assert!(ledger.answered.len() >= 4, "{:#?}", ledger.answered);
        assert!(!host.log().contains("sending SIGTERM"), "{}", host.log());
        assert_eq!(host.log().matches("worker adopted").count(), 2, "{}", host.log());
        sent += ledger.sent;
        slowest = slowest.max(ledger.latency(1.0));
    }
    println!("a loop: {}", super::figures(count, sent, slowest));
}
