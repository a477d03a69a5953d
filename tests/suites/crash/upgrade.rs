//! The daemon becomes a newer program.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sys::signal::Signal;
use nodesockd_tests::cli::{self, Output};
use nodesockd_tests::daemon::Launch;
use nodesockd_tests::program::{self, NEWER};
use nodesockd_tests::{App, Load, Upstream, http, until};

use super::{assert_in_order, crew, echo};

/// An app whose folder has a program of its own, which is installed anew.
fn installed(app: App) -> App {
    program::install(program::nodesockd(), &app.path("nodesockd"));
    app
}

fn launch(app: &App) -> Launch {
    app.launch().from(&app.path("nodesockd"))
}

/// A command of the newer version, as whoever has just installed that types it.
fn newer(app: &App, args: &[&str]) -> Command {
    let mut command = Command::new(program::newer());
    command.args(args);
    cli::in_folder(&mut command, app.folder());
    command
}

fn upgrade(app: &App) -> Output {
    cli::spawn(&mut newer(app, &["restart", "--upgrade"])).finish()
}

#[test]
fn upgrade_keeps_workers_clients_and_sockets() {
    let app = installed(echo().standby(1));
    let mut daemon = launch(&app).start();
    let before = daemon.settled();
    let old = crew(&before);
    let open = daemon.process().descriptors().len();
    let nginx = Upstream::of(&app, 2).keepalive(4).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    let mut client = app.connect();
    load.flows();

    program::install(program::newer(), &app.path("nodesockd"));
    let output = upgrade(&app);
    assert_eq!(output.code, 0, "{output}{}", daemon.log());
    assert!(output.stderr.contains(&format!("upgraded: it was version {}", before.version)), "{output}");
    load.flows();
    let after = daemon.settled();
    assert_eq!((after.version.as_str(), after.pid), (NEWER, before.pid));
    assert!(crew(&after).keys().all(|id| !old.contains_key(id)));
    let status = client.status();
    assert_eq!(status.map(|status| status.version).as_deref(), Some(NEWER), "the connection was lost");
    drop(client);
    until("no more descriptors are open than before", || daemon.process().descriptors().len() <= open);

    let output = upgrade(&app);
    assert!(output.code == 0 && output.stderr.contains("up to date"), "{output}");
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());
    assert_in_order(&app, &daemon);
    assert_eq!(daemon.quit(), Some(0));
    assert_eq!((app.sockets(), daemon.descendants()), (Vec::<String>::new(), Vec::new()));
}

#[test]
fn sigusr2_changes_the_program_only() {
    let app = installed(echo().standby(1));
    let mut daemon = launch(&app).start();
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let before = daemon.settled();
    let old = crew(&before);
    let request = http::ask(&app.link(0), "/4711").unwrap();

    program::install(program::newer(), &app.path("nodesockd"));
    daemon.signal(Signal::SIGUSR2);
    let after = daemon.until("the newer program is there", |status| status.version == NEWER);
    assert_eq!((after.pid, after.suspended), (before.pid, true));
    assert_eq!(crew(&after), old, "{}", daemon.log());
    // Its children are children still: their exits are noticed and collected, and others take their places.
    let victim = after.slot(1).process();
    victim.signal(Signal::SIGKILL);
    daemon.until("the standby has taken the slot", |status| {
        status.is_settled() && status.slot(1).pid != Some(victim.pid)
    });
    assert_in_order(&app, &daemon);
    assert_eq!(app.cli(&["resume"]).code, 0);
    assert_eq!(request.answer().unwrap().json()["number"], "4711");
    assert_eq!(daemon.quit(), Some(0));
}

#[test]
fn upgrade_refuses_a_broken_program() {
    let app = installed(echo());
    let daemon = launch(&app).start();
    let before = daemon.status();
    let load = Load::start(&app.link(0), 2);
    let refuses = |what: &str, words: &str| {
        let output = upgrade(&app);
        assert!(output.code == 1 && output.stderr.contains(words), "{what}: {output}{}", daemon.log());
        let now = daemon.status();
        assert_eq!((&now.version, crew(&now)), (&before.version, crew(&before)), "{what}");
        load.flows();
    };
    let scripts = [
        ("it fails", "echo 'no such library' >&2; exit 1", "no such library"),
        ("it hangs", "sleep 600", "has not answered within 10 s"),
        ("it is something else", "exit 0", "does not answer as nodesockd does"),
    ];
    for (what, script, words) in scripts {
        program::write_script(&app.path("other"), &format!("#!/bin/sh\n{script}\n"));
        program::install(&app.path("other"), &app.path("nodesockd"));
        refuses(what, words);
    }
    // The head of a program for another machine (elf(5)).
    program::write_script(&app.path("other"), "\u{7f}ELF\u{2}\u{1}\u{1}");
    program::install(&app.path("other"), &app.path("nodesockd"));
    refuses("it is for another machine", "cannot take over");
    std::fs::remove_file(app.path("nodesockd")).unwrap();
    refuses("it is not there", "cannot take over");
    program::install(program::nodesockd(), &app.path("nodesockd"));
    refuses("it is not newer", "which is not newer");
    program::install(program::newer(), &app.path("nodesockd"));
    let configuration = app.read("nodesockd.toml");
    app.write("nodesockd.toml", &format!("wrokers = 3\n{configuration}"));
    let mut command = newer(&app, &["restart", "--upgrade", "--ipc"]);
    let output = cli::spawn(command.arg(app.ipc())).finish();
    assert!(output.code == 1 && output.stderr.contains("wrokers"), "{output}{}", daemon.log());
    app.write("nodesockd.toml", &configuration);

    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}", daemon.log());
    assert_eq!(upgrade(&app).code, 0, "{}", daemon.log());
}

#[test]
fn upgrade_refuses_a_folder_that_the_new_program_would_not_trust() {
    let app = installed(echo().set("socketFile", "sub/{worker}.sock"));
    let folder = app.run().join("sub");
    std::fs::create_dir(&folder).unwrap();
    let daemon = launch(&app).start();
    let before = daemon.settled();
    program::install(program::newer(), &app.path("nodesockd"));
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    let output = upgrade(&app);
    assert!(output.code == 1 && output.stderr.contains("others may create"), "{output}{}", daemon.log());
    let now = daemon.status();
    assert_eq!((&now.version, crew(&now)), (&before.version, crew(&before)), "{}", daemon.log());

    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o750)).unwrap();
    assert_eq!(upgrade(&app).code, 0, "{}", daemon.log());
}
