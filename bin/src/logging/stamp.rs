//! How a line says when it was written.

use std::fmt;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing_subscriber::fmt as format;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::out::is_terminal;

/// How a line says when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Not at all: the journal knows.
    None,
    /// The time of day, for someone who is looking on.
    Time,
    /// Date and time, for a file.
    DateTime,
}

impl Stamp {
    pub fn for_stderr(journal: bool) -> Self {
        match journal {
            true => Self::None,
            false if is_terminal(&io::stderr()) => Self::Time,
            false => Self::DateTime,
        }
    }
}

/// Whether standard error is the journal.
pub(super) fn is_journal() -> bool {
    let journal = std::env::var("JOURNAL_STREAM").ok();
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    journal.is_some_and(|name| names(&name, stat.st_dev, stat.st_ino))
}

/// Whether `JOURNAL_STREAM` names the file with this device and inode (`systemd.exec(5)`: `DEVICE:INODE`, decimal).
/// The variable alone proves nothing: it is inherited by processes whose standard error goes elsewhere.
fn names(journal: &str, device: u64, inode: u64) -> bool {
    journal == format!("{device}:{inode}")
}

impl FormatTime for Stamp {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Time => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let (seconds, millis) = (now.as_secs(), now.subsec_millis());
                let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
                write!(line, "{hour:02}:{minute:02}:{:02}.{millis:03}Z", seconds % 60)
            }
            Self::DateTime => format::time::SystemTime.format_time(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_is_recognised_by_device_and_inode() {
        assert!(names("8:12345", 8, 12_345));
        assert!(!names("8:12345", 8, 12_346));
        assert!(!names("", 8, 12_345));
    }

    #[test]
    fn time_of_day_has_milliseconds() {
        let mut text = String::new();
        Stamp::Time.format_time(&mut Writer::new(&mut text)).unwrap();
        assert_eq!(text.len(), "12:34:56.789Z".len(), "{text}");
    }
}
