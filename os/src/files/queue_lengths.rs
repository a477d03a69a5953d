//! Many accept queues that are asked for one after the other.
//!
//! For a question about one socket, the kernel looks through all unix sockets of the network namespace. When many workers retire
//! together, the kernel is asked about all listening sockets at once, and that answer serves for the workers that follow.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use nodesockd_core::event::Queue;

use crate::files::diag::{Diag, SocketId};

/// So many questions in a row are about one socket each.
const FEW: u32 = 8;

/// How long a row lasts, and how old an answer may be. A queue has to be empty for longer before its worker is told to end.
const ROW: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(crate) struct QueueLengths {
    /// When the row began, or everything was asked for.
    since: Option<Instant>,
    /// How many questions about one socket there have been in this row.
    asked: u32,
    /// What nobody has been told yet of the answer about all sockets.
    all: HashMap<SocketId, Queue>,
}

impl QueueLengths {
    /// The accept queue of a socket. What is told comes from after the last call about this socket, and from after the last
    /// [`forget`](Self::forget).
    pub(crate) fn of(&mut self, diag: &mut Diag, id: SocketId) -> io::Result<Queue> {
        if self.since.is_none_or(|since| since.elapsed() > ROW) {
            self.forget();
        }
        if !self.all.contains_key(&id) {
            if self.asked == FEW {
                self.ask_for_all(diag)?;
            }
            self.asked += 1;
        }
        // A socket that is missing in a long answer need not be closed: the kernel may skip one when another is closed meanwhile.
        self.all.remove(&id).map_or_else(|| diag.queue(id), Ok)
    }

    /// What is asked from now on is to be told from now on: links have changed, by which clients come.
    pub(crate) fn forget(&mut self) {
        *self = Self { since: Some(Instant::now()), asked: 0, all: HashMap::new() };
    }

    fn ask_for_all(&mut self, diag: &mut Diag) -> io::Result<()> {
        self.since = Some(Instant::now());
        self.all = diag.queues()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use rustix::fs::fstat;

    use super::*;

    #[test]
    fn each_answer_of_a_long_row_is_newer_than_the_question_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut diag = Diag::open().unwrap();
        let mut lengths = QueueLengths::default();
        let paths: Vec<_> = (0..2 * FEW).map(|number| folder.path().join(number.to_string())).collect();
        let listeners: Vec<_> = paths.iter().map(|path| UnixListener::bind(path).unwrap()).collect();
        let number = |listener| u32::try_from(fstat(listener).unwrap().st_ino).unwrap();
        let mut id = |listener| diag.listener(number(listener)).unwrap().unwrap().id;
        let ids: Vec<SocketId> = listeners.iter().map(&mut id).collect();
        let mut measure = || -> Vec<Queue> {
            lengths.forget();
            ids.iter().map(|id| lengths.of(&mut diag, *id).unwrap()).collect()
        };
        assert_eq!(measure(), vec![Queue::Length(0); paths.len()]);
        let _clients: Vec<_> = paths.iter().map(|path| UnixStream::connect(path).unwrap()).collect();
        assert_eq!(measure(), vec![Queue::Length(1); paths.len()]);

        lengths.forget();
        let (path, last) = (paths.last().unwrap(), *ids.last().unwrap());
        for id in &ids[..=FEW as usize] {
            assert_eq!(lengths.of(&mut diag, *id).unwrap(), Queue::Length(1));
        }
        let _client = UnixStream::connect(path).unwrap();
        lengths.forget();
        assert_eq!(lengths.of(&mut diag, last).unwrap(), Queue::Length(2), "a link has changed since");
        let _another = UnixStream::connect(path).unwrap();
        assert_eq!(lengths.of(&mut diag, last).unwrap(), Queue::Length(3));
        drop(listeners);
        assert_eq!(lengths.of(&mut diag, last).unwrap(), Queue::Closed);
    }
}
