//! What nodesockd costs and loses: `cargo run --release -p nodesockd-bench -- BENCH`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what this program is for")]
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a bench that cannot go on stops, and says where"
)]

mod batch;
mod deploys;
mod figures;
mod fronts;
mod hangs;
mod held;
mod idle;
mod kills;
mod log;
mod long;
mod matrix;
mod metrics;
mod overlap;
mod recovery;
mod scale;
mod sigterm;
mod transfers;
mod zero_loss;

use clap::Parser;

/// Benches of nodesockd. Each prints one Markdown table.
#[derive(Debug, Parser)]
enum Bench {
    /// Start-up, takeovers, restarts and memory with few workers
    Figures(figures::Options),
    /// Requests lost while deploying, beside PM2 and Node's cluster
    ZeroLoss(zero_loss::Options),
    /// Requests lost while good and bad releases are deployed, and how fast bad ones are undone
    Deploys(deploys::Options),
    /// Requests lost while replacing workers that know only SIGTERM: uvicorn, gunicorn, Go, …
    Sigterm(sigterm::Options),
    /// Requests lost by each app that people run, behind nginx, Caddy and `HAProxy`
    Matrix(matrix::Options),
    /// Requests lost behind nginx, Caddy and `HAProxy` with different settings
    Fronts(fronts::Options),
    /// Requests lost in rollbacks and when the only worker is killed
    Held(held::Options),
    /// Whether hung standbys are promoted, and whether a starved machine raises false alarms
    Hangs(hangs::Options),
    /// Requests lost, and how long a slot does not answer, after what machines and people do
    Recovery(recovery::Options),
    /// Uploads and downloads cut while many generations of workers finish
    Overlap(overlap::Options),
    /// Uploads, downloads, server-sent events and thousands of WebSockets across one restart
    Long(long::Options),
    /// Wake-ups of a daemon and its workers when nobody asks for anything
    Idle(idle::Options),
    /// What metrics cost: throughput, CPU time and the daemon's memory with and without them
    Metrics(metrics::Options),
    /// Memory that restarts in batches and all at once need, and requests lost
    Batch(batch::Options),
    /// Lines lost by a log, and what it costs workers when nobody takes them
    Log(log::Options),
    /// Start-up, restarts, memory and CPU time with many workers
    Scale(scale::Options),
}

fn main() {
    match Bench::parse() {
        Bench::Figures(options) => figures::run(&options),
        Bench::ZeroLoss(options) => zero_loss::run(&options),
        Bench::Deploys(options) => deploys::run(&options),
        Bench::Sigterm(options) => sigterm::run(&options),
        Bench::Matrix(options) => matrix::run(&options),
        Bench::Fronts(options) => fronts::run(&options),
        Bench::Held(options) => held::run(&options),
        Bench::Hangs(options) => hangs::run(&options),
        Bench::Recovery(options) => recovery::run(&options),
        Bench::Overlap(options) => overlap::run(&options),
        Bench::Long(options) => long::run(&options),
        Bench::Idle(options) => idle::run(&options),
        Bench::Metrics(options) => metrics::run(&options),
        Bench::Batch(options) => batch::run(&options),
        Bench::Log(options) => log::run(&options),
        Bench::Scale(options) => scale::run(&options),
    }
}
