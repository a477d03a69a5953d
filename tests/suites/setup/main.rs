//! From nothing to production: the commands that help on the way, tried with the tools they are made for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod manual;
