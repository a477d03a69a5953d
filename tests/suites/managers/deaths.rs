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
    let users = managed.machine.processes_of("shop");
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

#[test]
fn process_with_reused_pid_is_left_alone() {
    let Some(managed) = Managed::install(&SYSTEMD, "") else { return };
    managed.amend("Restart=no");
    let before = managed.start();
    let (reused, kept) = (before.slot(0).pid.unwrap(), before.slot(1));
    managed.machine.must(&format!(
        "kill -9 {daemon} {reused}
         while kill -0 {reused}; do sleep 0.01; done
         for attempt in $(seq 1000); do
           echo $(({reused} - 1)) > /proc/sys/kernel/ns_last_pid
           (exec setpriv --reuid=shop --regid=shop --init-groups setsid sleep 1000) > /dev/null 2>&1 &
           [ $! != {reused} ] || {{ until [ \"$(ps -o comm= {reused})\" = sleep ]; do sleep 0.01; done; exit 0; }}
           kill $!
         done
         exit 1",
        daemon = before.pid
    ));
    let is_alive = || managed.machine.run(&format!("ps -o comm= {reused}")).stdout == "sleep\n";
    assert!(is_alive());
    managed.machine.must("systemctl reset-failed shop && systemctl start shop");
    let after = managed.settled("another daemon is there", |status| status.pid != before.pid);
    assert_eq!((&after.slot(1).id, after.slot(1).pid), (&kept.id, kept.pid), "{}", managed.log());
    assert_ne!(after.slot(0).id, before.slot(0).id);
    assert_ne!(after.slot(0).pid, Some(reused));
    assert_eq!(managed.cli("restart").code, 0, "{}", managed.log());
    managed.machine.must("systemctl stop shop");
    assert!(is_alive(), "a process that is none of its workers was ended: {}", managed.log());
    managed.machine.must(&format!("kill -9 {reused}"));
    managed.stop();
}
