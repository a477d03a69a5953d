//! What machines and people do.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Child;
use std::time::{Duration, Instant};

use nodesockd_bench::Mortal;
use nodesockd_tests::{Cgroup, Process, http, until};
use rustix::process::Signal;

use super::stage::{Stage, Until};

/// Something that is done to an app.
pub struct Trouble {
    pub name: &'static str,
    pub workers: u32,
    pub standbys: u32,
    /// Whether `health.hangTimeout` is short.
    pub hangs: bool,
    /// How much memory each worker holds beside its own, in MiB.
    pub ballast: u32,
    /// Whether the daemon's standard error is a full pipe that nobody reads.
    pub unread_log: bool,
    pub place: Where,
    /// Returns when it has happened; `None` where it cannot be tried.
    pub what: fn(&Stage<'_>) -> Option<Happened>,
}

/// That it has happened.
pub struct Happened {
    pub until: Until,
    /// What else there is to say.
    pub note: Option<&'static str>,
}

impl Happened {
    const NOBODY_DIED: Self = Self { until: Until::Never, note: None };
    const NOBODY_ANSWERS: Self = Self { until: Until::Answered, note: None };

    fn gone(at: Instant) -> Self {
        Self { until: Until::Gone(at), note: None }
    }
}

/// Where the app is.
#[derive(Debug, Clone, Copy)]
pub enum Where {
    Memory,
    Disk,
}

const PLAIN: Trouble = Trouble {
    name: "",
    workers: 2,
    standbys: 1,
    hangs: false,
    ballast: 0,
    unread_log: false,
    place: Where::Memory,
    what: |_| None,
};

/// All of it.
pub const TROUBLES: &[Trouble] = &[
    Trouble { name: "a link is removed", what: remove_link, ..PLAIN },
    Trouble { name: "all links are removed", what: remove_links, ..PLAIN },
    Trouble { name: "a link is replaced by somebody else's", what: replace_link, ..PLAIN },
    Trouble { name: "a worker's socket is removed", what: remove_socket, ..PLAIN },
    Trouble { name: "everything in `tmpDir` is removed", what: clean, ..PLAIN },
    Trouble { name: "`tmpDir` is moved away", what: move_away, ..PLAIN },
    Trouble { name: "`kill -9` of a worker", standbys: 0, what: kill, ..PLAIN },
    Trouble { name: "`kill -9` of a worker", what: kill, ..PLAIN },
    Trouble { name: "`kill -9` of the only worker", workers: 1, what: kill, ..PLAIN },
    Trouble {
        name: "SIGSTOP of the standby, `kill -9` of a worker",
        what: kill_beside_a_stopped_standby,
        ..PLAIN
    },
    Trouble { name: "SIGSTOP of a worker", standbys: 0, hangs: true, what: stop, ..PLAIN },
    Trouble { name: "SIGSTOP of a worker", hangs: true, what: stop, ..PLAIN },
    Trouble { name: "a GET that loops, and that nginx repeats", hangs: true, what: repeat_a_loop, ..PLAIN },
    Trouble {
        name: "SIGSEGV of the only worker, with a core dump of 1 GB",
        workers: 1,
        ballast: 1024,
        place: Where::Disk,
        what: dump,
        ..PLAIN
    },
    Trouble { name: "a worker leaks until the kernel kills it", what: leak, ..PLAIN },
    Trouble {
        name: "nobody reads the daemon's log, `kill -9` of the only worker",
        workers: 1,
        unread_log: true,
        what: kill_with_a_full_log,
        ..PLAIN
    },
    Trouble {
        name: "a second daemon with another control socket comes and goes",
        what: second_of_another_socket,
        ..PLAIN
    },
    Trouble {
        name: "lock and control socket are removed, a second daemon comes and goes",
        what: second_without_lock,
        ..PLAIN
    },
];

fn remove_link(stage: &Stage<'_>) -> Option<Happened> {
    fs::remove_file(stage.link()).ok()?;
    Some(Happened::NOBODY_DIED)
}

fn remove_links(stage: &Stage<'_>) -> Option<Happened> {
    (0..2).try_for_each(|slot| fs::remove_file(stage.app.link(slot))).ok()?;
    Some(Happened::NOBODY_DIED)
}

fn remove_socket(stage: &Stage<'_>) -> Option<Happened> {
    fs::remove_file(stage.socket()).ok()?;
    Some(Happened::NOBODY_DIED)
}

fn move_away(stage: &Stage<'_>) -> Option<Happened> {
    fs::rename(stage.app.run(), stage.app.path("moved")).ok()?;
    Some(Happened::NOBODY_DIED)
}

fn replace_link(stage: &Stage<'_>) -> Option<Happened> {
    let other = stage.app.path("other");
    symlink("/nonexistent", &other).ok()?;
    fs::rename(other, stage.link()).ok()?;
    Some(Happened::NOBODY_DIED)
}

fn clean(stage: &Stage<'_>) -> Option<Happened> {
    for entry in fs::read_dir(stage.app.run()).unwrap() {
        // The daemon makes again what was removed before.
        let _ = fs::remove_file(entry.unwrap().path());
    }
    Some(Happened::NOBODY_DIED)
}

fn kill(stage: &Stage<'_>) -> Option<Happened> {
    Some(Happened::gone(Mortal::new(stage.worker()).ends_by(Signal::KILL)))
}

fn kill_beside_a_stopped_standby(stage: &Stage<'_>) -> Option<Happened> {
    stage.daemon.status().standbys().iter().for_each(|standby| standby.process().freeze());
    kill(stage)
}

fn kill_with_a_full_log(stage: &Stage<'_>) -> Option<Happened> {
    let worker = stage.worker();
    stage.fifo.as_ref()?.fill();
    Some(Happened::gone(Mortal::new(worker).ends_by(Signal::KILL)))
}

fn stop(stage: &Stage<'_>) -> Option<Happened> {
    stage.worker().freeze();
    Some(Happened::NOBODY_ANSWERS)
}

fn repeat_a_loop(stage: &Stage<'_>) -> Option<Happened> {
    let workers = stage.daemon.status().pids();
    let _lost = http::ask(&stage.nginx.front(), "/loop").unwrap();
    let loops = || workers.iter().any(|pid| stage.app.path(&format!("{pid}.loops")).exists());
    until("a worker loops", loops);
    Some(Happened::NOBODY_ANSWERS)
}

/// The kernel writes the core dump to the working directory, if `core_pattern` says nothing else. In the meantime the worker
/// is there, and does not answer.
fn dump(stage: &Stage<'_>) -> Option<Happened> {
    let worker = stage.worker();
    worker.signal(nix::sys::signal::Signal::SIGSEGV);
    until("the worker dumps core", || worker.status("CoreDumping") == "1");
    Some(Happened::NOBODY_ANSWERS)
}

/// In a control group of its own, so that it is the only one to be killed.
fn leak(stage: &Stage<'_>) -> Option<Happened> {
    let cgroup = Cgroup::new(200)?;
    let worker = stage.worker();
    fs::write(cgroup.members(), worker.pid.to_string()).ok()?;
    let worker = Mortal::new(worker);
    let _lost = http::ask(&stage.socket(), "/leak").unwrap();
    let gone = worker.ends();
    // Before, the kernel has kept it waiting for memory.
    stage.begin();
    Some(Happened::gone(gone))
}

fn second_of_another_socket(stage: &Stage<'_>) -> Option<Happened> {
    let toml = stage.app.read("nodesockd.toml");
    stage.app.write("second.toml", &format!("ipcFile = \"second.ipc\"\n{toml}"));
    second(stage, "second.toml")
}

fn second_without_lock(stage: &Stage<'_>) -> Option<Happened> {
    for name in ["nodesockd.ipc.lock", "nodesockd.ipc"] {
        fs::remove_file(stage.app.run().join(name)).unwrap();
    }
    second(stage, "nodesockd.toml")
}

/// How long a second daemon stays, unless it is refused.
const STAY: Duration = Duration::from_secs(10);

fn second(stage: &Stage<'_>, config: &str) -> Option<Happened> {
    let mut second = stage.build.second(&stage.app, config);
    let begun = Instant::now();
    let has_ended = move |second: &mut Child| second.try_wait().unwrap().is_some();
    until("the second daemon is refused, or has stayed", || has_ended(&mut second) || begun.elapsed() > STAY);
    if has_ended(&mut second) {
        return Some(Happened { note: Some("the second is refused"), ..Happened::NOBODY_DIED });
    }
    Process::of(second.id())?.signal(nix::sys::signal::Signal::SIGTERM);
    second.wait().unwrap();
    Some(Happened { note: Some("the second serves"), ..Happened::NOBODY_DIED })
}
