//! How a suspension ends if nobody ends it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest a suspension can be asked to last.
pub const LONGEST_EXPIRY: Duration = Duration::from_secs(30 * 24 * 3600);

/// What becomes of a suspension that nobody has ended in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expiry {
    /// How long it may last, from when no active worker is left and nothing is in progress.
    pub after: Duration,
    /// What is done then.
    pub then: Ending,
}

/// What ends a suspension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The suspended workers begin.
    Resume,
    /// Workers of the release that served before the suspension take over.
    Rollback,
}

impl Ending {
    /// Its name in the protocol and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Rollback => "rollback",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resume => "the app is resumed",
            Self::Rollback => "the old release is started again",
        })
    }
}
