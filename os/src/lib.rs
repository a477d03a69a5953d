//! The real backend of nodesockd: processes, sockets, links and signals of Linux (kernel 5.10 and later).
//!
//! [`Backend`] carries out what [`nodesockd_core::Supervisor`] orders and reports what happens. It decides nothing.
//! Everything runs on one thread: a current-thread tokio runtime with I/O and time enabled. Only the log has another one,
//! which waits for whoever reads it. Waiting is always for the kernel to say something; there is no interval anywhere, so a
//! daemon with nothing to do makes no system call.
//!
//! | module | is about |
//! | --- | --- |
//! | `backend` | the trait of the core, implemented by the modules below |
//! | `processes` | starting workers, noticing and collecting their exits, finding those of an earlier daemon |
//! | `files` | links and sockets in `tmpDir`, accept queues, log files, the daemon's lock and state |
//! | `peers` | conversations with workers, clients and the service manager |
//! | `sink` | the process that takes workers' output |
//! | `log` | the daemon's own lines on standard error |
//! | `handoff` | becoming a newer program in the same process |
//! | `dev_server` | the front server for development |
//! | `environment`, `signals`, `clock`, `title` | what the daemon inherited, signals to it, the time, its title |
//! | `metrics` | metrics as text, and served to Prometheus |
//! | `http` | reading a request and answering it, for the dev server and metrics |
//! | `heap` | giving memory back to the kernel |
//! | `tail` | the end of a log file |
//! | `machine` | what `check`, `doctor` and `init` ask about this machine |
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the daemon and its command run on Linux only; elsewhere, apps run by plain `node`, without them"
);

mod backend;
mod clock;
mod dev_server;
mod environment;
mod error;
mod files;
mod handoff;
mod heap;
mod http;
#[cfg(test)]
mod in_time;
mod log;
mod machine;
mod metrics;
mod peers;
mod processes;
mod readable;
mod signals;
mod sink;
pub mod tail;
mod title;

pub use backend::{Backend, Setup, could_take_over, start_over};
pub use environment::{logical_cwd, prepare, random_boot_id, usable_cpus};
pub use error::OpenError;
pub use files::history::read as read_history;
pub use files::holder::{Holder, lock_holder};
pub use files::release::locate as locate_release;
pub use files::text::read as read_text;
pub use handoff::handoff_file::HandoffFile;
pub use handoff::preflight::{PREFLIGHT, PreflightReply};
pub use log::{Log, Note};
pub use machine::probe::{
    diag_available, listens, pidfd_available, start_times_available, table_available, tmp_dir_usable,
};
pub use machine::usage::{AcceptQueues, Usage, usage};
pub use machine::{accounts, rights};
pub use metrics::exposition;
pub use peers::manager::service_manager;
pub use peers::{outbox, session};
pub use processes::descriptors::descriptor_limit;
pub use processes::pidfd::Watched;
pub use processes::trampoline::become_worker_if_asked;
pub use sink::become_sink_if_asked;
pub use title::set_title;
