//! The simulator of nodesockd: the very supervisor and the very loop that ship, in a world of our own.
//!
//! A [`Scenario`] says what is played, a [`FaultPlan`] what goes wrong; [`generate()`] draws both from a seed, [`run`]
//! plays them in virtual time, the same way each time. After every step the supervisor's own invariants are checked,
//! and, from outside and without asking the supervisor, what operators and users were promised: links that name
//! workers that serve, requests answered exactly once, workers that go only when nothing waits for them, no signal to
//! a process that is another by now, no process and no file left behind. When the faults have stopped, everything has
//! to come to rest.
//!
//! | file | holds |
//! | --- | --- |
//! | `scenario`, `faults` | what is played and what goes wrong, as plain data |
//! | `generate` | both, drawn from a seed |
//! | `stories` | those that have a name |
//! | `history`, `shrink` | those that went wrong: kept in files, and made small |
//! | `model` | what an operator may rely on, in a few lines, and the supervisor against it |
//! | `runner`, `daemon_death` | plays a scenario, with the daemon's own deaths |
//! | `world` | everything but the supervisor: processes, files, nginx, clients |
//! | `world/oracle` | what was promised, held against what the daemon does |
//! | `alarm` | an error that is logged fails a history |
//! | `catalogue` | all faults, and how each is played; situations that ought to be reached |
//! | `ledger`, `leaderless`, `trace` | what became of users' requests; how long nobody led; what people read |
//!
//! Not modelled: what the kernel does inside one call, the bytes of the protocol (sessions have their own tests), memory
//! and disks, more than one network namespace. Of CPU: a boot takes longer when many boot.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod alarm;
pub mod catalogue;
mod daemon_death;
mod faults;
mod generate;
mod history;
mod leaderless;
mod ledger;
pub mod model;
mod runner;
mod scenario;
mod shrink;
mod stories;
mod trace;
mod world;

pub use daemon_death::DaemonDeath;
pub use faults::{
    Call, CallFault, Errno, ExternalFault, ExternalFaultKind, FaultPlan, Tally, Trouble, WorkerFault,
};
pub use generate::{Swarm, generate};
pub use history::History;
pub use leaderless::{Hindrance, Leaderless};
pub use ledger::{Cause, Ledger};
pub use runner::{Outcome, Stats, run, trace};
pub use scenario::{Act, Ask, Behaviour, Death, Load, Release, Scenario, Settings, Signal, Step};
pub use shrink::{Shrinking, shrink};
pub use stories::{Story, stories};
pub use world::bench::{Bench, Left, bench};
