//! A backend with a folder of its own, and orders for it.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use nodesockd_core::Event;
use nodesockd_core::action::{Route, SpawnOrder};
use nodesockd_core::backend::Backend as _;
use nodesockd_core::config::{Config, Env, Health, Limits, Options, Output, Program, Ready, SocketPattern};
use nodesockd_core::event::ExitStatus;
use nodesockd_core::id::{Ids, Process, WorkerId};
use nodesockd_os::{Backend, Setup};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

/// How long a test waits for an event before it fails.
const EVENT_LIMIT: Duration = Duration::from_secs(30);

pub struct Harness {
    pub backend: Backend,
    pub folder: TempDir,
    ids: Ids,
}

impl Harness {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        static PREPARED: Once = Once::new();
        PREPARED.call_once(nodesockd_os::prepare);
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        let backend = open(config).unwrap();
        Self { backend, folder, ids: Ids::new(nodesockd_os::random_boot_id()) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn worker(&mut self) -> WorkerId {
        self.ids.worker()
    }

    pub fn order(&mut self, argv: &[&str]) -> SpawnOrder {
        let worker = self.worker();
        SpawnOrder {
            worker,
            argv: argv.iter().map(|part| (*part).to_owned()).collect(),
            cwd: self.folder.path().to_owned(),
            pass: vec!["PATH".into()],
            set: Vec::new(),
            env_files: Vec::new(),
            overrides: vec![("NODESOCKD_WORKER_ID".into(), worker.to_string())],
            stdout: Route::Straight(Output::Inherit),
            stderr: Route::Straight(Output::Inherit),
            listeners: Vec::new(),
            ready: Ready::Report,
        }
    }

    pub fn spawn(&mut self, argv: &[&str]) -> (WorkerId, Process) {
        let order = self.order(argv);
        let process = self.backend.spawn(&order).unwrap();
        (order.worker, process)
    }

    /// The next fact of which `wanted` makes something; others are passed over.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let deadline = self.backend.now() + EVENT_LIMIT;
        loop {
            let event =
                self.backend.next(Some(deadline)).await.expect("what was waited for has not happened");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    pub async fn exit(&mut self, expected: WorkerId) -> ExitStatus {
        self.until(|event| match event {
            Event::Exited { worker, status } if *worker == expected => Some(*status),
            _ => None,
        })
        .await
    }

    /// Lets the backend's tasks run until `done`.
    pub async fn wait_for(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = self.backend.now() + EVENT_LIMIT;
        while !done() {
            assert!(self.backend.now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

pub fn open(config: Config) -> Result<Backend, nodesockd_os::OpenError> {
    let load = {
        let config = config.clone();
        move || Ok(config.clone())
    };
    Backend::open(Setup { config, load: Box::new(load), program: "true".into() })
}

pub fn config(folder: &Path) -> Config {
    Config {
        files: Vec::new(),
        cwd: folder.to_owned(),
        name: "app".into(),
        program: Program::Command(vec!["true".into()]),
        tmp_dir: folder.to_owned(),
        socket_file: pattern(),
        socket_dir: folder.to_owned(),
        ipc_file: folder.join("nodesockd.ipc"),
        workers: NonZeroU32::MIN,
        slots: None,
        standby: 0,
        env: Env::default(),
        env_files: Vec::new(),
        dev_server: None,
        metrics: None,
        debug: false,
        limits: Limits::default(),
        log: None,
        health: Health::default(),
        options: Options::default(),
    }
}

pub fn pattern() -> SocketPattern {
    SocketPattern::parse("app.{worker}.sock").unwrap()
}

/// A socket on which nobody listens any more. Never on one of ours: a process that another test is just starting would
/// have it open, too, for a moment.
pub fn dead_socket(path: &Path) {
    mknodat(CWD, path, FileType::Socket, Mode::RWXU, 0).unwrap();
}

/// Whether a process is there, exited or not.
pub fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
