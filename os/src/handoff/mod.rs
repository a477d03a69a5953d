//! Becoming a newer program in the same process (`execve(2)`), with everything that this one holds.

pub(crate) mod fds;
pub(crate) mod handoff_file;
pub(crate) mod pause;
pub(crate) mod preflight;
