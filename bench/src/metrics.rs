//! What metrics cost: `cargo run --release -p nodesockd-bench -- metrics`

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nodesockd_tests::prometheus::Numbers;
use nodesockd_tests::{App, Daemon, Load, Upstream, http};

/// Runs the same load against an app with and without metrics, by turns; prints a Markdown table.
#[derive(Debug, Args)]
pub struct Options {
    /// How many rounds with, and as many without.
    #[arg(long, default_value_t = 20)]
    rounds: usize,

    /// How long each is, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,

    /// Clients, each with one request under way.
    #[arg(long, default_value_t = 16)]
    clients: usize,
}

/// As many as the figures of others are measured with.
const WORKERS: u32 = 3;

/// How often somebody looks at the metrics.
const SCRAPED_EVERY: Duration = Duration::from_secs(1);

/// One app, and what its rounds came to.
struct Side {
    app: App,
    daemon: Daemon,
    front: nodesockd_tests::nginx::Nginx,
    /// Requests a second, round by round.
    rates: Vec<f64>,
    /// CPU time of the workers for a request, in µs.
    costs: Vec<f64>,
}

impl Side {
    fn start(app: App) -> Self {
        let app = app.workers(WORKERS);
        let daemon = app.start();
        let front = Upstream::of(&app, WORKERS).keepalive(64).start();
        Self { app, daemon, front, rates: Vec::new(), costs: Vec::new() }
    }

    /// CPU time that all workers have used.
    fn cpu(&self) -> Duration {
        self.daemon.status().workers.iter().map(|worker| worker.process().cpu()).sum()
    }

    fn round(&mut self, options: &Options, scraped: bool) {
        let (before, began) = (self.cpu(), Instant::now());
        let load = Load::start(&self.front.front(), options.clients);
        let until = began + Duration::from_secs(options.seconds);
        while Instant::now() < until {
            if scraped {
                let answer = http::get(&self.app.run().join("metrics.sock"), "/metrics");
                assert!(Numbers::parse(&answer.body).is_ok(), "{answer:?}");
            }
            thread::sleep(SCRAPED_EVERY.min(until.saturating_duration_since(Instant::now())));
        }
        let ledger = load.finish();
        assert!(ledger.failures.is_empty(), "{ledger}");
        let answered = ledger.latencies.len() as f64;
        self.rates.push(answered / ledger.took.as_secs_f64());
        self.costs.push((self.cpu() - before).as_secs_f64() * 1e6 / answered);
    }
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Runs the bench.
pub fn run(options: &Options) {
    let mut without = Side::start(nodesockd_bench::app());
    let mut with = Side::start(nodesockd_bench::app().set("metrics", "metrics.sock"));
    for round in 0..=options.rounds {
        without.round(options, false);
        with.round(options, true);
        if round == 0 {
            // Node has compiled what is hot by now.
            for side in [&mut without, &mut with] {
                side.rates.clear();
                side.costs.clear();
            }
        }
    }
    let ratios = |of: fn(&Side) -> &Vec<f64>| {
        let pairs = of(&with).iter().zip(of(&without));
        pairs.map(|(with, without)| with / without).collect::<Vec<f64>>()
    };
    let memory = |side: &Side| side.daemon.process().resident() as f64 * 1.024 / 1000.0;
    println!("| | without | with | with ÷ without, median of {} pairs |", options.rounds);
    println!("| --- | ---: | ---: | ---: |");
    let row = |what: &str, of: fn(&Side) -> &Vec<f64>| {
        let (without, with) = (median(of(&without)), median(of(&with)));
        println!("| {what} | {without:.1} | {with:.1} | {:.3} |", median(&ratios(of)));
    };
    row("requests a second through nginx", |side| &side.rates);
    row("µs of the workers' CPU for a request", |side| &side.costs);
    let (less, more) = (memory(&without), memory(&with));
    println!("| MB of the daemon, {WORKERS} workers | {less:.2} | {more:.2} | + {:.2} MB |", more - less);
}
