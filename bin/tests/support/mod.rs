//! A folder with an app in it, and a real daemon that supervises it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
const EXIT_LIMIT: Duration = Duration::from_secs(60);

/// A folder of its own with a configuration and an app.
pub struct Site {
    dir: tempfile::TempDir,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub exit: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Site {
    /// Two workers, no time lost.
    pub fn new() -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap() };
        site.write("app.js", include_str!("worker.js"));
        site.configure("");
        std::fs::create_dir(site.path("tmp")).unwrap();
        site
    }

    /// Writes the configuration, with `more` in front of its options.
    pub fn configure(&self, more: &str) {
        let toml = format!(
            "name = \"shop\"\nscript = \"app.js\"\ntmpDir = \"tmp\"\nworkers = 2\n{more}\n[options]\nstderr = \"log\"\nstdout = \"log\"\n"
        );
        self.write("nodesockd.toml", &toml);
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `nodesockd ARGS` in this folder, not yet run.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nodesockd"));
        command.args(args.split_whitespace()).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("PWD", self.dir.path()).env_remove("JOURNAL_STREAM");
        command
    }

    /// Runs `nodesockd ARGS` to its end.
    pub fn run(&self, args: &str) -> Said {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        Said {
            exit: status.code(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// A daemon whose workers are online.
    pub fn daemon(&self) -> Daemon<'_> {
        let log = std::fs::File::create(self.path("daemon.log")).unwrap();
        let child = self.command("daemon").stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let daemon = Daemon { site: self, child };
        until("all workers are online", || {
            let status = self.run("status --json");
            let status: serde_json::Value = serde_json::from_str(&status.out).ok()?;
            let workers = status["workers"].as_array()?;
            // One that is online has its slot a moment later.
            let serves = |worker: &&serde_json::Value| worker["state"] == "online" && worker["idx"].is_u64();
            (workers.iter().filter(serves).count() == 2).then_some(())
        });
        daemon
    }

    /// What `status --json` prints.
    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.run("status --json").out).unwrap()
    }

    /// The text with what differs from run to run replaced.
    pub fn stable(&self, text: &str) -> String {
        text.replace(&self.dir.path().display().to_string(), "[SITE]")
    }
}

/// A running daemon, which does not outlive its test.
pub struct Daemon<'a> {
    site: &'a Site,
    pub child: Child,
}

impl Daemon<'_> {
    /// Waits for its end.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.site.run("terminate --timeout 20s");
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.site.path("daemon.log")).unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "the daemon's log:\n{log}");
        }
    }
}

/// Waits until `condition` yields something.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(begun.elapsed() < EXIT_LIMIT, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
