//! Whether those who hang are known, and only those: `cargo run --release -p nodesockd-bench -- hangs`

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::Signal;
use nodesockd_bench::starve::Busy;
use nodesockd_bench::{Led, Mortal, app};
use nodesockd_tests::{App, Connections, Load, Upstream, Visitors, Worker, http, until};

/// Kills workers beside standbys that hang, and lets a starved machine run for an hour; prints a Markdown table of each.
#[derive(Debug, Args)]
pub struct Options {
    /// How many workers are killed beside standbys that hang; 0 for none.
    #[arg(long, default_value_t = 200)]
    tries: usize,

    /// How long the machine is starved, in minutes; 0 for not at all.
    #[arg(long, default_value_t = 60)]
    minutes: u64,

    /// The nice value of the busy loops that starve it. Everything that is measured has 19.
    #[arg(long, default_value_t = 10)]
    nice: u8,
}

/// Runs the bench.
pub fn run(options: &Options) {
    if options.tries > 0 {
        promotions(options.tries);
    }
    if options.minutes > 0 {
        starved(Duration::from_secs(60 * options.minutes), options.nice);
    }
}

/// After SIGUSR2 its event loop does not turn any more. It says so before.
const LOOPS: &str = concat!(
    include_str!("../apps/app.js"),
    "\nprocess.on('SIGUSR2', () => { require('node:fs').writeFileSync(process.pid + '.loops', ''); for (;;); });\n"
);

/// How a standby is made to hang.
#[derive(Debug, Clone, Copy)]
enum Hang {
    Stopped,
    Loops,
}

/// What came of the tries.
#[derive(Debug, Default)]
struct Promotions {
    tries: u32,
    /// Somebody else serves the slot.
    promoted: u32,
    /// Those that were still waiting when another served.
    hung: u32,
    /// Hung ones that a link has led to.
    led_to: u32,
    /// Connections to hung ones.
    met: usize,
    requests: u64,
    /// Requests that were sent before the killed worker was gone, and failed.
    with_the_killed: usize,
    /// Requests that were sent later, and failed.
    beyond: usize,
}

fn promotions(tries: usize) {
    println!(
        "| standbys, of two | tries | served by a standby | hung standbys | of them promoted | requests that met one | requests | lost with the killed | lost beyond |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let kinds = [
        ("one is stopped", Hang::Stopped, 1),
        ("one loops", Hang::Loops, 1),
        ("both are stopped", Hang::Stopped, 2),
        ("both loop", Hang::Loops, 2),
    ];
    // Three of four tries have a standby to promote.
    let shares = [3, 3, 1, 1].map(|eighths| (tries * eighths).div_ceil(8));
    for ((name, hang, hung), share) in kinds.into_iter().zip(shares) {
        let mut sum = Promotions::default();
        for index in 0..share {
            promotion(&mut sum, index, hang, hung);
        }
        let Promotions { tries, promoted, hung, led_to, met, requests, with_the_killed, beyond } = sum;
        println!(
            "| {name} | {tries} | {promoted} | {hung} | {led_to} | {met} | {requests} | {with_the_killed} | {beyond} |"
        );
    }
}

/// Kills a worker of an app of its own: one that loses workers again and again starts them later each time.
fn promotion(sum: &mut Promotions, index: usize, hang: Hang, count: usize) {
    let app = app().workers(2).standby(2);
    app.write("app.js", LOOPS);
    let daemon = app.start();
    let nginx = Upstream::of(&app, 2).start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    let before = daemon.status();
    let standbys = before.standbys();
    let hung: Vec<&Worker> = (0..count).map(|other| standbys[(index + other) % standbys.len()]).collect();
    let led = Led::watch(&app);
    for standby in &hung {
        make(&app, standby, hang);
    }
    let slot = u32::from(index / 2 % 2 == 1);
    let killed = before.slot(slot);
    let gone = Mortal::new(killed.process()).ends_by(rustix::process::Signal::KILL);
    let served = daemon.until("the slot is served again", |status| {
        status
            .workers
            .iter()
            .any(|worker| worker.idx == Some(slot) && worker.state == "online" && worker.id != killed.id)
    });
    load.flows();
    sum.tries += 1;
    sum.promoted += u32::from(standbys.iter().any(|standby| standby.id == served.slot(slot).id));
    for standby in &hung {
        sum.hung += 1;
        sum.led_to += u32::from(led.to(&standby.id) || served.slot(slot).id == standby.id);
        let socket = app.run().join(format!("app.{}.sock", standby.id));
        sum.met += if socket.exists() { Connections::to(&socket).all() } else { 0 };
    }
    let ledger = load.finish();
    sum.requests += ledger.sent;
    let beyond = ledger.failures.iter().filter(|failure| failure.sent > gone).count();
    sum.beyond += beyond;
    sum.with_the_killed += ledger.failures.len() - beyond;
    if beyond > 0 {
        eprintln!("{ledger}{}{}", nginx.log(), daemon.log());
    }
}

