//! A host changes over from a running 2.x daemon to ours, or has parts of both.

mod cross;
mod host;
mod loops;
