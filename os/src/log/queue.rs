//! Lines that wait to be written, up to a limit.

use std::collections::VecDeque;

/// Bytes of lines that may wait. A busy daemon writes about as much in an hour.
const MOST: usize = 256 << 10;

/// Lines with their newlines, which are written together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    pub text: Vec<u8>,
    pub count: u64,
}

impl Lines {
    /// One line with its newline.
    pub fn one(line: String) -> Self {
        Self { text: line.into_bytes(), count: 1 }
    }
}

/// What is to be written next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Lines(Lines),
    /// That so many lines are missing here.
    Missed(u64),
}

/// Lines in order, and how many are missing.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: VecDeque<Lines>,
    bytes: usize,
    /// Lines that are missing: after all of `lines`, or before them if the last write failed.
    missed: u64,
    /// The last write failed: there is no reader.
    failed: bool,
    /// So many lines were taken out that are not written yet.
    writing: u64,
    /// Something was taken out that is not written yet.
    is_writing: bool,
    /// Nothing more comes.
    ended: bool,
    /// Who writes waits for something to do.
    pub sleeps: bool,
}

impl Queue {
    /// Takes lines, or counts them. Once one is missing, so are those that follow, until the queue is empty: what is read has
    /// one gap instead of many.
    pub fn push(&mut self, lines: Lines) {
        let gap = self.missed > 0 && !self.failed && !self.lines.is_empty();
        if gap || self.bytes + lines.text.len() > MOST {
            self.missed += lines.count;
        } else {
            self.bytes += lines.text.len();
            self.lines.push_back(lines);
        }
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Nothing more comes, and nothing is left to do.
    pub fn has_ended(&self) -> bool {
        self.ended && self.is_done()
    }

    /// Counts lines that are lost already.
    pub fn missed(&mut self, lines: u64) {
        self.missed += lines;
    }

    /// Takes out what is to be written next: as many lines as have `most` bytes together, or a longer one. While there is no
    /// reader, a line has to come first: each is one attempt.
    pub fn next(&mut self, most: usize) -> Option<Piece> {
        let note = self.missed > 0 && self.lines.is_empty() != self.failed;
        let piece = if note {
            Piece::Missed(self.missed)
        } else {
            let mut lines = self.lines.pop_front()?;
            while self.lines.front().is_some_and(|more| lines.text.len() + more.text.len() <= most)
                && let Some(more) = self.lines.pop_front()
            {
                lines.text.extend_from_slice(&more.text);
                lines.count += more.count;
            }
            self.bytes -= lines.text.len();
            self.writing = lines.count;
            Piece::Lines(lines)
        };
        self.is_writing = true;
        Some(piece)
    }

    /// `piece` was written, or could not be.
    pub fn done(&mut self, piece: &Piece, written: bool) {
        (self.writing, self.is_writing) = (0, false);
        self.failed = !written;
        match piece {
            Piece::Missed(count) if written => self.missed -= count,
            Piece::Lines(_) if written => {}
            Piece::Lines(lines) => self.lose(lines.count),
            Piece::Missed(_) => self.lose(0),
        }
    }

    /// Nothing can be written now.
    fn lose(&mut self, in_hand: u64) {
        self.missed += in_hand + self.waiting();
        self.lines.clear();
        self.bytes = 0;
    }

    /// Whether there is nothing to do: everything is written, or cannot be.
    pub fn is_done(&self) -> bool {
        !self.is_writing && self.lines.is_empty() && (self.missed == 0 || self.failed)
    }

    /// How many lines were never written.
    pub fn unwritten(&self) -> u64 {
        self.missed + self.waiting() + self.writing
    }

    fn waiting(&self) -> u64 {
        self.lines.iter().map(|lines| lines.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Queue {
        let mut queue = Queue::default();
        while queue.missed == 0 {
            queue.push(Lines::one("x".repeat(1 << 10)));
        }
        queue
    }

    /// Writes all that is there; returns the notes.
    fn drain(queue: &mut Queue) -> Vec<u64> {
        let mut notes = Vec::new();
        while let Some(piece) = queue.next(1) {
            queue.done(&piece, true);
            if let Piece::Missed(count) = piece {
                notes.push(count);
            }
        }
        notes
    }

    #[test]
    fn full_queue_leaves_one_gap() {
        let mut queue = filled();
        let first = queue.next(1).unwrap();
        queue.done(&first, true);
        // There is room again, but the line belongs after those that are missing.
        queue.push(Lines::one("late".into()));
        assert_eq!(queue.missed, 2);
        assert_eq!(drain(&mut queue), [2]);
        assert!(queue.is_done());
        queue.push(Lines::one("after".into()));
        assert_eq!(queue.next(MOST), Some(Piece::Lines(Lines::one("after".into()))));
    }

    #[test]
    fn lines_that_wait_are_written_together() {
        let mut queue = Queue::default();
        for line in ["one\n", "two\n", "three\n", "much longer\n", "four\n"] {
            queue.push(Lines::one(line.into()));
        }
        let mut pieces = Vec::new();
        while let Some(piece) = queue.next(9) {
            queue.done(&piece, true);
            let Piece::Lines(Lines { text, count }) = piece else { panic!("{piece:?}") };
            pieces.push((String::from_utf8(text).unwrap(), count));
        }
        let pieces: Vec<(&str, u64)> = pieces.iter().map(|(text, count)| (text.as_str(), *count)).collect();
        assert_eq!(pieces, [("one\ntwo\n", 2), ("three\n", 1), ("much longer\n", 1), ("four\n", 1)]);
        assert_eq!((queue.bytes, queue.unwritten()), (0, 0));
    }

    #[test]
    fn memory_stays_within_the_limit() {
        let queue = filled();
        assert!(queue.bytes <= MOST);
    }

    #[test]
    fn lines_without_a_reader_are_counted_before_the_next_that_is_read() {
        let mut queue = Queue::default();
        queue.push(Lines::one("one".into()));
        queue.push(Lines::one("two".into()));
        let piece = queue.next(1).unwrap();
        queue.done(&piece, false);
        assert_eq!((queue.next(1), queue.unwritten(), queue.is_done()), (None, 2, true));
        queue.push(Lines::one("three".into()));
        let note = queue.next(MOST).unwrap();
        assert_eq!(note, Piece::Missed(2));
        queue.done(&note, true);
        assert_eq!(queue.next(MOST), Some(Piece::Lines(Lines::one("three".into()))));
    }
}
