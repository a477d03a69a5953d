//! What happens to workers when (docs/01-core-concepts.md), with real processes.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

mod batches;
mod clients;
mod contract;
mod deploying;
mod deploys;
mod dev_page;
mod dev_server;
mod expiring;
mod failures;
mod history;
mod leader;
mod migrating;
mod releases;
mod watching;
