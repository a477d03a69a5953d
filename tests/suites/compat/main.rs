//! What people, scripts and configuration files of 2.x do, done with this version.
//!
//! A test says in its name what a user of 2.x does or has. What is deliberately different is listed in
//! `docs/08-from-2.x.md`; its tests show that the difference is loud.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

mod changeover;
mod check;
mod command_line;
mod configuration;
mod daemon;
mod launcher;
mod old_daemon;
