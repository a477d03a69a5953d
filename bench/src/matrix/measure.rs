//! One app behind one front.

use std::fmt;
use std::thread;
use std::time::Duration;

use nodesockd_tests::fronts::{Front, Kind};
use nodesockd_tests::load::{Failure, Ledger};
use nodesockd_tests::{App, Daemon, Load};

use super::Options;
use super::apps::Row;
use super::stock::Stock;
use crate::kills::{self, told_apart};

/// What was lost.
#[derive(Debug, Default)]
pub struct Cell {
    /// Requests made.
    pub requests: u64,
    /// Lost in restarts.
    restarts: usize,
    /// Lost in suspended restarts, of an app that can be suspended.
    suspended: Option<usize>,
    /// Workers killed.
    pub kills: u32,
    /// Lost in a killed worker that may have begun them.
    begun: usize,
    /// Lost beside that.
    beyond: usize,
}

impl Cell {
    /// Counts another one in.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.restarts += other.restarts;
        if let Some(lost) = other.suspended {
            *self.suspended.get_or_insert(0) += lost;
        }
        self.kills += other.kills;
        self.begun += other.begun;
        self.beyond += other.beyond;
    }
}

/// Restarts, suspended restarts, `kill -9`: begun + beyond.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suspended = self.suspended.map_or_else(|| "–".to_owned(), |lost| lost.to_string());
        write!(f, "{}, {suspended}, {} + {}", self.restarts, self.begun, self.beyond)
    }
}

/// Runs the app behind a front, with a load for each kind of event.
pub fn cell(row: &Row, stock: &Stock, kind: Kind, options: &Options) -> Cell {
    let app = row.app(stock);
    let mut daemon = app.start();
    let front = row.protocol.behind(kind, &app);
    let load = || row.protocol.load(&front, options.clients, Duration::from_millis(options.rest));
    let complain = |what: &str, failures: &[&Failure]| {
        for Failure { number, method, sent, ended, why } in failures.iter().take(10) {
            let took = *ended - *sent;
            eprintln!(
                "{} behind {}: {what}: {method:?} {number} after {took:?}: {why}",
                row.name,
                kind.name()
            );
        }
    };
    let lost = |what: &str, ledger: &Ledger| {
        complain(what, &ledger.failures.iter().collect::<Vec<_>>());
        if !ledger.failures.is_empty() {
            eprintln!("{}", excerpt(&front, &daemon));
        }
        ledger.failures.len()
    };

    let restarted = restarts(&app, load(), options);
    let mut cell = Cell { requests: restarted.sent, kills: options.kills, ..Cell::default() };
    cell.restarts = lost("restarts", &restarted);
    if row.suspends {
        let resumed = suspended(&app, load(), options);
        cell.requests += resumed.sent;
        cell.suspended = Some(lost("suspended restarts", &resumed));
    }
    let killing = load();
    let ends: Vec<_> = (0..options.kills).map(|kill| kills::kill(&daemon, &killing, kill % 2)).collect();
    let killed = killing.finish();
    let (begun, beyond) = told_apart(&killed, &ends);
    complain("beyond a killed worker", &beyond);
    cell.requests += killed.sent;
    (cell.begun, cell.beyond) = (begun.len(), beyond.len());
    // php-fpm writes its title over its environment, by which what a killed daemon leaves would be found.
    daemon.quit();
    cell
}

/// The next one begins while old workers finish.
fn restarts(app: &App, load: Load, options: &Options) -> Ledger {
    for _ in 0..options.restarts {
        load.flows();
        run(app, &["restart", "--no-wait"]);
    }
    load.flows();
    load.finish()
}

fn suspended(app: &App, load: Load, options: &Options) -> Ledger {
    for _ in 0..options.suspended {
        load.flows();
        run(app, &["restart", "--suspended"]);
        thread::sleep(Duration::from_millis(options.migration));
        run(app, &["resume"]);
    }
    load.flows();
    load.finish()
}

fn run(app: &App, args: &[&str]) {
    let output = app.cli(args);
    assert_eq!(output.code, 0, "{args:?}: {output}");
}

fn excerpt(front: &Front, daemon: &Daemon) -> String {
    let log = daemon.log();
    let warnings: Vec<&str> =
        log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).take(10).collect();
    format!("{}daemon:\n  {}", front.log(), warnings.join("\n  "))
}
