//! For tests of what must not wait for others.

use std::sync::mpsc::channel;
use std::time::Duration;

/// Does something in a thread of its own, and panics if that has not ended long after it ought to have.
pub(crate) fn in_time<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = channel();
    std::thread::spawn(move || done.send(act()));
    is_done.recv_timeout(Duration::from_secs(30)).unwrap()
}
