//! `nodesockd-sim`: runs seeds, or replays one.
#![expect(clippy::disallowed_types, reason = "the command measures how long it takes")]

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
#[cfg(feature = "defects")]
use nodesockd_core::defect::Defect;
use nodesockd_sim::catalogue::SITUATIONS;
use nodesockd_sim::{History, Stats, generate, run, shrink, trace};

/// Looks for histories in which nodesockd breaks its oracle.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run so many seeds
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// Run seeds until so many hours are simulated, however many that takes
    #[arg(long, conflicts_with_all = ["seeds", "seed", "replay"])]
    hours: Option<u64>,
    /// Begin with this one
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stop at the first one that goes wrong
    #[arg(long, conflicts_with = "seed")]
    fail_fast: bool,
    /// Run this one only
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Play the history in this file only
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from", "seed", "fail_fast"])]
    replay: Option<PathBuf>,
    /// Print the story of the one
    #[arg(long, conflicts_with_all = ["seeds", "from", "fail_fast"])]
    trace: bool,
    /// Print a hash of the course of each seed, to compare two versions of the simulator
    #[arg(long, conflicts_with_all = ["seed", "replay"])]
    hash: bool,
    /// Make the one that goes wrong as small as possible, and write it to this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from", "fail_fast"])]
    save: Option<PathBuf>,
    /// Plant this mistake in the supervisor before
    #[cfg(feature = "defects")]
    #[arg(long, value_name = "NAME", value_parser = named)]
    defect: Option<Defect>,
}

/// The defect of this name.
#[cfg(feature = "defects")]
fn named(name: &str) -> Result<Defect, String> {
    let defect = Defect::ALL.iter().find(|defect| format!("{defect:?}") == name);
    defect.copied().ok_or_else(|| format!("the names are in core/src/defect.rs: {:?}", Defect::ALL))
}

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "defects")]
    if let Some(defect) = arguments.defect {
        nodesockd_core::defect::plant(defect);
    }
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let _ = writeln!(std::io::stderr(), "replay it: {}", command(SEED.get()));
    }));
    let done = match (arguments.seed, &arguments.replay) {
        (Some(seed), _) => {
            SEED.set(seed);
            let (scenario, faults) = generate(seed);
            one(History { found: String::new(), scenario, faults }, &arguments)
        }
        (None, Some(path)) => History::load(path).and_then(|history| one(history, &arguments)),
        (None, None) => many(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn command(seed: u64) -> String {
    format!("cargo run --profile sim -p nodesockd-sim -- --seed {seed} --trace")
}

/// Plays one history; if that goes wrong and is to be kept, what is kept is played.
fn one(history: History, arguments: &Arguments) -> std::io::Result<bool> {
    let started = Instant::now();
    let mut history = history;
    if let Some(path) = &arguments.save {
        history = shrink(&history);
        if !history.found.is_empty() {
            history.save(path)?;
        }
    }
    let History { scenario, faults, .. } = &history;
    let outcome = if arguments.trace { trace(scenario, faults) } else { run(scenario, faults) };
    let mut out = std::io::stdout().lock();
    if arguments.trace {
        writeln!(out, "{scenario:#?}\n{faults:#?}\n\n{}", outcome.trace)?;
    }
    if let Some(violation) = &outcome.violation {
        writeln!(out, "{violation}")?;
    }
    let violations = u64::from(outcome.violation.is_some());
    writeln!(out, "{}", summary(1, &outcome.stats, started, violations, 0))?;
    Ok(violations == 0)
}

/// Runs seeds, each one twice when its turn comes: one in twenty.
fn many(arguments: &Arguments) -> std::io::Result<bool> {
    let Arguments { from, fail_fast, hash, hours, .. } = *arguments;
    let seeds = if hours.is_some() { u64::MAX } else { arguments.seeds };
    let enough = |nanos: u64| hours.is_some_and(|hours| nanos / 3_600_000_000_000 >= hours);
    let started = Instant::now();
    let mut total = Stats::default();
    let (mut played, mut violations, mut mismatches) = (0, 0, 0);
    let bar = progress(seeds);
    for seed in from..from.saturating_add(seeds) {
        SEED.set(seed);
        played += 1;
        let (scenario, faults) = generate(seed);
        let outcome = run(&scenario, &faults);
        if hash {
            bar.suspend(|| writeln!(std::io::stdout(), "{seed} {:016x}", outcome.hash))?;
        }
        if let Some(violation) = &outcome.violation {
            violations += 1;
            bar.suspend(|| writeln!(std::io::stdout(), "seed {seed}: {violation}\n  {}", command(seed)))?;
        }
        if seed % 20 == 0 && run(&scenario, &faults).hash != outcome.hash {
            mismatches += 1;
            bar.suspend(|| writeln!(std::io::stdout(), "seed {seed}: a second run took another course"))?;
        }
        total.add(&outcome.stats);
        bar.inc(1);
        if fail_fast && violations + mismatches > 0 || enough(total.nanos) {
            break;
        }
    }
    bar.finish_and_clear();
    writeln!(std::io::stdout(), "{}", summary(played, &total, started, violations, mismatches))?;
    Ok(violations == 0 && mismatches == 0)
}

fn progress(seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(seeds);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} seeds  {per_sec}  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn summary(seeds: u64, stats: &Stats, started: Instant, violations: u64, mismatches: u64) -> String {
    let wall = started.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
    let simulated = stats.nanos as f64 / 1e9;
    format!(
        "{seeds} seeds · {} steps · {} events ({:.0}/s) · {simulated:.0} s simulated in {wall:.1} s ({:.0}×) · \
         {:.2} h · without a leader: {} · faults: {} · {} of {} situations · requests: {} · {mismatches} run-twice mismatches · {violations} violations",
        stats.steps,
        stats.events,
        stats.events as f64 / wall,
        simulated / wall,
        simulated / 3600.0,
        stats.leaderless,
        stats.faults,
        stats.situations.iter().count(),
        SITUATIONS.len(),
        stats.requests,
    )
}
