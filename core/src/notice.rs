//! What the daemon tells the service manager that started it (`sd_notify(3)`).

use std::fmt;
use std::time::Duration;

use crate::text::escape;
use crate::time::Time;

/// A status is cut to this many characters.
const STATUS: usize = 300;

/// A service manager that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manager {
    /// It takes the daemon for hung when it has not heard [`Notice::Alive`] for so long (`WATCHDOG_USEC`).
    pub watchdog: Option<Duration>,
}

/// A notice to the service manager. Displayed as the protocol has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The daemon is up: every slot is served, or a reload is over.
    Ready,
    /// It reads its configuration again, and brings about what that says.
    Reloading {
        /// Since when, on the monotonic clock.
        since: Time,
    },
    /// It is on its way out.
    Stopping,
    /// How it is, in words.
    Status(String),
    /// It is not stuck, but needs up to so much more time for what the manager waits for.
    Extend(Duration),
    /// It still decides.
    Alive,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("READY=1"),
            Self::Reloading { since } => {
                write!(f, "RELOADING=1\nMONOTONIC_USEC={}", since.as_nanos() / 1_000)
            }
            Self::Stopping => f.write_str("STOPPING=1"),
            Self::Status(words) => write!(f, "STATUS={}", escape(words, STATUS)),
            Self::Extend(more) => write!(f, "EXTEND_TIMEOUT_USEC={}", more.as_micros()),
            Self::Alive => f.write_str("WATCHDOG=1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_status_can_be_taken_for_another_notice() {
        let notice = Notice::Status("slot 0: it said\nREADY=1".into()).to_string();
        assert_eq!(notice.lines().count(), 1, "{notice}");
        let notice = Notice::Reloading { since: Time::from_nanos(1_234_567) }.to_string();
        assert_eq!(notice, "RELOADING=1\nMONOTONIC_USEC=1234");
    }
}
