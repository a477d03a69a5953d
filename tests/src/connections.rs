//! Connections to a worker's socket, as the kernel counts them.

use std::path::Path;

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Accepted by a worker, and not closed by it: it may have written its answer.
    pub accepted: usize,
    /// Waiting in the accept queue.
    pub waiting: usize,
}

impl Connections {
    /// Those to the listening socket that was bound to `socket`, or that a link of this name leads to.
    ///
    /// # Panics
    ///
    /// When the link is gone.
    #[must_use]
    pub fn to(socket: &Path) -> Self {
        let bound =
            std::fs::canonicalize(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        let bound = bound.to_str().expect("UTF-8");
        let table = std::fs::read_to_string("/proc/net/unix").expect("a system with /proc");
        // Num RefCount Protocol Flags Type St Inode Path (proc(5)): an accepted connection bears the name of the socket that it
        // was accepted from; one that waits has no inode yet.
        let mut found = Self::default();
        for line in table.lines().filter(|line| line.ends_with(bound)) {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                [_, _, _, _, _, "03", ..] => found.accepted += 1,
                [_, _, _, _, _, "02", "0", _] => found.waiting += 1,
                _ => {}
            }
        }
        found
    }

    /// Both.
    #[must_use]
    pub fn all(self) -> usize {
        self.accepted + self.waiting
    }
}
