//! A host changes over from a running 2.x daemon to ours, or has parts of both.

mod cross;
mod host;
mod loops;
mod systemd;

use std::time::Duration;

/// How many change-overs a test does that measures: one, or as many as `NODESOCKD_CHANGEOVERS` says.
fn count() -> u32 {
    std::env::var("NODESOCKD_CHANGEOVERS").map_or(1, |count| count.parse().unwrap())
}

fn figures(count: u32, sent: u64, slowest: Duration) -> String {
    format!("{count} change-overs, {sent} requests, none lost; the slowest answer took {slowest:?}")
}
