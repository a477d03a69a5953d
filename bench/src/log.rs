//! What a log costs, and whether it is complete: `cargo run --release -p nodesockd-bench -- log`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use nodesockd_bench::app_on_disk;
use nodesockd_core::log_line::parse;
use nodesockd_tests::app::fixture;
use nodesockd_tests::{App, Daemon, Load, Upstream, program};

/// Has workers write lines as fast as they can, and serve while nobody takes what they write; prints two Markdown tables.
#[derive(Debug, Args)]
pub struct Options {
    /// How many lines.
    #[arg(long, default_value_t = 1_000_000)]
    lines: u32,

    /// How many workers write them.
    #[arg(long, default_value_t = 8)]
    workers: u32,

    /// For how many seconds latencies are measured, each time.
    #[arg(long, default_value_t = 30)]
    seconds: u64,

    /// How often, in turns.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

/// What becomes of the daemon while workers write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Undisturbed,
    /// It is killed, another one follows, which becomes a newer version.
    KilledAndUpgraded,
}

/// Runs the bench.
pub fn run(options: &Options) {
    // Built before anything is timed.
    program::newer();
    println!(
        "| {} workers write to | lines | missing | torn or out of order | files | took | ÷ file |",
        options.workers
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let plain = flood(options, "options.stdout", Fate::Undisturbed);
    plain.show("a file, by themselves", None);
    flood(options, "log.dir", Fate::Undisturbed).show("a log", Some(&plain));
    let disturbed = flood(options, "log.dir", Fate::KilledAndUpgraded);
    disturbed.show("a log, the daemon is killed and upgraded", Some(&plain));
    println!(
        "\n| workers write 10,000 lines a second to | requests | lost | median | 99 % | 99.9 % | longest |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for _ in 0..options.rounds {
        latency(options, "nowhere", None);
        latency(options, "a log", Some(false));
        latency(options, "a log that nobody takes", Some(true));
    }
}

/// What was found of what workers have written.
struct Found {
    lines: u64,
    missing: u64,
    wrong: u64,
    files: usize,
    took: Duration,
}

impl Found {
    fn show(&self, what: &str, plain: Option<&Self>) {
        let Self { lines, missing, wrong, files, took } = self;
        let ratio = plain.map(|plain| took.as_secs_f64() / plain.took.as_secs_f64());
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let took = took.as_secs_f64();
        println!("| {what} | {lines} | {missing} | {wrong} | {files} | {took:.1} s | {ratio} |");
    }
}

fn flood(options: &Options, key: &str, fate: Fate) -> Found {
    let preload = fixture("flood.js").display().to_string();
    let mut app = app_on_disk().workers(options.workers).set("script", "app.js");
    app.change("nodeArgs", vec!["--require".to_owned(), preload]);
    app.change("env.FLOOD", (options.lines / options.workers).to_string());
    std::fs::create_dir(app.path("log")).expect("a fresh folder");
    if key == "log.dir" {
        app.change("log.dir", "log");
        app.change("log.rotate", "10M");
        app.change("log.keep", 1000);
    } else {
        app.change(key, "log/app.log");
    }
    program::install(program::nodesockd(), &app.path("nodesockd"));
    let launch = || app.launch().from(&app.path("nodesockd"));
    let begun = Instant::now();
    let mut daemon = launch().spawn();
    if fate == Fate::KilledAndUpgraded {
        let written = || {
            files(&app).iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum::<u64>()
        };
        let share = |share: u64| u64::from(options.lines) * 40 * share / 100;
        daemon.until_so("a part is written", || written() > share(20));
        daemon.die();
        daemon.take_place(launch());
        daemon.until_so("more is written", || written() > share(50) && daemon.try_status().is_some());
        program::install(program::newer(), &app.path("nodesockd"));
        daemon.signal(Signal::SIGUSR2);
    }
    let wrote = || std::fs::read_dir(app.folder()).expect("the app's folder").flatten();
    let wrote =
        || wrote().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "wrote")).count();
    daemon.until_so("all is written", || wrote() == options.workers as usize);
    let took = begun.elapsed();
    if fate == Fate::KilledAndUpgraded {
        daemon.until("the newer program is there", |status| status.version == program::NEWER);
    }
    daemon.quit();
    look(&app, options, took, &daemon)
}

/// The files of the log, the oldest one first.
fn files(app: &App) -> Vec<PathBuf> {
    let names = std::fs::read_dir(app.path("log")).expect("the log").flatten().map(|entry| entry.path());
    let number = |path: &PathBuf| path.extension().and_then(|number| number.to_str()?.parse::<u32>().ok());
    let mut files: Vec<PathBuf> = names.collect();
    files.sort_by_key(number);
    files.reverse();
    files
}

fn look(app: &App, options: &Options, took: Duration, daemon: &Daemon) -> Found {
    let (mut next, mut missing, mut wrong, mut lines) = (BTreeMap::<String, u64>::new(), 0, 0, 0);
    let files = files(app);
    for path in &files {
        let text = std::fs::read(path).expect("a file of the log");
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // What our library says on stderr when its daemon is gone is none of the numbered lines.
            if parse(line).is_some_and(|line| line.stream != "stdout") {
                continue;
            }
            let line =
                parse(line).map_or_else(|| String::from_utf8_lossy(line).into_owned(), |line| line.line);
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            if let [worker, "says", number, rest] = words[..]
                && let Ok(number) = number.parse::<u64>()
            {
                lines += 1;
                let next = next.entry(worker.to_owned()).or_default();
                missing += number.saturating_sub(*next);
                wrong += u64::from(number < *next || rest.len() as u64 != number % 80 + 1);
                *next = number + 1;
            } else {
                wrong += u64::from(words.get(1) != Some(&"wrote"));
            }
        }
    }
    let expected = u64::from(options.lines / options.workers * options.workers);
    missing = missing.max(expected.saturating_sub(lines));
    if missing + wrong > 0 {
        eprintln!("{}", daemon.log());
    }
    Found { lines, missing, wrong, files: files.len(), took }
}

/// Serves while workers write. `stands_still`: whether nobody takes what is for the log; without it, there is none.
fn latency(options: &Options, what: &str, stands_still: Option<bool>) {
    let preload = fixture("chatty.js").display().to_string();
    let mut app = app_on_disk().workers(2).set("nodeArgs", vec!["--require".to_owned(), preload]);
    std::fs::create_dir(app.path("log")).expect("a fresh folder");
    app.change("options.onlineTimeout", 50_000);
    match stands_still {
        None => app.change("options.stderr", "discard"),
        Some(_) => app.change("log.dir", "log"),
    }
    // A FIFO with somebody who could read.
    let path = app.path("log/app.log");
    let reader = (stands_still == Some(true)).then(|| {
        mkfifo(&path, Mode::S_IRWXU).expect("a FIFO");
        std::fs::File::options().read(true).write(true).open(&path).expect("a FIFO")
    });
    let mut daemon = app.start();
    let nginx = Upstream::of(&app, 2).keepalive(4).start();
    let load = Load::gently(&nginx.front(), 4, Duration::from_millis(2));
    thread::sleep(Duration::from_secs(options.seconds));
    let ledger = load.finish();
    let millis = |share| ledger.latency(share).as_secs_f64() * 1000.0;
    println!(
        "| {what} | {} | {} | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms |",
        ledger.sent,
        ledger.failures.len(),
        millis(0.5),
        millis(0.99),
        millis(0.999),
        millis(1.0)
    );
    drop(reader);
    daemon.quit();
}
