//! What becomes of long things across one restart: `cargo run --release -p nodesockd-bench -- long`

mod subscribers;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nodesockd_bench::{app_for_long_requests, front_for_long_requests, restart_until_swap};
use nodesockd_tests::{Load, wait};

use crate::transfers::{Cut, Plan, Transfers};
use subscribers::{End, Kind, Subscribers};

/// Restarts an app once while uploads, downloads, server-sent events and WebSockets are under way; prints a Markdown table of what
/// was cut, and of how many connected again at a time.
#[derive(Debug, Args)]
pub struct Options {
    /// `options.shutdownTimeout`, in ms, once each.
    #[arg(long, value_delimiter = ',', default_values_t = [120_000, 10_000])]
    shutdown_timeout: Vec<u32>,

    /// How many WebSockets there are.
    #[arg(long, default_value_t = 2000)]
    websockets: usize,

    /// How many read server-sent events.
    #[arg(long, default_value_t = 500)]
    events: usize,

    /// How many uploads, and how many downloads.
    #[arg(long, default_value_t = 4)]
    transfers: u32,

    /// The size of an upload, in MB; it is sent at 1 MB/s.
    #[arg(long, default_value_t = 100)]
    upload: u64,

    /// How long a download takes, in seconds.
    #[arg(long, default_value_t = 30)]
    download: u64,

    /// How long everything has been under way when the workers are replaced, in seconds.
    #[arg(long, default_value_t = 5)]
    before: u64,
}

const WORKERS: u32 = 2;

/// The unit of time in which those who connect again are counted.
const BUCKET: Duration = Duration::from_millis(100);

/// The library leaves the last second before SIGTERM to those who have not heard.
const MARGIN: Duration = Duration::from_secs(1);

/// Runs the bench.
pub fn run(options: &Options) {
    println!(
        "| `shutdownTimeout` | what | cut | first cut after | connected again | last of them after | most in 100 ms | evenly |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for timeout in &options.shutdown_timeout {
        play(options, Duration::from_millis((*timeout).into()));
    }
}

fn play(options: &Options, timeout: Duration) {
    let milliseconds = i64::try_from(timeout.as_millis()).expect("a time-out");
    let app = app_for_long_requests().workers(WORKERS).set("options.shutdownTimeout", milliseconds);
    let daemon = app.start();
    let nginx = front_for_long_requests(&app, WORKERS);
    let load = Load::gently(&nginx.front(), 4, Duration::from_millis(10));
    let websockets = Subscribers::start(&nginx.front(), Kind::WebSocket, options.websockets);
    let events = Subscribers::start(&nginx.front(), Kind::Events, options.events);
    let mut transfers = Transfers::new(
        &nginx.front(),
        Plan {
            upload: options.upload * 1_000_000,
            upload_time: Duration::from_secs(options.upload),
            download_time: Duration::from_secs(options.download),
        },
    );
    for _ in 0..options.transfers {
        transfers.begin();
    }
    thread::sleep(Duration::from_secs(options.before));
    load.flows();
    restart_until_swap(&daemon);
    let begun = Instant::now();
    let (uploads, downloads) = transfers.finish();
    wait::set_limit(timeout + wait::limit());
    daemon.until("the old workers are gone", |status| status.workers.len() == WORKERS as usize);
    load.flows();
    let ledger = load.finish();

    let row = |what: String, cells: String| println!("| {} s | {what} | {cells} |", timeout.as_secs());
    row(format!("uploads of {} MB", options.upload), transferred(&uploads, begun));
    row(format!("downloads of {} s", options.download), transferred(&downloads, begun));
    for (what, all, subscribers) in
        [("server-sent events", options.events, events), ("WebSockets", options.websockets, websockets)]
    {
        row(what.to_owned(), reconnected(all, &subscribers.finish(), begun, timeout - MARGIN));
    }
    let failed = format!("{} of {}", ledger.failures.len(), ledger.sent);
    row("short requests".to_owned(), format!("{failed} | | | | |"));
    if !ledger.failures.is_empty() {
        eprintln!("{ledger}{}", nginx.log());
    }
}

fn transferred(all: &[Cut], begun: Instant) -> String {
    let cut = all.iter().flatten().map(|at| at.duration_since(begun));
    format!("{} of {} | {} | | | |", cut.clone().count(), all.len(), seconds(cut.min()))
}

fn reconnected(all: usize, ends: &[End], begun: Instant, window: Duration) -> String {
    let cut = ends.iter().filter(|end| end.cut.is_some());
    let mut buckets = BTreeMap::<u128, usize>::new();
    for end in ends {
        *buckets.entry(end.again.duration_since(begun).as_nanos() / BUCKET.as_nanos()).or_default() += 1;
    }
    let first = cut.clone().map(|end| end.at.duration_since(begun)).min();
    let last = ends.iter().map(|end| end.again.duration_since(begun)).max();
    let evenly = all as f64 / (window.as_secs_f64() / BUCKET.as_secs_f64());
    if let Some(End { cut: Some(why), .. }) = cut.clone().next() {
        eprintln!("the first that was cut: {why}");
    }
    let refused: u32 = ends.iter().map(|end| end.refused).sum();
    if refused > 0 {
        eprintln!("{refused} attempts to connect again have failed");
    }
    format!(
        "{} of {all} | {} | {} | {} | {} | {evenly:.1}",
        cut.count(),
        seconds(first),
        ends.len(),
        seconds(last),
        buckets.values().max().copied().unwrap_or_default()
    )
}

fn seconds(time: Option<Duration>) -> String {
    time.map(|time| format!("{:.1} s", time.as_secs_f64())).unwrap_or_default()
}
