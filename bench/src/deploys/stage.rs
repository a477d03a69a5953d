//! An app with users, whose releases are deployed one after the other.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nodesockd_bench::starve::Busy;
use nodesockd_bench::supervisors::Integration;
use nodesockd_tests::nginx::Nginx;
use nodesockd_tests::{App, Daemon, Load, Output, Upstream, cli, http, until, wait};

use super::Variant;
use super::account::{Account, Deploy};
use super::release::{Kind, Release};
use super::witness::{Moment, Witness};

const WORKERS: u32 = 2;

/// The watch of a good release, and of a bad one: longer than it takes to fail.
const SHORT: &str = "1s";
const LONG: &str = "1m";

/// As short as the configuration allows; of a starved machine, longer than a worker that is well waits for the CPU.
const HANG_TIMEOUT: i64 = 1000;
const HANG_TIMEOUT_STARVED: i64 = 10_000;

/// The nice value of all that is measured on a starved machine, and of the busy loops there.
const STARVED: &[&str] = &["nice", "-n", "15"];
const BUSY: u8 = 8;

/// The defaults. A worker that hangs and of which that is not known yet when it is retired is ended so much later.
const DRAIN_TIMEOUT: i64 = 5_000;
const SHUTDOWN_TIMEOUT: i64 = 10_000;

/// For how long something is waited for on a starved machine. Two workers that hang may be ended one after the other there.
const PATIENCE: Duration = Duration::from_secs(600);

/// For how long a migration is looked at.
const LOOK: Duration = Duration::from_millis(300);

pub struct Stage {
    variant: Variant,
    marks: PathBuf,
    // Dropped in this order.
    load: Load,
    _busy: Option<Busy>,
    nginx: Nginx,
    daemon: Daemon,
    witness: Witness,
    serving: Release,
    app: App,
}

impl Stage {
    pub fn new(variant: Variant, clients: usize, rest: Duration) -> Self {
        if variant.starved {
            wait::set_limit(PATIENCE);
        }
        let nice: &[&str] = if variant.starved { STARVED } else { &["env"] };
        let app = variant.integration.of(nodesockd_bench::app().workers(WORKERS));
        let hang_timeout = if variant.starved { HANG_TIMEOUT_STARVED } else { HANG_TIMEOUT };
        let (run, marks) = (app.run().display().to_string(), app.path("marks"));
        let app = app.set("tmpDir", run).set("health.hangTimeout", hang_timeout);
        let app = app.set("options.spawnTimeout", 50_000);
        let app = app.set("options.drainTimeout", DRAIN_TIMEOUT);
        let app = app.set("options.shutdownTimeout", SHUTDOWN_TIMEOUT);
        let app = app.env("MARKS", &marks.display().to_string());
        fs::create_dir(&marks).unwrap();
        app.save();
        let serving = Release::lay_out(&app, Kind::Good, 0);
        serving.is_current(&app);
        let witness = Witness::of(&app, marks.clone());
        let daemon = app.launch().through(nice).within(&app.path("current")).start();
        let mut upstream = Upstream::of(&app, WORKERS).through(nice);
        if variant.keepalive {
            upstream = upstream.keepalive(16);
        }
        let nginx = upstream.start();
        let busy = variant.starved.then(|| Busy::start(BUSY));
        let load = Load::gently(&nginx.front(), clients, rest);
        Self { variant, marks, load, _busy: busy, nginx, daemon, witness, serving, app }
    }

    /// Deploys so many releases, every second one of which is bad.
    pub fn play(mut self, count: usize) -> Account {
        let third = if self.variant.integration == Integration::Daemon { Kind::Broken } else { Kind::Health };
        let bad = [Kind::Crash, Kind::Boot, Kind::Hang, third, Kind::Migration];
        let good = [Kind::Good, Kind::Good, Kind::Migrated];
        let kinds = (0..count).map(|index| match index % 2 {
            0 => bad[index / 2 % bad.len()],
            _ => good[index / 2 % good.len()],
        });
        let kinds: Vec<Kind> = kinds.collect();
        let deploys = kinds.into_iter().enumerate().map(|(index, kind)| self.deploy(kind, index + 1));
        let deploys = deploys.collect();
        let Self { variant, marks, load, nginx, daemon, .. } = self;
        let ledger = load.finish();
        let account = Account::of_all(deploys, &ledger, &marks);
        if account.losses.contains(&super::account::Loss::Beyond) {
            for (failure, loss) in ledger.failures.iter().zip(&account.losses) {
                eprintln!("{variant}: {loss:?} {failure:?}");
            }
            eprintln!("{}{}", nginx.log(), daemon.log());
        }
        account
    }

