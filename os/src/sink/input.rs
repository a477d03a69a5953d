//! A pipe that the sink reads.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, read, retry_on_intr};

use super::last_lines::LastLines;
use super::wire::Pipe;

/// A line that is longer is passed on in pieces.
const LONGEST: usize = 64 << 10;

/// A pipe, and what came from it.
#[derive(Debug)]
pub(super) struct Input {
    pub pipe: Pipe,
    pub fd: OwnedFd,
    /// The beginning of a line.
    begun: Vec<u8>,
    /// Nothing has come since the last time that was asked.
    rested: bool,
    pub last_lines: LastLines,
}

/// What there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Something came; there may be more.
    Something,
    /// Nothing is there now.
    Nothing,
    /// Nobody can write any more.
    End,
}

impl Input {
    pub fn new(pipe: Pipe, fd: OwnedFd) -> Self {
        Self { pipe, fd, begun: Vec::new(), rested: false, last_lines: LastLines::default() }
    }

    /// Reads what fits into `buffer`, and gives whole lines to `pass_on`; at the end, what is left.
    pub fn read(&mut self, buffer: &mut [u8], mut pass_on: impl FnMut(&[u8])) -> io::Result<Reading> {
        let count = match retry_on_intr(|| read(&self.fd, &mut *buffer)) {
            Err(Errno::AGAIN) => return Ok(Reading::Nothing),
            count => count?,
        };
        if count == 0 {
            self.give_up_begun(pass_on);
            return Ok(Reading::End);
        }
        let mut bytes = &buffer[..count];
        self.rested = false;
        self.last_lines.push(bytes);
        if !self.begun.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            self.begun.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            if self.begun.ends_with(b"\n") || self.begun.len() >= LONGEST {
                self.give_up_begun(&mut pass_on);
            }
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole > 0 {
            pass_on(&bytes[..whole]);
        }
        self.begun.extend_from_slice(&bytes[whole..]);
        Ok(Reading::Something)
    }

    /// The beginning of a line waits for its end.
    pub fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Passes on the beginning of a line if nothing has come since this was called last: a prompt, or a row of dots.
    pub fn rest(&mut self, pass_on: impl FnMut(&[u8])) {
        if std::mem::replace(&mut self.rested, true) {
            self.give_up_begun(pass_on);
        }
    }

    fn give_up_begun(&mut self, mut pass_on: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            pass_on(&std::mem::take(&mut self.begun));
        }
    }
}
