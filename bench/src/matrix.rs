//! What each app that people run loses, behind each front: `cargo run --release -p nodesockd-bench -- matrix`

mod apps;
mod measure;
mod protocol;
mod stock;

use clap::Args;
use measure::Cell;
use nodesockd_tests::fronts::Kind;

use apps::ROWS;
use stock::Stock;

/// Restarts and kills the workers of each app that npm, PyPI, Debian and crates.io bring here, under load through nginx, Caddy and
/// `HAProxy`, each as `nodesockd proxy` prints it.
#[derive(Debug, Args)]
pub struct Options {
    /// How many restarts there are in each cell.
    #[arg(long, default_value_t = 10)]
    restarts: u32,

    /// How many suspended restarts there are in each cell.
    #[arg(long, default_value_t = 2)]
    suspended: u32,

    /// How long the workers of a suspended restart stay suspended, in milliseconds.
    #[arg(long, default_value_t = 300)]
    migration: u64,

    /// How many workers are killed in each cell.
    #[arg(long, default_value_t = 1)]
    kills: u32,

    /// Clients, each with one request under way on a connection that it keeps: half of them GET, half POST.
    #[arg(long, default_value_t = 16)]
    clients: usize,

    /// How long a client rests between an answer and its next request, in milliseconds.
    #[arg(long, default_value_t = 2)]
    rest: u64,

    /// Only apps whose name holds this text; may be given several times.
    #[arg(long)]
    only: Vec<String>,

    /// Only this front: nginx, caddy or haproxy.
    #[arg(long)]
    front: Option<String>,
}

/// Runs the bench.
pub fn run(options: &Options) {
    let fronts: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| options.front.as_ref().is_none_or(|name| name == kind.name()))
        .collect();
    let names: Vec<&str> = fronts.iter().map(|kind| kind.name()).collect();
    println!("| app | what it takes | requests | {} |", names.join(" | "));
    println!("| --- | --- | ---: |{}", " ---: |".repeat(fronts.len()));
    let stock = Stock::new();
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|text| name.contains(text));
    let mut sum = Cell::default();
    for row in ROWS.iter().filter(|row| wanted(row.name)) {
        let cells = match row.available(&stock) {
            Ok(()) => {
                fronts.iter().map(|kind| measure::cell(row, &stock, *kind, options)).collect::<Vec<_>>()
            }
            Err(reason) => {
                let last = reason.lines().last().unwrap_or_default();
                let others = " |".repeat(fronts.len() - 1);
                println!("| {} | {} | – | not here: {last} |{others}", row.name, row.takes);
                if last != reason {
                    eprintln!("{}: {reason}", row.name);
                }
                continue;
            }
        };
        print(row.name, row.takes, &cells);
        cells.iter().for_each(|cell| sum.add(cell));
    }
    println!("| **all** | | {} |{}", sum.requests, " |".repeat(fronts.len()));
    println!("\n{} workers were killed: {sum}", sum.kills);
}

fn print(name: &str, takes: &str, cells: &[Cell]) {
    let requests: u64 = cells.iter().map(|cell| cell.requests).sum();
    let cells: Vec<String> = cells.iter().map(Cell::to_string).collect();
    println!("| {name} | {takes} | {requests} | {} |", cells.join(" | "));
}