    fn deploy(&mut self, kind: Kind, number: usize) -> Deploy {
        self.load.flows();
        let release = Release::lay_out(&self.app, kind, number);
        let begun = Moment::now();
        let (output, meanwhile) = self.command(&release);
        let settled = |status: &nodesockd_tests::Status| {
            status.is_settled() && status.workers.len() == WORKERS as usize
        };
        self.daemon.until("only those are left who serve", settled);
        let ended = Moment::now();
        self.load.flows();
        if kind.is_good() && output.code == 0 {
            self.serving = release.clone();
        }
        let right = kind.may_exit_with(output.code) && self.serves();
        if !right {
            eprintln!("{}: {kind}: {output}{}", self.variant, self.daemon.log());
        }
        let (failed, died) = if output.code == 7 { self.way_back(&release) } else { (None, None) };
        let starved = self.variant.starved;
        let took = ended.since(begun);
        eprintln!("{}: {kind}: exit code {}, {took:?}; back {failed:?}, {died:?}", self.variant, output.code);
        Deploy { kind, starved, right, window: (begun, ended), failed, died, meanwhile }
    }

    /// Deploys a release. Returns how that ended, and how many requests were answered while its migration ran.
    fn command(&self, release: &Release) -> (Output, u64) {
        let path = release.path();
        let go = self.app.path(&format!("{}/go", &path));
        let begun = self.app.path(&format!("{}/begun", &path));
        let migrate = "touch begun; until [ -e go ]; do sleep 0.02; done; exit 3";
        let how: &[&str] = match release.kind {
            Kind::Good => &["--watch", SHORT],
            Kind::Migrated => &["--migrate", "true"],
            Kind::Boot | Kind::Crash | Kind::Hang | Kind::Broken => &["--watch", LONG],
            Kind::Health => &["--watch", LONG, "--health", "/fit"],
            Kind::Migration => &["--migrate", migrate],
        };
        let args: Vec<&str> = ["deploy", "--release", &path].into_iter().chain(how.iter().copied()).collect();
        let mut running = cli::spawn(&mut cli::command(self.app.folder(), &args));
        if release.kind != Kind::Migration {
            return (running.finish(), 0);
        }
        until("the migration runs, or will not", || begun.exists() || running.has_ended());
        let status = self.daemon.status();
        let nobody = status.suspended && status.workers.iter().all(|worker| worker.state == "suspended");
        assert!(nobody, "somebody is active during a migration: {status:#?}");
        let before = self.load.answered();
        thread::sleep(LOOK);
        let meanwhile = self.load.answered() - before;
        fs::write(go, "").unwrap();
        (running.finish(), meanwhile)
    }

    /// Whether the release serves that ought to, in every slot.
    fn serves(&self) -> bool {
        let runs = |slot: u32| {
            let answer = http::get(&self.app.link(slot), "/look").json();
            let worker = answer["worker"].as_str().unwrap_or_default();
            self.release_of(worker).is_some_and(|name| name == self.serving.name())
        };
        self.serving.is_named(&self.app) && (0..WORKERS).all(runs)
    }

    /// The release of a worker, as it has written it down.
    fn release_of(&self, worker: &str) -> Option<String> {
        let text = fs::read_to_string(self.marks.join(format!("{worker}.worker"))).ok()?;
        text.split(' ').next().map(str::to_owned)
    }

    /// How long it took from the first failure of a worker of the release, and from that worker's death, until no link named its
    /// workers any more.
    fn way_back(&self, release: &Release) -> (Option<Duration>, Option<Duration>) {
        let is_bad = |id: &String| self.release_of(id).is_some_and(|name| name == release.name());
        let failure = |id: &str| {
            let text = fs::read_to_string(self.marks.join(format!("{id}.failed"))).ok()?;
            Some((Moment::parse(&text)?, id.to_owned()))
        };
        let seen = self.witness.seen();
        let mut named = std::collections::BTreeMap::new();
        let bad: std::collections::BTreeSet<&String> =
            seen.links.iter().filter_map(|(_, _, id)| id.as_ref()).filter(|id| is_bad(id)).collect();
        let Some((first, id)) = bad.iter().filter_map(|id| failure(id)).min() else { return (None, None) };
        let mut back = None;
        for (moment, link, id) in &seen.links {
            let before = named.values().any(|id: &String| bad.contains(id));
            if let Some(id) = id {
                named.insert(link.clone(), id.clone());
            }
            let after = named.values().any(|id| bad.contains(id));
            if before && !after {
                back = Some(*moment);
            }
        }
        let failed = back.map(|back| back.since(first));
        // It may be known before the kernel has cleared the process away: its channel has ended.
        let died = seen.deaths.get(&id).and_then(|died| Some(back?.since(*died)));
        (failed, died)
    }
}
