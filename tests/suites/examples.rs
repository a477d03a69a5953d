//! The examples do what their READMEs say, each in a clone in miniature: their folders here may be in use.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use nodesockd_tests::cli::{self, Output};
use nodesockd_tests::daemon::Launch;
use nodesockd_tests::program::root;
use nodesockd_tests::{Daemon, Visitors, http};
use serde_json::json;
use tempfile::TempDir;

struct Example {
    _clone: TempDir,
    folder: PathBuf,
    port: http::Port,
}

impl Example {
    fn new(name: &str) -> Self {
        let clone = tempfile::Builder::new().prefix("nsd-").tempdir_in("/tmp").unwrap();
        let folder = clone.path().join("examples").join(name);
        fs::create_dir_all(folder.join("run")).unwrap();
        symlink(root().join("node"), clone.path().join("node")).unwrap();
        let original = root().join("examples").join(name);
        for entry in fs::read_dir(&original).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        if original.join("package.json").exists() {
            let installed = original.join("node_modules");
            assert!(installed.exists(), "run `npm ci` in {}, as tests/run does", original.display());
            symlink(installed, folder.join("node_modules")).unwrap();
        }
        Self { _clone: clone, folder, port: http::Port::claim() }
    }

    fn start(&self) -> Daemon {
        let port = format!("--dev-server={}", self.port.number);
        Launch::new(&self.folder, &self.folder.join("run/nodesockd.ipc")).arg(&port).start()
    }

    fn cli(&self, args: &[&str]) -> Output {
        let output = cli::run(&self.folder, args);
        assert_eq!(output.code, 0, "{args:?}: {output}");
        output
    }

    fn get(&self, path: &str) -> http::Answer {
        http::ask_port(self.port.number, path).unwrap().answer().unwrap()
    }

    /// Adds a person to the table of `express-api`.
    fn add(&self, person: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.number)).unwrap();
        let length = person.len();
        write!(
            stream,
            "POST /people HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{person}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn hello_restarts_without_failed_requests() {
    let example = Example::new("hello");
    let daemon = example.start();
    assert!(example.get("/").body.starts_with("Hello from worker "), "{}", daemon.log());

    let port = example.port.number;
    let visitors = Visitors::start(1, move |_| {
        let answer = http::ask_port(port, "/").and_then(http::Pending::answer);
        assert!(answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
    });
    for _ in 0..3 {
        visitors.come();
        let before = daemon.status().pids();
        example.cli(&["restart"]);
        assert!(daemon.settled().pids().iter().all(|pid| !before.contains(pid)));
    }
    visitors.come();
    visitors.leave();
    example.cli(&["terminate"]);
}

#[test]
fn express_api_deploys_with_a_migration() {
    let example = Example::new("express-api");
    let mut daemon = example.start();
    assert!(example.add(r#"{"name":"Ada"}"#).starts_with("HTTP/1.1 201 "), "{}", daemon.log());

    example.cli(&["restart", "--suspended"]);
    let waiting = http::ask_port(example.port.number, "/people").unwrap();
    let mut migrate = Command::new("node");
    let migrated = migrate.args(["migrate.mjs", "email"]).current_dir(&example.folder).output().unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    example.cli(&["resume"]);
    let people = waiting.answer().unwrap().json();
    assert_eq!(people["columns"], json!(["name", "email"]));
    assert_eq!(people["rows"], json!([{ "name": "Ada", "email": null }]));

    let memory = example.cli(&["send-req", "memory", "--json"]);
    assert_eq!(memory.stdout.lines().count(), 2, "{memory}");
    example.cli(&["terminate"]);
    assert_eq!(daemon.ended().code(), Some(0));
}

/// npm would change it at the next installation, in the clone of whoever only wants to try the example.
#[test]
fn the_lock_file_of_an_example_knows_the_package_as_it_is() {
    let read = |path: &str| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
    };
    let (package, lock) = (read("node/package.json"), read("examples/express-api/package-lock.json"));
    let locked = &lock["packages"]["../../node"];
    for key in ["version", "license", "bin", "engines", "devDependencies"] {
        assert_eq!(
            locked[key], package[key],
            "`{key}`; update it with\n    npm install --prefix examples/express-api --package-lock-only"
        );
    }
}
