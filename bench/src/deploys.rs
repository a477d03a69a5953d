//! What is lost in deploys, half of them of bad releases: `cargo run --release -p nodesockd-bench -- deploys`

mod account;
mod release;
mod stage;
mod witness;

use std::fmt;
use std::time::Duration;

use clap::Args;
use nodesockd_bench::Sample;
use nodesockd_bench::supervisors::Integration;

use account::{Account, Deploy, Loss};
use release::Kind;
use stage::Stage;

/// Deploys good and bad releases in turns under load through nginx, and prints Markdown tables of what was lost, and of how long
/// the way back took.
#[derive(Debug, Args)]
pub struct Options {
    /// How many deploys there are, all variants together.
    #[arg(long, default_value_t = 40)]
    deploys: usize,

    /// Clients, each with one request under way: half of them GET, half POST.
    #[arg(long, default_value_t = 16)]
    clients: usize,

    /// How long a client rests between an answer and its next request, in milliseconds.
    #[arg(long, default_value_t = 5)]
    rest: u64,

    /// Only variants whose name holds this text; may be given more than once.
    #[arg(long)]
    only: Vec<String>,

    /// No variants whose name holds this text; may be given more than once.
    #[arg(long)]
    without: Vec<String>,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    integration: Integration,
    keepalive: bool,
    starved: bool,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen = if self.integration == Integration::Daemon { "daemon" } else { "worker" };
        let keepalive = if self.keepalive { ", keepalive" } else { "" };
        let starved = if self.starved { ", starved" } else { "" };
        write!(f, "listen={listen}{keepalive}{starved}")
    }
}

impl Options {
    fn variants(&self) -> Vec<Variant> {
        let mut all = Vec::new();
        for starved in [false, true] {
            for keepalive in [false, true] {
                for integration in [Integration::Worker, Integration::Daemon] {
                    all.push(Variant { integration, keepalive, starved });
                }
            }
        }
        let wants = |variant: &Variant| {
            let name = variant.to_string();
            self.only.iter().all(|text| name.contains(text))
                && !self.without.iter().any(|text| name.contains(text))
        };
        all.retain(wants);
        all
    }
}

/// Runs the bench.
pub fn run(options: &Options) {
    let variants = options.variants();
    let share = options.deploys.div_ceil(variants.len().max(1));
    println!(
        "| variant | deploys | good ones confirmed | bad ones undone | requests | lost with a bad worker: begun + waiting + turned away | lost beyond | longest answer |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut total = Account::default();
    for variant in variants {
        let account = Stage::new(variant, options.clients, Duration::from_millis(options.rest)).play(share);
        row(&variant.to_string(), &account);
        total.add(account);
    }
    row("**all**", &total);
    println!();
    println!(
        "| bad release | deploys | undone | first failure → all links name old workers | the same, from a dead process on | the same, starved | answered during the migration |"
    );
    println!("| --- | ---: | ---: | --- | --- | --- | ---: |");
    for kind in Kind::BAD {
        kind_row(kind, &total);
    }
    let known = |it: &Deploy| if it.kind == Kind::Crash { it.died } else { it.failed };
    let all = total.times(|it| !it.starved && it.kind.is_known_at_once(), known);
    println!("\nNot starved, from a death, an answer or a report on: {}", show(all));
}

fn row(name: &str, account: &Account) {
    let good = account.of(|it| it.kind.is_good());
    let bad = account.of(|it| !it.kind.is_good());
    let lost = |loss| account.losses.iter().filter(|it| **it == loss).count();
    println!(
        "| {name} | {} | {} of {} | {} of {} | {} | {} + {} + {} | **{}** | {:.1} s |",
        account.deploys.len(),
        good.1,
        good.0,
        bad.1,
        bad.0,
        account.requests,
        lost(Loss::Begun),
        lost(Loss::Waiting),
        lost(Loss::TurnedAway),
        lost(Loss::Beyond),
        account.longest.as_secs_f64(),
    );
}

fn kind_row(kind: Kind, total: &Account) {
    let (count, undone) = total.of(|it| it.kind == kind);
    let meanwhile: u64 = total.deploys.iter().filter(|it| it.kind == kind).map(|it| it.meanwhile).sum();
    println!(
        "| {kind} | {count} | {undone} | {} | {} | {} | {} |",
        show(total.times(|it| it.kind == kind && !it.starved, |it| it.failed)),
        show(total.times(|it| it.kind == kind && !it.starved, |it| it.died)),
        show(total.times(|it| it.kind == kind && it.starved, |it| it.failed)),
        if kind == Kind::Migration { meanwhile.to_string() } else { String::new() },
    );
}

fn show(times: Vec<Duration>) -> String {
    if times.is_empty() {
        return String::new();
    }
    let count = times.len();
    format!("{}, {count} times", Sample::of(times).show_finely())
}
