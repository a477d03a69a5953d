//! The backend on real processes, sockets and files. Every test has a folder and a backend of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where it fails"
)]

mod clients;
mod dev_server;
mod files;
mod harness;
mod processes;
mod survivors;
