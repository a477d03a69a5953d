//! Units and scripts that start the daemon by a Node of their choice.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nodesockd_tests::program::{self, root};
use nodesockd_tests::{App, cli};
use serde_json::{Value, json};

/// Installs the npm package in the app as a package manager does: the library, and beside it the program for this
/// platform. Returns what `node_modules/.bin/nodesockd` leads to.
fn install(app: &App) -> PathBuf {
    let library = app.path("node_modules/nodesockd");
    std::fs::remove_file(&library).unwrap();
    std::fs::create_dir(&library).unwrap();
    let source = root().join("node");
    let copied = Command::new("cp")
        .arg("-r")
        .args(["bin", "lib", "package.json"].map(|name| source.join(name)))
        .arg(&library)
        .status();
    assert!(copied.unwrap().success());

    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let platform = app.path(&format!("node_modules/@nodesockd/linux-{arch}"));
    std::fs::create_dir_all(platform.join("bin")).unwrap();
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(source.join("package.json")).unwrap()).unwrap();
    std::fs::write(platform.join("package.json"), json!({ "version": manifest["version"] }).to_string())
        .unwrap();
    program::copy_to(&platform.join("bin/nodesockd"));
    library.join("bin/nodesockd")
}

/// The Node of this machine, under another name and outside of every `PATH`.
fn node_elsewhere(app: &App) -> PathBuf {
    let found = Command::new("node").args(["-p", "process.execPath"]).output().unwrap();
    let real = String::from_utf8(found.stdout).unwrap();
    let elsewhere = app.path("opt/node");
    std::fs::create_dir(app.path("opt")).unwrap();
    symlink(Path::new(real.trim()), &elsewhere).unwrap();
    elsewhere
}

/// The first word of the command line of a process.
fn called_by(pid: u32) -> String {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    line.split('\0').next().unwrap().to_owned()
}

#[test]
fn the_node_that_starts_the_daemon_runs_the_workers() {
    let app = App::new().script("untitled.js");
    let launcher = install(&app);
    let node = node_elsewhere(&app);
    let launch = app.launch().from(&launcher).through(&[&node]).env("PATH", "/nonexistent");
    let mut daemon = launch.spawn();
    let status = daemon.settled();
    assert_eq!(called_by(status.slot(0).process().pid), node.to_str().unwrap());
    assert_eq!(app.cli(&["config", "--json"]).json()["config"]["node"], node.to_str().unwrap());
    assert_eq!(daemon.quit(), Some(0));
}

#[test]
fn a_configured_node_wins_over_the_one_that_starts_the_daemon() {
    let app = App::new().script("untitled.js").set("node", "node");
    let launcher = install(&app);
    let node = node_elsewhere(&app);
    let mut daemon = app.launch().from(&launcher).through(&[&node]).spawn();
    let status = daemon.settled();
    assert_eq!(called_by(status.slot(0).process().pid), "node");
    assert_eq!(daemon.quit(), Some(0));
}

#[test]
fn the_launcher_hands_on_arguments_and_the_exit_code() {
    let app = App::new();
    app.save();
    let launcher = install(&app);
    let node = node_elsewhere(&app);
    let mut command = Command::new(&node);
    command.arg(&launcher).args(["-i", "run/nodesockd.ipc", "status"]);
    cli::in_folder(&mut command, app.folder());
    let output = cli::spawn(&mut command).finish();
    assert_eq!(output.code, 4, "{output}");
    assert!(output.stderr.contains("no daemon is running"), "{output}");
}
