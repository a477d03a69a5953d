//! A day in a minute: what is counted is what was done. In ten minutes:
//!
//! ```shell
//! NODESOCKD_DAY=600 cargo test -p nodesockd-tests --test metrics day -- --nocapture
//! ```

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nodesockd_tests::http::Port;
use nodesockd_tests::load::Ledger;
use nodesockd_tests::nginx::KEEPALIVE_TIMEOUT;
use nodesockd_tests::prometheus::{Numbers, Prometheus, Scraper};
use nodesockd_tests::{App, Daemon, Load, Upstream, cli, program, releases, until};

use super::{measured, monitoring};

/// What the test has done so far.
#[derive(Debug, Default)]
struct Done {
    answered: u64,
    signalled: u32,
    hung: u32,
}

impl Done {
    fn load(&mut self, ledger: &Ledger, daemon: &Daemon) {
        assert!(ledger.failures.is_empty(), "{ledger}{}", daemon.log());
        self.answered += ledger.answered.values().sum::<u64>();
    }
}

/// All clients are served for a while: as long as it takes, or a share of the seconds in `NODESOCKD_DAY`.
fn flows(load: &Load) {
    let seconds: u64 = std::env::var("NODESOCKD_DAY").map_or(0, |seconds| seconds.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds) / SPELLS;
    load.flows();
    while Instant::now() < until {
        load.flows();
    }
}

/// How often they are.
const SPELLS: u32 = 8;

fn run(app: &App, args: &[&str]) {
    let output = app.cli(args);
    assert_eq!(output.code, 0, "{args:?}: {output}");
}

#[test]
fn everything_that_happens_is_counted_once() {
    let port = Port::claim();
    let milliseconds = (KEEPALIVE_TIMEOUT * 1000).to_string();
    let app = App::new().script("echo.js").workers(2).env("UPSTREAM_KEEP_ALIVE", &milliseconds);
    let app = releases::laid_out(measured(app, &port).set("health.hangTimeout", 3000));
    program::install(program::nodesockd(), &app.path("nodesockd"));
    let launch = || app.launch().from(&app.path("nodesockd")).within(&app.path("current"));
    let mut daemon = launch().start();
    let prometheus = Prometheus::start(port.number, &monitoring::file("alerts.yml"));
    let nginx = Upstream::of(&app, 2).keepalive(4).next("off").start();
    let scraper = Scraper::start(port.number, Numbers::default());
    let scraped = || Numbers::scraped(port.number).unwrap();
    let mut done = Done::default();

    // Restarts under load.
    let load = Load::start(&nginx.front(), 4);
    flows(&load);
    run(&app, &["restart"]);
    flows(&load);
    run(&app, &["restart"]);
    flows(&load);
    done.load(&load.finish(), &daemon);
    let requests = || scraped().sum("nodesockd_requests_total", &[("class", "2xx")]);
    let all_counted = |answered: u64| until("each request is counted", || requests() == answered as f64);
    all_counted(done.answered);

    // A crash, a hang, a link that somebody removes.
    daemon.status().slot(0).process().signal(Signal::SIGKILL);
    done.signalled += 1;
    daemon.until_so("the crash is counted", || {
        scraped().sum("nodesockd_worker_deaths_total", &[("reason", "signalled")]) == 1.0
    });
    let before = daemon.settled();
    before.slot(1).process().freeze();
    done.hung += 1;
    daemon.until("the hung worker is replaced", |status| {
        status.is_settled() && status.workers.iter().all(|worker| worker.id != before.slot(1).id)
    });
    std::fs::remove_file(app.link(0)).unwrap();
    until("the link is there again", || app.link(0).exists());

    // A deploy that is rolled back.
    let args = ["deploy", "--release", "releases/2", "--watch", "1h"];
    let deploy = cli::spawn(&mut cli::command(app.folder(), &args));
    let watched = daemon.until("the old workers are kept", |status| {
        status.workers.iter().filter(|worker| worker.kept).count() == 2
    });
    watched.workers.iter().find(|worker| !worker.kept).unwrap().process().signal(Signal::SIGKILL);
    done.signalled += 1;
    assert_eq!(deploy.finish().code, 7);
    daemon.settled();

    // An upgrade under load.
    let load = Load::start(&nginx.front(), 4);
    flows(&load);
    program::install(program::newer(), &app.path("nodesockd"));
    let mut upgrade = Command::new(program::newer());
    cli::in_folder(upgrade.args(["restart", "--upgrade"]), app.folder());
    let output = cli::spawn(&mut upgrade).finish();
    assert_eq!(output.code, 0, "{output}{}", daemon.log());
    flows(&load);
    done.load(&load.finish(), &daemon);
    all_counted(done.answered);
    assert!(scraper.looks() > 10);
    let before = scraper.finish();

    // The daemon is killed, and workers go on without one.
    let load = Load::start(&nginx.front(), 4);
    flows(&load);
    daemon.die();
    flows(&load);
    daemon.follow(launch());
    until("metrics are served again", || Numbers::scraped(port.number).is_ok());
    let scraper = Scraper::start(port.number, before);
    flows(&load);
    done.load(&load.finish(), &daemon);
    all_counted(done.answered);
    let before = scraper.finish();
    let last = scraped();
    assert!(last.fallen_since(&before).is_empty());

    let counted = |name: &str, labels: &[(&str, &str)]| last.sum(name, labels);
    let operations = |what: &str, outcome: &str| {
        counted("nodesockd_operations_total", &[("operation", what), ("outcome", outcome)])
    };
    assert_eq!(operations("restart", "done"), 3.0);
    assert_eq!(operations("deploy", "rolled-back"), 1.0);
    assert_eq!(operations("upgrade", "done"), 1.0);
    assert_eq!(counted("nodesockd_incidents_total", &[("incident", "hang")]), f64::from(done.hung));
    assert_eq!(counted("nodesockd_incidents_total", &[("incident", "daemon-start")]), 2.0);
    assert_eq!(counted("nodesockd_worker_deaths_total", &[("reason", "hang")]), f64::from(done.hung));
    assert_eq!(
        counted("nodesockd_worker_deaths_total", &[("reason", "signalled")]),
        f64::from(done.signalled)
    );
    assert_eq!(counted("nodesockd_links_repaired_total", &[]), 1.0);
    assert_eq!(counted("nodesockd_takeover_seconds_count", &[]), 2.0, "the crash, and the hang");
    let alive = counted("nodesockd_worker_starts_total", &[]) - counted("nodesockd_worker_deaths_total", &[]);
    assert_eq!(alive, 2.0);
    assert_eq!(counted("nodesockd_requests_total", &[]), done.answered as f64);
    assert_eq!(counted("nodesockd_request_duration_seconds_count", &[]), done.answered as f64);

    // Prometheus has seen the same.
    until("Prometheus has the last numbers", || {
        prometheus.value("sum(nodesockd_requests_total)") == Some(done.answered as f64)
    });
    for name in ["requests", "worker_deaths", "worker_starts", "operations", "incidents", "links_repaired"] {
        let resets = prometheus.value(&format!("sum(resets(nodesockd_{name}_total[1h]))"));
        assert_eq!(resets, Some(0.0), "{name}");
    }
    monitoring::nothing_is_empty(&prometheus);
    println!("{} requests answered, and counted", done.answered);
}
