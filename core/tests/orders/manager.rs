//! What the service manager hears, as `systemctl status` shows it and its time-outs count on it.

use std::time::Duration;

use nodesockd_core::event::{DaemonSignal, ExitStatus, Failure};
use nodesockd_core::id::BootId;
use nodesockd_core::notice::Manager;
use nodesockd_core::supervisor::{Daemon, Terminal};
use nodesockd_core::wire::{Request, StartOptions, ToWorker};
use nodesockd_core::{Action, Event, Supervisor};

use super::desk::{Desk, config, restart};

const SYSTEMD: Manager = Manager { watchdog: None };

const MORE_TIME: &str = "EXTEND_TIMEOUT_USEC=30000000";

fn desk(keys: &str) -> Desk {
    Desk::under(Some(SYSTEMD), keys)
}

fn up(keys: &str) -> Desk {
    let mut desk = desk(keys);
    desk.all_online();
    desk.orders.clear();
    desk
}

/// What it has heard since this was asked last.
fn heard(desk: &mut Desk) -> Vec<String> {
    let notice = |action: Action| match action {
        Action::Notify(notice) => Some(notice.to_string()),
        _ => None,
    };
    std::mem::take(&mut desk.orders).into_iter().filter_map(notice).collect()
}

#[test]
fn the_daemon_is_ready_when_every_slot_is_served_and_never_again() {
    let mut desk = desk("workers = 2\nstandby = 1");
    assert_eq!(heard(&mut desk), ["STATUS=0 of 2 slots are served", MORE_TIME]);
    desk.online(desk.worker(1));
    assert_eq!(heard(&mut desk), ["STATUS=1 of 2 slots are served"]);
    // Spare workers are not waited for.
    desk.online(desk.worker(0));
    assert_eq!(heard(&mut desk), ["READY=1", "STATUS=2 slots are served"]);
    desk.exit(desk.worker(0));
    assert_eq!(heard(&mut desk), ["STATUS=1 of 2 slots are served; slot 0: it exited with status 1"]);
    desk.all_online();
    assert_eq!(heard(&mut desk), ["STATUS=2 slots are served"]);

    let mut desk = up("");
    desk.breaks(0);
    assert!(!heard(&mut desk).concat().contains("STATUS=0"), "a broken worker serves still");

    let mut desk = up("");
    assert_eq!(heard(&mut desk), [""; 0]);
    desk.ask("s", Request::Stop);
    assert_eq!(heard(&mut desk).last().map(String::as_str), Some("STATUS=stopped"));
    desk.ask("start", Request::Start(StartOptions { suspended: true, ..StartOptions::default() }));
    assert_eq!(heard(&mut desk), ["STATUS=stopped; a start is in progress"]);
    desk.all_online();
    assert_eq!(heard(&mut desk).last().map(String::as_str), Some("STATUS=1 slot is served, suspended"));
}

#[test]
fn a_reload_is_over_when_the_daemon_is_ready_again() {
    let mut desk = up("");
    desk.pass(Duration::from_secs(3));
    desk.config = config("nodeArgs = ['-v']");
    desk.ask("r", Request::Reload);
    let reloading = [
        "RELOADING=1\nMONOTONIC_USEC=3000000",
        "STATUS=1 slot is served; a reload is in progress",
        MORE_TIME,
    ];
    assert_eq!(heard(&mut desk), reloading);
    desk.all_online();
    assert_eq!(heard(&mut desk), ["READY=1", "STATUS=1 slot is served"]);

    // Other things that are asked for are nothing that it waits for.
    desk.ask("restart", restart(StartOptions::default()));
    assert_eq!(heard(&mut desk), ["STATUS=1 slot is served; a restart is in progress"]);
}

#[test]
fn a_quit_counts_the_workers_that_have_to_finish() {
    let mut desk = up("workers = 2");
    desk.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    assert_eq!(heard(&mut desk), ["STOPPING=1", "STATUS=quitting: 2 workers have to finish", MORE_TIME]);
    desk.hear(Event::Exited { worker: desk.worker(0), status: ExitStatus::Code(0) });
    assert_eq!(heard(&mut desk), ["STATUS=quitting: 1 worker has to finish"]);
    desk.hear(Event::Exited { worker: desk.worker(1), status: ExitStatus::Code(0) });
    assert_eq!(heard(&mut desk), ["STATUS=quitting"]);
}

/// From the nth worker on, all have failed so often that the next one has to wait, and has done so for 29 s.
fn hold_back(desk: &mut Desk, nth: usize) {
    for nth in nth..nth + 12 {
        desk.exit(desk.worker(nth));
        desk.pass(Duration::from_secs(30));
    }
    desk.exit(desk.worker(nth + 12));
    desk.orders.clear();
    desk.pass(Duration::from_secs(29));
}

