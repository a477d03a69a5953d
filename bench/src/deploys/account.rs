//! What became of deploys and of requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use nodesockd_tests::load::{Failure, Ledger};

use super::release::Kind;
use super::witness::Moment;

/// What became of one deploy.
#[derive(Debug)]
pub struct Deploy {
    pub kind: Kind,
    pub starved: bool,
    /// It ended as it ought to, and so did the release in force.
    pub right: bool,
    /// From the command until its end, and until nothing of the bad release was left.
    pub window: (Moment, Moment),
    /// From the first failure of a worker until all links named old ones.
    pub failed: Option<Duration>,
    /// The same from the death of that worker on.
    pub died: Option<Duration>,
    /// Requests that were answered while the migration ran.
    pub meanwhile: u64,
}

/// Why a request was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// A worker of a bad release had begun with it.
    Begun,
    /// No worker has ever got it, and it was under way while workers of a bad release had sockets that links named, or connections
    /// of nginx's.
    Waiting,
    /// A suspended worker of a bad release has answered it with 503, because it went without having been resumed.
    TurnedAway,
    /// Any other.
    Beyond,
}

/// What became of all.
#[derive(Debug, Default)]
pub struct Account {
    pub deploys: Vec<Deploy>,
    pub requests: u64,
    pub losses: Vec<Loss>,
    /// The longest time that an answer took.
    pub longest: Duration,
}

impl Account {
    /// Of deploys, the ledger of the requests meanwhile, and what workers have written down.
    pub fn of_all(deploys: Vec<Deploy>, ledger: &Ledger, marks: &Path) -> Self {
        let (by_good, by_bad) = begun(marks);
        let cause = |failure: &Failure| {
            let (sent, ended) = (Moment::of(failure.sent), Moment::of(failure.ended));
            let number = failure.number.to_string();
            let meets = |deploy: &&Deploy| sent <= deploy.window.1 && ended >= deploy.window.0;
            let bad = deploys.iter().filter(meets).find(|deploy| !deploy.kind.is_good());
            match bad.map(|deploy| deploy.kind) {
                _ if by_bad.contains(&number) => Loss::Begun,
                None | Some(Kind::Boot | Kind::Good | Kind::Migrated) => Loss::Beyond,
                Some(_) if by_good.contains(&number) => Loss::Beyond,
                Some(Kind::Migration) if failure.why.contains("503") => Loss::TurnedAway,
                Some(Kind::Migration) => Loss::Beyond,
                Some(Kind::Crash | Kind::Hang | Kind::Health | Kind::Broken) => Loss::Waiting,
            }
        };
        let losses = ledger.failures.iter().map(cause).collect();
        Self { deploys, requests: ledger.sent, losses, longest: ledger.latency(1.0) }
    }

    pub fn add(&mut self, other: Self) {
        self.deploys.extend(other.deploys);
        self.requests += other.requests;
        self.losses.extend(other.losses);
        self.longest = self.longest.max(other.longest);
    }

    /// How many such deploys there were, and how many of them ended as they ought to.
    pub fn of(&self, which: impl Fn(&Deploy) -> bool) -> (usize, usize) {
        let deploys = || self.deploys.iter().filter(|deploy| which(deploy));
        (deploys().count(), deploys().filter(|deploy| deploy.right).count())
    }

    /// A time of such deploys, as far as there is one.
    pub fn times(
        &self,
        which: impl Fn(&Deploy) -> bool,
        time: impl Fn(&Deploy) -> Option<Duration>,
    ) -> Vec<Duration> {
        self.deploys.iter().filter(|deploy| which(deploy)).filter_map(time).collect()
    }
}

/// The numbers of the requests that workers of good releases have begun with, and those of bad ones.
fn begun(marks: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut numbers: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
    for entry in fs::read_dir(marks).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "seen") {
            let release = fs::read_to_string(path.with_extension("worker")).unwrap_or_default();
            let good = release.split(' ').next().is_some_and(|name| name.ends_with("-good"));
            let seen = fs::read_to_string(&path).unwrap_or_default();
            numbers.entry(good).or_default().extend(seen.lines().map(str::to_owned));
        }
    }
    (numbers.remove(&true).unwrap_or_default(), numbers.remove(&false).unwrap_or_default())
}
