//! What is lost where workers are not merely replaced: `cargo run --release -p nodesockd-bench -- held`

use clap::Args;
use nix::sys::signal::Signal;
use nodesockd_bench::supervisors::{self, Integration};
use nodesockd_tests::{App, Connections, Daemon, Load, Upstream, until};

/// Rolls back out of suspension, and kills the only worker, under load through nginx; prints a Markdown table of what
/// failed.
#[derive(Debug, Args)]
pub struct Options {
    /// How many rollbacks.
    #[arg(long, default_value_t = 20)]
    rollbacks: u32,

    /// How many kills.
    #[arg(long, default_value_t = 50)]
    kills: u32,

    /// Clients, each with one request under way: half of them GET, half POST.
    #[arg(long, default_value_t = 64)]
    clients: usize,
}

/// What became of all requests, time after time.
#[derive(Debug, Default)]
struct Account {
    sent: u64,
    /// Those that waited, in the queue or in a worker, when it happened.
    waiting: usize,
    /// Those that the worker had accepted when it was killed, and not closed: it may just have answered some.
    accepted: usize,
    failed: usize,
    /// How often more failed than the worker had accepted.
    excesses: u32,
}

/// Runs the bench.
pub fn run(options: &Options) {
    println!(
        "| what happens | `options.listen` | times | requests | waiting then | accepted by the killed | failed |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for integration in [Integration::Daemon, Integration::Worker] {
        let stage = Stage::new(integration, options.clients);
        let account = stage.roll_back(options.rollbacks);
        stage.row("rollback out of suspension", options.rollbacks, &account, "");
    }
    for integration in [Integration::Daemon, Integration::Worker] {
        let stage = Stage::new(integration, options.clients);
        let account = stage.kill(options.kills);
        let accepted = account.accepted.to_string();
        stage.row("`kill -9` of the only worker", options.kills, &account, &accepted);
        if integration == Integration::Daemon {
            assert_eq!(account.excesses, 0, "more failed than the killed worker had accepted");
        }
    }
}

/// One worker behind an nginx that tries nothing again.
struct Stage {
    integration: Integration,
    clients: usize,
    app: App,
    daemon: Daemon,
}

impl Stage {
    fn new(integration: Integration, clients: usize) -> Self {
        let app = integration.of(nodesockd_bench::app());
        let daemon = app.start();
        Self { integration, clients, app, daemon }
    }

    fn row(&self, what: &str, times: u32, account: &Account, accepted: &str) {
        let listen = if self.integration == Integration::Daemon { "daemon" } else { "worker" };
        let Account { sent, waiting, failed, .. } = account;
        println!("| {what} | {listen} | {times} | {sent} | {waiting} | {accepted} | {failed} |");
    }

    /// Each time all clients are waiting for a suspended worker, which is then replaced instead of resumed.
    fn roll_back(&self, times: u32) -> Account {
        self.repeat(times, |load, account| {
            let reply =
                self.daemon.connect().request("restart-workers", &serde_json::json!({ "suspended": true }));
            assert!(reply.errors.is_empty(), "{reply:?}");
            account.waiting += self.all_are_there().all();
            supervisors::restart(&self.daemon);
            load.flows();
        })
    }

    /// Each time the worker is stopped at any moment of its work, so that what it has accepted can be counted, then killed.
    fn kill(&self, times: u32) -> Account {
        self.repeat(times, |load, account| {
            let worker = self.daemon.status().slot(0).process();
            worker.freeze();
            let Connections { accepted, waiting } = self.all_are_there();
            account.accepted += accepted;
            account.waiting += waiting;
            worker.signal(Signal::SIGKILL);
            load.flows();
            self.daemon.settled();
            // Ends the row of failures: the next worker is started at once again, as after a single crash.
            supervisors::restart(&self.daemon);
        })
    }

    /// Every client's request has got to the socket.
    fn all_are_there(&self) -> Connections {
        let link = self.app.link(0);
        let mut found = Connections::default();
        until("all clients wait at the worker's socket", || {
            found = Connections::to(&link);
            found.all() >= self.clients
        });
        found
    }

    fn repeat(&self, times: u32, mut story: impl FnMut(&Load, &mut Account)) -> Account {
        let nginx = Upstream::of(&self.app, 1).next("off").start();
        let mut account = Account::default();
        for _ in 0..times {
            let load = Load::start(&nginx.front(), self.clients);
            load.flows();
            let accepted = account.accepted;
            story(&load, &mut account);
            let ledger = load.finish();
            account.sent += ledger.sent;
            account.failed += ledger.failures.len();
            account.excesses += u32::from(ledger.failures.len() > account.accepted - accepted);
            if self.integration == Integration::Daemon && account.excesses > 0 {
                eprintln!("{ledger}{}", nginx.log());
            }
        }
        account
    }
}
