//! A log that nobody reads.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use nodesockd_tests::fifo::{FILLING, read_on};
use nodesockd_tests::{App, Daemon, Fifo, Load, Upstream, http};

/// A FIFO that is full and that nobody reads: its reading end, and a writing end.
fn full_fifo(app: &App) -> (File, File) {
    let fifo = Fifo::of(app);
    fifo.fill();
    let writer = fifo.writer();
    (fifo.into_reader(), writer)
}

/// Kills the worker of slot 0, and waits until another one serves it.
fn kill_and_replace(daemon: &Daemon) {
    let before = daemon.status();
    before.slot(0).process().signal(Signal::SIGKILL);
    daemon.until("slot 0 has another worker", |status| {
        status.is_settled() && status.workers.len() == 2 && status.slot(0).id != before.slot(0).id
    });
}

#[test]
fn full_pipe_that_nobody_reads_stops_nothing() {
    let app = App::new().standby(1).script("echo.js");
    let (reader, stderr) = full_fifo(&app);
    let mut daemon = app.launch().stderr(stderr).start();
    let nginx = Upstream::of(&app, 1).start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    kill_and_replace(&daemon);
    load.flows();
    assert_eq!(app.cli(&["restart"]).code, 0);
    load.flows();
    drop(load);

    let text = read_on(reader);
    daemon.until_so("its lines are read", || text.lock().unwrap().contains("restart is complete"));
    assert_eq!(daemon.quit(), Some(0));
    let text = text.lock().unwrap();
    let own: Vec<&str> = text.lines().filter(|line| *line != FILLING).collect();
    assert!(own.iter().all(|line| line.starts_with("20")), "each line begins with its date: {own:#?}");
    assert!(own.iter().any(|line| line.contains("killed by SIGKILL")), "{own:#?}");
}

#[test]
fn daemon_ends_though_nobody_reads_its_log() {
    let app = App::new();
    let (_reader, stderr) = full_fifo(&app);
    let mut daemon = app.launch().stderr(stderr).start();
    assert_eq!(daemon.quit(), Some(0));
}

#[test]
fn refused_daemon_ends_though_nobody_reads_why() {
    let app = App::new();
    let _daemon = app.start();
    let (_reader, stderr) = full_fifo(&app);
    let mut second = app.launch().stderr(stderr).spawn();
    assert_eq!(second.ended().code(), Some(1));
}

#[test]
fn worker_that_makes_the_shared_pipe_non_blocking_tears_no_line_of_the_daemon() {
    let app = App::new().standby(1);
    let (reader, stderr) = full_fifo(&app);
    let shared = stderr.try_clone().unwrap();
    let daemon = app.launch().stderr(stderr).start();
    // What Node does to a pipe that it writes to: it is the same description for all that inherit it.
    let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_WRONLY;
    nix::fcntl::fcntl(&shared, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
    for _ in 0..3 {
        kill_and_replace(&daemon);
    }
    let text = read_on(reader);
    let deaths = "worker was killed by SIGKILL";
    daemon.until_so("its lines are read", || text.lock().unwrap().matches(deaths).count() == 3);
    let text = text.lock().unwrap();
    let own = || text.lines().filter(|line| *line != FILLING);
    assert!(own().all(|line| line.starts_with("20")), "{text}");
}

#[test]
fn journal_is_told_how_grave_each_line_is() {
    let app = App::new();
    let (theirs, ours) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let found = std::fs::metadata(format!("/proc/self/fd/{}", theirs.as_raw_fd())).unwrap();
    let journal = format!("{}:{}", found.dev(), found.ino());
    let daemon = app.launch().env("JOURNAL_STREAM", &journal).stderr(theirs).start();
    let text = read_on(ours);
    let before = daemon.status().slot(0).id.clone();
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    daemon.until("there is another worker", |status| status.is_settled() && status.slot(0).id != before);
    daemon.until_so("the journal has heard of it", || text.lock().unwrap().contains("worker failed"));
    let text = text.lock().unwrap();
    let line =
        |words: &str| text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("worker started").starts_with("<6>"), "{text}");
    assert!(line("worker failed").starts_with("<4>"), "{text}");
    assert!(text.lines().all(|line| line.starts_with('<')), "{text}");
}

#[test]
fn log_names_who_asked_for_a_restart() {
    let app = App::new();
    let daemon = app.start();
    assert_eq!(app.cli(&["restart"]).code, 0);
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("`restart-workers` was asked for by process"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(&format!("of user {}", nix::unistd::geteuid())), "{line}");
    assert!(line.contains("nodesockd restart`"), "{line}");
    assert_eq!(http::get(&app.link(0), "/").status, 200);
}
