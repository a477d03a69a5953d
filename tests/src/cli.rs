//! Running a client command.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use crate::{program, wait};

/// What a command said, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its data.
    pub stdout: String,
    /// Everything else it said.
    pub stderr: String,
    /// Its exit code.
    pub code: i32,
}

impl Output {
    /// Its data, as JSON.
    ///
    /// # Panics
    ///
    /// When that is not one JSON value.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr)
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Running {
    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end, after having been killed.
    #[must_use]
    pub fn finish(mut self) -> Output {
        let mut look = || self.child.try_wait().expect("our own child");
        let mut status = None;
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            status = Some(wait::found("the command ends", &mut look, String::new));
        }));
        if ended.is_err() {
            let _ = self.child.kill();
        }
        let stdout = self.stdout.join().expect("a reader");
        let stderr = self.stderr.join().expect("a reader");
        let code = status.and_then(|status| status.code());
        let output = Output { stdout, stderr, code: code.unwrap_or(-1) };
        assert!(code.is_some(), "the command did not end by itself\n{output}");
        output
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }

    /// Kills it, as a person would by closing the terminal.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }
}

/// Runs `nodesockd` with `args` in `folder` until it ends.
#[must_use]
pub fn run(folder: &Path, args: &[&str]) -> Output {
    spawn(&mut command(folder, args)).finish()
}

/// Runs it beside the test.
#[must_use]
pub fn spawn(command: &mut Command) -> Running {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));
    Running { child, stdout, stderr }
}

/// `nodesockd` with `args` in `folder`.
#[must_use]
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program::nodesockd());
    command.args(args);
    in_folder(&mut command, folder);
    command
}

/// A command by way of a program that changes something and then runs its arguments, for instance `nohup`.
#[must_use]
pub fn through(wrapper: &[impl AsRef<OsStr>], command: &Command, folder: &Path) -> Command {
    let mut wrapped = Command::new(&wrapper[0]);
    wrapped.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    in_folder(&mut wrapped, folder);
    wrapped
}

/// A clean environment, and `folder` as the working directory, by this very name.
pub fn in_folder(command: &mut Command, folder: &Path) {
    command.current_dir(folder).env_clear().env("PWD", folder);
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
