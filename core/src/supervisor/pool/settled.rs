//! What the passes have seen to already.

use std::sync::Arc;

use crate::config::Config;
use crate::supervisor::goal::{Desired, Life};

/// What ought to be, when the passes looked last, and what concerns the standbys since.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Settled {
    /// The last of the four: links of a rollout were being swapped.
    goal: Option<(Desired, Life, Arc<Config>, bool)>,
    standbys: bool,
}

impl Settled {
    /// Notes what ought to be now. Returns whether that is something else than before.
    pub fn aim(&mut self, desired: &Desired, life: Life, swapping: bool, config: &Arc<Config>) -> bool {
        let same = self.goal.as_ref().is_some_and(|(before, lived, of, swapped)| {
            (before, *lived, *swapped) == (desired, life, swapping) && Arc::ptr_eq(of, config)
        });
        if !same {
            self.goal = Some((desired.clone(), life, Arc::clone(config), swapping));
        }
        !same
    }

    /// Standbys may be missing, or too many.
    pub fn touch_standbys(&mut self) {
        self.standbys = true;
    }

    /// Whether standbys may be missing, or too many, since [`take_standbys`](Self::take_standbys).
    pub fn standbys_touched(&self) -> bool {
        self.standbys
    }

    /// Whether standbys may be missing, or too many, since this was called last.
    pub fn take_standbys(&mut self) -> bool {
        std::mem::take(&mut self.standbys)
    }
}
