//! Killing workers under load, and telling what a killed one had begun from what is lost beyond.

use std::time::Instant;

use nix::sys::signal::Signal;
use nodesockd_tests::load::{Failure, Ledger};
use nodesockd_tests::{Daemon, Load, process, until};

/// From the signal until all of the worker's processes were gone.
pub type End = (Instant, Instant);

/// Kills the worker of a slot, and waits until another one serves and the load flows.
pub fn kill(daemon: &Daemon, load: &Load, slot: u32) -> End {
    let victim = daemon.settled().slot(slot).clone();
    let mark = format!("NODESOCKD_WORKER_ID={}", victim.id);
    // A master accepts through those that it has started: they answer until the daemon has killed them, too.
    let its: Vec<_> = process::all().filter(|process| process.environment().contains(&mark)).collect();
    let killed = Instant::now();
    victim.process().signal(Signal::SIGKILL);
    until("the worker is gone", || its.iter().all(|process| !process.is_alive()));
    let gone = Instant::now();
    daemon.until("another worker serves", |status| status.is_settled() && status.slot(slot).id != victim.id);
    load.flows();
    (killed, gone)
}

/// The failures that a killed worker may have had, and the others.
pub fn told_apart<'a>(ledger: &'a Ledger, ends: &[End]) -> (Vec<&'a Failure>, Vec<&'a Failure>) {
    let begun = |failure: &&Failure| {
        ends.iter().any(|(killed, gone)| failure.sent < *gone && failure.ended > *killed)
    };
    ledger.failures.iter().partition(begun)
}
