//! The pure supervisor of nodesockd: facts in, orders out.
//!
//! nginx proxies to one symlink per *slot*; each symlink names the unix socket of the *worker* that serves the slot now.
//! Everything that decides which worker runs, serves, drains and dies is here, and nothing else is: no I/O, no clock, no
//! randomness, no threads. So the code that decides in production is, line for line, the code that is simulated.
//!
//! # The contract
//!
//! A [`Supervisor`] is driven like a protocol state machine:
//!
//! 1. [`poll_action`](Supervisor::poll_action) until it returns `None`; carry each [`Action`] out, in order, and feed its
//!    completion — the [`Event`] named in the action's documentation — to [`handle_event`](Supervisor::handle_event).
//!    Every action that can fail has exactly one completion; nothing is assumed done before that.
//! 2. Wait for the next fact or for [`poll_timeout`](Supervisor::poll_timeout), whichever comes first, and hand it to
//!    [`handle_event`](Supervisor::handle_event) or [`handle_timeout`](Supervisor::handle_timeout).
//! 3. Start again. [`Action::Quit`] is the end.
//!
//! [`driver::Driver`] does this against a [`Backend`](backend::Backend): `nodesockd-os` implements that on Linux,
//! `nodesockd-sim` over a seeded world.
//!
//! # Invariants
//!
//! [`Supervisor::check`] verifies what can be seen from inside; the simulator looks at the world as well.
//!
//! 1. A published link names the socket of a worker that was ready and is not known to be gone, or one that the daemon
//!    itself keeps open.
//! 2. A slot that was served stays served through restart, resume and reload: no worker is retired while a link names it.
//! 3. A slot has at most one owner; a worker owns at most one slot.
//! 4. Every live process is in the table and, before anything is done with it, in the state file.
//! 5. Every request gets exactly one final reply.
//! 6. Live processes ≤ workers + standby + the replacements in flight.
//! 7. Between a suspended restart and its end, no worker is resumed; when the command has answered, none is unsuspended.
//! 8. No worker is told to shut down while its accept queue holds a connection, except after `drainTimeout`, if it hangs, or
//!    if the queue is its successor's as well.
//! 9. A daemon that [adopts](Supervisor::adopt) what another left, at whatever step that one died, goes on as it would
//!    have: workers keep their process, slot and suspension; an interrupted rollout is finished or undone. One that
//!    [takes over](Supervisor::take_over) what another hands off goes on exactly as that one would have.
//! 10. A service manager is told that the daemon is ready when all slots are served for the first time, and not before;
//!     that it is stopping, before it quits; and that it is alive, as often as it wants to hear that.
//! 11. Each operation that begins gets exactly one entry in the history, by this daemon or the one that follows.
//! 12. Each process of a worker is counted once when it comes into being and once when it ends, by this daemon or the one that
//!     follows; no total that was told to anybody falls.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[macro_use]
pub mod defect;

pub mod action;
pub mod asker;
pub mod backend;
pub mod config;
pub mod driver;
pub mod env_file;
pub mod event;
pub mod expiry;
pub mod frame;
pub mod handoff;
pub mod history;
pub mod id;
pub mod log_line;
pub mod metrics;
pub mod notice;
pub mod occurrence;
pub mod page;
pub mod release;
pub mod selector;
pub mod state;
pub mod supervisor;
pub mod survey;
pub mod text;
pub mod time;
pub mod timestamp;
pub mod wire;

pub use action::Action;
pub use event::Event;
pub use supervisor::Supervisor;
pub use time::Time;
