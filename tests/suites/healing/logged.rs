//! With `[log]`, everything that workers write is in its files: whole, in order, and all of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nodesockd_core::log_line::{LogLine, parse};
use nodesockd_tests::app::fixture;
use nodesockd_tests::program::{self, NEWER};
use nodesockd_tests::{App, Load, Upstream};

/// An app with a log, whose files are small and kept.
fn logged() -> App {
    let app = App::new().set("log.dir", "log").set("log.rotate", "1M").set("log.keep", 1000);
    std::fs::create_dir(app.path("log")).unwrap();
    app
}

/// Workers that write as fast as they can.
fn flooding(workers: u32) -> App {
    let flood = fixture("flood.js").display().to_string();
    logged().script("echo.js").workers(workers).set("nodeArgs", vec!["--require".to_owned(), flood])
}

/// The files of the log, the oldest one first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: &PathBuf| path.extension().unwrap().to_str().unwrap().parse::<u32>().ok();
    let mut files: Vec<(Option<u32>, PathBuf)> = names.map(|path| (number(&path), path)).collect();
    files.sort();
    files.into_iter().rev().map(|(_, path)| path).collect()
}

/// Goes through all lines of the log, in order.
fn each(app: &App, mut each: impl FnMut(LogLine)) {
    for path in files(&app.path("log")) {
        let text = std::fs::read(path).unwrap();
        assert!(text.ends_with(b"\n"), "a line is torn at the end of a file");
        for line in text.strip_suffix(b"\n").into_iter().flat_map(|text| text.split(|byte| *byte == b'\n')) {
            let parsed = parse(line);
            assert!(parsed.is_some(), "no line of the log: {}", String::from_utf8_lossy(line));
            each(parsed.unwrap());
        }
    }
}

/// Nothing is missing of what workers that flood have written; returns how many lines that were.
fn assert_complete(app: &App, workers: usize) -> u64 {
    let (mut next, mut wrote) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    each(app, |LogLine { worker, line, .. }| {
        assert!(worker.is_some(), "{line}");
        let worker = worker.unwrap();
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            [name, "says", number, rest] => {
                assert_eq!(name, worker, "{line}");
                let next = next.entry(worker).or_default();
                assert_eq!(number.parse(), Ok(*next), "lost, or out of order: {line}");
                assert_eq!(rest.len() as u64, *next % 80 + 1, "torn: {line}");
                *next += 1;
            }
            [_, "wrote", number] => assert_eq!(wrote.insert(worker, number.parse().unwrap()), None),
            _ => {}
        }
    });
    assert_eq!((&next, wrote.len()), (&wrote, workers));
    wrote.values().sum()
}

fn size(app: &App) -> u64 {
    files(&app.path("log")).iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum()
}

#[test]
fn no_line_is_lost_or_torn_by_rotation_a_killed_daemon_and_an_upgrade() {
    // At full speed, the lines would be too many to look at in a test; `bench -- log` does that.
    let app = flooding(8).env("PAUSE", "30");
    program::install(program::nodesockd(), &app.path("nodesockd"));
    let launch = || app.launch().from(&app.path("nodesockd"));
    let mut daemon = launch().start();
    let nginx = Upstream::of(&app, 8).keepalive(4).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    let more = |daemon: &nodesockd_tests::Daemon| {
        let written = size(&app);
        daemon.until_so("workers write on", || size(&app) > written + (4 << 20));
    };
    more(&daemon);
    daemon.die();
    let written = size(&app);
    load.flows();
    assert!(size(&app) > written, "they write on without a daemon");
    daemon.follow(launch());
    more(&daemon);
    program::install(program::newer(), &app.path("nodesockd"));
    daemon.signal(Signal::SIGUSR2);
    daemon.until("the newer program is there", |status| status.version == NEWER);
    more(&daemon);
    app.write("enough", "");
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}", nginx.log());
    assert_eq!(daemon.quit(), Some(0), "{}", daemon.log());
    let count = assert_complete(&app, 8);
    assert!(files(&app.path("log")).len() > 12);
    println!("{count} lines in {} files", files(&app.path("log")).len());
}

/// A disk of so many KiB, gone when dropped. Needs root.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf, kib: u32) -> Self {
        let options = format!("size={kib}k,mode=0755");
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status();
        assert!(mounted.unwrap().success());
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// What is missing between the lines of workers that flood, and what is said to be.
fn missing(app: &App) -> (u64, u64) {
    let (mut next, mut gaps, mut said) = (BTreeMap::<String, u64>::new(), 0, 0);
    each(app, |LogLine { worker, line, missing, .. }| {
        said += missing.unwrap_or(0);
        let Some((worker, words)) = worker.zip(line.split_once(" says ").map(|(_, words)| words)) else {
            return;
        };
        let (number, rest) = words.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        assert_eq!(rest.len() as u64, number % 80 + 1, "torn: {line}");
        let next = next.entry(worker).or_default();
        assert!(number >= *next, "out of order: {line}");
        gaps += number - *next;
        *next = number + 1;
    });
    (gaps, said)
}

