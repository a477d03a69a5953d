//! From nothing to production: the commands that help on the way, tried with the tools they are made for.
#![expect(clippy::panic, clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

mod manual;
mod nginx;
