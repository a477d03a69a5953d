//! `top`, the live picture: on a terminal, and where there is none.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Process, cli, program, wait};

/// A terminal of its own by `tmux(1)`, in which `top` runs.
struct Terminal<'a> {
    app: &'a App,
}

impl<'a> Terminal<'a> {
    fn start(app: &'a App) -> Self {
        let terminal = Self { app };
        let program = program::nodesockd().display().to_string();
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            &format!("exec {program} top"),
        ]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.app.path("tmux")).args(args);
        cli::in_folder(&mut command, self.app.folder());
        command.env("LANG", "C.UTF-8").env("TERM", "xterm").stdin(Stdio::null()).output().unwrap()
    }

    fn picture(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    fn until(&self, text: &str) {
        let found = || self.picture().contains(text).then_some(());
        wait::found(&format!("it shows {text:?}"), found, || self.picture());
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_terminal_shows_workers_until_q_also_across_the_death_of_the_daemon() {
    let app = App::new().workers(2);
    let mut daemon = app.start();
    let terminal = Terminal::start(&app);
    terminal.until("2 serving of 2 workers");
    let id = daemon.status().slot(1).id.clone();
    terminal.until(&id[id.len() - 5..]);

    daemon.die();
    terminal.until("what follows is old: no daemon is running");
    daemon.follow(app.launch());
    terminal.until("another daemon answers");
    terminal.tmux(&["resize-window", "-x", "200", "-y", "60"]);
    assert_eq!(app.cli(&["restart"]).code, 0);
    terminal.until(&format!("generation 2 is in force, runs {}", app.folder().display()));
    terminal.tmux(&["send-keys", "/", "1", "Enter"]);
    terminal.until("filter: 1");
    terminal.tmux(&["send-keys", "Escape", "q"]);
    wait::until("it ends", || !terminal.tmux(&["has-session"]).status.success());
}

#[test]
fn a_terminal_is_given_back_whatever_ends_it() {
    let app = App::new();
    let _daemon = app.start();
    let terminal = Terminal::start(&app);
    let asked = |about: &str| terminal.tmux(&["display-message", "-p", about]).stdout;
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let command = format!("{} top; echo it is over: $?; read _", program::nodesockd().display());
        terminal.tmux(&["respawn-window", "-k", &command]);
        terminal.until("1 serving of 1 workers");
        let shell: u32 = String::from_utf8(asked("#{pane_pid}")).unwrap().trim().parse().unwrap();
        let top = Process::of(shell).unwrap().children()[0];
        Process::of(top).unwrap().signal(signal);
        terminal.until("it is over: 0");
        assert_eq!(asked("#{alternate_on}"), b"0\n");
    }
}

#[test]
fn without_a_terminal_what_happens_is_printed_line_by_line() {
    let app = App::new();
    let daemon = app.start();
    let mut command = cli::command(app.folder(), &["status", "--watch"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("0 ")).unwrap();
    assert!(first.contains("online"), "{first}");

    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let said = lines.by_ref().map(Result::unwrap).find(|line| line.contains("suspended")).unwrap();
    assert_eq!(said, "the app is suspended: requests wait");
    // Nobody reads any more: it ends at the next line.
    drop(lines);
    assert_eq!(app.cli(&["resume"]).code, 0);
    let status = wait::found("it ends", || child.try_wait().unwrap(), String::new);
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
}

#[test]
fn without_a_daemon_there_is_nothing_to_show() {
    let app = App::new();
    app.save();
    let output = app.cli(&["top"]);
    assert_eq!(output.code, 4, "{output}");
}
