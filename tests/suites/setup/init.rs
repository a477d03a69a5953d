//! `nodesockd init`: from a folder with an app in it to one that a daemon runs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use nodesockd_tests::cli::{self, Output};
use nodesockd_tests::{Server, http, program, until};
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
    assert!(
        output.stderr.contains("it runs server.js, an app for Node, going by `start` in package.json"),
        "{output}"
    );
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

/// A folder as a generator makes it, with what npm would have installed.
fn skeleton(name: &str) -> TempDir {
    let folder = tempfile::Builder::new().prefix("nsd-").tempdir_in("/tmp").unwrap();
    let from = program::root().join("tests/fixtures/skeletons").join(name).join(".");
    let copied = Command::new("cp").arg("-R").arg(from).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    mode(folder.path(), 0o755);
    let modules = folder.path().join("node_modules");
    fs::create_dir(&modules).unwrap();
    symlink(program::root().join("node"), modules.join("nodesockd")).unwrap();
    symlink(program::root().join("node/node_modules/express"), modules.join("express")).unwrap();
    folder
}

#[test]
fn init_asks_whoever_sits_at_a_terminal() {
    let folder = skeleton("go-two-commands");
    let mut program = program::nodesockd().display().to_string();
    program.push_str(" init --tmp-dir run");
    // script(1) gives it a terminal.
    let mut terminal = Command::new("script");
    cli::in_folder(&mut terminal, folder.path());
    terminal.args(["-qec", &program, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut terminal = terminal.spawn().unwrap();
    terminal.stdin.as_mut().unwrap().write_all(b"2\n").unwrap();
    let output = terminal.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("1  {release}/server (the program server, going by cmd/server)"), "{said}");
    let config = fs::read_to_string(folder.path().join("nodesockd.toml")).unwrap();
    assert!(config.contains("\ncommand = [\"{release}/worker\"]\n"), "{config}{said}");
}

/// What `init` writes is run, and answers.
fn serves(folder: &TempDir) {
    let path = folder.path();
    let output = init(path, &["--tmp-dir", "run"]);
    assert_eq!(output.code, 0, "{output}");
    let mut daemon = cli::spawn(&mut cli::command(path, &["daemon"]));
    until("the app answers", || {
        assert!(!daemon.has_ended(), "the daemon has ended: {output}");
        let answer = http::try_get(&path.join("run/app.0.sock"), "/");
        answer.is_ok_and(|answer| answer.status == 200 && answer.body.contains("hello"))
    });
    assert_eq!(cli::run(path, &["terminate"]).code, 0);
    assert_eq!(daemon.finish().code, 0);
}

#[test]
fn express_app_serves_after_init() {
    let folder = skeleton("express-npm-init");
    let script = folder.path().join("index.js");
    let text = fs::read_to_string(&script).unwrap();
    let listen = "require('nodesockd').listen(app, 3000)";
    fs::write(script, text.replace("app.listen(3000)", listen)).unwrap();
    serves(&folder);
}

#[test]
fn built_express_app_serves_after_init_as_it_is() {
    let folder = skeleton("express-typescript");
    fs::create_dir(folder.path().join("dist")).unwrap();
    let app = "require('express')().get('/', (req, res) => res.send('hello')).listen(3000);\n";
    fs::write(folder.path().join("dist/index.js"), app).unwrap();
    serves(&folder);
}

/// A program of a virtual environment, which runs a module.
fn virtual_environment(folder: &TempDir, program: &str) {
    let bin = folder.path().join(".venv/bin");
    fs::create_dir_all(&bin).unwrap();
    program::write_script(
        &bin.join(program),
        &format!("#!/bin/sh\nexec /usr/bin/python3 -m {program} \"$@\"\n"),
    );
}

#[test]
fn fastapi_app_serves_under_uvicorn_after_init() {
    if !Server::Uvicorn.is_installed() {
        return println!("skipped: there is no uvicorn");
    }
    let folder = skeleton("fastapi");
    virtual_environment(&folder, "uvicorn");
    // All that the app needs of the framework.
    let framework = "class FastAPI:\n    def get(self, path):\n        return lambda handler: handler\n\n    \
                     async def __call__(self, scope, receive, send):\n        if scope['type'] == 'http':\n            \
                     await send({'type': 'http.response.start', 'status': 200})\n            \
                     await send({'type': 'http.response.body', 'body': b'hello'})\n";
    fs::write(folder.path().join("fastapi.py"), framework).unwrap();
    serves(&folder);
}

#[test]
fn flask_app_serves_under_gunicorn_after_init() {
    if !Server::Gunicorn.is_installed() {
        return println!("skipped: there is no gunicorn");
    }
    let folder = skeleton("flask");
    virtual_environment(&folder, "gunicorn");
    let framework = "class Flask:\n    def __init__(self, name):\n        pass\n\n    \
                     def __call__(self, environ, start_response):\n        start_response('200 OK', [])\n        return [b'hello']\n";
    fs::write(folder.path().join("flask.py"), framework).unwrap();
    serves(&folder);
}

#[test]
fn rack_app_serves_under_puma_after_init() {
    if !Server::Puma.is_installed() {
        return println!("skipped: there is no puma");
    }
    let folder = skeleton("rack-thin");
    fs::remove_file(folder.path().join("Gemfile")).unwrap();
    serves(&folder);
}

#[test]
fn go_program_serves_after_init() {
    if !Server::Go.is_installed() {
        return println!("skipped: there is no Go");
    }
    let folder = skeleton("go");
    let program = "package main\n\nimport (\n\t\"net\"\n\t\"net/http\"\n\t\"os\"\n)\n\nfunc main() {\n\t\
                   listener, _ := net.Listen(\"unix\", os.Getenv(\"NODESOCKD_SOCKET_PATH\"))\n\t\
                   http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {\n\t\t\
                   w.Write([]byte(\"hello\"))\n\t}))\n}\n";
    fs::write(folder.path().join("main.go"), program).unwrap();
    let module = fs::read_to_string(folder.path().join("go.mod")).unwrap();
    fs::write(folder.path().join("go.mod"), module.replace("go 1.24", "go 1.19")).unwrap();
    let mut build = Command::new("go");
    build.args(["build", "-o", "shop", "."]).current_dir(folder.path());
    build.env("GOCACHE", folder.path().join("gocache")).env("CGO_ENABLED", "0");
    assert!(build.status().unwrap().success());
    serves(&folder);
}

#[test]
fn bun_program_serves_after_init() {
    if !Server::Bun.is_installed() {
        return println!("skipped: there is no Bun");
    }
    serves(&skeleton("bun-start"));
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
    let said = "it runs node --import nodesockd/register node_modules/next/dist/bin/next start, Next.js";
    assert!(!output.stderr.contains(said), "it does not depend on Next.js: {output}");
    assert!(output.stderr.contains("with a question mark: what starts this app is not clear"), "{output}");
    assert!(output.stderr.contains("name the app's own script as `script`"), "{output}");
    let config = fs::read_to_string(folder.path().join("nodesockd.toml")).unwrap();
    assert!(config.contains("\nscript = \"?\"\n"), "{config}");
    let checked = cli::run(folder.path(), &["check"]);
    assert!(checked.code == 3 && checked.stdout.contains("there is no script"), "{checked}");

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
