//! From an event of the log to its lines.

use std::io;

use nodesockd_os::Log;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::logging::stamp::{Stamp, is_journal};

/// The log as the formatter writes to it.
#[derive(Debug)]
pub(super) struct Lines {
    pub log: Log,
    /// Each line begins with its priority, as the journal reads it (`sd-daemon(3)`).
    pub priorities: bool,
}

/// The lines of one event.
#[derive(Debug)]
pub(super) struct Line<'a> {
    log: &'a Log,
    priority: &'static str,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { log: &self.log, priority: "" }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        let priority = if self.priorities { priority(*event.level()) } else { "" };
        Line { log: &self.log, priority }
    }
}

impl io::Write for Line<'_> {
    /// The formatter writes each event at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        if self.priority.is_empty() {
            self.log.text(&text);
        } else {
            text.lines().for_each(|line| self.log.text(&format!("{}{line}", self.priority)));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `syslog(3)`: 3 is an error, 7 a message for debugging.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// What stands in the place of lines that nobody has read.
pub(super) fn missed(count: u64) -> String {
    let journal = is_journal();
    let mut line = String::from(if journal { priority(Level::WARN) } else { "" });
    // A text takes everything.
    let _ = Stamp::for_stderr(journal).format_time(&mut Writer::new(&mut line));
    let lines = if count == 1 {
        "1 line of this log is".to_owned()
    } else {
        format!("{count} lines of this log are")
    };
    let space = if journal { "" } else { " " };
    format!("{line}{space} WARN {lines} missing here: nobody read them in time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graver_lines_have_lower_numbers() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];
        assert_eq!(levels.map(priority), ["<3>", "<4>", "<6>", "<7>"]);
    }
}
