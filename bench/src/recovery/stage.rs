//! An app with users, to which something happens.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nodesockd_bench::{app, app_on_disk};
use nodesockd_tests::nginx::Nginx;
use nodesockd_tests::{App, Daemon, Fifo, Load, Process, Upstream};

use super::build::Build;
use super::outage::Watcher;
use super::troubles::{Happened, Trouble, Where};

/// As short as the configuration allows.
const HANG_TIMEOUT: i64 = 1000;

/// Those of nginx, each of whom rests so long between two requests: a server that refuses at once is not asked a hundred times as
/// often as one that answers.
const CLIENTS: usize = 4;
const REST: Duration = Duration::from_millis(10);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// How long an app that has started is left alone: its start is not what is measured.
const BEFORE: Duration = Duration::from_secs(1);

/// How long is looked at what follows.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// An app, with nginx, its users, and somebody who watches each slot.
pub struct Stage<'a> {
    pub build: &'a Build,
    trouble: &'a Trouble,
    pub app: App,
    pub daemon: Daemon,
    pub nginx: Nginx,
    /// Its standard error, which nobody reads.
    pub fifo: Option<Fifo>,
    watchers: Vec<Watcher>,
}

/// Until when a request may have been sent to whom it concerned.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Nobody died: not at all.
    Never,
    /// Until the worker was gone.
    Gone(Instant),
    /// Until its slots answer again: the worker is there, and does not answer.
    Answered,
}

/// What happened to users.
#[derive(Debug)]
pub struct Outcome {
    pub requests: usize,
    /// Requests that failed and may have been sent to a worker that died or did not answer.
    pub with_it: usize,
    /// Other requests that failed.
    pub beyond: usize,
    /// The longest time without an answer of a slot; `None`: it did not answer within the limit.
    pub away: Option<Duration>,
    pub note: Option<&'static str>,
}

impl<'a> Stage<'a> {
    /// With everything that the trouble asks for.
    pub fn new(build: &'a Build, trouble: &'a Trouble) -> Self {
        let app = match trouble.place {
            Where::Memory => app(),
            Where::Disk => app_on_disk(),
        };
        let app = build.app(app).workers(trouble.workers).standby(trouble.standbys);
        let app = if trouble.hangs { build.hang_timeout(app, HANG_TIMEOUT) } else { app };
        let app = app.env("BALLAST", &trouble.ballast.to_string());
        app.write("app.js", &script());
        // Node makes an inherited pipe one that never waits, for the daemon as well.
        let app = if trouble.unread_log { app.set("options.stderr", "discard") } else { app };
        let fifo = trouble.unread_log.then(|| Fifo::of(&app));
        let mut launch = build.launch(&app);
        if let Some(fifo) = &fifo {
            launch = launch.stderr(fifo.writer());
        }
        if trouble.ballast > 0 {
            launch = launch.through(&["sh", "-c", "ulimit -c unlimited && exec \"$@\"", "sh"]);
        }
        let daemon = launch.start();
        let nginx = Upstream::of(&app, trouble.workers).start();
        let watchers = (0..trouble.workers).map(|slot| Watcher::start(&app.link(slot))).collect();
        Self { build, trouble, app, daemon, nginx, fifo, watchers }
    }

    /// Lets it happen, and waits until all slots answer; `None` where it cannot be tried.
    pub fn play(self, limit: Duration) -> Option<Outcome> {
        let load = Load::gently(&self.nginx.front(), CLIENTS, REST);
        load.flows();
        thread::sleep(BEFORE);
        self.begin();
        let begun = Instant::now();
        let Happened { until, note } = (self.trouble.what)(&self)?;
        let happened = match until {
            Until::Gone(gone) => gone,
            Until::Never | Until::Answered => Instant::now(),
        };
        let answered = loop {
            let slots = self.watchers.iter().map(|slot| slot.answered_since(happened));
            // Of the slots that answer again, the last one.
            let all = slots.collect::<Option<Vec<_>>>().and_then(|slots| slots.into_iter().max());
            if all.is_some() || begun.elapsed() > limit {
                break all;
            }
            thread::sleep(PAUSE);
        };
        thread::sleep(AFTERWARDS);
        let longest = self.watchers.iter().map(Watcher::longest).max();
        let ledger = load.finish();
        let concerned = |sent: Instant| match until {
            Until::Never => false,
            Until::Gone(gone) => sent <= gone,
            Until::Answered => answered.is_none_or(|answered| sent <= answered),
        };
        let with_it = ledger.failures.iter().filter(|failure| concerned(failure.sent)).count();
        let beyond = ledger.failures.len() - with_it;
        if beyond > 0 && !matches!(until, Until::Never) && self.build.is_this() {
            eprintln!("{}: {ledger}{}{}", self.trouble.name, self.nginx.log(), self.daemon.log());
        }
        let requests = usize::try_from(ledger.sent).expect("not so many");
        Some(Outcome { requests, with_it, beyond, away: longest.filter(|_| answered.is_some()), note })
    }

    /// It begins now.
    pub fn begin(&self) {
        self.watchers.iter().for_each(Watcher::begin);
    }

    /// The link of the first slot.
    pub fn link(&self) -> PathBuf {
        self.app.link(0)
    }

    /// The socket of its worker.
    pub fn socket(&self) -> PathBuf {
        self.link().canonicalize().unwrap()
    }

    /// Its worker.
    pub fn worker(&self) -> Process {
        self.daemon.status().slot(0).process()
    }
}

/// The app of the benches, with so many MiB in each worker, and two requests that do not end well.
fn script() -> String {
    let app = include_str!("../../apps/app.js");
    let at = "  let body = '';\n";
    assert!(app.contains(at), "the script has changed");
    let more = r"
  const says = (what) => require('node:fs').writeFileSync(`${process.pid}.${what}`, '');
  if (req.url === '/loop') {
    says('loops');
    for (;;);
  }
  if (req.url === '/leak') {
    const leak = () => {
      ballast.push(Buffer.alloc(8 << 20, 1));
      setImmediate(leak);
    };
    return leak();
  }
";
    let ballast =
        "const ballast = Array.from({ length: process.env.BALLAST }, () => Buffer.alloc(1 << 20, 1));\n";
    format!("{}{ballast}", app.replacen(at, &format!("{more}{at}"), 1))
}
