//! The pure supervisor of nodesockd: facts in, orders out.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod action;
pub mod backend;
pub mod config;
pub mod driver;
pub mod event;
pub mod frame;
pub mod id;
pub mod supervisor;
pub mod text;
pub mod time;
pub mod wire;

pub use action::Action;
pub use event::Event;
pub use supervisor::Supervisor;
pub use time::Time;
