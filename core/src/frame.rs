//! The frame codec: bytes to lines, incrementally, within bounds.

use serde::{Deserialize, Serialize};

use crate::wire::MAX_FRAME;

/// Splits a stream of bytes into lines, however the bytes are cut. Holds at most one incomplete line.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes before this index were returned already.
    start: usize,
    /// Bytes before this index were searched for a newline already.
    searched: usize,
    /// The rest of an oversized line is being skipped.
    skipping: bool,
    /// How the last oversized line began.
    head: Vec<u8>,
}

/// How much of the beginning of an oversized line is kept, in bytes: enough for its ids.
const HEAD: usize = 512;

/// What a decoder holds of a line that is not complete, to go on with in another process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    bytes: Vec<u8>,
    skipping: bool,
}

/// A line that cannot be used. The lines after it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`] bytes; its rest is skipped.
    TooLong,
    /// Not UTF-8.
    NotUtf8,
    /// Empty: Node's own channel breaks on it, so nobody sends one on purpose.
    Empty,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => write!(f, "a line of more than {MAX_FRAME} bytes"),
            Self::NotUtf8 => f.write_str("a line that is not UTF-8"),
            Self::Empty => f.write_str("an empty line"),
        }
    }
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder in the middle of a stream, where another one has left off.
    #[must_use]
    pub fn resume(rest: Rest) -> Self {
        Self { buffer: rest.bytes, skipping: rest.skipping, ..Self::default() }
    }

    /// Where it has left off, when [`next_line`](Self::next_line) has returned `None`.
    #[must_use]
    pub fn rest(&self) -> Rest {
        Rest { bytes: self.buffer[self.start..].to_vec(), skipping: self.skipping }
    }

    /// Takes the next bytes of the stream. Call [`next_line`](Self::next_line) until it returns `None` before feeding more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line, without its end (`\n` or `\r\n`), or what is wrong with it. `None`: feed more.
    pub fn next_line(&mut self) -> Option<Result<&str, FrameError>> {
        loop {
            let Some(length) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                return self.incomplete().map(Err);
            };
            let line = self.start..self.searched + length;
            self.start = line.end + 1;
            self.searched = self.start;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let bytes = &self.buffer[line];
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            return Some(match bytes {
                [] => Err(FrameError::Empty),
                bytes if bytes.len() > MAX_FRAME => {
                    self.head = bytes[..HEAD].to_vec();
                    Err(FrameError::TooLong)
                }
                bytes => std::str::from_utf8(bytes).map_err(|_| FrameError::NotUtf8),
            });
        }
    }

    /// How the line began that was [too long](FrameError::TooLong) last.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Bytes held back until their line is complete.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// No newline in sight: forgets what is too long already.
    fn incomplete(&mut self) -> Option<FrameError> {
        self.searched = self.buffer.len();
        // One byte more than a frame may be a carriage return.
        if !self.skipping && self.buffered() <= MAX_FRAME + 1 {
            return None;
        }
        let known = std::mem::replace(&mut self.skipping, true);
        if !known {
            self.head = self.buffer[self.start..][..HEAD].to_vec();
        }
        self.buffer.clear();
        self.start = 0;
        self.searched = 0;
        (!known).then_some(FrameError::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Result<String, FrameError>> {
        let mut decoder = Decoder::new();
        let mut lines = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk);
            while let Some(line) = decoder.next_line() {
                lines.push(line.map(str::to_owned));
            }
            assert!(decoder.buffered() <= MAX_FRAME + 1);
        }
        lines
    }

    /// As [`lines`], by another decoder for each chunk.
    fn lines_by_many(chunks: &[&[u8]]) -> Vec<Result<String, FrameError>> {
        let mut rest = Rest::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            let mut decoder = Decoder::resume(rest);
            decoder.feed(chunk);
            while let Some(line) = decoder.next_line() {
                lines.push(line.map(str::to_owned));
            }
            rest = decoder.rest();
        }
        lines
    }

    #[test]
    fn lines_end_with_newline_or_both() {
        let expected = vec![Ok("a".into()), Ok("b".into()), Err(FrameError::Empty), Err(FrameError::NotUtf8)];
        assert_eq!(lines(&[b"a\nb\r\n\n\xff\nrest"]), expected);
    }

    #[test]
    fn what_is_held_back_is_counted() {
        let mut decoder = Decoder::new();
        decoder.feed(b"first\nhalf");
        assert_eq!(decoder.next_line(), Some(Ok("first")));
        assert_eq!(decoder.next_line(), None);
        assert_eq!(decoder.buffered(), 4);
        decoder.feed(b" of it\n");
        assert_eq!(decoder.next_line(), Some(Ok("half of it")));
        assert_eq!(decoder.next_line(), None);
        assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        assert_eq!(FrameError::TooLong.to_string(), "a line of more than 1048576 bytes");
        assert_eq!(FrameError::NotUtf8.to_string(), "a line that is not UTF-8");
        assert_eq!(FrameError::Empty.to_string(), "an empty line");
    }

    #[test]
    fn head_of_a_long_line_is_kept_however_the_line_comes() {
        let long = |kind: u8| [vec![kind; HEAD], vec![b'x'; MAX_FRAME]].concat();
        let mut decoder = Decoder::new();
        decoder.feed(&[b"short\n".to_vec(), long(b'a')].concat());
        assert_eq!(decoder.next_line(), Some(Ok("short")));
        assert_eq!(decoder.next_line(), Some(Err(FrameError::TooLong)));
        assert_eq!(decoder.head(), [b'a'; HEAD]);
        decoder.feed(&[b"rest\n".to_vec(), long(b'b'), b"\n".to_vec()].concat());
        assert_eq!(decoder.next_line(), Some(Err(FrameError::TooLong)));
        assert_eq!(decoder.head(), [b'b'; HEAD]);
    }

    #[test]
    fn a_line_that_is_too_long_costs_itself_only() {
        let long = vec![b'x'; MAX_FRAME + 2];
        assert_eq!(lines(&[&long, &long, b"\nnext\n"]), [Err(FrameError::TooLong), Ok("next".into())]);
        let fits = vec![b'x'; MAX_FRAME];
        assert!(lines(&[&fits, b"\r", b"\n"])[0].is_ok());
        assert!(lines(&[&fits, b"\r\n"])[0].is_ok());
        let one_more = vec![b'x'; MAX_FRAME + 1];
        assert_eq!(lines(&[&one_more, b"\n"]), [Err(FrameError::TooLong)]);
        assert_eq!(
            lines_by_many(&[&long, &long, b"\nnext\n"]),
            [Err(FrameError::TooLong), Ok("next".into())]
        );
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_lines(
            bytes in proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..10),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.push(0);
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(lines(&chunks), lines(&[&bytes]));
            prop_assert_eq!(lines_by_many(&chunks), lines(&[&bytes]));
        }
    }
}
