//! How long nobody is served after what machines and people do: `cargo run --release -p nodesockd-bench -- recovery`

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nix::sys::signal::Signal;
use nodesockd_bench::{Sample, answers, app, time};
use nodesockd_tests::{App, Daemon};

/// Takes something away from a running app and measures until its slot answers again; prints a Markdown table.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each.
    #[arg(long, default_value_t = 20)]
    rounds: usize,

    /// Only what has this in its name.
    #[arg(long)]
    only: Option<String>,
}

/// What is done to one worker of an app.
type Trouble = fn(&Stage);

const TROUBLES: [(&str, Trouble); 11] = [
    ("a link is removed", |stage| fs::remove_file(stage.link()).unwrap()),
    ("a link is replaced by somebody else's", Stage::replace_link),
    ("a worker's socket is removed", |stage| fs::remove_file(stage.socket()).unwrap()),
    ("everything in `tmpDir` is removed", Stage::clean),
    ("`tmpDir` is moved away", |stage| fs::rename(stage.app.run(), stage.app.path("moved")).unwrap()),
    ("`kill -9` of a worker", |stage| stage.signal(Signal::SIGKILL)),
    ("SIGSEGV of a worker", |stage| stage.signal(Signal::SIGSEGV)),
    ("SIGSTOP of a worker", |stage| stage.signal(Signal::SIGSTOP)),
    ("a worker loops", |stage| stage.signal(Signal::SIGUSR2)),
    ("`kill -9` of a worker, SIGSTOP of the standby", Stage::kill_with_a_stopped_standby),
    ("`kill -9` of the daemon", |_| {}),
];

/// As short as the configuration allows.
const HANG_TIMEOUT: i64 = 1000;

/// Its event loop does not turn any more after SIGUSR2.
const APP: &str = concat!(include_str!("../apps/app.js"), "\nprocess.on('SIGUSR2', () => { for (;;); });\n");

/// Runs the bench.
pub fn run(options: &Options) {
    println!("| what happens | standbys | the slot does not answer for: median (range) |");
    println!("| --- | ---: | --- |");
    for (name, trouble) in TROUBLES {
        if options.only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let least = u32::from(name.ends_with("of the standby"));
        for standby in least..=1 {
            // Of an app of its own: one that loses workers again and again starts them later each time.
            let once = || Stage::new(standby).measure(name, trouble);
            let times: Vec<Duration> = (0..options.rounds).map(|_| once()).collect();
            println!("| {name} | {standby} | {} |", Sample::of(times).show());
        }
    }
}

/// An app of two workers.
struct Stage {
    app: App,
    daemon: Daemon,
}

impl Stage {
    fn new(standby: u32) -> Self {
        let app = app().workers(2).standby(standby).set("health.hangTimeout", HANG_TIMEOUT);
        app.write("app.js", APP);
        let daemon = app.start();
        Self { app, daemon }
    }

    /// From the trouble to the next answer of slot 0.
    fn measure(mut self, name: &str, trouble: Trouble) -> Duration {
        let link = self.link();
        answers(&link);
        if name.ends_with("of the daemon") {
            self.daemon.die();
            let took = time(|| answers(&link));
            self.daemon.follow(self.app.launch());
            return took;
        }
        time(|| {
            trouble(&self);
            answers(&link);
        })
    }

    fn link(&self) -> PathBuf {
        self.app.link(0)
    }

    fn socket(&self) -> PathBuf {
        self.link().canonicalize().unwrap()
    }

    fn replace_link(&self) {
        let other = self.app.path("other");
        symlink("/nonexistent", &other).unwrap();
        fs::rename(other, self.link()).unwrap();
    }

    fn clean(&self) {
        for entry in fs::read_dir(self.app.run()).unwrap() {
            let _ = fs::remove_file(entry.unwrap().path());
        }
    }

    fn kill_with_a_stopped_standby(&self) {
        self.daemon.status().standbys().iter().for_each(|standby| standby.process().freeze());
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        self.daemon.status().slot(0).process().signal(signal);
    }
}
