//! A newer daemon is installed, and takes the app over under load: in the same process, or by way of the manager.

use nodesockd_tests::Load;
use nodesockd_tests::nginx::Nginx;
use nodesockd_tests::program::{self, NEWER};

use crate::managed::{DAEMONTOOLS, Managed, Manager, RUNIT, S6, SUPERVISORD, SYSTEMD, crew, none_lost};

/// The daemon is replaced by a newer one while requests keep coming.
fn upgraded(managed: &Managed, way: &str, suspended: bool) {
    managed.configure(&format!("\n[options]\nupgrade = '{way}'\n"));
    managed.install_program(program::nodesockd());
    let before = managed.start();
    assert_ne!(before.version, NEWER);
    let (nginx, load): (Nginx, Load) = managed.load();
    managed.install_program(program::newer());

    let output = managed.cli(if suspended { "restart --upgrade --suspended" } else { "restart --upgrade" });
    assert_eq!(output.code, 0, "{output}{}", managed.log());
    let after = managed.settled("the newer daemon is there", |status| status.version == NEWER);
    assert_eq!(after.pid == before.pid, way == "exec", "{before:#?}{after:#?}");
    let old = crew(&before);
    assert!(crew(&after).keys().all(|id| !old.contains_key(id)), "{}", managed.log());
    assert_eq!(after.suspended, suspended);
    if suspended {
        let output = managed.cli("resume");
        assert_eq!(output.code, 0, "{output}{}", managed.log());
    }
    let sent = none_lost(managed, &nginx, load);
    managed.stop();
    println!("{way}, suspended: {suspended}: {sent} requests, none lost");
}

fn upgraded_in_every_way(manager: &'static Manager) {
    let Some(managed) = Managed::install(manager, "") else { return };
    for way in ["exec", "respawn"] {
        for suspended in [false, true] {
            upgraded(&managed, way, suspended);
        }
    }
}

#[test]
fn upgraded_under_systemd() {
    upgraded_in_every_way(&SYSTEMD);
}

#[test]
fn upgraded_under_supervisord() {
    upgraded_in_every_way(&SUPERVISORD);
}

#[test]
fn upgraded_under_daemontools() {
    upgraded_in_every_way(&DAEMONTOOLS);
}

#[test]
fn upgraded_under_runit() {
    upgraded_in_every_way(&RUNIT);
}

#[test]
fn upgraded_under_s6() {
    upgraded_in_every_way(&S6);
}