#[test]
fn full_disk_costs_lines_that_are_counted_and_no_worker() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let app = flooding(2).set("log.rotate", "100M");
    let disk = Disk::mount(app.path("log"), 4096);
    let mut daemon = app.start();
    let nginx = Upstream::of(&app, 2).keepalive(4).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    daemon.until_logged("what workers write is not logged");
    assert!(daemon.log().contains("No space left on device"), "{}", daemon.log());
    load.flows();
    app.write("enough", "");
    std::fs::remove_file(app.path("log/app.log")).unwrap();
    // All that the workers had to write may be missing by now. New ones write some lines more.
    assert_eq!(app.cli(&["restart"]).code, 0, "{}", daemon.log());
    daemon.until_logged("what workers write is logged again");
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}", nginx.log());
    assert_eq!(daemon.quit(), Some(0), "{}", daemon.log());
    let (_, said) = missing(&app);
    assert!(said > 0);
    drop(disk);
}

#[test]
fn folder_that_goes_away_is_used_again_when_it_is_back() {
    let app = flooding(2);
    let mut daemon = app.start();
    let before = daemon.status().pids();
    daemon.until_so("they write", || size(&app) > 1 << 20);
    std::fs::rename(app.path("log"), app.path("old")).unwrap();
    daemon.until_logged("what workers write is not logged");
    std::fs::create_dir(app.path("log")).unwrap();
    daemon.until_logged("what workers write is logged again");
    daemon.until_so("they write", || size(&app) > 1 << 20);
    app.write("enough", "");
    assert_eq!(daemon.status().pids(), before);
    // Without the folder no daemon starts, and no configuration is taken over.
    assert_eq!(daemon.quit(), Some(0), "{}", daemon.log());
    let (gaps, said) = missing(&app);
    // What is written to the first folder is in no gap that is said.
    assert!(gaps > said && said > 0, "{gaps} missing, {said} said");
    std::fs::remove_dir_all(app.path("log")).unwrap();
    let mut daemon = app.launch().spawn();
    assert_eq!(daemon.ended().code(), Some(1));
    assert!(daemon.log().contains("cannot write to the log"), "{}", daemon.log());
    assert_eq!(app.cli(&["check"]).code, 3);
}

#[test]
fn logs_shows_what_workers_wrote_over_files_and_follows() {
    let mut app = flooding(2).set("log.rotate", "64K");
    let mut daemon = app.start();
    daemon.until_so("they write", || size(&app) > 1 << 20);
    app.write("enough", "");
    daemon.until_so("they have written", || {
        let all = app.cli(&["logs", "-n", "1000000"]);
        // The last line has no end as long as the worker lives.
        let mut count = 0;
        each(&app, |_| count += 1);
        all.code == 0 && all.stdout.lines().count() == count
    });
    let own = app.cli(&["logs", "-w", "1", "-n", "3", "--json"]);
    let found: Vec<LogLine> = own.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), 3, "{own}");
    assert!(found.iter().all(|line| line.slot == Some(1) && line.stream == "stdout"), "{own}");
    let id = daemon.status().slot(0).id.clone();
    let own = app.cli(&["logs", "-w", &id]);
    assert_eq!(own.stdout.lines().count(), 100, "{own}");
    assert!(own.stdout.lines().all(|line| line.contains(&format!(" 0 {} stdout ", &id[31..]))), "{own}");
    assert_eq!(app.cli(&["logs", "--since", "2999-01-01"]).stdout, "");
    assert!(app.cli(&["logs", "--since", "1h"]).stdout.lines().count() > 100);
    assert_eq!(app.cli(&["logs", "-w", "$1"]).code, 2);
    // Other settings hold for the workers there are: a file of another name, another format.
    let before = daemon.status().pids();
    app.change("log.format", "json");
    app.change("name", "shop");
    app.save();
    assert_eq!(app.cli(&["reload"]).code, 0);
    assert_eq!(daemon.status().pids(), before);
    assert_eq!(daemon.quit(), Some(0), "{}", daemon.log());
    let ends = std::fs::read_to_string(app.path("log/shop.log")).unwrap();
    assert_eq!(ends.lines().count(), 2, "{ends}");
    assert!(ends.lines().all(|line| line.contains(r#""stream":"stdout","line":""#)), "{ends}");
    let last = app.cli(&["logs"]);
    assert!(last.stdout.lines().all(|line| line.contains(" wrote ")), "{last}");
}
