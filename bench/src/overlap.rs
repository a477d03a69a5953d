//! What becomes of long requests while many generations of workers finish: `cargo run --release -p nodesockd-bench -- overlap`

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nodesockd_bench::{app_for_long_requests, front_for_long_requests, restart_until_swap};
use nodesockd_tests::{Daemon, Load};
use serde_json::Value;

use crate::transfers::{Plan, Transfers};

/// Restarts an app again and again while uploads and downloads last longer than many of its restarts; prints a Markdown table of
/// those that were cut.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each.
    #[arg(long, default_value_t = 3)]
    rounds: u32,

    /// How many restarts there are in each round.
    #[arg(long, default_value_t = 12)]
    restarts: u32,

    /// From the start of a restart to the next, in milliseconds; at once if one takes longer.
    #[arg(long, default_value_t = 1000)]
    every: u64,

    /// The size of an upload, in MB.
    #[arg(long, default_value_t = 100)]
    upload: u64,

    /// How long an upload or a download takes if nobody cuts it, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

const WORKERS: u32 = 2;

/// What the configuration says about old workers.
#[derive(Debug, Clone, Copy)]
struct Variant {
    name: &'static str,
    /// `options.retiring`, and `options.shutdownTimeout` in ms.
    retiring: i64,
    shutdown_timeout: i64,
}

/// What became of all.
#[derive(Debug, Default)]
struct Account {
    restarts: u32,
    /// The most generations that had a worker at a time.
    generations: usize,
    uploads: (usize, usize),
    downloads: (usize, usize),
    requests: u64,
    failed: usize,
    /// Old workers that got SIGTERM because of `options.retiring`, and because of `options.shutdownTimeout`.
    too_many: usize,
    too_long: usize,
}

/// Runs the bench.
pub fn run(options: &Options) {
    println!(
        "| `retiring`, `shutdownTimeout` | restarts | generations at a time | uploads of {} MB cut | downloads of {} s cut | short requests failed | SIGTERM because of `retiring`, `shutdownTimeout` |",
        options.upload, options.seconds
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let sets = i64::from(options.restarts) + 1;
    let variants = [
        Variant { name: "as many as there are restarts", retiring: sets, shutdown_timeout: 300_000 },
        Variant { name: "3, the default", retiring: 3, shutdown_timeout: 300_000 },
        Variant { name: "as many as there are restarts, 10 s", retiring: sets, shutdown_timeout: 10_000 },
    ];
    for variant in variants {
        let mut account = Account::default();
        for _ in 0..options.rounds {
            variant.play(options, &mut account);
        }
        let Account { restarts, generations, uploads, downloads, requests, failed, too_many, too_long } =
            account;
        println!(
            "| {} | {restarts} | {generations} | {} of {} | {} of {} | {failed} of {requests} | {too_many}, {too_long} |",
            variant.name, uploads.1, uploads.0, downloads.1, downloads.0
        );
    }
}

impl Variant {
    fn play(self, options: &Options, account: &mut Account) {
        let app = app_for_long_requests().workers(WORKERS);
        let app =
            app.set("options.retiring", self.retiring).set("options.shutdownTimeout", self.shutdown_timeout);
        let daemon = app.start();
        let nginx = front_for_long_requests(&app, WORKERS);
        let load = Load::gently(&nginx.front(), 4, Duration::from_millis(20));
        let time = Duration::from_secs(options.seconds);
        let plan = Plan { upload: options.upload * 1_000_000, upload_time: time, download_time: time };
        let mut transfers = Transfers::new(&nginx.front(), plan);
        for _ in 0..options.restarts {
            let next = Instant::now() + Duration::from_millis(options.every);
            // Half a second before the workers that get them are replaced.
            transfers.begin();
            load.flows();
            restart_until_swap(&daemon);
            account.restarts += 1;
            account.generations = account.generations.max(generations(&daemon));
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let (uploads, downloads) = transfers.finish();
        let [uploads, downloads] = [uploads, downloads].map(|all| (all.len(), all.iter().flatten().count()));
        let ledger = load.finish();
        let log = daemon.log();
        let said = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        account.uploads = (account.uploads.0 + uploads.0, account.uploads.1 + uploads.1);
        account.downloads = (account.downloads.0 + downloads.0, account.downloads.1 + downloads.1);
        account.requests += ledger.sent;
        account.failed += ledger.failures.len();
        account.too_many += said("(options.retiring), sending SIGTERM");
        account.too_long += said("(options.shutdownTimeout), sending SIGTERM");
        if !ledger.failures.is_empty() {
            eprintln!("{}: {ledger}{}", self.name, nginx.log());
        }
    }
}

/// How many generations have a worker.
fn generations(daemon: &Daemon) -> usize {
    let status = daemon.connect().request("status", &Value::Null).data;
    let workers = status["workers"].as_array().expect("a status");
    workers.iter().filter_map(|worker| worker["generation"].as_u64()).collect::<BTreeSet<_>>().len()
}
