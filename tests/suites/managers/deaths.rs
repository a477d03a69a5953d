//! The daemon is killed, and its manager starts another one: the app serves all the time, nobody is doubled or orphaned.

use crate::managed::{DAEMONTOOLS, Managed, Manager, RUNIT, S6, SUPERVISORD, SYSTEMD, crew, none_lost};

/// How often; `NODESOCKD_KILLS` for more.
const KILLS: u32 = 3;

fn killed_again_and_again(manager: &'static Manager) {
    let Some(managed) = Managed::install(manager, "") else { return };
    let status = managed.start();
    let before = crew(&status);
    let (nginx, load) = managed.load();
    let kills = std::env::var("NODESOCKD_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(KILLS);
    let mut pid = status.pid;
    for _ in 0..kills {
        load.flows();
        managed.machine.must(&format!("kill -9 {pid}"));
        let status = managed.settled("another daemon is there", |status| status.pid != pid);
        pid = status.pid;
        assert_eq!(crew(&status), before, "{}", managed.log());
        load.flows();
    }
    let users: Vec<u32> =
        managed.machine.must("pgrep --uid shop").lines().map(|pid| pid.parse().unwrap()).collect();
    let mut known: Vec<u32> = before.values().filter_map(|(pid, ..)| *pid).chain([pid]).collect();
    known.sort_unstable();
    assert_eq!(users, known, "{}", managed.log());

    let output = managed.cli("restart");
    assert_eq!(output.code, 0, "{output}{}", managed.log());
    let sent = none_lost(&managed, &nginx, load);
    managed.stop();
    println!("{}: {kills} kills, {sent} requests, none lost", manager.name);
}

#[test]
fn killed_under_systemd() {
    killed_again_and_again(&SYSTEMD);
}

#[test]
fn killed_under_supervisord() {
    killed_again_and_again(&SUPERVISORD);
}

#[test]
fn killed_under_daemontools() {
    killed_again_and_again(&DAEMONTOOLS);
}

#[test]
fn killed_under_runit() {
    killed_again_and_again(&RUNIT);
}

#[test]
fn killed_under_s6() {
    killed_again_and_again(&S6);
}
