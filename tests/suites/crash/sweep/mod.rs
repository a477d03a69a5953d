//! The daemon is killed at every system call of an operation, and its manager starts it again at once.
//!
//! An operation is played under strace first, which tells what calls the daemon makes from the command on until it is at
//! rest again. Then it is played once for each of them, as the n-th of its name, and the daemon is killed on the way into
//! that call: after all that it had done before, and before the next thing.
//!
//! Every test run does so for the calls by which something changes outside of the daemon ([`DEEDS`]), and for a spread of
//! the others. `NODESOCKD_SWEEP=all` does it for all of them, which takes half an hour:
//!
//! ```shell
//! NODESOCKD_SWEEP=all cargo test -p nodesockd-tests --test crash sweep -- --nocapture
//! ```
//!
//! The name of a call instead of `all` does it for all calls of that name.

mod deploy;
mod stage;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use nodesockd_tests::App;
use nodesockd_tests::releases::laid_out;

use self::deploy::{FAILS, SUCCEEDS};
use self::stage::Stage;
use super::echo;

/// Calls by which the daemon changes something that outlives it, or takes hold of it.
const DEEDS: [&str; 10] = [
    "bind",
    "clone",
    "clone3",
    "execve",
    "memfd_create",
    "pidfd_open",
    "rename",
    "renameat",
    "symlinkat",
    "unlinkat",
];

/// What is played.
struct Play {
    name: &'static str,
    app: fn() -> App,
    command: &'static [&'static str],
    /// How many calls that are no [`DEEDS`] are tried in every test run.
    others: usize,
}

#[test]
fn sweep_of_a_restart() {
    sweep(&Play { name: "a restart", app: || echo().standby(1), command: &["restart"], others: 8 });
}

#[test]
fn sweep_of_a_suspended_restart() {
    sweep(&Play { name: "a suspended restart", app: echo, command: &["restart", "--suspended"], others: 8 });
}

#[test]
fn sweep_of_a_restart_of_workers_without_library() {
    sweep(&Play {
        name: "a restart of workers that say nothing",
        app: || App::new().python("inherits.py").workers(2).set("options.ready", "listen"),
        command: &["restart"],
        others: 8,
    });
}

#[test]
fn sweep_of_a_restart_with_daemon_held_sockets() {
    sweep(&Play {
        name: "a restart of workers whose sockets the daemon holds",
        app: || echo().set("options.listen", "daemon"),
        command: &["restart"],
        others: 8,
    });
}

#[test]
fn sweep_of_a_stop() {
    sweep(&Play { name: "a stop", app: echo, command: &["stop"], others: 4 });
}

#[test]
fn sweep_of_an_upgrade() {
    sweep(&Play { name: "an upgrade", app: echo, command: &["restart", "--upgrade"], others: 16 });
}

#[test]
fn sweep_of_a_deploy_with_a_migration() {
    sweep(&Play {
        name: "a deploy with a migration",
        app: || laid_out(echo()),
        command: &SUCCEEDS,
        others: 8,
    });
}

/// The old release answers what was held, for which the sockets have to be the daemon's. Each death leaves workers that take
/// seconds to go, so that every run tries one point in four.
#[test]
fn sweep_of_a_deploy_whose_migration_fails() {
    let play = Play {
        name: "a deploy whose migration fails",
        app: || laid_out(echo().set("options.listen", "daemon")),
        command: &FAILS,
        others: 8,
    };
    sweep_one_in(4, &play);
}

/// A moment at which the daemon is killed: on the way into its n-th call of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    call: String,
    nth: u32,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call, self.nth)
    }
}

/// What has come of points.
#[derive(Debug, Default)]
struct Tally {
    deaths: usize,
    /// Points that were not reached: not every call is made every time.
    spared: usize,
    wrong: Vec<String>,
}

fn sweep(play: &Play) {
    sweep_one_in(1, play);
}

/// `step`: of the points that every run tries, only one in so many is tried.
#[expect(clippy::print_stdout, reason = "says how many deaths there were, or why none")]
fn sweep_one_in(step: usize, play: &Play) {
    let Some(calls) = Stage::set(play).survey() else {
        return println!("skipped: this process may not be traced, or there is no strace");
    };
    let (points, lanes) = match std::env::var("NODESOCKD_SWEEP").as_deref() {
        Err(_) => (choose(&calls, play.others).into_iter().step_by(step).collect(), 1),
        Ok("all") => (calls.clone(), 2),
        Ok(name) => (calls.iter().filter(|point| point.call == name).cloned().collect(), 1),
    };
    let mut total = Tally::default();
    thread::scope(|scope| {
        let lane = |first: usize| {
            let points = points.iter().skip(first).step_by(lanes);
            scope.spawn(move || strike_at(play, points))
        };
        let running: Vec<_> = (0..lanes).map(lane).collect();
        for lane in running {
            let Tally { deaths, spared, wrong } = lane.join().unwrap();
            total.deaths += deaths;
            total.spared += spared;
            total.wrong.extend(wrong);
        }
    });
    let Tally { deaths, spared, wrong } = total;
    println!(
        "{}: {} calls, {} tried, {deaths} deaths, {spared} not reached, {} wrong",
        play.name,
        calls.len(),
        points.len(),
        wrong.len()
    );
    assert!(deaths > 0, "nobody has died");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Plays it once for each of the points. One that goes wrong does not keep the others.
#[expect(
    clippy::print_stdout,
    reason = "a whole sweep takes long; who sees that it goes wrong need not wait"
)]
fn strike_at<'a>(play: &Play, points: impl Iterator<Item = &'a Point>) -> Tally {
    let mut tally = Tally::default();
    let mut stage = None;
    for point in points {
        let mut current = stage.take().unwrap_or_else(|| Stage::set(play));
        let struck = catch_unwind(AssertUnwindSafe(|| current.strike(point)));
        match struck {
            Ok(died) => {
                tally.deaths += usize::from(died);
                tally.spared += usize::from(!died);
                stage = Some(current);
            }
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                println!("{}, killed at {point}: {words}", play.name);
                tally.wrong.push(format!("{}, killed at {point}: {words}\n{}", play.name, current.log()));
            }
        }
    }
    tally
}

/// Calls by their names in the order in which they were made: each as the n-th of its name.
fn count(names: impl Iterator<Item = String>) -> Vec<Point> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let point = |call: String| {
        let count = counts.entry(call.clone()).or_default();
        *count += 1;
        Point { call, nth: *count }
    };
    names.map(point).collect()
}

/// All deeds, and `others` at even distances.
fn choose(calls: &[Point], others: usize) -> Vec<Point> {
    let is_deed = |point: &Point| DEEDS.contains(&point.call.as_str());
    let step = calls.iter().filter(|point| !is_deed(point)).count().div_ceil(others).max(1);
    let mut seen = 0;
    let chosen = calls.iter().filter(|point| {
        let other = !is_deed(point);
        seen += usize::from(other);
        !other || seen % step == 0
    });
    chosen.cloned().collect()
}
