//! An app that a 2.x daemon supervises, in a folder of its own, and a supervisor that starts a daemon again when it ends.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use nodesockd_tests::cli::{self, Output};
use nodesockd_tests::load::Ledger;
use nodesockd_tests::nginx::Nginx;
use nodesockd_tests::wait;
use nodesockd_tests::{App, Connection, Load, Process, Status, Upstream, app, program};
use serde_json::Value;

/// Clients at work: as many as leave something for new workers to boot with.
const CLIENTS: usize = 8;

pub struct Host {
    pub app: App,
    supervisor: Option<Child>,
}

/// A worker in a 2.x daemon's status, which has fewer fields than ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub pid: u32,
    pub idx: Option<u64>,
    pub state: String,
}

impl Host {
    /// An app as the documents of 2.x have it, with two workers, and 2.x installed.
    pub fn of_2x() -> Self {
        Self::configured("")
    }

    /// The same, with more settings; `options` come last.
    pub fn configured(more: &str) -> Self {
        let app = App::new().script("app-for-2.js");
        app.write("nodesockd.yml", &format!("script: app.js\ntmpDir: run\nworkers: 2\n{more}"));
        let host = Self { app, supervisor: None };
        std::fs::create_dir(host.app.path("node_modules/.bin")).unwrap();
        host.install(&app::fixture("nodesockd-2"), &app::fixture("nodesockd-2/cli.js"));
        host
    }

    /// What `npm install nodesockd@3` does.
    pub fn install_3(&self) {
        self.install(&program::root().join("node"), program::nodesockd());
    }

    fn install(&self, package: &Path, command: &Path) {
        for (name, target) in [("nodesockd", package), (".bin/nodesockd", command)] {
            let new = self.app.path("node_modules/new");
            symlink(target, &new).unwrap();
            std::fs::rename(new, self.app.path("node_modules").join(name)).unwrap();
        }
    }

    /// Starts a daemon again and again, as a plain supervisor does, and waits until the first one is up.
    pub fn supervise(&mut self) -> Vec<Row> {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do node_modules/.bin/nodesockd daemon; sleep 0.1; done"]);
        cli::in_folder(&mut command, self.app.folder());
        let log = std::fs::File::options().append(true).create(true).open(self.app.path("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.supervisor = Some(command.spawn().unwrap());
        self.until("a 2.x daemon is up", |status| {
            let rows = rows(status);
            let up = rows.len() == 2 && rows.iter().all(|row| row.state == "online" && row.idx.is_some());
            up.then_some(rows)
        })
    }

    /// Starts a 2.x daemon that nobody starts again.
    pub fn start_2x(&mut self) -> Vec<Row> {
        let rows = self.supervise();
        // The loop is killed, its daemon is not.
        let supervisor = self.supervisor.as_mut().unwrap();
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
        rows
    }

    /// A status, of whichever daemon there is.
    pub fn status(&self) -> Option<Value> {
        let mut connection = Connection::open(&self.app.ipc()).ok()?;
        let id = connection.ask("status", &Value::Null).ok()?;
        Some(connection.answer(&id)?.data)
    }

    /// Waits until `look` finds something in the daemon's status.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        wait::found(what, || look(&self.status()?), || format!("{:#?}\n{}", self.status(), self.log()))
    }

    /// Waits until our daemon has settled.
    pub fn settled(&self) -> Status {
        self.until("a 3.0 daemon has settled", |status| {
            let status: Status = serde_json::from_value(status.clone()).ok()?;
            status.is_settled().then_some(status)
        })
    }

    pub fn pid(&self) -> u32 {
        u32::try_from(self.status().unwrap()["pid"].as_u64().unwrap()).unwrap()
    }

    pub fn log(&self) -> String {
        self.app.read("log")
    }

    /// Requests by way of nginx, which tries no other server: that would hide what is lost.
    pub fn load(&self) -> (Nginx, Load) {
        let nginx = Upstream::of(&self.app, 2).next("off").start();
        let load = Load::start(&nginx.front(), CLIENTS);
        load.flows();
        (nginx, load)
    }

    /// Runs a command that has to succeed.
    pub fn run(&self, args: &[&str]) -> Output {
        let output = self.app.cli(args);
        assert_eq!(output.code, 0, "{args:?}: {output}\n{}", self.log());
        output
    }

    /// Ends a load of which nothing may have been lost.
    pub fn none_lost(&self, nginx: &Nginx, load: Load) -> Ledger {
        load.flows();
        let ledger = load.finish();
        assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), self.log());
        ledger
    }

    /// Nobody is there but our daemon, the workers that it knows, and its supervisor.
    pub fn nobody_is_left_over(&self) {
        let status = self.settled();
        let mut known = status.pids();
        known.push(status.pid);
        known.extend(self.supervisor.iter().map(Child::id));
        let left = || -> Vec<Process> {
            self.app.inhabitants().filter(|process| !known.contains(&process.pid)).collect()
        };
        wait::found(
            "nobody is left over",
            || left().is_empty().then_some(()),
            || format!("{:?}\n{status:#?}\n{}", left(), self.log()),
        );
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
        }
        let mut left: Vec<Process> = self.app.inhabitants().collect();
        while !left.is_empty() {
            for process in left.iter().filter(|process| process.is_alive()) {
                process.signal(Signal::SIGKILL);
            }
            left = self.app.inhabitants().collect();
        }
    }
}

/// The workers in a status.
pub fn rows(status: &Value) -> Vec<Row> {
    let rows = status["workers"].as_array().unwrap().iter();
    rows.map(|row| Row {
        pid: row["pid"].as_u64().unwrap_or_default().try_into().unwrap(),
        idx: row["idx"].as_u64(),
        state: row["state"].as_str().unwrap().to_owned(),
    })
    .collect()
}
