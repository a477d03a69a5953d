//! How a line of a worker looks in the log (docs/12-watching.md): in `text` for people, in `json` for programs.
//!
//! ```text
//! 2026-11-29T11:59:59.999Z 3 1a2b3 stdout a line
//! 2026-11-29T11:59:59.999Z 3 1a2b3 stdout+ the rest of a line that is too long for one
//! 2026-11-29T12:00:07.250Z - - nodesockd 17 lines are missing here: No space left on device (os error 28)
//! ```
//!
//! Time in UTC, slot, worker, stream, and what was written: bytes as they are in `text`, characters in `json`.

use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::action::Stream;
use crate::config::LogFormat;
use crate::id::{SlotIndex, WorkerId};
use crate::timestamp;

/// The stream of lines that no worker wrote.
const OURS: &str = "nodesockd";
/// Marks what follows a piece of the same line.
const CONTINUED: char = '+';
/// Stands for what is not known.
const NOTHING: &str = "-";

/// What stands before a line.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// In milliseconds since the epoch.
    pub time: u64,
    /// The slot that the worker serves.
    pub slot: Option<SlotIndex>,
    /// Who wrote it.
    pub worker: WorkerId,
    /// Where to.
    pub stream: Stream,
}

/// A line of the log, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read, as RFC 3339 has it.
    pub time: String,
    /// The slot that the worker served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Who wrote it: an id, or the end of one. Nobody: it is about lines that are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// `stdout`, `stderr` or `nodesockd`.
    pub stream: String,
    /// The line before is the beginning of this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
    /// So many lines are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// What was written.
    pub line: String,
}

/// Writes lines as one format has them, with the label of a worker.
#[derive(Debug)]
pub struct Labelled {
    format: LogFormat,
    /// What a line of `text` begins with, up to the stream.
    prefix: String,
    entry: LogLine,
}

impl Labelled {
    /// Lines with this label.
    #[must_use]
    pub fn new(format: LogFormat, label: &Label) -> Self {
        let stream = match label.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let time = timestamp::rfc3339(label.time);
        let slot = label.slot.map(|slot| slot.0);
        let (worker, prefix) = match format {
            LogFormat::Text => {
                let shown = slot.map_or_else(|| NOTHING.to_owned(), |slot| slot.to_string());
                (None, format!("{time} {shown} {} {stream}", label.worker.short()))
            }
            LogFormat::Json => (Some(label.worker.to_string()), String::new()),
        };
        let (stream, line) = (stream.to_owned(), String::new());
        let entry = LogLine { time, slot, worker, stream, continued: false, missing: None, line };
        Self { format, prefix, entry }
    }

    /// Adds a line, which is given without its newline, to `lines`.
    pub fn push(&mut self, lines: &mut Vec<u8>, line: &[u8], continued: bool) {
        match self.format {
            LogFormat::Text => {
                lines.extend_from_slice(self.prefix.as_bytes());
                lines.extend_from_slice(if continued { b"+ " } else { b" " });
                lines.extend_from_slice(line);
            }
            LogFormat::Json => {
                self.entry.line.clear();
                self.entry.line.push_str(&String::from_utf8_lossy(line));
                self.entry.continued = continued;
                // Writing to memory does not fail.
                let _ = serde_json::to_writer(&mut *lines, &self.entry);
            }
        }
        lines.push(b'\n');
    }
}

/// The line that says how many lines are missing, and why. `time`: in milliseconds since the epoch.
#[must_use]
pub fn missing(format: LogFormat, time: u64, count: u64, why: &str) -> Vec<u8> {
    let time = timestamp::rfc3339(time);
    let words = if count == 1 { "1 line is".to_owned() } else { format!("{count} lines are") };
    let line = format!("{words} missing here: {why}");
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = match format {
        LogFormat::Text => write!(text, "{time} {NOTHING} {NOTHING} {OURS} {line}"),
        LogFormat::Json => {
            let stream = OURS.to_owned();
            let missing = Some(count);
            let entry = LogLine { time, slot: None, worker: None, stream, continued: false, missing, line };
            serde_json::to_writer(&mut text, &entry).map_err(Into::into)
        }
    };
    text.push(b'\n');
    text
}

/// Takes a line of the log apart, whatever its format; `None` if it is none.
#[must_use]
pub fn parse(text: &[u8]) -> Option<LogLine> {
    let text = String::from_utf8_lossy(text);
    if text.starts_with('{') {
        return serde_json::from_str(&text).ok();
    }
    let mut words = text.splitn(5, ' ');
    let time = words.next().filter(|time| timestamp::parse(time).is_some())?.to_owned();
    let slot = words.next()?;
    let slot = if slot == NOTHING { None } else { Some(slot.parse().ok()?) };
    let worker = words.next().map(|worker| (worker != NOTHING).then(|| worker.to_owned()))?;
    let stream = words.next()?;
    let (stream, continued) = match stream.strip_suffix(CONTINUED) {
        Some(stream) => (stream.to_owned(), true),
        None => (stream.to_owned(), false),
    };
    let line = words.next()?.to_owned();
    let missing = (stream == OURS).then(|| line.split(' ').next()?.parse().ok()).flatten();
    Some(LogLine { time, slot, worker, stream, continued, missing, line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, Ids};

    fn label(slot: Option<u32>) -> Label {
        let worker = Ids::new(BootId(1)).worker();
        Label { time: 1_795_953_599_999, slot: slot.map(SlotIndex), worker, stream: Stream::Stderr }
    }

    fn written(format: LogFormat, slot: Option<u32>, line: &[u8], continued: bool) -> Vec<u8> {
        let mut lines = Vec::new();
        Labelled::new(format, &label(slot)).push(&mut lines, line, continued);
        assert_eq!(lines.pop(), Some(b'\n'));
        lines
    }

    #[test]
    fn text_has_the_bytes_of_the_worker() {
        let line = written(LogFormat::Text, Some(3), b"one\xff two", false);
        let start = format!("2026-11-29T11:59:59.999Z 3 {} stderr ", label(None).worker.short());
        assert_eq!(line, [start.as_bytes(), b"one\xff two"].concat());
    }

    #[test]
    fn what_was_written_can_be_taken_apart() {
        for format in [LogFormat::Text, LogFormat::Json] {
            for (slot, continued) in [(Some(3), false), (None, true)] {
                for text in ["", " say \"hi\"  \u{1b}[31m", "{}", "ü"] {
                    let line = parse(&written(format, slot, text.as_bytes(), continued)).unwrap();
                    assert_eq!(line.time, "2026-11-29T11:59:59.999Z");
                    assert_eq!((line.slot, line.continued), (slot, continued));
                    assert_eq!((line.stream.as_str(), line.line.as_str()), ("stderr", text));
                    assert!(label(None).worker.to_string().ends_with(&line.worker.unwrap()));
                }
            }
            let note = missing(format, 0, 17, "No space left on device");
            let line = parse(note.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!((line.missing, line.worker, line.slot), (Some(17), None, None));
            assert_eq!(line.line, "17 lines are missing here: No space left on device");
        }
    }

    #[test]
    fn other_lines_are_none_of_the_log() {
        for text in
            ["", "hello", "2026-11-29T11:59:59.999Z 3 1a2b3", "yesterday 3 1a2b3 stdout x", "{\"a\":1}"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
