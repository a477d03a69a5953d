//! The build script, whose test cargo would not run.

#[expect(dead_code, clippy::print_stdout, reason = "`main` is for cargo")]
#[path = "../build.rs"]
mod build;
