//! From nothing to production: the commands that help on the way, tried with the tools they are made for.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the helpers of tests stop a test as well, or say why not"
)]

mod doctor;
mod healthy_host;
mod init;
mod manual;
mod mistakes;
mod nginx;