#[test]
fn more_time_is_asked_for_while_something_comes_of_it() {
    let asked = |desk: &mut Desk| heard(desk).iter().filter(|notice| *notice == MORE_TIME).count();
    let second = Duration::from_secs(1);

    // A worker boots, and may take long.
    let mut starting = desk("[options]\nonlineTimeout = 60000");
    assert_eq!(asked(&mut starting), 1);
    starting.pass(second * 9);
    assert_eq!(asked(&mut starting), 0);
    starting.pass(second);
    assert_eq!(asked(&mut starting), 1);
    starting.pass(second * 20);
    assert_eq!(asked(&mut starting), 2);
    starting.all_online();
    starting.pass(second * 60);
    assert_eq!(asked(&mut starting), 0);

    // Nothing comes while workers that fail at once are held back, if none serves.
    let mut failing = desk("[options]\nonlineTimeout = 60000");
    hold_back(&mut failing, 0);
    assert_eq!(asked(&mut failing), 0);

    // One slot is served while the worker of the other is held back.
    let mut half = desk("workers = 2\n[options]\nonlineTimeout = 60000");
    half.online(half.worker(0));
    hold_back(&mut half, 1);
    assert!((2..=3).contains(&asked(&mut half)));

    let mut quitting = up("");
    quitting.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    quitting.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    assert_eq!(asked(&mut quitting), 1);
    quitting.pass(second * 10);
    assert_eq!(asked(&mut quitting), 1);
}

#[test]
fn the_watchdog_hears_from_the_daemon_twice_as_often_as_it_wants_to() {
    let mut desk = Desk::under(Some(Manager { watchdog: Some(Duration::from_secs(10)) }), "");
    desk.all_online();
    let alive = |desk: &mut Desk| heard(desk).iter().filter(|notice| *notice == "WATCHDOG=1").count();
    assert_eq!(alive(&mut desk), 0);
    desk.pass(Duration::from_millis(4999));
    assert_eq!(alive(&mut desk), 0);
    desk.pass(Duration::from_millis(1));
    assert_eq!(alive(&mut desk), 1);
    desk.pass(Duration::from_secs(60));
    assert_eq!(alive(&mut desk), 12);
    // A machine that slept has nothing to make up for.
    desk.stand_still(Duration::from_secs(100));
    assert_eq!(alive(&mut desk), 1);
    desk.pass(Duration::from_millis(4999));
    assert_eq!(alive(&mut desk), 0);

    let mut unwatched = up("");
    unwatched.pass(Duration::from_secs(60));
    assert_eq!(heard(&mut unwatched), [""; 0]);
}

#[test]
fn a_daemon_that_leaves_its_workers_to_the_next_one_says_so() {
    let mut desk = up("[options]\nupgrade = 'respawn'");
    desk.hear(Event::Signalled { signal: DaemonSignal::User2 });
    assert_eq!(heard(&mut desk), ["STATUS=1 slot is served; an upgrade is in progress"]);
    desk.hear(Event::Preflighted { result: Ok("99.0.0".into()) });
    assert_eq!(heard(&mut desk), ["STOPPING=1", "STATUS=left the workers to the next daemon", MORE_TIME]);
}

#[test]
fn a_newer_version_goes_on_with_what_the_manager_knows() {
    let mut desk = up("");
    let handoff = desk.hand_off();
    let daemon = Daemon {
        version: "99.0.0".into(),
        pid: 1,
        boot: BootId(2),
        manager: Some(SYSTEMD),
        release: None,
        stderr: Terminal::Yes,
    };
    let supervisor = Supervisor::take_over(desk.config.clone(), daemon, handoff, desk.now);
    let mut newer = Desk::of(supervisor, desk.config, desk.now);
    assert_eq!(heard(&mut newer), ["STATUS=1 slot is served"]);

    // The old one goes on where the new one could not come.
    let mut desk = up("");
    desk.hear(Event::Signalled { signal: DaemonSignal::User2 });
    desk.hear(Event::Preflighted { result: Err(Failure("it does not start".into())) });
    assert_eq!(heard(&mut desk).last().map(String::as_str), Some("STATUS=1 slot is served"));
}

#[test]
fn only_a_manager_that_is_there_is_told() {
    let upgraded = |before: Option<Manager>, now: Option<Manager>| {
        let mut desk = Desk::under(before, "");
        desk.all_online();
        let handoff = desk.hand_off();
        let daemon = Daemon {
            version: "99.0.0".into(),
            pid: 1,
            boot: BootId(2),
            manager: now,
            release: None,
            stderr: Terminal::Yes,
        };
        let supervisor = Supervisor::take_over(desk.config.clone(), daemon, handoff, desk.now);
        heard(&mut Desk::of(supervisor, desk.config, desk.now))
    };
    assert_eq!(upgraded(Some(SYSTEMD), None), [""; 0]);
    assert_eq!(upgraded(None, Some(SYSTEMD)), ["READY=1", "STATUS=1 slot is served"]);
}
