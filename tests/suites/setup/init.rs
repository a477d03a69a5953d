//! `nodesockd init`: from a folder with an app in it to one that a daemon runs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nodesockd_tests::cli::{self, Output};
use nodesockd_tests::{http, program, until};
use tempfile::TempDir;

use crate::healthy_host::{give, mode, user};

/// A folder with an app that knows nothing of nodesockd.
fn app(package: &str) -> TempDir {
    let folder = tempfile::Builder::new().prefix("nsd-").tempdir_in("/tmp").unwrap();
    mode(folder.path(), 0o755);
    fs::write(folder.path().join("package.json"), package).unwrap();
    let script = "const http = require('node:http');\nconst app = (req, res) => res.end('hello');\n";
    fs::write(folder.path().join("server.js"), script).unwrap();
    folder
}

fn init(folder: &Path, args: &[&str]) -> Output {
    let output = cli::run(folder, &[&["init"], args].concat());
    assert_eq!(output.stdout, "", "{output}");
    output
}

/// Runs `nodesockd` with `args` as another user.
pub fn as_user(name: &str, folder: &Path, args: &[&str]) -> Output {
    // The target folder may be out of reach for others.
    program::copy_to(&folder.join("nodesockd"));
    let (user, group) = (format!("--reuid={name}"), format!("--regid={}", user(name).gid));
    let mut command = Command::new("setpriv");
    command.args([&user, &group, "--clear-groups", "--"]).arg(folder.join("nodesockd")).args(args);
    cli::in_folder(&mut command, folder);
    cli::spawn(&mut command).finish()
}

