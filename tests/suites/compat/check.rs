//! `check` in a project that was written for 2.x: what it finds, and that it finds nothing in one that is right.

use nodesockd_tests::{App, Output, cli};

/// What `check` says that is not good.
fn found(app: &App) -> Vec<String> {
    alarms(&app.cli(&["check"]))
}

fn alarms(output: &Output) -> Vec<String> {
    let lines = output.stdout.lines().filter(|line| line.starts_with(['!', '✗'])).map(str::to_owned);
    lines.collect()
}

/// What `check` says where systemd seems to have this unit. Needs root.
fn with_unit(app: &App, service: &str) -> Output {
    let unit = format!("[Service]\nWorkingDirectory={}\n{service}\n", app.folder().display());
    app.write("shop.service", &unit);
    let script = "mkdir -p /run/systemd; mount -t tmpfs none /run/systemd; mkdir /run/systemd/system; \
                  cp shop.service /run/systemd/system; exec \"$@\"";
    let check = cli::command(app.folder(), &["check"]);
    let wrapper = ["unshare", "--mount", "sh", "-ec", script, "sh"];
    cli::spawn(&mut cli::through(&wrapper, &check, app.folder())).finish()
}

/// An app whose `tmpDir` is as nginx needs it: nothing of this machine is left to be said.
fn sound() -> App {
    use std::os::unix::fs::PermissionsExt;
    let app = App::new();
    std::fs::set_permissions(app.run(), PermissionsExt::from_mode(0o2750)).unwrap();
    app.save();
    app
}

#[test]
fn a_project_of_today_raises_no_alarm() {
    let app = sound().set("options.stdout", "discard").set("devServer", false);
    app.save();
    app.write(
        "package.json",
        r#"{ "scripts": { "deploy": "nodesockd restart", "build": "tsc --outDir dist" } }"#,
    );
    app.write("nodesockd.local.yml", "extends: ./nodesockd.toml\n");
    assert_eq!(found(&app), [""; 0]);
}

#[test]
fn scripts_that_run_files_of_the_old_package_are_found() {
    let app = sound();
    app.write(
        "package.json",
        r#"{ "scripts": { "daemon": "node node_modules/nodesockd/dist/cli/cli.js daemon" } }"#,
    );
    let found = found(&app);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("the script \"daemon\"") && found[0].contains("2.x"), "{found:?}");
}

#[test]
fn a_log_file_named_discard_is_found() {
    let app = sound().set("options.stdout", "discard");
    app.save();
    assert_eq!(found(&app), [""; 0], "there is no such file");
    app.write("discard", "a line of 2.x\n");
    let found = found(&app);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("\"discard\" throws the workers' output away; 2.x wrote it to"), "{found:?}");
    let app = app.set("options.stdout", "./discard");
    app.save();
    assert_eq!(self::found(&app), [""; 0], "the file is meant");
}

#[test]
fn a_daemon_of_2x_that_runs_is_named() {
    let app = sound();
    let daemon = crate::old_daemon::serve(&app, |_| crate::old_daemon::status(&serde_json::json!([])));
    let found = found(&app);
    daemon.join().unwrap();
    assert_eq!(found, ["! a daemon of 2.x runs: nodesockd 2.0.0-rc.8, pid 1"]);
}

#[test]
fn a_unit_that_was_written_for_2x_is_found() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root has a namespace of its own");
        return;
    }
    let app = sound();
    let says = |service: &str, code: i32, said: &[&str]| {
        let output = with_unit(&app, service);
        let found = alarms(&output);
        assert_eq!((output.code, found.len()), (code, said.len()), "{output}");
        for (finding, part) in found.iter().zip(said) {
            assert!(finding.contains(part), "`{part}` is not in {finding}");
        }
    };
    let current = "ExecStart=/srv/shop/node_modules/.bin/nodesockd daemon\nKillMode=process\n";
    says(current, 0, &[]);
    says(
        &current.replace("KillMode=process\n", ""),
        0,
        &["with `KillMode=control-group` systemd kills the workers"],
    );
    says(&current.replace(" daemon", ""), 3, &["lacks the command `daemon`"]);
    let by_node = "/usr/bin/node node_modules/nodesockd/dist/cli/cli.js";
    says(&current.replace("/srv/shop/node_modules/.bin/nodesockd", by_node), 3, &["a file of 2.x's package"]);
}
