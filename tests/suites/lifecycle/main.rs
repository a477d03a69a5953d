//! What becomes of workers (spec sections 4 and 6), on real ones.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

mod contract;
mod deploys;
mod dev_server;
mod failures;
