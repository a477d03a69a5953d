//! What is lost while deploying: `cargo run --release -p nodesockd-bench -- zero-loss`

use std::fmt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nodesockd_bench::folder;
use nodesockd_bench::starve::Busy;
use nodesockd_bench::supervisors::{Integration, Kind, Supervisor};
use nodesockd_tests::Load;
use nodesockd_tests::load::{Ledger, Method};

/// Deploys under load through nginx and prints a Markdown table of what failed.
#[derive(Debug, Args)]
pub struct Options {
    /// How many requests are made, all variants of nodesockd together.
    #[arg(long, default_value_t = 60_000)]
    requests: u64,

    /// How many restarts there are, all variants of nodesockd together.
    #[arg(long, default_value_t = 36)]
    restarts: u32,

    /// Clients, each with one request under way: half of them GET, half POST.
    #[arg(long, default_value_t = 64)]
    clients: usize,

    /// From the start of a restart to the next, in milliseconds; at once if one takes longer.
    #[arg(long, default_value_t = 500)]
    every: u64,

    /// Only variants whose name holds this text; may be given more than once.
    #[arg(long)]
    only: Vec<String>,

    /// No variants whose name holds this text; may be given more than once.
    #[arg(long)]
    without: Vec<String>,

    /// No variant takes longer than this, in seconds, whatever was asked for.
    #[arg(long, default_value_t = 300)]
    limit: u64,
}

/// One row.
#[derive(Debug, Clone, Copy)]
struct Variant {
    kind: Kind,
    workers: u32,
    keepalive: bool,
    default_max_fails: bool,
    starved: bool,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} worker{}", self.kind, self.workers, if self.workers == 1 { "" } else { "s" })?;
        f.write_str(if self.keepalive { ", keepalive" } else { "" })?;
        f.write_str(if self.default_max_fails { ", default max_fails" } else { "" })?;
        f.write_str(if self.starved { ", starved" } else { "" })
    }
}

/// All variants, those to be compared next to each other.
fn variants() -> Vec<Variant> {
    let mut all = Vec::new();
    for starved in [false, true] {
        for keepalive in [false, true] {
            let mut add = |kind, workers, default_max_fails| {
                all.push(Variant { kind, workers, keepalive, default_max_fails, starved });
            };
            for kind in [Integration::Worker, Integration::Daemon].map(Kind::Nodesockd) {
                // With one server, nginx has no use for `max_fails`.
                add(kind, 1, false);
                add(kind, 3, false);
                add(kind, 3, true);
            }
            if !keepalive {
                add(Kind::Nodesockd(Integration::ByHand), 3, false);
            }
            add(Kind::Pm2, 3, false);
            add(Kind::Cluster, 3, false);
        }
    }
    all
}

impl Options {
    fn wants(&self, variant: &Variant) -> bool {
        let name = variant.to_string();
        self.only.iter().all(|text| name.contains(text))
            && !self.without.iter().any(|text| name.contains(text))
    }
}

/// Runs the bench.
pub fn run(options: &Options) {
    let variants: Vec<_> = variants().into_iter().filter(|variant| options.wants(variant)).collect();
    if variants.iter().any(|variant| variant.kind == Kind::Pm2) {
        install();
    }
    let ours = variants.iter().filter(|variant| variant.kind.is_ours()).count().max(1);
    let ours = u32::try_from(ours).expect("a handful");
    let share = (options.requests.div_ceil(ours.into()), options.restarts.div_ceil(ours));

    println!("| variant | requests | restarts | failed (GET + POST) | req/s while deploying | p99 |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let (mut requests, mut restarts, mut failed) = (0, 0, 0);
    for variant in variants {
        let (ledger, deployed) = variant.run(options, share);
        row(&format!("{variant}"), &ledger, deployed);
        if variant.kind.is_ours() {
            requests += ledger.sent;
            restarts += deployed;
            failed += ledger.failures.len();
        }
    }
    if requests > 0 {
        println!("| **nodesockd, all variants** | {requests} | {restarts} | **{failed}** | | |");
    }
}

fn row(name: &str, ledger: &Ledger, restarts: u32) {
    let failed = [Method::Get, Method::Post].map(|method| ledger.failed(method).count());
    let answered = f64::from(u32::try_from(ledger.latencies.len()).unwrap_or(u32::MAX));
    println!(
        "| {name} | {} | {restarts} | {} ({} + {}) | {:.0} | {:.1} ms |",
        ledger.sent,
        failed[0] + failed[1],
        failed[0],
        failed[1],
        answered / ledger.took.as_secs_f64(),
        ledger.latency(0.99).as_secs_f64() * 1000.0,
    );
}

/// PM2, unless it is there.
fn install() {
    if !folder().join("node_modules/.package-lock.json").exists() {
        let done =
            Command::new("npm").args(["ci", "--silent", "--ignore-scripts"]).current_dir(folder()).status();
        assert!(done.expect("npm runs").success(), "npm ci in {} failed", folder().display());
    }
}

impl Variant {
    /// What became of the requests, and how many restarts there were.
    fn run(self, options: &Options, (requests, restarts): (u64, u32)) -> (Ledger, u32) {
        let nice: &[&str] = if self.starved { &["nice", "-n", "15"] } else { &["env"] };
        let mut supervisor = Supervisor::start(self.kind, self.workers, nice);
        let mut upstream = supervisor.upstream().through(nice);
        if self.keepalive {
            upstream = upstream.keepalive(16);
        }
        if self.default_max_fails {
            upstream = upstream.default_max_fails();
        }
        let nginx = upstream.start();
        let _busy = self.starved.then(|| Busy::start(0));

        let begun = Instant::now();
        let load = Load::start(&nginx.front(), options.clients);
        let mut deployed = 0;
        let enough = |deployed: u32| deployed >= restarts && load.answered() >= requests;
        while !enough(deployed) && begun.elapsed() < Duration::from_secs(options.limit) {
            let next = Instant::now() + Duration::from_millis(options.every);
            supervisor.deploy();
            deployed += 1;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let ledger = load.finish();
        if self.kind.is_ours() && !ledger.failures.is_empty() {
            eprintln!("{self}: {ledger}{}", nginx.log());
        }
        (ledger, deployed)
    }
}
