//! Exit codes of commands that cannot do what they are asked.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nodesockd_tests::{App, cli, program};

#[test]
fn wrong_usage_is_2() {
    let app = App::new();
    for args in [
        &["frobnicate"][..],
        &[],
        &["status", "--frobnicate"],
        &["set-workers"],
        &["send-msg"],
        &["send-req", "name", "{not json"],
        &["status", "--timeout", "soon"],
        &["daemon", "--dev-server=example.org:80"],
    ] {
        let refused = app.cli(args);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{args:?}\n{refused}");
        assert!(!refused.stderr.is_empty());
    }
}

#[test]
fn an_invalid_configuration_is_3() {
    let app = App::new();
    app.write("nodesockd.toml", "tmpDir = 'run'\nworkres = 2\n");
    for args in [&["daemon"][..], &["status"], &["restart"], &["check"]] {
        let refused = app.cli(args);
        assert_eq!(refused.code, 3, "{args:?}\n{refused}");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        for text in ["nodesockd.toml", "workres", "workers", "script"] {
            assert!(said.contains(text), "{args:?}: no `{text}` in\n{refused}");
        }
    }
    let nothing = App::new();
    let refused = nothing.cli(&["daemon"]);
    assert_eq!(refused.code, 3, "no configuration at all\n{refused}");
}

#[test]
fn no_daemon_is_4() {
    let app = App::new();
    app.save();
    for args in
        [&["status"][..], &["config"], &["start"], &["restart"], &["stop"], &["terminate"], &["resume"]]
    {
        let refused = app.cli(args);
        assert_eq!((refused.code, refused.stdout.as_str()), (4, ""), "{args:?}\n{refused}");
        assert!(refused.stderr.contains("nodesockd.ipc"), "{refused}");
    }
    assert_eq!(app.cli(&["status", "--ipc", "/nowhere/at.all"]).code, 4);

    let mut daemon = app.start();
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.ended();
    let refused = app.cli(&["status"]);
    assert_eq!(refused.code, 4, "a socket behind which nobody listens\n{refused}");
}

#[test]
fn another_user_is_9() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let app = App::new();
    let daemon = app.start();
    let before = daemon.status();
    // The target folder may be out of reach for others.
    let copy = app.path("nodesockd");
    program::copy_to(&copy);
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&copy).args(args);
        cli::in_folder(&mut command, app.folder());
        cli::spawn(&mut command).finish()
    };
    for args in [&["status"][..], &["stop"], &["terminate"]] {
        let refused = as_nobody(args);
        assert_eq!((refused.code, refused.stdout.as_str()), (9, ""), "{refused}");
        assert!(refused.stderr.contains("not permitted"), "{refused}");
    }
    // The file's mode is one guard; who it is that connects is the other.
    std::fs::set_permissions(app.ipc(), PermissionsExt::from_mode(0o666)).unwrap();
    for args in [&["status"][..], &["stop"], &["terminate"]] {
        let refused = as_nobody(args);
        assert_eq!((refused.code, refused.stdout.as_str()), (9, ""), "{refused}");
    }
    assert_eq!(daemon.status(), before);
}
