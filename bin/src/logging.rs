//! The daemon's log, on standard error.

use std::fmt;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt as format};

use crate::out::{colours_wanted, is_terminal};

/// Turns `debug` on and off while the daemon runs.
#[derive(Debug, Clone)]
pub struct Verbosity(reload::Handle<LevelFilter, Registry>);

impl Verbosity {
    /// Follows the configuration's `debug`.
    pub fn set(&self, debug: bool) {
        // The only error is that there is no log any more: the process is ending.
        let _ = self.0.modify(|level| *level = level_for(debug));
    }
}

/// Starts the log. To be called once.
#[must_use]
pub fn start(debug: bool) -> Verbosity {
    let (filter, handle) = reload::Layer::new(level_for(debug));
    let terminal = is_terminal(&io::stderr());
    let lines = format::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(terminal && colours_wanted())
        .with_timer(Stamp::for_stderr(terminal));
    tracing_subscriber::registry().with(filter).with(lines).init();
    Verbosity(handle)
}

fn level_for(debug: bool) -> LevelFilter {
    if debug { LevelFilter::DEBUG } else { LevelFilter::INFO }
}

/// How a line says when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    /// Not at all: the journal knows.
    None,
    /// The time of day, for someone who is looking on.
    Time,
    /// Date and time, for a file.
    DateTime,
}

impl Stamp {
    fn for_stderr(terminal: bool) -> Self {
        let journal = std::env::var("JOURNAL_STREAM").ok();
        match rustix::fs::fstat(io::stderr()) {
            Ok(stat) if journal.is_some_and(|name| names(&name, stat.st_dev, stat.st_ino)) => Self::None,
            Ok(_) | Err(_) if terminal => Self::Time,
            Ok(_) | Err(_) => Self::DateTime,
        }
    }
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
