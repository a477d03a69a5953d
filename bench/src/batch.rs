//! How much memory a restart in batches needs: `cargo run --release -p nodesockd-bench -- batch`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nodesockd_bench::app;
use nodesockd_tests::{App, Cgroup, Daemon, Load, Upstream};

/// Restarts workers one by one and all at once, under load, with and without a limit of memory; prints a Markdown table.
#[derive(Debug, Args)]
pub struct Options {
    /// How many workers.
    #[arg(long, default_value_t = 8)]
    workers: u32,

    /// How much data each of them has in memory, in MiB.
    #[arg(long, default_value_t = 64)]
    ballast: u32,

    /// The limit under which workers are restarted, as a multiple of what they need.
    #[arg(long, default_value_t = 1.3)]
    limit: f64,
}

/// So much that nothing is limited, in MiB.
const PLENTY: u64 = 16 << 10;

/// What follows a start is over by then.
const AFTER_A_START: Duration = Duration::from_secs(10);

/// Runs the bench.
pub fn run(options: &Options) {
    let Some(cgroup) = Cgroup::new(PLENTY) else {
        return eprintln!("no control group that limits memory can be made here");
    };
    println!("| memory limit | `batch` | steady | peak | ÷ steady | took | exit code | requests | lost |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let steady = restarts(options, &cgroup, "none", &["1", "0"]);
    drop(cgroup);
    let limit = (steady as f64 * options.limit) as u64 >> 20;
    let Some(cgroup) = Cgroup::new(limit) else {
        return eprintln!("no second control group can be made here");
    };
    restarts(options, &cgroup, &format!("{limit} MiB"), &["1"]);
}

/// Restarts an app in a control group with each of these sizes of a batch. Returns what it needed before.
fn restarts(options: &Options, cgroup: &Cgroup, limit: &str, sizes: &[&str]) -> u64 {
    let app = app().workers(options.workers);
    let ballast = format!(
        "globalThis.ballast = Array.from({{ length: {} }}, () => Buffer.alloc(1 << 20, 1));\n",
        options.ballast
    );
    app.write("app.js", &(ballast + include_str!("../apps/app.js")));
    let join = format!("echo $$ > {} && exec \"$@\"", cgroup.members().display());
    let daemon = app.launch().through(&["sh", "-c", &join, "sh"]).start();
    let nginx = Upstream::of(&app, options.workers).start();
    let mut first = None;
    for size in sizes {
        let load = Load::gently(&nginx.front(), 4, Duration::from_millis(5));
        thread::sleep(AFTER_A_START);
        let steady = cgroup.used();
        first.get_or_insert(steady);
        let (peak, took, code) = restart(&app, &daemon, cgroup, size);
        load.flows();
        let ledger = load.finish();
        if !ledger.failures.is_empty() {
            eprintln!("{ledger}{}{}", nginx.log(), daemon.log());
        }
        println!(
            "| {limit} | {size} | {} MiB | {} MiB | {:.2} | {:.1} s | {code} | {} | {} |",
            steady >> 20,
            peak >> 20,
            peak as f64 / steady as f64,
            took.as_secs_f64(),
            ledger.sent,
            ledger.failures.len()
        );
    }
    first.unwrap_or_default()
}

/// Restarts the workers. Returns the most memory that was in use meanwhile, how long that took, and the exit code.
fn restart(app: &App, daemon: &Daemon, cgroup: &Cgroup, size: &str) -> (u64, Duration, i32) {
    let (peak, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let begun = Instant::now();
    let (restarted, took) = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                peak.fetch_max(cgroup.used(), Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let restarted = app.cli(&["restart", "--batch", size]);
        let took = begun.elapsed();
        daemon.settled();
        over.store(true, Relaxed);
        (restarted, took)
    });
    if restarted.code != 0 {
        eprintln!("{restarted}{}", daemon.log());
    }
    (peak.load(Relaxed), took, restarted.code)
}
