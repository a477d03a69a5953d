//! What the benches share: the app they run, how long Node takes by itself, and Markdown.
//!
//! Each bench is one command that prints one table. What is compared is measured in the same run, in turns, because
//! nothing else about a machine stays as it is.
#![expect(clippy::expect_used, reason = "a bench that cannot go on stops, and says where")]

pub mod starve;
pub mod supervisors;

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nodesockd_tests::nginx::{KEEPALIVE_TIMEOUT, Nginx, Site};
use nodesockd_tests::{App, Daemon, Process, cli, http, wait};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;

/// The folder of the benches.
#[must_use]
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where Linux has a file system in memory, which `tmpDir` is meant to be on: `/run` is one, but root's.
const MEMORY: &str = "/dev/shm";

/// The app of the benches, to be run by nodesockd, in memory where that can be. `app.js` and `cluster.js` are in its folder.
#[must_use]
pub fn app() -> App {
    let memory = Path::new(MEMORY);
    prepared(if memory.is_dir() { App::within(memory) } else { App::new() })
}

/// The same on a disk.
#[must_use]
pub fn app_on_disk() -> App {
    prepared(App::new())
}

fn prepared(app: App) -> App {
    let app = app.env("UPSTREAM_KEEP_ALIVE", &(KEEPALIVE_TIMEOUT * 1000).to_string());
    app.write("app.js", include_str!("../apps/app.js"));
    app.write("cluster.js", include_str!("../apps/cluster.js"));
    app
}

/// The same, which also takes what lasts long, by `long.js`.
#[must_use]
pub fn app_for_long_requests() -> App {
    let app = app().package("ws").env("LONG", "yes");
    app.write("long.js", include_str!("../apps/long.js"));
    app
}

/// An nginx that passes on what comes as it comes, as `nodesockd nginx` would have it but for that.
#[must_use]
pub fn front_for_long_requests(app: &App, workers: u32) -> Nginx {
    let site = Site::new();
    let servers: String = (0..workers)
        .map(|slot| format!("    server unix:{} max_fails=0;\n", app.link(slot).display()))
        .collect();
    site.configure(&format!(
        r#"  map $http_upgrade $connection_to_worker {{ default upgrade; "" ""; }}
  upstream app {{
{servers}  }}
  server {{
    listen unix:{} backlog=4096;
    client_max_body_size 0;
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_to_worker;
      proxy_read_timeout 1h;
      proxy_request_buffering off;
      proxy_buffering off;
    }}
  }}
"#,
        site.front().display()
    ));
    site.start(&[])
}

/// `nodesockd restart --no-wait`, as its client asks for it.
///
/// # Panics
///
/// When it fails.
pub fn restart_until_swap(daemon: &Daemon) {
    let reply = daemon.connect().request("restart-workers", &json!({ "untilSwap": true }));
    assert!(reply.errors.is_empty(), "{reply:?}\n{}", daemon.log());
}

/// The app, run by nobody.
#[derive(Debug)]
pub struct Plain {
    child: Child,
    socket: PathBuf,
}

impl Plain {
    /// Starts `node app.js`, listening on a unix socket of this name in the app's folder.
    ///
    /// # Panics
    ///
    /// When there is no Node.
    #[must_use]
    pub fn spawn(app: &App, name: &str) -> Self {
        let socket = app.path(name);
        let mut command = Command::new("node");
        cli::in_folder(&mut command, app.folder());
        let child =
            command.arg("app.js").env("PORT", &socket).stdin(Stdio::null()).spawn().expect("Node runs");
        Self { child, socket }
    }

    /// Its process.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[must_use]
    pub fn process(&self) -> Process {
        Process::of(self.child.id()).expect("the app runs")
    }

