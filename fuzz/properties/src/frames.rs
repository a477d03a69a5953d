//! The frame decoder.

use arbitrary::Unstructured;
use nodesockd_core::frame::{Decoder, FrameError};
use nodesockd_core::wire::MAX_FRAME;

use crate::input::Input;

/// A flood of bytes costs time: so many are enough to make one line too long and begin another.
const MOST_FLOODS: usize = 2;

/// However a stream is cut, it gives the same lines: those that a plain split at line ends gives. The decoder holds no
/// more than one incomplete line of the largest size.
pub fn frames(bytes: &[u8]) {
    let chunks = chunks(bytes);
    let whole = chunks.concat();
    let expected = expected(&whole);
    assert_eq!(lines(&chunks), expected, "cut into chunks");
    assert_eq!(lines(&[whole]), expected, "in one piece");
}

/// A stream, in chunks: short ones as they come, and floods about as long as the longest line.
fn chunks(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut input = Input(Unstructured::new(bytes));
    let mut floods = 0;
    let mut chunks = Vec::new();
    while !input.is_empty() {
        let head = input.byte();
        let length = usize::from(head & 0x3f);
        chunks.push(if head >= 0xfc && floods < MOST_FLOODS && input.byte() == b'!' {
            floods += 1;
            vec![b'x'; MAX_FRAME + usize::from(head & 3) - 1]
        } else {
            input.bytes(length)
        });
    }
    chunks
}

fn lines(chunks: &[Vec<u8>]) -> Vec<Result<String, FrameError>> {
    let mut decoder = Decoder::new();
    let mut lines = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk);
        while let Some(line) = decoder.next_line() {
            lines.push(line.map(str::to_owned));
        }
        // The largest line and a carriage return.
        assert!(decoder.buffered() <= MAX_FRAME + 1, "{} bytes are held back", decoder.buffered());
    }
    lines
}

fn expected(stream: &[u8]) -> Vec<Result<String, FrameError>> {
    let mut parts: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    let rest = parts.pop().unwrap_or_default();
    let mut lines: Vec<_> = parts.into_iter().map(line).collect();
    if rest.len() > MAX_FRAME + 1 {
        lines.push(Err(FrameError::TooLong));
    }
    lines
}

fn line(bytes: &[u8]) -> Result<String, FrameError> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if bytes.is_empty() {
        Err(FrameError::Empty)
    } else if bytes.len() > MAX_FRAME {
        Err(FrameError::TooLong)
    } else {
        String::from_utf8(bytes.to_vec()).map_err(|_| FrameError::NotUtf8)
    }
}
