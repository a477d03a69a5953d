//! What the supervisor orders and answers, where the simulator does not look closely: words, limits, and what is handed
//! to workers and to the dev server.
#![expect(clippy::panic, reason = "a test that cannot go on stops")]
#![expect(clippy::wildcard_enum_match_arm, reason = "looks for one kind of order among all")]

mod adoption;
mod batches;
mod boots;
mod claims;
mod counters;
mod daemon;
mod deploy;
mod desk;
mod dev_page;
mod dying;
mod events;
mod expiry;
mod handoff;
mod health;
mod history;
mod inherited;
mod interrupted;
mod last_lines;
mod leadership;
mod leaving;
mod limits;
mod link_names;
mod log;
mod logged;
mod manager;
mod metrics_server;
mod migrating;
mod neighbours;
mod operations;
mod overlap;
mod own;
mod relay;
mod releases;
mod slots;
mod sockets;
mod stop_signal;
mod suspension;
mod unrecorded;
mod workers;
