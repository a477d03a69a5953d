//! Every mistake on a new user's way is answered by a message that names the fix.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;

use nodesockd_tests::App;
use nodesockd_tests::cli::{self, Output};

use crate::healthy_host::{give, mode, user};
use crate::init::as_user;

/// Fails with this code, and says all this.
fn told(output: &Output, code: i32, said: &[&str]) {
    let all = said.iter().all(|part| output.stderr.contains(part));
    assert!(output.code == code && all, "{said:?}: {output}");
}

fn daemon(app: &App) -> Output {
    app.save();
    app.cli(&["daemon"])
}

#[test]
fn missing_configuration_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["daemon", "status", "restart", "nginx"] {
        told(
            &cli::run(folder.path(), &[command]),
            3,
            &["no configuration file in", "`nodesockd init` writes one"],
        );
    }
    let doctor = cli::run(folder.path(), &["doctor"]);
    assert!(doctor.code == 3 && doctor.stdout.contains("`nodesockd init` writes one"), "{doctor}");
}

#[test]
fn missing_or_unusable_tmp_dir_is_explained() {
    let app = App::new();
    fs::remove_dir(app.run()).unwrap();
    told(
        &daemon(&app),
        1,
        &["it does not exist; `mkdir -m 2750 ", "help: `nodesockd init` makes such a folder"],
    );
    fs::write(app.run(), "").unwrap();
    told(&daemon(&app), 1, &["Not a directory", "help: "]);
    fs::remove_file(app.run()).unwrap();
    fs::create_dir(app.run()).unwrap();
    mode(&app.run(), 0o777);
    told(&daemon(&app), 1, &["others may create and rename files in it", "`chmod u=rwx,g=rxs,o= "]);
    if nix::unistd::geteuid().is_root() {
        give(&app.run(), "nobody");
        told(&daemon(&app), 1, &["it belongs to user 65534", "`chown` it, or run the daemon as its owner"]);
    }
}

#[test]
fn tmp_dir_of_root_is_explained() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root can become another user");
    }
    let app = App::new();
    app.save();
    mode(&app.run(), 0o755);
    let daemon = || as_user("nobody", app.folder(), &["daemon"]);
    let owned = |path: &str| format!("`chown {} {path}`", user("nobody").uid);
    let (folder, lock) = (app.run().display().to_string(), app.path("run/nodesockd.ipc.lock"));
    told(&daemon(), 1, &["cannot lock", &owned(&folder), "help: `nodesockd init` makes such a folder"]);
    // As a daemon leaves it that was once run by root.
    fs::write(&lock, "").unwrap();
    mode(&lock, 0o600);
    give(&app.run(), "nobody");
    chown(&lock, Some(0), Some(0)).unwrap();
    told(&daemon(), 1, &["cannot lock", &owned(&lock.display().to_string())]);
}

#[test]
fn init_makes_a_usable_tmp_dir() {
    let app = App::new();
    fs::remove_dir(app.run()).unwrap();
    app.save();
    assert_eq!(app.cli(&["init"]).code, 0);
    let _daemon = app.start();
}

#[test]
fn missing_node_or_script_is_explained() {
    let app = App::new().set("node", "node-99");
    let daemon = app.launch().spawn();
    daemon.until_logged("cannot run `node-99`: it is in no folder of PATH");
    let check = app.cli(&["check"]);
    assert!(check.code == 3 && check.stdout.contains("write its whole path as `node`"), "{check}");
    drop(daemon);

    let app = App::new().set("script", "dist/app.js");
    let daemon = app.launch().spawn();
    daemon.until_logged("there is no script");
    daemon.until_logged(
        "correct `script`, which is relative to the configuration file, or build the app first",
    );
}

#[test]
fn taken_port_is_explained() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let app = App::new().set("devServer", i64::from(port));
    let daemon = app.launch().spawn();
    daemon.until_logged(&format!("cannot listen on port {port}"));
    daemon.until_logged("end whatever holds the port, or set another `devServer`");
}

#[test]
fn missing_daemon_is_explained() {
    let app = App::new();
    app.save();
    for command in ["status", "restart", "resume", "reload"] {
        told(
            &app.cli(&[command]),
            4,
            &["no daemon is running", "help: start its service, or `nodesockd daemon`"],
        );
    }
    app.write("nodesockd.toml", "script = \"app.js\"\ntmpDir = \"elsewhere\"\n");
    told(&app.cli(&["status"]), 4, &["no daemon is running", "elsewhere/nodesockd.ipc does not exist"]);
}

#[test]
fn app_without_integration_is_explained() {
    let app = App::new().set("options.onlineTimeout", 200);
    let plain = "require('node:http').createServer().listen(0, '127.0.0.1');\n";
    app.write("app.js", plain);
    let daemon = app.launch().spawn();
    daemon.until_logged("it reported nothing; `nodesockd.listen()` does, or see `options.ready`");
}

#[test]
fn old_library_is_explained() {
    let app = App::new();
    let library = app.path("node_modules/nodesockd");
    fs::remove_file(&library).unwrap();
    fs::create_dir(&library).unwrap();
    app.write("node_modules/nodesockd/package.json", r#"{ "name": "nodesockd", "version": "2.4.0" }"#);
    let daemon = app.launch().spawn();
    daemon.until_logged("is 2.4.0: without `nodesockd.listen()`, requests on kept connections can get lost");
    daemon.until_logged("npm install nodesockd@3");
    let check = app.cli(&["check"]);
    assert!(check.stdout.contains("npm install nodesockd@3"), "{check}");
}