    /// Waits for its first answer.
    pub fn answers(&self) {
        answers(&self.socket);
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Waits until a socket, or the link to one, gives an answer.
///
/// # Panics
///
/// When it does not.
pub fn answers(socket: &Path) {
    let begun = Instant::now();
    while !http::try_get(socket, "/1").is_ok_and(|answer| answer.status == 200) {
        assert!(begun.elapsed() < wait::limit(), "{} does not answer", socket.display());
        // Often enough to measure by, and seldom enough not to take a core away from who is being measured.
        thread::sleep(Duration::from_micros(100));
    }
}

/// Sees links being swapped.
#[derive(Debug)]
pub struct Links(Inotify);

impl Links {
    /// Watches the links of `app` from now on.
    ///
    /// # Panics
    ///
    /// When inotify(7) is not to be had.
    #[must_use]
    pub fn watch(app: &App) -> Self {
        let inotify = Inotify::init(InitFlags::empty()).expect("inotify(7)");
        inotify.add_watch(&app.run(), AddWatchFlags::IN_MOVED_TO).expect("inotify(7)");
        Self(inotify)
    }

    /// Returns when each of `links` has been swapped since the watch began.
    ///
    /// # Panics
    ///
    /// When inotify(7) fails.
    pub fn swapped(&self, links: &[PathBuf]) {
        let mut names: BTreeSet<_> = links.iter().filter_map(|link| link.file_name()).collect();
        while !names.is_empty() {
            for event in self.0.read_events().expect("inotify(7)") {
                event.name.as_deref().map(|name| names.remove(name));
            }
        }
    }
}

/// Sees whom links lead to.
#[derive(Debug)]
pub struct Led(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Led {
    /// Notes from now on whom any link of `app` leads to.
    ///
    /// # Panics
    ///
    /// When inotify(7) is not to be had.
    #[must_use]
    pub fn watch(app: &App) -> Self {
        let inotify = Inotify::init(InitFlags::empty()).expect("inotify(7)");
        inotify.add_watch(&app.run(), AddWatchFlags::IN_MOVED_TO).expect("inotify(7)");
        let (targets, run) = (Arc::<Mutex<BTreeSet<PathBuf>>>::default(), app.run());
        let noted = Arc::clone(&targets);
        // Ends with the folder.
        thread::spawn(move || {
            while run.is_dir() {
                let events = inotify.read_events().unwrap_or_default();
                let names = events.iter().filter_map(|event| event.name.as_deref());
                let new = names.filter_map(|name| fs::read_link(run.join(name)).ok());
                noted.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
            }
        });
        Self(targets)
    }

    /// To how many workers a link has led since.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether a link has led to this worker since.
    #[must_use]
    pub fn to(&self, worker: &str) -> bool {
        let targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.iter().any(|target| target.to_string_lossy().contains(worker))
    }
}

/// A process whose end is waited for without a look into `/proc`: such a look keeps the kernel from clearing the process away,
/// and thereby its parent waiting.
#[derive(Debug)]
pub struct Mortal(OwnedFd);

impl Mortal {
    /// A process that runs.
    ///
    /// # Panics
    ///
    /// When it is gone.
    #[must_use]
    pub fn new(process: Process) -> Self {
        let pid = process.pid.try_into().ok().and_then(Pid::from_raw).expect("a pid");
        Self(pidfd_open(pid, PidfdFlags::empty()).expect("a process that runs"))
    }

    /// Sends it a signal that ends it. Returns when it was gone.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[must_use]
    pub fn ends_by(&self, signal: Signal) -> Instant {
        pidfd_send_signal(&self.0, signal).expect("a process of ours");
        self.ends()
    }

    /// Waits for its end. Returns when it was gone.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[must_use]
    pub fn ends(&self) -> Instant {
        let limit = wait::limit().try_into().expect("a minute");
        let ended = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit));
        assert_eq!(ended, Ok(1), "the process ends");
        Instant::now()
    }
}

/// How long something takes.
pub fn time(what: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    what();
    begun.elapsed()
}

/// Durations of the same thing.
#[derive(Debug, Clone)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// Of what was measured, in any order.
    ///
    /// # Panics
    ///
    /// When nothing was.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Self(times)
    }

    /// The median, in milliseconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        milliseconds(self.0[self.0.len() / 2])
    }

    /// `median (shortest to longest)`, in milliseconds.
    #[must_use]
    pub fn show(&self) -> String {
        let ends = [self.0[0], self.0[self.0.len() - 1]].map(milliseconds);
        format!("{:.1} ms ({:.1} to {:.1})", self.median(), ends[0], ends[1])
    }

    /// The same to the microsecond.
    #[must_use]
    pub fn show_finely(&self) -> String {
        let ends = [self.0[0], self.0[self.0.len() - 1]].map(milliseconds);
        format!("{:.3} ms ({:.3} to {:.3})", self.median(), ends[0], ends[1])
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
