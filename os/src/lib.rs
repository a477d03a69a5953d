//! The real backend of nodesockd: processes, sockets, links and signals of Linux (kernel 5.10 and later).
//!
//! [`Backend`] carries out what [`nodesockd_core::Supervisor`] orders and reports what happens. It decides nothing.
//! Everything runs on one thread: a current-thread tokio runtime with I/O and time enabled. Waiting is always for the
//! kernel to say something; there is no interval anywhere, so a daemon with nothing to do makes no system call.
//!
//! | module | is about |
//! | --- | --- |
//! | `environment` | what the daemon inherited: descriptors, signals, umask, working directory |
//! | `spawn`, `pidfd`, `children` | starting processes, noticing and collecting their exits |
//! | `survivors`, `register`, `state_file` | which workers an earlier daemon has left |
//! | `listeners`, `trampoline` | sockets that workers inherit, and how they get them |
//! | `notify`, `probe_http` | readiness of workers that do not report it |
//! | `channel`, [`session`], `conversation`, [`outbox`] | talking with workers and clients |
//! | `ipc`, `peer`, [`accounts`], `lock` | the control socket, who may use it, and that there is one daemon only |
//! | `tmp_dir`, `sweep`, `queue`, `diag` | links and sockets, and the kernel's accept queues |
//! | `manager` | the service manager, and what it is told |
//! | `freezer`, `trial`, `parcel`, `baggage` | becoming a newer program in the same process |
//! | `dev_server`, `logs`, `signals` | the rest of a daemon's surroundings |
//! | `probe`, [`rights`], `watched` | what clients want to know of this machine |
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the daemon and its command run on Linux only; elsewhere, apps run by plain `node`, without them"
);

mod accept;
pub mod accounts;
mod backend;
mod baggage;
mod channel;
mod children;
mod clock;
mod conversation;
mod dev_server;
mod diag;
mod environment;
mod error;
mod freezer;
mod ipc;
mod listeners;
mod lock;
mod logs;
mod manager;
mod notify;
pub mod outbox;
mod parcel;
mod peer;
mod pidfd;
mod probe;
mod probe_http;
mod queue;
mod register;
pub mod rights;
pub mod session;
mod signals;
mod spawn;
mod state_file;
mod survivors;
mod sweep;
mod tmp_dir;
mod trampoline;
mod trial;
mod watched;

pub use backend::{Backend, Setup, start_over};
pub use environment::{logical_cwd, prepare, random_boot_id, usable_cpus};
pub use error::OpenError;
pub use manager::service_manager;
pub use parcel::Parcel;
pub use probe::{diag_available, listens, table_available, tmp_dir_usable};
pub use trampoline::become_worker_if_asked;
pub use trial::{Fit, PREFLIGHT};
pub use watched::Watched;
