//! What an app costs that nobody visits: `cargo run --release -p nodesockd-bench -- idle`

use std::thread;
use std::time::Duration;

use clap::Args;
use nodesockd_bench::{Plain, app};
use nodesockd_tests::{Daemon, Process};

/// Counts how often an idle daemon and its workers wake up, beside the same app without nodesockd; prints a Markdown table.
#[derive(Debug, Args)]
pub struct Options {
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,

    /// How many workers.
    #[arg(long, default_value_t = 4)]
    workers: u32,
}

/// What follows a start is over by then: Node frees memory that it needed for that.
const AFTER_A_START: Duration = Duration::from_secs(20);

/// Runs the bench. All are looked at in the same time.
pub fn run(options: &Options) {
    let apps = [("as it is", None), ("`health.hangTimeout = 0`", Some(0))].map(|(name, hang_timeout)| {
        let app = app().workers(options.workers);
        let app = hang_timeout.into_iter().fold(app, |app, value| app.set("health.hangTimeout", value));
        let daemon = app.start();
        (name, app, daemon)
    });
    let folder = app();
    let plain = Plain::spawn(&folder, "plain.sock");
    plain.answers();
    thread::sleep(AFTER_A_START);

    let processes: Vec<(String, Vec<Process>)> = apps
        .iter()
        .flat_map(|(name, _, daemon)| {
            [
                (format!("daemon, {} workers, {name}", options.workers), vec![daemon.process()]),
                (format!("one worker, {name}"), workers(daemon)),
            ]
        })
        .chain([("`node app.js`, without nodesockd".to_owned(), vec![plain.process()])])
        .collect();
    let before: Vec<u64> = processes.iter().map(|(_, these)| wake_ups(these)).collect();
    thread::sleep(Duration::from_secs(options.seconds));
    println!("| process | wake-ups in {} s | in 10 s |", options.seconds);
    println!("| --- | ---: | ---: |");
    for ((name, these), before) in processes.iter().zip(before) {
        let woken = (wake_ups(these) - before) as f64 / these.len() as f64;
        println!("| {name} | {woken:.1} | {:.1} |", woken * 10.0 / options.seconds as f64);
    }
}

fn workers(daemon: &Daemon) -> Vec<Process> {
    daemon.status().workers.iter().map(nodesockd_tests::Worker::process).collect()
}

fn wake_ups(processes: &[Process]) -> u64 {
    processes.iter().map(|process| process.wake_ups()).sum()
}
