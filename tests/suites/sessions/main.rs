//! Clients and the daemon's sessions over a bad network: the code that ships, from the client's request through the
//! session and the supervisor and back, over turmoil's TCP. Workers are played; they boot at once and answer at once.
//!
//! Each story is told for several seeds, which decide how bytes are cut and how long they travel, and twice for each:
//! what is told the second time has to be the same, to the byte and the nanosecond.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops, and says where")]

mod choppy;
mod daemon;
mod sim_network;
mod stories;
