//! Every command and every exit code of the command line (docs/06-cli.md).
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

mod library;
mod messages;
mod reading;
mod refusals;
mod reloading;
mod restarting;
mod scaling;
mod starting;
mod top;
