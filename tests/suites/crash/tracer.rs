//! strace, attached to a daemon that runs.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nodesockd_tests::{App, Daemon, until};

/// Where the calls are listed.
const TRACE: &str = "trace";
/// What strace itself says.
const SAYS: &str = "strace.log";

pub struct Tracer(Child);

impl Tracer {
    /// Lists all calls of the daemon from now on; `None` where that is not possible.
    pub fn list(app: &App, daemon: &Daemon) -> Option<Self> {
        Self::attach(app, daemon, |strace| strace.args(["-e", "signal=none", "-o"]).arg(app.path(TRACE)))
    }

    /// Kills the daemon on its way into the n-th call of that name from now on.
    pub fn ambush(app: &App, daemon: &Daemon, call: &str, nth: u32) -> Self {
        let tracer = Self::attach(app, daemon, |strace| {
            strace
                .args(["-e", &format!("trace={call}"), "-e", "signal=none"])
                .args(["-e", &format!("inject={call}:signal=SIGKILL:when={nth}")])
        });
        assert!(tracer.is_some(), "{}", app.read(SAYS));
        tracer.unwrap()
    }

    /// Holds up every child of the daemon for a while before it becomes a program of its own; `None` where that is not
    /// possible.
    pub fn hold_up_children(app: &App, daemon: &Daemon) -> Option<Self> {
        let inject = "inject=execve:delay_enter=500ms";
        Self::attach(app, daemon, |strace| {
            strace.args(["-f", "-e", "trace=execve", "-e", inject, "-o"]).arg(app.path(TRACE))
        })
    }

    fn attach(app: &App, daemon: &Daemon, how: impl FnOnce(&mut Command) -> &mut Command) -> Option<Self> {
        let says = File::create(app.path(SAYS)).unwrap();
        let mut strace = Command::new("strace");
        how(&mut strace).args(["-p", &daemon.pid().to_string()]);
        let mut tracer = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(says).spawn().ok()?;
        let is_attached = || app.read(SAYS).contains("attached");
        until("strace is attached, or cannot be", || is_attached() || tracer.try_wait().unwrap().is_some());
        // It may have ended already: the call that the daemon sleeps in counts as well.
        is_attached().then_some(Self(tracer))
    }

    /// Whether a call has begun that is listed.
    pub fn has_seen(&self, app: &App, call: &str) -> bool {
        app.read(TRACE).contains(call)
    }

    /// Leaves the daemon alone.
    pub fn detach(mut self) {
        if self.0.try_wait().unwrap().is_none() {
            // Only so does it let go of its own accord, and write down what it has seen.
            kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).unwrap();
            self.0.wait().unwrap();
        }
    }

    /// The names of the calls that were listed.
    pub fn listed(self, app: &App) -> Vec<String> {
        self.detach();
        let trace = app.read(TRACE);
        let name = |line: &str| line.split_once('(').map(|(name, _)| name.to_owned());
        trace
            .lines()
            .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
            .filter_map(name)
            .collect()
    }
}
