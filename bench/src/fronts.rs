//! Which settings of nginx, Caddy and `HAProxy` lose requests: `cargo run --release -p nodesockd-bench -- fronts`

mod settings;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nodesockd_tests::load::{Failure, Ledger, Method};
use nodesockd_tests::{App, Daemon, Load};
use settings::{SETTINGS, Setting};

use crate::kills::{self, End, told_apart};

/// Restarts two workers, and then kills them, under load through nginx, Caddy and `HAProxy`, each as `nodesockd proxy` prints it and with
/// other settings.
#[derive(Debug, Args)]
pub struct Options {
    /// How many restarts there are with each setting.
    #[arg(long, default_value_t = 20)]
    restarts: u32,

    /// How many workers are killed with each setting.
    #[arg(long, default_value_t = 20)]
    kills: u32,

    /// Clients, each with one request under way on a connection that it keeps: half of them GET, half POST.
    #[arg(long, default_value_t = 16)]
    clients: usize,

    /// From the start of a restart to the next, in milliseconds; at once if one takes longer.
    #[arg(long, default_value_t = 500)]
    every: u64,

    /// Only settings whose front, workers or words hold this text; may be given several times.
    #[arg(long)]
    only: Vec<String>,
}

/// Runs the bench.
pub fn run(options: &Options) {
    let wanted = |setting: &&Setting| options.only.iter().all(|text| setting.name().contains(text.as_str()));
    println!(
        "| front | workers | setting | requests | {} restarts: lost (GET + POST) | {} × `kill -9`: lost, begun + beyond | req/s |",
        options.restarts, options.kills
    );
    println!("| --- | --- | --- | ---: | ---: | ---: | ---: |");
    for setting in SETTINGS.iter().filter(wanted) {
        let app = setting.app();
        let daemon = app.start();
        let front = setting.front.printed(&app, |text| setting.edited(text));
        let restarts = restarts(&app, &front.front(), options);
        let (kills, ends) = kills(&daemon, &front.front(), options);
        if !restarts.failures.is_empty() && setting.is_printed() {
            eprintln!("{}: {restarts}{}", setting.name(), front.log());
        }
        row(setting, &restarts, &kills, &ends);
    }
}

fn restarts(app: &App, front: &Path, options: &Options) -> Ledger {
    let load = Load::start(front, options.clients);
    for _ in 0..options.restarts {
        let next = Instant::now() + Duration::from_millis(options.every);
        let restarted = app.cli(&["restart", "--no-wait"]);
        assert_eq!(restarted.code, 0, "{restarted}");
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    load.finish()
}

fn kills(daemon: &Daemon, front: &Path, options: &Options) -> (Ledger, Vec<End>) {
    let load = Load::start(front, options.clients);
    let ends = (0..options.kills).map(|kill| kills::kill(daemon, &load, kill % 2)).collect();
    (load.finish(), ends)
}

fn row(setting: &Setting, restarts: &Ledger, kills: &Ledger, ends: &[End]) {
    let lost = [Method::Get, Method::Post].map(|method| restarts.failed(method).count());
    let (in_them, beyond) = told_apart(kills, ends);
    if setting.is_printed() {
        for Failure { number, method, sent, why, .. } in beyond.iter().copied() {
            let gone = ends.iter().rfind(|(killed, _)| killed < sent).map(|(_, gone)| *sent - *gone);
            eprintln!(
                "{}: {method:?} {number}, sent {gone:?} after a worker was gone: {why}",
                setting.name()
            );
        }
    }
    let answered = f64::from(u32::try_from(restarts.latencies.len()).unwrap_or(u32::MAX));
    println!(
        "| {} | {} | {} ({} + {}) | {} + {} | {:.0} |",
        setting.name(),
        restarts.sent + kills.sent,
        lost[0] + lost[1],
        lost[0],
        lost[1],
        in_them.len(),
        beyond.len(),
        answered / restarts.took.as_secs_f64(),
    );
}
