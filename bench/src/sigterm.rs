//! What is lost while workers are replaced that know only SIGTERM: `cargo run --release -p nodesockd-bench -- sigterm`

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nodesockd_tests::load::{Ledger, Method};
use nodesockd_tests::servers::printed;
use nodesockd_tests::{Load, Server};

/// Restarts servers that know nothing of nodesockd, under load through nginx as `nodesockd nginx` configures it.
#[derive(Debug, Args)]
pub struct Options {
    /// How many requests are made at least, all servers together; as many each with connections kept.
    #[arg(long, default_value_t = 60_000)]
    requests: u64,

    /// How many restarts there are at least, each time.
    #[arg(long, default_value_t = 10)]
    restarts: u32,

    /// Clients, each with one request under way on a connection that it keeps: half of them GET, half POST.
    #[arg(long, default_value_t = 32)]
    clients: usize,

    /// From the start of a restart to the next, in milliseconds; at once if one takes longer.
    #[arg(long, default_value_t = 1000)]
    every: u64,

    /// Only servers whose name holds this text.
    #[arg(long)]
    only: Option<String>,

    /// Leave out the rows with `keepalive`, which `nodesockd nginx --check` warns of.
    #[arg(long)]
    printed_only: bool,
}

/// Runs the bench with all servers that are installed.
pub fn run(options: &Options) {
    let wanted =
        |server: &Server| options.only.as_ref().is_none_or(|text| server.name().contains(text.as_str()));
    let servers: Vec<Server> = Server::ALL.into_iter().filter(wanted).collect();
    let (installed, missing): (Vec<_>, Vec<_>) =
        servers.into_iter().partition(|server| server.is_installed());
    for server in missing {
        eprintln!("{} is not installed, and left out", server.name());
    }
    let each = options.requests.div_ceil(installed.len().max(1) as u64);
    println!("| server | nginx | requests | restarts | lost (GET + POST) | req/s |");
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    for server in installed {
        row(server, "as printed", &measure(server, options, each, |text| text));
        if !options.printed_only {
            row(server, "with `keepalive 16`", &measure(server, options, each, keepalive));
        }
    }
}

/// What many write into their nginx.
fn keepalive(text: String) -> String {
    let kept = text.replace("  \"\" close;\n", "  \"\" \"\";\n");
    kept.replacen("}\n\nserver {\n", "  keepalive 16;\n}\n\nserver {\n", 1)
}

/// What became of the requests, and how many restarts there were.
fn measure(
    server: Server,
    options: &Options,
    requests: u64,
    edit: impl Fn(String) -> String,
) -> (Ledger, u32) {
    let app = server.app().workers(2);
    let _daemon = app.start();
    let nginx = printed(&app, &[], edit);
    let load = Load::start(&nginx.front(), options.clients);
    let mut restarts = 0;
    while load.answered() < requests || restarts < options.restarts {
        let next = Instant::now() + Duration::from_millis(options.every);
        let restarted = app.cli(&["restart"]);
        assert_eq!(restarted.code, 0, "{restarted}");
        restarts += 1;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let ledger = load.finish();
    if !ledger.failures.is_empty() {
        eprintln!("{}: {ledger}{}", server.name(), nginx.log());
    }
    (ledger, restarts)
}

fn row(server: Server, nginx: &str, (ledger, restarts): &(Ledger, u32)) {
    let lost = [Method::Get, Method::Post].map(|method| ledger.failed(method).count());
    let answered = f64::from(u32::try_from(ledger.latencies.len()).unwrap_or(u32::MAX));
    println!(
        "| {} | {nginx} | {} | {restarts} | {} ({} + {}) | {:.0} |",
        server.name(),
        ledger.sent,
        lost[0] + lost[1],
        lost[0],
        lost[1],
        answered / ledger.took.as_secs_f64(),
    );
}
