//! nodesockd and what it is compared with, each running the same app.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nodesockd_tests::{App, Daemon, Upstream, cli, http};
use serde_json::json;

use crate::folder;

/// Which supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nodesockd: nginx lists one server for each worker.
    Nodesockd(Integration),
    /// `pm2 reload` in cluster mode: nginx lists one server.
    Pm2,
    /// Node's cluster module: nginx lists one server.
    Cluster,
}

/// How the app is integrated with nodesockd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integration {
    /// `nodesockd.listen()`, on sockets of the workers' own.
    Worker,
    /// The same, on sockets that the daemon holds (`options.listen`).
    Daemon,
    /// Step by step, as for 2.x: `server.close()` when it is told to shut down.
    ByHand,
}

impl Integration {
    /// The app, integrated in this way.
    #[must_use]
    pub fn of(self, app: App) -> App {
        match self {
            Self::Worker => app,
            Self::Daemon => app.set("options.listen", "daemon"),
            Self::ByHand => app.env("INTEGRATION", "by hand"),
        }
    }
}

impl Kind {
    /// Whether it is nodesockd.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Nodesockd(_))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nodesockd(Integration::Worker) => "nodesockd",
            Self::Nodesockd(Integration::Daemon) => "nodesockd, listen=daemon",
            Self::Nodesockd(Integration::ByHand) => "nodesockd, 2.x app",
            Self::Pm2 => "PM2 reload",
            Self::Cluster => "node:cluster",
        })
    }
}

/// A supervisor at work. Dropped, it is ended with its workers.
#[derive(Debug)]
pub struct Supervisor {
    running: Running,
    upstream: Upstream,
    _port: http::Port,
    // Last, because it takes its folder with it.
    _app: App,
}

#[derive(Debug)]
enum Running {
    Nodesockd(Daemon),
    Pm2(Pm2),
    Cluster(Cluster),
}

impl Supervisor {
    /// Starts a supervisor by `wrapper`, a program that runs its further arguments, and waits until all workers serve.
    #[must_use]
    pub fn start(kind: Kind, workers: u32, wrapper: &[&str]) -> Self {
        let app = crate::app().workers(workers);
        let app = if let Kind::Nodesockd(integration) = kind { integration.of(app) } else { app };
        let port = http::Port::claim();
        let running = match kind {
            Kind::Nodesockd(_) => Running::Nodesockd(app.launch().through(wrapper).start()),
            Kind::Pm2 => Running::Pm2(Pm2::start(&app, workers, port.number, wrapper)),
            Kind::Cluster => Running::Cluster(Cluster::start(&app, workers, port.number, wrapper)),
        };
        let upstream = match kind {
            Kind::Nodesockd(_) => Upstream::of(&app, workers),
            Kind::Pm2 | Kind::Cluster => Upstream::to(vec![format!("127.0.0.1:{}", port.number)]),
        };
        Self { running, upstream, _port: port, _app: app }
    }

    /// The servers that nginx has to list.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        self.upstream.clone()
    }

    /// Replaces all workers. Returns when the supervisor says that this is done.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn deploy(&mut self) {
        match &mut self.running {
            Running::Nodesockd(daemon) => restart(daemon),
            Running::Pm2(pm2) => pm2.run(&["reload", "app"]),
            Running::Cluster(cluster) => cluster.reload(),
        }
    }
}

/// `nodesockd restart`, as its client asks for it.
///
/// # Panics
///
/// When it fails.
pub fn restart(daemon: &Daemon) {
    let reply = daemon.connect().request("restart-workers", &json!({}));
    assert!(reply.errors.is_empty(), "{reply:?}\n{}", daemon.log());
}

/// PM2 with a home of its own, and its own time-out for a worker that does not end (1.6 s, then SIGKILL).
#[derive(Debug)]
struct Pm2 {
    command: Vec<String>,
    home: PathBuf,
}

impl Pm2 {
    fn start(app: &App, workers: u32, port: u16, wrapper: &[&str]) -> Self {
        let apps = json!([{
            "name": "app",
            "script": "app.js",
            "exec_mode": "cluster",
            "instances": workers,
            "wait_ready": true,
            "listen_timeout": 50_000,
            "env": { "PORT": port },
        }]);
        app.write("pm2.json", &json!({ "apps": apps }).to_string());
        let program = folder().join("node_modules/.bin/pm2").display().to_string();
        let command = wrapper.iter().map(|&word| word.to_owned()).chain([program]).collect();
        let pm2 = Self { command, home: app.folder().to_owned() };
        pm2.run(&["start", "pm2.json"]);
        pm2
    }

    fn run(&self, args: &[&str]) {
        let mut command = Command::new(&self.command[0]);
        cli::in_folder(&mut command, &self.home);
        command.args(&self.command[1..]).args(args).env("PM2_HOME", self.home.join("pm2"));
        let output = command.stdin(Stdio::null()).output().expect("PM2 runs");
        assert!(output.status.success(), "pm2 {args:?}: {output:?}");
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        self.run(&["kill"]);
    }
}

/// `cluster.js`, which is told to reload by a line on its stdin.
#[derive(Debug)]
struct Cluster {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Cluster {
    fn start(app: &App, workers: u32, port: u16, wrapper: &[&str]) -> Self {
        let mut command = Command::new(wrapper[0]);
        cli::in_folder(&mut command, app.folder());
        command.args(&wrapper[1..]).args(["node", "cluster.js"]);
        command.env("PORT", port.to_string()).env("WORKERS", workers.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Node runs");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut cluster = Self { stdin: child.stdin.take(), child, stdout };
        cluster.says("ready");
        cluster
    }

    fn reload(&mut self) {
        self.stdin.as_mut().expect("open until the end").write_all(b"reload\n").expect("the cluster runs");
        self.says("reloaded");
    }

    fn says(&mut self, word: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a pipe");
        assert_eq!(line.trim(), word, "the cluster ended");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // At the end of its input it exits, and its workers with it.
        self.stdin = None;
        let _ = self.child.wait();
    }
}
