//! What machines do to a daemon and its workers, and that nothing stays down for it.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]
#![expect(clippy::print_stdout, reason = "says how long something was away")]

mod boots;
mod descriptors;
mod hangs;
mod invalid_file;
mod limits;
mod links;
mod log;
mod logged;
mod neighbours;
mod output;
mod own;
mod second_daemon;
mod slow_deaths;
mod sockets;
mod suspensions;
mod truth;
