//! What outlives a daemon: the state file, which a daemon that follows a dead one adopts, and the hand-off to a newer
//! version of the same daemon.

pub(super) mod adopt;
pub(super) mod handoff;
pub(super) mod links;
pub(super) mod reunion;
pub(super) mod state_file;
