//! What workers write to stderr goes where it is to go, whatever becomes of the process that takes it; and who asked for workers
//! that failed is told what they wrote last.

use std::collections::BTreeMap;
use std::sync::Mutex;

use nix::sys::signal::Signal;
use nodesockd_tests::app::fixture;
use nodesockd_tests::fifo::read_on;
use nodesockd_tests::{App, Daemon, Fifo, Load, Process, Upstream, process};
use serde_json::json;

const SYNTAX_ERROR: &str = "const = 'a mistake'; // \u{1b}[31m\n";

/// The process that takes the output of the app's workers, if there is one.
fn sink(app: &App) -> Option<Process> {
    let socket = app.run().join("nodesockd.ipc.sink").display().to_string();
    process::all().find(|process| process.words() == ["nodesockd-sink", &socket])
}

fn the_sink(app: &App, daemon: &Daemon) -> Process {
    let found = Mutex::new(None);
    daemon.until_so("there is a process that takes output", || {
        *found.lock().unwrap() = sink(app);
        found.lock().unwrap().is_some()
    });
    found.into_inner().unwrap().unwrap()
}

/// Workers that write numbered lines all the time, and answer requests.
fn chatty() -> App {
    let chatty = fixture("chatty.js").display().to_string();
    App::new().script("echo.js").workers(2).set("nodeArgs", vec!["--require".to_owned(), chatty])
}

/// A restart that fails shows what the worker wrote last.
fn assert_told(app: &App) {
    let output = app.cli(&["restart"]);
    assert_eq!(output.code, 6, "{output}");
    assert!(output.stderr.contains("wrote last, to stderr:"), "{output}");
    assert!(output.stderr.contains("| SyntaxError: "), "{output}");
    assert!(output.stderr.contains("// \\x1b[31m"), "escaped: {output}");
}

/// Every line is whole, and those of each worker are in order; returns how many are missing between them, and how many it
/// is said that are.
fn gaps(text: &str) -> (u64, u64) {
    let (mut next, mut missing, mut said) = (BTreeMap::<&str, u64>::new(), 0, 0);
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("nodesockd: ") {
            let count = words.split(' ').next().and_then(|count| count.parse::<u64>().ok());
            said += count.unwrap();
        } else if let Some((worker, words)) = line.split_once(" says ") {
            let found = words.split_once(' ').and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
            assert!(found.is_some(), "torn: {line}");
            let (number, rest): (u64, &str) = found.unwrap();
            assert_eq!(rest.len() as u64, number % 80 + 1, "torn: {line}");
            let next = next.entry(worker).or_default();
            assert!(number >= *next, "out of order: {line}");
            missing += number - *next;
            *next = number + 1;
        }
    }
    (missing, said)
}

#[test]
fn failed_restart_says_what_the_worker_wrote_last_wherever_that_goes() {
    for stderr in [None, Some("discard")] {
        let mut app = App::new();
        stderr.into_iter().for_each(|stderr| app.change("options.stderr", stderr));
        let mut daemon = app.start();
        app.write("app.js", SYNTAX_ERROR);
        assert_told(&app);
        if stderr.is_none() {
            daemon.until_logged("SyntaxError");
        }
        let reply = app.connect().request("restart-workers", &json!({}));
        let lines = reply.data["failed"][0]["lines"].as_array();
        assert!(lines.is_some_and(|lines| (2..=20).contains(&lines.len())), "{reply:?}");
        assert_eq!(daemon.quit(), Some(0));
        assert_eq!(daemon.log().contains("SyntaxError"), stderr.is_none(), "{}", daemon.log());
        assert_eq!(sink(&app), None, "it has gone with its daemon");
        assert!(!app.run().join("nodesockd.ipc.sink").exists());
    }
}

#[test]
fn next_daemon_finds_the_process_that_takes_output() {
    let app = chatty();
    let mut daemon = app.start();
    let before = the_sink(&app, &daemon);
    let nginx = Upstream::of(&app, 2).keepalive(4).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    for _ in 0..3 {
        load.flows();
        daemon.die();
        load.flows();
        daemon.follow(app.launch());
    }
    assert_eq!(the_sink(&app, &daemon), before);
    let written = daemon.log().len();
    daemon.until_so("workers write on", || daemon.log().len() > written);
    app.write("app.js", SYNTAX_ERROR);
    assert_told(&app);
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}", nginx.log());
    assert_eq!(daemon.quit(), Some(0));
    let log = daemon.log();
    assert_eq!(gaps(&log), (0, 0));
    assert!(log.matches(" says ").count() > 500);
}

#[test]
fn process_that_takes_output_is_started_again_and_no_worker_notices() {
    let app = chatty();
    let mut daemon = app.start();
    let workers = daemon.status().pids();
    let nginx = Upstream::of(&app, 2).keepalive(4).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    for _ in 0..5 {
        load.flows();
        let before = the_sink(&app, &daemon);
        before.signal(Signal::SIGKILL);
        daemon.until_so("there is another one", || sink(&app).is_some_and(|sink| sink != before));
        let written = daemon.log().len();
        daemon.until_so("it passes on what comes", || daemon.log().len() > written);
        load.flows();
    }
    assert_eq!(daemon.status().pids(), workers, "{}", daemon.log());
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}", nginx.log());
    // What was given back was read from the same pipes: only what it had in its hands is lost.
    app.write("app.js", SYNTAX_ERROR);
    assert_told(&app);
    assert_eq!(daemon.quit(), Some(0));
    assert!(daemon.log().contains("is gone, and is started again"));
}

#[test]
fn process_that_takes_output_and_hangs_holds_up_no_answer_for_long() {
    let app = App::new();
    let daemon = app.start();
    let before = the_sink(&app, &daemon);
    before.signal(Signal::SIGSTOP);
    app.write("app.js", SYNTAX_ERROR);
    let output = app.cli(&["restart"]);
    assert_eq!(output.code, 6, "{output}");
    assert!(!output.stderr.contains("wrote last"), "{output}");
    daemon.until_so("it is replaced", || sink(&app).is_some_and(|sink| sink != before));
    assert_told(&app);
}

#[test]
fn reader_that_stands_still_stops_no_worker_and_hears_what_it_has_missed() {
    let app = chatty();
    let fifo = Fifo::of(&app);
    let stderr = fifo.writer();
    let mut daemon = app.launch().stderr(stderr).start();
    let nginx = Upstream::of(&app, 2).keepalive(4).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    let takes = the_sink(&app, &daemon);
    // A full pipe and a full queue are far less than that.
    let read = |process: Process| {
        let io = std::fs::read_to_string(format!("/proc/{}/io", process.pid)).unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().to_owned();
        line.parse::<u64>().unwrap()
    };
    daemon.until_so("workers have written much more than anybody takes", || read(takes) > 2 << 20);
    load.flows();
    let text = read_on(fifo.into_reader());
    let has = |words: &str| text.lock().unwrap().contains(words);
    daemon.until_so("what is missing is said", || has("are missing here"));
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}", nginx.log());
    assert_eq!(daemon.quit(), Some(0));
    let (missing, said) = gaps(&text.lock().unwrap());
    assert!(missing > 0);
    // The last lines may have been dropped, with nothing after them to be missed from.
    assert!(said >= missing, "{said} said, {missing} missing");
}
