//! From which accept queue a worker takes connections, and whether some can wait there.

use std::sync::Arc;

/// The socket that a worker accepts from, and those that it could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct AcceptQueue {
    /// The file name of the socket it accepts from. A standby that inherited sockets has none until it is promoted.
    pub socket: Option<Arc<str>>,
    /// The daemon's sockets that it inherited, in the order of their descriptors; none if it binds its own.
    pub listeners: Vec<String>,
    pub exposure: Exposure,
    /// The file of the socket it accepts from is gone. While it boots that may be for a moment only.
    pub lost: bool,
}

/// Whether connections can wait in the accept queue of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Exposure {
    /// No link has named it.
    Unseen,
    /// A link names it, or named it once.
    Named,
    /// It may be told to shut down: its queue was empty, could not be waited for any longer, or is its successor's, too.
    Drained,
}

impl AcceptQueue {
    /// That of a worker which no link has named.
    pub fn unseen(socket: Option<Arc<str>>, listeners: Vec<String>) -> Self {
        Self { socket, listeners, exposure: Exposure::Unseen, lost: false }
    }

    /// The worker has inherited sockets of the daemon instead of binding its own.
    pub fn is_inherited(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// The descriptor of the socket that the worker accepts from, if it inherited that (`sd_listen_fds(3)`: the first one is 3).
    pub fn serving_fd(&self) -> Option<u32> {
        let accepts = |socket: &String| self.socket.as_deref() == Some(socket.as_str());
        let index = self.listeners.iter().position(accepts)?;
        u32::try_from(index).ok()?.checked_add(3)
    }

    /// A worker that inherited sockets is to accept from this one.
    pub fn accepts(&mut self, socket: Option<Arc<str>>) {
        if self.is_inherited() {
            self.socket = socket;
        }
    }

    /// A link names the worker.
    pub fn named(&mut self) {
        if self.exposure == Exposure::Unseen && !defect!(NamedNotNoted) {
            self.exposure = Exposure::Named;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_whose_queue_was_emptied_may_be_told_to_go_whatever_names_it() {
        let mut queue = AcceptQueue::unseen(None, Vec::new());
        queue.named();
        assert_eq!(queue.exposure, Exposure::Named);
        queue.exposure = Exposure::Drained;
        queue.named();
        assert_eq!(queue.exposure, Exposure::Drained);
    }
}