fn make(app: &App, standby: &Worker, hang: Hang) {
    let process = standby.process();
    match hang {
        Hang::Stopped => process.freeze(),
        Hang::Loops => {
            process.signal(Signal::SIGUSR2);
            let said = app.path(&format!("{}.loops", process.pid));
            until("the standby loops", || said.exists());
        }
    }
}

/// Every minute or so its event loop does not turn for five seconds, as in a collection of much garbage.
const PAUSES: &str = concat!(
    include_str!("../apps/app.js"),
    r"
const pause = () => {
  const end = Date.now() + 5000;
  while (Date.now() < end);
  require('node:fs').appendFileSync('pauses', `${worker}\n`);
  setTimeout(pause, 30_000 + 60_000 * Math.random());
};
setTimeout(pause, 60_000 * Math.random());
"
);

/// Visitors, and the pause between two visits of one of them.
const VISITORS: u32 = 4;
const REST: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
struct Visits {
    all: AtomicU64,
    failed: AtomicU64,
    /// In milliseconds.
    longest: AtomicU64,
}

fn starved(time: Duration, nice: u8) {
    let through = ["nice", "-n", "19"];
    let app = app().workers(2).standby(1).set("health.path", "/fit");
    app.write("app.js", PAUSES);
    let daemon = app.launch().through(&through).start();
    let nginx = Upstream::of(&app, 2).through(&through).start();
    let (before, said) = (daemon.status(), daemon.log().len());
    let visits = Arc::<Visits>::default();
    let (counted, front) = (Arc::clone(&visits), nginx.front());
    let busy = Busy::start(nice);
    let visitors = Visitors::start(VISITORS, move |_| {
        let begun = Instant::now();
        let answered = http::try_get(&front, "/1").is_ok_and(|answer| answer.status == 200);
        let took = begun.elapsed().as_millis();
        counted.all.fetch_add(1, Relaxed);
        counted.failed.fetch_add(u64::from(!answered), Relaxed);
        counted.longest.fetch_max(took.try_into().unwrap_or(u64::MAX), Relaxed);
        thread::sleep(REST);
    });
    thread::sleep(time);
    let after = daemon.status();
    visitors.leave();
    drop(busy);

    let ids = |workers: &[Worker]| workers.iter().map(|worker| worker.id.clone()).collect::<BTreeSet<_>>();
    let replaced = ids(&before.workers).difference(&ids(&after.workers)).count();
    let failures: u64 = after.failures.iter().map(|failures| failures.count).sum();
    let alarms = alarms(&daemon.log()[said..]);
    println!(
        "| minutes | requests | failed | longest answer | pauses of 5 s | workers replaced | failures in `status` | alarms in the log |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    println!(
        "| {} | {} | {} | {} ms | {} | {replaced} | {failures} | {} |",
        time.as_secs() / 60,
        visits.all.load(Relaxed),
        visits.failed.load(Relaxed),
        visits.longest.load(Relaxed),
        app.read("pauses").lines().count(),
        alarms.len(),
    );
    for line in alarms {
        eprintln!("{line}");
    }
}

/// What the daemon warned of.
fn alarms(log: &str) -> Vec<String> {
    log.lines()
        .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
        .map(str::to_owned)
        .collect()
}
