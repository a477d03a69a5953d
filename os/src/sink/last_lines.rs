//! What a worker wrote last.

use nodesockd_core::text::escape;
use serde::{Deserialize, Serialize};

/// So many lines are told at most.
const LINES: usize = 20;
/// So many bytes of them.
const BYTES: usize = 4096;
/// So many characters of each.
const LINE: usize = 500;

/// The end of what a worker wrote.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct LastLines(Vec<u8>);

impl LastLines {
    /// The worker wrote this.
    pub fn push(&mut self, bytes: &[u8]) {
        // The beginning is given up by halves, not with every line.
        if self.0.len() + bytes.len() > 2 * BYTES {
            let kept = BYTES.saturating_sub(bytes.len()).min(self.0.len());
            self.0.drain(..self.0.len() - kept);
        }
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(BYTES)..]);
    }

    /// The last lines, escaped. An unfinished line is one.
    pub fn told(&self) -> Vec<String> {
        let begin = self.0.len().saturating_sub(BYTES);
        let text = String::from_utf8_lossy(&self.0[begin..]);
        // The first line is cut off where that is not the beginning.
        let lines: Vec<&str> = text.lines().skip(usize::from(self.0.len() >= BYTES)).collect();
        lines[lines.len().saturating_sub(LINES)..].iter().map(|line| escape(line, LINE)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_are_few_and_escaped() {
        let mut lines = LastLines::default();
        assert!(lines.told().is_empty());
        lines.push(b"one\ntwo \x1b[31m red\nunfinished");
        assert_eq!(lines.told(), ["one", "two \\x1b[31m red", "unfinished"]);
        for number in 0..10_000 {
            lines.push(format!("line {number}\n").as_bytes());
        }
        assert_eq!(lines.told().len(), LINES);
        assert_eq!(lines.told()[LINES - 1], "line 9999");
        assert!(lines.0.len() <= 2 * BYTES);
        lines.push("x".repeat(1 << 20).as_bytes());
        assert!(lines.0.len() <= 2 * BYTES);
        lines.push(b"\nthe end\n");
        assert_eq!(lines.told(), ["the end"]);
    }
}
