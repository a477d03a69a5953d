//! What nodesockd costs by itself: `cargo run --release -p nodesockd-bench -- figures`

use std::fs;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nodesockd_bench::{Links, Plain, Sample, answers, app, supervisors, time};
use nodesockd_tests::{App, Daemon, Worker};
use serde_json::json;

/// Measures nodesockd and prints a Markdown table.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each time is taken; `status` ten times as often.
    #[arg(long, default_value_t = 20)]
    rounds: usize,

    /// After how many restarts the daemon's memory is looked at.
    #[arg(long, default_value_t = 100)]
    restarts: usize,
}

/// Runs the bench.
pub fn run(options: &Options) {
    println!("| figure | measured: median (range) | aim |");
    println!("| --- | --- | --- |");
    row("`status`, whole command", &status(options.rounds * 10).show(), "≤ 5 ms");
    cold_start(options.rounds);
    standby(options.rounds);
    new_worker(options.rounds);
    restart(options.rounds);
    row(&format!("daemon's memory after {} restarts", options.restarts), &memory(options.restarts), "≤ 5 MB");
}

fn row(figure: &str, measured: &str, aim: &str) {
    println!("| {figure} | {measured} | {aim} |");
}

/// Each measured once, then the other, and so on.
fn in_turns(
    rounds: usize,
    mut one: impl FnMut() -> Duration,
    mut other: impl FnMut() -> Duration,
) -> [Sample; 2] {
    let (ones, others) = (0..rounds).map(|_| (one(), other())).unzip();
    [Sample::of(ones), Sample::of(others)]
}

fn status(rounds: usize) -> Sample {
    let app = app().workers(3).standby(1);
    let _daemon = app.start();
    let once = || time(|| assert_eq!(app.cli(&["status"]).code, 0, "status"));
    Sample::of((0..rounds).map(|_| once()).collect())
}

/// From the start of the daemon to the first answer, against the same app without one.
fn cold_start(rounds: usize) {
    let app = app();
    let daemon = || {
        let launch = app.launch();
        let begun = Instant::now();
        let mut daemon = launch.spawn();
        answers(&app.link(0));
        let took = begun.elapsed();
        daemon.quit();
        took
    };
    let [cold, plain] = in_turns(rounds, daemon, || boot(&app, 1));
    row("cold start to the first answer", &cold.show(), "the worker's own boot");
    row("… `node app.js` to its first answer", &plain.show(), "");
    row("… difference", &format!("{:.1} ms", cold.median() - plain.median()), "0");
}

/// From the start of some apps without a daemon, side by side, to the first answer of the last.
fn boot(app: &App, count: usize) -> Duration {
    let begun = Instant::now();
    let apps: Vec<Plain> = (0..count).map(|index| Plain::spawn(app, &format!("plain.{index}"))).collect();
    apps.iter().for_each(Plain::answers);
    begun.elapsed()
}

/// Kills a worker. From the kill until the link of slot 0 was swapped, and until there is an answer through it.
fn kill_and_wait(app: &App, worker: &Worker) -> (Duration, Duration) {
    let links = Links::watch(app);
    let pid = Pid::from_raw(worker.pid.unwrap().try_into().unwrap());
    let begun = Instant::now();
    kill(pid, Signal::SIGKILL).expect("a worker of ours");
    links.swapped(&[app.link(0)]);
    let swapped = begun.elapsed();
    answers(&app.link(0));
    (swapped, begun.elapsed())
}

/// Replaces three workers. From the order until all new ones have given an answer, and until the old ones are gone.
fn restart_and_wait(app: &App, daemon: &Daemon) -> (Duration, Duration) {
    let all = [0, 1, 2].map(|slot| app.link(slot));
    let links = Links::watch(app);
    let mut client = daemon.connect();
    let begun = Instant::now();
    let order = client.ask("restart-workers", &json!({})).expect("the daemon reads");
    links.swapped(&all);
    all.iter().for_each(|link| answers(link));
    let answered = begun.elapsed();
    let reply = client.answer(&order).expect("the daemon answers");
    assert!(reply.errors.is_empty(), "{reply:?}\n{}", daemon.log());
    (answered, begun.elapsed())
}

fn standby(rounds: usize) {
    let (mut swapped, mut answered, mut ended, mut first) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let app = app().standby(1);
        let daemon = app.start();
        first.push(time(|| answers(&app.link(0))));
        let before = daemon.status();
        let times = kill_and_wait(&app, before.slot(0));
        swapped.push(times.0);
        answered.push(times.1);
        assert_eq!(daemon.status().slot(0).id, before.standbys()[0].id, "the standby serves");
        let plain = Plain::spawn(&app, "plain");
        plain.answers();
        ended.push(time(|| drop(plain)));
    }
    row("standby: `kill -9` to the link naming it", &Sample::of(swapped).show(), "≤ 1 ms");
    row("… `node app.js`: `kill -9` to its end", &Sample::of(ended).show(), "");
    row("standby: `kill -9` to its first answer", &Sample::of(answered).show(), "");
    row("… the first answer of any worker", &Sample::of(first).show(), "");
}

fn new_worker(rounds: usize) {
    let replaced = || {
        let app = app();
        let daemon = app.start();
        kill_and_wait(&app, daemon.status().slot(0)).1
    };
    let plain = app();
    let [replaced, plain] = in_turns(rounds, replaced, || boot(&plain, 1));
    row("new worker: `kill -9` to its first answer", &replaced.show(), "Node's boot + 2 ms");
    row("… `node app.js` to its first answer", &plain.show(), "");
    row("… difference", &format!("{:.1} ms", replaced.median() - plain.median()), "≤ 2 ms");
}

fn restart(rounds: usize) {
    let app = app().workers(3);
    let daemon = app.start();
    let mut gone = Vec::new();
    let restarted = || {
        let (answered, all) = restart_and_wait(&app, &daemon);
        gone.push(all - answered);
        answered
    };
    let [restarted, plain] = in_turns(rounds, restarted, || boot(&app, 3));
    row("restart of 3 workers, until all new ones have answered", &restarted.show(), "≤ 1.1 × three boots");
    row("… three times `node app.js` side by side", &plain.show(), "");
    row("… ratio", &format!("{:.2}", restarted.median() / plain.median()), "≤ 1.1");
    row("… from then until the old ones have drained and are gone", &Sample::of(gone).show(), "");
}

fn memory(restarts: usize) -> String {
    let app = app();
    let daemon = app.start();
    (0..restarts).for_each(|_| supervisors::restart(&daemon));
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.pid())).expect("proc(5)");
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("proc(5)").trim();
    let pss: u64 = pss.trim_end_matches(" kB").parse().expect("proc(5)");
    let megabytes =
        |kibibytes: u64| format!("{:.1} MB", f64::from(u32::try_from(kibibytes).unwrap()) * 1.024 / 1000.0);
    format!("VmRSS {}, Pss {}", megabytes(daemon.process().resident()), megabytes(pss))
}
