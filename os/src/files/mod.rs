//! Files and sockets: what is in `tmpDir`, accept queues, log files, the daemon's lock and its state.

pub(crate) mod claims;
pub(crate) mod diag;
pub(crate) mod history;
pub(crate) mod holder;
pub(crate) mod identity;
pub(crate) mod keeping;
pub(crate) mod listeners;
pub(crate) mod lock;
pub(crate) mod logs;
pub(crate) mod own;
pub(crate) mod queue;
pub(crate) mod queue_lengths;
pub(crate) mod release;
pub(crate) mod release_link;
pub(crate) mod state_file;
pub(crate) mod sweep;
pub(crate) mod text;
pub(crate) mod tmp_dir;
pub(crate) mod watch;
