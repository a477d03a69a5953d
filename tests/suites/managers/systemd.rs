//! What systemd makes of what it is told.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nodesockd_tests::wait::until;

use crate::managed::{Managed, SYSTEMD, crew, none_lost};

impl Managed {
    /// A property of the service, as systemd knows it.
    fn shows(&self, property: &str) -> String {
        self.machine.must(&format!("systemctl show --value --property={property} shop")).trim().to_owned()
    }

    /// Settings for the service beside those that were printed.
    pub fn amend(&self, settings: &str) {
        self.machine.must(&format!(
            "mkdir -p /etc/systemd/system/shop.service.d
             printf '[Service]\\n{settings}\\n' > /etc/systemd/system/shop.service.d/test.conf"
        ));
    }
}

#[test]
fn systemd_is_told_of_ready_reload_and_stop() {
    let Some(managed) = Managed::install(&SYSTEMD, "") else { return };
    // More than that is asked for as long as workers boot.
    managed.amend("TimeoutStartSec=2");
    let app = fs::read_to_string(managed.path("/srv/shop/app.js")).unwrap();
    fs::write(
        managed.path("/srv/shop/app.js"),
        format!("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000);\n{app}"),
    )
    .unwrap();
    let status = managed.start();
    let verified = managed.machine.run("systemd-analyze verify /etc/systemd/system/shop.service");
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{verified}");
    assert_eq!(managed.shows("StatusText"), "2 slots are served");
    assert_eq!((managed.shows("Type"), managed.shows("SubState")), ("notify".into(), "running".into()));
    assert_eq!(managed.shows("MainPID"), status.pid.to_string());
    assert_eq!(managed.shows("User"), "shop");
    let (nginx, load) = managed.load();

    // A signal is enough for systemd to know; its own command says in addition what is wrong.
    managed.configure("devServer = false\nnodeArgs = ['--no-warnings']");
    managed.machine.must("systemctl kill --kill-who=main --signal=HUP shop");
    until("systemd knows that it reloads", || managed.shows("ActiveState") == "reloading");
    assert!(managed.shows("StatusText").ends_with("a reload is in progress"));
    until("systemd knows that it has reloaded", || managed.shows("ActiveState") == "active");
    assert!(crew(&managed.settled("it is up", |_| true)).keys().all(|id| !crew(&status).contains_key(id)));

    managed.configure("sockets = 1");
    let output = managed.machine.run("systemctl reload shop");
    assert_ne!(output.code, 0, "{output}");
    assert!(managed.log().contains("unknown key"), "{}", managed.log());
    managed.configure("");
    managed.machine.must("systemctl reload shop");
    assert_eq!(managed.shows("MainPID"), status.pid.to_string());

    let sent = none_lost(&managed, &nginx, load);
    managed.stop();
    assert_eq!(
        (managed.shows("ActiveState"), managed.shows("Result")),
        ("inactive".into(), "success".into())
    );
    println!("{sent} requests, none lost");
}

#[test]
fn systemd_watchdog_replaces_daemon_and_spares_workers() {
    let Some(managed) = Managed::install(&SYSTEMD, "") else { return };
    managed.amend("WatchdogSec=4");
    let status = managed.start();
    let (nginx, load) = managed.load();
    managed.machine.must(&format!("kill -STOP {}", status.pid));
    let after = managed.settled("another daemon is there", |other| other.pid != status.pid);
    assert_eq!(crew(&after), crew(&status), "{}", managed.log());
    assert!(managed.log().contains("Watchdog timeout"), "{}", managed.log());
    let sent = none_lost(&managed, &nginx, load);
    managed.stop();
    println!("{sent} requests, none lost");
}

#[test]
fn logs_shows_what_the_journal_has_and_follows() {
    let Some(managed) = Managed::install(&SYSTEMD, "") else { return };
    let file = managed.path("/srv/shop/app.js");
    let app = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("console.log('worker', process.pid, 'begins');\n{app}")).unwrap();
    let before = managed.start();
    let begins = |pid: u32| format!("worker {pid} begins");
    let logs = |args: &str| managed.machine.must(&format!("cd /srv/shop && nodesockd logs {args}"));
    until("the journal has what every worker wrote", || {
        let said = logs("-n 500");
        before.workers.iter().all(|worker| said.contains(&begins(worker.pid.unwrap())))
    });
    let entry = logs("-n 1 --json");
    assert!(
        serde_json::from_str::<serde_json::Value>(&entry).is_ok_and(|entry| entry["MESSAGE"].is_string()),
        "{entry}"
    );
    assert_eq!(
        managed.machine.run("cd /srv/shop && nodesockd logs -w 0").code,
        2,
        "the journal knows no workers"
    );

    let headed = managed.machine.run("cd /srv/shop && set +o pipefail && nodesockd logs -n 500 | head -n 1");
    assert_eq!((headed.stdout.lines().count(), headed.stderr.as_str()), (1, ""), "{headed}");

    let mut follow = managed.machine.command("bash");
    follow.args(["-c", "cd /srv/shop && exec nodesockd logs -f -n 1"]);
    let mut follow = follow.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.next().is_some(), "the last line there is");
    managed.machine.must("cd /srv/shop && nodesockd restart");
    let after = managed.settled("others serve", |status| status.slot(0).id != before.slot(0).id);
    let new = after.slot(0).pid.unwrap();
    assert!(lines.any(|line| line.ends_with(&begins(new))), "it ended without the line of worker {new}");
    follow.kill().unwrap();
    follow.wait().unwrap();
    managed.stop();
}
