//! The daemon under the service managers that people use: each of them real, on a machine of its own, with the service
//! that `nodesockd service` prints.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]
#![expect(clippy::print_stdout, reason = "says how much was tried, or why nothing was")]

mod deaths;
mod managed;
mod notices;
mod systemd;
mod upgrades;
mod versions;
