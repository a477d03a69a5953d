//! A pipe that the sink reads.

use std::io;
use std::os::fd::OwnedFd;

use nodesockd_core::action::Destination;
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
    /// The beginning of a line, or of what follows the pieces of one that were passed on.
    begun: Vec<u8>,
    /// The last piece that was passed on has no end.
    cut: bool,
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
        Self::continued(pipe, fd, Vec::new(), false, LastLines::default())
    }

    /// One that another program has begun to read.
    pub fn continued(pipe: Pipe, fd: OwnedFd, begun: Vec<u8>, cut: bool, last_lines: LastLines) -> Self {
        Self { pipe, fd, begun, cut, rested: false, last_lines }
    }

    /// The beginning of a line, and whether it follows other pieces of that.
    pub fn begun(&self) -> (&[u8], bool) {
        (&self.begun, self.cut)
    }

    /// Reads what fits into `buffer`, and gives whole lines to `pass_on`; at the end, what is left. `pass_on` is told whether
    /// what it gets begins within a line.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        mut pass_on: impl FnMut(&Pipe, &[u8], bool),
    ) -> io::Result<Reading> {
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
            pass_on(&self.pipe, &bytes[..whole], std::mem::take(&mut self.cut));
        }
        self.begun.extend_from_slice(&bytes[whole..]);
        Ok(Reading::Something)
    }

    /// The beginning of a line waits for its end, and not for ever.
    pub fn may_rest(&self) -> bool {
        !self.begun.is_empty() && self.pipe.to != Destination::Log
    }

    /// Passes on the beginning of a line if nothing has come since this was called last: a prompt, or a row of dots.
    pub fn rest(&mut self, pass_on: impl FnMut(&Pipe, &[u8], bool)) {
        if self.may_rest() && std::mem::replace(&mut self.rested, true) {
            self.give_up_begun(pass_on);
        }
    }

    fn give_up_begun(&mut self, mut pass_on: impl FnMut(&Pipe, &[u8], bool)) {
        if !self.begun.is_empty() {
            let begun = std::mem::take(&mut self.begun);
            let cut = std::mem::replace(&mut self.cut, !begun.ends_with(b"\n"));
            pass_on(&self.pipe, &begun, cut);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nodesockd_core::action::Stream;
    use nodesockd_core::id::{BootId, Ids};

    use super::*;

    #[test]
    fn line_that_is_too_long_comes_in_pieces_that_say_so() {
        let (reader, mut writer) = io::pipe().unwrap();
        let pipe =
            Pipe { worker: Ids::new(BootId(1)).worker(), stream: Stream::Stdout, to: Destination::Log };
        let mut input = Input::new(pipe, reader.into());
        let mut buffer = vec![0; 10_000];
        let mut pieces = Vec::new();
        for text in ["a\n".to_owned(), "x".repeat(150_000) + "\nb\n", "no end".to_owned()] {
            for part in text.as_bytes().chunks(7000) {
                writer.write_all(part).unwrap();
                let read = input.read(&mut buffer, |_, piece, cut| pieces.push((piece.to_vec(), cut)));
                assert_eq!(read.unwrap(), Reading::Something);
            }
        }
        drop(writer);
        let end = input.read(&mut buffer, |_, piece, cut| pieces.push((piece.to_vec(), cut)));
        assert_eq!(end.unwrap(), Reading::End);
        let told: Vec<(usize, bool, bool)> =
            pieces.iter().map(|(piece, cut)| (piece.len(), piece.ends_with(b"\n"), *cut)).collect();
        assert_eq!(
            told,
            [
                (2, true, false),
                (70_000, false, false),
                (70_000, false, true),
                (10_001, true, true),
                (2, true, false),
                (6, false, false)
            ]
        );
    }
}
