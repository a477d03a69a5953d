//! What machines do to a daemon and its workers, and that nothing stays down for it.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

mod boots;
mod log;
