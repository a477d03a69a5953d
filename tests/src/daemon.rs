//! A running daemon.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ipc::{Connection, Status};
use crate::process::{self, Process};
use crate::{cli, wait};

/// How a daemon is going to be started.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    folder: PathBuf,
    ipc: PathBuf,
    stderr: Option<OwnedFd>,
}

impl Launch {
    /// `nodesockd daemon` in `folder`, whose configuration says `ipc`.
    #[must_use]
    pub fn new(folder: &Path, ipc: &Path) -> Self {
        let command = cli::command(folder, &["daemon"]);
        Self { command, folder: folder.to_owned(), ipc: ipc.to_owned(), stderr: None }
    }

    /// Another argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// A variable of the daemon's own environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Another working directory, by this very name.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder).env("PWD", folder);
        self
    }

    /// Another copy of the program.
    #[must_use]
    pub fn from(mut self, program: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(self.command.get_args());
        cli::in_folder(&mut command, &self.folder);
        self.command = command;
        self
    }

    /// Through a program that changes something and then runs its arguments, for instance `nohup`.
    #[must_use]
    pub fn through(mut self, wrapper: &[impl AsRef<OsStr>]) -> Self {
        self.command = cli::through(wrapper, &self.command, &self.folder);
        self
    }

    /// Another standard error than the file that [`Daemon::log`] reads.
    #[must_use]
    pub fn stderr(mut self, stream: impl Into<OwnedFd>) -> Self {
        self.stderr = Some(stream.into());
        self
    }

    /// Starts it, and waits until everything it ought to run is there.
    #[must_use]
    pub fn start(self) -> Daemon {
        let daemon = self.spawn();
        daemon.settled();
        daemon
    }

    /// Starts it.
    #[must_use]
    pub fn spawn(mut self) -> Daemon {
        let log = self.folder.join("daemon.log");
        let child = self.run(&log);
        Daemon { child, log, ipc: self.ipc }
    }

    fn run(&mut self, log: &Path) -> Child {
        let file = File::options().append(true).create(true).open(log).expect("the app's own folder");
        let stderr = match &self.stderr {
            Some(stream) => stream.try_clone().expect("a descriptor").into(),
            None => Stdio::from(file.try_clone().expect("a descriptor")),
        };
        self.command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.command))
    }
}

/// A daemon. Dropped, it is killed with all that is left of its workers.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    ipc: PathBuf,
}

impl Daemon {
    /// Its process.
    ///
    /// # Panics
    ///
    /// When there is none any more.
    #[must_use]
    pub fn process(&self) -> Process {
        Process::of(self.child.id()).unwrap_or_else(|| panic!("the daemon is gone{}", self.explain()))
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// A connection to it.
    ///
    /// # Panics
    ///
    /// When it does not listen.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(&self.ipc).unwrap_or_else(|error| panic!("{error}{}", self.explain()))
    }

    /// Its status.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    #[must_use]
    pub fn status(&self) -> Status {
        self.try_status().unwrap_or_else(|| panic!("the daemon does not answer{}", self.explain()))
    }

    /// Its status, if it answers.
    #[must_use]
    pub fn try_status(&self) -> Option<Status> {
        Connection::open(&self.ipc).ok()?.status()
    }

    /// Waits until its status is as `condition` says, and returns it.
    ///
    /// # Panics
    ///
    /// When that does not happen.
    pub fn until(&self, what: &str, mut condition: impl FnMut(&Status) -> bool) -> Status {
        self.found(what, || self.try_status().filter(|status| condition(status)))
    }

    /// Waits until every slot is served, every standby is there and nothing is in progress.
    pub fn settled(&self) -> Status {
        self.until("everything is settled", Status::is_settled)
    }

    /// Waits until its log holds `text`.
    pub fn until_logged(&self, text: &str) {
        let what = format!("the log says `{text}`");
        self.found(&what, || self.log().contains(text).then_some(()));
    }

    /// Waits for something else that it ought to bring about.
    pub fn until_so(&self, what: &str, mut condition: impl FnMut() -> bool) {
        self.found(what, || condition().then_some(()));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(pid(self.child.id()), signal).expect("our own child");
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let Self { child, log, .. } = self;
        let explain = || std::fs::read_to_string(&*log).unwrap_or_default();
        wait::found("the daemon ends", || child.try_wait().expect("our own child"), explain)
    }

    /// Kills it, and nothing else: its workers go on.
    pub fn die(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Puts another daemon in the place of this one, which has ended, and waits until everything it ought to run is there.
    pub fn follow(&mut self, launch: Launch) -> Status {
        self.take_place(launch);
        self.settled()
    }

    /// The same, without waiting.
    ///
    /// # Panics
    ///
    /// When this one has not ended.
    pub fn take_place(&mut self, mut launch: Launch) {
        assert!(self.has_ended(), "there is a daemon");
        self.child = launch.run(&self.log);
    }

    /// Ends it as an init system would, and returns its exit code.
    pub fn quit(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.ended().code()
    }

    /// All processes that were started on its behalf and still run: those whose environment names its control socket.
    #[must_use]
    pub fn descendants(&self) -> Vec<Process> {
        let marker = format!("NODESOCKD_IPC_PATH={}", self.ipc.display());
        process::all().filter(|process| process.environment().contains(&marker)).collect()
    }

    fn found<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let look = || {
            look().or_else(|| {
                let runs = Process::of(self.child.id()).is_some();
                assert!(runs, "the daemon has ended; the test waited until {what}{}", self.explain());
                None
            })
        };
        wait::found(what, look, || self.explain())
    }

    fn explain(&self) -> String {
        format!("\nstatus: {:#?}\nlog:\n{}", self.try_status(), self.log())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut killed = Vec::new();
        // A worker may just be starting another process; and one that is dying has no environment any more.
        while killed.iter().any(|process: &Process| process.is_alive()) || !self.descendants().is_empty() {
            for process in self.descendants() {
                let _ = kill(pid(process.pid), Signal::SIGKILL);
                killed.push(process);
            }
            std::thread::yield_now();
        }
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().expect("a pid"))
}
