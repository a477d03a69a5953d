//! What waits to be written to a peer: bounded, and never waited for.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// At most this many bytes wait for one peer; four frames of the largest size.
pub const LIMIT: usize = 4 << 20;

/// The end to put lines into. Clones are the same outbox.
#[derive(Debug, Clone)]
pub struct Outbox(Arc<Shared>);

/// The other end, which carries them to the peer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    shared: Arc<Shared>,
    /// What is being written.
    chunk: Vec<u8>,
    /// How much of that has been.
    written: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// For the one task that writes.
    changed: Notify,
    /// For the one that waits for it to end.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    waiting: Vec<u8>,
    /// Taken, but not written yet.
    in_flight: usize,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// What waits is still written, nothing more is taken.
    Closing,
    /// The peer does not read.
    Overflowed,
    /// Nobody writes any more.
    Ended,
}

/// An outbox and its other end. Some bytes may be waiting already.
pub(crate) fn outbox(waiting: Vec<u8>) -> (Outbox, Outgoing) {
    let state = State { waiting, in_flight: 0, phase: Phase::Open };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), ended: Notify::new() });
    (Outbox(Arc::clone(&shared)), Outgoing { shared, chunk: Vec::new(), written: 0 })
}

impl Outbox {
    /// Puts in a line. When more than [`LIMIT`] bytes wait, the peer is given up; what is put in after that, or after
    /// [`close`](Self::close), is dropped.
    pub fn push(&self, line: &str) {
        let mut state = self.0.lock();
        if state.phase != Phase::Open {
            return;
        }
        if state.waiting.len() + state.in_flight + line.len() > LIMIT {
            state.waiting = Vec::new();
            state.phase = Phase::Overflowed;
        } else {
            state.waiting.extend_from_slice(line.as_bytes());
        }
        self.0.changed.notify_one();
    }

    /// Ends the conversation once everything put in so far is written.
    pub fn close(&self) {
        let mut state = self.0.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
            self.0.changed.notify_one();
        }
    }

    /// Waits until everything is written or nothing can be any more. One task may wait at a time.
    pub async fn ended(&self) {
        while self.0.lock().phase != Phase::Ended {
            self.0.ended.notified().await;
        }
    }
}

impl Outgoing {
    /// Writes until the outbox is closed and empty, overflows, or the peer is gone. May be dropped and called again.
    pub(crate) async fn write_to<W: AsyncWrite + Unpin>(&mut self, mut peer: W) {
        loop {
            if self.written == self.chunk.len() {
                let Some(bytes) = self.next().await else { return };
                (self.chunk, self.written) = (bytes, 0);
            }
            let written = {
                let overflow =
                    pin!(self.shared.until(|state| (state.phase == Phase::Overflowed).then_some(())));
                tokio::select! {
                    biased;
                    () = overflow => return,
                    written = peer.write(&self.chunk[self.written..]) => written,
                }
            };
            match written {
                Ok(count @ 1..) => self.written += count,
                Ok(0) | Err(_) => return,
            }
            if self.written == self.chunk.len() {
                (self.chunk, self.written) = (Vec::new(), 0);
                self.shared.lock().in_flight = 0;
            }
        }
    }

    /// What has been put in and not been written.
    pub(crate) fn unwritten(&self) -> Vec<u8> {
        let mut bytes = self.chunk[self.written..].to_vec();
        bytes.extend_from_slice(&self.shared.lock().waiting);
        bytes
    }

    /// Nothing more will be put in.
    pub(crate) fn is_closing(&self) -> bool {
        self.shared.lock().phase != Phase::Open
    }

    async fn next(&self) -> Option<Vec<u8>> {
        let next = self.shared.until(|state| match state.phase {
            Phase::Open | Phase::Closing if !state.waiting.is_empty() => {
                state.in_flight = state.waiting.len();
                Some(Some(std::mem::take(&mut state.waiting)))
            }
            Phase::Open => None,
            Phase::Closing | Phase::Overflowed | Phase::Ended => Some(None),
        });
        next.await
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.phase = Phase::Ended;
        state.waiting = Vec::new();
        self.shared.ended.notify_one();
    }
}

impl Shared {
    /// A panic elsewhere leaves the state as valid as it was: every change to it is made in one go.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until<T>(&self, mut check: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            if let Some(found) = check(&mut self.lock()) {
                return found;
            }
            self.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn lines_pushed_before_close_are_written() {
        let (near, mut far) = tokio::io::duplex(8);
        let (outbox, mut outgoing) = outbox(Vec::new());
        let writing = tokio::spawn(async move { outgoing.write_to(near).await });
        outbox.push("first, longer than the pipe\n");
        outbox.push("second\n");
        outbox.close();
        outbox.push("too late\n");
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "first, longer than the pipe\nsecond\n");
        outbox.ended().await;
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn outbox_overflows_for_a_peer_that_never_reads() {
        let (near, _far) = tokio::io::duplex(64);
        let (outbox, mut outgoing) = outbox(Vec::new());
        let writing = tokio::spawn(async move { outgoing.write_to(near).await });
        let line = "x".repeat(1 << 20);
        for _ in 0..8 {
            outbox.push(&line);
            tokio::task::yield_now().await;
        }
        writing.await.unwrap();
        outbox.ended().await;
        assert_eq!(outbox.0.lock().waiting.capacity(), 0);
    }

    #[tokio::test]
    async fn interrupted_write_resumes_at_the_same_byte() {
        let (mut near, mut far) = tokio::io::duplex(8);
        let (outbox, mut outgoing) = outbox(b"left over, ".to_vec());
        outbox.push("put in\n");
        tokio::select! {
            biased;
            () = outgoing.write_to(&mut near) => panic!("the pipe has no room for all of it"),
            () = tokio::task::yield_now() => {}
        }
        outbox.push("put in later\n");
        assert_eq!(outgoing.unwritten(), b"r, put in\nput in later\n");
        outbox.close();
        let writing = tokio::spawn(async move { outgoing.write_to(near).await });
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "left over, put in\nput in later\n");
        writing.await.unwrap();
    }
}
