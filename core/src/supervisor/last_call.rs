//! The end of a daemon that has a limited time for it (`options.quitTimeout`): a platform that stops it kills everything after its own
//! grace time.

use std::time::Duration;

use crate::time::Time;

use super::timer::Timer;

/// What is due next for workers that have not finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum LastCall {
    /// Nothing: they have their own time-outs.
    #[default]
    Unlimited,
    /// Stop signals at `at`, and SIGKILL at `end`.
    Terminate { at: Time, end: Time },
    /// SIGKILL.
    Kill { at: Time },
}

impl LastCall {
    /// A daemon quits, and has `limit` for it. From their stop signal to SIGKILL workers have `grace`, unless all of it is shorter.
    pub fn begin(now: Time, limit: Option<Duration>, grace: Duration) -> Self {
        limit.map_or(Self::Unlimited, |limit| Self::Terminate {
            at: now + limit.saturating_sub(grace),
            end: now + limit,
        })
    }

    pub fn next_deadline(self) -> Option<(Time, Timer)> {
        match self {
            Self::Unlimited => None,
            Self::Terminate { at, .. } | Self::Kill { at } => Some((at, Timer::Quit)),
        }
    }
}
