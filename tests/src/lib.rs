//! The stage on which nodesockd is tried for real: the built program, real workers, real sockets.
//!
//! ```no_run
//! use nodesockd_tests::{App, http};
//!
//! let app = App::new().workers(2);        // a folder of its own, with a configuration and `web.js` as its script
//! let daemon = app.start();               // runs `nodesockd daemon` and waits until both workers serve
//! assert_eq!(http::get(&app.link(0), "/").status, 200);
//! let done = app.cli(&["restart"]);       // runs a command, and collects what it says
//! assert_eq!(done.code, 0, "{done}");
//! daemon.until("the old workers are gone", |status| status.workers.len() == 2);
//! ```
//!
//! - Nothing waits for a time. [`wait::until`] looks for a condition until it holds; a test that gives up after
//!   [`wait::limit`] shows the daemon's log and status.
//! - Tests run side by side: each [`App`] has a folder of its own under `/tmp` (short, because a socket's path must fit
//!   into 107 bytes) and, where it needs one, a port that was free.
//! - What a test leaves behind is ended when its [`Daemon`] is dropped: that process, and those whose environment names
//!   the control socket in the test's own folder. Nothing else is.
//! - The program is the one Cargo builds for the profile of the tests; see [`program`].
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops, and says where")]

pub mod app;
pub mod browser;
pub mod cgroup;
pub mod chapter;
pub mod cli;
pub mod connections;
pub mod daemon;
pub mod fifo;
pub mod fronts;
pub mod grpc;
pub mod http;
pub mod ipc;
pub mod load;
pub mod machine;
pub mod nginx;
pub mod packages;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod releases;
pub mod servers;
pub mod visitors;
pub mod wait;

pub use app::App;
pub use browser::Browser;
pub use cgroup::Cgroup;
pub use cli::Output;
pub use connections::Connections;
pub use daemon::Daemon;
pub use fifo::Fifo;
pub use ipc::{Connection, Reply, Status, Worker};
pub use load::Load;
pub use machine::Machine;
pub use nginx::Upstream;
pub use process::Process;
pub use servers::Server;
pub use visitors::Visitors;
pub use wait::until;
