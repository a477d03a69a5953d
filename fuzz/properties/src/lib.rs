//! What must hold for any bytes at all.
//!
//! Each function takes bytes from outside and panics when they get the better of us. libFuzzer looks for such bytes
//! (`fuzz/fuzz_targets`); those that are worth keeping ([`corpus`]) are replayed by the tests. To look further, in the root of
//! the repository:
//!
//! ```text
//! cargo run -p nodesockd-fuzz -- unpack
//! cargo fuzz run --sanitizer none frames target/fuzz-corpus/frames fuzz/corpus/frames -- -max_total_time=60
//! cargo fuzz cmin --sanitizer none frames target/fuzz-corpus/frames
//! cargo run -p nodesockd-fuzz -- pack
//! ```
//!
//! (`cmin` keeps the least inputs that reach the same code. Leave out the folder in `fuzz/corpus` where there is none.)
#![expect(clippy::panic, reason = "a panic is how libFuzzer learns that something was found")]

mod config;
pub mod corpus;
mod events;
mod frames;
mod handoff;
mod input;
mod lines;
mod noise;
mod state;
mod world;

pub use config::{config_toml, config_yaml};
pub use events::core_events;
pub use frames::frames;
pub use handoff::hand_off;
pub use lines::{client_session, round_trip, worker_session};
pub use noise::core_noise;
pub use state::state_file;

/// One of them.
pub type Property = fn(&[u8]);

/// All of them, by the names of their targets and corpora.
pub const ALL: [(&str, Property); 10] = [
    ("client_session", client_session),
    ("config_toml", config_toml),
    ("config_yaml", config_yaml),
    ("core_events", core_events),
    ("core_noise", core_noise),
    ("frames", frames),
    ("hand_off", hand_off),
    ("round_trip", round_trip),
    ("state_file", state_file),
    ("worker_session", worker_session),
];
