//! The sink: a process of our own that takes workers' output by pipes, beside the daemon.
//!
//! A pipe has to be read, or whoever writes to it stands still; when nobody is there to read, writing fails. The daemon can do
//! neither: it dies, or becomes another program. So a process of its own reads, one for each app, which outlives the daemon and
//! is found by the next one. It passes on what comes, whole lines at a time, and remembers the last lines of each worker.
//! Who reads what it passes on may stop: then lines are dropped and counted, and no worker waits.
//!
//! | file | holds |
//! | --- | --- |
//! | `process` | the sink's own loop |
//! | `outlets` | where lines go |
//! | `writer` | the thread that writes the log, and what waits for it |
//! | `files` | the files of the log |
//! | `next_program` | becoming a newer version of itself |
//! | `input` | a pipe that it reads |
//! | `last_lines` | what it remembers of a worker |
//! | `wire` | what sink and daemon say to each other |
//! | `keeper` | the daemon's side: finding the sink, starting it, and copies of all pipes, so that it can be started again |
//!
//! The daemon's copies are why a sink that is killed breaks no pipe: what workers write meanwhile waits in the kernel.

pub(crate) mod files;
mod input;
pub(crate) mod keeper;
mod last_lines;
mod next_program;
mod outlets;
mod process;
mod wire;
mod writer;

pub use process::become_sink_if_asked;
pub(crate) use wire::Pipe;