#[test]
fn app_runs_after_the_printed_steps() {
    let folder = app(r#"{ "name": "@acme/shop", "scripts": { "start": "node server.js" } }"#);
    let path = folder.path();
    let output = init(path, &["--tmp-dir", "run"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("it runs server.js, going by `start` in package.json"), "{output}");
    let config = fs::read_to_string(path.join("nodesockd.toml")).unwrap();
    assert!(config.contains("name = \"shop\"\n") && config.contains("tmpDir = \"run\"\n"), "{config}");

    // What it says: install the library, integrate, start.
    let said = |line: &str| assert!(output.stderr.contains(&format!("       {line}\n")), "{line}: {output}");
    said("npm install nodesockd");
    fs::create_dir(path.join("node_modules")).unwrap();
    symlink(program::root().join("node"), path.join("node_modules/nodesockd")).unwrap();
    let script = fs::read_to_string(path.join("server.js")).unwrap();
    let lines = ["const nodesockd = require('nodesockd');", "nodesockd.listen(app, 3000);"];
    lines.into_iter().for_each(said);
    fs::write(path.join("server.js"), format!("{}\n{script}{}\n", lines[0], lines[1])).unwrap();
    said("nodesockd daemon --dev-server");
    let port = http::Port::claim();
    let front = format!("--dev-server={}", port.number);
    let mut daemon = cli::spawn(&mut cli::command(path, &["daemon", &front]));
    until("the app answers", || {
        assert!(!daemon.has_ended(), "the daemon has ended");
        http::ask_port(port.number, "/")
            .and_then(http::Pending::answer)
            .is_ok_and(|answer| answer.body == "hello")
    });

    let again = init(path, &[]);
    assert!(again.code == 0 && !again.stderr.contains("require"), "it is integrated: {again}");
    assert_eq!(cli::run(path, &["terminate"]).code, 0);
    assert_eq!(daemon.finish().code, 0);
}

#[test]
fn init_overwrites_nothing() {
    let folder = app(r#"{ "name": "shop", "main": "server.js" }"#);
    let (path, tmp_dir) = (folder.path(), folder.path().join("sockets"));
    fs::write(path.join(".nodesockd.yml"), "script: server.js\ntmpDir: sockets\n").unwrap();
    fs::create_dir(&tmp_dir).unwrap();
    mode(&tmp_dir, 0o700);
    let output = init(path, &[]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("there is a configuration already: .nodesockd.yml"), "{output}");
    assert!(output.stderr.contains("sockets is there already"), "{output}");
    assert_eq!(fs::metadata(&tmp_dir).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(!path.join("nodesockd.toml").exists());

    fs::write(path.join(".nodesockd.yml"), "script: server.js\n").unwrap();
    let output = init(path, &[]);
    assert!(output.code == 3 && output.stderr.contains("tmpDir"), "{output}");
    // A link that leads nowhere is in the way, too.
    fs::rename(path.join(".nodesockd.yml"), path.join("elsewhere")).unwrap();
    symlink("nowhere", path.join("nodesockd.toml")).unwrap();
    let output = init(path, &[]);
    assert!(output.code == 3 && !path.join("nowhere").exists(), "{output}");
}

#[test]
fn init_asks_for_what_it_cannot_know() {
    let folder = app(r#"{ "scripts": { "start": "next start" } }"#);
    fs::remove_file(folder.path().join("server.js")).unwrap();
    let output = init(folder.path(), &["--tmp-dir", "run"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("what starts this app is not clear"), "{output}");
    assert!(output.stderr.contains("name it in nodesockd.toml as `script`"), "{output}");

    let folder = app("{");
    let output = init(folder.path(), &[]);
    assert!(output.code == 1 && output.stderr.contains("package.json is not JSON"), "{output}");
    assert!(!folder.path().join("nodesockd.toml").exists());
}

#[test]
fn init_by_root_gives_files_to_user_and_nginx_group() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root can give files away");
    }
    let folder = app(r#"{ "name": "shop", "type": "module", "main": "server.js" }"#);
    give(folder.path(), "nobody");
    let tmp_dir = folder.path().join("deeper/run");
    let output = init(folder.path(), &["--tmp-dir", tmp_dir.to_str().unwrap()]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("import nodesockd from 'nodesockd';"), "{output}");
    assert!(output.stderr.contains("sudo -u nobody nodesockd daemon --dev-server"), "{output}");
    let found = fs::metadata(&tmp_dir).unwrap();
    let nginx = user("www-data");
    assert_eq!(
        (found.uid(), found.gid(), found.mode() & 0o7777),
        (user("nobody").uid.as_raw(), nginx.gid.as_raw(), 0o2750)
    );
    for file in ["nodesockd.toml", "deeper/run/.gitignore", "deeper"] {
        assert_eq!(fs::metadata(folder.path().join(file)).unwrap().uid(), found.uid(), "{file}");
    }
}

#[test]
fn daemon_user_need_not_own_the_app() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root can give files away");
    }
    let folder = app(r#"{ "name": "shop", "main": "server.js" }"#);
    let tmp_dir = folder.path().join("run");
    let args = ["--tmp-dir", "run", "--user", "nobody"];
    let output = init(folder.path(), &args);
    assert_eq!(output.code, 0, "{output}");
    for said in ["sudo -u nobody nodesockd daemon --dev-server", "made `tmpDir`"] {
        assert!(output.stderr.contains(said), "{said}: {output}");
    }
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&tmp_dir), user("nobody").uid.as_raw());
    assert_eq!(owner(&folder.path().join("nodesockd.toml")), 0);

    let output = init(folder.path(), &["--user", "nobody-at-all"]);
    assert!(
        output.code == 2 && output.stderr.contains("`useradd --system nobody-at-all` makes one"),
        "{output}"
    );
}

#[test]
fn init_without_rights_prints_the_command() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root can become another user");
    }
    let folder = app(r#"{ "name": "shop", "main": "server.js" }"#);
    give(folder.path(), "nobody");
    let output = as_user("nobody", folder.path(), &["init"]);
    assert_eq!(output.code, 0, "{output}");
    let (run, path) = (folder.path().join("run"), std::env::var("PATH").unwrap());
    let command = |start: &str| {
        let said = output
            .stderr
            .lines()
            .find_map(|line| line.trim().strip_prefix("help: sudo ")?.strip_prefix(start));
        let said = said.unwrap_or_else(|| panic!("no sudo {start}: {output}"));
        format!("{start}{said}").replace("sudo ", "")
    };
    let run_it = |command: &str| {
        let status = Command::new("sh").args(["-ec", command]).env("PATH", &path).status().unwrap();
        assert!(status.success(), "{command}");
    };
    run_it(&command("chown nobody:www-data"));
    let found = fs::metadata(&run).unwrap();
    assert_eq!((found.gid(), found.mode() & 0o7777), (user("www-data").gid.as_raw(), 0o2750));

    // Where it may not make the folder at all.
    fs::remove_file(folder.path().join("nodesockd.toml")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let tmp_dir = elsewhere.path().join("shop");
    let output = as_user("nobody", folder.path(), &["init", "--tmp-dir", tmp_dir.to_str().unwrap()]);
    let install = output.stderr.lines().find_map(|line| line.trim().strip_prefix("help: sudo install"));
    run_it(&format!("install{}", install.unwrap_or_else(|| panic!("{output}"))));
    let found = fs::metadata(&tmp_dir).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (user("nobody").uid.as_raw(), 0o2750));
}
