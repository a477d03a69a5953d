//! Many workers whose start needs the CPU.

use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use nodesockd_bench::app;
use nodesockd_tests::Process;

use super::build::Build;

/// What happens.
pub const NAME: &str = "40 workers start, each of which needs 1 s of CPU before it listens";

const WORKERS: u32 = 40;

/// `options.onlineTimeout`, the default.
const ONLINE_TIMEOUT: i64 = 10_000;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How long it takes until all are online.
pub fn play(build: &Build, limit: Duration) -> String {
    let app = build.app(app()).workers(WORKERS).env("BURN", "1000");
    let app = app.script("heavy.js").set("options.onlineTimeout", ONLINE_TIMEOUT);
    let begun = Instant::now();
    let daemon = build.launch(&app).spawn();
    let mut most = 0;
    while begun.elapsed() < limit {
        thread::sleep(PAUSE);
        let Some(status) = daemon.try_status() else { continue };
        let online = status.workers.iter().filter(|worker| worker.state == "online").count();
        most = most.max(online);
        if online == WORKERS as usize {
            let took = begun.elapsed();
            let workers = status.pids().into_iter().filter_map(Process::of);
            let needed: Duration = workers.map(Process::cpu).sum();
            let cores = available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
            let ratio = took.as_secs_f64() / (needed / cores).as_secs_f64();
            return format!("{:.1} s until all are online, {ratio:.2} × what they need", took.as_secs_f64());
        }
    }
    format!("not within {} s: {most} of {WORKERS} at most are online", limit.as_secs())
}
